/*
 * Computes a program. Tensors become dense floats, N,H,W,C, which live as long as the computation; convolutions are
 * oneDNN's, with sums of floats, and each tensor of halves is rounded once, when it is stored: as cuDNN does it.
 */
#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../driver/emulation.h"
#include "half.h"
#include "program.h"

enum { ALIGNMENT = 16, POISON = 0xcd, LAUNCH_FAILED = 719 /* of CUresult */ };

struct execution {
    struct program *program;
    int count;
    int64_t uids[BINDINGS];
    void *data[BINDINGS];
    void *workspace;
};

/* The values of a tensor while a program runs. */
struct values {
    int64_t uid;
    float *values;
};

static int64_t elements(const struct tensor *t)
{
    return t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
}

/* In halves, from the first element to after the last. */
static int64_t extent(const struct tensor *t)
{
    int64_t last = 0;
    for (int i = 0; i < 4; i++)
        last += (t->dims[i] - 1) * t->strides[i];
    return last + 1;
}

static void *address_of(const struct execution *x, int64_t uid)
{
    for (int i = 0; i < x->count; i++)
        if (x->uids[i] == uid)
            return x->data[i];
    return NULL;
}

static bool is_bound(const struct execution *x, const struct tensor *t)
{
    char what[40];
    const unsigned long long at = (unsigned long long)address_of(x, t->uid);
    if (t->is_virtual)
        return true;
    snprintf(what, sizeof what, "cuDNN's tensor %c", (int)t->uid);
    if (at % ALIGNMENT == 0)
        return cuemu_is_device_memory(at, (size_t)extent(t) * sizeof(uint16_t), what);
    cuemu_say("%s is not aligned to %d bytes", what, ALIGNMENT);
    return false;
}

static bool is_complete(const struct execution *x)
{
    const struct program *p = x->program;
    for (int i = 0; i < p->count; i++) {
        const struct operation *o = &p->operations[i];
        if (!is_bound(x, &o->x) || (o->has_other && !is_bound(x, &o->other)) || !is_bound(x, &o->y))
            return false;
    }
    return !p->workspace || cuemu_is_device_memory((unsigned long long)x->workspace,
                                (size_t)p->workspace, "cuDNN's workspace");
}

struct execution *execution_of(struct program *p, const struct descriptor *pack)
{
    int64_t uids, data;
    const void *names = descriptor_get(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, &uids);
    const void *addresses = descriptor_get(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, &data);
    void *const *workspace = descriptor_get(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, NULL);
    struct execution *x = uids == data && uids <= BINDINGS ? calloc(1, sizeof *x) : NULL;
    if (!x)
        return NULL;
    x->program = p;
    p->references++;
    x->count = (int)uids;
    memcpy(x->uids, names, (size_t)uids * sizeof *x->uids);
    memcpy(x->data, addresses, (size_t)uids * sizeof *x->data);
    x->workspace = workspace ? *workspace : NULL;
    if (is_complete(x))
        return x;
    execution_drop(x);
    return NULL;
}

void execution_trace(const struct execution *x)
{
    const struct operation *o = &x->program->operations[0];
    cuemu_trace("cudnn %ldx%ldx%ld %ld->%ld+%d", (long)o->y.dims[3], (long)o->y.dims[2],
        (long)o->y.dims[0], (long)o->x.dims[1], (long)o->y.dims[1], x->program->count - 1);
}

void execution_drop(void *execution)
{
    struct execution *x = execution;
    program_release(x->program);
    free(x);
}

/* ---- tensors ---- */

/* Dense floats of a tensor of halves. */
static bool load(const struct execution *x, const struct tensor *t, float *to)
{
    const uint16_t *from = address_of(x, t->uid);
    const int64_t *d = t->dims, *s = t->strides;
    if (s[1] != 1)
        return false;
#pragma omp parallel for collapse(2)
    for (int64_t n = 0; n < d[0]; n++)
        for (int64_t y = 0; y < d[2]; y++)
            for (int64_t i = 0; i < d[3]; i++)
                half_load(to + ((n * d[2] + y) * d[3] + i) * d[1],
                    from + n * s[0] + y * s[2] + i * s[3], d[1]);
    return true;
}

static bool store(const struct execution *x, const struct tensor *t, const float *from)
{
    uint16_t *to = address_of(x, t->uid);
    const int64_t *d = t->dims, *s = t->strides;
    if (s[1] != 1)
        return false;
#pragma omp parallel for collapse(2)
    for (int64_t n = 0; n < d[0]; n++)
        for (int64_t y = 0; y < d[2]; y++)
            for (int64_t i = 0; i < d[3]; i++)
                half_store(to + n * s[0] + y * s[2] + i * s[3],
                    from + ((n * d[2] + y) * d[3] + i) * d[1], d[1]);
    return true;
}

/* The values of t: computed before, or (of halves) loaded now. */
static float *values_of(const struct execution *x, struct values *known, int *count,
    const struct tensor *t, bool is_new)
{
    for (int i = 0; i < *count; i++)
        if (known[i].uid == t->uid && !is_new)
            return known[i].values;
    float *values = malloc((size_t)elements(t) * sizeof *values);
    if (values && !is_new && !load(x, t, values)) {
        free(values);
        values = NULL;
    }
    if (values)
        known[(*count)++] = (struct values) { t->uid, values };
    return values;
}

/* ---- convolution ---- */

struct dnnl {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t convolution, reorder;
    dnnl_memory_t x, weights, packed, y;
};

static bool describe_pictures(const struct tensor *t, dnnl_memory_desc_t *d)
{
    const dnnl_dims_t dims = { t->dims[0], t->dims[1], t->dims[2], t->dims[3] };
    return !dnnl_memory_desc_init_by_tag(d, 4, dims, dnnl_f32, dnnl_nhwc);
}

/* As they are in the program's memory: [group][out][h][w][in]. */
static bool describe_weights(const struct operation *o, dnnl_memory_desc_t *d)
{
    const int64_t *w = o->other.dims, groups = o->x.dims[1] / w[1];
    const dnnl_dims_t dims = { groups, w[0] / groups, w[1], w[2], w[3] };
    const dnnl_dims_t strides = { w[0] / groups * w[1] * w[2] * w[3], w[1] * w[2] * w[3], 1,
        w[3] * w[1], w[1] };
    return !dnnl_memory_desc_init_by_strides(d, 5, dims, dnnl_f32, strides);
}

static bool make(struct dnnl *c, const struct operation *o, float *x, float *w, float *y)
{
    dnnl_memory_desc_t in, weights, any, out;
    dnnl_convolution_desc_t d;
    dnnl_primitive_desc_t description = NULL, packing = NULL;
    if (!describe_pictures(&o->x, &in) || !describe_pictures(&o->y, &out) ||
        !describe_weights(o, &weights))
        return false;
    const dnnl_dims_t stride = { o->stride[0], o->stride[1] };
    const dnnl_dims_t dilation = { o->dilation[0] - 1, o->dilation[1] - 1 };
    const dnnl_dims_t before = { o->before[0], o->before[1] }, after = { o->after[0], o->after[1] };
    bool made =
        !dnnl_memory_desc_init_by_tag(&any, 5, weights.dims, dnnl_f32, dnnl_format_tag_any) &&
        !dnnl_dilated_convolution_forward_desc_init(&d, dnnl_forward_inference,
            dnnl_convolution_direct, &in, &any, NULL, &out, stride, dilation, before, after) &&
        !dnnl_primitive_desc_create(&description, &d, NULL, c->engine, NULL);
    const dnnl_memory_desc_t *packed =
        made ? dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0) : NULL;
    made = made && !dnnl_primitive_create(&c->convolution, description) &&
           !dnnl_reorder_primitive_desc_create(
               &packing, &weights, c->engine, packed, c->engine, NULL) &&
           !dnnl_primitive_create(&c->reorder, packing) &&
           !dnnl_memory_create(&c->x, &in, c->engine, x) &&
           !dnnl_memory_create(&c->weights, &weights, c->engine, w) &&
           !dnnl_memory_create(&c->packed, packed, c->engine, DNNL_MEMORY_ALLOCATE) &&
           !dnnl_memory_create(&c->y, &out, c->engine, y);
    dnnl_primitive_desc_destroy(description);
    dnnl_primitive_desc_destroy(packing);
    return made;
}

static bool run(const struct dnnl *c)
{
    const dnnl_exec_arg_t packing[] = { { DNNL_ARG_FROM, c->weights }, { DNNL_ARG_TO, c->packed } };
    const dnnl_exec_arg_t args[] = { { DNNL_ARG_SRC, c->x }, { DNNL_ARG_WEIGHTS, c->packed },
        { DNNL_ARG_DST, c->y } };
    return !dnnl_primitive_execute(c->reorder, c->stream, 2, packing) &&
           !dnnl_primitive_execute(c->convolution, c->stream, 3, args) &&
           !dnnl_stream_wait(c->stream);
}

static bool convolve(const struct operation *o, float *x, float *w, float *y)
{
    struct dnnl c = { 0 };
    const bool done = !dnnl_engine_create(&c.engine, dnnl_cpu, 0) &&
                      !dnnl_stream_create(&c.stream, c.engine, dnnl_stream_default_flags) &&
                      make(&c, o, x, w, y) && run(&c);
    dnnl_memory_destroy(c.x);
    dnnl_memory_destroy(c.weights);
    dnnl_memory_destroy(c.packed);
    dnnl_memory_destroy(c.y);
    dnnl_primitive_destroy(c.convolution);
    dnnl_primitive_destroy(c.reorder);
    dnnl_stream_destroy(c.stream);
    dnnl_engine_destroy(c.engine);
    return done;
}

/* ---- element by element ---- */

/* y = x + other, which may have one pixel only; or max(x, 0). */
static void compute(const struct operation *o, const float *x, const float *other, float *y)
{
    const int64_t c = o->y.dims[1], pixels = elements(&o->y) / c;
    const int64_t step = other && elements(&o->other) > c ? c : 0;
#pragma omp parallel for
    for (int64_t i = 0; i < pixels; i++)
        for (int64_t k = 0; k < c; k++) {
            const float v = x[i * c + k];
            y[i * c + k] = other ? v + other[i * step + k] : v > 0 ? v : 0;
        }
}

static bool run_all(const struct execution *x, struct values *known, int *count)
{
    const struct program *p = x->program;
    for (int i = 0; i < p->count; i++) {
        const struct operation *o = &p->operations[i];
        float *in = values_of(x, known, count, &o->x, false);
        float *other = o->has_other ? values_of(x, known, count, &o->other, false) : NULL;
        float *out = values_of(x, known, count, &o->y, true);
        if (!in || !out || (o->has_other && !other))
            return false;
        if (!o->is_convolution)
            compute(o, in, other, out);
        else if (!convolve(o, in, other, out))
            return false;
        if (!o->y.is_virtual && !store(x, &o->y, out))
            return false;
    }
    return true;
}

int execution_run(void *execution)
{
    const struct execution *x = execution;
    struct values known[3 * OPERATIONS];
    int count = 0;
    if (x->program->workspace)
        memset(x->workspace, POISON, (size_t)x->program->workspace); /* nobody may count on it */
    const bool done = run_all(x, known, &count);
    while (count)
        free(known[--count].values);
    if (!done)
        cuemu_say("a plan of cuDNN's could not be computed");
    return done ? 0 : LAUNCH_FAILED;
}
