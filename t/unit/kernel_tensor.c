/*
 * The kernels of a network's operators against references in double precision, an element at a time, over random
 * sizes and strides. What lies between a tensor's elements must stay as it was.
 */
#include "device/cuda/kernels/copy.h"
#include "device/cuda/kernels/move.h"
#include "device/cuda/kernels/normalise.h"
#include "device/cuda/kernels/pointwise.h"
#include "device/cuda/kernels/pool.h"
#include "device/cuda/kernels/resize.h"
#include "kernel.h"
#include "nn/graph.h"

enum { GAP = 0x7bff }; /* 65504 as a half */

static size_t reach(const struct tensor16 *t)
{
    return (size_t)((t->n - 1) * t->stride_n + (t->h - 1) * t->stride_h + (t->w - 1) * t->stride_w +
                    t->c);
}

/* Gaps between pixels, rows and images, multiples of gap. */
static struct tensor16 make_tensor(int n, int h, int w, int c, int gap)
{
    struct tensor16 t = { NULL, n, h, w, c, 0, 0, 0 };
    t.stride_w = c + gap * random_below(3);
    t.stride_h = t.stride_w * w + gap * random_below(3);
    t.stride_n = t.stride_h * h + gap * random_below(3);
    t.data = malloc(reach(&t) * sizeof *t.data);
    for (size_t i = 0; i < reach(&t); i++)
        t.data[i] = GAP;
    return t;
}

static uint16_t *element(const struct tensor16 *t, int n, int y, int x, int c)
{
    return t->data + (ptrdiff_t)n * t->stride_n + (ptrdiff_t)y * t->stride_h +
           (ptrdiff_t)x * t->stride_w + c;
}

static double at(const struct tensor16 *t, int n, int y, int x, int c)
{
    return value_of(*element(t, n, y, x, c));
}

#define FOR_ELEMENTS(t, i0, i1, i2, i3)         \
    for (int i0 = 0; i0 < (t)->n; i0++)         \
        for (int i1 = 0; i1 < (t)->h; i1++)     \
            for (int i2 = 0; i2 < (t)->w; i2++) \
                for (int i3 = 0; i3 < (t)->c; i3++)

static struct tensor16 random_tensor(int n, int h, int w, int c, int gap)
{
    struct tensor16 t = make_tensor(n, h, w, c, gap);
    FOR_ELEMENTS(&t, i, y, x, k)
    *element(&t, i, y, x, k) = half_of(6 * fraction() - 3);
    return t;
}

static void expect(const char *what, double got, double want, double slack)
{
    if (!(fabs(got - want) <= fabs(want) * 5.5e-4 + slack))
        fail_msg("%s: %g instead of %g", what, got, want);
}

/* Each element is as wanted, and what is between them as before. */
static void expect_gaps(const char *what, const struct tensor16 *t)
{
    size_t gaps = 0;
    for (size_t i = 0; i < reach(t); i++)
        gaps += t->data[i] == GAP;
    if (gaps + (size_t)(t->n * t->h * t->w * t->c) != reach(t))
        fail_msg("%s: wrote beside its output", what);
}

/* A multiple of four half of the time, so that both kinds of access are met. */
static int channels(int most)
{
    const int c = 1 + random_below(most);
    return random_below(2) ? (c + 3) / 4 * 4 : c;
}

/* Fours that are not aligned are met, too. */
static int gap_of(int c)
{
    return c % 4 || random_below(3) == 0 ? 1 : 4;
}

/* ---- element-wise programs ---- */

_Static_assert((int)POINTWISE_RELU == (int)RELU && (int)POINTWISE_CLIP == (int)CLIP &&
                   (int)POINTWISE_LINEAR == (int)LINEAR && (int)POINTWISE_LEAKY == (int)LEAKY &&
                   (int)POINTWISE_SIGMOID == (int)SIGMOID && (int)POINTWISE_TANH == (int)TANH &&
                   (int)POINTWISE_HARDSWISH == (int)HARDSWISH && (int)POINTWISE_GELU == (int)GELU &&
                   (int)POINTWISE_ADD == (int)ADD && (int)POINTWISE_SUB == (int)SUB &&
                   (int)POINTWISE_MUL == (int)MUL && (int)POINTWISE_DIV == (int)DIV &&
                   (int)POINTWISE_MIN == (int)MIN && (int)POINTWISE_MAX == (int)MAX,
    "a program's functions have the numbers of nn/graph.h");

static double function(int f, double x, double y, double low, double high)
{
    switch (f) {
    case POINTWISE_RELU: return fmax(x, 0);
    case POINTWISE_CLIP: return fmin(fmax(x, low), high);
    case POINTWISE_LINEAR: return x * low + high;
    case POINTWISE_LEAKY: return x > 0 ? x : low * x;
    case POINTWISE_SIGMOID: return 1 / (1 + exp(-x));
    case POINTWISE_TANH: return tanh(x);
    case POINTWISE_HARDSWISH: return x * fmin(fmax(x + 3, 0), 6) / 6;
    case POINTWISE_GELU: return x * (1 + erf(x / sqrt(2))) / 2;
    case POINTWISE_ADD: return x + y;
    case POINTWISE_SUB: return x - y;
    case POINTWISE_MUL: return x * y;
    case POINTWISE_DIV: return x / y;
    case POINTWISE_MIN: return fmin(x, y);
    default: return fmax(x, y);
    }
}

/* An input that is repeated along some dimensions. */
static struct tensor16 operand(const struct tensor16 *out, struct pointwise_input *in, int gap)
{
    const int one[4] = { random_below(3) == 0, random_below(3) == 0, random_below(3) == 0,
        random_below(3) == 0 };
    struct tensor16 t = random_tensor(one[0] ? 1 : out->n, one[1] ? 1 : out->h, one[2] ? 1 : out->w,
        one[3] ? 1 : out->c, one[3] ? 4 : gap);
    *in = (struct pointwise_input) { t.data, one[0] ? 0 : t.stride_n, one[1] ? 0 : t.stride_h,
        one[2] ? 0 : t.stride_w, !one[3] };
    return t;
}

static double evaluate(const struct pointwise_params *p, int n, int y, int x, int c)
{
    double results[POINTWISE_PROGRAM], operands[2];
    for (int i = 0; i < p->length; i++) {
        const struct pointwise_instruction *in = &p->program[i];
        for (int k = 0; k < 2; k++) {
            const int from = k ? in->y : in->x;
            const struct pointwise_input *t = &p->in[from < 0 ? 0 : from];
            operands[k] = from < 0 ? results[~from]
                                   : value_of(t->data[n * t->stride_n + y * t->stride_h +
                                                      x * t->stride_w + c * t->stride_c]);
        }
        results[i] = function(in->function, operands[0], operands[1], in->low, in->high);
    }
    return results[p->length - 1];
}

/* A chain that stays in a range in which rounding is small: every function, and operands of all kinds. */
static void make_program(struct pointwise_params *p, int inputs, int first)
{
    p->length = 1 + random_below(POINTWISE_PROGRAM);
    for (int i = 0; i < p->length; i++) {
        const int f = (first + i) % POINTWISE_FUNCTIONS;
        const int x = i && random_below(4) ? ~random_below(i) : random_below(inputs);
        const int y = f == POINTWISE_DIV     ? 0
                      : i && random_below(2) ? ~(i - 1)
                                             : random_below(inputs);
        p->program[i] = (struct pointwise_instruction) { (short)f, (short)x, (short)y,
            (float)(fraction() - .5), (float)(fraction() + .5) };
    }
}

static void programs(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        const int c = channels(40), gap = gap_of(c), inputs = 1 + random_below(4);
        struct pointwise_params p = { .out = make_tensor(1 + random_below(3), 1 + random_below(5),
                                          1 + random_below(7), c, gap) };
        struct tensor16 in[4];
        p.vector = tensor_is_vector(&p.out);
        for (int k = 0; k < inputs; k++) {
            in[k] = operand(&p.out, &p.in[k], gap);
            if (in[k].c > 1 || p.out.c == 1)
                p.vector &= tensor_is_vector(&in[k]);
        }
        FOR_ELEMENTS(&in[0], n, y, x, k) /* the only one that is divided by */
        *element(&in[0], n, y, x, k) = half_of(1 + fraction());
        make_program(&p, inputs, i);
        RUN(pointwise, &p);
        FOR_ELEMENTS(&p.out, n, y, x, k)
        {
            const double want = evaluate(&p, n, y, x, k);
            if (fabs(want) < 1000)
                expect("pointwise", at(&p.out, n, y, x, k), want, 2e-4);
        }
        expect_gaps("pointwise", &p.out);
        for (int k = 0; k < inputs; k++)
            free(in[k].data);
        free(p.out.data);
    }
}

/* The functions alone, where they are hard: far out, at their corners, and not numbers. */
static void functions(void **state)
{
    (void)state;
    static const double hard[] = { 0, -0., 1, -1, 3, -3, 6e-8, 1e-4, -1e-4, 20, -20, 88, -88, 11,
        65504, -65504, INFINITY, -INFINITY };
    enum { COUNT = sizeof hard / sizeof *hard };
    uint16_t x[COUNT], y[COUNT], out[COUNT];
    for (int f = 0; f < POINTWISE_FUNCTIONS; f++)
        for (int turn = 0; turn < COUNT; turn++) {
            for (int i = 0; i < COUNT; i++) {
                x[i] = half_of(hard[i]);
                y[i] = half_of(hard[(i + turn) % COUNT]);
            }
            struct pointwise_params p = { .out = { out, 1, 1, 1, COUNT, COUNT, COUNT, COUNT },
                .in = { { x, 0, 0, 0, 1 }, { y, 0, 0, 0, 1 } },
                .program = { { (short)f, 0, 1, -.25f, .5f } },
                .length = 1 };
            RUN(pointwise, &p);
            for (int i = 0; i < COUNT; i++) {
                double want = function(f, value_of(x[i]), value_of(y[i]), -.25, .5);
                if (fabs(want) > 65504)
                    want = copysign(INFINITY, want);
                if (value_of(out[i]) != want && !isnan(want))
                    expect("a function", value_of(out[i]), want, 1e-7);
            }
        }
}

/* ---- resize, pool ---- */

static double place(int i, double scale, double shift, int size)
{
    return clip((i + shift) * scale - shift, 0, size - 1);
}

static int nearest(int mode, double x)
{
    return (int)(mode == RESIZE_PREFER_FLOOR  ? ceil(x - .5)
                 : mode == RESIZE_PREFER_CEIL ? floor(x + .5)
                 : mode == RESIZE_FLOOR       ? floor(x)
                                              : ceil(x));
}

static void resizing(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        const int c = channels(20), n = 1 + random_below(2);
        struct resize_params p = {
            .in = random_tensor(n, 1 + random_below(12), 1 + random_below(17), c, gap_of(c)),
            .out = make_tensor(n, 1 + random_below(20), 1 + random_below(25), c, gap_of(c)),
        };
        const int corners = i % 3 == 2 && p.out.w > 1 && p.out.h > 1;
        p.mode = i % 5;
        p.shift = i % 3 ? 0 : .5f;
        p.scale_x =
            corners ? (float)(p.in.w - 1) / (float)(p.out.w - 1) : (float)p.in.w / (float)p.out.w;
        p.scale_y =
            corners ? (float)(p.in.h - 1) / (float)(p.out.h - 1) : (float)p.in.h / (float)p.out.h;
        p.vector = tensor_is_vector(&p.in) && tensor_is_vector(&p.out);
        RUN(resize, &p);
        FOR_ELEMENTS(&p.out, m, y, x, k)
        {
            const double py = place(y, p.scale_y, p.shift, p.in.h),
                         px = place(x, p.scale_x, p.shift, p.in.w);
            const int y0 = (int)py, x0 = (int)px, y1 = y0 + (y0 + 1 < p.in.h),
                      x1 = x0 + (x0 + 1 < p.in.w);
            const double fy = py - y0, fx = px - x0, whole = 1e-5;
            if (p.mode != RESIZE_LINEAR) {
                /* at a threshold a rounding error decides */
                if (nearest(p.mode, py - whole) != nearest(p.mode, py + whole) ||
                    nearest(p.mode, px - whole) != nearest(p.mode, px + whole))
                    continue;
                expect("nearest", at(&p.out, m, y, x, k),
                    at(&p.in, m, nearest(p.mode, py), nearest(p.mode, px), k), 0);
                continue;
            }
            expect("linear", at(&p.out, m, y, x, k),
                (1 - fy) * ((1 - fx) * at(&p.in, m, y0, x0, k) + fx * at(&p.in, m, y0, x1, k)) +
                    fy * ((1 - fx) * at(&p.in, m, y1, x0, k) + fx * at(&p.in, m, y1, x1, k)),
                2e-5);
        }
        expect_gaps("resize", &p.out);
        free(p.in.data);
        free(p.out.data);
    }
}

static void pooling(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        const int c = channels(20), n = 1 + random_below(2), average = i & 1;
        const int h = 3 + random_below(12), w = 3 + random_below(12);
        struct pool_params p = { .average = average };
        int size[2];
        for (int k = 0; k < 2; k++) {
            const int in = k ? w : h;
            p.kernel[k] = 1 + random_below(3);
            p.stride[k] = 1 + random_below(3);
            p.dilation[k] = 1 + random_below(2);
            p.before[k] = random_below(p.kernel[k]);
            const int span = (p.kernel[k] - 1) * p.dilation[k] + 1;
            size[k] = (in + p.before[k] - span) / p.stride[k] + 1;
            if (in + p.before[k] < span)
                size[k] = 1;
        }
        p.in = random_tensor(n, h, w, c, gap_of(c));
        p.out = make_tensor(n, size[0], size[1], c, gap_of(c));
        p.vector = tensor_is_vector(&p.in) && tensor_is_vector(&p.out);
        RUN(pool, &p);
        FOR_ELEMENTS(&p.out, m, y, x, k)
        {
            double sum = 0, largest = -INFINITY;
            int count = 0;
            for (int j = 0; j < p.kernel[0] * p.kernel[1]; j++) {
                const int v = y * p.stride[0] - p.before[0] + j / p.kernel[1] * p.dilation[0];
                const int u = x * p.stride[1] - p.before[1] + j % p.kernel[1] * p.dilation[1];
                if (v < 0 || u < 0 || v >= h || u >= w)
                    continue;
                sum += at(&p.in, m, v, u, k);
                largest = fmax(largest, at(&p.in, m, v, u, k));
                count++;
            }
            expect("pool", at(&p.out, m, y, x, k), average ? sum / count : largest, 1e-6);
        }
        expect_gaps("pool", &p.out);
        free(p.in.data);
        free(p.out.data);
    }
}

/* ---- copies ---- */

static void copies(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        const int c = channels(12), d = channels(12), gap = gap_of(c | d);
        struct copy_params p = {
            .in = random_tensor(
                1 + random_below(3), 1 + random_below(6), 1 + random_below(6), c, gap),
            .out =
                make_tensor(1 + random_below(3), 1 + random_below(6), 1 + random_below(6), d, gap),
            .offset = { random_below(3) - 1, random_below(5) - 2, random_below(5) - 2,
                (random_below(5) - 2) * gap },
            .fill = -.75f,
        };
        p.vector = tensor_is_vector(&p.in) && tensor_is_vector(&p.out) && p.offset[3] % 4 == 0;
        RUN(copy, &p);
        FOR_ELEMENTS(&p.out, n, y, x, k)
        {
            const int m = n - p.offset[0], v = y - p.offset[1], u = x - p.offset[2],
                      j = k - p.offset[3];
            const int in = m >= 0 && v >= 0 && u >= 0 && j >= 0 && m < p.in.n && v < p.in.h &&
                           u < p.in.w && j < p.in.c;
            expect("copy", at(&p.out, n, y, x, k), in ? at(&p.in, m, v, u, j) : -.75, 0);
        }
        expect_gaps("copy", &p.out);
        free(p.in.data);
        free(p.out.data);
    }
}

static void orders(void **state)
{
    (void)state;
    for (int i = 0; i < 12; i++) {
        const int n = 1 + random_below(3), c = 1 + random_below(9), w = 1 + random_below(600);
        const size_t count = (size_t)(n * c * w);
        float *in = malloc(count * sizeof *in), *back = malloc(count * sizeof *back);
        for (size_t k = 0; k < count; k++)
            in[k] = (float)(2 * fraction() - 1);
        struct tensor16 t = make_tensor(n, 1, w, c, 1);
        struct to_halves_params there = { in, t.data, n, c, w, t.stride_n, t.stride_w };
        struct to_floats_params here = { t.data, back, n, c, w, t.stride_n, t.stride_w };
        RUN(to_halves, &there);
        RUN(to_floats, &here);
        FOR_ELEMENTS(&t, m, y, x, k)
        {
            const size_t from = (size_t)((m * c + k) * w + x);
            expect("to_halves", at(&t, m, y, x, k), in[from], 3e-8);
            expect("to_floats", back[from], at(&t, m, y, x, k), 0);
        }
        expect_gaps("to_halves", &t);
        free(in);
        free(back);
        free(t.data);
    }
}

/* A box of a tensor to a tensor of its own order of dimensions, both with gaps; a dimension may be repeated. */
static void moves(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        const int gap = i % 2 ? 8 : 1, rank = 1 + random_below(6), keeps = random_below(3);
        struct move_params p = { .rank = rank };
        int order[MOVE_RANK], size = 1, from = gap, to = gap, count = 1;
        for (int k = 0; k < rank; k++) {
            p.dims[k] = k + 1 < rank ? 1 + random_below(4) : gap * (1 + random_below(3));
            count *= p.dims[k];
            order[k] = k;
        }
        for (int k = 0; k + !!keeps < rank; k++) { /* the last often stays the last */
            const int other = k + random_below(rank - !!keeps - k), swap = order[k];
            order[k] = order[other];
            order[other] = swap;
        }
        for (int k = rank - 1, step = 1, out = 1; k >= 0; k--) {
            const int repeats = k + 1 < rank && random_below(6) == 0;
            p.to[k] = out;
            to += out * (p.dims[k] - 1);
            out = (out * p.dims[k] + gap * random_below(2) + gap - 1) / gap * gap;
            p.from[order[k]] = repeats ? 0 : step;
            from += p.from[order[k]] * (p.dims[order[k]] - 1);
            step = (step * p.dims[order[k]] + gap * random_below(2) + gap - 1) / gap * gap;
            size = step;
        }
        uint16_t *in = random_halves((size_t)size, -3, 3), *out = malloc((size_t)to * sizeof *out);
        for (int k = 0; k < to; k++)
            out[k] = GAP;
        p.in = in;
        p.out = out;
        p.vector = move_is_vector(&p);
        RUN(move, &p);
        for (int k = 0; k < count; k++) {
            int place = 0, source = 0;
            for (int d = rank - 1, rest = k; d >= 0; rest /= p.dims[d--]) {
                place += rest % p.dims[d] * p.to[d];
                source += rest % p.dims[d] * p.from[d];
            }
            assert_int_equal(out[place], in[source]);
            out[place] = GAP;
        }
        for (int k = 0; k < to; k++)
            assert_int_equal(out[k], GAP);
        free(in);
        free(out);
    }
}

/* ---- normalisation ---- */

static void softmaxes(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct softmax_params p = { NULL, NULL, 1 + random_below(20),
            1 + random_below(i & 1 ? 200 : 20), i % 3 ? 1 : 1 + random_below(40) };
        const size_t count = (size_t)(p.before * p.size * p.after);
        uint16_t *in = random_halves(count, -9, 9), *out = malloc(count * sizeof *out);
        p.in = in;
        p.out = out;
        RUN(softmax, &p);
        for (int s = 0; s < p.before * p.after; s++) {
            const size_t first = (size_t)(s / p.after * p.size * p.after + s % p.after);
            double sum = 0;
            for (int k = 0; k < p.size; k++)
                sum += exp(value_of(in[first + (size_t)(k * p.after)]));
            for (int k = 0; k < p.size; k++) {
                const size_t j = first + (size_t)(k * p.after);
                expect("softmax", value_of(out[j]), exp(value_of(in[j])) / sum, 4e-8);
            }
        }
        free(in);
        free(out);
    }
}

static float *random_floats(int count)
{
    float *f = malloc((size_t)count * sizeof *f);
    for (int i = 0; i < count; i++)
        f[i] = (float)(2 * fraction() - 1);
    return f;
}

static void layers(void **state)
{
    (void)state;
    for (int i = 0; i < 16; i++) {
        const int rows = 1 + random_below(30), size = 2 + random_below(i & 1 ? 300 : 30);
        /* a large mean, which must not swallow the variance */
        uint16_t *x = random_halves((size_t)(rows * size), i & 2 ? 100 : -3, i & 2 ? 104 : 3);
        float *scale = random_floats(size), *bias = i % 3 ? random_floats(size) : NULL;
        uint16_t *in = malloc((size_t)(rows * size) * sizeof *in);
        memcpy(in, x, (size_t)(rows * size) * sizeof *in);
        struct layer_params p = { x, x, scale, bias, rows, size, 1e-5f };
        RUN(layer, &p);
        for (int r = 0; r < rows; r++) {
            double mean = 0, squares = 0;
            for (int k = 0; k < size; k++)
                mean += value_of(in[r * size + k]) / (double)size;
            for (int k = 0; k < size; k++)
                squares += pow(value_of(in[r * size + k]) - mean, 2) / size;
            for (int k = 0; k < size; k++)
                expect("layer", value_of(x[r * size + k]),
                    (value_of(in[r * size + k]) - mean) / sqrt(squares + 1e-5) * scale[k] +
                        (bias ? bias[k] : 0),
                    1e-4);
        }
        free(x);
        free(in);
        free(scale);
        free(bias);
    }
}

static void pictures(void **state)
{
    (void)state;
    for (int i = 0; i < 16; i++) {
        const int n = 1 + random_below(2), h = 1 + random_below(20), w = 1 + random_below(20);
        const int c = 1 + random_below(70), pixels = h * w;
        struct tensor16 in = make_tensor(n, 1, pixels, c, 1), out = make_tensor(n, 1, pixels, c, 1);
        FOR_ELEMENTS(&in, m, y, x, k)
        *element(&in, m, y, x, k) = half_of((i & 1 ? 50 : 0) + 2 * fraction() - 1);
        const int splits = 1 + random_below(pixels < NORMALISE_SPLITS ? pixels : NORMALISE_SPLITS);
        float *partial = malloc((size_t)(2 * n * splits * c) * sizeof *partial);
        float *scale = random_floats(c), *bias = random_floats(c);
        uint16_t *means = malloc((size_t)(n * c) * sizeof *means);
        struct moments_params p = { in, partial, splits };
        struct instance_params q = { in, out, partial, scale, bias, splits, 1e-5f };
        struct average_params r = { partial, means, n, c, pixels, splits };
        RUN(moments, &p);
        RUN(instance, &q);
        RUN(average, &r);
        for (int m = 0; m < n; m++)
            for (int k = 0; k < c; k++) {
                double mean = 0, squares = 0;
                for (int x = 0; x < pixels; x++)
                    mean += at(&in, m, 0, x, k) / pixels;
                for (int x = 0; x < pixels; x++)
                    squares += pow(at(&in, m, 0, x, k) - mean, 2) / pixels;
                expect("average", value_of(means[m * c + k]), mean, 1e-6);
                for (int x = 0; x < pixels; x++)
                    expect("instance", at(&out, m, 0, x, k),
                        (at(&in, m, 0, x, k) - mean) / sqrt(squares + 1e-5) * scale[k] + bias[k],
                        i & 1 ? 1e-3 : 2e-4);
            }
        expect_gaps("instance", &out);
        free(in.data);
        free(out.data);
        free(partial);
        free(scale);
        free(bias);
        free(means);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs),
        cmocka_unit_test(functions),
        cmocka_unit_test(resizing),
        cmocka_unit_test(pooling),
        cmocka_unit_test(copies),
        cmocka_unit_test(orders),
        cmocka_unit_test(moves),
        cmocka_unit_test(softmaxes),
        cmocka_unit_test(layers),
        cmocka_unit_test(pictures),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, load_kernels, NULL);
}
