/* FFmpeg's view of a card: its contexts around ours, so that decoder, kernels and encoder see the same memory. */
#ifndef MATTE_MEDIA_CUDA_HWCONTEXT_H
#define MATTE_MEDIA_CUDA_HWCONTEXT_H

#include <libavutil/buffer.h>

#include "../../device/cuda/card.h"

/* A device context whose work is queued on stream. NULL and *e. */
AVBufferRef *hwcontext_open(const struct card *card, CUstream stream, struct error *e);

/* What describes NV12 frames of this size in the memory of frame pools; FFmpeg is to make none. NULL and *e. */
AVBufferRef *hwcontext_frames(AVBufferRef *hwcontext, int width, int height, struct error *e);

#endif
