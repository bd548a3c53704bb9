/*
 * Operators that put elements together: by place (Concat, Pad) or by index.
 */
#include "plain.h"

#include <string.h>

static inline void copy_elements(
    const struct array *to, size_t at, const struct array *from, size_t start, size_t count)
{
    const size_t size = element_size(&to->shape);
    memcpy((char *)to->real + at * size, (const char *)from->real + start * size, count * size);
}

int concat_infer(struct reading *r)
{
    const struct shape *first = shape_of(r, 0);
    int64_t size = 0;
    int *axis = &r->node.settings.axis;
    if (!attribute(r, "axis") || attribute_axis(r, 0, first->rank, axis))
        return refuse(r, "has no axis of its inputs");
    for (int k = 0; k < r->input_count; k++) {
        const struct shape *s = input(r, k) ? shape_of(r, k) : NULL;
        int same = s && s->rank == first->rank && s->type == first->type;
        for (int i = 0; same && i < first->rank; i++)
            same = i == *axis || s->dims[i] == first->dims[i];
        if (!same)
            return refuse(r, "has inputs of different sizes");
        size += s->dims[*axis];
    }
    if (size > GRAPH_ELEMENTS)
        return refuse(r, "has a result that is too large");
    r->out = *first;
    r->out.dims[*axis] = (int)size;
    return 0;
}

void concat_compute(const struct plain *p)
{
    const int axis = p->node->settings.axis;
    const struct span out = span_of(&p->out.shape, axis);
    size_t offset = 0;
    for (int k = 0; k < p->node->input_count; k++) {
        const size_t part = p->in[k].shape.dims[axis] * out.after;
        for (size_t i = 0; i < out.before; i++)
            copy_elements(&p->out, i * out.size * out.after + offset, &p->in[k], i * part, part);
        offset += part;
    }
}

enum { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE };

int pad_infer(struct reading *r)
{
    static const char *const modes[] = { "constant", "reflect", "edge", NULL };
    const struct shape *in = shape_of(r, 0);
    const int64_t *pads = input_ints(r, 1, 2 * in->rank);
    struct settings *s = &r->node.settings;
    s->mode = attribute_choice(r, "mode", modes);
    if (!pads || s->mode < 0 || input_number(r, 2, 0, &s->alpha))
        return -1;
    r->node.input_count = 1;
    r->out = *in;
    for (int i = 0; i < in->rank; i++) {
        const int64_t before = pads[i], after = pads[in->rank + i], most = in->dims[i] - 1;
        if (in->dims[i] < 1 || before < -GRAPH_SIDE || before > GRAPH_SIDE || after < -GRAPH_SIDE ||
            after > GRAPH_SIDE || in->dims[i] + before + after < 1 ||
            (s->mode == PAD_REFLECT && (before > most || after > most)))
            return refuse(r, "has pads that are not supported");
        s->list[i] = before;
        r->out.dims[i] = (int)(in->dims[i] + before + after);
    }
    return 0;
}

/* Where the element at of an axis comes from; -1: from nowhere. */
static int pad_source(int mode, int64_t at, int size)
{
    if (at >= 0 && at < size)
        return (int)at;
    if (mode == PAD_EDGE)
        return at < 0 ? 0 : size - 1;
    if (mode == PAD_REFLECT)
        return (int)(at < 0 ? -at : 2 * (size - 1) - at);
    return -1;
}

void pad_compute(const struct plain *p)
{
    const struct settings *s = &p->node->settings;
    const struct shape *in = &p->in[0].shape, *out = &p->out.shape;
    const size_t count = shape_elements(out);
    for (size_t index = 0; index < count; index++) {
        size_t rest = index, from = 0, step = 1;
        int inside = 1;
        for (int i = out->rank - 1; i >= 0 && inside; i--) {
            const int at =
                pad_source(s->mode, (int64_t)(rest % out->dims[i]) - s->list[i], in->dims[i]);
            inside = at >= 0;
            from += (size_t)at * step;
            step *= in->dims[i];
            rest /= out->dims[i];
        }
        if (inside)
            copy_elements(&p->out, index, &p->in[0], from, 1);
        else if (out->type == REAL)
            p->out.real[index] = s->alpha;
        else
            p->out.integer[index] = (int64_t)s->alpha;
    }
}

/* An index counts from the end where it is negative; one that is out of bounds is brought to the nearest end. */
static size_t wrap_index(int64_t index, int size)
{
    if (index < 0)
        index += size;
    return index < 0 ? 0 : index >= size ? (size_t)size - 1 : (size_t)index;
}

int gather_infer(struct reading *r)
{
    const struct shape *data = shape_of(r, 0), *indices = shape_of(r, 1);
    int *axis = &r->node.settings.axis;
    if (attribute_axis(r, 0, data->rank, axis))
        return -1;
    if (indices->type == REAL || !data->dims[*axis])
        return refuse(r, "has indices that are not integers, or nothing to take");
    if (data->rank + indices->rank - 1 > GRAPH_RANK)
        return refuse(r, "has a result of more than %d dimensions", GRAPH_RANK);
    r->out = (struct shape) { data->type, data->rank + indices->rank - 1, { 0 } };
    memcpy(r->out.dims, data->dims, *axis * sizeof(int));
    memcpy(r->out.dims + *axis, indices->dims, indices->rank * sizeof(int));
    memcpy(r->out.dims + *axis + indices->rank, data->dims + *axis + 1,
        (data->rank - 1 - *axis) * sizeof(int));
    return 0;
}

void gather_compute(const struct plain *p)
{
    const struct span in = span_of(&p->in[0].shape, p->node->settings.axis);
    const size_t indices = shape_elements(&p->in[1].shape);
    for (size_t i = 0; i < in.before; i++)
        for (size_t k = 0; k < indices; k++)
            copy_elements(&p->out, (i * indices + k) * in.after, &p->in[0],
                (i * in.size + wrap_index(p->in[1].integer[k], (int)in.size)) * in.after, in.after);
}

/* GatherElements and ScatterElements: indices have data's rank and at most its sizes. */
static int check_element_indices(struct reading *r)
{
    const struct shape *data = shape_of(r, 0), *indices = shape_of(r, 1);
    int ok = indices->rank == data->rank && indices->type != REAL && shape_elements(data);
    if (attribute_axis(r, 0, data->rank, &r->node.settings.axis))
        return -1;
    for (int i = 0; ok && i < data->rank; i++)
        ok = i == r->node.settings.axis || indices->dims[i] <= data->dims[i];
    return ok ? 0 : refuse(r, "has indices of a size that is not its input's");
}

int gather_elements_infer(struct reading *r)
{
    if (check_element_indices(r))
        return -1;
    r->out = *shape_of(r, 1);
    r->out.type = shape_of(r, 0)->type;
    return 0;
}

/* Where element i of the indices points in data. */
static size_t element_place(
    const struct array *indices, size_t i, const struct shape *data, int axis)
{
    size_t at = 0, step = 1, rest = i;
    for (int d = data->rank - 1; d >= 0; d--) {
        const size_t digit = rest % indices->shape.dims[d];
        at += step * (d == axis ? wrap_index(indices->integer[i], data->dims[d]) : digit);
        step *= data->dims[d];
        rest /= indices->shape.dims[d];
    }
    return at;
}

void gather_elements_compute(const struct plain *p)
{
    const size_t count = shape_elements(&p->out.shape);
    for (size_t i = 0; i < count; i++)
        copy_elements(&p->out, i, &p->in[0],
            element_place(&p->in[1], i, &p->in[0].shape, p->node->settings.axis), 1);
}

int scatter_elements_infer(struct reading *r)
{
    static const char *const reductions[] = { "none", "add", "mul", NULL };
    r->out = *shape_of(r, 0);
    r->node.settings.mode = attribute_choice(r, "reduction", reductions);
    if (r->node.settings.mode < 0 || check_element_indices(r))
        return -1;
    if (shape_of(r, 2)->type != r->out.type ||
        shape_elements(shape_of(r, 2)) != shape_elements(shape_of(r, 1)))
        return refuse(r, "has updates that are not of its indices' size");
    return 0;
}

static void scatter(const struct plain *p, size_t to, size_t from)
{
    const int mode = p->node->settings.mode;
    if (!mode)
        copy_elements(&p->out, to, &p->in[2], from, 1);
    else if (p->out.shape.type == REAL)
        p->out.real[to] = mode == 1 ? p->out.real[to] + p->in[2].real[from]
                                    : p->out.real[to] * p->in[2].real[from];
    else
        p->out.integer[to] = mode == 1 ? p->out.integer[to] + p->in[2].integer[from]
                                       : p->out.integer[to] * p->in[2].integer[from];
}

void scatter_elements_compute(const struct plain *p)
{
    const size_t count = shape_elements(&p->in[1].shape);
    copy_elements(&p->out, 0, &p->in[0], 0, shape_elements(&p->out.shape));
    for (size_t i = 0; i < count; i++)
        scatter(p, element_place(&p->in[1], i, &p->out.shape, p->node->settings.axis), i);
}

/* GatherND and ScatterND: the last dimension of the indices is a place in data, after batch dimensions. */
static int check_places(struct reading *r, int batch)
{
    const struct shape *data = shape_of(r, 0), *indices = shape_of(r, 1);
    const int last = indices->rank ? indices->dims[indices->rank - 1] : 0;
    int ok = indices->rank > batch && last >= 1 && batch + last <= data->rank &&
             indices->type != REAL && shape_elements(data);
    for (int i = 0; ok && i < batch; i++)
        ok = indices->dims[i] == data->dims[i];
    return ok ? 0 : refuse(r, "has indices of a size that is not its input's");
}

int gather_nd_infer(struct reading *r)
{
    const struct shape *data = shape_of(r, 0), *indices = shape_of(r, 1);
    const int64_t batch = attribute_int(r, "batch_dims", 0);
    if (batch < 0 || batch >= GRAPH_RANK)
        return refuse(r, "has %lld batch_dims", (long long)batch);
    if (check_places(r, (int)batch))
        return -1;
    r->node.settings.axis = (int)batch;
    const int kept = (int)batch + indices->dims[indices->rank - 1];
    if (indices->rank - 1 + data->rank - kept > GRAPH_RANK)
        return refuse(r, "has a result of more than %d dimensions", GRAPH_RANK);
    r->out = (struct shape) { data->type, indices->rank - 1 + data->rank - kept, { 0 } };
    memcpy(r->out.dims, indices->dims, (indices->rank - 1) * sizeof(int));
    memcpy(r->out.dims + indices->rank - 1, data->dims + kept, (data->rank - kept) * sizeof(int));
    return 0;
}

/* The element of data at which place i of the indices starts, and how many elements it is. */
static size_t place_of(
    const struct array *indices, size_t i, const struct shape *data, int batch, size_t *width)
{
    const int last = indices->shape.dims[indices->shape.rank - 1];
    size_t places = 1, at = 0;
    for (int d = batch; d < indices->shape.rank - 1; d++)
        places *= indices->shape.dims[d];
    for (int d = 0; d < last; d++)
        at = at * data->dims[batch + d] +
             wrap_index(indices->integer[i * last + d], data->dims[batch + d]);
    size_t inner = 1;
    for (int d = batch; d < batch + last; d++)
        inner *= data->dims[d];
    *width = 1;
    for (int d = batch + last; d < data->rank; d++)
        *width *= data->dims[d];
    return (i / places * inner + at) * *width;
}

void gather_nd_compute(const struct plain *p)
{
    const struct shape *indices = &p->in[1].shape;
    const size_t count = shape_elements(indices) / indices->dims[indices->rank - 1];
    for (size_t i = 0; i < count; i++) {
        size_t width;
        const size_t at = place_of(&p->in[1], i, &p->in[0].shape, p->node->settings.axis, &width);
        copy_elements(&p->out, i * width, &p->in[0], at, width);
    }
}

int scatter_nd_infer(struct reading *r)
{
    static const char *const reductions[] = { "none", "add", "mul", NULL };
    r->out = *shape_of(r, 0);
    r->node.settings.mode = attribute_choice(r, "reduction", reductions);
    if (r->node.settings.mode < 0 || check_places(r, 0))
        return -1;
    const struct shape *indices = shape_of(r, 1);
    size_t width = 1, last = indices->dims[indices->rank - 1];
    for (int d = (int)last; d < r->out.rank; d++)
        width *= r->out.dims[d];
    if (shape_of(r, 2)->type != r->out.type ||
        shape_elements(shape_of(r, 2)) != shape_elements(indices) / last * width)
        return refuse(r, "has updates that are not of its indices' size");
    return 0;
}

void scatter_nd_compute(const struct plain *p)
{
    const struct shape *indices = &p->in[1].shape;
    const size_t count = shape_elements(indices) / indices->dims[indices->rank - 1];
    copy_elements(&p->out, 0, &p->in[0], 0, shape_elements(&p->out.shape));
    for (size_t i = 0; i < count; i++) {
        size_t width;
        const size_t at = place_of(&p->in[1], i, &p->out.shape, 0, &width);
        for (size_t k = 0; k < width; k++)
            scatter(p, at + k, i * width + k);
    }
}
