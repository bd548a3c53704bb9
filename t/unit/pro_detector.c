/* What is decoded of a detector's answer, against a slow decoder of its own; which boxes are one thing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "matte/detector.h"

enum { SIDE = 64, CELLS = 64 + 16 + 4 };

struct answer {
    float scores[CELLS][DETECTOR_CLASSES], boxes[CELLS][4][DETECTOR_BINS];
    struct detector_answer answer;
};

static struct answer *blank(void)
{
    struct answer *a = calloc(1, sizeof *a);
    assert_non_null(a);
    for (int s = 0, at = 0; s < DETECTOR_SCALES; at += SIDE * SIDE / (64 << 2 * s), s++) {
        a->answer.scores[s] = a->scores[at];
        a->answer.boxes[s] = a->boxes[at][0];
    }
    return a;
}

static double uniform(void)
{
    static uint64_t seed = 7;
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) * 0x1p-53;
}

/* A side's bins all but say that it is this many strides away. */
static void set_side(float bins[DETECTOR_BINS], double strides)
{
    const int low = (int)strides;
    for (int i = 0; i < DETECTOR_BINS; i++)
        bins[i] = -50;
    bins[low] = (float)log(1 - (strides - low) + 1e-9);
    if (low + 1 < DETECTOR_BINS)
        bins[low + 1] = (float)log(strides - low + 1e-9);
}

/* A cell of the scale of stride 8 << scale sees a box. */
static void see(struct answer *a, int scale, int x, int y, int label, float score, struct box box)
{
    const int stride = 8 << scale, columns = SIDE / stride;
    const int cell = (scale > 0) * 64 + (scale > 1) * 16 + y * columns + x;
    const double cx = (x + .5) * stride, cy = (y + .5) * stride;
    a->scores[cell][label] = score;
    set_side(a->boxes[cell][0], (cx - (double)box.left) / stride);
    set_side(a->boxes[cell][1], (cy - (double)box.top) / stride);
    set_side(a->boxes[cell][2], ((double)box.right - cx) / stride);
    set_side(a->boxes[cell][3], ((double)box.bottom - cy) / stride);
}

struct seen {
    double box[4], score;
    int label, cell, dropped;
};

static double overlap(const double a[4], const double b[4])
{
    double w = fmin(a[2], b[2]) - fmax(a[0], b[0]), h = fmin(a[3], b[3]) - fmax(a[1], b[1]);
    double both = w > 0 && h > 0 ? w * h : 0;
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both);
}

/* By the book: all boxes of a class, the best first, each removing those it overlaps by half. */
static int decode_slowly(const struct answer *a, struct seen *seen)
{
    int count = 0;
    for (int cell = 0; cell < CELLS; cell++) {
        const int scale = cell < 64 ? 0 : cell < 80 ? 1 : 2, first = (int[]) { 0, 64, 80 }[scale];
        const int stride = 8 << scale, columns = SIDE / stride;
        for (int label = 0; label < DETECTOR_CLASSES; label++) {
            if (a->scores[cell][label] < DETECTOR_SEEN)
                continue;
            struct seen *s = &seen[count++];
            *s = (struct seen) {
                .score = (double)a->scores[cell][label], .label = label, .cell = cell
            };
            for (int side = 0; side < 4; side++) {
                double sum = 0, mean = 0;
                for (int i = 0; i < DETECTOR_BINS; i++) {
                    sum += exp((double)a->boxes[cell][side][i]);
                    mean += i * exp((double)a->boxes[cell][side][i]);
                }
                const int at = side & 1 ? (cell - first) / columns : (cell - first) % columns;
                const double middle = (at + .5) * stride;
                s->box[side] = side < 2 ? fmax(middle - mean / sum * stride, 0)
                                        : fmin(middle + mean / sum * stride, SIDE);
            }
        }
    }
    for (;;) {
        struct seen *best = NULL;
        for (int i = 0; i < count; i++)
            if (!seen[i].dropped && (!best || seen[i].score > best->score))
                best = &seen[i];
        if (!best)
            return count;
        best->dropped = 2; /* it stays */
        for (int i = 0; i < count; i++)
            if (!seen[i].dropped && seen[i].label == best->label &&
                overlap(seen[i].box, best->box) > .5)
                seen[i].dropped = 1;
    }
}

/* Few classes, so that boxes of one meet; of every one that stays there is a thing with its score and nearly its box. */
static void decodes_as_the_book_says(void **state)
{
    static struct seen seen[CELLS * DETECTOR_CLASSES];
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct answer *a = blank();
        struct detection found[DETECTIONS];
        for (int cell = 0; cell < CELLS; cell++) {
            for (int i = 0; i < 3; i++)
                if (uniform() < .1)
                    a->scores[cell][(int)(uniform() * 4) * 20] = (float)uniform();
            for (int side = 0; side < 4; side++)
                for (int i = 0; i < DETECTOR_BINS; i++)
                    a->boxes[cell][side][i] = (float)(6 * uniform() - 3);
        }
        memset(seen, 0, sizeof seen);
        const int all = decode_slowly(a, seen);
        const int count = detector_decode(&a->answer, SIDE, SIDE, found);
        int scores = 0, expected = 0;
        for (int k = 0; k < count; k++)
            for (int label = 0; label < DETECTOR_CLASSES; label++)
                scores += found[k].score[label] > 0;
        for (int i = 0; i < all; i++) {
            int told = 0;
            if (seen[i].dropped != 2)
                continue;
            expected++;
            for (int k = 0; k < count; k++) {
                const double box[] = { (double)found[k].box.left, (double)found[k].box.top,
                    (double)found[k].box.right, (double)found[k].box.bottom };
                const double same = overlap(box, seen[i].box);
                told |= (double)found[k].score[seen[i].label] == seen[i].score &&
                        (found[k].label == seen[i].label ? same > .9999 : same > .74);
            }
            assert_true(told);
        }
        assert_int_equal(scores, expected);
        for (int k = 1; k < count; k++)
            assert_true(found[k - 1].score[found[k - 1].label] >= found[k].score[found[k].label]);
        free(a);
    }
}

static void finds_a_box(void **state)
{
    struct answer *a = blank();
    struct detection found[DETECTIONS];
    (void)state;
    see(a, 1, 1, 2, 16, .8f, (struct box) { 11.5f, 20, 40, 61.25f });
    assert_int_equal(detector_decode(&a->answer, SIDE, SIDE, found), 1);
    assert_int_equal(found[0].label, 16);
    assert_float_equal(found[0].box.left, 11.5, 1e-3);
    assert_float_equal(found[0].box.top, 20, 1e-3);
    assert_float_equal(found[0].box.right, 40, 1e-3);
    assert_float_equal(found[0].box.bottom, 61.25, 1e-3);
    free(a);
}

static void takes_near_boxes_for_one_thing(void **state)
{
    struct answer *a = blank();
    struct detection found[DETECTIONS];
    (void)state;
    see(a, 0, 2, 2, 15, .56f, (struct box) { 4, 4, 40, 40 });   /* a cat */
    see(a, 0, 3, 2, 16, .36f, (struct box) { 5, 4, 41, 40 });   /* that may be a dog */
    see(a, 0, 2, 3, 15, .5f, (struct box) { 6, 6, 42, 40 });    /* the same once more */
    see(a, 0, 3, 3, 57, .7f, (struct box) { 0, 18, 60, 60 });   /* on a couch */
    see(a, 0, 6, 6, 15, .14f, (struct box) { 50, 50, 60, 60 }); /* nothing */
    assert_int_equal(detector_decode(&a->answer, SIDE, SIDE, found), 2);
    assert_int_equal(found[0].label, 57);
    assert_int_equal(found[1].label, 15);
    assert_float_equal(found[1].score[15], .56, 1e-6);
    assert_float_equal(found[1].score[16], .36, 1e-6);
    free(a);
}

static void gives_no_more_than_fit(void **state)
{
    struct answer *a = blank();
    struct detection found[DETECTIONS];
    (void)state;
    for (int cell = 0; cell < CELLS; cell++)
        for (int label = 0; label < DETECTOR_CLASSES; label++) {
            a->scores[cell][label] = .3f + .0001f * (float)cell;
            for (int side = 0; side < 4; side++)
                set_side(a->boxes[cell][side], .2);
        }
    assert_int_equal(
        detector_decode(&a->answer, SIDE, SIDE, found), 13); /* 1024 best in 80 classes */
    for (int cell = 0; cell < CELLS; cell++)
        for (int label = 1; label < DETECTOR_CLASSES; label++)
            a->scores[cell][label] = 0;
    assert_int_equal(detector_decode(&a->answer, SIDE, SIDE, found), DETECTIONS);
    free(a);
}

/* One box around two things of a kind is none of them; a large thing before small ones is one. */
static void drops_groups(void **state)
{
    struct detection found[] = {
        { .box = { 0, 0, 100, 50 }, .label = 3 },
        { .box = { 2, 5, 30, 48 }, .label = 3 },
        { .box = { 60, 0, 95, 49 }, .label = 3 },
        { .box = { 40, 20, 50, 30 }, .label = 3 },
        { .box = { 0, 0, 99, 50 }, .label = 5 },
    };
    (void)state;
    for (int i = 0; i < 5; i++)
        found[i].score[found[i].label] = .5f;
    struct detection one[] = { found[0], found[1], found[3] };
    assert_int_equal(detector_drop_groups(one, 3), 3);
    assert_int_equal(detector_drop_groups(found, 5), 4);
    assert_float_equal(found[0].box.right, 30, 0);

    /* one loosely around a surer one is the same thing; one that is nearly as sure is another */
    struct detection loose[] = { found[0], { .box = { 0, 0, 70, 50 }, .label = 3 } };
    loose[1].score[3] = .4f;
    assert_int_equal(detector_drop_groups(loose, 2), 2);
    loose[1].score[3] = .3f;
    assert_int_equal(detector_drop_groups(loose, 2), 1);
    assert_float_equal(loose[0].box.right, 30, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_a_box),
        cmocka_unit_test(decodes_as_the_book_says),
        cmocka_unit_test(takes_near_boxes_for_one_thing),
        cmocka_unit_test(drops_groups),
        cmocka_unit_test(gives_no_more_than_fit),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
