/*
 * Constants that scale and shift, one number for all or one a channel, go into the weights of the convolution before
 * or after them: w(s x + t) = (w s) x + w t, and s (w x + b) + t = (s w) x + s b + t.
 */
#include "pass.h"

#include <string.h>

/* For each channel: y = x * scale + shift. */
struct affine {
    float *scale, *shift;
};

/* One instruction more, whose other operand has a value for each channel (step 1) or one for all (0). */
static void apply(struct affine *a, int channels, enum function function, int reversed,
    const float *values, int step)
{
    for (int c = 0; c < channels; c++) {
        const float v = values[c * step];
        switch (function) {
        case MUL:
            a->scale[c] *= v;
            a->shift[c] *= v;
            break;
        case DIV:
            a->scale[c] /= v;
            a->shift[c] /= v;
            break;
        case SUB:
            if (reversed) {
                a->scale[c] = -a->scale[c];
                a->shift[c] = v - a->shift[c];
            } else
                a->shift[c] -= v;
            break;
        default: a->shift[c] += v;
        }
    }
}

/* 1 and *a: all that n does to its input k is affine, and does not change its size. 0: it is something else. */
static int read_affine(
    struct graph *g, const struct node *n, int k, struct affine *a, struct error *e)
{
    const int *dims = g->tensors[n->output].dims, channels = dims[1];
    if (n->kind != POINTWISE || memcmp(dims, g->tensors[n->inputs[k]].dims, 4 * sizeof *dims))
        return 0;
    a->scale = graph_alloc(g, channels * sizeof *a->scale, e);
    a->shift = graph_alloc(g, channels * sizeof *a->shift, e);
    if (!a->scale || !a->shift)
        return -1;
    for (int c = 0; c < channels; c++)
        a->scale[c] = 1;
    for (int i = 0; i < n->program_length; i++) {
        const struct instruction *in = &n->program[i];
        const int chain = i ? ~(i - 1) : k, reversed = in->x != chain;
        const int operand = reversed ? in->x : in->y;
        if (in->function == LINEAR && !reversed) {
            apply(a, channels, MUL, 0, &in->low, 0);
            apply(a, channels, ADD, 0, &in->high, 0);
            continue;
        }
        if ((in->function != ADD && in->function != SUB && in->function != MUL &&
                in->function != DIV) ||
            (reversed && (in->y != chain || in->function == DIV)) || operand < 0 || operand == k)
            return 0;
        const struct tensor *other = &g->tensors[n->inputs[operand]];
        float number;
        const int step = !tensor_scalar(other, &number);
        if (!other->data || (step && !is_per_channel(other, dims)))
            return 0;
        apply(a, channels, in->function, reversed, other->data, step);
    }
    return 1;
}

/* Gives a convolution weights and a bias of its own: others may share the constants of the file. */
static int replace_weights(
    struct graph *g, struct node *conv, float *weights, float *bias, struct error *e)
{
    const struct tensor w = g->tensors[conv->inputs[1]];
    const struct shape per_channel = { REAL, 1, { w.dims[0] } };
    const int new_weights = graph_add_tensor(g, w.name, &w.shape, e);
    const int new_bias = graph_add_tensor(g, w.name, &per_channel, e);
    if (new_weights < 0 || new_bias < 0)
        return -1;
    g->tensors[new_weights].data = weights;
    g->tensors[new_bias].data = bias;
    conv->inputs[1] = new_weights;
    conv->inputs[2] = new_bias;
    conv->input_count = 3; /* it has no program yet */
    conv->window.bias = 1;
    return 0;
}

/* Room for a convolution's weights and bias, the present bias in it. -1 and *e. */
static int copy_weights(
    struct graph *g, const struct node *conv, float **weights, float **bias, struct error *e)
{
    const struct tensor *w = &g->tensors[conv->inputs[1]];
    *weights = graph_alloc(g, tensor_elements(w) * sizeof **weights, e);
    *bias = graph_alloc(g, w->dims[0] * sizeof **bias, e);
    if (!*weights || !*bias)
        return -1;
    if (conv->window.bias)
        memcpy(*bias, g->tensors[conv->inputs[2]].data, w->dims[0] * sizeof **bias);
    return 0;
}

/* a is done to the results. */
static int scale_outputs(
    struct graph *g, struct node *conv, const struct affine *a, struct error *e)
{
    const struct tensor w = g->tensors[conv->inputs[1]];
    const size_t channels = w.dims[0], each = tensor_elements(&w) / channels;
    float *weights, *bias;
    if (copy_weights(g, conv, &weights, &bias, e))
        return -1;
    for (size_t c = 0; c < channels; c++) {
        for (size_t i = c * each; i < (c + 1) * each; i++)
            weights[i] = w.data[i] * a->scale[c];
        bias[c] = bias[c] * a->scale[c] + a->shift[c];
    }
    return replace_weights(g, conv, weights, bias, e);
}

/* a is done to the input: each of a group's results takes the same channels. */
static int scale_inputs(struct graph *g, struct node *conv, const struct affine *a, struct error *e)
{
    const struct tensor w = g->tensors[conv->inputs[1]];
    const size_t channels = w.dims[0], taken = w.dims[1], each = (size_t)w.dims[2] * w.dims[3];
    const size_t per_group = channels / conv->window.group;
    float *weights, *bias;
    if (copy_weights(g, conv, &weights, &bias, e))
        return -1;
    for (size_t c = 0; c < channels; c++)
        for (size_t k = 0; k < taken; k++) {
            const size_t from = c / per_group * taken + k;
            for (size_t i = (c * taken + k) * each; i < (c * taken + k + 1) * each; i++) {
                weights[i] = w.data[i] * a->scale[from];
                bias[c] += w.data[i] * a->shift[from];
            }
        }
    return replace_weights(g, conv, weights, bias, e);
}

/* What is added to a padded input would be missing in the padding. */
static int may_be_shifted(const struct node *conv, const struct affine *a, int channels)
{
    const struct window *w = &conv->window;
    const int padded = w->before[0] || w->before[1] || w->after[0] || w->after[1];
    for (int c = 0; c < channels && padded; c++)
        if (a->shift[c] != 0)
            return 0;
    return 1;
}

static int take_input(struct graph *g, struct node *conv, struct error *e)
{
    const struct node *before = only_producer(g, conv, 0);
    for (int k = 0; before && !conv->program_length && k < before->input_count; k++) {
        struct affine a;
        const int is = read_affine(g, before, k, &a, e);
        if (is < 0)
            return -1;
        if (!is || !may_be_shifted(conv, &a, g->tensors[before->output].dims[1]))
            continue;
        if (scale_inputs(g, conv, &a, e))
            return -1;
        conv->inputs[0] = before->inputs[k];
        return 0;
    }
    return 0;
}

int affine_run(struct graph *g, struct node *n, struct error *e)
{
    if (n->kind == CONVOLUTION)
        return take_input(g, n, e);
    for (int k = 0; n->kind == POINTWISE && k < n->input_count; k++) {
        struct affine a;
        struct node *conv = convolution_before(g, n, k);
        const int is = conv && !conv->program_length ? read_affine(g, n, k, &a, e) : 0;
        if (is < 0 || (is && scale_outputs(g, conv, &a, e)))
            return -1;
        if (is) {
            take_over(g, conv, n);
            return 0;
        }
    }
    return 0;
}
