/*
 * What a text prompt asks for, in the words of a detector that knows the 80 classes of COCO: "the red car on the left, two
 * dogs and not the bicycle". English. A noun means the classes that WordNet puts below it ("animal": ten of them) or the
 * one that it is below ("puppy": dog); words.pl makes the table at build time.
 *
 * A prompt is a value: no pointers, no allocation, so that it can be copied and sent to another process. Any thread.
 */
#ifndef MATTE_PROMPT_H
#define MATTE_PROMPT_H

#include <stddef.h>
#include <stdint.h>

#include "../error.h"

enum { PROMPT_CLASSES = 80, PROMPT_BYTES = 1000, PROMPT_PHRASES = 32 };

/* Where in a prompt's text the words of a phrase stand that was not given: the rest of what there is. */
enum { PROMPT_REST = PROMPT_BYTES + 1 };

/* The detector's classes in its own order: "person", "bicycle", ... */
extern const char *const prompt_classes[PROMPT_CLASSES];

/*
 * Where, or how large. Left, right, top and bottom are of the picture; nearest is of the viewer, as is farthest. Of two
 * that exclude each other ("left and right") either will do; others hold together ("top left").
 */
enum prompt_place {
    PLACE_LEFT = 1 << 0,
    PLACE_RIGHT = 1 << 1,
    PLACE_TOP = 1 << 2,
    PLACE_BOTTOM = 1 << 3,
    PLACE_CENTER = 1 << 4,
    PLACE_LARGEST = 1 << 5,
    PLACE_SMALLEST = 1 << 6,
    PLACE_NEAREST = 1 << 7,
    PLACE_FARTHEST = 1 << 8,
};

/* The eleven basic colours of Berlin and Kay, which every language names first. */
enum prompt_colour {
    COLOUR_BLACK = 1 << 0,
    COLOUR_WHITE = 1 << 1,
    COLOUR_RED = 1 << 2,
    COLOUR_GREEN = 1 << 3,
    COLOUR_YELLOW = 1 << 4,
    COLOUR_BLUE = 1 << 5,
    COLOUR_BROWN = 1 << 6,
    COLOUR_ORANGE = 1 << 7,
    COLOUR_PINK = 1 << 8,
    COLOUR_PURPLE = 1 << 9,
    COLOUR_GREY = 1 << 10,
};

struct prompt_phrase {
    uint64_t
        classes[2];   /* bit c % 64 of [c / 64]: it means class c; none: it could not be mapped */
    uint16_t words;   /* where in the prompt's text its words stand as they were given, up to a 0 */
    uint16_t places;  /* of enum prompt_place; 0: anywhere */
    uint16_t colours; /* of enum prompt_colour, any of which will do; 0: whatever colour */
    /*
     * At most so many objects, those that fit its places best (without a place: that the detector is surest of); 0: all
     * that fit. "two dogs": 2; "the left dog", "the largest": 1; "the dogs on the left", "dog": 0.
     */
    uint8_t count;
    uint8_t exclude; /* 1: what it names is not kept, even if another phrase names it too */
};

struct prompt {
    int count; /* of phrases; 0: no prompt was given */
    struct prompt_phrase phrases[PROMPT_PHRASES + 1];
    char text[PROMPT_REST + sizeof "everything"]; /* as given, cut into the phrases' words */
};

static inline const char *prompt_words(const struct prompt *p, const struct prompt_phrase *phrase)
{
    return p->text + phrase->words;
}

static inline int prompt_means(const struct prompt_phrase *phrase, int class)
{
    return phrase->classes[class / 64] >> class % 64 & 1;
}

/*
 * Reads length bytes of UTF-8. Phrases are in the order given; where all of them exclude, a last one is added with the
 * words "everything" and all classes. 0; -1 and *e with invalid_request: no words, more than PROMPT_BYTES or
 * PROMPT_PHRASES, a control character that is no white space, not UTF-8.
 */
int prompt_parse(struct prompt *p, const char *text, size_t length, struct error *e);

/*
 * For a model with those classes and no others: 0 if a phrase that keeps could be mapped. -1 and *e with
 * prompt_not_understood, the words and the known classes.
 */
int prompt_understood(const struct prompt *p, struct error *e);

/*
 * Fills *warning (code prompt_not_understood) and returns 1 if some phrases could not be mapped, which it names; 0 if all
 * were.
 */
int prompt_warning(const struct prompt *p, struct error *warning);

#endif
