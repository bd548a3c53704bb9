/* MP4: H.264 for every player; it has no transparency. The index comes first, so that players start at once. */
#include "format.h"

const struct format format_mp4 = {
    .name = "mp4",
    .extension = "mp4",
    .muxer = "mp4",
    .muxer_options = "movflags=+faststart",
    .ticks = { 1, 120000 },
    .apart = 1,
    .max_side = 16384,
    .even = 1,
    .opaque = { "libx264", TRACK_COLOR, AV_PIX_FMT_YUV420P, 240, "preset=veryfast:crf=20" },
    .audio_copied = { AV_CODEC_ID_AAC, AV_CODEC_ID_MP3, AV_CODEC_ID_AC3, AV_CODEC_ID_ALAC },
    .audio_encoder = "aac",
};
