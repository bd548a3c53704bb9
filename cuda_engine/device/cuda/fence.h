/*
 * The order of streams that share a frame, kept by events and without the host: whoever writes waits for those who read
 * what was there before, whoever reads waits for the one who wrote. The four calls on a stream come in pairs around the
 * work; the reference to the frame may be given up right after the second. A host that works on a frame itself waits, and
 * has nothing to say afterwards.
 *
 * A frame is written by one thread at a time and read by those that it is handed to afterwards; the context must be
 * current. Errors are those of cuda_check().
 */
#ifndef MATTE_DEVICE_CUDA_FENCE_H
#define MATTE_DEVICE_CUDA_FENCE_H

#include "../frame.h"
#include "driver.h"

/* At a time on one frame. */
enum { FENCE_READERS = 4 };

/* NULL: there is no memory. */
void *fence_open(const struct cuda *c);
void fence_close(void *fence);

/* Around work on stream that writes f, all of it. */
int fence_write(struct frame *f, CUstream stream, struct error *e);
int fence_written(struct frame *f, CUstream stream, struct error *e);

/* Around work on stream that reads f. */
int fence_read(const struct frame *f, CUstream stream, struct error *e);
int fence_done(const struct frame *f, CUstream stream, struct error *e);

/* Before the host writes, or reads, a frame of FRAME_HOST. */
int fence_host_write(struct frame *f, struct error *e);
int fence_host_read(const struct frame *f, struct error *e);

#endif
