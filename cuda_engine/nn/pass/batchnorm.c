#include "pass.h"

#include <math.h>

#include "../plain/plain.h"

/* A constant of one value a channel, for tensors of a rank. */
static int channel_constant(
    struct graph *g, const char *name, float *values, int channels, int rank, struct error *e)
{
    struct shape shape = { REAL, rank - 1, { channels } };
    for (int i = 1; i < shape.rank; i++)
        shape.dims[i] = 1;
    const int t = graph_add_tensor(g, name, &shape, e);
    if (t >= 0)
        g->tensors[t].data = values;
    return t;
}

/* With what is known beforehand it is a multiplication and an addition, which go into weights or into other programs. */
int batchnorm_run(struct graph *g, struct node *n, struct error *e)
{
    const struct shape shape = g->tensors[n->output].shape;
    const float *in[5];
    if (n->kind != PLAIN || n->compute != batch_compute || shape.rank > 4)
        return 0;
    for (int k = 1; k < 5; k++)
        if (!(in[k] = g->tensors[n->inputs[k]].data))
            return 0;
    const int channels = shape.dims[1];
    float *scale = graph_alloc(g, channels * sizeof *scale, e);
    float *shift = graph_alloc(g, channels * sizeof *shift, e);
    if (!scale || !shift)
        return -1;
    for (int c = 0; c < channels; c++) {
        scale[c] = in[1][c] / sqrtf(in[4][c] + n->settings.alpha);
        shift[c] = in[2][c] - in[3][c] * scale[c];
    }
    n->inputs[1] = channel_constant(g, n->name, scale, channels, shape.rank, e);
    n->inputs[2] = channel_constant(g, n->name, shift, channels, shape.rank, e);
    if (n->inputs[1] < 0 || n->inputs[2] < 0)
        return -1;
    n->kind = POINTWISE;
    n->input_count = 3;
    n->program[0] = (struct instruction) { .function = MUL, .x = 0, .y = 1 };
    n->program[1] = (struct instruction) { .function = ADD, .x = ~0, .y = 2 };
    n->program_length = 2;
    return 0;
}
