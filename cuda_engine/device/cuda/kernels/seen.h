/* What a network saw, as the solver's kernels read it. */
#ifndef MATTE_KERNELS_SEEN_H
#define MATTE_KERNELS_SEEN_H

#include <stdint.h>

struct seen {
    const uint16_t *halves; /* H,W,C, four to a pixel, of which three are R, G, B; 8-byte aligned */
    int width, height;
    float mean[3], std[3]; /* R'G'B' = half * std + mean */
};

/* Alpha of the same size as floats, `step` of them from pixel to pixel. */
struct alphas {
    const float *at;
    int step;
};

#endif
