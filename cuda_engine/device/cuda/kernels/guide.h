/* guide.cuh: a network's alpha to the size and the edges of the picture. */
#ifndef MATTE_KERNELS_GUIDE_H
#define MATTE_KERNELS_GUIDE_H

#include <stdint.h>

/* What a network saw and answered: halves, N,H,W,C, and halves from one sample to the next. */
struct guide {
    const uint16_t *color, *alpha; /* color: what sample_picture made of the same picture */
    int color_step, alpha_step;
    float mean[3], std[3]; /* rgb = color * std + mean */
};

#endif
