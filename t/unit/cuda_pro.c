/*
 * `pro` on a card against the processor, with networks that are known (tiny_pro.h). Argument once: a few frames on the card
 * alone; 0; 1 with the error's code and sentence; 77: there is no card.
 */
#include "tiny_pro.h"

#include <math.h>

#include "matte/model.h"

enum { NO_CARD = 77, WIDTH = 1024, HEIGHT = 64, PIXELS = WIDTH * HEIGHT, FRAMES = 3 };

/* In pixels of the picture: across, what the detector sees as one thing; down, what the encoder sees as one. */
enum { CELL_WIDTH = 128, CELL_HEIGHT = 16 };

static struct device *card;
static struct manifest encoder, decoder, detector;
static const struct manifest pro = { .kind = KIND_PROMPTED,
    .name = "pro",
    .std = { 1, 1, 1 },
    .parts = { &detector, &encoder, &decoder } };

/* Persons in two places, the second further right in each frame, before something that is not even. */
static void draw(float planes[3][PIXELS], int frame)
{
    for (int i = 0; i < PIXELS; i++) {
        const int x = i % WIDTH, y = i / WIDTH,
                  column = (x - (x > WIDTH / 2) * 4 * frame) / CELL_WIDTH;
        const int red = y / CELL_HEIGHT == 1 && (column == 2 || column == 5);
        planes[0][i] = red;
        planes[1][i] = red ? 0 : .25f + .125f * (float)(x / 16 % 3);
        planes[2][i] = red ? 0 : .125f * (float)(y / 8 % 2);
    }
}

/* alpha: of FRAMES frames, or NULL. -1 and *e. */
static int run(struct device *device, float alpha[FRAMES][PIXELS], int64_t *bytes, struct error *e)
{
    static float planes[3][PIXELS], made[PIXELS];
    const struct model_params params = {
        .width = WIDTH, .height = HEIGHT, .threads = 1, .device = device
    };
    struct model *model = model_open(&pro, &params, e);
    int failed = !model;
    for (int i = 0; i < FRAMES && !failed; i++) {
        struct model_output out;
        draw(planes, i);
        failed = raster_write(device, model_input(model), planes[0], e) ||
                 model_run(model, &out, e) ||
                 raster_read(device, &out.alpha, alpha ? alpha[i] : made, e);
    }
    if (!failed && bytes)
        *bytes = model_card_bytes(model);
    model_close(model);
    return failed ? -1 : 0;
}

static void a_card_keeps_what_the_processor_does(void **state)
{
    static float alpha[2][FRAMES][PIXELS];
    int64_t bytes[2];
    struct error e;
    (void)state;
    struct device *devices[] = { device_open("cpu", &e), card };
    for (int i = 0; i < 2; i++)
        if (run(devices[i], alpha[i], &bytes[i], &e))
            fail_msg("%s", e.text);
    assert_int_equal(bytes[0], 0);
    assert_true(bytes[1] > 3 * TINY_SIDE * TINY_SIDE * 2);
    for (int f = 0; f < FRAMES; f++)
        for (int i = 0; i < PIXELS; i++) {
            const double off = fabs((double)alpha[0][f][i] - (double)alpha[1][f][i]);
            if (!(off <= 2. / 255))
                fail_msg("frame %d differs by %g at %d, %d", f, off, i % WIDTH, i / WIDTH);
        }
    const int middle = (CELL_HEIGHT + CELL_HEIGHT / 2) * WIDTH;
    for (int f = 0; f < FRAMES; f++) {
        assert_true(alpha[1][f][middle + 2 * CELL_WIDTH + 64] > .9f);
        assert_true(alpha[1][f][middle + 5 * CELL_WIDTH + 64] > .9f);
        assert_true(alpha[1][f][middle + 4 * CELL_WIDTH] == 0);
    }
    device_close(devices[0]);
}

int main(int argc, char **argv)
{
    struct error e;
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_card_keeps_what_the_processor_does) };
    (void)argv;
    if (!(card = device_open("cuda", &e))) {
        if (argc > 1)
            fprintf(stderr, "%s: %s\n", e.code, e.text);
        else
            printf("1..0 # SKIP %s\n", e.text);
        return argc > 1 ? NO_CARD : 0;
    }
    tiny_encoder(&encoder);
    tiny_decoder(&decoder);
    tiny_detector(&detector);
    int failed;
    if (argc > 1) {
        failed = run(card, NULL, NULL, &e) != 0;
        if (failed)
            fprintf(stderr, "%s: %s\n", e.code, e.text);
    } else {
        cmocka_set_message_output(CM_OUTPUT_TAP);
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    }
    device_close(card);
    tiny_close(&encoder);
    tiny_close(&decoder);
    tiny_close(&detector);
    return failed;
}
