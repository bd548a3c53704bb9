#include "clean.h"

#include <stdlib.h>

#include "../clean_math.h"
#include "cpu.h"

enum { CELLS = CLEAN_GRID * CLEAN_GRID, NONE = -1 };

struct cpu_clean {
    int width, height;
    int side, across, down; /* of the grid's cells */
    int past;               /* state is a frame's */
    struct clean_cell cell[CELLS];
    struct clean_state state[CELLS];
    int label[CELLS];
};

struct cpu_clean *cpu_clean_open(int width, int height)
{
    struct cpu_clean *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->width = width;
    c->height = height;
    c->side = clean_side(width, height);
    c->across = (width + c->side - 1) / c->side;
    c->down = (height + c->side - 1) / c->side;
    return c;
}

static void measure(struct cpu_clean *c, const float *alpha)
{
    for (int i = 0; i < c->across * c->down; i++)
        c->cell[i] = (struct clean_cell) { 0, 255, 0 };
    for (int y = 0; y < c->height; y++, alpha += c->width)
        for (int i = 0; i < c->across; i++) {
            struct clean_cell cell = c->cell[y / c->side * c->across + i];
            for (int x = i * c->side; x < (i + 1) * c->side && x < c->width; x++) {
                const int code = round_code(255 * alpha[x]);
                cell.sum += code;
                cell.least = code < cell.least ? code : cell.least;
                cell.most = code > cell.most ? code : cell.most;
            }
            c->cell[y / c->side * c->across + i] = cell;
        }
}

static int greatest_around(const struct cpu_clean *c, int x, int y)
{
    int greatest = NONE;
    for (int j = cpu_within(y - 1, c->down); j <= cpu_within(y + 1, c->down); j++)
        for (int i = cpu_within(x - 1, c->across); i <= cpu_within(x + 1, c->across); i++)
            if (c->label[j * c->across + i] > greatest)
                greatest = c->label[j * c->across + i];
    return greatest;
}

/* Connected cells of those that `is` says, by the greatest index among them; NONE: it is none of those. */
static void find(struct cpu_clean *c, int (*is)(struct clean_cell))
{
    int changed = 1;
    for (int i = 0; i < c->across * c->down; i++)
        c->label[i] = is(c->cell[i]) ? i : NONE;
    while (changed) {
        changed = 0;
        for (int y = c->down - 1; y >= 0; y--)
            for (int x = c->across - 1; x >= 0; x--) {
                int *label = &c->label[y * c->across + x];
                const int greatest = *label == NONE ? NONE : greatest_around(c, x, y);
                changed |= greatest != *label;
                *label = greatest;
            }
    }
}

static void decide_kept(struct cpu_clean *c, signed char *kept)
{
    int weight[CELLS] = { 0 }, was[CELLS] = { 0 }, heaviest = 0;
    signed char near[CELLS];
    const int n = c->across * c->down;
    find(c, clean_is_there);
    for (int i = 0; i < n; i++)
        if (c->label[i] != NONE) {
            weight[c->label[i]] += c->cell[i].sum;
            was[c->label[i]] |= c->past && clean_was_kept(c->state[i]);
        }
    for (int i = 0; i < n; i++)
        heaviest = weight[i] > heaviest ? weight[i] : heaviest;
    for (int i = 0; i < n; i++) {
        const int l = c->label[i];
        kept[i] = heaviest == 0 || (l != NONE && clean_keeps(weight[l], heaviest, was[l]));
    }
    for (int pass = 0; pass < CLEAN_NEAR; pass++) {
        memcpy(near, kept, (size_t)n);
        for (int i = 0; i < n; i++) {
            const int x = i % c->across, y = i / c->across;
            for (int j = cpu_within(y - 1, c->down); j <= cpu_within(y + 1, c->down); j++)
                for (int k = cpu_within(x - 1, c->across); k <= cpu_within(x + 1, c->across); k++)
                    kept[i] |= near[j * c->across + k];
        }
    }
}

static void decide_filled(struct cpu_clean *c, signed char *filled)
{
    int least[CELLS], border[CELLS] = { 0 };
    const int n = c->across * c->down;
    find(c, clean_is_open);
    for (int i = 0; i < n; i++)
        least[i] = 255;
    for (int i = 0; i < n; i++) {
        const int l = c->label[i], x = i % c->across, y = i / c->across;
        if (l == NONE)
            continue;
        least[l] = c->cell[i].least < least[l] ? c->cell[i].least : least[l];
        border[l] |= x == 0 || y == 0 || x == c->across - 1 || y == c->down - 1;
    }
    for (int i = 0; i < n; i++) {
        const int l = c->label[i];
        filled[i] = l != NONE && clean_fills(least[l], border[l]);
    }
}

/* Cells i - 1 and i, the nearest that are there. */
static void beside(int i, int count, int *first, int *second)
{
    *first = cpu_within(i - 1, count);
    *second = cpu_within(i, count);
}

static int is_left_alone(struct clean_state s)
{
    return s.kept == CLEAN_STEPS && s.filled == 0;
}

/* The pixels between the middles of four cells, of which the last is at across, down. */
static void apply_between(const struct cpu_clean *c, float *alpha, int across, int down)
{
    int left, right, above, below;
    beside(across, c->across, &left, &right);
    beside(down, c->down, &above, &below);
    const struct clean_state s[4] = { c->state[above * c->across + left],
        c->state[above * c->across + right], c->state[below * c->across + left],
        c->state[below * c->across + right] };
    if (is_left_alone(s[0]) && is_left_alone(s[1]) && is_left_alone(s[2]) && is_left_alone(s[3]))
        return;
    for (int j = 0; j < c->side; j++)
        for (int i = 0; i < c->side; i++) {
            const int x = across * c->side - c->side / 2 + i, y = down * c->side - c->side / 2 + j;
            if (x < 0 || y < 0 || x >= c->width || y >= c->height)
                continue;
            float *at = alpha + (ptrdiff_t)y * c->width + x;
            *at = clean_alpha(
                *at, s[0], s[1], s[2], s[3], clean_place(i, c->side), clean_place(j, c->side));
        }
}

void cpu_clean_run(struct cpu_clean *c, float *alpha)
{
    signed char kept[CELLS] = { 0 }, filled[CELLS] = { 0 };
    measure(c, alpha);
    decide_kept(c, kept);
    decide_filled(c, filled);
    for (int i = 0; i < c->across * c->down; i++) {
        const struct clean_state all = { kept[i] ? CLEAN_STEPS : 0, filled[i] ? CLEAN_STEPS : 0 };
        c->state[i] = c->past ? clean_step(c->state[i], kept[i], filled[i]) : all;
    }
    c->past = 1;
    for (int y = 0; y <= c->down; y++)
        for (int x = 0; x <= c->across; x++)
            apply_between(c, alpha, x, y);
}

void cpu_clean_close(struct cpu_clean *c)
{
    free(c);
}
