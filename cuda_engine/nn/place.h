/*
 * Where the tensors of a graph lie: in which layout, which are parts of others or the same by another name, and where in
 * one arena. What a backend can do with gaps between pixels decides; the rest is the same for every backend.
 */
#ifndef MATTE_NN_PLACE_H
#define MATTE_NN_PLACE_H

#include "graph.h"

/*
 * Where a tensor lies. Channels are adjacent; strides are in elements. One in rows has its four dimensions as n, h, w, c
 * in that order, so that what works element by element need not know.
 */
struct view {
    union {
        char *bytes;
        float *data;      /* of nn/dnnl */
        uint16_t *halves; /* of nn/cudnn: in device memory */
    };
    enum layout layout;
    int n, h, w, c;
    ptrdiff_t stride_n, stride_h, stride_w;
};

/* A tensor of its own, at memory: without gaps but for t->step. */
struct view dense_view(const struct tensor *t, enum layout layout, void *memory);

/* In elements, to what lies at offset (N, C, H, W of the file) of v. */
ptrdiff_t view_offset(const struct view *v, const int offset[4]);

/* The part of whole that starts at offset (N, C, H, W) and is as large as part; element: bytes of one. */
struct view view_part(
    const struct view *whole, const int offset[4], const struct view *part, size_t element);

/* Where input k of a concatenation lies in its output, as offset (N, C, H, W). */
void concat_offset(const struct graph *g, const struct node *n, int k, int offset[4]);

/* 1 if input k of n is read through a view; 0: weights, which the backend packs. */
int is_viewed(const struct graph *g, const struct node *n, int k);

/* The copy that n is from in to out as they lie, dims in out's order. 1, or 0: it is not one. */
int move_find(const struct node *n, const struct view *in, const struct view *out, struct copy *c);

/* What a backend asks for. */
struct placing {
    size_t element;   /* bytes of a REAL */
    size_t alignment; /* of tensors, bytes */
    int keeps_inputs; /* 1: the graph's inputs are still there after a run */
    /* 1 if n can do with gaps between the pixels of its input k, and of its output */
    int (*reads_gaps)(const struct graph *g, const struct node *n, int k);
    int (*writes_gaps)(const struct graph *g, const struct node *n);
};

struct places {
    const struct graph *graph;
    const struct placing *placing;
    struct place *list; /* of every tensor */
    size_t bytes;       /* of the arena */
};

/*
 * Gives every tensor a layout and a place. Adds copies to g where a tensor is needed in two layouts, or without gaps. It
 * must be fused; what is made lives as long as it does. -1 and *e: no memory, or an arena beyond all bounds.
 */
int places_make(struct places *p, struct graph *g, const struct placing *placing, struct error *e);

/* Where a computed tensor lies once the arena is there; bytes NULL where nothing reads or writes it. */
struct view places_view(const struct places *p, int t, void *arena);

/* 1 if some node reads tensor t through a view, or writes it. */
int places_uses(const struct places *p, int t);

/* layout.c, for places_make(): gives every tensor a layout, and adds copies where one is needed in two. -1 and *e. */
int layout_choose(struct graph *g, struct error *e);

#endif
