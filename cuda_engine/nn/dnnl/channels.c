/*
 * Softmax and normalisation along the adjacent dimension: a pixel's channels, or the last dimension of rows.
 */
#include <math.h>

#include "exponential.h"
#include "plan.h"

VECTORISED static void softmax(float *to, const float *from, int count)
{
    float most = from[0], sum = 0;
#pragma omp simd reduction(max : most)
    for (int i = 0; i < count; i++)
        most = from[i] > most ? from[i] : most;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < count; i++) {
        const float x = from[i] - most;
        to[i] = exponential(x > -80 ? x : -80);
        sum += to[i];
    }
    const float factor = 1 / sum;
    for (int i = 0; i < count; i++)
        to[i] *= factor;
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

static void softmax_pixel(const struct step *s, const float *from, float *to)
{
    softmax(to, from, s->out.c);
}

static void normalise_pixel(const struct step *s, const float *from, float *to)
{
    normalise(to, from, s->in[1].data, s->in[2].data, s->node->epsilon, s->out.c);
}

int channels_prepare(struct plan *p, struct step *s, struct error *e)
{
    s->by_pixel = s->node->kind == SOFTMAX ? softmax_pixel : normalise_pixel;
    return pointwise_prepare(p, s, e);
}
