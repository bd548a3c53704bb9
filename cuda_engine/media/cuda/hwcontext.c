#include "hwcontext.h"

#include <libavutil/hwcontext.h>
#include <libavutil/hwcontext_cuda.h>

#include "../libav.h"

static const char failed[] = "FFmpeg cannot use the card";

AVBufferRef *hwcontext_open(const struct card *card, CUstream stream, struct error *e)
{
    AVBufferRef *context = av_hwdevice_ctx_alloc(AV_HWDEVICE_TYPE_CUDA);
    int result = AVERROR(ENOMEM);
    if (context) {
        AVCUDADeviceContext *cuda = ((AVHWDeviceContext *)context->data)->hwctx;
        cuda->cuda_ctx = card->cuda.context;
        cuda->stream = stream;
        result = av_hwdevice_ctx_init(context);
    }
    if (result >= 0)
        return context;
    av_buffer_unref(&context);
    libav_error(e, "device_error", failed, result);
    return NULL;
}

AVBufferRef *hwcontext_frames(AVBufferRef *hwcontext, int width, int height, struct error *e)
{
    AVBufferRef *frames = av_hwframe_ctx_alloc(hwcontext);
    int result = AVERROR(ENOMEM);
    if (frames) {
        AVHWFramesContext *f = (AVHWFramesContext *)frames->data;
        f->format = AV_PIX_FMT_CUDA;
        f->sw_format = AV_PIX_FMT_NV12;
        f->width = width;
        f->height = height;
        result = av_hwframe_ctx_init(frames);
    }
    if (result >= 0)
        return frames;
    av_buffer_unref(&frames);
    libav_error(e, "device_error", failed, result);
    return NULL;
}
