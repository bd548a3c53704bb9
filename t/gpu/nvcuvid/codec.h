/*
 * One codec: the decoder gets slices and numbers, as a card does; what a software decoder wants beside them is written from
 * the numbers again.
 */
#ifndef CUEMU_CODEC_H
#define CUEMU_CODEC_H

#include <ffnvcodec/dynlink_cuda.h>
#include <ffnvcodec/dynlink_cuviddec.h>
#include <libavcodec/avcodec.h>
#include <stdint.h>

/* Results of <cuda.h> that FFmpeg's header leaves out. */
#define CUDA_ERROR_INVALID_VALUE ((CUresult)1)
#define CUDA_ERROR_OUT_OF_MEMORY ((CUresult)2)
#define CUDA_ERROR_NOT_SUPPORTED ((CUresult)801)

/* Room for parameter sets in front of a picture's slices. */
enum { HEADERS_BYTES = 4096 };

struct codec {
    cudaVideoCodec type;
    enum AVCodecID id;
    int side_max;   /* pixels */
    unsigned depth; /* bits at most */
    /* Parameter sets of a picture; how many bytes, -1: it has what is not emulated. */
    int (*headers)(uint8_t *to, const CUVIDPICPARAMS *p);
};

extern const struct codec codec_h264, codec_hevc, codec_vp9;

#endif
