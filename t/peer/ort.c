/*
 * This engine beside ONNX Runtime: runs one ONNX file on the same frames with both, each feeding its own recurrent states
 * back, and prints the largest difference of any output (a state counts by what it does to the next frames) and the
 * median milliseconds a frame of each, alternating, without the first, in which both take pages. A test program: the
 * engine never loads ONNX Runtime.
 *
 *   ort FOLDER MODEL.onnx IMAGE noise|moving FRAMES THREADS [STATE_IN=STATE_OUT | INPUT:SIZE[=|~VALUES] ...]
 *
 * FOLDER holds libonnxruntime.so; IMAGE is the input that is drawn. Of others the SIZE (1x2x2) may be given, and VALUES
 * (1,2,3,4): known when the network is planned (=), or put in before each run (~). Prints max_diff=, ort_ms=, ours_ms=,
 * plan_ms= (to open ours), bytes=.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <onnxruntime_c_api.h>

#include "nn/nn.h"

enum { PORTS = 16, FRAMES = 1000, ARGUMENTS = 7, VALUES = 64 };

static const OrtApi *ort;

/* What both sides have for one input or output. */
struct port {
    char name[64];
    struct nn_tensor ours;
    float *theirs;
    float *next; /* of an input: the output that feeds it, or NULL */
    size_t count;
    OrtValue *value;
};

/* What the command line says of an input. */
static struct given {
    struct nn_fixed fixed;
    float values[VALUES];
    int count;
} given[PORTS];
static int given_count;

static struct port inputs[PORTS], outputs[PORTS];
static size_t input_count, output_count;

static void fail(const char *what)
{
    fprintf(stderr, "ort: %s\n", what);
    exit(1);
}

static void check(OrtStatus *status)
{
    if (status)
        fail(ort->GetErrorMessage(status));
}

static double milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static float uniform(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (float)(*seed >> 40) / (float)(1 << 24);
}

/* Frame i of a picture: seeded noise, or soft shapes that move. */
static void draw(struct port *p, int moving, int i, uint64_t *seed)
{
    const int w = p->ours.w, h = p->ours.h;
    for (int c = 0; c < p->ours.c; c++)
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                const float u = (float)x / (float)w - 0.5f - 0.01f * (float)i;
                const float v = (float)y / (float)h - 0.6f;
                const float person = expf(-(u * u * 12 + v * v * 6));
                p->ours.data[((size_t)c * h + y) * w + x] =
                    !moving ? uniform(seed)
                            : 0.5f + 0.3f * person * (float)(c + 1) / 3 +
                                  0.2f * sinf(9 * u + 7 * v * (float)(c + 1));
            }
}

/* Idle threads of either side spin for a while; they must not take the other's processors. */
static void settle(void)
{
    nanosleep(&(struct timespec) { .tv_nsec = 20000000 }, NULL);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

static const OrtApi *load(const char *folder)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/libonnxruntime.so", folder);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail(dlerror());
    const OrtApiBase *(*base)(void) = (const OrtApiBase *(*)(void))dlsym(library, "OrtGetApiBase");
    return base ? base()->GetApi(ORT_API_VERSION) : NULL;
}

/* INPUT:SIZE[=|~VALUES] */
static void take_given(char *argument)
{
    struct given *g = &given[given_count++];
    char *size = strchr(argument, ':');
    *size++ = 0;
    g->fixed.name = argument;
    char *values = size + strcspn(size, "=~");
    const int known = *values == '=';
    for (const char *d = size; *values ? d < values : *d; d += strcspn(d, "x=~"), d += *d == 'x') {
        if (g->fixed.rank == NN_RANK)
            fail("too many dimensions");
        g->fixed.dims[g->fixed.rank++] = atoi(d);
    }
    if (*values)
        for (char *v = strtok(values + 1, ","); v && g->count < VALUES; v = strtok(NULL, ","))
            g->values[g->count++] = strtof(v, NULL);
    g->fixed.values = known ? g->values : NULL;
}

static const struct given *find_given(const char *name)
{
    for (int i = 0; i < given_count; i++)
        if (!strcmp(given[i].fixed.name, name))
            return &given[i];
    return NULL;
}

static void make_port(struct port *p, char *name, struct nn_net *net)
{
    struct error e;
    OrtMemoryInfo *memory;
    const struct given *g = find_given(name);
    snprintf(p->name, sizeof p->name, "%s", name);
    if (g && g->fixed.values) { /* the net has no such input any more */
        p->ours.rank = g->fixed.rank;
        memcpy(p->ours.dims, g->fixed.dims, sizeof p->ours.dims);
    } else if (nn_tensor(net, name, &p->ours, &e))
        fail(e.text);
    int64_t shape[NN_RANK];
    p->count = 1;
    for (int i = 0; i < p->ours.rank; i++)
        p->count *= (size_t)(shape[i] = p->ours.dims[i]);
    p->theirs = calloc(p->count, sizeof *p->theirs);
    for (size_t i = 0; g && i < (size_t)g->count && i < p->count; i++) {
        p->theirs[i] = g->values[i];
        if (p->ours.data)
            p->ours.data[i] = g->values[i];
    }
    check(ort->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
    check(ort->CreateTensorWithDataAsOrtValue(memory, p->theirs, p->count * sizeof(float), shape,
        p->ours.rank, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &p->value));
}

int main(int argc, char **argv)
{
    struct error e;
    const char *states[PORTS][2];
    struct nn_params params = { .states = (const char *const(*)[2])states };
    OrtEnv *env;
    OrtSessionOptions *options;
    OrtSession *session;
    OrtAllocator *allocator;
    static double ours_ms[FRAMES], theirs_ms[FRAMES];
    const char *input_names[PORTS], *output_names[PORTS];
    OrtValue *input_values[PORTS], *output_values[PORTS];
    double largest = 0;
    uint64_t seed = 1;

    nn_start(argv);
    if (argc < ARGUMENTS)
        fail("ort FOLDER MODEL.onnx IMAGE noise|moving FRAMES THREADS [STATE_IN=STATE_OUT ...]");
    const char *model = argv[2], *image = argv[3];
    const int moving = !strcmp(argv[4], "moving"), frames = atoi(argv[5]);
    if (frames < 2 || frames > FRAMES || argc > ARGUMENTS + PORTS)
        fail("2 to 1000 frames and at most 16 states");
    params.threads = atoi(argv[6]);
    for (int a = ARGUMENTS; a < argc; a++) {
        if (strchr(argv[a], ':')) {
            take_given(argv[a]);
            continue;
        }
        states[params.state_count][0] = strtok(argv[a], "=");
        states[params.state_count++][1] = strtok(NULL, "");
    }

    struct nn_fixed fixed[PORTS];
    for (int i = 0; i < given_count; i++)
        fixed[i] = given[i].fixed;
    params.fixed = fixed;
    params.fixed_count = given_count;
    int fd = open(model, O_RDONLY | O_CLOEXEC);
    const double opened = milliseconds();
    struct nn_net *net = nn_open(fd, model, &params, &e);
    const double plan_ms = milliseconds() - opened;
    if (!net)
        fail(e.text);
    if (!(ort = load(argv[1])))
        fail("this libonnxruntime.so is not of the header's version");
    check(ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "matte", &env));
    check(ort->CreateSessionOptions(&options));
    check(ort->SetIntraOpNumThreads(options, params.threads));
    check(ort->SetSessionGraphOptimizationLevel(options, ORT_ENABLE_ALL));
    check(ort->AddSessionConfigEntry(options, "session.intra_op.allow_spinning", "1"));
    check(ort->CreateSession(env, model, options, &session));
    check(ort->GetAllocatorWithDefaultOptions(&allocator));
    check(ort->SessionGetInputCount(session, &input_count));
    check(ort->SessionGetOutputCount(session, &output_count));
    if (input_count > PORTS || output_count > PORTS)
        fail("too many inputs or outputs");
    for (size_t i = 0; i < output_count; i++) {
        char *name;
        check(ort->SessionGetOutputName(session, i, allocator, &name));
        make_port(&outputs[i], name, net);
        output_names[i] = name;
        output_values[i] = outputs[i].value;
    }
    for (size_t i = 0; i < input_count; i++) {
        char *name;
        check(ort->SessionGetInputName(session, i, allocator, &name));
        make_port(&inputs[i], name, net);
        input_names[i] = name;
        input_values[i] = inputs[i].value;
        for (int k = 0; k < params.state_count; k++)
            for (size_t o = 0; o < output_count; o++)
                if (!strcmp(name, states[k][0]) && !strcmp(outputs[o].name, states[k][1]))
                    inputs[i].next = outputs[o].theirs;
    }

    for (int f = 0; f < frames; f++) {
        for (size_t i = 0; i < input_count; i++) {
            struct port *p = &inputs[i];
            if (!strcmp(p->name, image)) {
                draw(p, moving, f, &seed);
                memcpy(p->theirs, p->ours.data, p->count * sizeof(float));
            } else if (p->next && f)
                memcpy(p->theirs, p->next, p->count * sizeof(float));
        }
        settle();
        const double start = milliseconds();
        if (nn_run(net, &e))
            fail(e.text);
        ours_ms[f] = milliseconds() - start;
        settle();
        const double again = milliseconds();
        check(ort->Run(session, NULL, input_names, (const OrtValue *const *)input_values,
            input_count, output_names, output_count, output_values));
        theirs_ms[f] = milliseconds() - again;
        for (size_t o = 0; o < output_count; o++)
            for (size_t k = 0; k < outputs[o].count && outputs[o].ours.data; k++) {
                const double d = fabs((double)outputs[o].ours.data[k] - outputs[o].theirs[k]);
                if (!(d <= largest)) /* not a number is the worst of all */
                    largest = isnan(d) ? INFINITY : d;
            }
    }
    printf("max_diff=%.3g\nort_ms=%.2f\nours_ms=%.2f\nplan_ms=%.0f\nbytes=%zu\n", largest,
        median(theirs_ms + 1, frames - 1), median(ours_ms + 1, frames - 1), plan_ms, nn_bytes(net));
    nn_close(net);
    return 0;
}
