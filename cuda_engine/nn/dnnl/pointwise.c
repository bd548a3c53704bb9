/*
 * Programs of element-wise instructions, run over tiles that stay in the first-level cache: an operand that has gaps or
 * repeats is gathered into a tile, each instruction is one loop over tiles, and the last one's result goes to the
 * output. So a chain of operators reads and writes main memory once.
 */
#include "vectorised.h"
#include "plan.h"

#include <math.h>
#include <string.h>

enum { TILE = 1024 }; /* floats */

static inline float at_most(float x, float high)
{
    return x < high ? x : high;
}

static inline float at_least(float x, float low)
{
    return x > low ? x : low;
}

static inline float sigmoid(float x)
{
    return 1 / (1 + exponential(-at_least(at_most(x, 80), -80)));
}

/* erf by Abramowitz and Stegun's formula 7.1.26, to 1.5e-7. */
static inline float gelu(float x)
{
    const float a = fabsf(x) * 0.707106781f, t = 1 / (1 + 0.3275911f * a);
    float p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const float tail = p * t * exponential(at_least(-a * a, -80)); /* 1 - erf(a) */
    return 0.5f * x * (x > 0 ? 2 - tail : tail);
}

#define KERNEL(name, expression)                                                       \
    VECTORISED static void name(                                                       \
        float *to, const float *xs, const float *ys, float low, float high, int count) \
    {                                                                                  \
        (void)low;                                                                     \
        (void)high;                                                                    \
        for (int i = 0; i < count; i++) {                                              \
            const float x = xs[i], y = ys[i];                                          \
            (void)y;                                                                   \
            to[i] = expression;                                                        \
        }                                                                              \
    }

KERNEL(relu, at_least(x, 0))
KERNEL(clip, at_most(at_least(x, low), high))
KERNEL(linear, x *low + high)
KERNEL(leaky, x > 0 ? x : x * low)
KERNEL(logistic, sigmoid(x))
KERNEL(tanh_, 2 * sigmoid(2 * x) - 1)
KERNEL(hardswish, x *at_most(at_least(x + 3, 0), 6) * (1.0f / 6))
KERNEL(gelu_, gelu(x))
KERNEL(add, x + y)
KERNEL(subtract, x - y)
KERNEL(multiply, x *y)
KERNEL(divide, x / y)
KERNEL(minimum, at_most(x, y))
KERNEL(maximum, at_least(x, y))

static void (*const kernels[])(float *, const float *, const float *, float, float, int) = {
    [RELU] = relu,
    [CLIP] = clip,
    [LINEAR] = linear,
    [LEAKY] = leaky,
    [SIGMOID] = logistic,
    [TANH] = tanh_,
    [HARDSWISH] = hardswish,
    [GELU] = gelu_,
    [ADD] = add,
    [SUB] = subtract,
    [MUL] = multiply,
    [DIV] = divide,
    [MIN] = minimum,
    [MAX] = maximum,
};

void pointwise_apply(
    const struct instruction *i, float *to, const float *x, const float *y, int count)
{
    kernels[i->function](to, x, y, i->low, i->high, count);
}

/* A part of the output: w pixels of one row from x, c channels from k. */
struct tile {
    int n, y, x, k, w, c;
};

static float *address(const struct view *v, const struct tile *t)
{
    return v->data + t->n * v->stride_n + t->y * v->stride_h + t->x * v->stride_w + t->k;
}

/* The operand's values for a tile: where they lie, or gathered into buffer. */
static const float *load(const struct view *v, const struct tile *t, float *buffer)
{
    const int one = v->c == 1 && t->c > 1;
    struct tile from = *t;
    if (v->c == 1)
        from.k = 0;
    const float *pixel = address(v, &from);
    if ((v->stride_w == t->c || t->w == 1) && !one)
        return pixel;
    float *to = buffer;
    for (int x = 0; x < t->w; x++, to += t->c, pixel += v->stride_w)
        for (int k = 0; k < t->c; k++)
            to[k] = pixel[one ? 0 : k];
    return buffer;
}

/* Runs the program over count values; the last result goes to out if that is not NULL. Returns the last result. */
static const float *execute(
    const struct node *n, const float *const *inputs, float (*results)[TILE], float *out, int count)
{
    for (int i = 0; i < n->program_length; i++) {
        const struct instruction *in = &n->program[i];
        const float *x = in->x < 0 ? results[~in->x] : inputs[in->x];
        const float *y = in->y < 0 ? results[~in->y] : inputs[in->y];
        float *to = out && i == n->program_length - 1 ? out : results[i];
        pointwise_apply(in, to, x, y, count);
    }
    return results[n->program_length - 1];
}

static void compute(const struct step *s, const struct tile *t)
{
    float gathered[GRAPH_INPUTS][TILE] __attribute__((aligned(64)));
    float results[GRAPH_PROGRAM][TILE] __attribute__((aligned(64)));
    const float *inputs[GRAPH_INPUTS] = { NULL };
    float *out = address(&s->out, t);

    for (int k = 0; k < s->node->input_count; k++)
        inputs[k] = load(&s->in[k], t, gathered[k]);
    if (s->out.stride_w == t->c || t->w == 1) {
        execute(s->node, inputs, results, out, t->w * t->c);
        return;
    }
    const float *from = execute(s->node, inputs, results, NULL, t->w * t->c);
    for (int x = 0; x < t->w; x++, out += s->out.stride_w, from += t->c)
        for (int k = 0; k < t->c; k++)
            out[k] = from[k];
}

static void run_pointwise(const struct step *s)
{
    const struct view *v = &s->out;
    const int wide = v->c < TILE ? TILE / v->c : 1; /* pixels a tile */
    const int columns = (v->w + wide - 1) / wide;
#pragma omp parallel for collapse(3)
    for (int n = 0; n < v->n; n++)
        for (int y = 0; y < v->h; y++)
            for (int i = 0; i < columns; i++)
                for (int k = 0; k < v->c; k += TILE) {
                    const int x = i * wide;
                    compute(s, &(struct tile) { n, y, x, k, v->w - x < wide ? v->w - x : wide,
                                   v->c - k < TILE ? v->c - k : TILE });
                }
}

/* The program, if there is one, then what needs all channels of a pixel. */
static void run_by_pixel(const struct step *s)
{
    const struct view *v = &s->out, *in = &s->in[0];
    const int wide = v->c < TILE ? TILE / v->c : 1;
    const int columns = (v->w + wide - 1) / wide;
#pragma omp parallel for collapse(3)
    for (int n = 0; n < v->n; n++)
        for (int y = 0; y < v->h; y++)
            for (int i = 0; i < columns; i++) {
                const int first = i * wide, end = v->w - first < wide ? v->w : first + wide;
                for (int k = 0; k < v->c && s->node->program_length; k += TILE)
                    compute(s, &(struct tile) { n, y, first, k, end - first,
                                   v->c - k < TILE ? v->c - k : TILE });
                const int dense =
                    v->stride_w == v->c && (s->node->program_length || in->stride_w == v->c);
                const int step = dense ? end - first : 1;
                for (int x = first; x < end; x += step) {
                    float *to = v->data + n * v->stride_n + y * v->stride_h + x * v->stride_w;
                    const float *from = to;
                    if (!s->node->program_length)
                        from = in->data + n * in->stride_n + y * in->stride_h + x * in->stride_w;
                    s->by_pixel(s, from, to, step);
                }
            }
}

/* Strides such that v is read again along the dimensions in which it has one and out more; and where out has one too,
   any stride does: that which lets rows be joined. */
static void broadcast(struct view *v, const struct view *out)
{
    if (v->w < out->w)
        v->stride_w = 0;
    if (v->h < out->h)
        v->stride_h = 0;
    if (out->h == 1)
        v->stride_h = out->w * v->stride_w;
    if (v->n < out->n)
        v->stride_n = 0;
    if (out->n == 1)
        v->stride_n = out->h * v->stride_h;
}

/* Rows become one long row where all views allow it, so that tiles are as large as can be. */
static void join_rows(struct view *views, int count, struct view *out)
{
    int rows = out->stride_h == out->w * out->stride_w;
    int images = out->stride_n == out->h * out->stride_h;
    for (int k = 0; k < count; k++) {
        rows &= views[k].stride_h == out->w * views[k].stride_w;
        images &= views[k].stride_n == out->h * views[k].stride_h;
    }
    if (images) {
        out->h *= out->n;
        out->n = 1;
    }
    if (rows) {
        out->w *= out->h;
        out->h = 1;
    }
}

int pointwise_prepare(struct plan *p, struct step *s, struct error *e)
{
    (void)p;
    (void)e;
    for (int k = 0; k < s->node->input_count; k++)
        broadcast(&s->in[k], &s->out);
    broadcast(&s->out, &s->out);
    join_rows(s->in, s->node->input_count, &s->out);
    s->run = s->by_pixel ? run_by_pixel : run_pointwise;
    return 0;
}
