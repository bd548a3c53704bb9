/*
 * 3x3 convolutions by Winograd's F(4x4, 3x3): a tile of 4x4 outputs is computed from 6x6 inputs with 36 multiplications
 * for each pair of channels instead of 144 (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016,
 * whose transforms these are). Each thread takes some tiles through all three steps, which stay in its second-level
 * cache: inputs are transformed to 36 matrices of tiles x channels, those multiplied by the transformed weights (oneDNN), and
 * the products transformed back. Sums come out with some 1e-6 of the largest term instead of 1e-7.
 */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"
#include "vectorised.h"

enum {
    OUT = 4,
    IN = 6,
    PLACES = IN * IN,
    LANES = 16,
    LEAST_TILES = 31,
    MOST_TILES = 95,
};

#define CHUNK_BYTES \
    ((size_t)5 << 18) /* of matrices, for each thread: most of its second-level cache */

typedef float vec __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

/* What one thread works with. */
struct bench {
    float *inputs, *sums; /* of PLACES x tiles x channels */
    float *edge;          /* a tile of which not all is output */
    dnnl_exec_arg_t args[4];
    int arg_count;
};

struct winograd {
    struct bench *benches;
    int bench_count;
    int tiles;                                                  /* of a chunk */
    int across, down;                                           /* tiles of the output */
    size_t inputs_bytes, sums_bytes, edge_bytes, scratch_bytes; /* of each bench */
    const float *nothing;                                       /* a pixel of the padding */
    const float *bias;                                          /* NULL: none */
    dnnl_primitive_t product;
    dnnl_stream_t stream;
};

static inline __attribute__((always_inline)) void transform_in(const vec *x, vec *to, int step)
{
    to[0 * step] = 4 * x[0] - 5 * x[2] + x[4];
    to[1 * step] = x[3] + x[4] - 4 * (x[1] + x[2]);
    to[2 * step] = x[4] - x[3] + 4 * (x[1] - x[2]);
    to[3 * step] = x[4] - x[2] + 2 * (x[3] - x[1]);
    to[4 * step] = x[4] - x[2] - 2 * (x[3] - x[1]);
    to[5 * step] = 4 * x[1] - 5 * x[3] + x[5];
}

static inline __attribute__((always_inline)) void transform_out(const vec *x, vec *to, int step)
{
    const vec a = x[1] + x[2], b = x[1] - x[2], c = x[3] + x[4], d = x[3] - x[4];
    to[0 * step] = x[0] + a + c;
    to[1 * step] = b + 2 * d;
    to[2 * step] = a + 4 * c;
    to[3 * step] = b + 8 * d + x[5];
}

/* One tile's inputs (pixels by row) to the places of its matrices, which are plane floats apart. */
VECTORISED static void take_tile(
    const float *const pixels[PLACES], float *to, size_t plane, int channels)
{
    for (int k = 0; k < channels; k += LANES) {
        vec columns[PLACES], line[IN];
        for (int x = 0; x < IN; x++) {
            for (int y = 0; y < IN; y++)
                line[y] = *(const vec *)(pixels[y * IN + x] + k);
            transform_in(line, columns + x, IN);
        }
        for (int y = 0; y < IN; y++) {
            transform_in(columns + y * IN, line, 1);
            for (int x = 0; x < IN; x++)
                *(vec *)(to + (y * IN + x) * plane + k) = line[x];
        }
    }
}

/* One tile's sums from their matrices to OUT rows of OUT pixels, stride floats apart. */
VECTORISED static void give_tile(
    const float *from, size_t plane, const float *bias, float *to, ptrdiff_t stride, int channels)
{
    for (int k = 0; k < channels; k += LANES) {
        vec columns[OUT * IN], line[IN], shift = { 0 };
        if (bias)
            shift = *(const vec *)(bias + k);
        for (int x = 0; x < IN; x++) {
            for (int y = 0; y < IN; y++)
                line[y] = *(const vec *)(from + (y * IN + x) * plane + k);
            transform_out(line, columns + x, IN);
        }
        for (int y = 0; y < OUT; y++) {
            transform_out(columns + y * IN, line, 1);
            for (int x = 0; x < OUT; x++)
                *(vec *)(to + y * stride + x * channels + k) = line[x] + shift;
        }
    }
}

static const float *pixel_or(const struct view *v, int n, int y, int x, const float *nothing)
{
    if (y < 0 || y >= v->h || x < 0 || x >= v->w)
        return nothing;
    return v->data + n * v->stride_n + y * v->stride_h + x * v->stride_w;
}

/* The tile at index among all of the output: picture, and the output's pixel where it begins. */
struct spot {
    int n, y, x;
};

static struct spot spot_of(const struct winograd *w, int index)
{
    const int each = w->across * w->down, i = index % each;
    return (struct spot) { index / each, i / w->across * OUT, i % w->across * OUT };
}

static void take(const struct step *s, const struct bench *b, int slot, struct spot at)
{
    const struct winograd *w = s->winograd;
    const struct view *in = &s->in[0];
    const float *pixels[PLACES];
    const int *before = s->node->window.before;
    for (int y = 0; y < IN; y++)
        for (int x = 0; x < IN; x++)
            pixels[y * IN + x] =
                pixel_or(in, at.n, at.y + y - before[0], at.x + x - before[1], w->nothing);
    take_tile(pixels, b->inputs + (size_t)slot * in->c, (size_t)w->tiles * in->c, in->c);
}

/* The program, in place, over part of an output row. */
static void finish(const struct step *s, struct spot at, float *row, int floats)
{
    const struct node *n = s->node;
    for (int i = 0; i < n->program_length; i++) {
        const struct view *v = &s->in[n->program[i].y];
        const float *y = v->data + at.n * v->stride_n + at.y * v->stride_h + at.x * v->stride_w;
        pointwise_apply(&n->program[i], row, row, y, floats);
    }
}

static void give(const struct step *s, const struct bench *b, int slot, struct spot at)
{
    const struct winograd *w = s->winograd;
    const struct view *out = &s->out;
    const int wide = out->w - at.x < OUT ? out->w - at.x : OUT;
    const int high = out->h - at.y < OUT ? out->h - at.y : OUT;
    const size_t plane = (size_t)w->tiles * out->c;
    const float *sums = b->sums + (size_t)slot * out->c;
    float *to = out->data + at.n * out->stride_n + at.y * out->stride_h + at.x * out->stride_w;
    const int whole = wide == OUT && high == OUT;
    float *block = whole ? to : b->edge;
    const ptrdiff_t stride = whole ? out->stride_h : (ptrdiff_t)OUT * out->c;
    give_tile(sums, plane, w->bias, block, stride, out->c);
    for (int y = 0; y < high; y++) {
        float *row = to + y * out->stride_h;
        if (!whole)
            memcpy(row, block + y * stride, (size_t)wide * out->c * sizeof *row);
        finish(s, (struct spot) { at.n, at.y + y, at.x }, row, wide * out->c);
    }
}

static void run_winograd(const struct step *s)
{
    const struct winograd *w = s->winograd;
    const int all = s->out.n * w->across * w->down;
#pragma omp parallel for schedule(dynamic)
    for (int first = 0; first < all; first += w->tiles) {
        const struct bench *b = &w->benches[omp_get_thread_num()];
        const int count = all - first < w->tiles ? all - first : w->tiles;
        for (int i = 0; i < count; i++)
            take(s, b, i, spot_of(w, first + i));
        dnnl_primitive_execute(w->product, w->stream, b->arg_count, b->args);
        for (int i = 0; i < count; i++)
            give(s, b, i, spot_of(w, first + i));
    }
}

int winograd_fits(const struct step *s)
{
    const struct node *n = s->node;
    const struct window *w = &n->window;
    const struct view *in = &s->in[0], *out = &s->out;
    const size_t pixels = (size_t)out->n * out->h * out->w;
    if (w->group != 1 || in->c % LANES || out->c % LANES)
        return 0;
    /* the transformed weights, four times as many as plain ones, must not be what the memory goes to */
    if ((size_t)PLACES * in->c * out->c > pixels * (in->c + out->c))
        return 0;
    for (int i = 0; i < 2; i++)
        if (w->kernel[i] != 3 || w->stride[i] != 1 || w->dilation[i] != 1)
            return 0;
    for (int i = 2 + w->bias; i < n->input_count; i++)
        if (s->in[i].n != s->out.n || s->in[i].h != s->out.h || s->in[i].w != s->out.w)
            return 0;
    return 1;
}

/* The weights (outputs x channels x 3 x 3) as PLACES matrices of channels x outputs. */
static void transform_weights(const float *from, float *to, int outputs, int channels)
{
    static const double g[IN][3] = { { 1.0 / 4, 0, 0 }, { -1.0 / 6, -1.0 / 6, -1.0 / 6 },
        { -1.0 / 6, 1.0 / 6, -1.0 / 6 }, { 1.0 / 24, 1.0 / 12, 1.0 / 6 },
        { 1.0 / 24, -1.0 / 12, 1.0 / 6 }, { 0, 0, 1 } };
#pragma omp parallel for
    for (int c = 0; c < channels; c++)
        for (int o = 0; o < outputs; o++) {
            const float *w = from + ((size_t)o * channels + c) * 9;
            double rows[IN][3];
            for (int y = 0; y < IN; y++)
                for (int x = 0; x < 3; x++)
                    rows[y][x] = g[y][0] * w[x] + g[y][1] * w[3 + x] + g[y][2] * w[6 + x];
            for (int y = 0; y < IN; y++)
                for (int x = 0; x < IN; x++)
                    to[((size_t)(y * IN + x) * channels + c) * outputs + o] =
                        (float)(rows[y][0] * g[x][0] + rows[y][1] * g[x][1] + rows[y][2] * g[x][2]);
        }
}

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* As many tiles as the cache holds; an odd number, so that matrices do not all begin in the same sets of it. */
static int choose_tiles(const struct winograd *w, const struct step *s)
{
    const size_t each = PLACES * sizeof(float) * (s->in[0].c + s->out.c);
    const int all = s->out.n * w->across * w->down;
    const int share = (all + w->bench_count - 1) / w->bench_count;
    int tiles = (int)(CHUNK_BYTES / each);
    tiles = (tiles < LEAST_TILES ? LEAST_TILES : tiles > MOST_TILES ? MOST_TILES : tiles) | 1;
    const int chunks = (share + tiles - 1) / tiles; /* all about as large */
    const int even = ((share + chunks - 1) / chunks) | 1;
    return even < tiles ? even : tiles;
}

/* The product of one thread: PLACES matrices of tiles x channels by the weights; primitive and arguments but the memory. */
static int make_product(struct plan *p, struct step *s, struct error *e)
{
    struct winograd *w = s->winograd;
    const int c = s->in[0].c, k = s->out.c, t = w->tiles;
    const struct tensor *weights = &p->graph->tensors[s->node->inputs[1]];
    const dnnl_dims_t a = { PLACES, t, c }, b = { PLACES, c, k }, sums = { PLACES, t, k };
    dnnl_memory_desc_t da, db, any, dsums;
    dnnl_matmul_desc_t desc;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t made = NULL;
    const size_t bytes = (size_t)PLACES * c * k * sizeof(float);
    float *transformed = malloc(bytes);
    int result = -1;
    if (!transformed)
        return error_retry(e, "out_of_memory", "There is no memory for the network's weights.");
    transform_weights(weights->data, transformed, k, c);
    dnnl_memory_desc_init_by_tag(&da, 3, a, dnnl_f32, dnnl_abc);
    dnnl_memory_desc_init_by_tag(&db, 3, b, dnnl_f32, dnnl_abc);
    dnnl_memory_desc_init_by_tag(&any, 3, b, dnnl_f32, dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&dsums, 3, sums, dnnl_f32, dnnl_abc);
    const int threads = omp_get_max_threads();
    omp_set_num_threads(1); /* it is run by each thread for itself */
    if (dnnl_matmul_desc_init(&desc, &da, &any, NULL, &dsums) ||
        dnnl_primitive_attr_create(&attr) ||
        dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) ||
        dnnl_primitive_desc_create(&made, &desc, attr, p->engine, NULL) ||
        dnnl_primitive_create(&w->product, made))
        goto out;
    const dnnl_memory_desc_t *packed = dnnl_primitive_desc_query_md(made, dnnl_query_weights_md, 0);
    const dnnl_memory_desc_t *scratch =
        dnnl_primitive_desc_query_md(made, dnnl_query_scratchpad_md, 0);
    void *memory = dnnl_pack(p, &db, transformed, packed, e);
    if (!memory)
        goto out;
    p->bytes += CODE_BYTES;
    w->scratch_bytes = round_up(dnnl_memory_desc_get_size(scratch));
    for (int i = 0; i < w->bench_count; i++) {
        const struct {
            int arg;
            const dnnl_memory_desc_t *desc;
            void *data;
        } args[] = { { DNNL_ARG_SRC, &da, NULL }, { DNNL_ARG_DST, &dsums, NULL },
            { DNNL_ARG_SCRATCHPAD, scratch, NULL }, { DNNL_ARG_WEIGHTS, packed, memory } };
        struct bench *bench = &w->benches[i];
        for (; bench->arg_count < 4; bench->arg_count++) {
            dnnl_exec_arg_t *arg = &bench->args[bench->arg_count];
            arg->arg = args[bench->arg_count].arg;
            if (dnnl_memory_create(&arg->memory, args[bench->arg_count].desc, p->engine,
                    args[bench->arg_count].data))
                goto out;
        }
    }
    result = 0;
out:
    omp_set_num_threads(threads);
    dnnl_primitive_desc_destroy(made);
    dnnl_primitive_attr_destroy(attr);
    free(transformed);
    return result ? error_set(e, "unsupported_model",
                        "%s: oneDNN does not take the products of the node %s.", p->graph->label,
                        s->node->name)
                  : 0;
}

int winograd_prepare(struct plan *p, struct step *s, struct error *e)
{
    const struct node *n = s->node;
    const int c = s->in[0].c, k = s->out.c;
    struct winograd *w = s->winograd = plan_alloc(p, sizeof *w, e);
    if (!w)
        return -1;
    *w = (struct winograd) { .stream = p->stream,
        .bench_count = omp_get_max_threads(),
        .across = (s->out.w + OUT - 1) / OUT,
        .down = (s->out.h + OUT - 1) / OUT };
    s->run = run_winograd;
    float *nothing = plan_alloc(p, c * sizeof *nothing, e);
    w->benches = plan_alloc(p, w->bench_count * sizeof *w->benches, e);
    if (!nothing || !w->benches)
        return -1;
    memset(nothing, 0, c * sizeof *nothing);
    memset(w->benches, 0, w->bench_count * sizeof *w->benches);
    w->nothing = nothing;
    w->bias = n->window.bias ? p->graph->tensors[n->inputs[2]].data : NULL;
    w->tiles = choose_tiles(w, s);
    w->inputs_bytes = round_up((size_t)PLACES * w->tiles * c * sizeof(float));
    w->sums_bytes = round_up((size_t)PLACES * w->tiles * k * sizeof(float));
    w->edge_bytes = round_up((size_t)OUT * OUT * k * sizeof(float));
    if (make_product(p, s, e))
        return -1;
    const size_t bytes =
        w->bench_count * (w->inputs_bytes + w->sums_bytes + w->edge_bytes + w->scratch_bytes);
    if (p->scratch_bytes < bytes)
        p->scratch_bytes = bytes;
    return 0;
}

void winograd_scratch(struct step *s, void *scratch)
{
    if (s->run != run_winograd)
        return;
    char *at = scratch;
    for (int i = 0; i < s->winograd->bench_count; i++) {
        struct winograd *w = s->winograd;
        struct bench *b = &w->benches[i];
        b->inputs = (float *)(void *)at;
        b->sums = (float *)(void *)(at += w->inputs_bytes);
        b->edge = (float *)(void *)(at += w->sums_bytes);
        at += w->edge_bytes;
        dnnl_memory_set_data_handle(b->args[0].memory, b->inputs);
        dnnl_memory_set_data_handle(b->args[1].memory, b->sums);
        dnnl_memory_set_data_handle(b->args[2].memory, at);
        at += w->scratch_bytes;
    }
}

void winograd_release(struct step *s)
{
    if (s->run != run_winograd)
        return;
    for (int i = 0; s->winograd->benches && i < s->winograd->bench_count; i++)
        for (int k = 0; k < s->winograd->benches[i].arg_count; k++)
            dnnl_memory_destroy(s->winograd->benches[i].args[k].memory);
    dnnl_primitive_destroy(s->winograd->product);
}
