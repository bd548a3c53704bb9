/*
 * Colours spread from where they are sure, as solve_math.h has it. Level 0 is never stored: the picture's samples are
 * made where they are read, and it is pulled for those pixels only that are asked for.
 */
#include "spread.h"

#include <stdlib.h>

#include "cpu.h"

enum { LEVELS = 32 };

struct level {
    int width, height;
    struct tint *at;
};

struct cpu_spread {
    int width, height, count;
    struct level level[LEVELS]; /* from level 1 on */
    /* of the last run */
    struct spread how;
    int side;
    const float *picture, *alpha;
};

struct cpu_spread *cpu_spread_open(int width, int height)
{
    struct cpu_spread *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->width = width;
    s->height = height;
    do {
        struct level *l = &s->level[s->count++];
        l->width = width = (width + 1) / 2;
        l->height = height = (height + 1) / 2;
        l->at = malloc((size_t)width * (size_t)height * sizeof *l->at);
        if (!l->at) {
            cpu_spread_close(s);
            return NULL;
        }
    } while (width > 1 || height > 1);
    return s;
}

static struct tint sample(const struct cpu_spread *s, int x, int y)
{
    const size_t n = (size_t)s->width * (size_t)s->height;
    const size_t i = (size_t)y * (size_t)s->width + (size_t)x;
    return tint_of(s->how, cpu_color(s->picture, n, i), s->side ? 1 - s->alpha[i] : s->alpha[i]);
}

static struct tint sample_inside(const struct cpu_spread *s, int x, int y)
{
    return x < s->width && y < s->height ? sample(s, x, y) : (struct tint) { 0 };
}

static struct tint tint_inside(const struct level *l, int x, int y)
{
    return x < l->width && y < l->height ? l->at[(size_t)y * (size_t)l->width + (size_t)x]
                                         : (struct tint) { 0 };
}

static void push(const struct cpu_spread *s, int to)
{
    const struct level *l = &s->level[to];
    struct tint *at = l->at;
    for (int y = 0; y < l->height; y++)
        for (int x = 0; x < l->width; x++)
            if (to == 0)
                *at++ =
                    tint_push(sample_inside(s, 2 * x, 2 * y), sample_inside(s, 2 * x + 1, 2 * y),
                        sample_inside(s, 2 * x, 2 * y + 1), sample_inside(s, 2 * x + 1, 2 * y + 1));
            else
                *at++ = tint_push(tint_inside(l - 1, 2 * x, 2 * y),
                    tint_inside(l - 1, 2 * x + 1, 2 * y), tint_inside(l - 1, 2 * x, 2 * y + 1),
                    tint_inside(l - 1, 2 * x + 1, 2 * y + 1));
}

static struct tint pull(
    const struct cpu_spread *s, const struct level *from, struct tint own, int x, int y)
{
    const int over_x = x / 2, over_y = y / 2;
    const int near_x = cpu_within(over_x + (x & 1 ? 1 : -1), from->width);
    const int near_y = cpu_within(over_y + (y & 1 ? 1 : -1), from->height);
    const struct tint *over = from->at + (size_t)over_y * (size_t)from->width;
    const struct tint *near = from->at + (size_t)near_y * (size_t)from->width;
    return tint_pull(s->how, own, over[over_x], over[near_x], near[over_x], near[near_x]);
}

void cpu_spread_run(
    struct cpu_spread *s, struct spread how, const float *picture, const float *alpha, int side)
{
    s->how = how;
    s->picture = picture;
    s->alpha = alpha;
    s->side = side;
    for (int i = 0; i < s->count; i++)
        push(s, i);
    *s->level[s->count - 1].at = tint_top(*s->level[s->count - 1].at);
    for (int i = s->count - 2; i >= 0; i--) {
        const struct level *l = &s->level[i];
        struct tint *at = l->at;
        for (int y = 0; y < l->height; y++)
            for (int x = 0; x < l->width; x++, at++)
                *at = pull(s, l + 1, *at, x, y);
    }
}

struct tint cpu_spread_at(const struct cpu_spread *s, int x, int y)
{
    return pull(s, s->level, sample(s, x, y), x, y);
}

void cpu_spread_close(struct cpu_spread *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->count; i++)
        free(s->level[i].at);
    free(s);
}
