/*
 * The arithmetic of one pixel, shared by every backend: plain inline C, no library, no state. A comparison is written so
 * that a NaN becomes the lower bound.
 *
 * Colour is 8-bit Y'CbCr of limited range as ITU-R BT.601 and BT.709 define it, in code units: Y' 16..235, Cb and Cr
 * 16..240 around 128. R'G'B' is 0..1. Compositing happens in these gamma-encoded codes; because the conversion is linear,
 * blending codes equals blending R'G'B'.
 */
#ifndef MATTE_COMPOSE_MATH_H
#define MATTE_COMPOSE_MATH_H

#ifdef __CUDACC__
#define COMPOSE_FN static inline __host__ __device__
#else
#define COMPOSE_FN static inline
#endif

#define LUMA_BLACK  16.0f
#define LUMA_WHITE  235.0f
#define CHROMA_LOW  16.0f
#define CHROMA_GREY 128.0f
#define CHROMA_HIGH 240.0f

/* Below and above these a network means none and all. */
#define ALPHA_NONE .02f
#define ALPHA_ALL  .98f

/* Differences of Y', Cb, Cr codes for differences of R', G', B', and back. */
struct color_matrix {
    float y[3], u[3], v[3];
    float luma, red_v, green_u, green_v, blue_u;
};

/* kr, kb: the weights of red and blue in luma: .299, .114 (BT.601) or .2126, .0722 (BT.709). */
COMPOSE_FN struct color_matrix color_matrix(float kr, float kb)
{
    float kg = 1 - kr - kb, cb = 224 / (2 * (1 - kb)), cr = 224 / (2 * (1 - kr));
    struct color_matrix m = {
        { 219 * kr, 219 * kg, 219 * kb },
        { -cb * kr, -cb * kg, cb * (1 - kb) },
        { cr * (1 - kr), -cr * kg, -cr * kb },
        1.0f / 219,
        1 / cr,
        -kb / (cb * kg),
        -kr / (cr * kg),
        1 / cb,
    };
    return m;
}

COMPOSE_FN float clamp_to(float x, float low, float high)
{
    return x > low ? (x < high ? x : high) : low;
}

COMPOSE_FN float level_alpha(float a)
{
    return a > ALPHA_NONE ? (a < ALPHA_ALL ? a : 1) : 0;
}

/* To the nearest code; x >= 0. */
COMPOSE_FN unsigned char round_code(float x)
{
    return (unsigned char)(int)(x + .5f);
}

COMPOSE_FN float mix(float from, float to, float weight)
{
    return from + weight * (to - from);
}

/* The foreground's code: the source's, moved by what the network says the difference is. */
COMPOSE_FN float foreground_luma(float source, float difference)
{
    return clamp_to(source + difference, LUMA_BLACK, LUMA_WHITE);
}

COMPOSE_FN float foreground_chroma(float source, float difference)
{
    return clamp_to(source + difference, CHROMA_LOW, CHROMA_HIGH);
}

#endif
