#include "pass.h"

#include <math.h>

/* Two operands of which one is a constant number: one operand and parameters. */
int scalars_run(struct graph *g, struct node *n, struct error *e)
{
    (void)e;
    struct instruction *i = &n->program[0];
    float value;
    if (n->kind != POINTWISE || n->program_length != 1 || is_unary(i))
        return 0;
    const int constant = tensor_scalar(&g->tensors[n->inputs[1]], &value);
    if (!constant && !tensor_scalar(&g->tensors[n->inputs[0]], &value))
        return 0;
    const int first = !constant; /* the constant is the first operand */
    switch (i->function) {
    case ADD: *i = (struct instruction) { LINEAR, 0, 0, 1, value }; break;
    case SUB:
        *i = (struct instruction) { LINEAR, 0, 0, first ? -1 : 1, first ? value : -value };
        break;
    case MUL: *i = (struct instruction) { LINEAR, 0, 0, value, 0 }; break;
    case MIN: *i = (struct instruction) { CLIP, 0, 0, -INFINITY, value }; break;
    case MAX: *i = (struct instruction) { CLIP, 0, 0, value, INFINITY }; break;
    case DIV:
        if (first)
            return 0;
        *i = (struct instruction) { LINEAR, 0, 0, 1 / value, 0 };
        break;
    default: return 0;
    }
    n->inputs[0] = n->inputs[first];
    n->input_count = 1;
    return 0;
}
