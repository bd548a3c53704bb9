#include "pass.h"

#include <math.h>

/* Where one stands, walking against the flow through element-wise nodes: at a tensor, or (at >= 0) at an instruction. */
struct cursor {
    int tensor;
    const struct node *node;
    int at;
};

/* The instruction that computes what c is at, if it is of that function: c moves to its operand. NULL otherwise. */
static const struct instruction *back(
    const struct graph *g, struct cursor *c, enum function function)
{
    struct cursor to = *c;
    if (to.at < 0) {
        const int producer = g->tensors[to.tensor].producer;
        if (producer < 0 || g->nodes[producer].kind != POINTWISE)
            return NULL;
        to.node = &g->nodes[producer];
        to.at = to.node->program_length - 1;
    }
    const struct instruction *in = &to.node->program[to.at];
    if (in->function != function)
        return NULL;
    to.at = in->x < 0 ? ~in->x : -1;
    if (in->x >= 0)
        to.tensor = to.node->inputs[in->x];
    *c = to;
    return in;
}

/* 1 if tensor t is factor * min(max(x * scale + shift, 0), most); what its x is goes to *x. */
static int find_gate(const struct graph *g, int t, int *x, float gate[4])
{
    struct cursor c = { .tensor = t, .at = -1 };
    const struct instruction *factor = back(g, &c, LINEAR), *clip = back(g, &c, CLIP),
                             *inner = clip ? back(g, &c, LINEAR) : NULL;
    if (!inner || c.at >= 0 || clip->low != 0 || (factor && factor->high != 0))
        return 0;
    *x = c.tensor;
    gate[0] = factor ? factor->low : 1;
    gate[1] = inner->low;
    gate[2] = inner->high;
    gate[3] = clip->high;
    return 1;
}

/* 1 if tensor t is x * factor. */
static int find_factor(const struct graph *g, int t, int x, float *factor)
{
    struct cursor c = { .tensor = t, .at = -1 };
    *factor = 1;
    if (t == x)
        return 1;
    const struct instruction *in = back(g, &c, LINEAR);
    if (!in || in->high != 0 || c.at >= 0 || c.tensor != x)
        return 0;
    *factor = in->low;
    return 1;
}

static int is_near(float value, float due)
{
    return fabsf(value - due) < 1e-6f;
}

/* The factors of tensor t's product, which is of x and a gate of x, are those of HardSwish when multiplied by more. */
static int is_hardswish(const struct graph *g, const int factors[2], float more, int *x)
{
    for (int k = 0; k < 2; k++) {
        float gate[4], factor;
        if (!find_gate(g, factors[k], x, gate) || !find_factor(g, factors[!k], *x, &factor))
            continue;
        const float all = factor * gate[0] * more;
        if (is_near(all * gate[3], 1) && is_near(all * gate[1], 1.0f / 6) &&
            is_near(all * gate[2], 0.5f))
            return 1;
    }
    return 0;
}

static int is_product(const struct node *n)
{
    return n->kind == POINTWISE && n->program_length == 1 && n->program[0].function == MUL;
}

/* x * min(max(x + 3, 0), 6) / 6, whichever of it exporters divide. */
int hardswish_run(struct graph *g, struct node *n, struct error *e)
{
    (void)e;
    int x;
    if (n->kind != POINTWISE || n->program_length != 1)
        return 0;
    const struct instruction *in = &n->program[0];
    const struct node *product = n;
    float more = 1;
    if (in->function == LINEAR && in->high == 0) {
        product = only_producer(g, n, 0);
        more = in->low;
    }
    if (!product || !is_product(product) || !is_hardswish(g, product->inputs, more, &x))
        return 0;
    n->program[0] = (struct instruction) { .function = HARDSWISH };
    n->inputs[0] = x;
    n->input_count = 1;
    return 0;
}
