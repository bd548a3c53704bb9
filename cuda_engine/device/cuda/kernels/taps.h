/* The tables of device/taps.h in device memory. */
#ifndef MATTE_KERNELS_TAPS_H
#define MATTE_KERNELS_TAPS_H

struct axis {
    const int *first;
    const float *weight;
    int most;
};

#endif
