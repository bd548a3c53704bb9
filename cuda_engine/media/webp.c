/* WebP, animated: lossy colour, exact alpha. The library makes one packet of all frames, at the end. */
#include "format.h"

const struct format format_webp = {
    .name = "webp",
    .extension = "webp",
    .muxer = "webp",
    .muxer_options = "loop=0", /* for ever */
    .ticks = { 1, 1000 },
    .apart = 1,
    .max_side = 16383,
    .opaque = { "libwebp_anim", TRACK_COLOR, AV_PIX_FMT_BGRA, 1, "quality=75:compression_level=2" },
    .transparent = {
        { "libwebp_anim", TRACK_BOTH, AV_PIX_FMT_BGRA, 1, "quality=75:compression_level=2" },
    },
};
