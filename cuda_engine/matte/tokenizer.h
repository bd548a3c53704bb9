/*
 * CLIP's tokenizer: byte-pair encoding of lower-case words, as its vocabulary (vocab.json) and its merges (merges.txt) have
 * it, between a start and an end token. It is openai/CLIP's simple_tokenizer.py, but that outside ASCII only Latin-1, Greek
 * and Cyrillic have lower case, and only the usual signs are no letters. Any thread, once it is open.
 */
#ifndef MATTE_TOKENIZER_H
#define MATTE_TOKENIZER_H

#include "manifest.h"

struct tokenizer;

/* Reads both files, which are verified. NULL and *e with bad_model: what is wrong where. */
struct tokenizer *tokenizer_open(
    const struct manifest_file *vocabulary, const struct manifest_file *merges, struct error *e);

/*
 * The tokens of a text in UTF-8: the start, its own, the end, and then ends up to length. Of one that is too long the last
 * tokens are left out. How many there are with the first end. length is at least 2.
 */
int tokenizer_encode(const struct tokenizer *t, const char *text, int *tokens, int length);

void tokenizer_close(struct tokenizer *t);

#endif
