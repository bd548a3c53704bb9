/*
 * What a network computes is the same to the bit in every process of a machine that gives it as many threads: beside load,
 * at other addresses, and after other networks.
 */
#include "pass.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { LOAD = 4, THREADS = 3, NAME = 32 };

/* One of each implementation that oneDNN has for convolutions, and 3x3 where Winograd's algorithm is hardly the faster one. */
static const struct layer {
    int channels, outputs, side, kernel, stride, dilation, group;
} layers[] = {
    { 16, 16, 20, 3, 1, 1, 1 },
    { 32, 16, 20, 3, 1, 1, 1 },
    { 16, 16, 24, 3, 1, 1, 1 },
    { 16, 16, 64, 3, 1, 1, 1 },
    { 64, 64, 36, 3, 1, 1, 1 },
    { 3, 16, 32, 3, 2, 1, 1 },
    { 24, 24, 20, 3, 1, 1, 1 },
    { 64, 16, 24, 3, 1, 4, 1 },
    { 32, 1, 24, 3, 1, 1, 1 },
    { 7, 5, 20, 3, 1, 1, 1 },
    { 32, 32, 24, 3, 1, 1, 2 },
    { 32, 32, 24, 3, 1, 1, 32 },
    { 48, 48, 24, 5, 2, 1, 48 },
    { 24, 40, 20, 1, 1, 1, 1 },
    { 256, 256, 4, 1, 1, 1, 1 },
    { 64, 32, 20, 1, 2, 1, 1 },
};

enum { LAYERS = sizeof layers / sizeof *layers };

/* Each layer alone, and what sums over many values otherwise. */
static void build(void)
{
    char x[NAME], w[NAME], names[2 * NAME], c[NAME], z[NAME];
    begin(17);
    for (int i = 0; i < LAYERS; i++) {
        const struct layer *l = &layers[i];
        const int pad = l->kernel / 2 * l->dilation;
        snprintf(x, NAME, "x%d", i);
        snprintf(w, NAME, "w%d", i);
        snprintf(c, NAME, "c%d", i);
        snprintf(z, NAME, "z%d", i);
        snprintf(names, sizeof names, "%s,%s", x, w);
        input(x, 1, l->channels, l->side, l->side);
        NOISE(w, l->outputs, l->channels / l->group, l->kernel, l->kernel);
        Onnx__NodeProto *n = node("Conv", names, c);
        set_ints(n, "pads", 4, (int[]) { pad, pad, pad, pad });
        set_ints(n, "strides", 2, (int[]) { l->stride, l->stride });
        set_ints(n, "dilations", 2, (int[]) { l->dilation, l->dilation });
        set_int(n, "group", l->group);
        node("Relu", c, z);
        output(z);
    }
    input("long", 1, 1, 2, 4096);
    NOISE("matrix", 4096, 16);
    NOISE("scale", 16);
    NOISE("shift", 16);
    node("MatMul", "long,matrix", "product");
    node("Softmax", "product", "shares");
    node("LayerNormalization", "shares,scale,shift", "level");
    node("GlobalAveragePool", "z3", "mean");
    output("level");
    output("mean");
}

static int built(void)
{
    size_t size;
    build();
    const uint8_t *bytes = file_bytes(&size);
    const int fd = memfd_create("onnx", MFD_CLOEXEC);
    assert_int_equal(write(fd, bytes, size), size);
    return fd;
}

static struct nn_net *open_threads(int file, int threads)
{
    struct error e = { 0 };
    struct nn_net *net = nn_open(file, "test.onnx", &(struct nn_params) { .threads = threads }, &e);
    if (!net)
        fail_msg("%s", e.text);
    return net;
}

static struct nn_tensor tensor(struct nn_net *net, const char *name, int *count)
{
    struct error e;
    struct nn_tensor t;
    assert_int_equal(nn_tensor(net, name, &t, &e), 0);
    *count = t.n * t.c * t.h * t.w;
    return t;
}

static void run(struct nn_net *net)
{
    struct error e;
    uint32_t seed = 3;
    int count;
    for (size_t i = 0; i < onnx.graph.n_input; i++) {
        const struct nn_tensor t = tensor(net, onnx.inputs[i]->name, &count);
        for (int k = 0; k < count; k++) {
            seed = seed * 1664525 + 1013904223;
            t.data[k] = (float)(seed >> 8) / (1 << 23) - 1;
        }
    }
    assert_int_equal(nn_run(net, &e), 0);
}

/* The process of a test: writes every output to fd, with nets of 1 to `others` threads run before and still there. */
static int compute(int threads, int others, int fd)
{
    struct nn_net *nets[THREADS + 1];
    const int file = built();
    int count;
    for (int i = 0; i <= others; i++)
        run(nets[i] = open_threads(file, i < others ? i + 1 : threads));
    for (size_t i = 0; i < onnx.graph.n_output; i++) {
        const struct nn_tensor t = tensor(nets[others], onnx.outputs[i]->name, &count);
        assert_int_equal(write(fd, t.data, count * sizeof *t.data), count * sizeof *t.data);
    }
    for (int i = 0; i <= others; i++)
        nn_close(nets[i]);
    return 0;
}

/* What a process of its own computes, as a file in memory. */
static int computed(int threads, int others)
{
    char arguments[3][NAME];
    int status;
    const int fd = memfd_create("outputs", 0);
    assert_true(fd >= 0);
    snprintf(arguments[0], NAME, "%d", threads);
    snprintf(arguments[1], NAME, "%d", others);
    snprintf(arguments[2], NAME, "%d", fd);
    const pid_t pid = fork();
    if (!pid) {
        execl("/proc/self/exe", "nn_processes", arguments[0], arguments[1], arguments[2], NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    return fd;
}

static void start_load(pid_t *load)
{
    for (int i = 0; i < LOAD; i++)
        if (!(load[i] = fork())) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (volatile int k = 0;; k++)
                ;
        }
}

static void stop_load(const pid_t *load)
{
    for (int i = 0; i < LOAD; i++) {
        kill(load[i], SIGKILL);
        waitpid(load[i], NULL, 0);
    }
}

static void assert_same(int first, int second, int threads)
{
    enum { BYTES = 4 << 20 };
    static float values[2][BYTES / sizeof(float)];
    const ssize_t bytes = pread(first, values[0], BYTES, 0);
    assert_in_range(bytes, 1 << 16, BYTES - 1);
    assert_int_equal(pread(second, values[1], BYTES, 0), bytes);
    for (size_t i = 0; i < bytes / sizeof(float); i++)
        if (memcmp(&values[0][i], &values[1][i], sizeof(float)))
            fail_msg(
                "%d threads: value %zu is %.9g and %.9g", threads, i, values[0][i], values[1][i]);
    close(first);
    close(second);
}

static void computes_the_same(void **state)
{
    pid_t load[LOAD];
    (void)state;
    for (int threads = 1; threads <= THREADS; threads++) {
        const int alone = computed(threads, 0);
        start_load(load);
        const int beside_load = computed(threads, THREADS);
        stop_load(load);
        assert_same(alone, beside_load, threads);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(computes_the_same),
    };
    nn_start(argv); /* or threads that wait would take the time of those that work */
    if (argc > 3)
        return compute(atoi(argv[1]), atoi(argv[2]), atoi(argv[3]));
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
