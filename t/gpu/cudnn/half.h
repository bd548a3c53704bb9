/* Halves and floats, rows of them. */
#ifndef CUEMU_CUDNN_HALF_H
#define CUEMU_CUDNN_HALF_H

#include <stdint.h>

void half_load(float *to, const uint16_t *from, int64_t count);
void half_store(
    uint16_t *to, const float *from, int64_t count); /* the nearest, to even where two are */

#endif
