/*
 * Operators that make one element of many: over any set of axes, or along one.
 */
#include "plain.h"

#include <math.h>

void reduce_walk(struct settings *s, const struct shape *in, const char *reduced)
{
    ptrdiff_t step[GRAPH_RANK], next = 1;
    s->copy = (struct copy) { .rank = 0 };
    s->count = 1;
    for (int i = in->rank - 1; i >= 0; i--) {
        step[i] = next;
        next *= in->dims[i];
    }
    for (int last = 0; last < 2; last++)
        for (int i = 0; i < in->rank; i++) {
            if (reduced[i] != last)
                continue;
            s->copy.dims[s->copy.rank] = in->dims[i];
            s->copy.step[s->copy.rank++] = step[i];
            if (last)
                s->count *= in->dims[i];
        }
}

int reduce_infer(struct reading *r)
{
    const struct shape *in = shape_of(r, 0);
    struct settings *s = &r->node.settings;
    const int64_t *axes;
    int count, keep = (int)attribute_int(r, "keepdims", 1);
    char reduced[GRAPH_RANK] = { 0 };
    if (input_or_attribute(r, 1, "axes", &axes, &count))
        return -1;
    for (int i = 0; i < count; i++) {
        int axis;
        if (check_axis(r, axes[i], in->rank, &axis))
            return -1;
        reduced[axis] = 1;
    }
    const int all = !count && !attribute_int(r, "noop_with_empty_axes", 0);
    s->mode = r->op->function;
    r->node.input_count = 1;
    r->out = (struct shape) { in->type, 0, { 0 } };
    for (int i = 0; i < in->rank; i++) {
        reduced[i] |= (char)all;
        if (!reduced[i] || keep)
            r->out.dims[r->out.rank++] = reduced[i] ? 1 : in->dims[i];
    }
    reduce_walk(s, in, reduced);
    return 0;
}

/* Where element index of the walk lies in the input. */
static size_t walk(const struct settings *s, size_t index)
{
    ptrdiff_t at = 0;
    for (int i = s->copy.rank - 1; i >= 0; i--) {
        at += (ptrdiff_t)(index % s->copy.dims[i]) * s->copy.step[i];
        index /= s->copy.dims[i];
    }
    return at;
}

static double accumulate(int mode, double sum, double x)
{
    switch (mode) {
    case LARGEST: return x > sum ? x : sum;
    case SMALLEST: return x < sum ? x : sum;
    case PRODUCT_: return sum * x;
    case L1: return sum + fabs(x);
    case L2:
    case SUM_SQUARE: return sum + x * x;
    default: return sum + x; /* SUM, MEAN, LOG_SUM; LOG_SUM_EXP gives exponentials */
    }
}

static double reduce_real(const struct plain *p, size_t start)
{
    const struct settings *s = &p->node->settings;
    const float *in = p->in[0].real;
    const double first = s->count ? in[walk(s, start)] : 0;
    const int extreme = s->mode == LARGEST || s->mode == SMALLEST;
    double largest = first, sum = extreme ? first : s->mode == PRODUCT_;
    if (s->mode == LOG_SUM_EXP)
        for (int i = 0; i < s->count; i++)
            largest = fmax(largest, in[walk(s, start + i)]);
    for (int i = 0; i < s->count; i++) {
        const double x = in[walk(s, start + i)];
        sum = accumulate(s->mode, sum, s->mode == LOG_SUM_EXP ? exp(x - largest) : x);
    }
    switch (s->mode) {
    case MEAN: return sum / s->count;
    case L2: return sqrt(sum);
    case LOG_SUM: return log(sum);
    case LOG_SUM_EXP: return largest + log(sum);
    default: return sum;
    }
}

static int64_t reduce_integer(const struct plain *p, size_t start)
{
    const struct settings *s = &p->node->settings;
    int64_t sum = s->mode == PRODUCT_;
    for (int i = 0; i < s->count; i++) {
        const int64_t x = p->in[0].integer[walk(s, start + i)];
        switch (s->mode) {
        case LARGEST: sum = !i || x > sum ? x : sum; break;
        case SMALLEST: sum = !i || x < sum ? x : sum; break;
        case PRODUCT_: sum = (int64_t)((uint64_t)sum * (uint64_t)x); break;
        case L1: sum += x < 0 ? -x : x; break;
        case L2:
        case SUM_SQUARE: sum = (int64_t)((uint64_t)sum + (uint64_t)x * (uint64_t)x); break;
        default: sum = (int64_t)((uint64_t)sum + (uint64_t)x);
        }
    }
    if (s->mode == L2)
        return (int64_t)sqrt((double)sum);
    return s->mode == MEAN && s->count ? sum / s->count : sum;
}

void reduce_compute(const struct plain *p)
{
    const size_t count = shape_elements(&p->out.shape), each = p->node->settings.count;
#pragma omp parallel for
    for (size_t i = 0; i < count; i++)
        if (p->out.shape.type == REAL)
            p->out.real[i] = (float)reduce_real(p, i * each);
        else
            p->out.integer[i] = reduce_integer(p, i * each);
}

/* ArgMax and ArgMin */
int arg_infer(struct reading *r)
{
    const struct shape *in = shape_of(r, 0);
    struct settings *s = &r->node.settings;
    const int keep = (int)attribute_int(r, "keepdims", 1);
    if (attribute_axis(r, 0, in->rank, &s->axis))
        return -1;
    s->keep = (int)attribute_int(r, "select_last_index", 0);
    s->mode = r->op->function;
    r->out = (struct shape) { INTEGER, 0, { 0 } };
    for (int i = 0; i < in->rank; i++)
        if (i != s->axis || keep)
            r->out.dims[r->out.rank++] = i == s->axis ? 1 : in->dims[i];
    return 0;
}

static double value_at(const struct array *a, size_t i)
{
    return a->shape.type == REAL ? a->real[i] : (double)a->integer[i];
}

void arg_compute(const struct plain *p)
{
    const struct settings *s = &p->node->settings;
    const struct span in = span_of(&p->in[0].shape, s->axis);
    for (size_t i = 0; i < in.before * in.after; i++) {
        const size_t start = i / in.after * in.size * in.after + i % in.after;
        size_t best = 0;
        for (size_t k = 1; k < in.size; k++) {
            const double x = value_at(&p->in[0], start + k * in.after);
            const double y = value_at(&p->in[0], start + best * in.after);
            if (s->mode ? x > y : x < y)
                best = k;
            else if (s->keep && x == y)
                best = k;
        }
        p->out.integer[i] = (int64_t)best;
    }
}

int cumulate_infer(struct reading *r)
{
    float axis;
    r->out = *shape_of(r, 0);
    r->node.input_count = 1;
    r->node.settings.keep = (int)attribute_int(r, "exclusive", 0);
    r->node.settings.mode = (int)attribute_int(r, "reverse", 0);
    return input_number(r, 1, 0, &axis) ||
           check_axis(r, (int64_t)axis, r->out.rank, &r->node.settings.axis);
}

void cumulate_compute(const struct plain *p)
{
    const struct settings *s = &p->node->settings;
    const struct span in = span_of(&p->out.shape, s->axis);
    for (size_t i = 0; i < in.before * in.after; i++) {
        double sum = 0;
        int64_t whole = 0;
        for (size_t k = 0; k < in.size; k++) {
            const size_t at = i / in.after * in.size * in.after + i % in.after +
                              (s->mode ? in.size - 1 - k : k) * in.after;
            if (p->out.shape.type == REAL) {
                const double x = p->in[0].real[at];
                p->out.real[at] = (float)(s->keep ? sum : sum + x);
                sum += x;
            } else {
                const int64_t x = p->in[0].integer[at];
                p->out.integer[at] = s->keep ? whole : whole + x;
                whole += x;
            }
        }
    }
}

/* TopK: output 0 is the values, output 1 their indices. */
int top_infer(struct reading *r)
{
    const int64_t *k = input_ints(r, 1, 1);
    struct settings *s = &r->node.settings;
    r->out = *shape_of(r, 0);
    if (!k || attribute_axis(r, -1, r->out.rank, &s->axis))
        return -1;
    if (*k < 1 || *k > r->out.dims[s->axis])
        return refuse(r, "takes %lld of %d", (long long)*k, r->out.dims[s->axis]);
    s->mode = (int)attribute_int(r, "largest", 1);
    s->count = (int)*k;
    r->out.dims[s->axis] = s->count;
    r->node.input_count = 1;
    if (s->part)
        r->out.type = INTEGER;
    return 0;
}

/* 1 if element a of the axis comes before element b: by value, then by index. */
static int comes_before(const struct plain *p, size_t start, size_t step, size_t a, size_t b)
{
    const double x = value_at(&p->in[0], start + a * step),
                 y = value_at(&p->in[0], start + b * step);
    if (x != y)
        return p->node->settings.mode ? x > y : x < y;
    return a < b;
}

void top_compute(const struct plain *p)
{
    const struct settings *s = &p->node->settings;
    const struct span in = span_of(&p->in[0].shape, s->axis);
    for (size_t i = 0; i < in.before * in.after; i++) {
        const size_t start = i / in.after * in.size * in.after + i % in.after;
        size_t last = in.size;
        for (int k = 0; k < s->count; k++) {
            size_t next = in.size; /* the first of those after the last */
            for (size_t c = 0; c < in.size; c++)
                if ((last == in.size || comes_before(p, start, in.after, last, c)) &&
                    (next == in.size || comes_before(p, start, in.after, c, next)))
                    next = c;
            const size_t to = i / in.after * s->count * in.after + i % in.after + k * in.after;
            if (s->part)
                p->out.integer[to] = (int64_t)next;
            else if (p->out.shape.type == REAL)
                p->out.real[to] = p->in[0].real[start + next * in.after];
            else
                p->out.integer[to] = p->in[0].integer[start + next * in.after];
            last = next;
        }
    }
}
