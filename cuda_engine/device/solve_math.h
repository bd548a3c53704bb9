/*
 * The matting equation, colour = alpha * foreground + (1 - alpha) * background, solved for what a network leaves soft.
 * Foreground and background of a pixel are taken from around it: colours of what is surely one of them are spread over
 * the rest of the picture. (The colour's last step is solve_foreground(), from Forte: Approximate Fast Foreground
 * Colour Estimation, 2021.) Shared by every backend; values of 0..1.
 *
 * Spreading is "push-pull", as fill_math.h has it, in floats: the picture is halved again and again, to 1x1, and on the
 * way back what is not known is taken from the coarser level. Level 0 is the picture's; level 1 has half its size,
 * rounded up.
 */
#ifndef MATTE_SOLVE_MATH_H
#define MATTE_SOLVE_MATH_H

#include "sample_math.h"

/* How colours are spread: how often a pixel's alpha is squared to be its weight, and from which weight on it is known. */
struct spread {
    int squarings;
    float known;
};

/* To decide alpha by only what is quite sure is good enough; the colour itself should come from near by. */
COMPOSE_FN struct spread spread_for_alpha(void)
{
    struct spread s = { 5, 2 };
    return s;
}

COMPOSE_FN struct spread spread_for_color(void)
{
    struct spread s = { 3, 1 };
    return s;
}

/* Less is no weight: floats this small are slow. */
#define SPREAD_LEAST 1e-9f

/* A colour times its weight on the way up; on the way back a colour and, for a weight, how near by it was known: 1 here,
 * half of it on the next level, and so on. */
struct tint {
    float r, g, b, weight;
};

/* alpha: of the foreground; 1 - alpha, of the background. */
COMPOSE_FN struct tint tint_of(struct spread s, struct rgb c, float alpha)
{
    for (int i = 0; i < s.squarings; i++)
        alpha = alpha > SPREAD_LEAST ? alpha * alpha : 0;
    struct tint t = { c.r * alpha, c.g * alpha, c.b * alpha, alpha };
    return t;
}

/* Of two by two, from the top left; those outside the picture are zeros. A weight of 1 is as good as more. */
COMPOSE_FN struct tint tint_push(struct tint a, struct tint b, struct tint c, struct tint d)
{
    float weight = a.weight + b.weight + c.weight + d.weight;
    float scale = weight > 1 ? 1 / weight : 1;
    struct tint t = {
        (a.r + b.r + c.r + d.r) * scale,
        (a.g + b.g + c.g + d.g) * scale,
        (a.b + b.b + c.b + d.b) * scale,
        weight * scale,
    };
    return t;
}

/* Of the level of 1x1. */
COMPOSE_FN struct tint tint_top(struct tint own)
{
    float scale = 1 / (own.weight + 1e-6f);
    struct tint t = { own.r * scale, own.g * scale, own.b * scale, own.weight };
    return t;
}

/*
 * Between four of the coarser level: over is the one that holds the pixel, in_x and in_y are its neighbours on the pixel's
 * side and both is the one in both directions; at the border a neighbour is the nearest that is there.
 */
COMPOSE_FN struct tint tint_pull(struct spread s, struct tint own, struct tint over,
    struct tint in_x, struct tint in_y, struct tint both)
{
    float known = clamp_to(own.weight * (1 / s.known), 0, 1), missing = (1 - known) / 16;
    float scale = known / (own.weight + SPREAD_LEAST);
    struct tint t = {
        own.r * scale + missing * (9 * over.r + 3 * (in_x.r + in_y.r) + both.r),
        own.g * scale + missing * (9 * over.g + 3 * (in_x.g + in_y.g) + both.g),
        own.b * scale + missing * (9 * over.b + 3 * (in_x.b + in_y.b) + both.b),
        known + .5f * missing * (9 * over.weight + 3 * (in_x.weight + in_y.weight) + both.weight),
    };
    return t;
}

/* A foreground and a background are known well enough by where they were known: five levels up. */
#define SOLVE_KNOWN (1.0f / 32)

/* Colours whose squared distance is about this are too near to each other to tell alpha by; ones this far off the line
 * between foreground and background are neither. */
#define SOLVE_NEAR .2f
#define SOLVE_OFF  .02f

/* 0..1: how far alpha is neither none nor all. */
COMPOSE_FN float solve_soft(float alpha)
{
    return clamp_to((alpha < .5f ? alpha : 1 - alpha) * 25 - .75f, 0, 1);
}

/* soft: the sum over the nine pixels around; four soft ones are an edge. foreground and background: weights as of
 * tint_pull(). */
COMPOSE_FN float solve_trust(float soft, float foreground, float background)
{
    float known = foreground < background ? foreground : background;
    return clamp_to(soft / 4, 0, 1) * clamp_to(known * (1 / SOLVE_KNOWN), 0, 1);
}

/*
 * Alpha as the colour tells it, where it can: foreground and background are far from each other and the colour is near
 * the line between them. trust: 0..1, of the place.
 */
COMPOSE_FN float solve_alpha(
    float alpha, struct rgb color, struct tint foreground, struct tint background, float trust)
{
    float r = foreground.r - background.r, g = foreground.g - background.g,
          b = foreground.b - background.b;
    float cr = color.r - background.r, cg = color.g - background.g, cb = color.b - background.b;
    float span = r * r + g * g + b * b;
    float told = clamp_to((cr * r + cg * g + cb * b) / (span + 1e-6f), 0, 1);
    float er = cr - told * r, eg = cg - told * g, eb = cb - told * b;
    float off = (er * er + eg * eg + eb * eb) / SOLVE_OFF;
    /* falls like exp(-off) and needs no library */
    float on = 1 / (1 + off + .5f * off * off);
    return mix(alpha, told, trust * on * span / (span + SOLVE_NEAR));
}

/* One channel of the foreground of a pixel of this colour and alpha. */
COMPOSE_FN float solve_channel(float alpha, float color, float foreground, float background)
{
    float missing = color - alpha * foreground - (1 - alpha) * background;
    return clamp_to(foreground + alpha * missing, 0, 1);
}

COMPOSE_FN struct rgb solve_foreground(
    float alpha, struct rgb color, struct tint foreground, struct tint background)
{
    struct rgb c = {
        solve_channel(alpha, color.r, foreground.r, background.r),
        solve_channel(alpha, color.g, foreground.g, background.g),
        solve_channel(alpha, color.b, foreground.b, background.b),
    };
    return c;
}

#endif
