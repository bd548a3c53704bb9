/*
 * The card that is planned for. cuDNN takes its properties as JSON in place of a handle, so that plans can be made, and
 * checked, where there is none.
 */
#ifndef MATTE_NN_CUDNN_CARD_H
#define MATTE_NN_CUDNN_CARD_H

#include <stddef.h>

#include "descriptors.h"

struct card {
    struct descriptors descriptors;
    cudnnBackendDescriptor_t properties;
    int sm; /* 86: compute capability 8.6 */
};

/*
 * From properties as cuDNN serializes them. label names them in errors. The library stays the caller's and must outlive
 * the card. -1 and *e: not JSON, no compute capability in it (deviceVer), or refused by cuDNN; card_close() is due in
 * either case.
 */
int card_open(struct card *card, const struct cudnn *cudnn, const char *json, const char *label,
    struct error *e);
void card_close(struct card *card);

#endif
