/*
 * Running: states from run to run, ends that are one tensor, several nets at once, and no memory taken in a run nor kept.
 */
#include "blocks.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>

/*
 * Counts allocations while counting is on: those of libstdc++, which are oneDNN's (it makes a table of its arguments
 * whenever a primitive is run), and all others, which are ours, libgomp's or libc's for us.
 */
static int counting;
static size_t largest;
static long theirs, ours, live;

#ifndef __SANITIZE_ADDRESS__
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *p, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *p);

static size_t note(size_t bytes, const void *caller)
{
    Dl_info from;
    if (__atomic_load_n(&counting, __ATOMIC_RELAXED)) {
        const int cxx = dladdr(caller, &from) && strstr(from.dli_fname, "libstdc++");
        __atomic_fetch_add(cxx ? &theirs : &ours, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&live, 1, __ATOMIC_RELAXED);
        if (largest < bytes)
            largest = bytes;
    }
    return bytes;
}

void *malloc(size_t bytes)
{
    return __libc_malloc(note(bytes, __builtin_return_address(0)));
}

void *calloc(size_t count, size_t bytes)
{
    note(count * bytes, __builtin_return_address(0));
    return __libc_calloc(count, bytes);
}

void *realloc(void *p, size_t bytes)
{
    return __libc_realloc(p, note(bytes, __builtin_return_address(0)));
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    return __libc_memalign(alignment, note(bytes, __builtin_return_address(0)));
}

int posix_memalign(void **p, size_t alignment, size_t bytes)
{
    *p = __libc_memalign(alignment, note(bytes, __builtin_return_address(0)));
    return *p ? 0 : ENOMEM;
}

void free(void *p)
{
    if (p && __atomic_load_n(&counting, __ATOMIC_RELAXED))
        __atomic_fetch_sub(&live, 1, __ATOMIC_RELAXED);
    __libc_free(p);
}
#endif

static struct nn_net *open_with(const struct nn_params *params, struct error *e)
{
    size_t size;
    const uint8_t *bytes = file_bytes(&size);
    int fd = memfd_create("onnx", MFD_CLOEXEC);
    assert_int_equal(write(fd, bytes, size), size);
    assert_int_equal(
        lseek(fd, 3, SEEK_SET), 3); /* the file is read from its beginning nevertheless */
    *e = (struct error) { 0 };
    struct nn_net *net = nn_open(fd, "test.onnx", params, e);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 3);
    close(fd);
    return net;
}

static float *data(struct nn_net *net, const char *name)
{
    struct error e;
    struct nn_tensor t;
    assert_int_equal(nn_tensor(net, name, &t, &e), 0);
    return t.data;
}

static const char *const h_state[][2] = { { "h", "next" } };

/* next = h + x, z = 2 next */
static void build_sum(void)
{
    begin(13);
    input("x", 1, 3, 4, 5);
    input("h", 1, 3, 4, 5);
    scalar("two", 2);
    node("Add", "h,x", "next");
    node("Mul", "next,two", "z");
    output("z");
    output("next");
}

/* z = y * (1 + k), x being of an open height and k of an open size */
static void build_open(void)
{
    begin(13);
    input("x", 1, 3, 4, 5);
    input("k", 1, 1, 1, 1);
    onnx.inputs[0]->type->tensor_type->shape->dim[2]->value_case =
        ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE__NOT_SET;
    scalar("one", 1);
    node("Add", "k,one", "factor");
    node("Mul", "x,factor", "z");
    output("z");
}

static void takes_what_a_file_leaves_open(void **state)
{
    static const float two = 2;
    const struct nn_fixed fixed[] = { { "x", 4, { 1, 3, 7, 5 }, NULL },
        { "k", 4, { 1, 1, 1, 1 }, &two } };
    struct error e;
    struct nn_tensor t;
    (void)state;
    build_open();
    struct nn_net *net =
        open_with(&(struct nn_params) { .threads = 1, .fixed = fixed, .fixed_count = 2 }, &e);
    assert_string_equal(e.text, "");
    assert_int_equal(nn_tensor(net, "z", &t, &e), 0);
    assert_int_equal(t.h, 7);
    assert_int_equal(nn_tensor(net, "k", &t, &e), -1);
    data(net, "x")[104] = 5;
    assert_int_equal(nn_run(net, &e), 0);
    assert_true(data(net, "z")[104] == 15);
    nn_close(net);
}

static void refuses_sizes_that_do_not_fit(void **state)
{
    static const struct {
        struct nn_fixed fixed;
        const char *says;
    } wrong[] = {
        { { "x", 3, { 3, 7, 5 }, NULL }, "the input x has 4 dimensions, not 3" },
        { { "x", 4, { 1, 3, 7, 6 }, NULL }, "the input x has a dimension of 5, not 6" },
        { { "x", 4, { 1, 3, 0, 5 }, NULL }, "the input x has a dimension of 0" },
        { { "k", 4, { 1, 1, 1, 1 }, NULL }, "the input x has no fixed size" },
    };
    struct error e;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        build_open();
        assert_null(open_with(
            &(struct nn_params) { .threads = 1, .fixed = &wrong[i].fixed, .fixed_count = 1 }, &e));
        if (!strstr(e.text, wrong[i].says))
            fail_msg("%s: %s", wrong[i].says, e.text);
    }
}

static void keeps_states(void **state)
{
    struct error e;
    (void)state;
    build_sum();
    struct nn_net *net =
        open_with(&(struct nn_params) { .threads = 1, .states = h_state, .state_count = 1 }, &e);
    assert_string_equal(e.text, "");
    assert_null(data(net, "h"));
    assert_null(data(net, "next"));
    for (int i = 0; i < 60; i++)
        data(net, "x")[i] = (float)i;
    for (int round = 0; round < 2; round++) {
        for (int frame = 1; frame < 6; frame++) {
            assert_int_equal(nn_run(net, &e), 0);
            for (int i = 0; i < 60; i++)
                assert_true(data(net, "z")[i] == (float)(2 * i * frame));
        }
        nn_reset(net);
    }
    nn_close(net);
}

static void leaves_states_to_the_caller(void **state)
{
    struct error e;
    (void)state;
    build_sum();
    struct nn_net *net = open_with(&(struct nn_params) { .threads = 2 }, &e);
    data(net, "x")[7] = 1;
    for (int frame = 0; frame < 3; frame++)
        assert_int_equal(nn_run(net, &e), 0);
    assert_true(data(net, "next")[7] == 1);
    data(net, "h")[7] = 5;
    assert_int_equal(nn_run(net, &e), 0);
    assert_true(data(net, "next")[7] == 6 && data(net, "z")[7] == 12);
    nn_close(net);
}

static void refuses_states_that_do_not_fit(void **state)
{
    static const struct {
        const char *pair[2], *says;
    } wrong[] = { { { "ghost", "next" }, "no input called ghost" },
        { { "h", "ghost" }, "no output called ghost" },
        { { "small", "next" }, "the state's input small and output next differ in size" } };
    struct error e;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        build_sum();
        input("small", 1, 3, 4, 4);
        assert_null(open_with(
            &(struct nn_params) { .threads = 1, .states = &wrong[i].pair, .state_count = 1 }, &e));
        assert_non_null(strstr(e.text, wrong[i].says));
    }
}

/*
 * Two states that are done with before the next ones are computed, which then could lie where the first did; each goes
 * to the other's place. a' = 2 (a + b + x), b' = a + b + x + 1
 */
static void keeps_states_apart(void **state)
{
    static const char *const swapped[][2] = { { "a", "twice" }, { "b", "more" } };
    struct error e;
    (void)state;
    begin(13);
    input("a", 1, 1, 1, 16);
    input("b", 1, 1, 1, 16);
    input("x", 1, 1, 1, 16);
    scalar("one", 1);
    scalar("two", 2);
    node("Add", "a,b", "both");
    node("Add", "both,x", "sum");
    node("Add", "sum,one", "more");
    node("Mul", "sum,two", "twice");
    output("sum");
    output("more");
    output("twice");
    struct nn_net *net =
        open_with(&(struct nn_params) { .threads = 1, .states = swapped, .state_count = 2 }, &e);
    assert_string_equal(e.text, "");
    float first = 0, second = 0;
    data(net, "x")[0] = 3;
    for (int frame = 0; frame < 6; frame++) {
        const float sum = first + second + 3;
        assert_int_equal(nn_run(net, &e), 0);
        assert_true(data(net, "sum")[0] == sum);
        first = 2 * sum;
        second = sum + 1;
    }
    nn_close(net);
}

static void gives_one_tensor_twice(void **state)
{
    struct error e;
    (void)state;
    begin(13);
    input("x", 1, 3, 2, 2);
    input("unused", 1, 3, 2, 2);
    node("Relu", "x", "z");
    node("Identity", "z", "same");
    node("Identity", "x", "through");
    output("z");
    output("same");
    output("through");
    struct nn_net *net = open_with(&(struct nn_params) { .threads = 1 }, &e);
    assert_string_equal(e.text, "");
    for (int i = 0; i < 12; i++)
        data(net, "x")[i] = (float)(i - 6);
    assert_int_equal(nn_run(net, &e), 0);
    for (int i = 0; i < 12; i++) {
        assert_true(data(net, "z")[i] == (i > 6 ? (float)(i - 6) : 0));
        assert_true(data(net, "same")[i] == data(net, "z")[i]);
        assert_true(data(net, "through")[i] == (float)(i - 6));
    }
    nn_close(net);
}

/* Convolutions that share weights, concatenations, resizing: most kinds of steps. */
static void build_mixed(void)
{
    static float weights[16 * 16 * 9];
    for (int i = 0; i < 16 * 16 * 9; i++)
        weights[i] = sinf((float)i) / 16;
    begin(13);
    input("x", 1, 16, 12, 20);
    floats("w", weights, 4, (int[]) { 16, 16, 3, 3 });
    int64s("sizes", (int64_t[]) { 1, 16, 24, 40 }, 4);
    set_ints(node("Conv", "x,w", "a"), "pads", 4, (int[]) { 1, 1, 1, 1 });
    node("Relu", "a", "b");
    set_ints(node("Conv", "b,w", "c"), "pads", 4, (int[]) { 1, 1, 1, 1 });
    node("Add", "c,x", "d");
    node("GlobalAveragePool", "d", "g");
    node("Mul", "d,g", "m");
    set_int(node("Concat", "m,b", "j"), "axis", 1);
    set_int(node("Split", "j", "p,q"), "axis", 1);
    set_text(node("Resize", "p,,,sizes", "r"), "mode", "linear");
    node("Sigmoid", "q", "s");
    output("r");
    output("s");
}

static void gives_the_same_with_any_threads(void **state)
{
    struct error e;
    struct nn_net *nets[3];
    (void)state;
    for (int t = 0; t < 3; t++) {
        build_mixed();
        nets[t] = open_with(&(struct nn_params) { .threads = t + 1 }, &e);
        assert_string_equal(e.text, "");
        for (int i = 0; i < 16 * 12 * 20; i++)
            data(nets[t], "x")[i] = cosf((float)i);
    }
    for (int frame = 0; frame < 3; frame++)
        for (int t = 0; t < 3; t++)
            assert_int_equal(nn_run(nets[t], &e), 0);
    for (int t = 1; t < 3; t++)
        for (int i = 0; i < 16 * 24 * 40; i++)
            assert_true(fabsf(data(nets[t], "r")[i] - data(nets[0], "r")[i]) < 1e-5f);
    for (int t = 0; t < 3; t++)
        nn_close(nets[t]);
}

/* What oneDNN takes for its arguments is small, bounded, and given back at once; we take nothing. */
static void takes_no_memory_in_a_run(void **state)
{
    enum { FRAMES = 100, PRIMITIVES = 3, EACH = 6 };
    struct error e;
    (void)state;
    build_mixed();
    struct nn_net *net = open_with(&(struct nn_params) { .threads = 2 }, &e);
    for (int i = 0; i < 2; i++)
        assert_int_equal(nn_run(net, &e), 0); /* libgomp starts its threads */
    counting = 1;
    for (int i = 0; i < FRAMES; i++)
        nn_run(net, &e);
    counting = 0;
    print_message("# %ld allocations in a run, all oneDNN's\n", theirs / FRAMES);
    assert_int_equal(ours, 0);
    assert_int_equal(live, 0);
    assert_in_range(theirs, 0, FRAMES * PRIMITIVES * EACH);
    assert_in_range(largest, 0, 512);
    nn_close(net);
}

/* Not a byte in 1,000 frames, of all blocks that are not computed by oneDNN alone. */
static void does_not_grow(void **state)
{
    struct error e;
    (void)state;
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) {
        blocks[b].build();
        struct nn_net *net = open_with(&(struct nn_params) { .threads = 2 }, &e);
        for (int i = 0; i < 2; i++)
            assert_int_equal(nn_run(net, &e), 0);
        const struct mallinfo2 before = mallinfo2();
        for (int i = 0; i < 1000; i++)
            nn_run(net, &e);
        const struct mallinfo2 after = mallinfo2();
        assert_int_equal(after.uordblks, before.uordblks);
        assert_int_equal(after.arena, before.arena);
        assert_int_equal(after.hblkhd, before.hblkhd);
        nn_close(net);
    }
}

static void counts_its_bytes(void **state)
{
    struct error e;
    (void)state;
    build_mixed();
    struct nn_net *net = open_with(&(struct nn_params) { .threads = 1 }, &e);
    const size_t ends = (16 * 12 * 20 * 2 + 16 * 24 * 40) * sizeof(float);
    const size_t weights = 2 * 16 * 16 * 9 * sizeof(float);
    assert_in_range(nn_bytes(net), ends + weights + 16 * 12 * 20 * 4 * 4, 1 << 20);
    nn_close(net);
    nn_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_a_file_leaves_open),
        cmocka_unit_test(refuses_sizes_that_do_not_fit),
        cmocka_unit_test(keeps_states),
        cmocka_unit_test(leaves_states_to_the_caller),
        cmocka_unit_test(refuses_states_that_do_not_fit),
        cmocka_unit_test(keeps_states_apart),
        cmocka_unit_test(gives_one_tensor_twice),
        cmocka_unit_test(gives_the_same_with_any_threads),
        cmocka_unit_test(takes_no_memory_in_a_run),
        cmocka_unit_test(does_not_grow),
        cmocka_unit_test(counts_its_bytes),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
