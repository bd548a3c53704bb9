/*
 * Decoded pictures of any kind made into the device's: 8-bit 4:2:0 of limited range, upright, with square pixels, all of
 * one size. A picture of another size than the first (some streams change in the middle) is fitted inside with black
 * bars.
 */
#ifndef MATTE_PICTURE_H
#define MATTE_PICTURE_H

#include <libavutil/frame.h>
#include <stdint.h>

#include "../device/frame.h"

/* How to turn a stored picture upright: transposed first, then flipped. */
struct orientation {
    int transposed, flip_x, flip_y;
};

/* From a display matrix (AV_PKT_DATA_DISPLAYMATRIX); NULL: as stored. Angles are rounded to quarter turns. */
struct orientation orientation_of(const int32_t *matrix);

/* The width in square pixels of stored pictures whose pixels have this aspect; even if it is not width itself. */
int picture_square(int width, AVRational aspect);

struct picture;

struct picture_params {
    int width, height; /* of the stored pictures in square pixels, before they are turned */
    struct orientation orientation;
    enum frame_matrix matrix; /* of the result */
    int stretched;            /* 1: every picture fills the result, whatever its shape */
};

struct picture *picture_open(const struct picture_params *params, struct error *e);

/* Are pictures stored in this size shown as they are stored, neither turned nor scaled? */
int picture_is_shown(const struct picture *picture, int width, int height);

/* Is the picture one whose codes would only be copied? Of its pixel format nothing is asked. */
int picture_fits(const struct picture *picture, const AVFrame *from, AVRational aspect);

/*
 * from: any pixel format swscale reads; aspect: of its pixels, 0/1 unknown. to: turned, so transposed if the orientation
 * says so; in host memory, of any layout, the same for every picture. An untagged colour space is taken for the one of the result.
 */
int picture_convert(struct picture *picture, const AVFrame *from, AVRational aspect,
    struct frame *to, struct error *e);

/* picture may be NULL. */
void picture_close(struct picture *picture);

#endif
