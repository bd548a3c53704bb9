/* The executor of t/gpu: the words of the device language, and launches that a card would refuse. */
#include "kernel.h"
#include "language.h"

static const struct cuemu_kernel *load(const char *name)
{
    char path[4096];
    snprintf(
        path, sizeof path, "%.*slanguage.so", (int)(strrchr(KERNELS, '/') + 1 - KERNELS), KERNELS);
    assert_non_null(dlopen(path, RTLD_NOW));
    const struct cuemu_kernel *k = cuemu_find(name);
    assert_non_null(k);
    return k;
}

static int launch(const struct cuemu_kernel *k, struct cuemu_extent grid, struct cuemu_extent block,
    size_t shared, void *params)
{
    return cuemu_launch(k, grid, block, shared, &params);
}

static const struct cuemu_extent one = { 1, 1, 1 }, two_warps = { 64, 1, 1 };

static void words_of_a_warp(void **state)
{
    (void)state;
    int out[64][WARP_WORDS];
    struct warp_words_params p = { out[0] };
    assert_int_equal(launch(load("warp_words"), one, two_warps, 0, &p), 0);
    for (int i = 0; i < 64; i++) {
        const int warp = i / 32 * 32, lane = i % 32;
        assert_int_equal(out[i][0], warp + 5);
        assert_int_equal(out[i][1], i / 8 * 8 + 5);
        assert_int_equal(out[i][2], lane < 3 ? i : i - 3);
        assert_int_equal(out[i][3], i % 16 + 3 < 16 ? i + 3 : i);
        assert_int_equal(out[i][4], i ^ 9);
        assert_int_equal((unsigned)out[i][5], 0x49249249u);
        assert_int_equal(out[i][6], warp == 32);
        assert_int_equal(out[i][7], warp == 0);
        assert_int_equal(out[i][8], i ^ 1);
    }
}

static void words_of_a_block(void **state)
{
    (void)state;
    int out[64][BLOCK_WORDS], total[ATOMIC_WORDS] = { 0, 0, 0, 0, 0, 255, 0, 0 };
    struct block_words_params p = { out[0], total };
    const struct cuemu_extent three = { 3, 1, 1 };
    assert_int_equal(launch(load("block_words"), three, two_warps, 256, &p), 0);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(out[i][0], 32);
        assert_int_equal(out[i][1], 1);
        assert_int_equal(out[i][2], 0);
        assert_int_equal(out[i][3], 63 - i);
    }
    const int want[ATOMIC_WORDS] = { 384, -192, 63, -63, 255, 0, 7, 8 };
    assert_memory_equal(total, want, sizeof want);
}

static void what_a_card_refuses(void **state)
{
    (void)state;
    int out[64][WARP_WORDS];
    struct warp_words_params p = { out[0] };
    const struct cuemu_kernel *k = load("warp_words");
    static const struct {
        struct cuemu_extent grid, block;
        size_t shared;
    } wrong[] = {
        { { 1, 1, 1 }, { 65, 1, 1 }, 0 }, /* its launch bounds are 64 */
        { { 1, 1, 1 }, { 0, 1, 1 }, 0 },
        { { 1, 1, 1 }, { 1025, 1, 1 }, 0 },
        { { 1, 1, 1 }, { 1, 1, 65 }, 0 },
        { { 0, 1, 1 }, { 64, 1, 1 }, 0 },
        { { 1, 65536, 1 }, { 64, 1, 1 }, 0 },
        { { 1, 1, 65536 }, { 64, 1, 1 }, 0 },
        { { 1, 1, 1 }, { 64, 1, 1 }, 49153 },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(launch(k, wrong[i].grid, wrong[i].block, wrong[i].shared, &p), -1);
    assert_int_equal(cuemu_allow_dynamic(k, 99 << 10), 0);
    assert_int_equal(launch(k, one, two_warps, 99 << 10, &p), 0);
    assert_int_equal(cuemu_allow_dynamic(k, (99 << 10) + 1), -1);
    assert_int_equal(setenv("CUEMU_SHARED", "227", 1), 0);
    assert_int_equal(cuemu_allow_dynamic(k, 227 << 10), 0);
    assert_null(cuemu_find("no_such_kernel"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_a_warp),
        cmocka_unit_test(words_of_a_block),
        cmocka_unit_test(what_a_card_refuses),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
