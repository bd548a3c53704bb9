/* What is spoken for of the cards: where workers start, and when jobs may begin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "supervisor/cards.h"

enum { GB = 1000, JOB = 400, IDLE = 100 };

static void without_cards_there_is_always_room(void **state)
{
    (void)state;
    cards_open(0);
    cards_found(0, NO_CARD, 0);
    cards_hold(NO_CARD, JOB, 1);
    assert_true(cards_fit(NO_CARD, 1 << 30));
    assert_int_equal(cards_turn(1 << 30, 3), 3);
}

static void a_card_is_filled_and_no_more(void **state)
{
    (void)state;
    cards_open(100);
    cards_found(1, 0, GB);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cards_turn(JOB, 0), 0);
        cards_hold(0, IDLE, 0);
        assert_true(cards_fit(0, JOB - IDLE));
        cards_hold(0, JOB - IDLE, 1);
    }
    assert_int_equal(cards_turn(JOB, 0), NO_CARD);
    assert_false(cards_fit(0, JOB));
    assert_true(cards_fit(0, 100)); /* to the last byte */
    assert_false(cards_fit(0, 101));
    cards_hold(0, -JOB, -1);
    assert_int_equal(cards_turn(JOB, 0), 0);
}

static void cards_are_filled_in_turn(void **state)
{
    (void)state;
    static const int wanted[] = { 0, 1, 2, 0, 1, 2, 0 };
    cards_open(0);
    assert_int_equal(cards_turn(0, 2), 2); /* nobody has looked yet */
    for (int i = 0; i < 3; i++)
        cards_found(3, i, GB);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(cards_turn(JOB, 0), wanted[i]);
        cards_hold(wanted[i], JOB, 1);
    }
    assert_int_equal(cards_turn(JOB, 0), NO_CARD);
    assert_int_equal(cards_turn(GB / 5, 0), 0);
}

/* Another card of the machine that no worker has come to yet. */
static void an_unknown_card_is_tried(void **state)
{
    (void)state;
    cards_open(0);
    cards_found(2, 0, GB);
    cards_hold(0, IDLE, 0);
    assert_int_equal(cards_turn(JOB, 0), 1);
    cards_hold(1, JOB, 0);
    assert_int_equal(cards_turn(JOB, 0), 0);
}

static void a_job_above_a_whole_card_has_it_alone(void **state)
{
    (void)state;
    cards_open(0);
    cards_found(1, 0, GB);
    cards_hold(0, IDLE, 0);
    cards_hold(0, IDLE, 0);
    assert_true(cards_fit(0, 2 * GB));
    cards_hold(0, 2 * GB, 1);
    assert_false(cards_fit(0, 1));
    assert_int_equal(cards_turn(1, 0), NO_CARD);
    cards_hold(0, -2 * GB, -1);
    assert_true(cards_fit(0, 2 * GB));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_cards_there_is_always_room),
        cmocka_unit_test(a_card_is_filled_and_no_more),
        cmocka_unit_test(cards_are_filled_in_turn),
        cmocka_unit_test(an_unknown_card_is_tried),
        cmocka_unit_test(a_job_above_a_whole_card_has_it_alone),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
