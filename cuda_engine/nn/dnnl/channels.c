/*
 * Softmax and normalisation along the adjacent dimension: a pixel's channels, or the last dimension of rows.
 */
#include <math.h>

#include "vectorised.h"
#include "plan.h"

/* The exponentials are one loop over all pixels, as there may be few channels. */
VECTORISED static void softmax(float *to, const float *from, int pixels, int count)
{
    for (int x = 0; x < pixels; x++) {
        const float *pixel = from + x * count;
        float most = pixel[0];
#pragma omp simd reduction(max : most)
        for (int i = 0; i < count; i++)
            most = pixel[i] > most ? pixel[i] : most;
        for (int i = 0; i < count; i++)
            to[x * count + i] = pixel[i] - most;
    }
    for (int i = 0; i < pixels * count; i++)
        to[i] = exponential(to[i] > -80 ? to[i] : -80);
    for (int x = 0; x < pixels; x++) {
        float *pixel = to + x * count, sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int i = 0; i < count; i++)
            sum += pixel[i];
        const float factor = 1 / sum;
        for (int i = 0; i < count; i++)
            pixel[i] *= factor;
    }
}

VECTORISED static void normalise(
    float *to, const float *from, const float *scale, const float *shift, float epsilon, int count)
{
    float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < count; i++)
        sum += from[i];
    const float mean = sum / (float)count;
#pragma omp simd reduction(+ : squares)
    for (int i = 0; i < count; i++)
        squares += (from[i] - mean) * (from[i] - mean);
    const float inverse = 1 / sqrtf(squares / (float)count + epsilon);
    for (int i = 0; i < count; i++)
        to[i] = (from[i] - mean) * inverse * scale[i] + shift[i];
}

static void softmax_pixels(const struct step *s, const float *from, float *to, int pixels)
{
    softmax(to, from, pixels, s->out.c);
}

static void normalise_pixels(const struct step *s, const float *from, float *to, int pixels)
{
    const int count = s->out.c;
    for (int x = 0; x < pixels; x++)
        normalise(to + x * count, from + x * count, s->in[1].data, s->in[2].data, s->node->epsilon,
            count);
}

int channels_prepare(struct plan *p, struct step *s, struct error *e)
{
    s->by_pixel = s->node->kind == SOFTMAX ? softmax_pixels : normalise_pixels;
    return pointwise_prepare(p, s, e);
}
