/*
 * The image behind the subject: a PNG, JPEG or WebP file of a stranger that covers the canvas, cropped from its centre,
 * never stretched. What is transparent in it is black.
 */
#ifndef MATTE_IMAGE_H
#define MATTE_IMAGE_H

#include "../device/frame.h"

struct image_params {
    int fd;             /* read from the beginning to the end */
    int64_t max_bytes;  /* of the file, below 2 GB */
    int64_t max_pixels; /* of the image */
    enum frame_matrix matrix;
};

/* Into the whole of *to. -1 and *e, which names background.image_url: unreadable_image, too_large, out_of_memory. */
int image_cover(const struct image_params *params, struct frame *to, struct error *e);

#endif
