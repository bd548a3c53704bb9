/* WebP, animated: lossy colour, exact alpha. The library makes one packet of all frames, at the end. */
#include "format.h"

#include <libavutil/common.h>
#include <libavutil/intreadwrite.h>
#include <string.h>

enum { CHUNKS = 12, CHUNK = 8, DURATION = 12, DURATION_MAX = 0xffffff }; /* bytes before; ms */

/* libavcodec does not say when the last picture ends, and libwebp gives it the mean of the others' durations. */
static int last(AVPacket *packet, int64_t ms)
{
    int result = av_packet_make_writable(packet);
    if (result < 0)
        return result;
    uint8_t *duration = NULL;
    for (int64_t at = CHUNKS; at + CHUNK + DURATION + 3 <= packet->size;) {
        uint8_t *chunk = packet->data + at;
        if (!memcmp(chunk, "ANMF", 4)) {
            ms -= duration ? AV_RL24(duration) : 0;
            duration = chunk + CHUNK + DURATION;
        }
        at += CHUNK + FFALIGN((int64_t)AV_RL32(chunk + 4), 2);
    }
    if (duration) /* one picture is no animation */
        AV_WL24(duration, av_clip64(ms, 0, DURATION_MAX));
    return 0;
}

#define TRACK(planes)                                                                              \
    {                                                                                              \
        "libwebp_anim", planes, AV_PIX_FMT_BGRA, 1, "quality=75:compression_level=2", .last = last \
    }

const struct format format_webp = {
    .name = "webp",
    .extension = "webp",
    .muxer = "webp",
    .muxer_options = "loop=0", /* for ever */
    .ticks = { 1, 1000 },
    .apart = 1,
    .max_side = 16383,
    .opaque = TRACK(TRACK_COLOR),
    .transparent = { TRACK(TRACK_BOTH) },
};
