/*
 * What a model with prompts sees, drawn: a picture for each frame at which one of its networks looked, with the box of each
 * thing (green: kept, grey: not, yellow: hidden behind another), the number of its track, its class and score. What is not
 * kept of the picture is darkened. One thread.
 */
#ifndef MATTE_EXPLAIN_H
#define MATTE_EXPLAIN_H

#include "../matte/model.h"

struct explain;

/* path: FILE.png, which gets the first such frame, or a folder, which gets all of them, by number. NULL and *e. */
struct explain *explain_open(const char *path, struct error *e);

/*
 * After model_run() of the model of m, frames in order; picture is what it saw and alpha what it made, on device. -1 and *e:
 * storage_error, and those of still_write() and raster_read().
 */
int explain_frame(struct explain *x, struct device *device, const struct manifest *m,
    const struct model *model, const struct raster *picture, const struct raster *alpha,
    struct error *e);

/* x may be NULL. */
void explain_close(struct explain *x);

#endif
