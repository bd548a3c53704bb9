/*
 * Inputs and outputs of networks as floats in the file's order, wherever they are: in memory, or halves on a card. 0, or
 * -1 and *e.
 */
#ifndef MATTE_GPU_ENDS_H
#define MATTE_GPU_ENDS_H

#include <stdlib.h>
#include <string.h>

#include "device/cuda/card.h"
#include "nn/cudnn/half.h"
#include "nn/nn.h"

static inline size_t end_elements(const struct nn_tensor *t)
{
    return (size_t)t->n * (size_t)t->c * (size_t)t->h * (size_t)t->w;
}

/* Where element i, in the file's order, is among the halves. */
static inline size_t end_place(const struct nn_tensor *t, size_t i)
{
    const size_t plane = (size_t)t->h * (size_t)t->w, channels = (size_t)t->c;
    return t->step
               ? (i / plane / channels * plane + i % plane) * (size_t)t->step + i / plane % channels
               : i;
}

static inline size_t end_halves(const struct nn_tensor *t)
{
    return t->step ? (size_t)t->n * (size_t)t->h * (size_t)t->w * (size_t)t->step : end_elements(t);
}

static inline int end_put(
    struct device *device, const struct nn_tensor *t, const float *from, struct error *e)
{
    if (t->data) {
        memcpy(t->data, from, end_elements(t) * sizeof *from);
        return 0;
    }
    const struct card *card = card_of(device);
    uint16_t *halves = calloc(end_halves(t), sizeof *halves);
    for (size_t i = 0; i < end_elements(t); i++)
        halves[end_place(t, i)] = half_of(from[i]);
    const int failed = CUDA(&card->cuda, e, cuMemcpyHtoDAsync, (CUdeviceptr)t->halves, halves,
                           end_halves(t) * sizeof *halves, card->compute) ||
                       CUDA(&card->cuda, e, cuStreamSynchronize, card->compute);
    free(halves);
    return failed ? -1 : 0;
}

static inline int end_get(
    struct device *device, const struct nn_tensor *t, float *to, struct error *e)
{
    if (t->data) {
        memcpy(to, t->data, end_elements(t) * sizeof *to);
        return 0;
    }
    const struct card *card = card_of(device);
    uint16_t *halves = calloc(end_halves(t), sizeof *halves);
    const int failed = CUDA(&card->cuda, e, cuMemcpyDtoHAsync, halves, (CUdeviceptr)t->halves,
                           end_halves(t) * sizeof *halves, card->compute) ||
                       CUDA(&card->cuda, e, cuStreamSynchronize, card->compute);
    for (size_t i = 0; i < end_elements(t); i++)
        to[i] = value_of(halves[end_place(t, i)]);
    free(halves);
    return failed ? -1 : 0;
}

#endif
