#include "motion.h"

#include <stdlib.h>

#include "cpu.h"

struct level {
    int width, height;
    int across, down; /* blocks */
    uint8_t *luma, *before;
    struct vector *vectors;
};

struct cpu_motion {
    struct level level[MOTION_LEVELS];
    int past; /* there is a picture before this one */
};

/* A block's window on a level, and the best that is found for it. */
struct search {
    const struct level *level;
    int left, top, right, bottom;
    int least;
    struct vector best;
};

struct cpu_motion *cpu_motion_open(int width, int height)
{
    struct cpu_motion *m = calloc(1, sizeof *m);
    int failed = !m;
    for (int i = 0; m && i < MOTION_LEVELS; i++) {
        struct level *l = &m->level[i];
        l->width = width;
        l->height = height;
        l->across = (width + MOTION_BLOCK - 1) / MOTION_BLOCK;
        l->down = (height + MOTION_BLOCK - 1) / MOTION_BLOCK;
        l->luma = malloc((size_t)width * (size_t)height);
        l->before = malloc((size_t)width * (size_t)height);
        l->vectors = calloc((size_t)l->across * (size_t)l->down, sizeof *l->vectors);
        failed |= !l->luma || !l->before || !l->vectors;
        width = (width + 1) / 2;
        height = (height + 1) / 2;
    }
    if (!failed)
        return m;
    cpu_motion_close(m);
    return NULL;
}

static void halve(const struct level *from, struct level *to)
{
    for (int y = 0; y < to->height; y++) {
        const uint8_t *upper = from->luma + (size_t)(2 * y) * (size_t)from->width;
        const uint8_t *lower = 2 * y + 1 < from->height ? upper + from->width : upper;
        uint8_t *out = to->luma + (size_t)y * (size_t)to->width;
        for (int x = 0; x < to->width; x++) {
            const int right = cpu_within(2 * x + 1, from->width);
            out[x] = motion_halve(upper[2 * x], upper[right], lower[2 * x], lower[right]);
        }
    }
}

/* Sum of absolute differences over the window. */
static int difference_at(const struct search *s, struct vector v)
{
    const struct level *l = s->level;
    const int inside = s->left + v.x >= 0 && s->right + v.x <= l->width;
    const int full = s->right - s->left == MOTION_BLOCK + 2 * MOTION_AROUND;
    int sum = 0;
    for (int y = s->top; y < s->bottom; y++) {
        const uint8_t *now = l->luma + (size_t)y * (size_t)l->width + s->left;
        const uint8_t *row = l->before + (size_t)cpu_within(y + v.y, l->height) * (size_t)l->width;
        const uint8_t *then = row + s->left + v.x;
        if (inside && full)
            for (int x = 0; x < MOTION_BLOCK + 2 * MOTION_AROUND; x++)
                sum += abs(now[x] - then[x]);
        else
            for (int x = 0; x < s->right - s->left; x++)
                sum += abs(now[x] - row[cpu_within(s->left + x + v.x, l->width)]);
    }
    return sum;
}

static void try(struct search *s, int x, int y)
{
    const struct vector v = { (short)x, (short)y };
    const int cost = difference_at(s, v);
    if (cost < s->least) {
        s->least = cost;
        s->best = v;
    }
}

static void try_around(struct search *s, int reach)
{
    const struct vector middle = s->best;
    for (int y = -reach; y <= reach; y++)
        for (int x = -reach; x <= reach; x++)
            if (x || y)
                try(s, middle.x + x, middle.y + y);
}

/* Twice the vectors of the coarser level's blocks that are nearest to a block. */
static void try_coarser(struct search *s, int across, int down)
{
    const struct level *from = s->level + 1;
    const int x[2] = { across / 2, cpu_within(across / 2 + (across & 1 ? 1 : -1), from->across) };
    const int y[2] = { down / 2, cpu_within(down / 2 + (down & 1 ? 1 : -1), from->down) };
    for (int i = 0; i < 4; i++) {
        const struct vector v = from->vectors[y[i >> 1] * from->across + x[i & 1]];
        try(s, 2 * v.x, 2 * v.y);
    }
}

static struct vector search(const struct cpu_motion *m, int level, int across, int down)
{
    const struct level *l = &m->level[level];
    struct search s = {
        .level = l,
        .left = cpu_within(across * MOTION_BLOCK - MOTION_AROUND, l->width),
        .top = cpu_within(down * MOTION_BLOCK - MOTION_AROUND, l->height),
        .right = cpu_within((across + 1) * MOTION_BLOCK + MOTION_AROUND - 1, l->width) + 1,
        .bottom = cpu_within((down + 1) * MOTION_BLOCK + MOTION_AROUND - 1, l->height) + 1,
    };
    s.least = motion_still_cost(difference_at(&s, s.best), (s.right - s.left) * (s.bottom - s.top));
    if (level < MOTION_LEVELS - 1)
        try_coarser(&s, across, down);
    try_around(&s, level < MOTION_LEVELS - 1 ? 1 : MOTION_REACH);
    return s.best;
}

void cpu_motion_run(struct cpu_motion *m, const float *picture)
{
    struct level *l = m->level;
    const size_t n = (size_t)l->width * (size_t)l->height;
    for (int i = 0; i < MOTION_LEVELS; i++) {
        uint8_t *const luma = l[i].before;
        l[i].before = l[i].luma;
        l[i].luma = luma;
    }
    for (size_t i = 0; i < n; i++)
        l->luma[i] = motion_luma(cpu_color(picture, n, i));
    for (int i = 1; i < MOTION_LEVELS; i++)
        halve(&l[i - 1], &l[i]);
    for (int i = MOTION_LEVELS - 1; m->past && i >= 0; i--)
        for (int y = 0; y < l[i].down; y++)
            for (int x = 0; x < l[i].across; x++)
                l[i].vectors[y * l[i].across + x] = search(m, i, x, y);
    m->past = 1;
}

size_t cpu_motion_from(const struct cpu_motion *m, int x, int y)
{
    const struct level *l = m->level;
    const struct vector v = l->vectors[y / MOTION_BLOCK * l->across + x / MOTION_BLOCK];
    return (size_t)cpu_within(y + v.y, l->height) * (size_t)l->width +
           (size_t)cpu_within(x + v.x, l->width);
}

void cpu_motion_close(struct cpu_motion *m)
{
    if (!m)
        return;
    for (int i = 0; i < MOTION_LEVELS; i++) {
        free(m->level[i].luma);
        free(m->level[i].before);
        free(m->level[i].vectors);
    }
    free(m);
}
