/*
 * One video through every stage. Stages are threads with bounded queues between them:
 *
 *   decode -> matte (sample, network, compose) -> encode colour -> mux
 *      |                                       -> encode alpha  ->     (where the format has it apart)
 *      |                                       -> encode alpha alone -> mux alpha alone   (where the job wants it)
 *      `-> audio ---------------------------------------------------> (the file)
 *
 * Frames come from fixed pools, so memory does not grow with the length of the clip. The first stage that fails says why
 * and stops the others.
 */
#ifndef MATTE_PIPELINE_H
#define MATTE_PIPELINE_H

#include "../device/device.h"
#include "explain.h"
#include "job.h"
#include "models.h"

enum pipeline_stage {
    STAGE_DECODE,
    STAGE_MATTE,
    STAGE_COLOR,
    STAGE_ALPHA,
    STAGE_MUX,
    STAGE_ALONE,
    STAGE_ALONE_MUX,
    STAGES
};

extern const char *const pipeline_stage_names[STAGES];

/*
 * REPORT_PROBED once, before any work is done; then REPORT_PROGRESS, at most ten a second, and REPORT_WARNING. Called on
 * the thread of pipeline_run(). Not 0: stop, the run fails with `cancelled`.
 */
typedef int pipeline_report_fn(void *data, const struct report *report);

struct pipeline_params {
    const struct job *job;
    struct job_files files; /* output and alpha are empty, seekable and can be read back */
    struct device *device;
    struct models *models;
    struct explain *explain; /* NULL: nothing is to be drawn */
    int threads;             /* of the machine, to be shared by decoder and encoders; at least 1 */
    pipeline_report_fn *report;
    void *data;
};

struct pipeline_result {
    int64_t frames, duration_ms, bytes;
    int64_t alpha_bytes; /* of files.alpha */
    int width, height;
    int64_t need;        /* of a card's memory, as was known before; 0: none was used */
    double busy[STAGES]; /* seconds that each stage worked, waiting left out */
};

/* 0, and *r is filled; -1 and *e: the codes of INPUT, `cancelled`, `encode_error`, `storage_error`, `out_of_memory`. */
int pipeline_run(const struct pipeline_params *params, struct pipeline_result *r, struct error *e);

#endif
