/*
 * Networks on a card against the same on the processor: every operation that nn/cudnn has, in random graphs of them, parts
 * of others and in place; states; what it refuses. On whatever card the driver has, real or emulated; without one there is
 * nothing to test. With an argument: opens one small network, runs it and ends, for tests of what fails on the way: 0, or 1
 * with the error's code and sentence.
 */
#include "blocks.h"

#include <math.h>
#include <stdio.h>

#include "device/cuda/card.h"

enum { VALUES = 1 << 20, GRAPHS = 40, NODES = 12, SIDE = 12, NO_CARD = 77 };

static struct device *device;

/* ---- running ---- */

static struct nn_net *open_on(struct device *where, const struct nn_params *more, struct error *e)
{
    struct nn_params params = *more;
    size_t size;
    const uint8_t *bytes = file_bytes(&size);
    const int fd = memfd_create("onnx", MFD_CLOEXEC);
    assert_int_equal(write(fd, bytes, size), size);
    params.device = where;
    params.threads = 2;
    struct nn_net *net = nn_open(fd, "test.onnx", &params, e);
    close(fd);
    return net;
}

static struct nn_tensor tensor(struct nn_net *net, const char *name)
{
    struct error e;
    struct nn_tensor t;
    assert_int_equal(nn_tensor(net, name, &t, &e), 0);
    return t;
}

static struct raster raster_of(const struct nn_tensor *t)
{
    assert_int_equal(t->n, 1);
    assert_non_null(t->halves);
    assert_null(t->data);
    return (struct raster) { t->halves, t->w, t->h, t->c, t->step };
}

static void put(struct nn_net *net, const char *name, const float *values)
{
    struct error e;
    const struct nn_tensor t = tensor(net, name);
    const struct raster r = raster_of(&t);
    if (raster_write(device, &r, values, &e))
        fail_msg("%s", e.text);
}

static size_t get(struct nn_net *net, const char *name, float *values)
{
    struct error e;
    const struct nn_tensor t = tensor(net, name);
    const struct raster r = raster_of(&t);
    if (raster_read(device, &r, values, &e))
        fail_msg("%s", e.text);
    return (size_t)t.c * t.h * t.w;
}

static void run(struct nn_net *net)
{
    struct error e;
    if (nn_run(net, &e))
        fail_msg("%s", e.text);
}

/* Numbers that a half holds. */
static void fill(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = roundf(uniform() * 512) / 256;
}

static void expect_near(const char *what, const float *got, const float *wanted, size_t count)
{
    double largest = .1;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)wanted[i]));
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - (double)wanted[i]) <= .01 * largest))
            fail_msg("%s, value %zu of %zu: %g and not %g", what, i, count, (double)got[i],
                (double)wanted[i]);
}

/* Two runs of the built file on both; every output is compared. */
static void assert_same_on_card(const char *what, const struct nn_params *params)
{
    static float values[VALUES], wanted[VALUES];
    struct error e;
    struct nn_net *card = open_on(device, params, &e);
    if (!card)
        fail_msg("%s: %s", what, e.text);
    struct nn_net *host = open_on(NULL, params, &e);
    assert_non_null(host);
    assert_true(nn_bytes(card) > 0);
    for (int frame = 0; frame < 2; frame++) {
        for (size_t i = 0; i < onnx.graph.n_input; i++) {
            const char *name = onnx.inputs[i]->name;
            struct nn_tensor in = tensor(host, name);
            if (!in.data)
                continue;
            fill(in.data, (size_t)in.c * in.h * in.w);
            put(card, name, in.data);
        }
        run(card);
        run(host);
        for (size_t i = 0; i < onnx.graph.n_output; i++) {
            const char *name = onnx.outputs[i]->name;
            const struct nn_tensor out = tensor(host, name);
            if (!out.data)
                continue;
            const size_t count = get(card, name, values);
            memcpy(wanted, out.data, count * sizeof *wanted);
            expect_near(what, values, wanted, count);
        }
    }
    nn_close(card);
    nn_close(host);
}

static const struct nn_params none;

/* ---- random graphs ---- */

static uint32_t state = 1;

static int below(int n)
{
    state = state * 1664525 + 1013904223;
    return (int)((uint64_t)(state >> 8) * (uint64_t)n >> 24);
}

/* What has been computed so far. */
static struct made {
    char name[8];
    int c, h, w;
} made[2 * NODES];

static int made_count;

static char *name_of(const char *kind)
{
    static char name[16];
    snprintf(name, sizeof name, "%s%d", kind, made_count);
    return name;
}

static void made_one(int c, int h, int w)
{
    struct made *m = &made[made_count];
    snprintf(m->name, sizeof m->name, "t%d", made_count++);
    m->c = c;
    m->h = h;
    m->w = w;
}

/* A node of one of what was made, more inputs, to the next. */
static Onnx__NodeProto *add(const char *op, const struct made *from, const char *more)
{
    char inputs[80], to[8];
    snprintf(inputs, sizeof inputs, "%s%s%s", from->name, *more ? "," : "", more);
    snprintf(to, sizeof to, "t%d", made_count);
    return node(op, inputs, to);
}

/* Weights such that sums stay as large as what is summed. */
static void weights(const char *name, int rank, const int *dims, int summed)
{
    static float values[100000];
    int count = 1;
    for (int i = 0; i < rank; i++)
        count *= dims[i];
    assert_true(count <= 100000);
    for (int i = 0; i < count; i++)
        values[i] = uniform() / sqrtf((float)summed) * 1.7f;
    floats(name, values, rank, dims);
}

static void add_conv(const struct made *x)
{
    const int groups = below(4) == 0 ? x->c : below(4) == 0 && x->c % 2 == 0 ? 2 : 1;
    const int c = groups == 1 ? 1 + below(20) : x->c, stride = 1 + below(2);
    const int k = x->h < 3 || x->w < 3 ? 1 : 1 + 2 * below(3);
    const int dilation = k == 3 && stride == 1 ? 1 + below(2) : 1, pad = dilation * (k / 2);
    const int bias = below(3), less = below(4) == 0 && k > 1;
    char more[40];
    snprintf(more, sizeof more, "w%d", made_count);
    weights(name_of("w"), 4, (int[]) { c, x->c / groups, k, k }, x->c / groups * k * k);
    if (bias) {
        weights(name_of("b"), 1, &c, 1);
        snprintf(more, sizeof more, "w%d,b%d", made_count, made_count);
    }
    Onnx__NodeProto *n = add("Conv", x, more);
    set_ints(n, "pads", 4, (int[]) { pad - less, pad, pad, pad });
    set_ints(n, "strides", 2, (int[]) { stride, stride });
    set_ints(n, "dilations", 2, (int[]) { dilation, dilation });
    set_int(n, "group", groups);
    const int h = (x->h - less + 2 * pad - dilation * (k - 1) - 1) / stride + 1;
    made_one(c, h, (x->w + 2 * pad - dilation * (k - 1) - 1) / stride + 1);
}

static void add_function(const struct made *x)
{
    static const char *const functions[] = { "Relu", "Sigmoid", "Tanh", "HardSwish", "LeakyRelu" };
    add(functions[below(5)], x, "");
    made_one(x->c, x->h, x->w);
}

static void add_pair(const struct made *x)
{
    static const char *const functions[] = { "Add", "Sub", "Mul", "Max", "Min" };
    const char *function = functions[below(5)];
    const struct made *other = &made[below(made_count)];
    if (below(3) == 0) { /* one value a channel */
        weights(name_of("k"), 4, (int[]) { 1, x->c, 1, 1 }, 1);
        add(function, x, name_of("k"));
    } else if (other->c == x->c && other->h == x->h && other->w == x->w) {
        add(function, x, other->name);
    } else {
        scalar(name_of("s"), uniform());
        add(function, x, name_of("s"));
    }
    made_one(x->c, x->h, x->w);
}

static void add_pool(const struct made *x)
{
    if (below(3) == 0 || x->h < 2 || x->w < 2) {
        add("GlobalAveragePool", x, "");
        made_one(x->c, 1, 1);
        return;
    }
    Onnx__NodeProto *n = add(below(2) ? "MaxPool" : "AveragePool", x, "");
    const int k = 2 + below(2), pad = k == 3 ? below(2) : 0;
    if (x->h + 2 * pad < k || x->w + 2 * pad < k) {
        set_ints(n, "kernel_shape", 2, (int[]) { 1, 1 });
        made_one(x->c, x->h, x->w);
        return;
    }
    set_ints(n, "kernel_shape", 2, (int[]) { k, k });
    set_ints(n, "strides", 2, (int[]) { 2, 2 });
    set_ints(n, "pads", 4, (int[]) { pad, pad, pad, pad });
    made_one(x->c, (x->h + 2 * pad - k) / 2 + 1, (x->w + 2 * pad - k) / 2 + 1);
}

static void add_resize(const struct made *x)
{
    const int h = 1 + below(SIDE), w = 1 + below(SIDE);
    char more[40];
    int64s(name_of("z"), (int64_t[]) { 1, x->c, h, w }, 4);
    snprintf(more, sizeof more, ",,z%d", made_count);
    set_text(add("Resize", x, more), "mode", "linear");
    made_one(x->c, h, w);
}

/* Along channels, of all that is as large; now and then of itself twice. */
static void add_concat(const struct made *x)
{
    char more[60] = "";
    int c = x->c, parts = 1;
    for (int i = 0; i < made_count && parts < 4; i++)
        if (made[i].h == x->h && made[i].w == x->w && (&made[i] != x || below(4) == 0)) {
            strcat(strcat(more, *more ? "," : ""), made[i].name);
            c += made[i].c;
            parts++;
        }
    set_int(add("Concat", x, more), "axis", 1);
    made_one(c, x->h, x->w);
}

static void add_slice(const struct made *x)
{
    char from[8], to[8];
    const int axis = 1 + below(3), size = axis == 1 ? x->c : axis == 2 ? x->h : x->w;
    const int start = below(size), end = start + 1 + below(size - start);
    snprintf(from, sizeof from, "%s", x->name);
    snprintf(to, sizeof to, "t%d", made_count);
    slice(from, to, axis, start, end);
    made_one(axis == 1 ? end - start : x->c, axis == 2 ? end - start : x->h,
        axis == 3 ? end - start : x->w);
}

static void add_pad(const struct made *x)
{
    const int64_t pads[8] = { 0, below(2), below(3), below(3), 0, below(2), below(3), below(3) };
    char more[40];
    int64s(name_of("p"), pads, 8);
    scalar(name_of("v"), .5f);
    snprintf(more, sizeof more, "p%d,v%d", made_count, made_count);
    add("Pad", x, more);
    made_one(x->c + (int)(pads[1] + pads[5]), x->h + (int)(pads[2] + pads[6]),
        x->w + (int)(pads[3] + pads[7]));
}

static void build_random(int seed)
{
    static void (*const operations[])(const struct made *x) = { add_conv, add_conv, add_conv,
        add_function, add_function, add_pair, add_pair, add_pool, add_resize, add_concat,
        add_concat, add_slice, add_slice, add_pad };
    state = (uint32_t)seed * 2654435761u;
    begin(14);
    made_count = 0;
    const int c = below(2) ? 3 : 1 + below(12);
    input("t0", 1, c, SIDE, SIDE);
    made_one(c, SIDE, SIDE);
    while (made_count <= NODES) {
        const struct made *from = &made[below(3) ? made_count - 1 : below(made_count)];
        operations[below((int)(sizeof operations / sizeof *operations))](from);
    }
    output(made[made_count - 1].name);
    output(made[1 + below(made_count - 2)].name);
    if (!strcmp(onnx.outputs[0]->name, onnx.outputs[1]->name))
        onnx.graph.n_output = 1;
}

static void random_graphs(void **unused)
{
    char what[20];
    (void)unused;
    for (int seed = 1; seed <= GRAPHS; seed++) {
        snprintf(what, sizeof what, "graph %d", seed);
        build_random(seed);
        assert_same_on_card(what, &none);
    }
}

/* ---- what is worth a case of its own ---- */

static void small_network(void **unused)
{
    (void)unused;
    build_small();
    assert_same_on_card("small", &none);
}

/* x + h becomes h, and is a part of what a convolution reads. */
static void build_recurrent(void)
{
    begin(13);
    input("x", 1, 8, 6, 6);
    input("h", 1, 8, 6, 6);
    weights("w", 4, (int[]) { 4, 16, 3, 3 }, 16 * 9);
    node("Add", "x,h", "s");
    node("Tanh", "s", "n");
    set_int(node("Concat", "x,n", "j"), "axis", 1);
    set_ints(node("Conv", "j,w", "z"), "pads", 4, (int[]) { 1, 1, 1, 1 });
    output("z");
    output("n");
}

static const char *const pair[][2] = { { "h", "n" } };
static const struct nn_params recurrent = { .states = pair, .state_count = 1 };

static void states_stay_on_the_card(void **unused)
{
    static float x[8 * 36], first[4 * 36], again[4 * 36], later[4 * 36];
    struct error e;
    (void)unused;
    build_recurrent();
    assert_same_on_card("recurrent", &recurrent);
    struct nn_net *net = open_on(device, &recurrent, &e);
    assert_non_null(net);
    assert_null(tensor(net, "h").halves);
    fill(x, sizeof x / sizeof *x);
    put(net, "x", x);
    run(net);
    get(net, "z", first);
    run(net);
    get(net, "z", later);
    nn_reset(net);
    run(net);
    get(net, "z", again);
    assert_memory_equal(first, again, sizeof first);
    assert_memory_not_equal(first, later, sizeof first);
    nn_close(net);
}

/* A picture's pixels are words; what is between them changes nothing. */
static void pictures_are_words(void **unused)
{
    struct error e;
    static float x[3 * 64], z[3 * 64];
    (void)unused;
    begin(13);
    input("x", 1, 3, 8, 8);
    node("Sigmoid", "x", "z");
    output("z");
    struct nn_net *net = open_on(device, &none, &e);
    assert_non_null(net);
    assert_int_equal(tensor(net, "x").step, 4);
    assert_int_equal(tensor(net, "z").step, 4);
    fill(x, 3 * 64);
    put(net, "x", x);
    run(net);
    get(net, "z", z);
    for (int i = 0; i < 3 * 64; i++)
        assert_true(fabsf(z[i] - 1 / (1 + expf(-x[i]))) < 1e-3f);
    get(net, "x", z); /* still there */
    assert_memory_equal(x, z, sizeof x);
    nn_close(net);
}

static void refuses_by_name(void **unused)
{
    struct error e;
    (void)unused;
    begin(13);
    input("x", 1, 4, 6, 6);
    int64s("axis", (int64_t[]) { 3 }, 1);
    node("CumSum", "x,axis", "z")->name = copy_text("/head/sum");
    output("z");
    struct nn_net *host = open_on(NULL, &none, &e);
    assert_non_null(host);
    nn_close(host);
    assert_null(open_on(device, &none, &e));
    assert_string_equal(e.code, "unsupported_model");
    assert_string_equal(
        e.text, "test.onnx: the node /head/sum (CumSum) is none that a card can compute here.");
}

/* ---- once ---- */

/* Everything that can fail on the way, in one small network. */
static int run_once(void)
{
    struct error e = { 0 };
    build_recurrent();
    struct nn_net *net = open_on(device, &recurrent, &e);
    int failed = !net;
    const struct card *card = card_of(device);
    for (int i = 0; i < 2 && !failed; i++)
        failed = nn_run(net, &e);
    failed = failed || CUDA(&card->cuda, &e, cuStreamSynchronize, card->compute);
    nn_close(net);
    if (failed)
        fprintf(stderr, "%s: %s\n", e.code, e.text);
    return failed;
}

int main(int argc, char **argv)
{
    struct error e;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_network),
        cmocka_unit_test(random_graphs),
        cmocka_unit_test(states_stay_on_the_card),
        cmocka_unit_test(pictures_are_words),
        cmocka_unit_test(refuses_by_name),
    };
    (void)argv;
    if (!(device = device_open("cuda", &e))) {
        if (argc > 1)
            fprintf(stderr, "%s: %s\n", e.code, e.text);
        else
            printf("1..0 # SKIP %s\n", e.text);
        return argc > 1 ? NO_CARD : 0;
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const int failed = argc > 1 ? run_once() : cmocka_run_group_tests(tests, NULL, NULL);
    device_close(device);
    return failed;
}
