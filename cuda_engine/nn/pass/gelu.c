#include "pass.h"

#include <math.h>
#include <string.h>

/* Tensor t is *factor times the tensor that is returned. */
static int unscale(const struct graph *g, int t, float *factor)
{
    const struct node *n;
    while ((n = producer_of(g, t, LINEAR)) && n->program[0].high == 0) {
        *factor *= n->program[0].low;
        t = n->inputs[0];
    }
    return t;
}

/* 1 if t is factor / 2 * (1 + erf(x / sqrt 2)). */
static int is_gate(const struct graph *g, int t, int x, float factor)
{
    float scale = 1;
    const struct node *sum = producer_of(g, unscale(g, t, &factor), LINEAR);
    const int p = sum ? g->tensors[sum->inputs[0]].producer : -1;
    if (p < 0 || strcmp(g->nodes[p].op, "Erf") != 0)
        return 0;
    const struct instruction *i = &sum->program[0];
    return unscale(g, g->nodes[p].inputs[0], &scale) == x && fabsf(scale - sqrtf(0.5f)) < 1e-5f &&
           fabsf(i->low * factor - 0.5f) < 1e-6f && fabsf(i->high * factor - 0.5f) < 1e-6f;
}

/* x * (1 + erf(x / sqrt 2)) / 2 in any order, as exporters write GELU. */
int gelu_run(struct graph *g, struct node *n, struct error *e)
{
    (void)e;
    float factor = 1;
    if (n->kind != POINTWISE)
        return 0;
    const struct node *product = producer_of(g, unscale(g, n->output, &factor), MUL);
    for (int k = 0; k < 2 && product; k++) {
        float part = factor;
        const int x = unscale(g, product->inputs[k], &part);
        if (!is_gate(g, product->inputs[!k], x, part))
            continue;
        n->program[0] = (struct instruction) { .function = GELU };
        n->inputs[0] = x;
        n->input_count = 1;
        return 0;
    }
    return 0;
}
