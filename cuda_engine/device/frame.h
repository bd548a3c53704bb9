/*
 * Counted pictures from a fixed pool. The pool's size is the memory of a job: frame_take() waits when every frame is in
 * use, so nothing grows with the length of a clip.
 */
#ifndef MATTE_FRAME_H
#define MATTE_FRAME_H

#include <stdint.h>

#include "../error.h"

struct device;
struct frame_pool;

enum frame_matrix { MATRIX_BT601, MATRIX_BT709 };

enum { FRAME_Y, FRAME_U, FRAME_V, FRAME_A, FRAME_PLANES };

/* Chroma as two planes, or as one of pairs: then [FRAME_V] lies one byte after [FRAME_U], with the same stride. */
enum frame_layout { FRAME_PLANAR, FRAME_NV12 };

/* Memory of the device, or of the host where the device copies from and to while both go on. */
enum frame_place { FRAME_DEVICE, FRAME_HOST };

struct frame {
    uint8_t *plane
        [FRAME_PLANES]; /* 64-byte aligned, one after the other in one block; [FRAME_A] is NULL without alpha */
    int stride
        [FRAME_PLANES];    /* bytes from row to row, a multiple of 64; of luma and alpha the same */
    int width, height;     /* chroma has half of each, rounded up */
    int64_t pts, duration; /* in ticks of the output format */
    enum frame_layout layout;
    enum frame_place place;
    void *fence; /* the backend's: who still works on the pixels */
};

struct frame_pool_params {
    int width, height;
    int alpha; /* 1: with an alpha plane */
    int count; /* frames at most; they are made when first needed */
    enum frame_layout layout;
    enum frame_place place;
};

struct frame_pool *frame_pool_open(
    struct device *device, const struct frame_pool_params *params, struct error *e);

/*
 * A frame with one reference and undefined pixels; waits for one. NULL and *e: the pool was aborted (cancelled), or
 * there is no memory (out_of_memory). Any thread.
 */
struct frame *frame_take(struct frame_pool *pool, struct error *e);

/*
 * Copies from, in device memory, with its times to a frame of FRAME_HOST of the same size and layout. The host may read
 * that after frame_wait(); until then other work goes on. The same thread as whatever wrote from.
 */
int frame_fetch(struct frame *to, const struct frame *from, struct error *e);

/* Before the host reads a frame of FRAME_HOST that the device may still be writing. Any thread. */
int frame_wait(struct frame *frame, struct error *e);

/* One more reference, and one less: the last gives the frame back to its pool. Any thread. */
struct frame *frame_ref(struct frame *frame);
void frame_release(struct frame *frame);

/* Every waiting and later frame_take() fails. Any thread, any number of times. */
void frame_pool_abort(struct frame_pool *pool);

/* After every frame is back; pool may be NULL. */
void frame_pool_close(struct frame_pool *pool);

#endif
