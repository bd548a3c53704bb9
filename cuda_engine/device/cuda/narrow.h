/* Surfaces of a decoder that have 10 bits made into frames, which have 8. */
#ifndef MATTE_DEVICE_CUDA_NARROW_H
#define MATTE_DEVICE_CUDA_NARROW_H

#include "card.h"
#include "transfer.h"

struct narrow;

/* The context must be current. NULL and *e. */
struct narrow *narrow_open(const struct card *card, struct error *e);

/* As transfer_surface(), of P010. */
int narrow_run(struct narrow *narrow, struct frame *to, const struct surface *from, CUstream stream,
    struct error *e);

/* narrow may be NULL. */
void narrow_close(struct narrow *narrow);

#endif
