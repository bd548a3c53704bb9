/*
 * The arithmetic of putting a cut-out picture on a canvas, for every backend.
 *
 * Scaling averages light, so it works on linear colour multiplied by its alpha: means of gamma-encoded codes are too dark
 * where bright and dark meet (hair before a sky), and means that are not weighted by alpha draw in the colour of what
 * cannot be seen. Linear light is the square of R'G'B', near enough to BT.709's curve for means of neighbours; the way
 * back is a square root, which is correctly rounded everywhere, so backends agree. Blending with a background happens
 * in the codes, as browsers and editors do it.
 */
#ifndef MATTE_PLACE_MATH_H
#define MATTE_PLACE_MATH_H

#include <math.h>

#include "compose_math.h"

/* Less alpha than this shows no colour, and none can be divided out of it. */
#define PLACE_LEAST (1.0f / 1024)

/* Linear R, G, B in 0..1 multiplied by alpha, and alpha in 0..1. */
struct light {
    float r, g, b, a;
};

/* Codes of a picture, not rounded. */
struct codes {
    float y, u, v;
};

/* r, g, b: R'G'B'. */
COMPOSE_FN struct codes color_codes(struct color_matrix m, float r, float g, float b)
{
    struct codes c = {
        LUMA_BLACK + m.y[0] * r + m.y[1] * g + m.y[2] * b,
        CHROMA_GREY + m.u[0] * r + m.u[1] * g + m.u[2] * b,
        CHROMA_GREY + m.v[0] * r + m.v[1] * g + m.v[2] * b,
    };
    return c;
}

COMPOSE_FN struct light light_of(
    struct color_matrix m, unsigned char y, unsigned char u, unsigned char v, unsigned char alpha)
{
    float l = ((float)y - LUMA_BLACK) * m.luma;
    float cb = (float)u - CHROMA_GREY, cr = (float)v - CHROMA_GREY, a = (float)alpha * (1.0f / 255);
    float r = clamp_to(l + m.red_v * cr, 0, 1);
    float g = clamp_to(l + m.green_u * cb + m.green_v * cr, 0, 1);
    float b = clamp_to(l + m.blue_u * cb, 0, 1);
    struct light p = { r * r * a, g * g * a, b * b * a, a };
    return p;
}

/* The colour behind the alpha. */
COMPOSE_FN struct codes codes_of(struct color_matrix m, struct light p)
{
    float scale = 1 / clamp_to(p.a, PLACE_LEAST, 1);
    float r = sqrtf(clamp_to(p.r * scale, 0, 1));
    float g = sqrtf(clamp_to(p.g * scale, 0, 1));
    float b = sqrtf(clamp_to(p.b * scale, 0, 1));
    return color_codes(m, r, g, b);
}

/* Of the pixels under one chroma sample; those outside the canvas are given as zeros, count: the others. */
COMPOSE_FN struct light mean_light(
    struct light a, struct light b, struct light c, struct light d, int count)
{
    float part = 1.0f / (float)count;
    struct light p = {
        (a.r + b.r + c.r + d.r) * part,
        (a.g + b.g + c.g + d.g) * part,
        (a.b + b.b + c.b + d.b) * part,
        (a.a + b.a + c.a + d.a) * part,
    };
    return p;
}

/* A code over a background's; alpha in 0..1. */
COMPOSE_FN unsigned char over(unsigned char back, float front, float alpha)
{
    return round_code(mix((float)back, front, alpha));
}

#endif
