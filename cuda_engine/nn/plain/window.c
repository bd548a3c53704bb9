/*
 * Convolutions and pools over one to three dimensions.
 */
#include "plain.h"

#include <math.h>
#include <string.h>

enum { NOT_SET, VALID, SAME_UPPER, SAME_LOWER };
static const char *const auto_pads[] = { "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", NULL };

/* The window's attributes but its kernel. Where pads are automatic they are *automatic, and zeros here. */
static int read_window(struct reading *r, int rank, int *automatic)
{
    struct window *w = &r->node.window;
    int pads[2 * GRAPH_SPACE] = { 0 };
    if (rank < 1 || rank > GRAPH_SPACE)
        return refuse(r, "has a window of %d dimensions; 1 to %d are supported", rank, GRAPH_SPACE);
    w->rank = rank;
    *automatic = attribute_choice(r, "auto_pad", auto_pads);
    if (*automatic < 0 || attribute_ints(r, "strides", rank, 1, w->stride) ||
        attribute_ints(r, "dilations", rank, 1, w->dilation) ||
        (*automatic == NOT_SET && attribute_ints(r, "pads", 2 * rank, 0, pads)))
        return -1;
    for (int i = 0; i < rank; i++) {
        w->before[i] = pads[i];
        w->after[i] = pads[i + rank];
    }
    return 0;
}

/* Padding such that the result is as large as in: half of what is due, the odd one at one end. */
static void share(int64_t padding, int automatic, int *before, int *after)
{
    const int due = padding > 0 ? (int)padding : 0;
    *before = automatic == SAME_LOWER ? due - due / 2 : due / 2;
    *after = due - *before;
}

/* Sizes of the result of a window over in; pads where they are automatic. */
static int slide(struct reading *r, const int *in, int automatic, int *out)
{
    struct window *w = &r->node.window;
    const int ceil_mode = attribute_int(r, "ceil_mode", 0) != 0;
    for (int i = 0; i < w->rank; i++) {
        const int64_t span = (int64_t)(w->kernel[i] - 1) * w->dilation[i] + 1;
        const int stride = w->stride[i];
        if (automatic == SAME_UPPER || automatic == SAME_LOWER)
            share((int64_t)((in[i] - 1) / stride) * stride + span - in[i], automatic, &w->before[i],
                &w->after[i]);
        const int64_t room = (int64_t)in[i] + w->before[i] + w->after[i] - span;
        if (room < 0)
            return refuse(r, "has a window larger than its input");
        out[i] = (int)((room + (ceil_mode ? stride - 1 : 0)) / stride) + 1;
        /* a last window must not start in the padding */
        if (ceil_mode && (int64_t)(out[i] - 1) * stride >= (int64_t)in[i] + w->before[i])
            out[i]--;
    }
    return 0;
}

static int check_kernel(struct reading *r, const int *sizes)
{
    struct window *w = &r->node.window;
    int kernel[GRAPH_SPACE] = { 0 };
    for (int i = 0; i < w->rank; i++) {
        if (sizes[i] < 1 || sizes[i] > GRAPH_SIDE)
            return refuse(r, "has a window larger than its input");
        w->kernel[i] = sizes[i];
    }
    if (attribute(r, "kernel_shape") && (attribute_ints(r, "kernel_shape", w->rank, 1, kernel) ||
                                            memcmp(kernel, w->kernel, w->rank * sizeof *kernel)))
        return refuse(r, "has a kernel_shape that is not its weights'");
    return 0;
}

static int check_bias(struct reading *r, int channels)
{
    r->node.window.bias = input(r, 2) != NULL;
    if (!input(r, 2))
        r->node.input_count = 2;
    else if (shape_elements(shape_of(r, 2)) != (size_t)channels)
        return refuse(r, "needs a bias of %d values", channels);
    return 0;
}

int conv_infer(struct reading *r)
{
    const struct shape *x = shape_of(r, 0), *w = shape_of(r, 1);
    const int64_t group = attribute_int(r, "group", 1);
    int automatic = NOT_SET;
    if (read_window(r, x->rank - 2, &automatic))
        return -1;
    if (w->rank != x->rank)
        return refuse(r, "needs weights of %d dimensions", x->rank);
    if (group < 1 || group > w->dims[0] || w->dims[0] % group || w->dims[1] * group != x->dims[1])
        return refuse(r, "has %lld groups for %d input channels and weights of %d x %d",
            (long long)group, x->dims[1], w->dims[0], w->dims[1]);
    r->node.window.group = (int)group;
    r->out = (struct shape) { REAL, x->rank, { x->dims[0], w->dims[0] } };
    return check_bias(r, w->dims[0]) || check_kernel(r, w->dims + 2) ||
                   slide(r, x->dims + 2, automatic, r->out.dims + 2)
               ? -1
               : 0;
}

/* Sizes and windows as three dimensions, ones before. */
struct space {
    int in[GRAPH_SPACE], out[GRAPH_SPACE], kernel[GRAPH_SPACE], stride[GRAPH_SPACE];
    int dilation[GRAPH_SPACE], before[GRAPH_SPACE], after[GRAPH_SPACE];
};

static struct space space_of(const struct plain *p)
{
    const struct window *w = &p->node->window;
    struct space s;
    for (int i = 0, at = w->rank - GRAPH_SPACE; i < GRAPH_SPACE; i++, at++) {
        s.in[i] = at < 0 ? 1 : p->in[0].shape.dims[2 + at];
        s.out[i] = at < 0 ? 1 : p->out.shape.dims[2 + at];
        s.kernel[i] = at < 0 ? 1 : w->kernel[at];
        s.stride[i] = at < 0 ? 1 : w->stride[at];
        s.dilation[i] = at < 0 ? 1 : w->dilation[at];
        s.before[i] = at < 0 ? 0 : w->before[at];
        s.after[i] = at < 0 ? 0 : w->after[at];
    }
    return s;
}

static size_t volume(const int size[GRAPH_SPACE])
{
    return (size_t)size[0] * size[1] * size[2];
}

static void digits_of(size_t index, const int size[GRAPH_SPACE], int digits[GRAPH_SPACE])
{
    for (int i = GRAPH_SPACE - 1; i >= 0; i--) {
        digits[i] = (int)(index % size[i]);
        index /= size[i];
    }
}

/* Where tap k of the window at output place o reads the input; -1 in the padding, -2 beyond that too. */
static ptrdiff_t tap(const struct space *s, const int o[GRAPH_SPACE], size_t k)
{
    int digits[GRAPH_SPACE], padded = 0;
    ptrdiff_t at = 0;
    digits_of(k, s->kernel, digits);
    for (int i = 0; i < GRAPH_SPACE; i++) {
        const int x = o[i] * s->stride[i] - s->before[i] + digits[i] * s->dilation[i];
        if (x >= s->in[i] + s->after[i])
            return -2;
        padded |= x < 0 || x >= s->in[i];
        at = at * s->in[i] + x;
    }
    return padded ? -1 : at;
}

void conv_compute(const struct plain *p)
{
    const struct space s = space_of(p);
    const size_t in = volume(s.in), out = volume(s.out), kernel = volume(s.kernel);
    const size_t channels = p->out.shape.dims[1], each = p->in[1].shape.dims[1];
    const size_t per_group = channels / p->node->window.group;
    const size_t planes = (size_t)p->out.shape.dims[0] * channels;
#pragma omp parallel for
    for (size_t plane = 0; plane < planes; plane++)
        for (size_t i = 0; i < out; i++) {
            const size_t c = plane % channels;
            const float *x =
                p->in[0].real +
                (plane / channels * p->in[0].shape.dims[1] + c / per_group * each) * in;
            const float *w = p->in[1].real + c * each * kernel;
            double sum = p->node->window.bias ? p->in[2].real[c] : 0;
            int o[GRAPH_SPACE];
            digits_of(i, s.out, o);
            for (size_t k = 0; k < kernel; k++) {
                const ptrdiff_t at = tap(&s, o, k);
                for (size_t d = 0; d < each && at >= 0; d++)
                    sum += (double)x[d * in + at] * w[d * kernel + k];
            }
            p->out.real[plane * out + i] = (float)sum;
        }
}

int conv_transpose_infer(struct reading *r)
{
    const struct shape *x = shape_of(r, 0), *w = shape_of(r, 1);
    const int64_t group = attribute_int(r, "group", 1);
    int automatic = NOT_SET, extra[GRAPH_SPACE] = { 0 }, wish[GRAPH_SPACE] = { 0 };
    if (read_window(r, x->rank - 2, &automatic) ||
        attribute_ints(r, "output_padding", x->rank - 2, 0, extra) ||
        attribute_ints(r, "output_shape", x->rank - 2, 0, wish))
        return -1;
    if (w->rank != x->rank || group < 1 || x->dims[1] % group || w->dims[0] != x->dims[1] ||
        w->dims[1] * group > GRAPH_SIDE)
        return refuse(r, "has %lld groups for %d input channels", (long long)group, x->dims[1]);
    struct window *n = &r->node.window;
    n->group = (int)group;
    r->out = (struct shape) { REAL, x->rank, { x->dims[0], w->dims[1] * (int)group } };
    if (check_bias(r, r->out.dims[1]) || check_kernel(r, w->dims + 2))
        return -1;
    for (int i = 0; i < n->rank; i++) {
        const int64_t full = (int64_t)(x->dims[2 + i] - 1) * n->stride[i] + extra[i] +
                             (int64_t)(n->kernel[i] - 1) * n->dilation[i] + 1;
        int64_t size = full - n->before[i] - n->after[i];
        if (wish[i] || automatic > VALID) {
            size = wish[i] ? wish[i] : (int64_t)x->dims[2 + i] * n->stride[i];
            share(full - size, automatic == SAME_UPPER ? SAME_UPPER : SAME_LOWER, &n->before[i],
                &n->after[i]);
        }
        if (size < 1 || size > GRAPH_SIDE)
            return refuse(r, "has a result of a size that is not supported");
        r->out.dims[2 + i] = (int)size;
    }
    return 0;
}

/* Adds one input plane, times the weight at one place of the kernel, to an output plane. */
static void add_plane(
    const struct space *s, const float *x, float weight, const int k[GRAPH_SPACE], float *to)
{
    int off[GRAPH_SPACE];
    for (int i = 0; i < GRAPH_SPACE; i++)
        off[i] = k[i] * s->dilation[i] - s->before[i];
    for (int z = 0; z < s->in[0]; z++)
        for (int y = 0; y < s->in[1]; y++) {
            const int out_z = z * s->stride[0] + off[0], out_y = y * s->stride[1] + off[1];
            const float *from = x + ((ptrdiff_t)z * s->in[1] + y) * s->in[2];
            if (out_z < 0 || out_z >= s->out[0] || out_y < 0 || out_y >= s->out[1])
                continue;
            float *row = to + ((ptrdiff_t)out_z * s->out[1] + out_y) * s->out[2];
            for (int i = 0; i < s->in[2]; i++) {
                const int at = i * s->stride[2] + off[2];
                if (at >= 0 && at < s->out[2])
                    row[at] += from[i] * weight;
            }
        }
}

void conv_transpose_compute(const struct plain *p)
{
    const struct space s = space_of(p);
    const size_t in = volume(s.in), out = volume(s.out), kernel = volume(s.kernel);
    const size_t channels = p->out.shape.dims[1], per_group = p->in[1].shape.dims[1];
    const size_t inputs = p->in[0].shape.dims[1], each = inputs / p->node->window.group;
    const size_t planes = (size_t)p->out.shape.dims[0] * channels;
#pragma omp parallel for
    for (size_t plane = 0; plane < planes; plane++) {
        const size_t c = plane % channels, first = c / per_group * each;
        float *to = p->out.real + plane * out;
        for (size_t i = 0; i < out; i++)
            to[i] = p->node->window.bias ? p->in[2].real[c] : 0;
        for (size_t d = first; d < first + each; d++)
            for (size_t k = 0; k < kernel; k++) {
                int digits[GRAPH_SPACE];
                digits_of(k, s.kernel, digits);
                add_plane(&s, p->in[0].real + (plane / channels * inputs + d) * in,
                    p->in[1].real[(d * per_group + c % per_group) * kernel + k], digits, to);
            }
    }
}

int pool_infer(struct reading *r)
{
    const struct shape *x = shape_of(r, 0);
    struct window *w = &r->node.window;
    int automatic = NOT_SET;
    if (!attribute(r, "kernel_shape"))
        return refuse(r, "has no kernel_shape");
    if (read_window(r, x->rank - 2, &automatic) ||
        attribute_ints(r, "kernel_shape", x->rank - 2, 1, w->kernel))
        return -1;
    r->out = (struct shape) { x->type, x->rank, { x->dims[0], x->dims[1] } };
    w->counts_padding = attribute_int(r, "count_include_pad", 0) != 0;
    if (slide(r, x->dims + 2, automatic, r->out.dims + 2))
        return -1;
    for (int i = 0; i < w->rank; i++)
        if (w->before[i] >= w->kernel[i] * w->dilation[i] ||
            w->after[i] >= w->kernel[i] * w->dilation[i])
            return refuse(r, "has padding as wide as its window");
    return 0;
}

int global_pool_infer(struct reading *r)
{
    const struct shape *x = shape_of(r, 0);
    struct window *w = &r->node.window;
    w->rank = x->rank - 2;
    if (w->rank < 1 || w->rank > GRAPH_SPACE)
        return refuse(
            r, "has a window of %d dimensions; 1 to %d are supported", w->rank, GRAPH_SPACE);
    r->out = (struct shape) { x->type, x->rank, { x->dims[0], x->dims[1] } };
    for (int i = 0; i < w->rank; i++) {
        w->kernel[i] = x->dims[2 + i];
        w->stride[i] = w->dilation[i] = r->out.dims[2 + i] = 1;
    }
    return 0;
}

void pool_max_compute(const struct plain *p)
{
    const struct space s = space_of(p);
    const size_t in = volume(s.in), out = volume(s.out), kernel = volume(s.kernel);
    const size_t planes = (size_t)p->out.shape.dims[0] * p->out.shape.dims[1];
#pragma omp parallel for
    for (size_t i = 0; i < planes * out; i++) {
        int o[GRAPH_SPACE];
        float largest = -INFINITY;
        int64_t highest = INT64_MIN;
        digits_of(i % out, s.out, o);
        for (size_t k = 0; k < kernel; k++) {
            const ptrdiff_t at = tap(&s, o, k);
            const size_t from = i / out * in + (at < 0 ? 0 : (size_t)at);
            if (at < 0)
                continue;
            if (p->out.shape.type == REAL)
                largest = fmaxf(largest, p->in[0].real[from]);
            else if (p->in[0].integer[from] > highest)
                highest = p->in[0].integer[from];
        }
        if (p->out.shape.type == REAL)
            p->out.real[i] = largest;
        else
            p->out.integer[i] = highest;
    }
}

void pool_average_compute(const struct plain *p)
{
    const struct space s = space_of(p);
    const size_t in = volume(s.in), out = volume(s.out), kernel = volume(s.kernel);
    const size_t planes = (size_t)p->out.shape.dims[0] * p->out.shape.dims[1];
#pragma omp parallel for
    for (size_t i = 0; i < planes * out; i++) {
        int o[GRAPH_SPACE], count = 0;
        double sum = 0;
        digits_of(i % out, s.out, o);
        for (size_t k = 0; k < kernel; k++) {
            const ptrdiff_t at = tap(&s, o, k);
            if (at >= 0)
                sum += p->in[0].real[i / out * in + at];
            count += at >= 0 || (at == -1 && p->node->window.counts_padding);
        }
        p->out.real[i] = (float)(sum / (count ? count : 1));
    }
}
