/*
 * What the supervisor and a worker say to each other over their SOCK_SEQPACKET pair: one struct a datagram, both ends
 * being the same program. The supervisor believes nothing that a worker says: a report is copied, its strings are cut
 * to their arrays and its numbers are checked before use.
 *
 *   worker -> supervisor   REPORT_READY      once, warm: the model is planned, the sandbox is shut
 *   supervisor -> worker   struct job        with its struct job_files by SCM_RIGHTS
 *   worker -> supervisor   REPORT_PROBED     the input is understood, the network chosen; the worker waits for a struct
 *                                            verdict
 *   supervisor -> worker   struct verdict    go on (the credits are held), or stop
 *   worker -> supervisor   REPORT_PROGRESS   at most ten a second
 *   worker -> supervisor   REPORT_WARNING    any number up to JOB_WARNINGS
 *   worker -> supervisor   REPORT_DONE or REPORT_FAILED, then the worker exits
 */
#ifndef MATTE_JOB_H
#define MATTE_JOB_H

#include <stdint.h>

#include "../error.h"
#include "../matte/prompt.h"
#include "composition.h"

enum { JOB_WARNINGS = 16, JOB_MODEL = 16 };

enum job_background { BACKGROUND_TRANSPARENT, BACKGROUND_COLOR, BACKGROUND_IMAGE };

struct job {
    char id[37];           /* for the log */
    char request_id[129];  /* for the log */
    char model[JOB_MODEL]; /* API name: human, original, ... */
    char format[16];       /* API name: webm, ... */
    enum job_background background;
    uint8_t color[3]; /* R, G, B of BACKGROUND_COLOR */
    struct composition composition;
    struct prompt prompt; /* of a model that takes one; understood, unless its words are open */
    int lossless;         /* 1: alpha is exact where the format can */
    int alpha;            /* 1: it is wanted as a video of its own, too */
    unsigned refine; /* of enum refinement: those that the network's manifest allows too are done */
    int64_t preview_ms;      /* > 0: only frames whose time is below it; 0: all */
    int64_t max_pixels;      /* of one frame, one image, the canvas; above it: too_large */
    int64_t max_image_bytes; /* of BACKGROUND_IMAGE; above it: too_large */
    int64_t max_ms;          /* of the input; above it: too_long */
};

/* File descriptors, sent in this order; alpha and image only where the job has them. */
struct job_files {
    int input;  /* read */
    int output; /* read, write */
    int alpha;  /* read, write */
    int image;  /* read; of BACKGROUND_IMAGE */
};

enum { JOB_FILES = 4 };

/* Those that the job has, and how many. */
static inline int job_files(const struct job *job, struct job_files *files, int *those[JOB_FILES])
{
    int n = 0;
    those[n++] = &files->input;
    those[n++] = &files->output;
    if (job->alpha)
        those[n++] = &files->alpha;
    if (job->background == BACKGROUND_IMAGE)
        those[n++] = &files->image;
    return n;
}

struct verdict {
    int go;
};

enum report_kind {
    REPORT_READY,
    REPORT_PROBED,
    REPORT_PROGRESS,
    REPORT_WARNING,
    REPORT_DONE,
    REPORT_FAILED,
};

struct report {
    enum report_kind kind;
    int64_t frames_total;  /* PROBED: an estimate, at least 1 */
    int64_t frames_done;   /* PROGRESS, DONE */
    int64_t duration_ms;   /* PROBED: expected of the output; DONE: real, last frame included */
    int32_t width, height; /* PROBED, DONE: of the output */
    int64_t need; /* bytes of the card. READY: of the largest job; first PROGRESS: of its own */
    int64_t idle; /* READY: bytes of the card that are held without a job */
    int64_t card_bytes;  /* READY: of this card's memory */
    int32_t cards, card; /* READY: how many the machine has, and which of them is used */
    int64_t bytes;       /* DONE */
    uint8_t sha256[32];  /* DONE: of the output file, which is on disk (fsync) by then */
    int64_t alpha_bytes; /* DONE: of the alpha's file, as the next; 0: there is none */
    uint8_t alpha_sha256[32];
    struct error error; /* FAILED; WARNING uses code and text; READY's text: device_found() */
    char network[64];   /* PROBED: the network's file, for the log */
};

#endif
