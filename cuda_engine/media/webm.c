/*
 * WebM: VP9, and for transparency a second VP9 stream in BlockAdditions, as libvpx's own tools and browsers expect it.
 * libavcodec can split yuva420p itself, but then both planes share one thread and one quality; two contexts run beside
 * each other, and alpha is coded finer than colour.
 */
#include "format.h"

#include <libavutil/intreadwrite.h>
#include <string.h>

#include "libav.h"

/* Without lag and alternate references a packet comes for each frame, so that the two streams pair by order. */
#define VP9 "deadline=realtime:cpu-used=8:row-mt=1:auto-alt-ref=0:lag-in-frames=0:b=0:"

enum { BLOCK_ADD_ID = 1 }; /* of alpha, in the WebM guidelines */

static int describe(AVStream *stream, int transparent, struct error *e)
{
    int result = transparent ? av_dict_set(&stream->metadata, "alpha_mode", "1", 0) : 0;
    return result < 0 ? libav_error(e, "encode_error", "The WebM file was not made", result) : 0;
}

static int join(AVPacket *color, const AVPacket *alpha, struct error *e)
{
    if (color->pts != alpha->pts)
        return error_set(e, "encode_error",
            "The VP9 encoders disagree about time: colour is at %lld ms and alpha at %lld ms.",
            (long long)color->pts, (long long)alpha->pts);
    uint8_t *side = av_packet_new_side_data(
        color, AV_PKT_DATA_MATROSKA_BLOCKADDITIONAL, 8 + (size_t)alpha->size);
    if (!side)
        return libav_error(e, "encode_error", "The WebM file was not made", AVERROR(ENOMEM));
    AV_WB64(side, BLOCK_ADD_ID);
    memcpy(side + 8, alpha->data, (size_t)alpha->size);
    return 0;
}

const struct format format_webm = {
    .name = "webm",
    .extension = "webm",
    .muxer = "webm",
    .ticks = { 1, 1000 },
    .apart = 1,
    .max_side = 16384,
    .opaque = { "libvpx-vp9", TRACK_COLOR, AV_PIX_FMT_YUV420P, 120, VP9 "crf=30" },
    .transparent = {
        { "libvpx-vp9", TRACK_COLOR, AV_PIX_FMT_YUV420P, 120, VP9 "crf=30" },
        { "libvpx-vp9", TRACK_ALPHA, AV_PIX_FMT_YUV420P, 120, VP9 "crf=4",
            .lossless = VP9 "lossless=1" },
    },
    .audio_copied = { AV_CODEC_ID_OPUS, AV_CODEC_ID_VORBIS },
    .audio_encoder = "libopus",
    .describe = describe,
    .join = join,
};
