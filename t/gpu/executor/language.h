/* language.cu */
#ifndef CUEMU_LANGUAGE_H
#define CUEMU_LANGUAGE_H

enum { WARP_WORDS = 9, BLOCK_WORDS = 4, ATOMIC_WORDS = 8 };

struct warp_words_params {
    int *out;
};

struct block_words_params {
    int *out, *total;
};

#endif
