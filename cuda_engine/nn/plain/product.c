/*
 * Products of matrices.
 */
#include "plain.h"

#include <string.h>

/* One product: rows x inner by inner x columns; steps are in elements. */
struct product {
    const float *a, *b;
    float *c;
    size_t rows, inner, columns;
    size_t row_a, inner_a, inner_b, column_b;
};

enum { TILE_ROWS = 6, TILE_COLUMNS = 32 };

/* Adds to sums, which stay in registers where rows, columns and the step through b are known. */
static inline void add_products(const struct product *m, const float *a, const float *b,
    size_t rows, size_t columns, size_t step, float (*sums)[TILE_COLUMNS])
{
    for (size_t k = 0; k < m->inner; k++)
        for (size_t j = 0; j < rows; j++)
            for (size_t i = 0; i < columns; i++)
                sums[j][i] += a[j * m->row_a + k * m->inner_a] * b[k * m->inner_b + i * step];
}

/* Adds to a tile of the result: rows and columns from y and x on, at most those of a tile. */
VECTORISED static void multiply_tile(const struct product *m, size_t y, size_t x, float factor)
{
    const size_t rows = m->rows - y < TILE_ROWS ? m->rows - y : TILE_ROWS;
    const size_t columns = m->columns - x < TILE_COLUMNS ? m->columns - x : TILE_COLUMNS;
    const float *a = m->a + y * m->row_a, *b = m->b + x * m->column_b;
    float sums[TILE_ROWS][TILE_COLUMNS] = { { 0 } };
    if (rows == TILE_ROWS && columns == TILE_COLUMNS && m->column_b == 1)
        add_products(m, a, b, TILE_ROWS, TILE_COLUMNS, 1, sums);
    else if (m->column_b == 1)
        add_products(m, a, b, rows, columns, 1, sums);
    else
        add_products(m, a, b, rows, columns, m->column_b, sums);
    for (size_t j = 0; j < rows; j++)
        for (size_t i = 0; i < columns; i++)
            m->c[(y + j) * m->columns + x + i] += sums[j][i] * factor;
}

static void multiply(const struct product *m, float factor)
{
#pragma omp parallel for collapse(2)
    for (size_t y = 0; y < m->rows; y += TILE_ROWS)
        for (size_t x = 0; x < m->columns; x += TILE_COLUMNS)
            multiply_tile(m, y, x, factor);
}

/* As matrices of at least two dimensions: a vector is a row on the left, a column on the right. */
static struct shape as_matrix(const struct shape *s, int right)
{
    struct shape m = *s;
    if (s->rank == 1) {
        m.rank = 2;
        m.dims[right] = 1;
        m.dims[!right] = s->dims[0];
    }
    return m;
}

int matmul_infer(struct reading *r)
{
    const struct shape *a = shape_of(r, 0), *b = shape_of(r, 1);
    if (!a->rank || !b->rank || a->type != REAL || b->type != REAL)
        return refuse(r, "needs two matrices");
    const struct shape x = as_matrix(a, 0), y = as_matrix(b, 1);
    const int rank = x.rank > y.rank ? x.rank : y.rank;
    if (x.dims[x.rank - 1] != y.dims[y.rank - 2])
        return refuse(r, "has inputs of sizes that do not match");
    r->out = (struct shape) { REAL, 0, { 0 } };
    for (int i = rank; i > 2; i--) {
        const int s = i <= x.rank ? x.dims[x.rank - i] : 1,
                  t = i <= y.rank ? y.dims[y.rank - i] : 1;
        if (s != t && s != 1 && t != 1)
            return refuse(r, "has inputs of sizes that do not broadcast");
        r->out.dims[r->out.rank++] = s == 1 ? t : s;
    }
    if (a->rank > 1)
        r->out.dims[r->out.rank++] = x.dims[x.rank - 2];
    if (b->rank > 1)
        r->out.dims[r->out.rank++] = y.dims[y.rank - 1];
    return 0;
}

/* The place of matrix index of the batch in an input that may be repeated along it. */
static size_t batch_place(
    const struct shape *in, const struct shape *out, int out_batch, size_t index)
{
    size_t at = 0, step = (size_t)in->dims[in->rank - 1] * in->dims[in->rank - 2];
    for (int i = 1; i <= out_batch; i++) {
        const int size = out->dims[out_batch - i], from = in->rank - 2 - i;
        if (from >= 0) {
            if (in->dims[from] != 1)
                at += index % size * step;
            step *= in->dims[from];
        }
        index /= size;
    }
    return at;
}

void matmul_compute(const struct plain *p)
{
    const struct shape a = as_matrix(&p->in[0].shape, 0), b = as_matrix(&p->in[1].shape, 1);
    const struct shape *out = &p->out.shape;
    const size_t inner = a.dims[a.rank - 1], rows = a.dims[a.rank - 2],
                 columns = b.dims[b.rank - 1];
    const size_t count = shape_elements(out), batches = count ? count / (rows * columns) : 0;
    const int batch = out->rank - (p->in[0].shape.rank > 1) - (p->in[1].shape.rank > 1);
    memset(p->out.real, 0, count * sizeof *p->out.real);
    for (size_t i = 0; i < batches; i++)
        multiply(&(struct product) { p->in[0].real + batch_place(&a, out, batch, i),
                     p->in[1].real + batch_place(&b, out, batch, i),
                     p->out.real + i * rows * columns, rows, inner, columns, inner, 1, columns, 1 },
            1);
}

int gemm_infer(struct reading *r)
{
    const struct shape *a = shape_of(r, 0), *b = shape_of(r, 1);
    const int ta = attribute_int(r, "transA", 0) != 0, tb = attribute_int(r, "transB", 0) != 0;
    struct settings *s = &r->node.settings;
    s->mode = ta;
    s->keep = tb;
    s->alpha = attribute_float(r, "alpha", 1);
    s->beta = attribute_float(r, "beta", 1);
    if (a->rank != 2 || b->rank != 2 || a->dims[!ta] != b->dims[tb] || a->type != REAL ||
        b->type != REAL)
        return refuse(r, "has inputs of sizes that do not match");
    r->out = (struct shape) { REAL, 2, { a->dims[ta], b->dims[!tb] } };
    const struct shape *c = input(r, 2) ? shape_of(r, 2) : NULL;
    for (int i = 1; c && i <= c->rank; i++)
        if (c->rank > 2 ||
            (c->dims[c->rank - i] != 1 && c->dims[c->rank - i] != r->out.dims[2 - i]))
            return refuse(r, "has an input 2 that does not broadcast");
    return 0;
}

void gemm_compute(const struct plain *p)
{
    const struct settings *s = &p->node->settings;
    const struct shape *c = &p->in[2].shape;
    const size_t rows = p->out.shape.dims[0], columns = p->out.shape.dims[1];
    const size_t width_a = p->in[0].shape.dims[1], width_b = p->in[1].shape.dims[1];
    const int add = p->node->input_count > 2 && shape_elements(c);
    const size_t step_x = add && c->rank > 0 && c->dims[c->rank - 1] > 1;
    const size_t step_y = add && c->rank > 1 && c->dims[0] > 1 ? c->dims[1] : 0;
    for (size_t y = 0; y < rows; y++)
        for (size_t x = 0; x < columns; x++)
            p->out.real[y * columns + x] =
                add ? s->beta * p->in[2].real[y * step_y + x * step_x] : 0;
    multiply(&(struct product) { p->in[0].real, p->in[1].real, p->out.real, rows,
                 p->in[0].shape.dims[!s->mode], columns, s->mode ? 1 : width_a,
                 s->mode ? width_a : 1, s->keep ? 1 : width_b, s->keep ? width_b : 1 },
        s->alpha);
}
