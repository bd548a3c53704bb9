/*
 * The image behind the subject: a PNG, JPEG or WebP file of a stranger that covers the canvas, cropped from its centre,
 * never stretched. What is transparent in it is black.
 */
#ifndef MATTE_IMAGE_H
#define MATTE_IMAGE_H

#include "../device/frame.h"

enum { IMAGE_BYTES = 32 << 20 }; /* of the file, at most */

/*
 * Reads fd, from its beginning to its end, into the whole of *to. -1 and *e, which name background.image_url:
 * unreadable_image, too_large (max_pixels, IMAGE_BYTES), out_of_memory.
 */
int image_cover(
    int fd, int64_t max_pixels, enum frame_matrix matrix, struct frame *to, struct error *e);

#endif
