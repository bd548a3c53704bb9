/*
 * Stands for libnvcuvid.so.1 as FFmpeg uses it. Each picture is decoded at once by libavcodec, into the buffer that bears
 * its number; mapping one queues its copy into one of a fixed set of surfaces in device memory, as NV12 or P016.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../driver/emulation.h"
#include "codec.h"

enum {
    PICTURES = 64,
    SURFACES = 32,
    PITCH = 512,
    SIDE_MIN = 48,
    MACROBLOCK = 256, /* pixels */
};

static const struct codec *const codecs[] = { &codec_h264, &codec_hevc, &codec_vp9, NULL };

struct surface {
    unsigned long long at;
    bool mapped;
};

struct decoder {
    CUVIDDECODECREATEINFO info;
    const struct codec *codec;
    AVCodecContext *software;
    AVFrame *picture[PICTURES]; /* by CurrPicIdx */
    AVFrame *newest;            /* what the software decoder writes to */
    struct surface surface[SURFACES];
    unsigned long long
        references; /* what a card keeps decoded pictures in; here it is only taken */
    size_t pitch;
};

static const struct codec *find_codec(cudaVideoCodec type)
{
    const struct codec *const *c = codecs;
    while (*c && (*c)->type != type)
        c++;
    return *c;
}

static cudaVideoSurfaceFormat format_of(unsigned depth)
{
    return depth > 8 ? cudaVideoSurfaceFormat_P016 : cudaVideoSurfaceFormat_NV12;
}

/* Bytes of a sample. */
static int width_of(cudaVideoSurfaceFormat format)
{
    return format == cudaVideoSurfaceFormat_P016 ? 2 : 1;
}

API CUresult cuvidGetDecoderCaps(CUVIDDECODECAPS *caps)
{
    CUresult fault = cuemu_enter(__func__);
    if (fault)
        return fault;
    const struct codec *c = find_codec(caps->eCodecType);
    unsigned depth = caps->nBitDepthMinus8 + 8;
    caps->bIsSupported = c && caps->eChromaFormat == cudaVideoChromaFormat_420 &&
                         depth <= c->depth &&
                         depth <= (unsigned)cuemu_setting("CUEMU_NVDEC_DEPTH", 10);
    if (!caps->bIsSupported)
        return CUDA_SUCCESS;
    unsigned side = (unsigned)cuemu_setting("CUEMU_NVDEC_SIDE", c->side_max);
    caps->nMaxWidth = caps->nMaxHeight = side;
    caps->nMaxMBCount = side * side / MACROBLOCK;
    caps->nMinWidth = caps->nMinHeight = SIDE_MIN;
    caps->nOutputFormatMask = 1 << format_of(depth);
    return CUDA_SUCCESS;
}

/* The buffer that the decoder takes for a picture is that picture: nothing waits to be put in order. */
static int take_buffer(AVCodecContext *software, AVFrame *frame, int flags)
{
    struct decoder *d = software->opaque;
    int result = avcodec_default_get_buffer2(software, frame, flags);
    if (result < 0)
        return result;
    av_frame_unref(d->newest);
    return av_frame_ref(d->newest, frame);
}

static int open_software(struct decoder *d)
{
    const AVCodec *codec = avcodec_find_decoder(d->codec->id);
    d->newest = av_frame_alloc();
    AVCodecContext *c = d->software = avcodec_alloc_context3(codec);
    if (!d->newest || !c)
        return -1;
    c->thread_count = 1;
    c->thread_type = 0;
    c->opaque = d;
    c->get_buffer2 = take_buffer;
    return avcodec_open2(c, codec, NULL);
}

static int open_surfaces(struct decoder *d)
{
    int height = (int)d->info.ulTargetHeight;
    size_t row = d->info.ulTargetWidth * (size_t)width_of(d->info.OutputFormat);
    d->pitch = (row + PITCH - 1) / PITCH * PITCH;
    size_t bytes = d->pitch * (size_t)(height + (height + 1) / 2);
    for (unsigned i = 0; i < d->info.ulNumOutputSurfaces; i++)
        if (cuemu_allocate(&d->surface[i].at, bytes))
            return -1;
    return cuemu_allocate(&d->references, bytes * d->info.ulNumDecodeSurfaces) ? -1 : 0;
}

static void destroy(struct decoder *d)
{
    for (int i = 0; i < SURFACES; i++) {
        if (d->surface[i].mapped)
            cuemu_say("a decoder was destroyed with a picture mapped");
        if (d->surface[i].at)
            cuemu_release(d->surface[i].at);
    }
    if (d->references)
        cuemu_release(d->references);
    for (int i = 0; i < PICTURES; i++)
        av_frame_free(&d->picture[i]);
    av_frame_free(&d->newest);
    avcodec_free_context(&d->software);
    free(d);
}

API CUresult cuvidCreateDecoder(CUvideodecoder *decoder, CUVIDDECODECREATEINFO *info)
{
    CUresult fault = cuemu_enter(__func__);
    if (fault)
        return fault;
    const struct codec *codec = find_codec(info->CodecType);
    if (!codec || info->ulNumOutputSurfaces > SURFACES || info->ulNumDecodeSurfaces > PICTURES ||
        info->OutputFormat != format_of((unsigned)info->bitDepthMinus8 + 8))
        return CUDA_ERROR_NOT_SUPPORTED;
    struct decoder *d = calloc(1, sizeof *d);
    if (!d)
        return CUDA_ERROR_OUT_OF_MEMORY;
    d->info = *info;
    d->codec = codec;
    if (open_software(d) < 0 || open_surfaces(d)) {
        destroy(d);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    cuemu_alive(DECODERS, 1);
    *decoder = d;
    return CUDA_SUCCESS;
}

API CUresult cuvidDestroyDecoder(CUvideodecoder decoder)
{
    CUresult earlier = cuemu_enter(__func__);
    destroy(decoder);
    cuemu_alive(DECODERS, -1);
    return earlier;
}

static CUresult decode(struct decoder *d, AVPacket *packet, int index)
{
    AVFrame *ready = av_frame_alloc();
    if (!ready)
        return CUDA_ERROR_OUT_OF_MEMORY;
    int result = avcodec_send_packet(d->software, packet);
    while (avcodec_receive_frame(d->software, ready) >= 0)
        av_frame_unref(ready);
    av_frame_free(&ready);
    if (result < 0 || !d->newest->buf[0])
        return CUDA_ERROR_UNKNOWN;
    AVFrame **picture = &d->picture[index];
    if (!*picture)
        *picture = av_frame_alloc();
    if (!*picture)
        return CUDA_ERROR_OUT_OF_MEMORY;
    av_frame_unref(*picture);
    return av_frame_ref(*picture, d->newest) < 0 ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

API CUresult cuvidDecodePicture(CUvideodecoder decoder, CUVIDPICPARAMS *p)
{
    CUresult fault = cuemu_enter(__func__);
    if (fault)
        return fault;
    struct decoder *d = decoder;
    if (p->CurrPicIdx < 0 || p->CurrPicIdx >= (int)d->info.ulNumDecodeSurfaces || !p->nNumSlices)
        return CUDA_ERROR_INVALID_VALUE;
    AVPacket *packet = av_packet_alloc();
    if (!packet || av_new_packet(packet, (int)p->nBitstreamDataLen + HEADERS_BYTES) < 0) {
        av_packet_free(&packet);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    CUresult result = CUDA_ERROR_NOT_SUPPORTED;
    int headers = d->codec->headers(packet->data, p);
    if (headers >= 0) {
        memcpy(packet->data + headers, p->pBitstreamData, p->nBitstreamDataLen);
        av_shrink_packet(packet, headers + (int)p->nBitstreamDataLen);
        result = decode(d, packet, p->CurrPicIdx);
        cuemu_trace("nvdec %dx%d", d->software->width, d->software->height);
    }
    av_packet_free(&packet);
    return result;
}

struct output {
    AVFrame *picture;
    uint8_t *to;
    size_t pitch;
    int width, height; /* of the surface */
};

/* Samples of a row, step apart; of 10 bits they lie in the upper ones of 16. */
static void write_row(
    const struct output *o, int plane, int y, uint8_t *row, int first, int step, int count)
{
    const AVFrame *f = o->picture;
    const uint8_t *from = f->data[plane] + (ptrdiff_t)y * f->linesize[plane];
    if (f->format == AV_PIX_FMT_YUV420P) {
        for (int x = 0; x < count; x++)
            row[first + x * step] = from[x];
    } else {
        for (int x = 0; x < count; x++)
            ((uint16_t *)row)[first + x * step] = (uint16_t)(((const uint16_t *)from)[x] << 6);
    }
}

static int write_surface(void *data)
{
    const struct output *o = data;
    for (int y = 0; y < o->height; y++)
        write_row(o, 0, y, o->to + (size_t)y * o->pitch, 0, 1, o->width);
    for (int y = 0; y < (o->height + 1) / 2; y++) {
        uint8_t *row = o->to + (size_t)(o->height + y) * o->pitch;
        write_row(o, 1, y, row, 0, 2, (o->width + 1) / 2);
        write_row(o, 2, y, row, 1, 2, (o->width + 1) / 2);
    }
    return CUDA_SUCCESS;
}

static void drop_output(void *data)
{
    struct output *o = data;
    av_frame_free(&o->picture);
    free(o);
}

static struct surface *free_surface(struct decoder *d)
{
    for (unsigned i = 0; i < d->info.ulNumOutputSurfaces; i++)
        if (!d->surface[i].mapped)
            return &d->surface[i];
    return NULL;
}

API CUresult cuvidMapVideoFrame64(CUvideodecoder decoder, int index, unsigned long long *at,
    unsigned *pitch, CUVIDPROCPARAMS *how)
{
    CUresult fault = cuemu_enter(__func__);
    if (fault)
        return fault;
    struct decoder *d = decoder;
    const AVFrame *picture = index >= 0 && index < PICTURES ? d->picture[index] : NULL;
    int wide = width_of(d->info.OutputFormat) > 1;
    if (!picture || !picture->buf[0] ||
        picture->format != (wide ? AV_PIX_FMT_YUV420P10 : AV_PIX_FMT_YUV420P))
        return CUDA_ERROR_INVALID_VALUE;
    struct surface *surface = free_surface(d);
    if (!surface) {
        cuemu_say("more than %lu pictures are mapped", d->info.ulNumOutputSurfaces);
        return CUDA_ERROR_INVALID_VALUE;
    }
    struct output *o = malloc(sizeof *o);
    if (!o)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *o = (struct output) { av_frame_clone(picture), (uint8_t *)surface->at, d->pitch,
        (int)d->info.ulTargetWidth, (int)d->info.ulTargetHeight };
    if (!o->picture) {
        free(o);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    CUresult result = cuemu_work(how->output_stream, write_surface, drop_output, o);
    if (result)
        return result;
    surface->mapped = true;
    cuemu_alive(MAPPED_PICTURES, 1);
    *at = surface->at;
    *pitch = (unsigned)d->pitch;
    return CUDA_SUCCESS;
}

API CUresult cuvidUnmapVideoFrame64(CUvideodecoder decoder, unsigned long long at)
{
    CUresult earlier = cuemu_enter(__func__);
    struct decoder *d = decoder;
    for (int i = 0; i < SURFACES; i++)
        if (d->surface[i].mapped && d->surface[i].at == at) {
            d->surface[i].mapped = false;
            cuemu_alive(MAPPED_PICTURES, -1);
            return earlier;
        }
    cuemu_say("a picture was unmapped that is not mapped");
    return CUDA_ERROR_INVALID_VALUE;
}

API CUresult cuvidGetDecodeStatus(CUvideodecoder decoder, int index, CUVIDGETDECODESTATUS *status)
{
    status->decodeStatus = cuvidDecodeStatus_Success;
    return cuemu_enter(__func__);
}

/* What FFmpeg's loader looks for and its decoders with hwaccel do not call. */
#define ABSENT(name)                                              \
    API CUresult name(void)                                       \
    {                                                             \
        cuemu_say("%s was called, which is not emulated", #name); \
        return CUDA_ERROR_NOT_SUPPORTED;                          \
    }
ABSENT(cuvidReconfigureDecoder)
ABSENT(cuvidCtxLockCreate)
ABSENT(cuvidCtxLockDestroy)
ABSENT(cuvidCtxLock)
ABSENT(cuvidCtxUnlock)
ABSENT(cuvidCreateVideoSource)
ABSENT(cuvidCreateVideoSourceW)
ABSENT(cuvidDestroyVideoSource)
ABSENT(cuvidSetVideoSourceState)
ABSENT(cuvidGetVideoSourceState)
ABSENT(cuvidGetSourceVideoFormat)
ABSENT(cuvidGetSourceAudioFormat)
ABSENT(cuvidCreateVideoParser)
ABSENT(cuvidParseVideoData)
ABSENT(cuvidDestroyVideoParser)
