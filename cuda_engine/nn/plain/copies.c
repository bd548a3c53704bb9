/*
 * Operators that move elements without computing: each is one copy with strides, worked out here. And Shape and Size.
 */
#include "plain.h"

#include <string.h>

void copy_compute(const struct plain *p)
{
    const struct settings *s = &p->node->settings;
    const size_t size = element_size(&p->out.shape), count = shape_elements(&p->out.shape);
    const int last = s->copy.rank - 1;
    const size_t width = last >= 0 ? s->copy.dims[last] : 1;
    const ptrdiff_t step = last >= 0 ? s->copy.step[last] : 1;
    if (!count) /* an output of the graph may be empty */
        return;
#pragma omp parallel for
    for (size_t start = 0; start < count; start += width) {
        ptrdiff_t at = s->copy.base;
        size_t index = start / width;
        for (int i = last - 1; i >= 0; i--) {
            at += (ptrdiff_t)(index % s->copy.dims[i]) * s->copy.step[i];
            index /= s->copy.dims[i];
        }
        if (step == 1)
            memcpy((char *)p->out.real + start * size,
                (const char *)p->in[0].real + at * (ptrdiff_t)size, width * size);
        else if (size == sizeof(float))
            for (size_t i = 0; i < width; i++)
                p->out.real[start + i] = p->in[0].real[at + (ptrdiff_t)i * step];
        else
            for (size_t i = 0; i < width; i++)
                p->out.integer[start + i] = p->in[0].integer[at + (ptrdiff_t)i * step];
    }
}

/* The strides of a tensor in rows. */
static void strides_of(const struct shape *s, ptrdiff_t *steps)
{
    ptrdiff_t step = 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        steps[i] = step;
        step *= s->dims[i];
    }
}

/* The copy's output is like r->out, read through these strides of the input. */
static void copy_like_out(struct reading *r, const ptrdiff_t *steps)
{
    struct settings *s = &r->node.settings;
    s->copy.rank = r->out.rank;
    memcpy(s->copy.dims, r->out.dims, sizeof r->out.dims);
    memcpy(s->copy.step, steps, r->out.rank * sizeof *steps);
    r->node.input_count = 1;
}

/* All elements in their order; r->out may have other dims than the input, but as many elements. */
static int copy_all(struct reading *r)
{
    struct settings *s = &r->node.settings;
    if (shape_elements(&r->out) != shape_elements(shape_of(r, 0)))
        return refuse(r, "has %zu elements where its shape is of %zu",
            shape_elements(shape_of(r, 0)), shape_elements(&r->out));
    s->copy.rank = 1;
    s->copy.dims[0] = (int)shape_elements(&r->out);
    s->copy.step[0] = 1;
    r->node.input_count = 1;
    return 0;
}

/* Identity, and Dropout when it does nothing. */
int same_infer(struct reading *r)
{
    float training;
    r->out = *shape_of(r, 0);
    if (input_number(r, 2, 0, &training))
        return -1;
    if (training != 0)
        return refuse(r, "is for training");
    r->same = 1;
    return copy_all(r);
}

/* Shape; Size where op->function is 1. */
int shape_infer(struct reading *r)
{
    struct settings *s = &r->node.settings;
    const struct shape *in = shape_of(r, 0);
    int64_t bounds[2] = { attribute_int(r, "start", 0), attribute_int(r, "end", in->rank) };
    r->out = (struct shape) { INTEGER, 0, { 0 } };
    r->node.input_count = 0; /* only its shape is read */
    if (r->op->function) {
        s->list[0] = (int64_t)shape_elements(in);
        return 0;
    }
    for (int k = 0; k < 2; k++) {
        if (bounds[k] < 0)
            bounds[k] += in->rank;
        bounds[k] = bounds[k] < 0 ? 0 : bounds[k] > in->rank ? in->rank : bounds[k];
    }
    r->out.rank = 1;
    r->out.dims[0] = bounds[1] > bounds[0] ? (int)(bounds[1] - bounds[0]) : 0;
    for (int i = 0; i < r->out.dims[0]; i++)
        s->list[i] = in->dims[bounds[0] + i];
    return 0;
}

void shape_compute(const struct plain *p)
{
    memcpy(p->out.integer, p->node->settings.list,
        shape_elements(&p->out.shape) * sizeof *p->out.integer);
}

int reshape_infer(struct reading *r)
{
    const struct shape *in = shape_of(r, 0);
    const int64_t *sizes = input_ints(r, 1, -1);
    if (!sizes)
        return -1;
    const int count = (int)tensor_elements(input(r, 1)),
              zero = (int)attribute_int(r, "allowzero", 0);
    int64_t known = 1;
    int open = -1;
    if (count > GRAPH_RANK)
        return refuse(r, "has %d dimensions; at most %d are supported", count, GRAPH_RANK);
    r->out = (struct shape) { in->type, count, { 0 } };
    for (int i = 0; i < count; i++) {
        int64_t size = sizes[i];
        if (size == 0 && !zero && i < in->rank)
            size = in->dims[i];
        if (size < -1 || size > GRAPH_ELEMENTS || (size == -1 && open >= 0))
            return refuse(r, "has a shape that is not supported");
        if (size == -1)
            open = i;
        else
            known *= size;
        if (known > GRAPH_ELEMENTS)
            return refuse(r, "has a result that is too large");
        r->out.dims[i] = size < 0 ? 1 : (int)size;
    }
    if (open >= 0 && known)
        r->out.dims[open] = (int)(shape_elements(in) / known);
    return copy_all(r);
}

int flatten_infer(struct reading *r)
{
    const struct shape *in = shape_of(r, 0);
    int64_t axis = attribute_int(r, "axis", 1);
    if (axis < -in->rank || axis > in->rank)
        return refuse(r, "has the axis %lld of %d", (long long)axis, in->rank);
    if (axis < 0)
        axis += in->rank;
    r->out = (struct shape) { in->type, 2, { 1, 1 } };
    for (int i = 0; i < in->rank; i++)
        r->out.dims[i >= axis] *= in->dims[i];
    return copy_all(r);
}

/* Marks the axes given by input 1 or the attribute, of a rank; -1 after refuse(). *count: how many. */
static int mark_axes(struct reading *r, int rank, char *marks, int *count)
{
    const int64_t *axes;
    memset(marks, 0, GRAPH_RANK);
    if (input_or_attribute(r, 1, "axes", &axes, count))
        return -1;
    for (int i = 0; i < *count; i++) {
        int axis;
        if (check_axis(r, axes[i], rank, &axis))
            return -1;
        if (marks[axis]++)
            return refuse(r, "names an axis twice");
    }
    return 0;
}

int squeeze_infer(struct reading *r)
{
    const struct shape *in = shape_of(r, 0);
    char marks[GRAPH_RANK];
    int count;
    if (mark_axes(r, in->rank, marks, &count))
        return -1;
    r->out = (struct shape) { in->type, 0, { 0 } };
    for (int i = 0; i < in->rank; i++)
        if (!(count ? marks[i] : in->dims[i] == 1))
            r->out.dims[r->out.rank++] = in->dims[i];
    return copy_all(r);
}

int unsqueeze_infer(struct reading *r)
{
    const struct shape *in = shape_of(r, 0);
    const int64_t *axes;
    char marks[GRAPH_RANK];
    int count;
    if (input_or_attribute(r, 1, "axes", &axes, &count))
        return -1;
    if (in->rank + count > GRAPH_RANK)
        return refuse(
            r, "has %d dimensions; at most %d are supported", in->rank + count, GRAPH_RANK);
    if (mark_axes(r, in->rank + count, marks, &count))
        return -1;
    r->out = (struct shape) { in->type, in->rank + count, { 0 } };
    for (int i = 0, from = 0; i < r->out.rank; i++)
        r->out.dims[i] = marks[i] ? 1 : in->dims[from++];
    return copy_all(r);
}

int transpose_infer(struct reading *r)
{
    const struct shape *in = shape_of(r, 0);
    const Onnx__AttributeProto *a = attribute(r, "perm");
    ptrdiff_t from[GRAPH_RANK], steps[GRAPH_RANK] = { 0 };
    unsigned seen = 0;
    if (a && a->n_ints != (size_t)in->rank)
        return refuse(r, "has a perm of %zu axes of %d", a->n_ints, in->rank);
    r->out = *in;
    strides_of(in, from);
    for (int i = 0; i < in->rank; i++) {
        const int64_t axis = a ? a->ints[i] : in->rank - 1 - i;
        if (axis < 0 || axis >= in->rank || (seen & 1U << axis))
            return refuse(r, "has a perm that is none");
        seen |= 1U << axis;
        r->out.dims[i] = in->dims[axis];
        steps[i] = from[axis];
    }
    copy_like_out(r, steps);
    return 0;
}

int expand_infer(struct reading *r)
{
    const struct shape *in = shape_of(r, 0);
    const int64_t *sizes = input_ints(r, 1, -1);
    if (!sizes)
        return -1;
    const int count = (int)tensor_elements(input(r, 1));
    if (count > GRAPH_RANK)
        return refuse(r, "has %d dimensions; at most %d are supported", count, GRAPH_RANK);
    r->out = (struct shape) { in->type, count > in->rank ? count : in->rank, { 0 } };
    ptrdiff_t from[GRAPH_RANK], steps[GRAPH_RANK] = { 0 };
    strides_of(in, from);
    for (int i = 1; i <= r->out.rank; i++) {
        const int64_t size = i <= in->rank ? in->dims[in->rank - i] : 1;
        const int64_t wish = i <= count ? sizes[count - i] : 1;
        if ((wish != 1 && size != 1 && wish != size) || wish < 0 || wish > GRAPH_ELEMENTS)
            return refuse(r, "has a shape to which its input does not broadcast");
        r->out.dims[r->out.rank - i] = (int)(size == 1 ? wish : size);
        steps[r->out.rank - i] = size == 1 ? 0 : from[in->rank - i];
    }
    copy_like_out(r, steps);
    return 0;
}

int tile_infer(struct reading *r)
{
    const struct shape *in = shape_of(r, 0);
    struct settings *s = &r->node.settings;
    const int64_t *repeats = input_ints(r, 1, in->rank);
    if (!repeats)
        return -1;
    ptrdiff_t from[GRAPH_RANK];
    strides_of(in, from);
    r->out = *in;
    s->copy.rank = 2 * in->rank;
    for (int i = 0; i < in->rank; i++) {
        if (repeats[i] < 1 || repeats[i] > GRAPH_ELEMENTS / (in->dims[i] + 1))
            return refuse(r, "has repeats that are not supported");
        r->out.dims[i] *= (int)repeats[i];
        s->copy.dims[2 * i] = (int)repeats[i];
        s->copy.dims[2 * i + 1] = in->dims[i];
        s->copy.step[2 * i + 1] = from[i];
    }
    r->node.input_count = 1;
    return 0;
}

/* The first element and the number of elements of start:end:step along size elements. */
static void slice_axis(
    int64_t size, int64_t start, int64_t end, int64_t step, int64_t *at, int *count)
{
    const int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? size : size - 1;
    int64_t bounds[2] = { start, end };
    for (int k = 0; k < 2; k++) {
        if (bounds[k] < 0)
            bounds[k] = bounds[k] < -size ? -1 : bounds[k] + size;
        if (bounds[k] < lowest)
            bounds[k] = lowest;
        if (bounds[k] > highest)
            bounds[k] = highest;
    }
    const int64_t way = step > 0 ? bounds[1] - bounds[0] : bounds[0] - bounds[1];
    const int64_t stride = step > 0 ? step : -step;
    *at = bounds[0];
    *count = way > 0 ? (int)((way - 1) / stride + 1) : 0;
}

int slice_infer(struct reading *r)
{
    static const int64_t in_order[] = { 0, 1, 2, 3, 4, 5 };
    const struct shape *in = shape_of(r, 0);
    const int64_t *starts = input_ints(r, 1, -1);
    if (!starts)
        return -1;
    const int count = (int)tensor_elements(input(r, 1));
    if (count > in->rank)
        return refuse(r, "has %d axes of %d", count, in->rank);
    const int64_t *ends = input_ints(r, 2, count);
    const int64_t *axes = input(r, 3) ? input_ints(r, 3, count) : in_order;
    const int64_t *by = input(r, 4) ? input_ints(r, 4, count) : NULL;
    if (!ends || !axes || (input(r, 4) && !by))
        return -1;
    ptrdiff_t steps[GRAPH_RANK] = { 0 };
    strides_of(in, steps);
    r->out = *in;
    for (int i = 0; i < count; i++) {
        int axis;
        int64_t at, step = by ? by[i] : 1;
        if (check_axis(r, axes[i], in->rank, &axis))
            return -1;
        if (!step || step < -GRAPH_ELEMENTS || step > GRAPH_ELEMENTS)
            return refuse(r, "has a step of %lld", (long long)step);
        slice_axis(in->dims[axis], starts[i], ends[i], step, &at, &r->out.dims[axis]);
        r->node.settings.copy.base += (ptrdiff_t)at * steps[axis];
        steps[axis] *= (ptrdiff_t)step;
    }
    copy_like_out(r, steps);
    return 0;
}

int split_infer(struct reading *r)
{
    const struct shape *in = shape_of(r, 0);
    const int outputs = (int)r->proto->n_output, part = r->node.settings.part;
    const int64_t *sizes;
    int count, axis;
    int64_t at = 0, end = 0;
    if (attribute_axis(r, 0, in->rank, &axis) || input_or_attribute(r, 1, "split", &sizes, &count))
        return -1;
    if (sizes && count != outputs)
        return refuse(r, "has %d sizes for %d outputs", count, outputs);
    if (!sizes && in->dims[axis] % outputs)
        return refuse(r, "has no sizes, and %d outputs of %d together", outputs, in->dims[axis]);
    for (int i = 0; i < outputs; i++) {
        const int64_t size = sizes ? sizes[i] : in->dims[axis] / outputs;
        if (size < 0 || size > in->dims[axis] - end)
            return refuse(r, "has sizes that are not its input's");
        if (i < part)
            at += size;
        end += size;
    }
    if (end != in->dims[axis])
        return refuse(r, "has sizes that are not its input's");
    ptrdiff_t steps[GRAPH_RANK] = { 0 };
    strides_of(in, steps);
    r->out = *in;
    r->out.dims[axis] = (int)(sizes ? sizes[part] : in->dims[axis] / outputs);
    r->node.settings.copy.base = (ptrdiff_t)at * steps[axis];
    copy_like_out(r, steps);
    return 0;
}

/* The copy of N, C, H, W in blocks: dims and steps by name, in the output's order. */
static int copy_blocks(struct reading *r, const int dims[6], const ptrdiff_t steps[6])
{
    struct settings *s = &r->node.settings;
    s->copy.rank = 6;
    memcpy(s->copy.dims, dims, 6 * sizeof *dims);
    memcpy(s->copy.step, steps, 6 * sizeof *steps);
    return 0;
}

int depth_to_space_infer(struct reading *r)
{
    static const char *const modes[] = { "DCR", "CRD", NULL };
    const struct shape *in = shape_of(r, 0);
    const int mode = attribute_choice(r, "mode", modes);
    const int64_t block = attribute_int(r, "blocksize", 0);
    if (mode < 0)
        return -1;
    if (in->rank != 4 || !shape_elements(in) || block < 1 || block > GRAPH_SIDE ||
        in->dims[1] % (block * block))
        return refuse(r, "has a blocksize that is not its input's");
    const int b = (int)block, c = in->dims[1] / (b * b), h = in->dims[2], w = in->dims[3];
    const ptrdiff_t plane = (ptrdiff_t)h * w;
    const ptrdiff_t y = mode ? b * plane : (ptrdiff_t)b * c * plane, x = mode ? plane : c * plane;
    r->out = (struct shape) { in->type, 4, { in->dims[0], c, h * b, w * b } };
    return copy_blocks(r, (int[6]) { in->dims[0], c, h, b, w, b },
        (ptrdiff_t[6]) { in->dims[1] * plane, mode ? b * b * plane : plane, w, y, 1, x });
}

int space_to_depth_infer(struct reading *r)
{
    const struct shape *in = shape_of(r, 0);
    const int64_t block = attribute_int(r, "blocksize", 0);
    if (in->rank != 4 || !shape_elements(in) || block < 1 || block > GRAPH_SIDE ||
        in->dims[2] % block || in->dims[3] % block)
        return refuse(r, "has a blocksize that is not its input's");
    const int b = (int)block, c = in->dims[1], h = in->dims[2], w = in->dims[3];
    const ptrdiff_t plane = (ptrdiff_t)h * w;
    r->out = (struct shape) { in->type, 4, { in->dims[0], c * b * b, h / b, w / b } };
    return copy_blocks(r, (int[6]) { in->dims[0], b, b, c, h / b, w / b },
        (ptrdiff_t[6]) { c * plane, w, 1, plane, (ptrdiff_t)b * w, b });
}
