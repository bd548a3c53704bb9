/*
 * Operators that compute each element from the elements at the same place, inputs being repeated to the output's size.
 */
#include "plain.h"

#include <math.h>
#include <string.h>

/* What is no smaller does not fit into 64 bits. */
#define INTEGER_LIMIT 9223372036854775808.0f

static int is_logical(int function)
{
    return function == IS_INF || function == IS_NAN || function == NOT;
}

int unary_infer(struct reading *r)
{
    static const struct {
        float alpha, beta;
    } defaults[] = {
        [CELU] = { 1, 0 },
        [ELU] = { 1, 0 },
        [HARD_SIGMOID] = { 0.2f, 0.5f },
        [LEAKY_RELU] = { 0.01f, 0 },
        [SELU] = { 1.67326319217681884765625f, 1.05070102214813232421875f },
        [SHRINK] = { 0.5f, 0 },
        [THRESHOLDED_RELU] = { 1, 0 },
    };
    struct settings *s = &r->node.settings;
    const int f = s->mode = r->op->function;
    r->out = *shape_of(r, 0);
    if (is_logical(f))
        r->out.type = LOGICAL;
    if (f == IS_INF) {
        s->alpha = (float)attribute_int(r, "detect_positive", 1);
        s->beta = (float)attribute_int(r, "detect_negative", 1);
    } else if (f <= THRESHOLDED_RELU && (size_t)f < sizeof defaults / sizeof *defaults) {
        s->alpha = attribute_float(r, f == SHRINK ? "lambd" : "alpha", defaults[f].alpha);
        s->beta = attribute_float(r,
            f == SELU     ? "gamma"
            : f == SHRINK ? "bias"
                          : "beta",
            defaults[f].beta);
    }
    return 0;
}

static inline float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

static inline float sign(float x)
{
    return (float)(x > 0) - (float)(x < 0);
}

/* Function f of x; a constant f leaves one case of it. */
static inline float unary(int f, float x, float a, float b)
{
    switch (f) {
    case ABS: return fabsf(x);
    case ACOS: return acosf(x);
    case ACOSH: return acoshf(x);
    case ASIN: return asinf(x);
    case ASINH: return asinhf(x);
    case ATAN: return atanf(x);
    case ATANH: return atanhf(x);
    case CEIL: return ceilf(x);
    case CELU: return x > 0 ? x : a * expm1f(x / a);
    case COS: return cosf(x);
    case COSH: return coshf(x);
    case ELU: return x > 0 ? x : a * expm1f(x);
    case ERF: return erff(x);
    case EXP: return expf(x);
    case FLOOR: return floorf(x);
    case HARD_SIGMOID: return fminf(fmaxf(a * x + b, 0), 1);
    case HARD_SWISH: return x * fminf(fmaxf(x + 3, 0), 6) / 6;
    case IS_INF: return (float)((a != 0 && x == INFINITY) || (b != 0 && x == -INFINITY));
    case IS_NAN: return (float)(x != x);
    case LEAKY_RELU: return x > 0 ? x : a * x;
    case LOG: return logf(x);
    case NEG: return -x;
    case RECIPROCAL: return 1 / x;
    case RELU_: return x > 0 ? x : 0;
    case ROUND: return rintf(x); /* to even */
    case SELU: return b * (x > 0 ? x : a * expm1f(x));
    case SHRINK: return x < -a ? x + b : x > a ? x - b : 0;
    case LOGISTIC: return sigmoid(x);
    case SIGN: return sign(x);
    case SIN: return sinf(x);
    case SINH: return sinhf(x);
    case SOFTPLUS: return x > 20 ? x : log1pf(expf(x));
    case SOFTSIGN: return x / (1 + fabsf(x));
    case SQRT: return sqrtf(x);
    case TAN: return tanf(x);
    case TANH_: return tanhf(x);
    default: return x > a ? x : 0; /* THRESHOLDED_RELU */
    }
}

static inline int64_t unary_integer(int f, int64_t x)
{
    switch (f) {
    case ABS: return x < 0 ? (int64_t)(0 - (uint64_t)x) : x;
    case NEG: return (int64_t)(0 - (uint64_t)x);
    case RELU_: return x > 0 ? x : 0;
    case SIGN: return (x > 0) - (x < 0);
    case NOT: return !x;
    default: return x;
    }
}

void unary_compute(const struct plain *p)
{
    const struct settings *s = &p->node->settings;
    const ptrdiff_t count = (ptrdiff_t)shape_elements(&p->out.shape);
    const float *x = p->in[0].real;
    if (p->in[0].shape.type != REAL) {
        for (ptrdiff_t i = 0; i < count; i++)
            p->out.integer[i] = unary_integer(s->mode, p->in[0].integer[i]);
        return;
    }
    if (p->out.shape.type != REAL) {
        for (ptrdiff_t i = 0; i < count; i++)
            p->out.integer[i] = unary(s->mode, x[i], s->alpha, s->beta) != 0;
        return;
    }
#pragma omp parallel for
    for (ptrdiff_t i = 0; i < count; i++)
        p->out.real[i] = unary(s->mode, x[i], s->alpha, s->beta);
}

/* The steps through an input that is repeated to the size of out; 0 where it is repeated. */
static void broadcast_steps(const struct shape *in, const struct shape *out, ptrdiff_t *steps)
{
    ptrdiff_t step = 1;
    for (int i = 1; i <= out->rank; i++) {
        const int size = i <= in->rank ? in->dims[in->rank - i] : 1;
        steps[out->rank - i] = size == 1 ? 0 : step;
        step *= size;
    }
}

/* The place in each of count inputs of the row (all but the last dimension) that starts at element index of out. */
static void row_places(size_t index, const struct shape *out, ptrdiff_t (*steps)[GRAPH_RANK],
    int count, ptrdiff_t *places)
{
    for (int k = 0; k < count; k++)
        places[k] = 0;
    if (out->rank)
        index /= out->dims[out->rank - 1];
    for (int i = out->rank - 2; i >= 0; i--) {
        for (int k = 0; k < count; k++)
            places[k] += (ptrdiff_t)(index % out->dims[i]) * steps[k][i];
        index /= out->dims[i];
    }
}

static inline float binary(int f, float x, float y)
{
    switch (f) {
    case PLUS: return x + y;
    case MINUS: return x - y;
    case TIMES: return x * y;
    case OVER: return x / y;
    case MINIMUM: return x < y ? x : y;
    case MAXIMUM: return x > y ? x : y;
    case POWER: return y == 2 ? x * x : powf(x, y);
    case MODULO: return fmodf(x, y);
    case PRELU: return x > 0 ? x : x * y;
    case EQUAL: return (float)(x == y);
    case LESS: return (float)(x < y);
    case LESS_OR_EQUAL: return (float)(x <= y);
    case GREATER: return (float)(x > y);
    default: return (float)(x >= y); /* GREATER_OR_EQUAL */
    }
}

static inline int64_t wrap(uint64_t x)
{
    return (int64_t)x;
}

/* The remainder has the sign of y, unless it is C's. */
static int64_t modulo(int64_t x, int64_t y, int as_c)
{
    if (y == 0 || y == -1)
        return 0;
    const int64_t m = x % y;
    return !as_c && m && (m < 0) != (y < 0) ? m + y : m;
}

static inline int64_t binary_integer(int f, int64_t x, int64_t y, int keep)
{
    switch (f) {
    case PLUS: return wrap((uint64_t)x + (uint64_t)y);
    case MINUS: return wrap((uint64_t)x - (uint64_t)y);
    case TIMES: return wrap((uint64_t)x * (uint64_t)y);
    case OVER: return y == 0 ? 0 : y == -1 ? wrap(0 - (uint64_t)x) : x / y;
    case MINIMUM: return x < y ? x : y;
    case MAXIMUM: return x > y ? x : y;
    case POWER: {
        const double power = pow((double)x, (double)y);
        return fabs(power) < INTEGER_LIMIT ? (int64_t)power : INT64_MIN;
    }
    case MODULO: return modulo(x, y, keep);
    case PRELU: return x > 0 ? x : wrap((uint64_t)x * (uint64_t)y);
    case EQUAL: return x == y;
    case LESS: return x < y;
    case LESS_OR_EQUAL: return x <= y;
    case GREATER: return x > y;
    case GREATER_OR_EQUAL: return x >= y;
    case AND: return x && y;
    case OR: return x || y;
    default: return !x != !y; /* XOR */
    }
}

static int check_types(struct reading *r, int first, int count)
{
    for (int k = first + 1; k < count; k++)
        if (input(r, k) && (shape_of(r, k)->type == REAL) != (shape_of(r, first)->type == REAL))
            return refuse(r, "has inputs of different types");
    return 0;
}

int binary_infer(struct reading *r)
{
    if (infer_broadcast(r, 2))
        return -1;
    const int f = r->node.settings.mode = r->op->function;
    r->node.settings.keep = attribute_int(r, "fmod", 0) != 0;
    r->out.type = f >= EQUAL ? LOGICAL : shape_of(r, 0)->type;
    return f == POWER ? 0 : check_types(r, 0, 2);
}

/* Element i of a as REAL. */
static float real_at(const struct array *a, ptrdiff_t i)
{
    return a->shape.type == REAL ? a->real[i] : (float)a->integer[i];
}

static void binary_row(const struct plain *p, size_t start, size_t width, ptrdiff_t x, ptrdiff_t y,
    ptrdiff_t step_x, ptrdiff_t step_y)
{
    const int f = p->node->settings.mode, keep = p->node->settings.keep;
    const struct array *a = &p->in[0], *b = &p->in[1];
    const int real_in = a->shape.type == REAL, real_out = p->out.shape.type == REAL;
    if (real_in && real_out && b->shape.type == REAL)
        for (size_t i = 0; i < width; i++, x += step_x, y += step_y)
            p->out.real[start + i] = binary(f, a->real[x], b->real[y]);
    else if (a->shape.type != REAL && b->shape.type != REAL)
        for (size_t i = 0; i < width; i++, x += step_x, y += step_y)
            p->out.integer[start + i] = binary_integer(f, a->integer[x], b->integer[y], keep);
    else
        for (size_t i = 0; i < width; i++, x += step_x, y += step_y) {
            const float value = binary(f, real_at(a, x), real_at(b, y));
            if (real_out)
                p->out.real[start + i] = value;
            else
                p->out.integer[start + i] = (int64_t)value;
        }
}

void binary_compute(const struct plain *p)
{
    const struct shape *out = &p->out.shape;
    const size_t count = shape_elements(out), width = out->rank ? out->dims[out->rank - 1] : 1;
    ptrdiff_t steps[2][GRAPH_RANK] = { { 0 } };
    for (int k = 0; k < 2; k++)
        broadcast_steps(&p->in[k].shape, out, steps[k]);
    const int last = out->rank ? out->rank - 1 : 0;
#pragma omp parallel for
    for (size_t start = 0; start < count; start += width) {
        ptrdiff_t at[2];
        row_places(start, out, steps, 2, at);
        binary_row(p, start, width, at[0], at[1], steps[0][last], steps[1][last]);
    }
}

/* Min, Max, Sum, Mean of any number of inputs. */
int variadic_infer(struct reading *r)
{
    r->node.settings.mode = r->op->function;
    return infer_broadcast(r, r->input_count) || check_types(r, 0, r->input_count) ? -1 : 0;
}

void variadic_compute(const struct plain *p)
{
    const struct shape *out = &p->out.shape;
    const size_t count = shape_elements(out), width = out->rank ? out->dims[out->rank - 1] : 1;
    const int inputs = p->node->input_count, last = out->rank ? out->rank - 1 : 0;
    const int mean = p->node->settings.mode == OVER, f = mean ? PLUS : p->node->settings.mode;
    ptrdiff_t steps[GRAPH_INPUTS][GRAPH_RANK] = { { 0 } };
    for (int k = 0; k < inputs; k++)
        broadcast_steps(&p->in[k].shape, out, steps[k]);
    for (size_t start = 0; start < count; start += width) {
        ptrdiff_t at[GRAPH_INPUTS];
        row_places(start, out, steps, inputs, at);
        for (size_t i = 0; i < width; i++)
            for (int k = 0; k < inputs; k++) {
                const ptrdiff_t from = at[k] + (ptrdiff_t)i * steps[k][last];
                if (out->type == REAL) {
                    float *to = &p->out.real[start + i], x = p->in[k].real[from];
                    *to = k ? binary(f, *to, x) : x;
                    if (mean && k == inputs - 1)
                        *to /= (float)inputs;
                } else {
                    int64_t *to = &p->out.integer[start + i], x = p->in[k].integer[from];
                    *to = k ? binary_integer(f, *to, x, 0) : x;
                }
            }
    }
}

int clip_infer(struct reading *r)
{
    struct settings *s = &r->node.settings;
    r->out = *shape_of(r, 0);
    r->node.input_count = 1;
    return input_number(r, 1, -INFINITY, &s->alpha) || input_number(r, 2, INFINITY, &s->beta) ? -1
                                                                                              : 0;
}

void clip_compute(const struct plain *p)
{
    const float low = p->node->settings.alpha, high = p->node->settings.beta;
    const size_t count = shape_elements(&p->out.shape);
    for (size_t i = 0; i < count; i++)
        if (p->out.shape.type == REAL)
            p->out.real[i] = fminf(fmaxf(p->in[0].real[i], low), high);
        else {
            const int64_t x = p->in[0].integer[i];
            p->out.integer[i] = (float)x > high ? (int64_t)high : (float)x < low ? (int64_t)low : x;
        }
}

int where_infer(struct reading *r)
{
    return infer_broadcast(r, 3) || check_types(r, 1, 3) ? -1 : 0;
}

void where_compute(const struct plain *p)
{
    const struct shape *out = &p->out.shape;
    const size_t count = shape_elements(out), width = out->rank ? out->dims[out->rank - 1] : 1;
    const int last = out->rank ? out->rank - 1 : 0;
    ptrdiff_t steps[3][GRAPH_RANK] = { { 0 } };
    for (int k = 0; k < 3; k++)
        broadcast_steps(&p->in[k].shape, out, steps[k]);
    for (size_t start = 0; start < count; start += width) {
        ptrdiff_t at[3];
        row_places(start, out, steps, 3, at);
        for (ptrdiff_t i = 0; i < (ptrdiff_t)width; i++) {
            const int k = p->in[0].integer[at[0] + i * steps[0][last]] ? 1 : 2;
            const ptrdiff_t from = at[k] + i * steps[k][last];
            if (out->type == REAL)
                p->out.real[start + i] = p->in[k].real[from];
            else
                p->out.integer[start + i] = p->in[k].integer[from];
        }
    }
}

int cast_infer(struct reading *r)
{
    const int64_t to = r->input_count > 1 ? -1 : attribute_int(r, "to", 0);
    r->out = *shape_of(r, 0);
    r->node.input_count = 1;
    if (to < 0) /* CastLike */
        r->out.type = shape_of(r, 1)->type;
    else if (shape_type(to, &r->out.type))
        return refuse(r, "casts to the ONNX type %lld, which is not supported", (long long)to);
    r->same = r->out.type == shape_of(r, 0)->type;
    return 0;
}

void cast_compute(const struct plain *p)
{
    const struct array *in = &p->in[0], *out = &p->out;
    const size_t count = shape_elements(&out->shape);
    for (size_t i = 0; i < count; i++)
        if (out->shape.type == REAL)
            out->real[i] = real_at(in, (ptrdiff_t)i);
        else if (in->shape.type != REAL)
            out->integer[i] = out->shape.type == LOGICAL ? in->integer[i] != 0 : in->integer[i];
        else if (out->shape.type == LOGICAL)
            out->integer[i] = in->real[i] != 0;
        else
            out->integer[i] = fabsf(in->real[i]) < INTEGER_LIMIT ? (int64_t)in->real[i] : INT64_MIN;
}
