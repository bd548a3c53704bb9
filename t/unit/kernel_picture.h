/* Pictures as kernels read them, and their colours in double precision by formulas written out again. */
#ifndef MATTE_UNIT_KERNEL_PICTURE_H
#define MATTE_UNIT_KERNEL_PICTURE_H

#include "device/cuda/kernels/picture.h"
#include "kernel.h"

enum { PLANAR, NV12, P010, LAYOUTS };

struct shown {
    struct picture picture;
    double kr, kb, white; /* white: of full range, or 0 */
    void *memory[2];
};

/* Smooth shapes and some noise; addresses and pitches that suit no vector, but for half of the pictures. */
static inline struct shown show(int width, int height, int layout)
{
    const int hd = random_below(2), full = random_below(2), odd = random_below(2);
    const int bytes = layout == P010 ? 2 : 1, wide = (width + 1) / 2, high = (height + 1) / 2;
    struct shown s = { .kr = hd ? .2126 : .299, .kb = hd ? .0722 : .114 };
    s.white = !full ? 0 : layout == P010 ? 1023 / 4. : 255;
    struct picture *p = &s.picture;
    p->width = width;
    p->height = height;
    p->wide = layout == P010;
    p->interleaved = layout != PLANAR;
    p->decoding = decoding(color_matrix((float)s.kr, (float)s.kb), (float)s.white);
    p->y_pitch = odd ? (width + random_below(9)) * bytes : (width * bytes + 63) / 64 * 64;
    p->uv_pitch = (wide << p->interleaved) * bytes + random_below(9) * bytes;
    if (!odd)
        p->uv_pitch = (p->uv_pitch + 63) / 64 * 64;
    const int shift = odd * random_below(4) * bytes;
    const size_t luma = (size_t)p->y_pitch * (size_t)(height - 1) + (size_t)(width * bytes);
    const size_t chroma =
        (size_t)p->uv_pitch * (size_t)(high - 1) + (size_t)((wide << p->interleaved) * bytes);
    uint8_t *y = s.memory[0] = malloc((size_t)shift + luma);
    uint8_t *u = s.memory[1] = malloc((size_t)shift + chroma * (p->interleaved ? 1 : 2));
    memset(y, 0x55, (size_t)shift + luma);
    memset(u, 0x55, (size_t)shift + chroma * (p->interleaved ? 1 : 2));
    p->y = y + shift;
    p->u = u + shift;
    p->v = p->interleaved ? p->u + bytes : p->u + chroma;
    for (int plane = 0; plane < 3; plane++)
        for (int j = 0; j < (plane ? high : height); j++)
            for (int i = 0; i < (plane ? wide : width); i++) {
                uint8_t *to = (uint8_t *)(plane == 0   ? p->y
                                          : plane == 1 ? p->u
                                                       : p->v) +
                              (ptrdiff_t)j * (plane ? p->uv_pitch : p->y_pitch) +
                              (ptrdiff_t)(i << (plane && p->interleaved)) * bytes;
                const double code =
                    clip(126 + 70 * sin(i * .11 + plane) * cos(j * .07) + 110 * (fraction() - .5),
                        0, 255);
                const uint16_t ten = (uint16_t)((int)(code * 4) << 6);
                if (bytes == 2)
                    memcpy(to, &ten, sizeof ten);
                else
                    *to = (uint8_t)code;
            }
    return s;
}

static inline void hide(struct shown *s)
{
    free(s->memory[0]);
    free(s->memory[1]);
}

/* The code of a plane's sample in units of 8 bits; coordinates outside repeat the edge. */
static inline double code_at(const struct shown *s, int plane, int x, int y)
{
    const struct picture *p = &s->picture;
    const int w = plane ? (p->width + 1) / 2 : p->width,
              h = plane ? (p->height + 1) / 2 : p->height;
    x = (int)clip(x, 0, w - 1);
    y = (int)clip(y, 0, h - 1);
    const uint8_t *row = (plane == 0      ? p->y
                             : plane == 1 ? p->u
                                          : p->v) +
                         (ptrdiff_t)y * (plane ? p->uv_pitch : p->y_pitch);
    const int at = x << (plane && p->interleaved);
    uint16_t ten;
    if (!p->wide)
        return row[at];
    memcpy(&ten, row + 2 * (ptrdiff_t)at, sizeof ten);
    return ten / 256.;
}

/* ITU-R BT.601 and BT.709. */
static inline void rgb_of(const struct shown *s, double y, double u, double v, double rgb[3])
{
    const double luma = s->white > 0 ? y / s->white : (y - 16) / 219;
    const double span = s->white > 0 ? s->white : 224;
    const double pb = (u - 128) / span, pr = (v - 128) / span;
    rgb[0] = luma + 2 * (1 - s->kr) * pr;
    rgb[2] = luma + 2 * (1 - s->kb) * pb;
    rgb[1] = (luma - s->kr * rgb[0] - s->kb * rgb[2]) / (1 - s->kr - s->kb);
    for (int k = 0; k < 3; k++)
        rgb[k] = clip(rgb[k], 0, 1);
}

/* Of a pixel, with the chroma that it is under. */
static inline void color_at(const struct shown *s, int x, int y, double rgb[3])
{
    rgb_of(s, code_at(s, 0, x, y), code_at(s, 1, x / 2, y / 2), code_at(s, 2, x / 2, y / 2), rgb);
}

#endif
