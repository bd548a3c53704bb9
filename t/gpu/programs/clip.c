/*
 * clip ENCODER IN OUT.mp4: decodes on a card, hands every frame from one stream to another, and encodes there (libx264,
 * libx265: by NVENC; otherwise with that name's software from frames that were fetched). Prints how many frames, and
 * what encoded them; on a real card also how fast. 0; 1 with the error's code and sentence; 77: there is no card.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "device/cuda/card.h"
#include "device/cuda/transfer.h"
#include "media/encoder.h"
#include "media/input.h"
#include "media/libav.h"
#include "media/mux.h"
#include "media/nvenc.h"

enum { SOURCES = 4, OUTPUTS = 6, NO_CARD = 77, LIMIT_S = 3600 };

struct clip {
    struct device *device;
    const struct card *card;
    const struct format *format;
    struct input *input;
    struct input_info info;
    struct frame_pool *sources, *outputs, *fetched;
    struct encoder *encoder;
    struct mux *mux;
    int64_t frames;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct frame_pool *open_pool(
    struct clip *c, enum frame_place place, int count, struct error *e)
{
    struct frame_pool_params p = {
        .width = c->info.width,
        .height = c->info.height,
        .count = count,
        .layout = FRAME_NV12,
        .place = place,
    };
    return frame_pool_open(c->device, &p, e);
}

/* On the card; where it does not encode, the same on the processor from fetched frames, and why. */
static int open_encoder(struct clip *c, const char *name, struct error *e)
{
    struct track software = c->format->opaque;
    software.encoder = name;
    software.pixel_format = AV_PIX_FMT_NV12;
    const struct track *on_card = nvenc_track(&software);
    struct encoder_params p = {
        .track = on_card,
        .device = c->device,
        .width = c->info.width,
        .height = c->info.height,
        .matrix = c->info.matrix,
        .ticks = c->format->ticks,
        .rate = c->info.rate,
        .threads = 1,
    };
    struct error why = { 0 };
    if (on_card && (c->encoder = encoder_open(&p, &why)))
        return 0;
    fprintf(stderr, "warning: %s\n", why.text);
    p.track = &software;
    c->fetched = open_pool(c, FRAME_HOST, OUTPUTS, e);
    c->encoder = c->fetched ? encoder_open(&p, e) : NULL;
    return c->encoder ? 0 : -1;
}

static int open_all(struct clip *c, const char *name, int input, int output, struct error *e)
{
    c->format = format_find("mp4", e);
    struct input_params in = {
        .fd = input,
        .ticks = c->format->ticks,
        .max_pixels = (int64_t)1 << 26,
        .max_ms = (int64_t)LIMIT_S * 1000,
        .threads = 1,
        .device = c->device,
    };
    if (!(c->input = input_open(&in, &c->info, e)) ||
        !(c->sources = open_pool(c, FRAME_DEVICE, SOURCES, e)) ||
        !(c->outputs = open_pool(c, FRAME_DEVICE, OUTPUTS, e)) || open_encoder(c, name, e) ||
        !(c->mux = mux_open(output, c->format, e)))
        return -1;
    AVStream *stream = mux_stream(c->mux, MUX_VIDEO, c->format->ticks, e);
    if (!stream || encoder_describe(c->encoder, stream->codecpar, e))
        return -1;
    return mux_start(c->mux, e);
}

static int write_packets(struct clip *c, struct error *e)
{
    AVPacket *packet = av_packet_alloc();
    int got = packet ? 1 : error_retry(e, "out_of_memory", "There is no memory for a packet.");
    while (got > 0 && (got = encoder_receive(c->encoder, packet, e)) > 0)
        if (mux_write(c->mux, MUX_VIDEO, packet, e))
            got = -1;
    av_packet_free(&packet);
    return got;
}

/* The stage between decoder and encoder: a copy on its own stream. */
static int pass_on(struct clip *c, struct frame *from, struct frame **to, struct error *e)
{
    CUstream compute = c->card->compute;
    if (!(*to = frame_take(c->outputs, e)) || transfer(&c->card->cuda, *to, from, compute, e))
        return -1;
    if (!c->fetched)
        return 0;
    struct frame *on_card = *to;
    *to = frame_take(c->fetched, e);
    int failed =
        !*to || fence_host_write(*to, e) || transfer(&c->card->cuda, *to, on_card, compute, e);
    frame_release(on_card);
    return failed ? -1 : 0;
}

static int run(struct clip *c, struct error *e)
{
    struct frame *from = NULL, *to = NULL;
    int got;
    while ((got = input_read(c->input, c->sources, &from, e)) > 0) {
        int failed = cuda_enter(&c->card->cuda, e) || pass_on(c, from, &to, e);
        frame_release(from);
        if (failed) {
            frame_release(to);
            return -1;
        }
        if (encoder_send(c->encoder, to, e) || write_packets(c, e))
            return -1;
        c->frames++;
    }
    int64_t bytes;
    if (got || encoder_send(c->encoder, NULL, e) || write_packets(c, e))
        return -1;
    return mux_finish(c->mux, &bytes, e);
}

static void close_all(struct clip *c)
{
    mux_close(c->mux);
    encoder_close(c->encoder);
    input_close(c->input);
    frame_pool_close(c->fetched);
    frame_pool_close(c->outputs);
    frame_pool_close(c->sources);
    device_close(c->device);
}

int main(int argc, char **argv)
{
    struct clip c = { 0 };
    struct error e = { 0 };
    if (argc != 4)
        return 2;
    libav_start();
    c.device = device_open("cuda", &e);
    if (!c.device) {
        fprintf(stderr, "%s: %s\n", e.code, e.text);
        return NO_CARD;
    }
    c.card = card_of(c.device);
    int input = open(argv[2], O_RDONLY), output = open(argv[3], O_RDWR | O_CREAT | O_TRUNC, 0644);
    double start = now();
    int failed = open_all(&c, argv[1], input, output, &e) || run(&c, &e);
    double seconds = now() - start;
    int by_nvenc = c.encoder && !c.fetched;
    int emulated = dlsym(c.card->cuda.library, "cuemu_enter") != NULL;
    close_all(&c);
    close(input);
    close(output);
    if (failed) {
        fprintf(stderr, "%s: %s\n", e.code, e.text);
        return 1;
    }
    printf("frames=%lld\nnvenc=%d\n", (long long)c.frames, by_nvenc);
    if (!emulated) /* whose speed says nothing */
        printf("fps=%.1f\n", (double)c.frames / seconds);
    return 0;
}
