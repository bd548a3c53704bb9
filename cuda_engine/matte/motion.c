/*
 * Block matching: for every block the nearest window of the picture before, by the sum of absolute differences, to a part
 * of a pixel by the parabola through the least sum and its neighbours. A block that stands still is not searched for.
 */
#include "motion.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* A block is compared by a window around it, so that one with little in it has its neighbours to hold on to. */
enum { WINDOW = 16, AROUND = (WINDOW - MOTION_BLOCK) / 2, SEARCH = 8, NEAR = 2, BORDER = 32 };

/* In codes a pixel: below, a difference is noise; above, nothing of the kind was there; what a pixel's way costs. */
#define NOISE   1.2f
#define FOREIGN 12
#define WAY     .08f

/* The part of the blocks that are foreign after a cut. */
#define CUT .4f

_Static_assert(BORDER >= MOTION_REACH + WINDOW, "windows must lie in the bordered picture");

struct finder {
    struct motion motion; /* first: what the caller sees */
    struct motion_block *blocks;
    uint8_t *now, *before; /* with a border, its edge pixels repeated */
    int stride;
    int past;                 /* before holds a picture */
    struct motion_block *own; /* of a thing that is carried */
    float *weight;
};

struct motion *motion_open(int width, int height, struct error *e)
{
    struct finder *f = calloc(1, sizeof *f);
    if (f) {
        struct motion *m = &f->motion;
        *m = (struct motion) { .width = width,
            .height = height,
            .columns = (width + MOTION_BLOCK - 1) / MOTION_BLOCK,
            .rows = (height + MOTION_BLOCK - 1) / MOTION_BLOCK };
        const size_t blocks = (size_t)m->columns * (size_t)m->rows;
        f->stride = m->columns * MOTION_BLOCK + 2 * BORDER;
        const size_t bytes = (size_t)f->stride * (size_t)(m->rows * MOTION_BLOCK + 2 * BORDER);
        f->blocks = calloc(blocks, sizeof *f->blocks);
        f->own = calloc(blocks, sizeof *f->own);
        f->weight = calloc(blocks, sizeof *f->weight);
        f->now = calloc(1, bytes);
        f->before = calloc(1, bytes);
        m->blocks = f->blocks;
        if (f->blocks && f->own && f->weight && f->now && f->before)
            return m;
        motion_close(m);
    }
    error_retry(
        e, "out_of_memory", "There is no memory to follow a picture of %dx%d.", width, height);
    return NULL;
}

static int inside(int at, int least, int most)
{
    return at < least ? least : at > most ? most : at;
}

static void take(struct finder *f, const uint8_t *luma)
{
    const int width = f->motion.width, height = f->motion.height;
    const int rows = f->motion.rows * MOTION_BLOCK + 2 * BORDER;
    for (int y = 0; y < rows; y++) {
        const uint8_t *from = luma + (ptrdiff_t)inside(y - BORDER, 0, height - 1) * width;
        uint8_t *to = f->now + (ptrdiff_t)y * f->stride;
        memset(to, from[0], BORDER);
        memcpy(to + BORDER, from, (size_t)width);
        memset(to + BORDER + width, from[width - 1], (size_t)(f->stride - BORDER - width));
    }
}

static int difference(const uint8_t *restrict a, const uint8_t *restrict b, int stride)
{
    int sum = 0;
    for (int y = 0; y < WINDOW; y++)
        for (int x = 0; x < WINDOW; x++)
            sum += abs(a[(ptrdiff_t)y * stride + x] - b[(ptrdiff_t)y * stride + x]);
    return sum;
}

struct match {
    const uint8_t *now, *before; /* the block's window, and the same place in the picture before */
    int stride;
    int dx, dy, sum; /* the best so far */
    float cost;
};

static int sum_at(const struct match *m, int dx, int dy)
{
    return difference(m->now, m->before + (ptrdiff_t)dy * m->stride + dx, m->stride);
}

static void search(struct match *m, int dx, int dy, int reach)
{
    for (int y = inside(dy - reach, -MOTION_REACH, MOTION_REACH);
         y <= inside(dy + reach, -MOTION_REACH, MOTION_REACH); y++)
        for (int x = inside(dx - reach, -MOTION_REACH, MOTION_REACH);
             x <= inside(dx + reach, -MOTION_REACH, MOTION_REACH); x++) {
            const int sum = sum_at(m, x, y);
            const float cost = (float)sum + WAY * WINDOW * WINDOW * sqrtf((float)(x * x + y * y));
            if (cost < m->cost) {
                m->cost = cost;
                m->sum = sum;
                m->dx = x;
                m->dy = y;
            }
        }
}

/* Where between -1/2 and 1/2 the parabola through three values at -1, 0 and 1 is least. */
static float least(int before, int at, int after)
{
    const int bend = before - 2 * at + after;
    const float x = bend > 0 ? .5f * (float)(before - after) / (float)bend : 0;
    return fminf(fmaxf(x, -.5f), .5f);
}

/* At the best place and a part of a pixel further. */
static float difference_between(const struct match *m, float dx, float dy)
{
    const int left = m->dx - (dx < 0), top = m->dy - (dy < 0);
    const float fx = dx < 0 ? dx + 1 : dx, fy = dy < 0 ? dy + 1 : dy;
    float sum = 0;
    for (int y = 0; y < WINDOW; y++) {
        const uint8_t *now = m->now + (ptrdiff_t)y * m->stride;
        const uint8_t *a = m->before + (ptrdiff_t)(top + y) * m->stride + left, *b = a + m->stride;
        for (int x = 0; x < WINDOW; x++) {
            const float above = (float)a[x] + fx * (float)(a[x + 1] - a[x]);
            const float below = (float)b[x] + fx * (float)(b[x + 1] - b[x]);
            sum += fabsf((float)now[x] - above - fy * (below - above));
        }
    }
    return sum;
}

/* *b: what the block's motion was; it is likely to go on. 1: it moves. */
static int find(struct finder *f, int column, int row, struct motion_block *b)
{
    const ptrdiff_t at = (ptrdiff_t)(row * MOTION_BLOCK + BORDER - AROUND) * f->stride +
                         column * MOTION_BLOCK + BORDER - AROUND;
    struct match m = { .now = f->now + at, .before = f->before + at, .stride = f->stride };
    m.sum = sum_at(&m, 0, 0);
    const int px = (int)lrintf(b->dx), py = (int)lrintf(b->dy);
    m.cost = (float)m.sum;
    *b = (struct motion_block) { 0, 0, (float)m.sum / (WINDOW * WINDOW) };
    if (b->residual < NOISE)
        return 0;
    search(&m, 0, 0, SEARCH);
    if (px || py)
        search(&m, px, py, NEAR);
    b->residual = (float)m.sum / (WINDOW * WINDOW);
    const float x = least(sum_at(&m, m.dx - 1, m.dy), m.sum, sum_at(&m, m.dx + 1, m.dy));
    const float y = least(sum_at(&m, m.dx, m.dy - 1), m.sum, sum_at(&m, m.dx, m.dy + 1));
    b->dx = (float)m.dx + x;
    b->dy = (float)m.dy + y;
    b->residual = fminf(b->residual, difference_between(&m, x, y) / (WINDOW * WINDOW));
    return 1;
}

void motion_run(struct motion *m, const uint8_t *luma)
{
    struct finder *f = (struct finder *)m;
    const int count = m->columns * m->rows;
    int foreign = 0, moving = 0;
    uint8_t *before = f->before;
    f->before = f->now;
    f->now = before;
    take(f, luma);
    for (int i = 0; i < count && f->past; i++) {
        moving += find(f, i % m->columns, i / m->columns, &f->blocks[i]);
        foreign += f->blocks[i].residual > FOREIGN;
    }
    m->moving = (float)moving / (float)count;
    m->cut = !f->past || (float)foreign > CUT * (float)count;
    f->past = 1;
}

void motion_reset(struct motion *m)
{
    struct finder *f = (struct finder *)m;
    f->past = 0;
    memset(f->blocks, 0, (size_t)m->columns * (size_t)m->rows * sizeof *f->blocks);
}

/* ---- carrying ---- */

/* How much of a block's window, where it was, is the thing's, 0 to 1: of every fourth pixel in both directions. */
static float share(
    const struct motion *m, const float *from, int column, int row, const struct motion_block *b)
{
    const int left = column * MOTION_BLOCK - AROUND + (int)lrintf(b->dx),
              top = row * MOTION_BLOCK - AROUND + (int)lrintf(b->dy);
    int hits = 0;
    for (int y = 1; y < WINDOW; y += 4)
        for (int x = 1; x < WINDOW; x += 4)
            hits += from[(ptrdiff_t)inside(top + y, 0, m->height - 1) * m->width +
                         inside(left + x, 0, m->width - 1)] > 0;
    return (float)hits * 16 / (WINDOW * WINDOW);
}

/* Where block i is, in blocks. */
static void place_of(const struct motion *m, int i, float *x, float *y)
{
    const int row = i / m->columns;
    *x = (float)(i - row * m->columns);
    *y = (float)row;
}

/* Motion that is linear in the place: (x, y) in blocks from the thing's middle. */
struct affine {
    float x, y;         /* the middle */
    float dx[3], dy[3]; /* at the middle, and by x and y */
};

static void block_at(const struct affine *a, float column, float row, float *dx, float *dy)
{
    const float x = column - a->x, y = row - a->y;
    *dx = a->dx[0] + a->dx[1] * x + a->dx[2] * y;
    *dy = a->dy[0] + a->dy[1] * x + a->dy[2] * y;
}

/* Of one component, by least squares of weighted moments; slopes of few blocks are not believed. */
static void solve(
    float to[3], const float xx, const float xy, const float yy, const float b[3], float sum)
{
    const float trust = 1, p = xx + trust, q = yy + trust, det = p * q - xy * xy;
    to[0] = b[0] / sum;
    to[1] = (q * b[1] - xy * b[2]) / det;
    to[2] = (p * b[2] - xy * b[1]) / det;
}

/* The motion of the thing's blocks by f->weight; those that go elsewhere, as what is beside it does, lose theirs. */
static struct affine fit(struct finder *f)
{
    const struct motion *m = &f->motion;
    const int count = m->columns * m->rows;
    struct affine a = { 0 };
    for (int round = 0; round < 4; round++) {
        float sum = 1e-6f, xx = 0, xy = 0, yy = 0, of_x[3] = { 0 }, of_y[3] = { 0 };
        a.x = a.y = 0;
        for (int i = 0; i < count; i++) {
            float x, y;
            place_of(m, i, &x, &y);
            sum += f->weight[i];
            a.x += f->weight[i] * x;
            a.y += f->weight[i] * y;
        }
        a.x /= sum;
        a.y /= sum;
        for (int i = 0; i < count; i++) {
            const float w = f->weight[i];
            float x, y;
            place_of(m, i, &x, &y);
            x -= a.x;
            y -= a.y;
            const float factor[3] = { w, w * x, w * y };
            xx += w * x * x;
            xy += w * x * y;
            yy += w * y * y;
            for (int k = 0; k < 3; k++) {
                of_x[k] += factor[k] * f->blocks[i].dx;
                of_y[k] += factor[k] * f->blocks[i].dy;
            }
        }
        solve(a.dx, xx, xy, yy, of_x, sum);
        solve(a.dy, xx, xy, yy, of_y, sum);
        for (int i = 0; i < count && round < 3; i++) {
            float x, y, dx, dy;
            if (f->weight[i] <= 0)
                continue;
            place_of(m, i, &x, &y);
            block_at(&a, x, y, &dx, &dy);
            dx -= f->blocks[i].dx;
            dy -= f->blocks[i].dy;
            f->weight[i] /= 1 + dx * dx + dy * dy;
        }
    }
    return a;
}

/* Vectors point back, and blocks are MOTION_BLOCK pixels apart. */
static struct motion_carried summarise(const struct finder *f, const struct affine *a)
{
    const float grown = (a->dx[1] + a->dy[2]) / 2 / MOTION_BLOCK;
    float sum = 1e-6f, residual = 0;
    for (int i = 0; i < f->motion.columns * f->motion.rows; i++) {
        sum += f->weight[i];
        residual += f->weight[i] * f->blocks[i].residual;
    }
    return (struct motion_carried) { -a->dx[0], -a->dy[0], 1 - fminf(fmaxf(grown, -.2f), .2f),
        residual / sum };
}

/* Motion of every block as the whole thing has it, but for what its own blocks near there do besides. */
static void own_motion(struct finder *f, const struct affine *a)
{
    const struct motion *m = &f->motion;
    for (int i = 0; i < m->columns * m->rows; i++) {
        const int column = i % m->columns, row = i / m->columns;
        float sum = .5f, dx = 0, dy = 0, along, down;
        for (int y = inside(row - 1, 0, m->rows - 1); y <= inside(row + 1, 0, m->rows - 1); y++)
            for (int x = inside(column - 1, 0, m->columns - 1);
                 x <= inside(column + 1, 0, m->columns - 1); x++) {
                const int k = y * m->columns + x;
                block_at(a, (float)x, (float)y, &along, &down);
                sum += f->weight[k];
                dx += f->weight[k] * (f->blocks[k].dx - along);
                dy += f->weight[k] * (f->blocks[k].dy - down);
            }
        block_at(a, (float)column, (float)row, &along, &down);
        f->own[i] = (struct motion_block) { along + dx / sum, down + dy / sum, 0 };
    }
}

/* Between four of the grid's values. */
static float sample(const struct motion *m, const float *plane, float x, float y)
{
    x = fminf(fmaxf(x, 0), (float)(m->width - 1));
    y = fminf(fmaxf(y, 0), (float)(m->height - 1));
    const int left = (int)x, top = (int)y;
    const int right = left + (left < m->width - 1), bottom = top + (top < m->height - 1);
    const float fx = x - (float)left, fy = y - (float)top;
    const float *a = plane + (ptrdiff_t)top * m->width, *b = plane + (ptrdiff_t)bottom * m->width;
    return (a[left] * (1 - fx) + a[right] * fx) * (1 - fy) +
           (b[left] * (1 - fx) + b[right] * fx) * fy;
}

static void move_plane(const struct finder *f, const float *from, float *to)
{
    const struct motion *m = &f->motion;
    for (int y = 0; y < m->height; y++) {
        const float v =
            fminf(fmaxf(((float)y + .5f) / MOTION_BLOCK - .5f, 0), (float)(m->rows - 1));
        const int top = (int)v, bottom = top + (top < m->rows - 1);
        for (int x = 0; x < m->width; x++) {
            const float u =
                fminf(fmaxf(((float)x + .5f) / MOTION_BLOCK - .5f, 0), (float)(m->columns - 1));
            const int left = (int)u, right = left + (left < m->columns - 1);
            const float fx = u - (float)left, fy = v - (float)top;
            const struct motion_block *a = f->own + (ptrdiff_t)top * m->columns,
                                      *b = f->own + (ptrdiff_t)bottom * m->columns;
            const float dx = (a[left].dx * (1 - fx) + a[right].dx * fx) * (1 - fy) +
                             (b[left].dx * (1 - fx) + b[right].dx * fx) * fy;
            const float dy = (a[left].dy * (1 - fx) + a[right].dy * fx) * (1 - fy) +
                             (b[left].dy * (1 - fx) + b[right].dy * fx) * fy;
            to[(ptrdiff_t)y * m->width + x] = sample(m, from, (float)x + dx, (float)y + dy);
        }
    }
}

void motion_carry(struct motion *m, const float *from, float *to, struct motion_carried *carried)
{
    struct finder *f = (struct finder *)m;
    int moved = 0;
    for (int i = 0; i < m->columns * m->rows; i++) {
        const float part = share(m, from, i % m->columns, i / m->columns, &f->blocks[i]);
        f->weight[i] = powf(part, 8); /* what is half another's says little */
        moved |= part > 0 && (f->blocks[i].dx != 0 || f->blocks[i].dy != 0);
    }
    const struct affine a = moved ? fit(f) : (struct affine) { 0 };
    *carried = summarise(f, &a);
    if (!moved) {
        memcpy(to, from, (size_t)m->width * (size_t)m->height * sizeof *to);
        return;
    }
    own_motion(f, &a);
    move_plane(f, from, to);
}

void motion_close(struct motion *m)
{
    struct finder *f = (struct finder *)m;
    if (!f)
        return;
    free(f->blocks);
    free(f->own);
    free(f->weight);
    free(f->now);
    free(f->before);
    free(f);
}
