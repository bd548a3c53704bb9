/* A zip file of PNG pictures, of the sound and of a list with every picture's time. */
#include "format.h"

const struct format format_png_sequence = {
    .name = "png_sequence",
    .extension = "zip",
    .muxer = "ipod",
    .archive = 1,
    .ticks = { 1, 120000 },
    .apart = 1,
    .max_side = 16384,
    .opaque = { "png", TRACK_COLOR, AV_PIX_FMT_RGB24, 1, "compression_level=1:pred=sub" },
    .transparent = {
        { "png", TRACK_BOTH, AV_PIX_FMT_RGBA, 1, "compression_level=1:pred=sub" },
    },
    .audio_copied = { AV_CODEC_ID_AAC },
    .audio_encoder = "aac",
};
