#include "look.h"

#include <math.h>
#include <stddef.h>

#include "prompt.h"

/* The part of a thing that must have a colour for it to be called by it. */
#define HAS_COLOUR .25f

enum { COLOURS = 11 };

void look_take(struct look *l, const struct look_picture *p, const struct box *box)
{
    const float cx = (box->left + box->right) / 2, cy = (box->top + box->bottom) / 2;
    const float rx = fmaxf((box->right - box->left) / 2, .5f),
                ry = fmaxf((box->bottom - box->top) / 2, .5f);
    const int top = (int)fmaxf(box->top, 0), left = (int)fmaxf(box->left, 0);
    const int bottom = (int)fminf(box->bottom, (float)p->height),
              right = (int)fminf(box->right, (float)p->width);
    int count = 0;
    *l = (struct look) { 0 };
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++) {
            const float u = ((float)x + .5f - cx) / rx, v = ((float)y + .5f - cy) / ry;
            if (u * u + v * v > 1)
                continue;
            const uint8_t *c = p->rgb + 3 * ((ptrdiff_t)y * p->width + x);
            int bin = 0;
            for (int i = 0; i < 3; i++)
                bin = bin * LOOK_LEVELS + c[i] * LOOK_LEVELS / 256;
            l->bins[bin]++;
            count++;
        }
    for (int i = 0; i < LOOK_BINS && count; i++)
        l->bins[i] /= (float)count;
}

float look_likeness(const struct look *a, const struct look *b)
{
    float sum = 0;
    for (int i = 0; i < LOOK_BINS; i++)
        sum += sqrtf(a->bins[i] * b->bins[i]);
    return sum;
}

void look_learn(struct look *l, const struct look *now, float part)
{
    for (int i = 0; i < LOOK_BINS; i++)
        l->bins[i] += part * (now->bins[i] - l->bins[i]);
}

/* By hue, saturation and value, as people name them: dark oranges are brown, pale reds pink. */
unsigned look_colour(int r, int g, int b)
{
    static const struct {
        int end; /* degrees */
        unsigned colour;
    } hues[] = { { 15, COLOUR_RED }, { 42, COLOUR_ORANGE }, { 68, COLOUR_YELLOW },
        { 165, COLOUR_GREEN }, { 255, COLOUR_BLUE }, { 290, COLOUR_PURPLE }, { 340, COLOUR_PINK },
        { 360, COLOUR_RED } };
    const int most = r > g ? (r > b ? r : b) : g > b ? g : b;
    const int fewest = r < g ? (r < b ? r : b) : g < b ? g : b;
    const int span = most - fewest;
    if (most < 50)
        return COLOUR_BLACK;
    if (span * 100 < most * 18)
        return most > 190 ? COLOUR_WHITE : most < 75 ? COLOUR_BLACK : COLOUR_GREY;
    float hue = most == r   ? (float)(g - b) / (float)span
                : most == g ? 2 + (float)(b - r) / (float)span
                            : 4 + (float)(r - g) / (float)span;
    hue = 60 * (hue < 0 ? hue + 6 : hue);
    unsigned colour = COLOUR_RED;
    for (int i = COLOURS - 4; i >= 0; i--)
        if (hue < (float)hues[i].end)
            colour = hues[i].colour;
    if ((colour == COLOUR_ORANGE && (most < 170 || span * 100 < most * 55)) ||
        (colour == COLOUR_RED && most < 110 && hue > 8 && hue < 180))
        return COLOUR_BROWN;
    if (colour == COLOUR_RED && span * 100 < most * 45 && most > 180)
        return COLOUR_PINK;
    return colour;
}

unsigned look_colours(const struct look_picture *p, const float *mask)
{
    int count[COLOURS] = { 0 }, all = 0;
    unsigned colours = 0;
    for (int i = 0; i < p->width * p->height; i++)
        if (mask[i] > 0) {
            const uint8_t *c = p->rgb + 3 * (ptrdiff_t)i;
            const unsigned colour = look_colour(c[0], c[1], c[2]);
            for (int k = 0; k < COLOURS; k++)
                count[k] += colour == 1u << k;
            all++;
        }
    for (int k = 0; k < COLOURS; k++)
        if (all && (float)count[k] >= HAS_COLOUR * (float)all)
            colours |= 1u << k;
    return colours;
}
