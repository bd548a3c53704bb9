/*
 * Nodes of a faster kind than PLAIN, where a backend has one: tensors of floats with up to four dimensions, weights known.
 * Each is called after infer(), which has checked the node.
 */
#include <math.h>
#include <string.h>

#include "reading.h"
#include "plain/plain.h"

/* 1 if the node's first input is computed and it and the output are floats of four dimensions. */
static int is_picture(const struct reading *r)
{
    const struct tensor *x = input(r, 0);
    return x->shape.type == REAL && x->shape.rank == 4 && !tensor_is_constant(x) &&
           r->out.rank == 4;
}

int lower_pointwise(struct reading *r)
{
    struct node *n = &r->node;
    if (r->out.type != REAL || r->out.rank > 4)
        return 0;
    for (int k = 0; k < n->input_count; k++)
        if (shape_of(r, k)->type != REAL || n->input_count > 2)
            return 0;
    n->kind = POINTWISE;
    n->program_length = 1;
    n->program[0] = (struct instruction) {
        .function = (enum function)r->op->lowered,
        .x = 0,
        .y = n->input_count - 1,
        .low = n->settings.alpha,
        .high = n->settings.beta,
    };
    return 1;
}

/* Operators that take any number of inputs and are given two */
int lower_pair(struct reading *r)
{
    return r->node.input_count == 2 && lower_pointwise(r);
}

/* min(max(a * x + b, 0), 1) */
int lower_hard_sigmoid(struct reading *r)
{
    if (!lower_pointwise(r))
        return 0;
    r->node.program[1] = (struct instruction) { .function = CLIP, .x = ~0, .low = 0, .high = 1 };
    r->node.program_length = 2;
    return 1;
}

int lower_conv(struct reading *r)
{
    const struct node *n = &r->node;
    if (!is_picture(r) || !input(r, 1)->data || (n->window.bias && !input(r, 2)->data))
        return 0;
    r->node.kind = CONVOLUTION;
    return 1;
}

int lower_pool(struct reading *r)
{
    struct window *w = &r->node.window;
    if (!is_picture(r))
        return 0;
    for (int i = 0; i < 2; i++) {
        /* where sizes are rounded up the last window reaches beyond the padding */
        const int reach =
            (r->out.dims[2 + i] - 1) * w->stride[i] + (w->kernel[i] - 1) * w->dilation[i] + 1;
        const int more = reach - (w->before[i] + shape_of(r, 0)->dims[2 + i]);
        if (w->counts_padding && (w->before[i] || w->after[i] || more > 0))
            return 0;
        if (more > w->after[i])
            w->after[i] = more;
        if (w->before[i] >= w->kernel[i] || w->after[i] >= w->kernel[i])
            return 0;
    }
    r->node.kind = (enum kind)r->op->lowered;
    return 1;
}

/* 1 if every nearest element along an axis is the one that backends take, whose arithmetic differs. */
static int is_exact(const struct settings *s, int axis, int in, int out)
{
    const float shift = s->count == ASYMMETRIC ? 0 : 0.5f, scale = (float)in / (float)out;
    for (int i = 0; i < out; i++) {
        const float at = ((float)i + shift) * scale - shift;
        if (resize_nearest(s->keep, fminf(fmaxf(at, 0), (float)(in - 1))) !=
            resize_source(s, axis, 4, i, in, out))
            return 0;
    }
    return 1;
}

int lower_resize(struct reading *r)
{
    const struct settings *s = &r->node.settings;
    const int is_nearest = s->mode == NEAREST && s->count == ASYMMETRIC;
    if (!is_picture(r) || s->mode == CUBIC || (s->count > PYTORCH_HALF_PIXEL && !is_nearest))
        return 0;
    for (int i = 0; i < 4; i++) {
        const int in = shape_of(r, 0)->dims[i], out = r->out.dims[i];
        if (i < 2 ? in != out : s->scale[i] != (float)out / (float)in)
            return 0;
        if (i >= 2 && ((out == 1 && s->count == PYTORCH_HALF_PIXEL) ||
                          (s->mode == NEAREST && !is_exact(s, i, in, out))))
            return 0;
    }
    r->node.kind = RESIZE;
    return 1;
}

int lower_concat(struct reading *r)
{
    if (r->out.type != REAL || r->out.rank > 4)
        return 0;
    r->node.kind = CONCAT;
    r->node.axis = r->node.settings.axis + 4 - r->out.rank;
    return 1;
}

/* Slice and Split with steps of 1 */
int lower_slice(struct reading *r)
{
    const struct settings *s = &r->node.settings;
    ptrdiff_t step = 1, rest = s->copy.base;
    if (!is_picture(r))
        return 0;
    for (int i = 3; i >= 0; i--) {
        if (s->copy.step[i] != step)
            return 0;
        step *= shape_of(r, 0)->dims[i];
    }
    r->node.kind = SLICE;
    for (int i = 0; i < 4; i++) {
        r->node.offset[i] = (int)(rest / s->copy.step[i]);
        rest %= s->copy.step[i];
    }
    return 1;
}

int lower_pad(struct reading *r)
{
    const struct settings *s = &r->node.settings;
    if (!is_picture(r) || s->mode)
        return 0;
    for (int i = 0; i < 4; i++)
        if (s->list[i] < 0 || r->out.dims[i] < s->list[i] + shape_of(r, 0)->dims[i])
            return 0;
    r->node.kind = PAD;
    r->node.fill = s->alpha;
    for (int i = 0; i < 4; i++)
        r->node.offset[i] = (int)s->list[i];
    return 1;
}

/* 1 if t has a value for each column of the output, or one for each of its elements. */
static int is_row_or_all(const struct reading *r, const struct tensor *t)
{
    const int columns = r->out.dims[r->out.rank - 1];
    const size_t elements = tensor_elements(t);
    return t->dims[3] == columns &&
           (elements == (size_t)columns || elements == shape_elements(&r->out));
}

/* Of any number of matrices by one that is known, or of as many by as many. */
int lower_matmul(struct reading *r)
{
    const struct shape *a = shape_of(r, 0), *b = shape_of(r, 1);
    const int known = input(r, 1)->data && b->rank == 2;
    if (a->rank < 2 || (!known && (a->rank != b->rank || a->rank > 4)))
        return 0;
    for (int i = 0; i < a->rank - 2 && !known; i++)
        if (a->dims[i] != b->dims[i])
            return 0;
    r->node.kind = PRODUCT;
    return 1;
}

int lower_gemm(struct reading *r)
{
    const struct settings *s = &r->node.settings;
    const int adds = r->input_count > 2 && input(r, 2);
    if (!input(r, 1)->data || s->mode || s->alpha != 1 ||
        (adds && (s->beta != 1 || !is_row_or_all(r, input(r, 2)))))
        return 0;
    r->node.kind = PRODUCT;
    r->node.columns = s->keep;
    r->node.program[0] = (struct instruction) { .function = ADD, .y = 2 };
    r->node.program_length = adds;
    r->node.input_count = 2 + adds;
    return 1;
}

int lower_softmax(struct reading *r)
{
    const struct settings *s = &r->node.settings;
    const int last = s->axis == r->out.rank - 1;
    if (s->mode != SOFTMAX_ || (!last && (!is_picture(r) || s->axis != 1 || s->keep)))
        return 0;
    r->node.kind = SOFTMAX;
    r->node.axis = last ? 3 : 1;
    return 1;
}

/* What is at one place, known now, is a copy. */
int lower_gather(struct reading *r)
{
    struct node *n = &r->node;
    const struct shape *in = shape_of(r, 0);
    const struct tensor *indices = input(r, 1);
    const int axis = n->settings.axis, size = in->dims[axis];
    ptrdiff_t step = 1, before = 1;
    if (!indices->ints || tensor_elements(indices) != 1)
        return 0;
    for (int i = 0; i < in->rank; i++)
        *(i < axis ? &before : &step) *= i == axis ? 1 : in->dims[i];
    const int64_t index = indices->ints[0] < 0 ? indices->ints[0] + size : indices->ints[0];
    if (index < 0 || index >= size)
        return 0;
    n->compute = copy_compute;
    n->input_count = 1;
    n->settings.copy = (struct copy) { .rank = 2,
        .dims = { (int)before, (int)step },
        .step = { size * step, 1 },
        .base = index * step };
    return 1;
}

int lower_layer(struct reading *r)
{
    const struct settings *s = &r->node.settings;
    if (s->part || s->axis != r->out.rank - 1 || r->input_count != 3 || !input(r, 1)->data ||
        !input(r, 2) || !input(r, 2)->data)
        return 0;
    r->node.kind = NORMALISE;
    r->node.axis = 3;
    r->node.epsilon = s->alpha;
    return 1;
}
