#include "pass.h"

#include <math.h>

/* x / 6 * min(max(x + 3, 0), 6), as exporters write HardSwish. */
int hardswish_run(struct graph *g, struct node *n, struct error *e)
{
    (void)e;
    if (n->kind != POINTWISE || n->program[0].function != MUL)
        return 0;
    for (int k = 0; k < 2; k++) {
        const struct node *sixth = producer_of(g, n->inputs[k], LINEAR);
        const struct node *clip = producer_of(g, n->inputs[!k], CLIP);
        const struct node *plus = clip ? producer_of(g, clip->inputs[0], LINEAR) : NULL;
        if (!sixth || !plus || sixth->inputs[0] != plus->inputs[0])
            continue;
        const struct instruction *s = &sixth->program[0], *c = &clip->program[0],
                                 *p = &plus->program[0];
        if (fabsf(s->low - 1.0f / 6) < 1e-6f && s->high == 0 && c->low == 0 && c->high == 6 &&
            p->low == 1 && p->high == 3) {
            n->program[0] = (struct instruction) { .function = HARDSWISH };
            n->inputs[0] = plus->inputs[0];
            n->input_count = 1;
            return 0;
        }
    }
    return 0;
}
