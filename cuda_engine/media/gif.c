/*
 * GIF: 256 colours and one bit of alpha. Each picture has a palette of its own, so that none has to be kept until all are
 * seen. Ordered dithering stays where it is from picture to picture; error diffusion would crawl. Browsers show what
 * lasts less than two ticks for ten.
 */
#include "format.h"

#define PALETTE(reserve)                                               \
    "split[a][b];[a]palettegen=stats_mode=single" reserve "[palette];" \
    "[b][palette]paletteuse=new=1:alpha_threshold=128:dither=bayer:bayer_scale=3"

const struct format format_gif = {
    .name = "gif",
    .extension = "gif",
    .muxer = "gif",
    .muxer_last = "final_delay",
    .ticks = { 1, 100 },
    .apart = 2,
    .max_side = 16384,
    .opaque = { "gif", TRACK_COLOR, AV_PIX_FMT_BGRA, 1, "", PALETTE(":reserve_transparent=0"),
        AV_PIX_FMT_PAL8 },
    .transparent = {
        { "gif", TRACK_BOTH, AV_PIX_FMT_BGRA, 1, "", PALETTE(), AV_PIX_FMT_PAL8 },
    },
};
