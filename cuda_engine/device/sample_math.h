/*
 * The arithmetic of showing a picture to a network, shared by every backend: codes of Y'CbCr to R'G'B', as ITU-R
 * BT.601, BT.709 and BT.2020 define them for limited and full range, in units of 8-bit codes (10-bit ones divided by
 * 4). Both have grey chroma at 128.
 */
#ifndef MATTE_SAMPLE_MATH_H
#define MATTE_SAMPLE_MATH_H

#include "compose_math.h"

struct decoding {
    float black, luma, red_v, green_u, green_v, blue_u;
    float luma_span, chroma_span; /* of limited range, by those of these codes */
};

struct rgb {
    float r, g, b;
};

/* white: the code of full range's white, 255 or 1023 / 4.f; 0: limited range. */
COMPOSE_FN struct decoding decoding(struct color_matrix m, float white)
{
    float luma = white > 0 ? 219 / white : 1, chroma = white > 0 ? 224 / white : 1;
    struct decoding d = { white > 0 ? 0 : LUMA_BLACK, m.luma * luma, m.red_v * chroma,
        m.green_u * chroma, m.green_v * chroma, m.blue_u * chroma, luma, chroma };
    return d;
}

/* Within 0..1. */
COMPOSE_FN struct rgb decode(struct decoding d, float y, float u, float v)
{
    float l = (y - d.black) * d.luma, cb = u - CHROMA_GREY, cr = v - CHROMA_GREY;
    struct rgb c = {
        clamp_to(l + d.red_v * cr, 0, 1),
        clamp_to(l + d.green_u * cb + d.green_v * cr, 0, 1),
        clamp_to(l + d.blue_u * cb, 0, 1),
    };
    return c;
}

/* The same colour's codes of limited range. */
COMPOSE_FN float limited_luma(struct decoding d, float y)
{
    return (y - d.black) * d.luma_span + LUMA_BLACK;
}

COMPOSE_FN float limited_chroma(struct decoding d, float c)
{
    return (c - CHROMA_GREY) * d.chroma_span + CHROMA_GREY;
}

#endif
