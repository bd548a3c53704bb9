#include "pass.h"

#include <float.h>

/* 1 if n sees nothing else around its input than such a padding has. */
static int pads_with(const struct node *n, float fill)
{
    return n->kind == CONVOLUTION ? fill == 0 : n->kind == POOL_MAX && fill <= -FLT_MAX;
}

/* Zeros around the input of a convolution, or what is below all numbers around that of a maximum, is its own padding. */
int padding_run(struct graph *g, struct node *n, struct error *e)
{
    (void)e;
    struct window w = n->window;
    const struct node *pad =
        n->kind == CONVOLUTION || n->kind == POOL_MAX ? only_producer(g, n, 0) : NULL;
    if (!pad || pad->kind != PAD || !pads_with(n, pad->fill))
        return 0;
    const int *in = g->tensors[pad->inputs[0]].dims, *out = g->tensors[pad->output].dims;
    if (in[0] != out[0] || in[1] != out[1])
        return 0;
    for (int i = 0; i < 2; i++) {
        w.before[i] += pad->offset[2 + i];
        w.after[i] += out[2 + i] - in[2 + i] - pad->offset[2 + i];
        if (n->kind == POOL_MAX && (w.before[i] >= w.kernel[i] || w.after[i] >= w.kernel[i]))
            return 0; /* a window would see padding alone */
    }
    n->window = w;
    n->inputs[0] = pad->inputs[0];
    return 0;
}
