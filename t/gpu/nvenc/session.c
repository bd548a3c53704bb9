/*
 * Stands for libnvidia-encode.so.1 as FFmpeg uses it from frames in device memory: NV12 in, no B-frames. A picture is read
 * and encoded as a piece of work on the input stream, so what another stream has not written by then is not in it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../driver/emulation.h"
#include "coder.h"

enum { WIDTH_MIN = 145, HEIGHT_MIN = 49, SIDE_MAX = 4096, GOP_MAX = 100000, RATE = 25 };

static const struct coder *const coders[] = { &coder_h264, &coder_hevc };

enum { CODERS = sizeof coders / sizeof *coders };

struct session {
    struct CUstream_st *stream;
    const struct coder *coder;
    void *software;
    int width, height;
    uint8_t *nv12;
    int64_t pictures;
    char error[128];
};

struct resource {
    const uint8_t *at;
    int width, height, pitch;
};

struct output {
    struct packet packet;
    uint64_t time, duration;
    bool failed;
};

static int open_sessions;

static NVENCSTATUS refuse(struct session *s, NVENCSTATUS status, const char *why)
{
    snprintf(s->error, sizeof s->error, "%s", why);
    return status;
}

/* Result numbers of the driver are not those of this library; a small one is meant for it. */
static NVENCSTATUS enter(const char *call)
{
    int fault = cuemu_enter(call);
    return fault && fault < NV_ENC_ERR_RESOURCE_NOT_MAPPED + 1 ? (NVENCSTATUS)fault
           : fault                                             ? NV_ENC_ERR_GENERIC
                                                               : NV_ENC_SUCCESS;
}

#define ENTER                                 \
    do {                                      \
        NVENCSTATUS fault_ = enter(__func__); \
        if (fault_)                           \
            return fault_;                    \
    } while (0)

int packet_set(struct packet *packet, const uint8_t *data, size_t size)
{
    if (size > packet->room) {
        uint8_t *more = realloc(packet->data, size);
        if (!more)
            return -1;
        packet->data = more;
        packet->room = size;
    }
    memcpy(packet->data, data, size);
    packet->size = size;
    return 0;
}

/* ---- what it can do ---- */

static NVENCSTATUS NVENCAPI nvEncGetEncodeGUIDCount(void *session, uint32_t *count)
{
    ENTER;
    *count = CODERS;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI nvEncGetEncodeGUIDs(
    void *session, GUID *guids, uint32_t room, uint32_t *count)
{
    ENTER;
    *count = 0;
    for (uint32_t i = 0; i < CODERS && i < room; i++)
        guids[(*count)++] = coders[i]->guid;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI nvEncGetEncodeCaps(
    void *session, GUID codec, NV_ENC_CAPS_PARAM *what, int *value)
{
    ENTER;
    switch (what->capsToQuery) {
    case NV_ENC_CAPS_WIDTH_MAX:
    case NV_ENC_CAPS_HEIGHT_MAX: *value = SIDE_MAX; break;
    case NV_ENC_CAPS_WIDTH_MIN: *value = WIDTH_MIN; break;
    case NV_ENC_CAPS_HEIGHT_MIN: *value = HEIGHT_MIN; break;
    case NV_ENC_CAPS_SUPPORT_LOOKAHEAD:
    case NV_ENC_CAPS_SUPPORT_TEMPORAL_AQ:
    case NV_ENC_CAPS_SUPPORT_CABAC: *value = 1; break;
    default: *value = 0;
    }
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI nvEncGetEncodePresetConfigEx(
    void *session, GUID codec, GUID preset, NV_ENC_TUNING_INFO tuning, NV_ENC_PRESET_CONFIG *config)
{
    ENTER;
    config->presetCfg.gopLength = 250;
    config->presetCfg.frameIntervalP = 1;
    config->presetCfg.rcParams.rateControlMode = NV_ENC_PARAMS_RC_VBR;
    config->presetCfg.rcParams.averageBitRate = 2000000;
    return NV_ENC_SUCCESS;
}

/* ---- sessions ---- */

static NVENCSTATUS NVENCAPI nvEncOpenEncodeSessionEx(
    NV_ENC_OPEN_ENCODE_SESSION_EX_PARAMS *params, void **session)
{
    ENTER;
    long limit = cuemu_setting("CUEMU_NVENC_SESSIONS", 8);
    if (!limit)
        return NV_ENC_ERR_UNSUPPORTED_DEVICE;
    if (params->deviceType != NV_ENC_DEVICE_TYPE_CUDA || !params->device)
        return NV_ENC_ERR_INVALID_DEVICE;
    if (params->apiVersion != NVENCAPI_VERSION)
        return NV_ENC_ERR_INVALID_VERSION;
    struct session *s = open_sessions < limit ? calloc(1, sizeof *s) : NULL;
    if (!s)
        return NV_ENC_ERR_OUT_OF_MEMORY;
    open_sessions++;
    cuemu_alive(ENCODE_SESSIONS, 1);
    *session = s;
    return NV_ENC_SUCCESS;
}

static void read_vui(struct coder_params *to, const NV_ENC_CONFIG_H264_VUI_PARAMETERS *vui)
{
    to->full_range = vui->videoFullRangeFlag;
    to->has_color = vui->colourDescriptionPresentFlag;
    to->primaries = (int)vui->colourPrimaries;
    to->transfer = (int)vui->transferCharacteristics;
    to->matrix = (int)vui->colourMatrix;
}

static NVENCSTATUS NVENCAPI nvEncInitializeEncoder(void *session, NV_ENC_INITIALIZE_PARAMS *params)
{
    ENTER;
    struct session *s = session;
    const NV_ENC_CONFIG *config = params->encodeConfig;
    const NV_ENC_RC_PARAMS *rate = &config->rcParams;
    struct coder_params p = {
        .width = (int)params->encodeWidth,
        .height = (int)params->encodeHeight,
        .gop = config->gopLength < GOP_MAX ? (int)config->gopLength : GOP_MAX,
        .rate_num = params->frameRateNum ? (int)params->frameRateNum : RATE,
        .rate_den = params->frameRateDen ? (int)params->frameRateDen : 1,
    };
    for (int i = 0; i < CODERS; i++)
        if (!memcmp(&coders[i]->guid, &params->encodeGUID, sizeof(GUID)))
            s->coder = coders[i];
    if (!s->coder)
        return refuse(s, NV_ENC_ERR_UNSUPPORTED_PARAM, "no such codec");
    if (p.width < WIDTH_MIN || p.height < HEIGHT_MIN || p.width > SIDE_MAX || p.height > SIDE_MAX)
        return refuse(s, NV_ENC_ERR_INVALID_PARAM, "the size is outside the capabilities");
    if (p.width % 2 || p.height % 2)
        return refuse(s, NV_ENC_ERR_INVALID_PARAM, "odd sizes are not emulated");
    if (config->frameIntervalP > 1)
        return refuse(s, NV_ENC_ERR_UNSUPPORTED_PARAM, "there are no B-frames");
    p.lossless = cuemu_setting("CUEMU_NVENC_LOSSLESS", 0);
    if (rate->rateControlMode == NV_ENC_PARAMS_RC_CONSTQP)
        p.qp = (int)rate->constQP.qpInterP;
    else if (rate->targetQuality)
        p.quality = rate->targetQuality;
    else
        p.bit_rate = (int)rate->averageBitRate;
    if (s->coder == &coder_h264)
        read_vui(&p, &config->encodeCodecConfig.h264Config.h264VUIParameters);
    else
        read_vui(&p, &config->encodeCodecConfig.hevcConfig.hevcVUIParameters);
    s->width = p.width;
    s->height = p.height;
    s->nv12 = malloc((size_t)p.width * (size_t)p.height * 3 / 2);
    s->software = s->nv12 ? s->coder->open(&p) : NULL;
    return s->software ? NV_ENC_SUCCESS
                       : refuse(s, NV_ENC_ERR_INVALID_PARAM, "the software encoder refused");
}

static NVENCSTATUS NVENCAPI nvEncSetIOCudaStreams(
    void *session, NV_ENC_CUSTREAM_PTR input, NV_ENC_CUSTREAM_PTR output)
{
    ENTER;
    struct session *s = session;
    s->stream = input ? *(struct CUstream_st **)input : NULL;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI nvEncGetSequenceParams(
    void *session, NV_ENC_SEQUENCE_PARAM_PAYLOAD *payload)
{
    ENTER;
    struct session *s = session;
    struct packet packet = { 0 };
    bool good = !s->coder->headers(s->software, &packet) && packet.size <= payload->inBufferSize;
    if (good) {
        memcpy(payload->spsppsBuffer, packet.data, packet.size);
        *payload->outSPSPPSPayloadSize = (uint32_t)packet.size;
    }
    free(packet.data);
    return good ? NV_ENC_SUCCESS : NV_ENC_ERR_GENERIC;
}

static NVENCSTATUS NVENCAPI nvEncDestroyEncoder(void *session)
{
    NVENCSTATUS earlier = enter(__func__);
    struct session *s = session;
    cuemu_wait(s->stream);
    if (s->software)
        s->coder->close(s->software);
    free(s->nv12);
    free(s);
    open_sessions--;
    cuemu_alive(ENCODE_SESSIONS, -1);
    return earlier;
}

static const char *NVENCAPI nvEncGetLastErrorString(void *session)
{
    return session ? ((struct session *)session)->error : "";
}

/* ---- buffers ---- */

static NVENCSTATUS NVENCAPI nvEncCreateBitstreamBuffer(
    void *session, NV_ENC_CREATE_BITSTREAM_BUFFER *buffer)
{
    ENTER;
    buffer->bitstreamBuffer = calloc(1, sizeof(struct output));
    if (!buffer->bitstreamBuffer)
        return NV_ENC_ERR_OUT_OF_MEMORY;
    cuemu_alive(ENCODE_BUFFERS, 1);
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI nvEncDestroyBitstreamBuffer(void *session, NV_ENC_OUTPUT_PTR buffer)
{
    NVENCSTATUS earlier = enter(__func__);
    struct output *o = buffer;
    if (!o) /* FFmpeg does so after one could not be made */
        return NV_ENC_ERR_INVALID_PTR;
    cuemu_wait(((struct session *)session)->stream);
    free(o->packet.data);
    free(o);
    cuemu_alive(ENCODE_BUFFERS, -1);
    return earlier;
}

static NVENCSTATUS NVENCAPI nvEncRegisterResource(void *session, NV_ENC_REGISTER_RESOURCE *params)
{
    ENTER;
    struct session *s = session;
    size_t rows = params->height + (params->height + 1) / 2;
    if (params->resourceType != NV_ENC_INPUT_RESOURCE_TYPE_CUDADEVICEPTR ||
        params->bufferFormat != NV_ENC_BUFFER_FORMAT_NV12)
        return refuse(s, NV_ENC_ERR_UNSUPPORTED_PARAM, "only NV12 in device memory is emulated");
    if ((int)params->width < s->width || (int)params->height < s->height)
        return refuse(s, NV_ENC_ERR_INVALID_PARAM, "a surface is smaller than the pictures");
    if (!cuemu_is_device_memory((unsigned long long)params->resourceToRegister,
            (rows - 1) * params->pitch + params->width, "surface for NVENC"))
        return refuse(s, NV_ENC_ERR_INVALID_PARAM, "a surface is not device memory");
    struct resource *r = malloc(sizeof *r);
    if (!r)
        return NV_ENC_ERR_OUT_OF_MEMORY;
    *r = (struct resource) { params->resourceToRegister, (int)params->width, (int)params->height,
        (int)params->pitch };
    cuemu_alive(ENCODE_RESOURCES, 1);
    params->registeredResource = r;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI nvEncUnregisterResource(void *session, NV_ENC_REGISTERED_PTR resource)
{
    NVENCSTATUS earlier = enter(__func__);
    cuemu_wait(((struct session *)session)->stream);
    free(resource);
    cuemu_alive(ENCODE_RESOURCES, -1);
    return earlier;
}

static NVENCSTATUS NVENCAPI nvEncMapInputResource(void *session, NV_ENC_MAP_INPUT_RESOURCE *params)
{
    ENTER;
    params->mappedResource = params->registeredResource;
    params->mappedBufferFmt = NV_ENC_BUFFER_FORMAT_NV12;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI nvEncUnmapInputResource(void *session, NV_ENC_INPUT_PTR resource)
{
    return enter(__func__);
}

/* ---- pictures ---- */

struct encoding {
    struct session *session;
    struct resource from;
    struct output *to;
    bool key;
};

static int encode(void *data)
{
    struct encoding *e = data;
    struct session *s = e->session;
    const struct resource *r = &e->from;
    for (int y = 0; y < s->height * 3 / 2; y++) {
        int row = y < s->height ? y : y - s->height + r->height;
        memcpy(
            s->nv12 + (ptrdiff_t)y * s->width, r->at + (ptrdiff_t)row * r->pitch, (size_t)s->width);
    }
    struct picture picture = { s->nv12, s->pictures++, e->key };
    e->to->failed = s->coder->encode(s->software, &picture, &e->to->packet);
    return 0;
}

static NVENCSTATUS NVENCAPI nvEncEncodePicture(void *session, NV_ENC_PIC_PARAMS *params)
{
    ENTER;
    struct session *s = session;
    if (params->encodePicFlags & NV_ENC_PIC_FLAG_EOS)
        return NV_ENC_SUCCESS;
    struct encoding *e = malloc(sizeof *e);
    if (!e)
        return NV_ENC_ERR_OUT_OF_MEMORY;
    struct output *o = params->outputBitstream;
    const struct resource *r = params->inputBuffer;
    *e = (struct encoding) { s, *r, o, params->encodePicFlags & NV_ENC_PIC_FLAG_FORCEIDR };
    o->time = params->inputTimeStamp;
    o->duration = params->inputDuration;
    o->failed = true;
    cuemu_trace("nvenc %dx%d", s->width, s->height);
    return cuemu_work(s->stream, encode, free, e) ? NV_ENC_ERR_GENERIC : NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI nvEncLockBitstream(void *session, NV_ENC_LOCK_BITSTREAM *params)
{
    ENTER;
    struct session *s = session;
    const struct output *o = params->outputBitstream;
    if (cuemu_wait(s->stream) || o->failed)
        return refuse(s, NV_ENC_ERR_GENERIC, "the picture was not encoded");
    params->bitstreamBufferPtr = o->packet.data;
    params->bitstreamSizeInBytes = (uint32_t)o->packet.size;
    params->outputTimeStamp = o->time;
    params->outputDuration = o->duration;
    params->pictureType = o->packet.key ? NV_ENC_PIC_TYPE_IDR : NV_ENC_PIC_TYPE_P;
    params->pictureStruct = NV_ENC_PIC_STRUCT_FRAME;
    params->frameAvgQP = 23;
    params->numSlices = 1;
    return NV_ENC_SUCCESS;
}

static NVENCSTATUS NVENCAPI nvEncUnlockBitstream(void *session, NV_ENC_OUTPUT_PTR buffer)
{
    return enter(__func__);
}

/* ---- the library ---- */

API NVENCSTATUS NVENCAPI NvEncodeAPIGetMaxSupportedVersion(uint32_t *version)
{
    ENTER;
    *version = (uint32_t)cuemu_setting(
        "CUEMU_NVENC_VERSION", NVENCAPI_MAJOR_VERSION << 4 | NVENCAPI_MINOR_VERSION);
    return NV_ENC_SUCCESS;
}

API NVENCSTATUS NVENCAPI NvEncodeAPICreateInstance(NV_ENCODE_API_FUNCTION_LIST *list)
{
    ENTER;
    list->nvEncOpenEncodeSessionEx = nvEncOpenEncodeSessionEx;
    list->nvEncGetEncodeGUIDCount = nvEncGetEncodeGUIDCount;
    list->nvEncGetEncodeGUIDs = nvEncGetEncodeGUIDs;
    list->nvEncGetEncodeCaps = nvEncGetEncodeCaps;
    list->nvEncGetEncodePresetConfigEx = nvEncGetEncodePresetConfigEx;
    list->nvEncInitializeEncoder = nvEncInitializeEncoder;
    list->nvEncSetIOCudaStreams = nvEncSetIOCudaStreams;
    list->nvEncGetSequenceParams = nvEncGetSequenceParams;
    list->nvEncCreateBitstreamBuffer = nvEncCreateBitstreamBuffer;
    list->nvEncDestroyBitstreamBuffer = nvEncDestroyBitstreamBuffer;
    list->nvEncRegisterResource = nvEncRegisterResource;
    list->nvEncUnregisterResource = nvEncUnregisterResource;
    list->nvEncMapInputResource = nvEncMapInputResource;
    list->nvEncUnmapInputResource = nvEncUnmapInputResource;
    list->nvEncEncodePicture = nvEncEncodePicture;
    list->nvEncLockBitstream = nvEncLockBitstream;
    list->nvEncUnlockBitstream = nvEncUnlockBitstream;
    list->nvEncDestroyEncoder = nvEncDestroyEncoder;
    list->nvEncGetLastErrorString = nvEncGetLastErrorString;
    return NV_ENC_SUCCESS;
}
