/* One picture as a PNG file. */
#ifndef MATTE_STILL_H
#define MATTE_STILL_H

#include <stdint.h>

#include "../error.h"

/* Writes width * height pixels of R, G, B to fd. -1 and *e: encode_error, storage_error, out_of_memory. */
int still_write(int fd, const uint8_t *rgb, int width, int height, struct error *e);

#endif
