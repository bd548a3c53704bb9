/*
 * A graph planned for the CPU. Pictures are float32 in N,H,W,C order: it is what oneDNN's fastest convolutions ask
 * for, a slice or a part of a concatenation is then a view, and work between convolutions runs along channels.
 * Convolutions and pools are oneDNN primitives, what common networks do much of are the loops of this folder, and the
 * rest are the plain computations of nn/plain, on tensors in rows.
 */
#ifndef MATTE_NN_DNNL_PLAN_H
#define MATTE_NN_DNNL_PLAN_H

#include <oneapi/dnnl/dnnl.h>

#include "../place.h"

struct winograd;

enum { STEP_ARGS = GRAPH_INPUTS + 3 };

/* One thing to do in a run. */
struct step {
    void (*run)(const struct step *s);
    const struct node *node;
    struct view out;
    struct view in[GRAPH_INPUTS];
    union {
        struct plain *plain;
        /* SOFTMAX, NORMALISE: of a number of pixels without gaps */
        void (*by_pixel)(const struct step *s, const float *from, float *to, int pixels);
        struct winograd *winograd;
        struct copy *copy; /* COPY: of tensors as they lie, dims in the output's order */
        struct {
            dnnl_stream_t stream;
            dnnl_primitive_t primitive;
            dnnl_exec_arg_t args[STEP_ARGS];
            int arg_count;
        } dnnl;
        struct {
            ptrdiff_t *left, *right; /* of each output column: its neighbours, in input floats */
            float *fractions;        /* the right one's weight */
        } resize;
    };
};

/* What the code that oneDNN writes for a primitive takes, about: 55 KiB in NanoDet, 100 in RVM. */
enum { CODE_BYTES = 80 << 10 };

struct plan {
    struct graph *graph;
    struct places places;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    struct view *views; /* of every tensor */
    struct step *steps;
    int step_count;
    float *arena;                /* activations */
    void *scratch;               /* oneDNN's, shared by all primitives */
    size_t scratch_bytes, bytes; /* bytes: of everything */
    void **owned;
    int owned_count;
};

/*
 * Plans g, which must live until plan_free(), for the present number of OpenMP threads. -1 and *e; in either case
 * plan_free() is due.
 */
int plan_make(struct plan *p, struct graph *g, struct error *e);
void plan_run(const struct plan *p);
void plan_free(struct plan *p);

/* 64-byte aligned memory that lives as long as p; NULL and *e. */
void *plan_alloc(struct plan *p, size_t bytes, struct error *e);

/*
 * Each makes a step of a node: s->node and its views are set; run is to be. -1 and *e. dnnl_prepare() (convolutions and
 * pools) raises p->scratch_bytes to what the primitive needs; dnnl_scratch() gives it.
 */
int dnnl_prepare(struct plan *p, struct step *s, struct error *e);
int resize_prepare(struct plan *p, struct step *s, struct error *e);
int move_prepare(struct plan *p, struct step *s, struct error *e);
int channels_prepare(struct plan *p, struct step *s, struct error *e);
int pointwise_prepare(struct plan *p, struct step *s, struct error *e);
int copy_prepare(struct plan *p, struct step *s, struct error *e);
int rows_prepare(struct plan *p, struct step *s, struct error *e);
void dnnl_scratch(struct step *s, void *scratch);
void dnnl_release(struct step *s);

/* primitive.c: makes two nodes of one whose program no primitive does to its end. -1 and *e. */
int dnnl_split(struct graph *g, struct error *e);

/* Gives a step scratch memory, and what it owns beside plan_alloc()'s back. */
void step_scratch(struct step *s, void *scratch);
void step_release(struct step *s);

/* primitive.c: constants in the order that a primitive asks for, as long as p lives. NULL and *e. */
void *dnnl_pack(struct plan *p, const dnnl_memory_desc_t *from, const float *data,
    const dnnl_memory_desc_t *to, struct error *e);

/*
 * winograd.c: convolutions for which winograd_fits() are made steps by winograd_prepare(); dnnl_prepare() could make them
 * too, and slower.
 */
int winograd_fits(const struct step *s);
int winograd_prepare(struct plan *p, struct step *s, struct error *e);
void winograd_scratch(struct step *s, void *scratch);
void winograd_release(struct step *s);

/* pointwise.c: one instruction over count floats; to may be x. */
void pointwise_apply(
    const struct instruction *i, float *to, const float *x, const float *y, int count);

/* copy.c: between views of one size; and between the dense N,C,H,W of the net's ends and a view. */
void view_copy(const struct view *to, const struct view *from);
void view_load(const struct view *to, const float *from);
void view_store(float *to, const struct view *from);

#endif
