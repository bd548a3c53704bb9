#include "pass.h"

/* Multiplies a convolution's results by scale and adds shift, of one value a channel (stride 1) or one for all (0). */
static int scale_weights(struct graph *g, struct node *conv, const float *scale, const float *shift,
    int stride, struct error *e)
{
    const struct tensor w = g->tensors[conv->inputs[1]];
    const size_t channels = w.dims[0], each = tensor_elements(&w) / channels;
    const struct shape per_channel = { REAL, 1, { w.dims[0] } };
    float *weights = graph_alloc(g, channels * each * sizeof *weights, e);
    float *bias = graph_alloc(g, channels * sizeof *bias, e);
    if (!weights || !bias)
        return -1;
    for (size_t c = 0; c < channels; c++) {
        for (size_t i = 0; i < each; i++)
            weights[c * each + i] = w.data[c * each + i] * scale[c * stride];
        bias[c] = shift[c * stride];
        if (conv->window.bias)
            bias[c] += g->tensors[conv->inputs[2]].data[c] * scale[c * stride];
    }
    /* new tensors: other convolutions may share the constants of the file */
    int new_weights = graph_add_tensor(g, w.name, &w.shape, e);
    int new_bias = graph_add_tensor(g, w.name, &per_channel, e);
    if (new_weights < 0 || new_bias < 0)
        return -1;
    g->tensors[new_weights].data = weights;
    g->tensors[new_bias].data = bias;
    conv->inputs[1] = new_weights;
    conv->inputs[2] = new_bias;
    conv->input_count = 3;
    conv->window.bias = 1;
    return 0;
}

/* Does in its weights what is done to the results of convolution conv; 1 if done. */
static int fold_into_weights(
    struct graph *g, struct node *conv, const struct node *n, int k, struct error *e)
{
    const struct instruction *i = &n->program[0];
    const int channels = g->tensors[n->output].dims[1];
    if (conv->program_length)
        return 0;
    if (i->function == LINEAR)
        return scale_weights(g, conv, &i->low, &i->high, 0, e) ? -1 : 1;
    const struct tensor *other = n->input_count == 2 ? &g->tensors[n->inputs[!k]] : NULL;
    if (!other || !other->data || !is_per_channel(other, g->tensors[n->output].dims) ||
        (i->function != ADD && i->function != MUL))
        return 0;
    float *neutral = graph_alloc(g, channels * sizeof *neutral, e);
    if (!neutral)
        return -1;
    for (int c = 0; c < channels; c++)
        neutral[c] = i->function == ADD ? 1 : 0;
    return scale_weights(g, conv, i->function == ADD ? neutral : other->data,
               i->function == ADD ? other->data : neutral, 1, e)
               ? -1
               : 1;
}

int affine_run(struct graph *g, struct node *n, struct error *e)
{
    if (n->kind != POINTWISE || n->program_length != 1)
        return 0;
    for (int k = 0; k < n->input_count; k++) {
        struct node *conv = convolution_before(g, n, k);
        const int done = conv ? fold_into_weights(g, conv, n, k, e) : 0;
        if (done < 0)
            return -1;
        if (done) {
            take_over(g, conv, n);
            return 0;
        }
    }
    return 0;
}
