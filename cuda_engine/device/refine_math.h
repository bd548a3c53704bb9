/*
 * Guided upsampling: the arithmetic of one window, shared by every backend. In each window of the small picture alpha
 * is taken for a linear function of colour, a = r*R + g*G + b*B + c, fitted by least squares (He, Sun: Fast Guided
 * Filter, 2015, equations 4 to 6 with a colour guide); the lines of all windows that hold a pixel are averaged,
 * enlarged, and applied to the colours of the full picture, so that alpha gets that picture's edges.
 *
 * Windows are 3x3 and end at the picture's; larger ones and a greater regularisation were worse in every measure.
 */
#ifndef MATTE_REFINE_MATH_H
#define MATTE_REFINE_MATH_H

#include "sample_math.h"

/* Added to the colours' variances; keeps the fit away from noise. */
#define REFINE_EPSILON 1e-4f

/* Alpha as a function of colour; also a sample of the small picture: R, G, B and, as c, alpha. */
struct line {
    float r, g, b, c;
};

/* Sums over a window, of differences from its middle's sample: what is nearly equal must not cancel. */
struct moments {
    float r, g, b, p, rr, rg, rb, gg, gb, bb, rp, gp, bp;
    float count;
};

COMPOSE_FN void moments_add(struct moments *m, struct line x, struct line middle)
{
    float r = x.r - middle.r, g = x.g - middle.g, b = x.b - middle.b, p = x.c - middle.c;
    m->r += r;
    m->g += g;
    m->b += b;
    m->p += p;
    m->rr += r * r;
    m->rg += r * g;
    m->rb += r * b;
    m->gg += g * g;
    m->gb += g * b;
    m->bb += b * b;
    m->rp += r * p;
    m->gp += g * p;
    m->bp += b * p;
    m->count += 1;
}

/*
 * Solves (covariance of the colours + epsilon) * (r, g, b) = covariance with alpha. By an LDL' decomposition: where
 * colours are grey the determinant is lost in the rounding of floats.
 */
COMPOSE_FN struct line fit(struct moments m, struct line middle)
{
    float n = 1 / m.count;
    float r = m.r * n, g = m.g * n, b = m.b * n, p = m.p * n;
    float rr = m.rr * n - r * r + REFINE_EPSILON, rg = m.rg * n - r * g, rb = m.rb * n - r * b;
    float gg = m.gg * n - g * g + REFINE_EPSILON, gb = m.gb * n - g * b;
    float bb = m.bb * n - b * b + REFINE_EPSILON;
    float rp = m.rp * n - r * p, gp = m.gp * n - g * p, bp = m.bp * n - b * p;
    float lg = rg / rr, lb = rb / rr;
    float dg = gg - lg * rg, eb = gb - lg * rb;
    float le = eb / dg, db = bb - lb * rb - le * eb;
    float yg = gp - lg * rp, yb = bp - lb * rp - le * yg;
    struct line l;
    l.b = yb / db;
    l.g = yg / dg - le * l.b;
    l.r = rp / rr - lg * l.g - lb * l.b;
    l.c = p + middle.c - l.r * (r + middle.r) - l.g * (g + middle.g) - l.b * (b + middle.b);
    return l;
}

COMPOSE_FN struct line line_mix(struct line from, struct line to, float weight)
{
    struct line l = {
        mix(from.r, to.r, weight),
        mix(from.g, to.g, weight),
        mix(from.b, to.b, weight),
        mix(from.c, to.c, weight),
    };
    return l;
}

COMPOSE_FN float line_at(struct line l, struct rgb color)
{
    return clamp_to(l.r * color.r + l.g * color.g + l.b * color.b + l.c, 0, 1);
}

/*
 * 1 if a picture is so much larger than the network's that it can guide: nearer to one another it adds its noise, and no
 * edges.
 */
COMPOSE_FN int refine_guides(int width, int height, int low_width, int low_height)
{
    return (float)width * (float)height >= 3 * (float)low_width * (float)low_height;
}

/* Where a place along an axis of the large picture, of `size` pixels, lies among `low` small samples. */
COMPOSE_FN float small_place_of(float place, int size, int low)
{
    return clamp_to(place * ((float)low / (float)size) - .5f, 0, (float)(low - 1));
}

/* Pixel i. */
COMPOSE_FN float small_place(int i, int size, int low)
{
    return small_place_of((float)i + .5f, size, low);
}

#endif
