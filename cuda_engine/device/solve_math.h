/*
 * The matting equation, colour = alpha * foreground + (1 - alpha) * background, solved for what a network leaves soft.
 * Foreground and background of a pixel are taken from around it: weighted means of what is surely one of them (for alpha)
 * or of all (for the colour; Forte: Approximate Fast Foreground Colour Estimation, 2021, whose last step is
 * solve_foreground()). Shared by every backend; values of 0..1.
 */
#ifndef MATTE_SOLVE_MATH_H
#define MATTE_SOLVE_MATH_H

#include "temporal_math.h"

/* Windows, in pixels to each side; where one of them holds nothing a window four times as wide decides. */
enum { SOLVE_ALPHA_RADIUS = 8, SOLVE_COLOR_RADIUS = 3, SOLVE_WIDER = 4 };

/* Alpha within this of 0 and 1 is sure. */
#define SOLVE_SURE .05f

/* The weight of the wide window beside a narrow one's mean weight. */
#define SOLVE_WIDE 1e-3f

/* Colours whose squared distance is about this are too near to each other to tell alpha by; ones this far off the line
 * between foreground and background are neither. */
#define SOLVE_NEAR .2f
#define SOLVE_OFF  .02f

/* The weight of a pixel as a sample of the foreground; of 1 - alpha, of the background. */
COMPOSE_FN float solve_sure(float alpha)
{
    return clamp_to((alpha - (1 - SOLVE_SURE)) / SOLVE_SURE, 0, 1);
}

COMPOSE_FN int solve_soft(float alpha)
{
    return alpha > SOLVE_SURE && alpha < 1 - SOLVE_SURE;
}

/*
 * Alpha as the colour tells it, where it can: foreground and background are far from each other and the colour is near
 * the line between them. trust: 0..1, of the place.
 */
COMPOSE_FN float solve_alpha(
    float alpha, struct rgb color, struct rgb foreground, struct rgb background, float trust)
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
COMPOSE_FN float solve_foreground(float alpha, float color, float foreground, float background)
{
    float missing = color - alpha * foreground - (1 - alpha) * background;
    return clamp_to(foreground + alpha * missing, 0, 1);
}

#endif
