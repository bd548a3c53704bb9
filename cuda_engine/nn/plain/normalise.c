/*
 * Operators that bring values to a scale: by what is known of them beforehand, or by what they are.
 */
#include "plain.h"

#include <math.h>

/* Before opset 13 all dimensions from the axis on are one. */
int softmax_infer(struct reading *r)
{
    const int old = r->graph->opset < 13;
    struct settings *s = &r->node.settings;
    r->out = *shape_of(r, 0);
    s->mode = r->op->function;
    s->keep = old;
    return attribute_axis(r, old ? 1 : -1, r->out.rank, &s->axis);
}

static void softmax(int mode, const float *x, float *y, size_t count, size_t step)
{
    size_t best = 0;
    double sum = 0;
    for (size_t i = 1; i < count; i++)
        if (x[i * step] > x[best * step])
            best = i;
    const float largest = x[best * step];
    for (size_t i = 0; i < count; i++) {
        y[i * step] = mode == HARDMAX ? (float)(i == best) : expf(x[i * step] - largest);
        sum += y[i * step];
    }
    const float factor = (float)(1 / sum),
                shift = largest + (float)log(fmax(sum, 1)); /* the largest gives 1 */
    for (size_t i = 0; i < count && mode != HARDMAX; i++)
        y[i * step] = mode == LOG_SOFTMAX ? x[i * step] - shift : y[i * step] * factor;
}

void softmax_compute(const struct plain *p)
{
    const struct settings *s = &p->node->settings;
    struct span in = span_of(&p->out.shape, s->axis);
    if (s->keep) {
        in.size *= in.after;
        in.after = 1;
    }
#pragma omp parallel for
    for (size_t i = 0; i < in.before * in.after; i++) {
        const size_t at = i / in.after * in.size * in.after + i % in.after;
        /* log needs x again, so it must not be computed in place: it is not, out is another tensor */
        softmax(s->mode, p->in[0].real + at, p->out.real + at, in.size, in.after);
    }
}

/* count inputs from first on must have one value a channel of input 0. */
static int check_channels(struct reading *r, int first, int count)
{
    const struct shape *in = shape_of(r, 0);
    for (int k = first; k < first + count; k++)
        if (in->rank < 2 || !input(r, k) || shape_elements(shape_of(r, k)) != (size_t)in->dims[1])
            return refuse(r, "needs a value for each of its channels as its input %d", k);
    return 0;
}

int batch_infer(struct reading *r)
{
    r->out = *shape_of(r, 0);
    r->node.settings.alpha = attribute_float(r, "epsilon", 1e-5f);
    if (attribute_int(r, "training_mode", 0))
        return refuse(r, "is for training");
    return check_channels(r, 1, 4);
}

void batch_compute(const struct plain *p)
{
    const struct span in = span_of(&p->out.shape, 1);
    for (size_t i = 0; i < in.before * in.size; i++) {
        const size_t c = i % in.size;
        const float scale = p->in[1].real[c] / sqrtf(p->in[4].real[c] + p->node->settings.alpha);
        const float shift = p->in[2].real[c] - p->in[3].real[c] * scale;
        for (size_t k = i * in.after; k < (i + 1) * in.after; k++)
            p->out.real[k] = p->in[0].real[k] * scale + shift;
    }
}

struct moments {
    float mean, inverse; /* 1 / sqrt(variance + epsilon) */
};

static struct moments moments_of(const float *x, size_t count, float epsilon)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++)
        sum += x[i];
    const double mean = sum / (double)count;
    for (size_t i = 0; i < count; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    return (struct moments) { (float)mean, (float)(1 / sqrt(squares / (double)count + epsilon)) };
}

int instance_infer(struct reading *r)
{
    r->out = *shape_of(r, 0);
    r->node.settings.alpha = attribute_float(r, "epsilon", 1e-5f);
    return check_channels(r, 1, 2);
}

void instance_compute(const struct plain *p)
{
    const struct span in = span_of(&p->out.shape, 1);
#pragma omp parallel for
    for (size_t i = 0; i < in.before * in.size; i++) {
        const float *x = p->in[0].real + i * in.after;
        const struct moments m = moments_of(x, in.after, p->node->settings.alpha);
        const float scale = p->in[1].real[i % in.size] * m.inverse;
        for (size_t k = 0; k < in.after; k++)
            p->out.real[i * in.after + k] = (x[k] - m.mean) * scale + p->in[2].real[i % in.size];
    }
}

/* LayerNormalization: output 1 is the means, output 2 the inverse deviations. */
int layer_infer(struct reading *r)
{
    const struct shape *in = shape_of(r, 0);
    struct settings *s = &r->node.settings;
    size_t size = 1;
    r->out = *in;
    s->alpha = attribute_float(r, "epsilon", 1e-5f);
    if (attribute_axis(r, -1, in->rank, &s->axis))
        return -1;
    for (int i = s->axis; i < in->rank; i++) {
        size *= in->dims[i];
        if (s->part)
            r->out.dims[i] = 1;
    }
    for (int k = 1; k < 3; k++)
        if (!size || (input(r, k) ? shape_elements(shape_of(r, k)) != size : k == 1))
            return refuse(r, "needs a value for each of %zu as its input %d", size, k);
    s->count = (int)size;
    return 0;
}

void layer_compute(const struct plain *p)
{
    const struct settings *s = &p->node->settings;
    const size_t size = s->count, rows = shape_elements(&p->in[0].shape) / size;
    const int shifts = p->node->input_count > 2 && shape_elements(&p->in[2].shape);
#pragma omp parallel for
    for (size_t i = 0; i < rows; i++) {
        const float *x = p->in[0].real + i * size;
        const struct moments m = moments_of(x, size, s->alpha);
        for (size_t k = 0; k < size && !s->part; k++)
            p->out.real[i * size + k] =
                (x[k] - m.mean) * m.inverse * p->in[1].real[k] + (shifts ? p->in[2].real[k] : 0);
        if (s->part)
            p->out.real[i] = s->part == 1 ? m.mean : m.inverse;
    }
}

/* LRN: by the squares of neighbouring channels. */
int local_infer(struct reading *r)
{
    struct settings *s = &r->node.settings;
    r->out = *shape_of(r, 0);
    s->alpha = attribute_float(r, "alpha", 1e-4f);
    s->beta = attribute_float(r, "beta", 0.75f);
    const int64_t size = attribute_int(r, "size", 0);
    const Onnx__AttributeProto *bias = attribute(r, "bias");
    if (r->out.rank < 2 || size < 1 || size > GRAPH_SIDE || (bias && bias->f <= 0))
        return refuse(r, "has a size or a bias that is not supported");
    s->count = (int)size;
    s->copy.rank = 0;
    r->node.fill = attribute_float(r, "bias", 1);
    return 0;
}

void local_compute(const struct plain *p)
{
    const struct settings *s = &p->node->settings;
    const struct span in = span_of(&p->out.shape, 1);
    const ptrdiff_t size = s->count, channels = (ptrdiff_t)in.size;
    for (size_t i = 0; i < in.before * in.size * in.after; i++) {
        const ptrdiff_t c = (ptrdiff_t)(i / in.after % in.size);
        double sum = 0;
        for (ptrdiff_t k = c - (size - 1) / 2; k <= c + size / 2; k++)
            if (k >= 0 && k < channels) {
                const double x = p->in[0].real[(ptrdiff_t)i + (k - c) * (ptrdiff_t)in.after];
                sum += x * x;
            }
        p->out.real[i] = p->in[0].real[i] /
                         powf(p->node->fill + s->alpha / (float)s->count * (float)sum, s->beta);
    }
}
