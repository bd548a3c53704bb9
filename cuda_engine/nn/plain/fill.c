/*
 * Operators that make a tensor of a few numbers.
 */
#include "plain.h"

#include <math.h>

int constant_of_shape_infer(struct reading *r)
{
    const int64_t *sizes = input_ints(r, 0, -1);
    const Onnx__AttributeProto *a = attribute(r, "value");
    struct settings *s = &r->node.settings;
    if (!sizes)
        return -1;
    r->out = (struct shape) { REAL, 0, { 0 } };
    if (shape_set(&r->out, r->graph, "node", node_name(r->proto), tensor_elements(input(r, 0)),
            sizes, 0, r->error))
        return -1;
    r->node.input_count = 0;
    if (!a || !a->t)
        return 0;
    const int value = constant_make(r->graph, "value of", node_name(r->proto), a->t, r->error);
    if (value < 0)
        return -1;
    const struct tensor *t = &r->graph->tensors[value];
    if (tensor_elements(t) != 1)
        return refuse(r, "has a value of %zu elements", tensor_elements(t));
    r->out.type = t->shape.type;
    if (t->data)
        s->alpha = t->data[0];
    else
        s->list[0] = t->ints[0];
    return 0;
}

void constant_of_shape_compute(const struct plain *p)
{
    const size_t count = shape_elements(&p->out.shape);
    for (size_t i = 0; i < count; i++)
        if (p->out.shape.type == REAL)
            p->out.real[i] = p->node->settings.alpha;
        else
            p->out.integer[i] = p->node->settings.list[0];
}

int range_infer(struct reading *r)
{
    double count;
    for (int k = 0; k < 3; k++)
        if (!input(r, k) || !tensor_is_constant(input(r, k)) || tensor_elements(input(r, k)) != 1 ||
            shape_of(r, k)->type != shape_of(r, 0)->type)
            return refuse(r, "needs a constant number as its input %d", k);
    const struct tensor *start = input(r, 0), *limit = input(r, 1), *delta = input(r, 2);
    if (start->data)
        count = ceil(((double)limit->data[0] - start->data[0]) / delta->data[0]);
    else
        count = ceil(((double)limit->ints[0] - (double)start->ints[0]) / (double)delta->ints[0]);
    if (!(count <= GRAPH_ELEMENTS))
        return refuse(r, "has a result that is too large");
    r->out = (struct shape) { start->shape.type, 1, { count > 0 ? (int)count : 0 } };
    return 0;
}

void range_compute(const struct plain *p)
{
    for (int i = 0; i < p->out.shape.dims[0]; i++)
        if (p->out.shape.type == REAL)
            p->out.real[i] = p->in[0].real[0] + (float)i * p->in[2].real[0];
        else
            p->out.integer[i] = p->in[0].integer[0] + i * p->in[2].integer[0];
}

int one_hot_infer(struct reading *r)
{
    const struct shape *indices = shape_of(r, 0);
    float depth;
    if (input_number(r, 1, 0, &depth))
        return -1;
    if (!(depth >= 1 && depth <= GRAPH_SIDE) || indices->rank == GRAPH_RANK)
        return refuse(r, "has a result that is too large");
    if (attribute_axis(r, -1, indices->rank + 1, &r->node.settings.axis))
        return -1;
    if (shape_elements(shape_of(r, 2)) != 2)
        return refuse(r, "needs two values");
    r->out = (struct shape) { shape_of(r, 2)->type, indices->rank + 1, { 0 } };
    for (int i = 0, from = 0; i < r->out.rank; i++)
        r->out.dims[i] = i == r->node.settings.axis ? (int)depth : indices->dims[from++];
    return 0;
}

void one_hot_compute(const struct plain *p)
{
    const struct span out = span_of(&p->out.shape, p->node->settings.axis);
    const size_t count = shape_elements(&p->out.shape);
    for (size_t i = 0; i < count; i++) {
        const size_t k = i / out.after % out.size,
                     from = i / out.after / out.size * out.after + i % out.after;
        int64_t index =
            p->in[0].shape.type == REAL ? (int64_t)p->in[0].real[from] : p->in[0].integer[from];
        if (index < 0)
            index += (int64_t)out.size;
        const int on = index == (int64_t)k;
        if (p->out.shape.type == REAL)
            p->out.real[i] = p->in[2].real[on];
        else
            p->out.integer[i] = p->in[2].integer[on];
    }
}

int eye_like_infer(struct reading *r)
{
    r->out = *shape_of(r, 0);
    const int64_t type = attribute_int(r, "dtype", 0);
    if (r->out.rank != 2 || (type && shape_type(type, &r->out.type)))
        return refuse(r, "is not of two dimensions and a type that is supported");
    r->node.settings.list[0] = attribute_int(r, "k", 0);
    r->node.input_count = 0;
    return 0;
}

void eye_like_compute(const struct plain *p)
{
    const int64_t k = p->node->settings.list[0];
    for (int y = 0; y < p->out.shape.dims[0]; y++)
        for (int x = 0; x < p->out.shape.dims[1]; x++) {
            const size_t i = (size_t)y * p->out.shape.dims[1] + x;
            if (p->out.shape.type == REAL)
                p->out.real[i] = (float)(x - y == k);
            else
                p->out.integer[i] = x - y == k;
        }
}

int trilu_infer(struct reading *r)
{
    float k;
    r->out = *shape_of(r, 0);
    if (r->out.rank < 2)
        return refuse(r, "has an input of fewer than two dimensions");
    if (input_number(r, 1, 0, &k))
        return -1;
    r->node.settings.list[0] = (int64_t)fmaxf(-GRAPH_SIDE, fminf(GRAPH_SIDE, k));
    r->node.settings.mode = (int)attribute_int(r, "upper", 1);
    r->node.input_count = 1;
    return 0;
}

void trilu_compute(const struct plain *p)
{
    const size_t count = shape_elements(&p->out.shape);
    const int h = p->out.shape.dims[p->out.shape.rank - 2],
              w = p->out.shape.dims[p->out.shape.rank - 1];
    const int64_t k = p->node->settings.list[0];
    for (size_t i = 0; i < count; i++) {
        const int64_t off = (int64_t)(i % w) - (int64_t)(i / w % h) - k;
        const int kept = p->node->settings.mode ? off >= 0 : off <= 0;
        if (p->out.shape.type == REAL)
            p->out.real[i] = kept ? p->in[0].real[i] : 0;
        else
            p->out.integer[i] = kept ? p->in[0].integer[i] : 0;
    }
}
