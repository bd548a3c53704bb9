/* What the files of media/ share about FFmpeg's libraries. */
#ifndef MATTE_LIBAV_H
#define MATTE_LIBAV_H

#include "../error.h"

/* Silences the libraries: what they print may quote a user's file. Once, before any other call. */
void libav_start(void);

/*
 * Fills *e from a libav return value and returns -1: out_of_memory (retry) for ENOMEM, storage_error (retry) for a full or
 * failing disk, else code. what begins the sentence: "The video could not be encoded" becomes "... encoded: reason."
 */
int libav_error(struct error *e, const char *code, const char *what, int result);

#endif
