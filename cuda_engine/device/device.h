/*
 * Where pixels live and are worked on: the boundary between the stages of a job and a backend, one folder each
 * (device/cpu), the same file names inside. Arguments are checked here, once, in front of every backend.
 *
 * Pictures are 8-bit Y'CbCr 4:2:0 of limited range, chroma centred in its 2x2 block, and may carry an alpha plane of
 * full size and full range. A sampler shows the network a picture, a solver betters what it answers, and a compositor
 * makes the output picture of that. Each is opened for one clip, hold their tables and scratch, allocate nothing while running, and
 * belong to one thread at a time; several may be open.
 */
#ifndef MATTE_DEVICE_H
#define MATTE_DEVICE_H

#include <stdint.h>

#include "../error.h"
#include "frame.h"

struct device;

/*
 * name: "cpu"; "cuda:N" for a card, "cuda" for the first that suits; "auto" for the best that this machine has. NULL and *e
 * (device_unavailable) with the reason where it is not there.
 */
struct device *device_open(const char *name, struct error *e);
const char *device_name(const struct device *device);

/* A sentence for the log: what was found. */
const char *device_found(const struct device *device);

/* 1: frames of FRAME_DEVICE are not the host's to touch, only frame_fetch() brings them. */
int device_is_apart(const struct device *device);

/* After everything opened on it. */
void device_close(struct device *device);

struct sampler;

struct sampler_params {
    int width, height;        /* of the frames */
    int to_width, to_height;  /* of the network's input */
    enum frame_matrix matrix; /* of the frames */
    float mean[3], std[3];    /* result = (rgb - mean) / std, rgb in 0..1 */
};

struct sampler *sampler_open(
    struct device *device, const struct sampler_params *params, struct error *e);

/*
 * Frame to planar R, G, B, 3 * to_height * to_width floats in host memory: area average where it shrinks, bilinear where
 * it grows. -1 and *e: those of a device that can fail (device_error, device_lost).
 */
int sampler_run(struct sampler *sampler, const struct frame *source, float *rgb, struct error *e);
void sampler_close(struct sampler *sampler);

struct compositor;

/* Where the whole source goes on the canvas, in pixels from its top left; any part may lie outside. */
struct placement {
    int x, y, width, height;
};

struct compositor_params {
    int width, height;               /* of the source frames */
    int low_width, low_height;       /* of the network's answer */
    int canvas_width, canvas_height; /* of the output frames */
    struct placement place;
    enum frame_matrix matrix; /* of all of them */
    float mean[3], std[3];    /* as given to the sampler */
    int guided;               /* 1: REFINE_GUIDE */
    int opaque;       /* 0: straight alpha, transparent pixels filled (fill_math.h); 1: over ... */
    uint8_t color[3]; /* ... this, R, G, B, full range, or over ... */
    const struct frame
        *background; /* ... this, of the canvas' size in host memory, kept by the caller; or NULL */
};

/* All planar, of the network's size and in host memory; values as in matte/model.h. */
struct compositor_low {
    const float *alpha;
    const float
        *foreground;    /* R, G, B in 0..1; NULL: the source's own colour is the foreground's */
    const float *input; /* what the sampler made of the same source */
};

/* What can be done to better a network's answer; any of them. */
enum refinement {
    REFINE_CALM = 1,   /* where the picture stands still alpha is averaged over time */
    REFINE_EDGES = 2,  /* soft alpha is decided by the colours around it */
    REFINE_COLORS = 4, /* the foreground's colours are found, where the network gives none */
    REFINE_GUIDE = 8,  /* the picture guides alpha's enlargement, where it is much the larger */
};

#define REFINE_ALL (REFINE_CALM | REFINE_EDGES | REFINE_COLORS | REFINE_GUIDE)

/* By its name: calm, edges, colors or guide; 0: none of them. */
unsigned refinement(const char *name);

struct compositor *compositor_open(
    struct device *device, const struct compositor_params *params, struct error *e);

/* output is of the canvas' size and has an alpha plane unless the compositor is opaque; where an opaque one's has it all the
 * same, it says how much of the subject is seen. Times are copied from source. -1 and *e as of sampler_run(). */
int compositor_run(struct compositor *compositor, const struct frame *source,
    const struct compositor_low *low, struct frame *output, struct error *e);
void compositor_close(struct compositor *compositor);

#endif
