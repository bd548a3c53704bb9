/*
 * Resizing along any number of axes, with every mode that ONNX knows.
 */
#include "plain.h"

#include <math.h>

enum { PREFER_FLOOR, PREFER_CEIL, FLOOR_OF, CEIL_OF };
enum { TAPS = 4 };

static const char *const modes[] = { "nearest", "linear", "cubic", NULL };
static const char *const coordinates[] = { "half_pixel", "pytorch_half_pixel", "align_corners",
    "asymmetric", "tf_crop_and_resize", "tf_half_pixel_for_nn", NULL };
static const char *const roundings[] = { "round_prefer_floor", "round_prefer_ceil", "floor", "ceil",
    NULL };

/* settings: mode, count the coordinates, keep the rounding, axis 1 where outside is excluded */
static int read_attributes(struct reading *r)
{
    struct settings *s = &r->node.settings;
    s->mode = attribute_choice(r, "mode", modes);
    s->count = attribute_choice(r, "coordinate_transformation_mode", coordinates);
    s->keep = attribute_choice(r, "nearest_mode", roundings);
    s->alpha = attribute_float(r, "cubic_coeff_a", -0.75f);
    s->beta = attribute_float(r, "extrapolation_value", 0);
    s->axis = attribute_int(r, "exclude_outside", 0) != 0;
    return s->mode < 0 || s->count < 0 || s->keep < 0 ? -1 : 0;
}

static int read_region(struct reading *r)
{
    struct settings *s = &r->node.settings;
    const int rank = r->out.rank;
    const struct tensor *t = input(r, 1);
    for (int i = 0; i < 2 * rank; i++)
        s->region[i] = (float)(i >= rank);
    if (s->count != CROP)
        return 0;
    if (!t || !t->data || tensor_elements(t) != 2 * (size_t)rank)
        return refuse(r, "needs a constant of %d numbers as its input 1", 2 * rank);
    for (int i = 0; i < 2 * rank; i++)
        s->region[i] = t->data[i];
    return 0;
}

int resize_infer(struct reading *r)
{
    struct settings *s = &r->node.settings;
    const struct tensor *scales = input(r, 2);
    const int64_t *sizes = NULL;
    r->out = *shape_of(r, 0);
    if (r->out.type != REAL || !shape_elements(&r->out))
        return refuse(r, "needs an input of floats");
    if (read_attributes(r) || read_region(r))
        return -1;
    if (scales && !tensor_elements(scales))
        scales = NULL;
    if (!scales && !(sizes = input_ints(r, 3, r->out.rank)))
        return -1;
    if (scales && (!scales->data || tensor_elements(scales) != (size_t)r->out.rank))
        return refuse(r, "needs a constant of %d numbers as its input 2", r->out.rank);
    for (int i = 0; i < r->out.rank; i++) {
        const float in = (float)r->out.dims[i], part = s->region[r->out.rank + i] - s->region[i];
        const double size = sizes ? (double)sizes[i] : floor((double)(in * part * scales->data[i]));
        if (!(size >= 1 && size <= GRAPH_SIDE) && size != r->out.dims[i])
            return refuse(r, "has sizes that are not supported");
        s->scale[i] = scales ? scales->data[i] : (float)size / in;
        r->out.dims[i] = (int)size;
    }
    r->node.input_count = 1;
    return 0;
}

/* The input elements of one axis that output element i is made of. */
struct taps {
    int count, index[TAPS];
    float weight[TAPS];
    int outside;
};

/* Where output element i lies in the input. */
static float place(const struct settings *s, int axis, int rank, int i, int in, int out)
{
    const float x = (float)i, scale = s->scale[axis];
    switch (s->count) {
    case HALF_PIXEL: return (x + 0.5f) / scale - 0.5f;
    case PYTORCH_HALF_PIXEL: return out > 1 ? (x + 0.5f) / scale - 0.5f : 0;
    case ALIGN_CORNERS: /* ONNX takes the size before it was rounded down */
        return out > 1 ? x * (float)(in - 1) / ((float)in * scale - 1) : 0;
    case HALF_PIXEL_FOR_NEAREST: return (x + 0.5f) / scale;
    case ASYMMETRIC: return x / scale;
    default: {
        const float start = s->region[axis], end = s->region[rank + axis], last = (float)(in - 1);
        return out > 1 ? start * last + x * (end - start) * last / (float)(out - 1)
                       : 0.5f * (start + end) * last;
    }
    }
}

int resize_nearest(int rounding, float x)
{
    switch (rounding) {
    case PREFER_FLOOR: return (int)ceilf(x - 0.5f);
    case PREFER_CEIL: return (int)floorf(x + 0.5f);
    case FLOOR_OF: return (int)floorf(x);
    default: return (int)ceilf(x);
    }
}

int resize_source(const struct settings *s, int axis, int rank, int i, int in, int out)
{
    const int at = resize_nearest(s->keep, place(s, axis, rank, i, in, out));
    return at < 0 ? 0 : at >= in ? in - 1 : at;
}

static float cubic(float a, float distance)
{
    const float d = fabsf(distance);
    if (d <= 1)
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

static struct taps taps_of(const struct settings *s, int axis, const struct shape *in_shape,
    const struct shape *out_shape, int i)
{
    const int in = in_shape->dims[axis], out = out_shape->dims[axis];
    const float x = place(s, axis, in_shape->rank, i, in, out);
    const int low = (int)floorf(x);
    struct taps t = { .outside = s->count == CROP && (x < 0 || x > (float)(in - 1)) };
    float sum = 0;
    if (s->mode == NEAREST) {
        t.index[0] = resize_nearest(s->keep, x);
        t.weight[0] = 1;
        t.count = 1;
    } else if (s->mode == BILINEAR) {
        for (int k = 0; k < 2; k++)
            t.index[k] = low + k;
        t.weight[1] = x - (float)low;
        t.weight[0] = 1 - t.weight[1];
        t.count = 2;
    } else {
        for (int k = 0; k < TAPS; k++) {
            t.index[k] = low - 1 + k;
            t.weight[k] = cubic(s->alpha, x - (float)t.index[k]);
        }
        t.count = TAPS;
    }
    for (int k = 0; k < t.count; k++) {
        if (s->axis && s->mode == CUBIC && (t.index[k] < 0 || t.index[k] >= in))
            t.weight[k] = 0;
        t.index[k] = t.index[k] < 0 ? 0 : t.index[k] >= in ? in - 1 : t.index[k];
        sum += t.weight[k];
    }
    for (int k = 0; k < t.count && s->axis && sum != 0; k++)
        t.weight[k] /= sum;
    return t;
}

void resize_compute(const struct plain *p)
{
    const struct settings *s = &p->node->settings;
    const struct shape *in = &p->in[0].shape, *out = &p->out.shape;
    const size_t count = shape_elements(out);
#pragma omp parallel for
    for (size_t index = 0; index < count; index++) {
        struct taps taps[GRAPH_RANK] = { 0 };
        size_t rest = index;
        int outside = 0, combinations = 1;
        float sum = 0;
        for (int i = out->rank - 1; i >= 0; i--) {
            const int digit = (int)(rest % out->dims[i]);
            rest /= out->dims[i];
            if (in->dims[i] == out->dims[i] && s->count != CROP)
                taps[i] = (struct taps) { 1, { digit }, { 1 }, 0 };
            else
                taps[i] = taps_of(s, i, in, out, digit);
            outside |= taps[i].outside;
            combinations *= taps[i].count;
        }
        for (int c = 0; c < combinations && !outside; c++) {
            size_t at = 0;
            float weight = 1;
            for (int i = 0, k = c; i < out->rank; i++) {
                at = at * in->dims[i] + taps[i].index[k % taps[i].count];
                weight *= taps[i].weight[k % taps[i].count];
                k /= taps[i].count;
            }
            sum += weight * p->in[0].real[at];
        }
        p->out.real[index] = outside ? s->beta : sum;
    }
}
