#include "pass.h"

#include <string.h>

/* Operand k of n becomes the program of from, which computes it; 1 if there is room. */
static int inline_program(struct node *n, int k, const struct node *from)
{
    struct node merged = *n;
    int map[GRAPH_INPUTS];
    if (from->program_length + n->program_length > GRAPH_PROGRAM)
        return 0;
    for (int i = 0; i < from->input_count; i++) {
        int at = 0;
        while (at < merged.input_count && (at == k || merged.inputs[at] != from->inputs[i]))
            at++;
        if (at == GRAPH_INPUTS)
            return 0;
        if (at == merged.input_count)
            merged.inputs[merged.input_count++] = from->inputs[i];
        map[i] = at;
    }
    /* from's instructions come first, so those of n move up, and operand k is the last of from's */
    const int shift = from->program_length, result = ~(shift - 1);
    for (int i = 0; i < n->program_length; i++) {
        struct instruction in = n->program[i];
        in.x = in.x < 0 ? in.x - shift : in.x == k ? result : in.x;
        in.y = in.y < 0 ? in.y - shift : in.y == k ? result : in.y;
        merged.program[shift + i] = in;
    }
    for (int i = 0; i < shift; i++) {
        struct instruction in = from->program[i];
        in.x = in.x < 0 ? in.x : map[in.x];
        in.y = in.y < 0 ? in.y : map[in.y];
        merged.program[i] = in;
    }
    merged.program_length = shift + n->program_length;
    /* the last input takes the place of operand k, which is no longer read */
    const int last = --merged.input_count;
    merged.inputs[k] = merged.inputs[last];
    for (int i = 0; i < merged.program_length; i++) {
        struct instruction *in = &merged.program[i];
        if (in->x == last)
            in->x = k;
        if (in->y == last)
            in->y = k;
    }
    *n = merged;
    return 1;
}

/* Element-wise nodes that feed one other of the same size become part of it. */
int pointwise_run(struct graph *g, struct node *n, struct error *e)
{
    (void)e;
    if (n->kind != POINTWISE)
        return 0;
    for (int k = 0; k < n->input_count;) {
        const struct node *from = only_producer(g, n, k);
        if (from && from->kind == POINTWISE &&
            !memcmp(g->tensors[from->output].dims, g->tensors[n->output].dims, 4 * sizeof(int)) &&
            inline_program(n, k, from))
            k = 0;
        else
            k++;
    }
    return 0;
}
