#include "taps.h"

#include <math.h>
#include <stdlib.h>

int taps_open(struct taps *t, const struct taps_params *p)
{
    double scale = p->span / p->size;
    t->count = p->count;
    t->most = scale > 1 ? (int)ceil(scale) + 1 : 2;
    if (t->most > p->samples)
        t->most = p->samples;
    t->first = calloc((size_t)p->count, sizeof *t->first);
    t->weight = calloc((size_t)p->count * (size_t)t->most, sizeof *t->weight);
    if (!t->first || !t->weight)
        return -1;
    for (int i = 0; i < p->count; i++) {
        /* linear: a box of one source sample's width around the centre has the two neighbours' weights */
        double middle = (p->from + i + .5) * scale, half = scale > 1 ? scale / 2 : .5;
        double from = fmax(middle - half, 0), to = fmin(middle + half, p->samples), sum = 0;
        int first = (int)from;
        if (first > p->samples - t->most)
            first = p->samples - t->most;
        t->first[i] = first;
        float *weight = t->weight + (size_t)i * (size_t)t->most;
        for (int k = 0; k < t->most; k++) {
            double part = fmin(to, first + k + 1) - fmax(from, first + k);
            weight[k] = part > 0 ? (float)part : 0;
            sum += weight[k];
        }
        for (int k = 0; k < t->most; k++)
            weight[k] = (float)(weight[k] / sum);
    }
    return 0;
}

void taps_close(struct taps *t)
{
    free(t->first);
    free(t->weight);
}
