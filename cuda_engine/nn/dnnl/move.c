/*
 * Copies of elements between tensors as they lie: transposes, windows, and from one layout to another.
 */
#include "plan.h"

#include <string.h>

enum { BLOCK = 16 }; /* floats of a cache line */

/* Copies a block of rows x columns: rows are step apart in the input, and adjacent there are the elements of a column. */
static void turn(float *to, ptrdiff_t to_row, const float *from, ptrdiff_t step, ptrdiff_t rows,
    ptrdiff_t columns)
{
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t k = 0; k < columns; k++)
            to[i * to_row + k] = from[i + k * step];
}

/* Copies the last dimension, for one value of those before. */
static void copy_line(float *to, const float *from, int count, ptrdiff_t step)
{
    if (step == 1)
        memcpy(to, from, count * sizeof *to);
    else
        for (int i = 0; i < count; i++)
            to[i] = from[i * step];
}

/* The place in the input of number index of the first rank dimensions. */
static ptrdiff_t place(const struct copy *c, int rank, size_t index)
{
    ptrdiff_t at = c->base;
    for (int i = rank - 1; i >= 0; i--) {
        at += (ptrdiff_t)(index % c->dims[i]) * c->step[i];
        index /= c->dims[i];
    }
    return at;
}

static void run_lines(const struct step *s)
{
    const struct copy *c = s->copy;
    const int last = c->rank - 1, width = c->dims[last];
    size_t lines = 1;
    for (int i = 0; i < last; i++)
        lines *= c->dims[i];
#pragma omp parallel for
    for (size_t i = 0; i < lines; i++)
        copy_line(s->out.data + i * width, s->in[0].data + place(c, last, i), width, c->step[last]);
}

/* The last but one dimension is adjacent in the input: blocks of it and the last, so that lines are read whole. */
static void run_turns(const struct step *s)
{
    const struct copy *c = s->copy;
    const int rank = c->rank - 2;
    const ptrdiff_t rows = c->dims[rank], columns = c->dims[rank + 1], step = c->step[rank + 1];
    size_t planes = 1;
    for (int i = 0; i < rank; i++)
        planes *= c->dims[i];
#pragma omp parallel for collapse(2)
    for (size_t i = 0; i < planes; i++)
        for (ptrdiff_t y = 0; y < rows; y += BLOCK) {
            const ptrdiff_t high = rows - y < BLOCK ? rows - y : BLOCK;
            const float *from = s->in[0].data + place(c, rank, i) + y;
            float *to = s->out.data + i * rows * columns + y * columns;
            for (ptrdiff_t x = 0; x < columns; x += BLOCK)
                turn(to + x, columns, from + x * step, step, high,
                    columns - x < BLOCK ? columns - x : BLOCK);
        }
}

int move_prepare(struct plan *p, struct step *s, struct error *e)
{
    struct copy *c = s->copy = graph_alloc(p->graph, sizeof *s->copy, e);
    if (!c)
        return -1;
    move_find(s->node, &s->in[0], &s->out, c); /* as layout_choose() found already */
    if (copy_is_same(c) && s->in[0].data == s->out.data)
        return 0; /* nothing to do */
    if (!c->rank)
        *c = (struct copy) { 1, { 1 }, { 1 }, c->base };
    s->run = c->rank > 1 && c->step[c->rank - 2] == 1 ? run_turns : run_lines;
    return 0;
}
