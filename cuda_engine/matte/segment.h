/*
 * MobileSAM: the mask of what is in a box. Its encoder looks at a picture once, slowly; its decoder then answers for as
 * many boxes as are asked, quickly. Masks are logits, above 0 inside, one for SEGMENT_STEP x SEGMENT_STEP pixels of the
 * picture. One thread.
 */
#ifndef MATTE_SEGMENT_H
#define MATTE_SEGMENT_H

#include "detector.h"

enum { SEGMENT_STEP = 4 };

struct segment;

/*
 * On a device, which outlives it, for clips of width x height, which the encoder sees as pictures of segment_size(): its
 * manifest's size, less what is padded. NULL and *e as model_open(), and those of nn_open() where a card does not run the
 * networks.
 */
struct segment *segment_open(const struct manifest *encoder, const struct manifest *decoder,
    struct device *device, int width, int height, int threads, struct error *e);

/* Of a card's memory that it takes. */
int64_t segment_bytes(const struct segment *s);

/* Of the pictures, which the device has, normalised by the encoder's manifest; and of the masks, in host memory. */
void segment_size(const struct segment *s, int *width, int *height);
void segment_mask_size(const struct segment *s, int *width, int *height);

/* Looks at a picture; what it makes of it stays on the device. -1 and *e. */
int segment_look(struct segment *s, const struct raster *picture, struct error *e);

/*
 * Into mask what is in the box of the picture last looked at; hint: a mask that is nearly right, taken for sure of
 * what is inside and what not, or NULL. *trust: the overlap that the network expects of its answer with the truth, 0..1.
 * -1 and *e.
 */
int segment_box(struct segment *s, const struct box *box, const float *hint, float *mask,
    float *trust, struct error *e);

/* s may be NULL. */
void segment_close(struct segment *s);

#endif
