/*
 * Where pixels live and are worked on: the boundary between the stages of a job and a backend, one folder each
 * (device/cpu), the same file names inside. Arguments are checked here, once, in front of every backend.
 *
 * Pictures are 8-bit Y'CbCr 4:2:0 of limited range, chroma centred in its 2x2 block, and may carry an alpha plane of
 * full size and full range. A sampler shows the network a picture, a solver betters what it answers, and a compositor
 * makes the output picture of that. Each is opened for one clip, holds its tables and scratch, allocates nothing while
 * running, and belongs to one thread at a time; several may be open. On a card they only queue work, in order.
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

/* The same; of several cards that suit the turn-th, counted around, is looked at first. */
struct device *device_open_turn(const char *name, int turn, struct error *e);
const char *device_name(const struct device *device);

/* For the log: what was found, and why nothing better where the device was opened as "auto". */
const char *device_found(const struct device *device);

/*
 * Where a device that was opened as "auto" cannot do some work, *why saying why: makes it the processor. Nothing may be open
 * on it. -1: it is the processor already, or was asked for by its name; then nothing has changed.
 */
int device_fall_back(struct device *device, const struct error *why);

/* Of the machine's `count` cards the device is card `ordinal`, with so many bytes of memory; count 0: it is none. */
struct device_card {
    int count, ordinal;
    int64_t bytes;
};

struct device_card device_card(const struct device *device);

/* 1: frames of FRAME_DEVICE are not the host's to touch, only frame_fetch() brings them. */
int device_is_apart(const struct device *device);

/* After everything opened on it. */
void device_close(struct device *device);

/*
 * A picture of a network's size where the device computes. On the processor: floats, a plane for each channel, without
 * gaps; step is 0. On a card: halves, H,W,C without gaps between rows, `step` of them from pixel to pixel (where it is
 * made here 1 for one channel and 4 for three), in memory that the host does not touch. Colours are in the order R, G, B.
 * The processor's floats are rounded to halves too: all devices compute with the same numbers and decide alike.
 */
struct raster {
    void *data; /* NULL: there is none */
    int width, height, channels, step;
};

/* Its pixels are undefined. -1 and *e (out_of_memory); raster_close() is due in either case. */
int raster_open(struct device *device, struct raster *raster, int width, int height, int channels,
    struct error *e);
/* Takes all zeros. */
void raster_close(struct device *device, struct raster *raster);

/* From and to planar floats in host memory, of its size; reading waits for the device. For what has no other way: tests,
 * networks that a card does not run. -1 and *e as of sampler_run(). */
int raster_read(struct device *device, const struct raster *raster, float *planes, struct error *e);
int raster_write(
    struct device *device, const struct raster *raster, const float *planes, struct error *e);

/* Rounds to halves what was written there without rounding. */
void raster_round(struct device *device, const struct raster *raster);

/* From one raster of the device to another of its size, of any steps. -1 and *e as of sampler_run(). */
int raster_copy(
    struct device *device, const struct raster *from, const struct raster *to, struct error *e);

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
 * Frame to a raster of the network's input: area average where it shrinks, bilinear where it grows. -1 and *e: those of a
 * device that can fail (device_error, device_lost).
 */
int sampler_run(
    struct sampler *sampler, const struct frame *source, const struct raster *rgb, struct error *e);
void sampler_close(struct sampler *sampler);

/*
 * Brings a picture into a network's input, at the top left of zeros, and the network's answers out again. For networks
 * whose input is not the sampler's raster as it is.
 */
struct fit;

struct fit_params {
    int width, height;       /* of the picture */
    int to_width, to_height; /* of the network; no smaller */
    int reversed;            /* 1: the network sees B, G, R, and what it answers in colour is so */
    int brightest;           /* 1: the picture is divided by its largest value, of those in 0..1 */
    float mean[3], std[3];   /* as given to the sampler */
};

struct fit *fit_open(struct device *device, const struct fit_params *params, struct error *e);

/* input: three channels, of a step of 4 on a card; nothing in it is kept. The processor does not round it. -1 and *e as of
 * sampler_run(), also below. */
int fit_put(
    struct fit *fit, const struct raster *picture, const struct raster *input, struct error *e);
/* An output of the network, of one or three channels, to a raster of the picture's size. */
int fit_take(
    struct fit *fit, const struct raster *output, const struct raster *answer, struct error *e);
/* fit may be NULL. */
void fit_close(struct fit *fit);

/*
 * Makes of what one network sees what another one does: a picture of another size, other colours or both. Area average where
 * it shrinks, bilinear where it grows, as of the sampler.
 */
struct scaler;

struct scaler_params {
    int width, height;       /* of the picture */
    int to_width, to_height; /* of the result */
    double across,
        down; /* pixels of the picture that the result is of; where it has fewer, of those */
    float gain[3], offset[3]; /* result = value * gain + offset, of R, G, B */
    int reversed;             /* 1: the result is B, G, R */
};

struct scaler *scaler_open(
    struct device *device, const struct scaler_params *params, struct error *e);

/* Both of three channels, of a step of 4 on a card. The processor does not round the result. -1 and *e as of sampler_run(). */
int scaler_run(struct scaler *scaler, const struct raster *picture, const struct raster *result,
    struct error *e);
/* scaler may be NULL. */
void scaler_close(struct scaler *scaler);

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

/* Of the network's size; values as in matte/model.h. */
struct compositor_low {
    struct raster alpha;
    struct raster
        foreground;      /* R, G, B in 0..1; none: the source's own colour is the foreground's */
    struct raster input; /* what the sampler made of the same source */
    struct raster still; /* of how many frames past a guided alpha is a mean too; none: of none */
};

/* What can be done to better a network's answer; any of them. */
enum refinement {
    REFINE_CALM = 1,   /* alpha is averaged over time, along the picture's motion */
    REFINE_EDGES = 2,  /* soft alpha is decided by the colours around it */
    REFINE_COLORS = 4, /* the foreground's colours are found, the network's own not used */
    REFINE_GUIDE = 8,  /* the picture guides alpha's enlargement, where it is much the larger */
    REFINE_CLEAN = 16, /* specks far from the subject are taken away, and holes in it filled */
};

#define REFINE_ALL (REFINE_CALM | REFINE_EDGES | REFINE_COLORS | REFINE_GUIDE | REFINE_CLEAN)

/* By its name: calm, clean, edges, colors or guide; 0: none of them. */
unsigned refinement(const char *name);

/*
 * Makes a network's answer better at the network's size: alpha steadied over time and decided by the colours around it,
 * and the foreground's colours found. Of one clip, frame after frame in order.
 */
struct solver;

struct solver_params {
    int width, height;     /* of the network's answer */
    float mean[3], std[3]; /* as given to the sampler */
    unsigned refine;       /* of enum refinement; REFINE_GUIDE is the compositor's */
};

struct solver *solver_open(
    struct device *device, const struct solver_params *params, struct error *e);

/*
 * Puts the solver's own rasters, good until its next run, in the place of low's; calming says what is still. -1 and *e as
 * of sampler_run().
 */
int solver_run(struct solver *solver, struct compositor_low *low, struct error *e);

/* solver may be NULL. */
void solver_close(struct solver *solver);

struct compositor *compositor_open(
    struct device *device, const struct compositor_params *params, struct error *e);

/* output is of the canvas' size and has an alpha plane unless the compositor is opaque; where an opaque one's has it all the
 * same, it says how much of the subject is seen. Times are copied from source. -1 and *e as of sampler_run(). */
int compositor_run(struct compositor *compositor, const struct frame *source,
    const struct compositor_low *low, struct frame *output, struct error *e);
void compositor_close(struct compositor *compositor);

#endif
