/* Who is who: boxes made here cross, hide each other, leave, come back, and are met again after a cut. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "matte/track.h"

enum { WIDTH = 1000, HEIGHT = 600, DOG = 16, CAT = 15, EVERY = 2 };

static struct detection thing(float cx, float cy, float width, float height, int label)
{
    struct detection d = {
        .box = { cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2 }, .label = label
    };
    d.score[label] = .8f;
    return d;
}

/* Colours all in one bin. */
static struct look look(int bin)
{
    struct look l = { .bins = { 0 } };
    l.bins[bin] = 1;
    return l;
}

static const struct track *track_at(const struct tracker *t, float cx)
{
    const struct track *nearest = NULL;
    for (int i = 0; i < t->count; i++) {
        const struct track *k = &t->tracks[i];
        if (k->state == TRACK_LOST)
            continue;
        const float away = fabsf((k->box.left + k->box.right) / 2 - cx);
        if (!nearest || away < fabsf((nearest->box.left + nearest->box.right) / 2 - cx))
            nearest = k;
    }
    assert_non_null(nearest);
    return nearest;
}

static int in_state(const struct tracker *t, enum track_state state)
{
    int count = 0;
    for (int i = 0; i < t->count; i++)
        count += t->tracks[i].state == state;
    return count;
}

/* What is seen goes where its pixels go, one that touches another as it went: as pro.c has it. */
static void pass(struct tracker *t, float dx)
{
    tracker_pass(t);
    for (int i = 0; i < t->count; i++)
        if (t->tracks[i].state == TRACK_SEEN) {
            const int touches = tracker_touches(t, &t->tracks[i]);
            tracker_move(t, &t->tracks[i], touches ? t->tracks[i].dx : dx, 0, 1);
        }
}

/* What the border cuts stays cut by it while it comes in, and is on its way only while it moves. */
static void comes_in(void **state)
{
    struct tracker t;
    struct detection cut = thing(WIDTH - 60, 300, 80, 100, DOG);
    const struct look l = look(1);
    (void)state;
    tracker_start(&t, WIDTH, HEIGHT);
    cut.box.right = WIDTH;
    cut.box.left = WIDTH - 60;
    tracker_see(&t, &cut, &l, 1);
    assert_false(tracker_comes_in(&t, &t.tracks[0]));
    t.tracks[0].dx = -10;
    assert_true(tracker_comes_in(&t, &t.tracks[0]));
    tracker_move(&t, &t.tracks[0], -10, 0, 1);
    assert_float_equal(t.tracks[0].box.left, WIDTH - 70, .01);
    assert_float_equal(t.tracks[0].box.right, WIDTH, .01);
    t.tracks[0].box = (struct box) { 100, 100, 200, 200 };
    assert_false(tracker_comes_in(&t, &t.tracks[0]));
    tracker_move(&t, &t.tracks[0], -10, 0, 1);
    assert_float_equal(t.tracks[0].box.right, 190, .01);
}

/* A single look that misses a thing beside another does not hide it. */
static void one_miss_hides_nothing(void **state)
{
    struct tracker t;
    const struct detection both[] = { thing(300, 300, 100, 150, DOG),
        thing(360, 300, 120, 150, 1) };
    const struct look looks[] = { look(1), look(2) };
    (void)state;
    tracker_start(&t, WIDTH, HEIGHT);
    for (int i = 0; i < 4; i++) {
        tracker_pass(&t);
        tracker_see(&t, both, looks, 2);
    }
    tracker_pass(&t);
    tracker_see(&t, both + 1, looks + 1, 1);
    assert_int_equal(in_state(&t, TRACK_HIDDEN), 0);
    tracker_pass(&t);
    tracker_see(&t, both + 1, looks + 1, 1);
    assert_int_equal(in_state(&t, TRACK_HIDDEN), 1);
}

static void follows_what_moves(void **state)
{
    struct tracker t;
    const struct look looks[] = { look(1), look(2) };
    (void)state;
    tracker_start(&t, WIDTH, HEIGHT);
    for (int i = 0; i < 40; i++) {
        if (i)
            pass(&t, 5);
        if (i % EVERY)
            continue;
        const float x = 200 + 5 * (float)i;
        const struct detection found[] = { thing(x, 300, 80, 120, DOG),
            thing(x + 300, 300, 80, 120, CAT) };
        tracker_see(&t, found, looks, 2);
        assert_int_equal(t.count, 2);
        assert_int_equal(track_at(&t, x)->id, 1);
        assert_int_equal(track_at(&t, x + 300)->id, 2);
    }
    assert_float_equal(track_at(&t, 395)->dx, 5, .5);
    assert_int_equal(track_at(&t, 395)->label, DOG);
}

/* Two of a kind that look alike meet; where they overlap by half the detector sees but one box. */
static void tells_apart_what_crosses(void **state)
{
    (void)state;
    for (int variant = 0; variant < 6; variant++) {
        struct tracker t;
        const struct look looks[] = { look(5), look(variant % 2 ? 5 : 6) };
        const float speed = 4 + 3 * (float)(variant / 2);
        tracker_start(&t, WIDTH, HEIGHT);
        int a = 0, b = 0;
        for (int i = 0; 250 + speed * (float)i < 750; i++) {
            const float left = 250 + speed * (float)i, right = 750 - speed * (float)i;
            const struct detection both[] = { thing(left, 300, 90, 150, DOG),
                thing(right, 310, 90, 150, DOG) };
            if (i) {
                tracker_pass(&t);
                for (int k = 0; k < t.count; k++) {
                    struct track *track = &t.tracks[k];
                    if (track->state == TRACK_SEEN)
                        tracker_move(&t, track,
                            tracker_touches(&t, track) ? track->dx
                            : track->id == a           ? speed
                                                       : -speed,
                            0, 1);
                }
            }
            if (i % EVERY)
                continue;
            /* the left one is in front */
            tracker_see(&t, both, looks, box_overlap(&both[0].box, &both[1].box) > .5f ? 1 : 2);
            if (!a) {
                a = track_at(&t, left)->id;
                b = track_at(&t, right)->id;
            }
        }
        assert_int_not_equal(a, b);
        assert_int_equal(track_at(&t, 745)->id, a);
        assert_int_equal(track_at(&t, 255)->id, b);
        assert_int_equal(t.next, 3); /* nobody else was ever thought to be there */
    }
}

static void loses_what_leaves_and_knows_it_again(void **state)
{
    struct tracker t;
    const struct look dog = look(9), other = look(20);
    (void)state;
    tracker_start(&t, WIDTH, HEIGHT);
    for (int i = 0; i < 30; i++) { /* out at the right */
        const float x = 800 + 10 * (float)i;
        const struct detection found = thing(x, 300, 80, 120, DOG);
        if (i)
            pass(&t, 10);
        if (i % EVERY == 0)
            tracker_see(&t, &found, &dog, x < WIDTH - 40);
    }
    assert_int_equal(in_state(&t, TRACK_SEEN), 0);
    assert_int_equal(in_state(&t, TRACK_LOST), 1);
    for (int i = 0; i < 60; i++)
        pass(&t, 0);
    const struct detection back = thing(100, 300, 90, 130, DOG),
                           cat = thing(600, 300, 80, 100, CAT);
    tracker_see(&t, &cat, &dog, 1); /* of its colours, but no dog */
    assert_int_equal(track_at(&t, 600)->id, 2);
    const struct detection two[] = { cat, back };
    const struct look looks[] = { dog, dog };
    tracker_see(&t, two, looks, 2);
    assert_int_equal(track_at(&t, 100)->id, 1);
    assert_int_equal(in_state(&t, TRACK_LOST), 0);

    /* forgotten in the end; and another dog is another */
    for (int i = 0; i < 2; i++) {
        tracker_start(&t, WIDTH, HEIGHT);
        tracker_see(&t, &back, &dog, 1);
        tracker_see(&t, &back, &dog, 0);
        for (int f = 0; f < (i ? 10 : 300); f++)
            tracker_pass(&t);
        tracker_see(&t, &back, i ? &other : &dog, 1);
        assert_int_equal(track_at(&t, 100)->id, 2);
    }
}

static void misses_for_a_while(void **state)
{
    struct tracker t;
    const struct detection found = thing(500, 300, 80, 120, DOG);
    const struct look dog = look(3);
    (void)state;
    tracker_start(&t, WIDTH, HEIGHT);
    tracker_see(&t, &found, &dog, 1);
    tracker_see(&t, &found, &dog, 1);
    for (int miss = 1; miss < 4; miss++) {
        tracker_see(&t, &found, &dog, 0);
        assert_int_equal(in_state(&t, TRACK_SEEN), 1);
    }
    tracker_see(&t, &found, &dog, 0);
    assert_int_equal(in_state(&t, TRACK_LOST), 1);

    tracker_start(&t, WIDTH, HEIGHT); /* what was seen once only was none */
    tracker_see(&t, &found, &dog, 1);
    tracker_see(&t, &found, &dog, 0);
    assert_int_equal(in_state(&t, TRACK_SEEN), 0);
}

static void starts_anew_after_a_cut(void **state)
{
    struct tracker t;
    const struct detection found = thing(500, 300, 80, 120, DOG);
    const struct look one = look(3), two = look(40);
    (void)state;
    tracker_start(&t, WIDTH, HEIGHT);
    tracker_see(&t, &found, &one, 1);
    tracker_cut(&t);
    assert_int_equal(in_state(&t, TRACK_LOST), 1);
    assert_int_equal(t.tracks[0].cut, 1);
    tracker_see(&t, &found, &two, 1); /* at the same place, and another */
    assert_int_equal(track_at(&t, 500)->id, 2);
    tracker_cut(&t);
    const struct detection moved = thing(200, 400, 160, 240, DOG);
    tracker_see(&t, &moved, &one, 1); /* back to the first scene */
    assert_int_equal(track_at(&t, 200)->id, 1);
    assert_int_equal(track_at(&t, 200)->cut, 0);
}

static void has_room_for_so_many(void **state)
{
    struct tracker t;
    struct detection found[DETECTIONS];
    struct look looks[DETECTIONS];
    (void)state;
    tracker_start(&t, WIDTH, HEIGHT);
    for (int i = 0; i < DETECTIONS; i++) {
        found[i] = thing(15 * (float)i + 10, 10 + 150 * (float)(i % 4), 12, 12, i);
        looks[i] = look(i);
    }
    tracker_see(&t, found, looks, DETECTIONS);
    assert_int_equal(t.count, TRACKS);
    tracker_cut(&t);
    tracker_see(&t, found + TRACKS, looks + TRACKS, DETECTIONS - TRACKS);
    assert_int_equal(
        in_state(&t, TRACK_SEEN), DETECTIONS - TRACKS < TRACKS ? DETECTIONS - TRACKS : TRACKS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_in),
        cmocka_unit_test(one_miss_hides_nothing),
        cmocka_unit_test(follows_what_moves),
        cmocka_unit_test(tells_apart_what_crosses),
        cmocka_unit_test(loses_what_leaves_and_knows_it_again),
        cmocka_unit_test(misses_for_a_while),
        cmocka_unit_test(starts_anew_after_a_cut),
        cmocka_unit_test(has_room_for_so_many),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
