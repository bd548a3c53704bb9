/*
 * The alpha alone, as a grey video beside the output: lossless VP9 of full range, which every browser plays, in an MP4
 * file, whose ticks may be any format's.
 */
#include "format.h"

const struct format format_alpha = {
    .name = "alpha",
    .extension = "mp4",
    .muxer = "mp4",
    .muxer_options = "movflags=+faststart",
    .opaque = { "libvpx-vp9", TRACK_ALPHA, AV_PIX_FMT_YUV420P, 120,
        "deadline=realtime:cpu-used=8:row-mt=1:auto-alt-ref=0:lag-in-frames=0:lossless=1" },
};
