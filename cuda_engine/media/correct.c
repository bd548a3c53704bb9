#include "correct.h"

#include <stdio.h>
#include <stdlib.h>

#include "filter.h"
#include "libav.h"

static const char failed[] = "The pictures cannot be corrected";

/* Only fields that say so are made whole; a stream that has once said so is looked at to its end. */
#define DEINTERLACE "bwdif=mode=send_frame:deint=interlaced"

/*
 * Light of 203 cd/m2, where graphics are white (ITU-R BT.2408), becomes 1; what is brighter, up to 1000 cd/m2, is bent
 * into the top of the range.
 */
#define TONE_MAP                                                              \
    "zscale=transfer=linear:npl=203,format=gbrpf32le,zscale=primaries=bt709," \
    "tonemap=tonemap=mobius:param=0.5:peak=5:desat=0,"                        \
    "zscale=transfer=bt709:matrix=bt709:range=limited,format=yuv420p"

enum { INTERLACED = 1, HIGH_RANGE = 2 };

static const char *const descriptions[] = {
    [INTERLACED] = DEINTERLACE,
    [HIGH_RANGE] = TONE_MAP,
    [INTERLACED | HIGH_RANGE] = DEINTERLACE "," TONE_MAP,
};

struct correct {
    AVRational time_base;
    int threads;
    struct filter *filter; /* NULL: none is needed */
    /* what filter was made for */
    int kind, width, height, format;
    int interlaced; /* a picture was */
    AVFrame *waits; /* for the filter before it to be empty, or to be taken as it is */
    int waiting;
};

struct correct *correct_open(AVRational time_base, int threads, struct error *e)
{
    struct correct *c = calloc(1, sizeof *c);
    if (c && (c->waits = av_frame_alloc())) {
        c->time_base = time_base;
        c->threads = threads;
        return c;
    }
    free(c);
    libav_error(e, "decode_error", failed, AVERROR(ENOMEM));
    return NULL;
}

static int is_high(const AVFrame *f)
{
    return f->color_trc == AVCOL_TRC_SMPTE2084 || f->color_trc == AVCOL_TRC_ARIB_STD_B67;
}

int correct_passes(const struct correct *correct, const AVFrame *picture)
{
    return !correct->interlaced && !picture->interlaced_frame && !is_high(picture);
}

static int kind_of(struct correct *c, const AVFrame *f)
{
    c->interlaced |= f->interlaced_frame;
    return (c->interlaced ? INTERLACED : 0) | (is_high(f) ? HIGH_RANGE : 0);
}

static int suits(const struct correct *c, int kind, const AVFrame *f)
{
    return c->kind == kind && c->width == f->width && c->height == f->height &&
           c->format == f->format;
}

static int open_filter(struct correct *c, int kind, const AVFrame *f, struct error *e)
{
    struct filter_params p = {
        .description = descriptions[kind],
        .width = f->width,
        .height = f->height,
        .pixel_format = f->format,
        .time_base = c->time_base,
        .aspect = f->sample_aspect_ratio,
        .threads = c->threads,
    };
    c->kind = kind;
    c->width = f->width;
    c->height = f->height;
    c->format = f->format;
    c->filter = filter_open(&p, e);
    return c->filter ? 0 : -1;
}

/* High range without these means BT.2020; libzimg wants them said. */
static void name_colors(AVFrame *f)
{
    if (f->color_primaries == AVCOL_PRI_UNSPECIFIED)
        f->color_primaries = AVCOL_PRI_BT2020;
    if (f->colorspace == AVCOL_SPC_UNSPECIFIED)
        f->colorspace = AVCOL_SPC_BT2020_NCL;
}

int correct_send(struct correct *correct, AVFrame *picture, struct error *e)
{
    struct correct *c = correct;
    int kind = picture ? kind_of(c, picture) : 0, result = 0;
    if (!picture || (c->filter && !suits(c, kind, picture))) {
        if (c->filter)
            result = filter_send(c->filter, NULL);
        if (picture) {
            av_frame_move_ref(c->waits, picture);
            c->waiting = 1;
        }
    } else if (!kind) {
        av_frame_move_ref(c->waits, picture);
        c->waiting = 1;
    } else if (!c->filter && open_filter(c, kind, picture, e)) {
        return -1;
    } else {
        if (kind & HIGH_RANGE)
            name_colors(picture);
        result = filter_send(c->filter, picture);
    }
    return result < 0 ? libav_error(e, "decode_error", failed, result) : 0;
}

int correct_receive(struct correct *correct, AVFrame *picture, struct error *e)
{
    struct correct *c = correct;
    while (c->filter) {
        int result = filter_receive(c->filter, picture);
        if (!result)
            return 1;
        if (result == AVERROR(EAGAIN))
            return 0;
        filter_close(c->filter);
        c->filter = NULL;
        if (result != AVERROR_EOF)
            return libav_error(e, "decode_error", failed, result);
        if (c->waiting && kind_of(c, c->waits)) {
            c->waiting = 0;
            av_frame_move_ref(picture, c->waits);
            if (correct_send(c, picture, e))
                return -1;
        }
    }
    if (!c->waiting)
        return 0;
    c->waiting = 0;
    av_frame_move_ref(picture, c->waits);
    return 1;
}

void correct_close(struct correct *correct)
{
    if (!correct)
        return;
    filter_close(correct->filter);
    av_frame_free(&correct->waits);
    free(correct);
}
