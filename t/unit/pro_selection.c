/* What a prompt keeps: classes, places, colours, numbers and exclusions, decided once a thing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "matte/selection.h"

enum { PERSON = 0, CAR = 2, CAT = 15, DOG = 16, SIZE = 100 };

static struct tracker tracker;

static struct track *add(int id, int label, float cx, float cy, float side)
{
    struct track *k = &tracker.tracks[tracker.count++];
    *k = (struct track) { .id = id,
        .label = label,
        .box = { cx - side / 2, cy - side / 2, cx + side / 2, cy + side / 2 } };
    k->score[label] = .6f;
    return k;
}

static void begin(void)
{
    tracker_start(&tracker, SIZE, SIZE);
}

static struct prompt asked(int count, ...)
{
    va_list phrases;
    struct prompt p = { .count = count };
    va_start(phrases, count);
    for (int i = 0; i < count; i++)
        p.phrases[i] = va_arg(phrases, struct prompt_phrase);
    va_end(phrases);
    return p;
}

#define PHRASE(label, ...)                          \
    (struct prompt_phrase)                          \
    {                                               \
        .classes = { 1ull << (label) }, __VA_ARGS__ \
    }

static unsigned colours[TRACKS + 1];
static int colour_looks;

static unsigned colours_of(void *data, const struct track *k)
{
    (void)data;
    colour_looks++;
    return colours[k->id];
}

/* The ids that are kept, as digits. */
static int kept(const struct selection *c)
{
    int ids = 0;
    for (int i = 0; i < tracker.count; i++)
        if (selection_of(c, &tracker.tracks[i]) == SELECTION_KEPT)
            ids = 10 * ids + tracker.tracks[i].id;
    return ids;
}

static int kept_of(const struct prompt *p)
{
    struct selection c;
    selection_start(&c, p);
    selection_update(&c, &tracker, colours_of, NULL);
    return kept(&c);
}

static void keeps_classes(void **state)
{
    (void)state;
    begin();
    add(1, DOG, 20, 50, 20);
    add(2, CAT, 50, 50, 30)->score[DOG] = .36f; /* a dog, perhaps */
    add(3, CAT, 80, 50, 10)->score[DOG] = .2f;
    struct prompt p = asked(1, PHRASE(DOG));
    assert_int_equal(kept_of(&p), 12);
    p = asked(1, PHRASE(CAT));
    assert_int_equal(kept_of(&p), 23);
    p = asked(2, PHRASE(DOG), PHRASE(CAT, .exclude = 1)); /* 2 is both: exclusion is stronger */
    assert_int_equal(kept_of(&p), 1);
    p = asked(1, PHRASE(CAR));
    assert_int_equal(kept_of(&p), 0);
}

static void keeps_places(void **state)
{
    static const struct {
        int places, count, ids;
    } cases[] = { { PLACE_LEFT, 1, 1 }, { PLACE_RIGHT, 1, 3 }, { PLACE_TOP, 1, 2 },
        { PLACE_BOTTOM, 1, 3 }, { PLACE_CENTER, 1, 2 }, { PLACE_LARGEST, 1, 2 },
        { PLACE_SMALLEST, 1, 1 }, { PLACE_NEAREST, 1, 2 }, { PLACE_FARTHEST, 1, 1 },
        { PLACE_LEFT, 2, 12 }, { PLACE_LEFT, 0, 1 }, { PLACE_RIGHT, 0, 23 }, { PLACE_TOP, 0, 12 },
        { PLACE_LARGEST, 0, 2 }, { PLACE_LEFT | PLACE_RIGHT, 0, 123 }, { 0, 0, 123 } };
    (void)state;
    begin();
    add(1, DOG, 20, 45, 10);
    add(2, DOG, 52, 40, 40);
    add(3, DOG, 85, 60, 20);
    add(4, CAT, 5, 5, 90);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct prompt p = asked(
            1, PHRASE(DOG, .places = (uint16_t)cases[i].places, .count = (uint8_t)cases[i].count));
        assert_int_equal(kept_of(&p), cases[i].ids);
    }
}

/* "the left dog" is that dog wherever it goes, and nobody who comes later; until it is forgotten. */
static void decides_once(void **state)
{
    struct prompt p = asked(1, PHRASE(DOG, .places = PLACE_LEFT, .count = 1));
    struct selection c;
    (void)state;
    begin();
    selection_start(&c, &p);
    selection_update(&c, &tracker, colours_of, NULL);
    assert_int_equal(kept(&c), 0);
    add(1, DOG, 30, 50, 10);
    add(2, DOG, 60, 50, 10);
    selection_update(&c, &tracker, colours_of, NULL);
    assert_int_equal(kept(&c), 1);
    tracker_move(&tracker, &tracker.tracks[0], 50, 0, 1);
    add(3, DOG, 10, 50, 10);
    selection_update(&c, &tracker, colours_of, NULL);
    assert_int_equal(kept(&c), 1);
    tracker.tracks[0].state = TRACK_LOST;
    selection_update(&c, &tracker, colours_of, NULL);
    assert_int_equal(selection_of(&c, &tracker.tracks[1]), SELECTION_UNNAMED);
    tracker.tracks[0].cut = 1; /* another scene has another left dog */
    selection_update(&c, &tracker, colours_of, NULL);
    assert_int_equal(selection_of(&c, &tracker.tracks[2]), SELECTION_KEPT);
    tracker.tracks[0] = tracker.tracks[2]; /* 1 is forgotten, 3 stays chosen in another place */
    tracker.count = 2;
    selection_update(&c, &tracker, colours_of, NULL);
    assert_int_equal(kept(&c), 3);

    /* without a number: who is there on the left is judged when first seen */
    p = asked(1, PHRASE(DOG, .places = PLACE_LEFT));
    begin();
    selection_start(&c, &p);
    add(1, DOG, 30, 50, 10);
    add(2, DOG, 60, 50, 10);
    selection_update(&c, &tracker, colours_of, NULL);
    tracker_move(&tracker, &tracker.tracks[0], 50, 0, 1);
    tracker_move(&tracker, &tracker.tracks[1], -50, 0, 1);
    add(3, DOG, 20, 50, 10);
    selection_update(&c, &tracker, colours_of, NULL);
    assert_int_equal(kept(&c), 13);
}

static void asks_for_colours_once(void **state)
{
    struct prompt p = asked(1, PHRASE(CAR, .colours = COLOUR_RED | COLOUR_ORANGE));
    struct selection c;
    (void)state;
    begin();
    add(1, CAR, 20, 50, 10);
    add(2, CAR, 50, 50, 10);
    add(3, DOG, 80, 50, 10);
    memset(colours, 0, sizeof colours);
    colours[1] = COLOUR_BLUE | COLOUR_BLACK;
    colours[2] = COLOUR_ORANGE | COLOUR_BLACK;
    colour_looks = 0;
    selection_start(&c, &p);
    for (int i = 0; i < 3; i++) {
        selection_update(&c, &tracker, colours_of, NULL);
        assert_int_equal(kept(&c), 2);
    }
    assert_int_equal(colour_looks, 2);
    p = asked(1, PHRASE(CAR));
    kept_of(&p);
    assert_int_equal(colour_looks, 2);
}

static void finds_the_main_subject(void **state)
{
    (void)state;
    begin();
    add(1, DOG, 20, 50, 10);
    add(2, CAT, 50, 50, 30);
    assert_int_equal(kept_of(NULL), 2);
    add(3, PERSON, 70, 50, 10);
    add(4, PERSON, 90, 50, 10);
    assert_int_equal(kept_of(NULL), 34);

    struct selection c; /* whoever came first decides */
    begin();
    selection_start(&c, NULL);
    selection_update(&c, &tracker, colours_of, NULL);
    add(1, DOG, 20, 50, 10);
    selection_update(&c, &tracker, colours_of, NULL);
    add(2, PERSON, 50, 50, 50);
    selection_update(&c, &tracker, colours_of, NULL);
    assert_int_equal(kept(&c), 1);
}

static void names_colours(void **state)
{
    static const struct {
        uint8_t rgb[3];
        unsigned colour;
    } cases[] = { { { 10, 12, 9 }, COLOUR_BLACK }, { { 250, 250, 245 }, COLOUR_WHITE },
        { { 128, 130, 126 }, COLOUR_GREY }, { { 200, 30, 25 }, COLOUR_RED },
        { { 40, 160, 60 }, COLOUR_GREEN }, { { 240, 220, 40 }, COLOUR_YELLOW },
        { { 40, 70, 200 }, COLOUR_BLUE }, { { 110, 70, 35 }, COLOUR_BROWN },
        { { 245, 140, 20 }, COLOUR_ORANGE }, { { 250, 150, 190 }, COLOUR_PINK },
        { { 120, 40, 160 }, COLOUR_PURPLE } };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(
            look_colour(cases[i].rgb[0], cases[i].rgb[1], cases[i].rgb[2]), cases[i].colour);

    /* of what the mask shows, and of a quarter of it at least */
    uint8_t rgb[3 * 8] = { 0 };
    float mask[8] = { 1, 1, 1, 1, 1, -1, -1, -1 };
    for (int i = 0; i < 8; i++)
        rgb[3 * i + (i < 4 ? 0 : 2)] = 220; /* four red, four blue */
    const struct look_picture p = { rgb, 8, 1 };
    assert_int_equal(look_colours(&p, mask), COLOUR_RED);
    mask[5] = 1;
    assert_int_equal(look_colours(&p, mask), COLOUR_RED | COLOUR_BLUE);
}

static void knows_a_look_again(void **state)
{
    uint8_t rgb[2][3 * 64];
    struct look a, b;
    (void)state;
    for (int i = 0; i < 64; i++)
        for (int c = 0; c < 3; c++) {
            rgb[0][3 * i + c] = (uint8_t)(c == 0 ? 200 : 20);
            rgb[1][3 * i + c] = (uint8_t)(c == 1 ? 200 : 20);
        }
    const struct look_picture red = { rgb[0], 8, 8 }, green = { rgb[1], 8, 8 };
    const struct box whole = { -2, -2, 10, 10 }, part = { 1.5f, 2, 5, 7.5f },
                     none = { 9, 9, 12, 12 };
    look_take(&a, &red, &whole);
    look_take(&b, &red, &part);
    assert_float_equal(look_likeness(&a, &b), 1, 1e-5);
    look_take(&b, &green, &whole);
    assert_float_equal(look_likeness(&a, &b), 0, 1e-5);
    look_learn(&a, &b, .25f);
    assert_float_equal(look_likeness(&a, &b), .5, 1e-5);
    look_take(&b, &green, &none);
    assert_float_equal(look_likeness(&a, &b), 0, 1e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_classes),
        cmocka_unit_test(keeps_places),
        cmocka_unit_test(decides_once),
        cmocka_unit_test(asks_for_colours_once),
        cmocka_unit_test(finds_the_main_subject),
        cmocka_unit_test(names_colours),
        cmocka_unit_test(knows_a_look_again),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
