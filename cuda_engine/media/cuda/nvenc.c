#include "../nvenc.h"

#include <stdlib.h>
#include <string.h>

#include "../../device/cuda/fence.h"
#include "../libav.h"
#include "hwcontext.h"

/* Constant quality near that of the software's settings; two pictures under way, which hold a frame each. */
#define QUALITY(cq) "preset=p4:tune=hq:rc=vbr:b=0:cq=" #cq ":bf=0:delay=2:forced-idr=1"

static const struct {
    const char *software;
    struct track track;
} tracks[] = {
    { "libx264", { "h264_nvenc", TRACK_COLOR, AV_PIX_FMT_CUDA, 240, .options = QUALITY(23) } },
    { "libx265", { "hevc_nvenc", TRACK_COLOR, AV_PIX_FMT_CUDA, 240, .options = QUALITY(25) } },
};

enum { INSIDE_MAX = 64 }; /* frames that the codec may hold: it remembers no more addresses */

struct nvenc {
    const struct card *card;
    AVBufferRef *context;
    struct frame *inside[INSIDE_MAX];
};

const struct track *nvenc_track(const struct track *software)
{
    for (size_t i = 0; i < sizeof tracks / sizeof *tracks; i++)
        if (strcmp(tracks[i].software, software->encoder) == 0 && software->planes == TRACK_COLOR)
            return &tracks[i].track;
    return NULL;
}

struct nvenc *nvenc_open(struct device *device, AVCodecContext *codec, struct error *e)
{
    struct nvenc *n = calloc(1, sizeof *n);
    if (!n) {
        libav_error(e, "encode_error", "The video could not be encoded", AVERROR(ENOMEM));
        return NULL;
    }
    n->card = card_of(device);
    n->context = hwcontext_open(n->card, n->card->encode, e);
    if (n->context)
        codec->hw_frames_ctx = hwcontext_frames(n->context, codec->width, codec->height, e);
    if (codec->hw_frames_ctx)
        return n;
    nvenc_close(n);
    return NULL;
}

static void give_back(void *slot, uint8_t *data)
{
    struct frame **inside = slot;
    (void)data;
    frame_release(*inside);
    *inside = NULL;
}

AVBufferRef *nvenc_buffer(struct nvenc *nvenc, struct frame *frame)
{
    for (int i = 0; i < INSIDE_MAX; i++) {
        if (nvenc->inside[i])
            continue;
        nvenc->inside[i] = frame;
        AVBufferRef *buffer = av_buffer_create(
            frame->plane[FRAME_Y], 1, give_back, &nvenc->inside[i], AV_BUFFER_FLAG_READONLY);
        if (!buffer)
            nvenc->inside[i] = NULL;
        return buffer;
    }
    return NULL;
}

int nvenc_await(struct nvenc *nvenc, struct frame *frame, struct error *e)
{
    if (cuda_enter(&nvenc->card->cuda, e))
        return -1;
    return fence_read(frame, nvenc->card->encode, e);
}

void nvenc_close(struct nvenc *nvenc)
{
    if (!nvenc)
        return;
    /* FFmpeg 5.1 forgets what it holds where the context is lost before it is closed */
    for (int i = 0; i < INSIDE_MAX; i++)
        frame_release(nvenc->inside[i]);
    av_buffer_unref(&nvenc->context);
    free(nvenc);
}
