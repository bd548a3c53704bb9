/* Tables for resizing along one axis, made once on the host and read by every backend. */
#ifndef MATTE_TAPS_H
#define MATTE_TAPS_H

/* For each result sample: the first source sample it takes and the weights of `most` following ones, which sum to 1. */
struct taps {
    int count, most;
    int *first;
    float *weight; /* count * most */
};

struct taps_params {
    int samples; /* of the source */
    double span; /* how many of them (a fraction for chroma of an odd size) the picture covers */
    int size;    /* samples that the whole picture becomes, ... */
    int from;    /* ... of which these are wanted: count of them, the first being from */
    int count;
};

/* Shrinking, a result sample is the mean over the source it covers; growing, it lies between its two neighbours. -1: no
 * memory; taps_close() in any case. */
int taps_open(struct taps *t, const struct taps_params *params);
void taps_close(struct taps *t);

#endif
