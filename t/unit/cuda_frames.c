/*
 * device/cuda as its headers say: pools of frames on a card and in pinned memory, copies between them, and the order that
 * fences keep between streams. On whatever card the driver has, real or emulated; without one there is nothing to test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/cuda/card.h"
#include "device/cuda/transfer.h"

static struct device *device;
static const struct cuda *c;
static struct error e;

static const int sizes[][2] = { { 1, 1 }, { 2, 2 }, { 63, 5 }, { 257, 129 }, { 640, 360 } };

static struct frame_pool *pool_of(
    int width, int height, enum frame_layout layout, enum frame_place place, int count)
{
    struct frame_pool_params p = {
        .width = width,
        .height = height,
        .alpha = 1,
        .count = count,
        .layout = layout,
        .place = place,
    };
    struct frame_pool *pool = frame_pool_open(device, &p, &e);
    assert_non_null(pool);
    return pool;
}

static struct frame *take(struct frame_pool *pool)
{
    struct frame *f = frame_take(pool, &e);
    if (!f)
        fail_msg("%s", e.text);
    return f;
}

/* How many samples a row of plane i has; 0 where there is no such plane. */
static int row_of(const struct frame *f, int i)
{
    int chroma = (f->width + 1) / 2;
    if (i == FRAME_Y || i == FRAME_A)
        return f->width;
    if (f->layout == FRAME_PLANAR)
        return chroma;
    return i == FRAME_U ? 2 * chroma : 0;
}

static int rows_of(const struct frame *f, int i)
{
    return i == FRAME_U || i == FRAME_V ? (f->height + 1) / 2 : f->height;
}

static uint8_t pattern(int i, int x, int y, int seed)
{
    return (uint8_t)(31 * i + 7 * x + 13 * y + seed);
}

static void fill(struct frame *f, int seed)
{
    assert_int_equal(fence_host_write(f, &e), 0);
    for (int i = 0; i < FRAME_PLANES; i++)
        for (int y = 0; row_of(f, i) && y < rows_of(f, i); y++)
            for (int x = 0; x < row_of(f, i); x++)
                f->plane[i][(ptrdiff_t)y * f->stride[i] + x] = pattern(i, x, y, seed);
}

static void check(struct frame *f, int seed)
{
    assert_int_equal(frame_wait(f, &e), 0);
    for (int i = 0; i < FRAME_PLANES; i++)
        for (int y = 0; row_of(f, i) && y < rows_of(f, i); y++)
            for (int x = 0; x < row_of(f, i); x++)
                assert_int_equal(
                    f->plane[i][(ptrdiff_t)y * f->stride[i] + x], pattern(i, x, y, seed));
}

static CUstream new_stream(void)
{
    CUstream s;
    assert_int_equal(CUDA(c, &e, cuStreamCreate, &s, CU_STREAM_NON_BLOCKING), 0);
    return s;
}

static void planes_lie_in_one_block(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int layout = FRAME_PLANAR; layout <= FRAME_NV12; layout++) {
            struct frame_pool *pool =
                pool_of(sizes[k][0], sizes[k][1], (enum frame_layout)layout, FRAME_DEVICE, 1);
            struct frame *f = take(pool);
            int half = (f->height + 1) / 2;
            assert_int_equal(f->stride[FRAME_Y] % 256, 0);
            assert_ptr_equal(
                f->plane[FRAME_U], f->plane[FRAME_Y] + (ptrdiff_t)f->stride[FRAME_Y] * f->height);
            if (layout == FRAME_NV12) {
                assert_int_equal(f->stride[FRAME_U], f->stride[FRAME_Y]);
                assert_int_equal(f->stride[FRAME_V], f->stride[FRAME_Y]);
                assert_ptr_equal(f->plane[FRAME_V], f->plane[FRAME_U] + 1);
            } else {
                assert_ptr_equal(
                    f->plane[FRAME_V], f->plane[FRAME_U] + (ptrdiff_t)f->stride[FRAME_U] * half);
            }
            assert_int_equal((uintptr_t)f->plane[FRAME_A] % 256, 0);
            frame_release(f);
            frame_pool_close(pool);
        }
}

/* Host to card on one stream, card to card on another, back on a third; nothing but fences between them. */
static void three_streams_hand_frames_on(void **state)
{
    (void)state;
    enum { ROUNDS = 5 };
    CUstream up = new_stream(), across = new_stream(), down = new_stream();
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int layout = FRAME_PLANAR; layout <= FRAME_NV12; layout++) {
            int width = sizes[k][0], height = sizes[k][1];
            enum frame_layout l = (enum frame_layout)layout;
            struct frame_pool *from = pool_of(width, height, l, FRAME_HOST, 2);
            struct frame_pool *on = pool_of(width, height, l, FRAME_DEVICE, 2);
            struct frame_pool *to = pool_of(width, height, l, FRAME_HOST, ROUNDS);
            struct frame *got[ROUNDS];
            for (int i = 0; i < ROUNDS; i++) { /* frames come back while work on them is queued */
                struct frame *a = take(from), *b = take(on), *d = take(on);
                got[i] = take(to);
                fill(a, i);
                a->pts = 100 + i;
                a->duration = 7;
                assert_int_equal(transfer(c, b, a, up, &e), 0);
                frame_release(a);
                assert_int_equal(transfer(c, d, b, across, &e), 0);
                frame_release(b);
                assert_int_equal(transfer(c, got[i], d, down, &e), 0);
                frame_release(d);
            }
            for (int i = 0; i < ROUNDS; i++) {
                check(got[i], i);
                assert_int_equal(got[i]->pts, 100 + i);
                assert_int_equal(got[i]->duration, 7);
                frame_release(got[i]);
            }
            frame_pool_close(from);
            frame_pool_close(on);
            frame_pool_close(to);
        }
    c->cuStreamDestroy(up);
    c->cuStreamDestroy(across);
    c->cuStreamDestroy(down);
}

/* Two streams read what a third writes anew. */
static void a_writer_waits_for_every_reader(void **state)
{
    (void)state;
    CUstream streams[3] = { new_stream(), new_stream(), new_stream() };
    struct frame_pool *host = pool_of(64, 64, FRAME_NV12, FRAME_HOST, 4);
    struct frame_pool *on = pool_of(64, 64, FRAME_NV12, FRAME_DEVICE, 1);
    struct frame *first = take(host), *second = take(host), *shared = take(on);
    struct frame *left = take(host), *right = take(host);
    fill(first, 1);
    fill(second, 2);
    assert_int_equal(transfer(c, shared, first, streams[0], &e), 0);
    assert_int_equal(transfer(c, left, shared, streams[1], &e), 0);
    assert_int_equal(transfer(c, right, shared, streams[2], &e), 0);
    assert_int_equal(transfer(c, shared, second, streams[0], &e), 0);
    assert_int_equal(CUDA(c, &e, cuStreamSynchronize, streams[0]), 0);
    check(left, 1);
    check(right, 1);
    struct frame *all[] = { first, second, shared, left, right };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        frame_release(all[i]);
    frame_pool_close(host);
    frame_pool_close(on);
    for (int i = 0; i < 3; i++)
        c->cuStreamDestroy(streams[i]);
}

static void a_surface_becomes_a_frame(void **state)
{
    (void)state;
    enum { WIDTH = 321, HEIGHT = 181, ROW = 322, PITCH = 512 };
    CUstream stream = new_stream();
    CUdeviceptr memory = 0;
    assert_int_equal(
        CUDA(c, &e, cuMemAlloc, &memory, (size_t)PITCH * (HEIGHT + (HEIGHT + 1) / 2)), 0);
    struct frame_pool *host = pool_of(WIDTH, HEIGHT, FRAME_NV12, FRAME_HOST, 2);
    struct frame_pool *on = pool_of(WIDTH, HEIGHT, FRAME_NV12, FRAME_DEVICE, 1);
    struct frame *a = take(host), *b = take(on), *d = take(host);
    fill(a, 9);
    for (int i = FRAME_Y; i <= FRAME_U; i++) {
        CUDA_MEMCPY2D copy = {
            .srcMemoryType = CU_MEMORYTYPE_HOST,
            .srcHost = a->plane[i],
            .srcPitch = (size_t)a->stride[i],
            .dstMemoryType = CU_MEMORYTYPE_DEVICE,
            .dstDevice = memory + (i ? PITCH * HEIGHT : 0),
            .dstPitch = PITCH,
            .WidthInBytes = i ? ROW : WIDTH,
            .Height = i ? (HEIGHT + 1) / 2 : HEIGHT,
        };
        assert_int_equal(CUDA(c, &e, cuMemcpy2DAsync, &copy, stream), 0);
    }
    struct surface surface = { memory, memory + PITCH * HEIGHT, PITCH };
    assert_int_equal(transfer_surface(c, b, &surface, stream, &e), 0);
    assert_int_equal(transfer(c, d, b, stream, &e), 0);
    assert_int_equal(frame_wait(d, &e), 0);
    for (int i = FRAME_Y; i <= FRAME_U; i++)
        for (int y = 0; y < rows_of(d, i); y++)
            assert_memory_equal(d->plane[i] + (ptrdiff_t)y * d->stride[i],
                a->plane[i] + (ptrdiff_t)y * a->stride[i], (size_t)row_of(d, i));
    frame_release(a);
    frame_release(b);
    frame_release(d);
    frame_pool_close(host);
    frame_pool_close(on);
    c->cuMemFree(memory);
    c->cuStreamDestroy(stream);
}

static void errors_are_sentences(void **state)
{
    (void)state;
    CUdeviceptr memory;
    size_t available, total;
    assert_int_equal(CUDA(c, &e, cuMemGetInfo, &available, &total), 0);
    assert_int_equal(CUDA(c, &e, cuMemAlloc, &memory, total + 1), -1);
    assert_string_equal(e.code, "out_of_memory");
    assert_int_equal(e.retry, 1);
    assert_string_equal(
        e.text, "cuMemAlloc gave CUDA_ERROR_OUT_OF_MEMORY: the card's memory is used up.");
    assert_int_equal(CUDA(c, &e, cuMemAlloc, &memory, 0), -1);
    assert_string_equal(e.code, "device_error");
    assert_string_equal(e.text, "cuMemAlloc gave CUDA_ERROR_INVALID_VALUE: invalid argument.");
    assert_int_equal(cuda_check(c, CUDA_ERROR_ILLEGAL_ADDRESS, "cuLaunchKernel", &e), -1);
    assert_string_equal(e.code, "device_lost");
    assert_int_equal(e.retry, 1);

    static const char *const names[] = { "cuda:", "cuda:x", "cuda:1x", "cuda:1234", "cpu:0", "gpu",
        "" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_null(device_open(names[i], &e));
        assert_string_equal(e.code, "device_unavailable");
        assert_non_null(strstr(e.text, "There is no device called"));
    }
    assert_null(device_open("cuda:999", &e));
    assert_non_null(strstr(e.text, "There is no cuda:999: the machine has"));
}

int main(void)
{
    device = device_open("cuda", &e);
    if (!device) {
        printf("1..0 # SKIP %s\n", e.text);
        return 0;
    }
    c = &card_of(device)->cuda;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planes_lie_in_one_block),
        cmocka_unit_test(three_streams_hand_frames_on),
        cmocka_unit_test(a_writer_waits_for_every_reader),
        cmocka_unit_test(a_surface_becomes_a_frame),
        cmocka_unit_test(errors_are_sentences),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    device_close(device);
    return failed;
}
