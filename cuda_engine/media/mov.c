/*
 * MOV: ProRes, as editors want it. 4444 for transparency, whose alpha is coded without loss; what a compositor makes has
 * 8 bits of it, which 16 of the file hold exactly. At qscale 9 a picture differs from the source by less than its noise.
 */
#include "format.h"

#define PRORES "vendor=apl0:flags=+qscale:global_quality=1062:" /* 9 * FF_QP2LAMBDA */

const struct format format_mov = {
    .name = "mov",
    .extension = "mov",
    .muxer = "mov",
    .ticks = { 1, 120000 }, /* every usual frame rate, those over 1001 too, is whole */
    .apart = 1,
    .max_side = 16384,
    .opaque = { "prores_ks", TRACK_COLOR, AV_PIX_FMT_YUV422P10, 1, PRORES "profile=hq" },
    .transparent = {
        { "prores_ks", TRACK_BOTH, AV_PIX_FMT_YUVA444P10, 1, PRORES "profile=4444:alpha_bits=16" },
    },
    .audio_copied = { AV_CODEC_ID_AAC, AV_CODEC_ID_MP3, AV_CODEC_ID_AC3, AV_CODEC_ID_ALAC,
        AV_CODEC_ID_PCM_S16LE, AV_CODEC_ID_PCM_S16BE, AV_CODEC_ID_PCM_S24LE, AV_CODEC_ID_PCM_S24BE,
        AV_CODEC_ID_PCM_F32LE },
    .audio_encoder = "aac",
};
