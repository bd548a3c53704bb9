/*
 * networks MANIFEST.json FOLDER FILE FRAMES PICTURES.rgb: runs a network's FILE of FOLDER on a card and on the processor,
 * each with its own states, over pictures of its size (R, G, B of bytes, one after the other), and compares alpha. Prints
 * off, how many pixels of all frames differ by how much, in steps of 1/16 of 255, beginning with less than one; and bytes,
 * what the net takes of the card; on a real card also how fast it is. 0; 1 with the error's code and sentence; 77: there is
 * no card.
 */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "device/cuda/card.h"
#include "matte/manifest.h"
#include "nn/nn.h"

enum { NO_CARD = 77, BINS = 255 * 16 };

/* A network on one device. */
struct side {
    struct device *device;
    struct nn_net *net;
    struct nn_tensor in, alpha;
    struct raster seen, made; /* on a card */
};

static const struct manifest_file *file_of(const struct manifest *m, const char *name)
{
    for (int i = 0; i < m->file_count; i++)
        if (!strcmp(m->files[i].file, name))
            return &m->files[i];
    return NULL;
}

static struct raster raster_of(const struct nn_tensor *t)
{
    return (struct raster) { t->halves, t->w, t->h, t->c, t->step };
}

static int open_side(
    struct side *s, const struct manifest *m, const struct manifest_file *f, struct error *e)
{
    const char *states[MANIFEST_STATES][2];
    for (int i = 0; i < m->state_count; i++)
        for (int k = 0; k < 2; k++)
            states[i][k] = m->states[i][k];
    const struct nn_params params = {
        .device = s->device,
        .states = (const char *const(*)[2])states,
        .state_count = m->state_count,
    };
    s->net = nn_open(f->fd, f->file, &params, e);
    if (!s->net || nn_tensor(s->net, m->input, &s->in, e) ||
        nn_tensor(s->net, m->outputs.alpha, &s->alpha, e))
        return -1;
    s->seen = raster_of(&s->in);
    s->made = raster_of(&s->alpha);
    return 0;
}

/* From bytes to what the network is shown, planes of floats. */
static void normalise(const struct manifest *m, const unsigned char *rgb, int pixels, float *planes)
{
    int largest = m->range == RANGE_PICTURE ? 1 : 255;
    for (int i = 0; i < 3 * pixels && m->range == RANGE_PICTURE; i++)
        largest = rgb[i] > largest ? rgb[i] : largest;
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < pixels; i++)
            planes[c * pixels + i] =
                ((float)rgb[3 * i + c] / (float)largest - m->mean[c]) / m->std[c];
}

static void compare(const float *a, const float *b, int pixels, long *bins)
{
    for (int i = 0; i < pixels; i++) {
        const float off = fabsf(a[i] - b[i]) * BINS;
        bins[off < BINS ? (int)off : BINS]++; /* the last: also what is no number */
    }
}

static void report(const long *bins)
{
    int last = BINS;
    while (last && !bins[last])
        last--;
    printf("off=");
    for (int i = 0; i <= last; i++)
        printf("%ld%c", bins[i], i < last ? ',' : '\n');
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int run(struct side *card, struct side *host, const struct manifest *m, FILE *pictures,
    int frames, struct error *e)
{
    const int pixels = card->in.w * card->in.h;
    unsigned char *rgb = malloc(3 * (size_t)pixels);
    float *alpha = malloc((size_t)pixels * sizeof *alpha);
    long *bins = calloc(BINS + 1, sizeof *bins);
    int failed = !rgb || !alpha || !bins;
    for (int i = 0; i < frames && !failed; i++) {
        failed = fread(rgb, 3, (size_t)pixels, pictures) != (size_t)pixels
                     ? error_set(e, "bad_input", "There is no picture %d.", i)
                     : 0;
        if (failed)
            break;
        normalise(m, rgb, pixels, host->in.data);
        failed = raster_write(card->device, &card->seen, host->in.data, e) ||
                 nn_run(card->net, e) || raster_read(card->device, &card->made, alpha, e) ||
                 nn_run(host->net, e);
        if (!failed)
            compare(alpha, host->alpha.data, pixels, bins);
    }
    if (!failed)
        report(bins);
    free(rgb);
    free(alpha);
    free(bins);
    return failed ? -1 : 0;
}

/* Frames a second of the card alone. */
static int time_card(struct side *card, int frames, double *fps, struct error *e)
{
    const struct card *c = card_of(card->device);
    if (CUDA(&c->cuda, e, cuStreamSynchronize, c->compute))
        return -1;
    const double start = now();
    for (int i = 0; i < frames; i++)
        if (nn_run(card->net, e))
            return -1;
    if (CUDA(&c->cuda, e, cuStreamSynchronize, c->compute))
        return -1;
    *fps = frames / (now() - start);
    return 0;
}

int main(int argc, char **argv)
{
    enum { TIMED = 200 };
    struct error e = { 0 };
    struct side card = { 0 }, host = { 0 };
    double fps = 0;
    nn_start(argv);
    if (argc != 6)
        return 2;
    if (!(card.device = device_open("cuda", &e))) {
        fprintf(stderr, "%s: %s\n", e.code, e.text);
        return NO_CARD;
    }
    struct manifest *m = manifest_open(argv[1], argv[2], &e);
    const struct manifest_file *f = m ? file_of(m, argv[3]) : NULL;
    FILE *pictures = fopen(argv[5], "rb");
    const int emulated = dlsym(card_of(card.device)->cuda.library, "cuemu_enter") != NULL;
    const int failed = !f || !pictures || open_side(&card, m, f, &e) ||
                       open_side(&host, m, f, &e) ||
                       run(&card, &host, m, pictures, atoi(argv[4]), &e) ||
                       (!emulated && time_card(&card, TIMED, &fps, &e));
    if (failed)
        fprintf(stderr, "%s: %s\n", e.code, e.text);
    else
        printf("bytes=%zu\n", nn_bytes(card.net));
    if (fps > 0)
        printf("fps=%.1f\n", fps);
    if (pictures)
        fclose(pictures);
    nn_close(card.net);
    nn_close(host.net);
    manifest_close(m);
    device_close(card.device);
    return failed;
}
