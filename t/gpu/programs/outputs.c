/*
 * outputs MODEL.onnx ARGUMENT...: runs a network on a card and on the processor and compares what it puts out. Arguments:
 *
 *   INPUT:SIZE          of an input that the file leaves open: 1x3x64x64
 *   INPUT:SIZE=VALUES   that is always so: 720,1280
 *   INPUT:SIZE~VALUES   that is so in this run
 *   INPUT:SIZE@FILE     floats of FILE; where there is none, of FILE.host and FILE.card
 *   OUTPUT              is compared
 *   OUTPUT>FILE         also written, as floats: FILE.host, FILE.card
 *
 * Inputs that are not said are the same noise for both. Of each output it prints, in the order of the arguments, off (the
 * difference's root mean square over that of the processor's values), most (the largest difference), over (the
 * intersection of what is above 0 over its union) and peak (1: the largest value is at the same place). On a real card also how
 * fast it is. 0; 1 with the error's code and sentence; 77: there is no card.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "device/device.h"
#include "ends.h"

enum { NO_CARD = 77, ARGUMENTS = 24, VALUES = 64, TIMED = 100 };

struct argument {
    char *name, *file; /* file NULL: none */
    float values[VALUES];
    int count;         /* of values; 0: none are said */
    int output, known; /* known: as the network is planned, so it has no such input any more */
};

/* A network on one device. */
struct side {
    const char *name;
    struct device *device;
    struct nn_net *net;
};

static int read_argument(char *text, struct argument *a, struct nn_fixed *f)
{
    char *at = strpbrk(text, ":>"), *values = strpbrk(text, "=~@");
    *a = (struct argument) { .name = text, .output = !at || *at == '>' };
    if (!at)
        return 0;
    *at = 0;
    if (a->output) {
        a->file = at + 1;
        return 0;
    }
    f->name = text;
    for (char *size = at; size && (!values || size < values) && f->rank < NN_RANK;
         size = strchr(size + 1, 'x'))
        f->dims[f->rank++] = atoi(size + 1);
    if (values && *values == '@')
        a->file = values + 1;
    else if (values)
        for (char *v = values; v && a->count < VALUES; v = strchr(v + 1, ','))
            a->values[a->count++] = strtof(v + 1, NULL);
    a->known = values && *values == '=';
    if (a->known)
        f->values = a->values;
    return 1;
}

static FILE *open_file(const char *name, const char *side, const char *mode)
{
    char path[4096];
    FILE *f = *mode == 'r' ? fopen(name, mode) : NULL;
    snprintf(path, sizeof path, "%s.%s", name, side);
    return f ? f : fopen(path, mode);
}

/* What an input is given. */
static int fill(
    const struct argument *a, const char *side, float *values, size_t count, struct error *e)
{
    for (size_t i = 0; i < count && a->count; i++)
        values[i] = a->values[i % (size_t)a->count];
    if (!a->file)
        return 0;
    FILE *f = open_file(a->file, side, "rb");
    const size_t got = f ? fread(values, sizeof *values, count, f) : 0;
    if (f)
        fclose(f);
    return got == count ? 0 : error_set(e, "bad_input", "%s has no %zu numbers.", a->file, count);
}

static int give(const struct side *s, const struct argument *a, struct error *e)
{
    struct nn_tensor t;
    if (a->output || a->known)
        return 0;
    if (nn_tensor(s->net, a->name, &t, e))
        return -1;
    float *values = calloc(end_elements(&t), sizeof *values);
    unsigned noise = 1;
    for (size_t i = 0; i < end_elements(&t); i++)
        values[i] = (float)((noise = noise * 1664525 + 1013904223) >> 8) / (1 << 23) - 1;
    const int failed =
        fill(a, s->name, values, end_elements(&t), e) || end_put(s->device, &t, values, e);
    free(values);
    return failed ? -1 : 0;
}

static void compare(const char *name, const float *host, const float *card, size_t count)
{
    double difference = 0, size = 0, most = 0;
    size_t both = 0, either = 0, peak_host = 0, peak_card = 0;
    for (size_t i = 0; i < count; i++) {
        const double off = fabs((double)host[i] - card[i]);
        difference += off * off;
        size += (double)host[i] * host[i];
        most = off <= most ? most : off; /* what is no number, too */
        both += host[i] > 0 && card[i] > 0;
        either += host[i] > 0 || card[i] > 0;
        peak_host = host[i] > host[peak_host] ? i : peak_host;
        peak_card = card[i] > card[peak_card] ? i : peak_card;
    }
    printf("%s.off=%.5f\n%s.most=%.5f\n%s.over=%.4f\n%s.peak=%d\n", name,
        sqrt(difference / (size > 0 ? size : 1)), name, most, name,
        either ? (double)both / (double)either : 1, name, peak_host == peak_card);
}

static int take(const struct side sides[2], const struct argument *a, struct error *e)
{
    float *values[2] = { NULL, NULL };
    size_t count = 0;
    int failed = 0;
    for (int i = 0; i < 2 && !failed; i++) {
        struct nn_tensor t;
        if ((failed = nn_tensor(sides[i].net, a->name, &t, e)))
            break;
        count = end_elements(&t);
        values[i] = calloc(count, sizeof *values[i]);
        failed = end_get(sides[i].device, &t, values[i], e);
        FILE *f = a->file && !failed ? open_file(a->file, sides[i].name, "wb") : NULL;
        if (f) {
            fwrite(values[i], sizeof *values[i], count, f);
            fclose(f);
        }
    }
    if (!failed)
        compare(a->name, values[0], values[1], count);
    free(values[0]);
    free(values[1]);
    return failed;
}

static int time_card(const struct side *s, struct error *e)
{
    const struct card *c = card_of(s->device);
    struct timespec from, to;
    if (dlsym(c->cuda.library, "cuemu_enter"))
        return 0;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < TIMED; i++)
        if (nn_run(s->net, e))
            return -1;
    if (CUDA(&c->cuda, e, cuStreamSynchronize, c->compute))
        return -1;
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("ms=%.3f\n",
        ((double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6) /
            TIMED);
    return 0;
}

int main(int argc, char **argv)
{
    static struct argument arguments[ARGUMENTS];
    struct nn_fixed fixed[ARGUMENTS] = { 0 };
    struct nn_params params = { .fixed = fixed };
    struct side sides[] = { { .name = "host" }, { .name = "card" } };
    struct error e = { 0 };
    nn_start(argv);
    if (argc < 3 || argc - 2 > ARGUMENTS)
        return 2;
    const int count = argc - 2;
    for (int i = 0; i < count; i++)
        params.fixed_count += read_argument(argv[2 + i], &arguments[i], &fixed[params.fixed_count]);
    if (!(sides[1].device = device_open("cuda", &e))) {
        fprintf(stderr, "%s: %s\n", e.code, e.text);
        return NO_CARD;
    }
    const int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    int failed = 0;
    for (int s = 0; s < 2 && !failed; s++) {
        params.device = sides[s].device;
        failed = !(sides[s].net = nn_open(fd, argv[1], &params, &e));
        for (int i = 0; i < count && !failed; i++)
            failed = give(&sides[s], &arguments[i], &e);
        failed = failed || nn_run(sides[s].net, &e);
    }
    for (int i = 0; i < count && !failed; i++)
        failed = arguments[i].output && take(sides, &arguments[i], &e);
    failed = failed || time_card(&sides[1], &e);
    if (failed)
        fprintf(stderr, "%s: %s\n", e.code, e.text);
    else
        printf("bytes=%zu\n", nn_bytes(sides[1].net));
    nn_close(sides[1].net);
    nn_close(sides[0].net);
    device_close(sides[1].device);
    return failed;
}
