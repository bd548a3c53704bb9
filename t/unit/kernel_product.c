/*
 * Products of matrices, and attention, against references in double precision, over random sizes, strides and programs. What
 * lies between the rows of the output must stay as it was.
 */
#include "device/cuda/kernels/attention.h"
#include "device/cuda/kernels/product.h"
#include "kernel.h"

enum { GAP = 0x7bff }; /* 65504 as a half */

/* How many of what there are. */
struct many {
    int batches, heads, rows, columns;
};

static size_t reach(const struct matrix16 *m, struct many n)
{
    return (size_t)((n.batches - 1) * m->stride_batch + (n.heads - 1) * m->stride_head +
                    (n.rows - 1) * m->stride_row + n.columns);
}

static int padded(int count, int to)
{
    return (count + to - 1) / to * to;
}

/* Gaps between rows, matrices and batches of multiples of gap. Half of the time heads are beside each other, as networks have it. */
static struct matrix16 make_matrix(struct many n, int gap)
{
    struct matrix16 m = { 0 };
    if (random_below(2)) {
        m.stride_head = padded(n.columns, gap) + gap * random_below(2);
        m.stride_row = m.stride_head * n.heads + gap * random_below(3);
        m.stride_batch = m.stride_row * n.rows + gap * random_below(3);
    } else {
        m.stride_row = padded(n.columns, gap) + gap * random_below(3);
        m.stride_head = m.stride_row * n.rows + gap * random_below(3);
        m.stride_batch = m.stride_head * n.heads + gap * random_below(3);
    }
    m.data = malloc(reach(&m, n) * sizeof *m.data);
    for (size_t i = 0; i < reach(&m, n); i++)
        m.data[i] = GAP;
    m.vector = matrix_is_vector(&m);
    return m;
}

static uint16_t *element(const struct matrix16 *m, int batch, int head, int row, int column)
{
    return m->data + (ptrdiff_t)batch * m->stride_batch + (ptrdiff_t)head * m->stride_head +
           (ptrdiff_t)row * m->stride_row + column;
}

static double at(const struct matrix16 *m, int batch, int head, int row, int column)
{
    return value_of(*element(m, batch, head, row, column));
}

#define FOR_ELEMENTS(n, b, h, y, x)            \
    for (int b = 0; b < (n).batches; b++)      \
        for (int h = 0; h < (n).heads; h++)    \
            for (int y = 0; y < (n).rows; y++) \
                for (int x = 0; x < (n).columns; x++)

static struct matrix16 random_matrix(struct many n, int gap, double size)
{
    struct matrix16 m = make_matrix(n, gap);
    FOR_ELEMENTS(n, b, h, y, x)
    *element(&m, b, h, y, x) = half_of(size * (2 * fraction() - 1));
    return m;
}

static void expect_gaps(const char *what, const struct matrix16 *m, struct many n)
{
    size_t gaps = 0;
    for (size_t i = 0; i < reach(m, n); i++)
        gaps += m->data[i] == GAP;
    if (gaps + (size_t)(n.batches * n.heads * n.rows * n.columns) != reach(m, n))
        fail_msg("%s: wrote beside its output", what);
}

static int one_of(const int *sizes, int count, int most)
{
    return random_below(2) ? sizes[random_below(count)] : 1 + random_below(most);
}

static double function(int f, double x, double y, double low, double high)
{
    switch (f) {
    case POINTWISE_RELU: return fmax(x, 0);
    case POINTWISE_LINEAR: return x * low + high;
    case POINTWISE_GELU: return x * (1 + erf(x / sqrt(2))) / 2;
    case POINTWISE_ADD: return x + y;
    default: return x * y;
    }
}

/* A row or all, of out's size; out itself, where it is not yet read, as the last. */
static struct matrix16 make_operand(struct many n, int gap)
{
    const int row = random_below(2);
    if (!row)
        return random_matrix(n, gap, 3);
    n.batches = n.heads = n.rows = 1;
    struct matrix16 m = random_matrix(n, gap, 3);
    m.stride_batch = m.stride_head = m.stride_row = 0;
    m.vector = matrix_is_vector(&m);
    return m;
}

static void check_product(const struct product_params *p, struct many n, const struct matrix16 *old)
{
    FOR_ELEMENTS(n, b, h, y, x)
    {
        double want = 0, sizes = 0;
        for (int k = 0; k < p->depth; k++) {
            const double term =
                at(&p->a, b, h, y, k) * (p->turned ? at(&p->b, b, h, x, k) : at(&p->b, b, h, k, x));
            want += term;
            sizes += fabs(term);
        }
        for (int i = 0; i < p->length; i++) {
            const struct pointwise_instruction *in = &p->program[i];
            const struct matrix16 *m = &p->operands[in->y];
            want = function(in->function, want,
                in->function < POINTWISE_ADD ? 0 : at(m->data == p->out.data ? old : m, b, h, y, x),
                in->low, in->high);
        }
        const double got = at(&p->out, b, h, y, x);
        if (!(fabs(got - want) <= fabs(want) * 5.5e-4 + sizes * 1e-5 + 1e-6))
            fail_msg("%d x %d x %d%s: (%d, %d) is %g instead of %g", p->rows, p->depth, p->columns,
                p->turned ? " turned" : "", y, x, got, want);
    }
}

static void products(void **state)
{
    static const int rows[] = { 1, 4, 7, 49, 64, 130 }, columns[] = { 4, 7, 32, 64, 96, 160 },
                     depths[] = { 2, 16, 31, 32, 33, 64, 128 };
    static const int functions[] = { POINTWISE_RELU, POINTWISE_LINEAR, POINTWISE_GELU,
        POINTWISE_ADD, POINTWISE_MUL };
    (void)state;
    for (int i = 0; i < 60; i++) {
        const int gap = random_below(3) ? 8 : 1, depth = one_of(depths, 7, 100);
        const struct many n = { 1 + random_below(3), 1 + random_below(3), one_of(rows, 6, 100),
            one_of(columns, 6, 150) };
        struct product_params p = { .rows = n.rows,
            .columns = n.columns,
            .depth = depth,
            .batches = n.batches,
            .heads = n.heads,
            .turned = i & 1 };
        struct many left = n, right = n;
        left.columns = right.rows = depth;
        if (p.turned)
            right = (struct many) { n.batches, n.heads, n.columns, depth };
        p.a = random_matrix(left, gap, 1);
        p.b = random_matrix(right, random_below(3) ? gap : 1, 1);
        p.out = make_matrix(n, gap);
        struct matrix16 old = p.out;
        p.length = random_below(PRODUCT_PROGRAM + 1);
        for (int k = 0; k < p.length; k++) {
            p.program[k] = (struct pointwise_instruction) { (short)functions[random_below(5)], 0,
                (short)k, (float)(fraction() - .5), (float)(fraction() + .5) };
            p.operands[k] = make_operand(n, gap);
        }
        if (p.length && random_below(3) == 0) { /* in place */
            p.program[p.length - 1].function = POINTWISE_ADD;
            free(p.operands[p.length - 1].data);
            FOR_ELEMENTS(n, b, h, y, x)
            *element(&p.out, b, h, y, x) = half_of(fraction());
            p.operands[p.length - 1] = p.out;
            old.data = malloc(reach(&p.out, n) * sizeof *old.data);
            memcpy(old.data, p.out.data, reach(&p.out, n) * sizeof *old.data);
        }
        RUN(product, &p);
        check_product(&p, n, &old);
        expect_gaps("product", &p.out, n);
        for (int k = 0; k < p.length; k++)
            if (p.operands[k].data != p.out.data)
                free(p.operands[k].data);
        if (old.data != p.out.data)
            free(old.data);
        free(p.a.data);
        free(p.b.data);
        free(p.out.data);
    }
}

/* One matrix for all: strides of 0. */
static void repeats(void **state)
{
    (void)state;
    const struct many n = { 3, 2, 20, 24 }, one = { 1, 1, 40, 24 };
    struct product_params p = { .rows = 20, .columns = 24, .depth = 40, .batches = 3, .heads = 2 };
    p.a = random_matrix((struct many) { 3, 2, 20, 40 }, 8, 1);
    p.b = random_matrix(one, 8, 1);
    p.b.stride_batch = p.b.stride_head = 0;
    p.out = make_matrix(n, 8);
    RUN(product, &p);
    check_product(&p, n, NULL);
    free(p.a.data);
    free(p.b.data);
    free(p.out.data);
}

/* ---- attention ---- */

enum { KEYS_MOST = 210 };

static void attend(const struct attention_params *p, int b, int h, int query, double *out)
{
    double weights[KEYS_MOST], most = -INFINITY, sum = 0;
    for (int key = 0; key < p->key_count; key++) {
        double score = 0;
        for (int k = 0; k < p->depth; k++)
            score += at(&p->queries, b, h, query, k) * at(&p->keys, b, h, key, k);
        weights[key] = score * p->scale + (p->bias.data ? at(&p->bias, b, h, query, key) : 0);
        most = fmax(most, weights[key]);
    }
    for (int key = 0; key < p->key_count; key++)
        sum += weights[key] = exp(weights[key] - most);
    for (int k = 0; k < p->depth; k++) {
        out[k] = 0;
        for (int key = 0; key < p->key_count; key++)
            out[k] += weights[key] / sum * at(&p->values, b, h, key, k);
    }
}

/* masked: a bias forbids all but the last key, and so whole tiles of those before. */
static void check_attention(int i, int depth, int masked)
{
    static const int sizes[] = { 1, 7, 31, 32, 33, 49, 64, 65, 196 };
    const int queries = one_of(sizes, 9, KEYS_MOST), keys = one_of(sizes, 9, KEYS_MOST);
    const struct many of_queries = { 1 + random_below(2), 1 + random_below(3), queries, depth };
    struct many of_keys = of_queries, of_bias = of_queries;
    of_keys.rows = of_bias.columns = keys;
    of_bias.batches = 1;
    struct attention_params p = { .query_count = queries,
        .key_count = keys,
        .depth = depth,
        .batches = of_queries.batches,
        .heads = of_queries.heads,
        .scale = (float)(masked ? 1 : 4 * fraction()) };
    p.queries = random_matrix(of_queries, 8, 2);
    p.keys = random_matrix(of_keys, 8, 2);
    p.values = random_matrix(of_keys, 8, 4);
    p.out = make_matrix(of_queries, 8);
    if (i % 2 || masked) {
        p.bias = random_matrix(of_bias, random_below(2) ? 8 : 1, 5);
        p.bias.stride_batch = 0;
    }
    FOR_ELEMENTS(of_bias, b, h, y, x)
    if (masked && x + 1 < keys)
        *element(&p.bias, b, h, y, x) = half_of(-INFINITY);
    RUN(attention, &p);
    for (int b = 0; b < p.batches; b++)
        for (int h = 0; h < p.heads; h++)
            for (int y = 0; y < queries; y++) {
                double want[32];
                attend(&p, b, h, y, want);
                for (int x = 0; x < depth; x++)
                    /* weights are halves: each of the values may be off by a part of it */
                    if (!(fabs(at(&p.out, b, h, y, x) - want[x]) <= 4 * 1.2e-3))
                        fail_msg("%d queries, %d keys, depth %d: (%d, %d) is %g instead of %g",
                            queries, keys, depth, y, x, at(&p.out, b, h, y, x), want[x]);
            }
    expect_gaps("attention", &p.out, of_queries);
    free(p.queries.data);
    free(p.keys.data);
    free(p.values.data);
    free(p.out.data);
    free(p.bias.data);
}

static void attentions(void **state)
{
    (void)state;
    for (int i = 0; i < 24; i++)
        check_attention(i, i % 3 ? 32 : 16, i % 8 == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),
        cmocka_unit_test(repeats),
        cmocka_unit_test(attentions),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, load_kernels, NULL);
}
