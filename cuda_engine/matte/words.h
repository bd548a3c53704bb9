/* The table that words.pl makes at build time: the nouns of prompt.c and what they mean. */
#ifndef MATTE_WORDS_H
#define MATTE_WORDS_H

#include <stdint.h>

struct word {
    uint32_t
        text : 24; /* where in word_text its lower-case words begin, one space between them, up to a 0 */
    uint32_t plural : 1; /* an irregular one; regular ones are not in the table */
    uint16_t set; /* which of word_sets it means; an empty one: none, though its last word does */
};

extern const struct word words[]; /* sorted by text, as strcmp() has it */
extern const int word_count;
extern const char word_text[];
extern const uint64_t word_sets[][2]; /* as struct prompt_phrase has classes */

#endif
