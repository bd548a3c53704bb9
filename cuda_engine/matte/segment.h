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
 * For clips of width x height, which the encoder sees as pictures of *to_width x *to_height: its manifest's size, less
 * what is padded. NULL and *e as model_open().
 */
struct segment *segment_open(const struct manifest *encoder, const struct manifest *decoder,
    int width, int height, int threads, struct error *e);

/* Of the pictures, normalised by the encoder's manifest, planar R, G, B; and of the masks. */
void segment_size(const struct segment *s, int *width, int *height);
void segment_mask_size(const struct segment *s, int *width, int *height);

/* Looks at a picture. -1 and *e. */
int segment_look(struct segment *s, const float *picture, struct error *e);

/*
 * Into mask what is in the box of the picture last looked at; hint: a mask that is nearly right, or NULL. *trust: the
 * overlap that the network expects of its answer with the truth, 0..1. -1 and *e.
 */
int segment_box(struct segment *s, const struct box *box, const float *hint, float *mask,
    float *trust, struct error *e);

/* s may be NULL. */
void segment_close(struct segment *s);

#endif
