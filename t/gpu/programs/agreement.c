/*
 * agreement FRAMES CLIP...: each clip through the processor and through a card, the first FRAMES of it: decoded, sampled,
 * bettered and composed by each, as a job does it but for the network, in the place of which both are given one answer.
 * What they make before encoding is compared, sample by sample of every plane; a colour as far as it is seen, so times
 * alpha. A line for each clip and way of composing: frames, the greatest difference in codes of 8 bits, and how many
 * samples differ by more than one. 0; 1 with the error's
 * code and sentence; 77: there is no card.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/device.h"
#include "media/format.h"
#include "media/input.h"
#include "media/libav.h"

enum { PROCESSOR, CARD, SIDES };

enum { LOW_WIDTH = 96, LOW_HEIGHT = 64, FRAMES = 4, NO_CARD = 77, PIXELS = LOW_WIDTH * LOW_HEIGHT };

/* Each as jobs ask for it. */
static const struct way {
    const char *name;
    int opaque;               /* 0: with alpha */
    enum frame_layout layout; /* of the card's frames: opaque ones are for its encoder */
    int has_foreground;       /* the answer has colours; otherwise they are found */
    int percent;              /* of its size, on a square canvas; 0: as it is */
} ways[] = {
    { "on a colour", 1, FRAME_NV12, 1, 0 },
    { "transparent", 0, FRAME_PLANAR, 0, 0 },
    { "on a canvas", 0, FRAME_PLANAR, 1, 80 },
};

struct side {
    struct device *device;
    struct input *input;
    struct input_info info;
    struct frame_pool *sources, *outputs, *fetched;
    struct sampler *sampler;
    struct solver *solver;
    struct compositor *compositor;
    struct raster in, alpha, foreground;
};

struct answer {
    float alpha[PIXELS], foreground[3 * PIXELS];
};

struct difference {
    int frames, most;
    long over; /* samples that differ by more than one */
};

/* A soft disc that moves, in numbers that halves have too. */
static void make_answer(struct answer *a, int frame)
{
    for (int i = 0; i < PIXELS; i++) {
        double x = i % LOW_WIDTH - 40 - 3 * frame, y = i / LOW_WIDTH - 30 + frame;
        double edge = 21 + 4 * sin(5 * atan2(y, x)) - sqrt(x * x + y * y);
        double alpha = edge / 9 + .5;
        a->alpha[i] = (float)(_Float16)(alpha < 0 ? 0 : alpha > 1 ? 1 : alpha);
        for (int k = 0; k < 3; k++)
            a->foreground[k * PIXELS + i] =
                (float)(_Float16)(.5 + .5 * sin(.07 * x * (k + 1) + y * .05));
    }
}

static struct frame_pool *open_pool(struct side *s, int width, int height, int alpha,
    enum frame_layout layout, enum frame_place place, struct error *e)
{
    struct frame_pool_params p = { .width = width,
        .height = height,
        .alpha = alpha,
        .count = FRAMES,
        .layout = layout,
        .place = place };
    return frame_pool_open(s->device, &p, e);
}

static int open_side(struct side *s, const struct way *w, int fd, struct error *e)
{
    static const float mean[3] = { .485f, .456f, .406f }, std[3] = { .229f, .224f, .225f };
    struct input_params in = { .fd = fd,
        .ticks = { 1, 1000 },
        .apart = 1,
        .max_pixels = (int64_t)1 << 26,
        .max_ms = 3600000,
        .threads = 1,
        .device = s->device };
    if (!(s->input = input_open(&in, &s->info, e)))
        return -1;
    int width = s->info.width, height = s->info.height, apart = device_is_apart(s->device);
    struct sampler_params sampler = { .width = width,
        .height = height,
        .to_width = LOW_WIDTH,
        .to_height = LOW_HEIGHT,
        .matrix = s->info.matrix };
    struct solver_params solver = {
        .width = LOW_WIDTH, .height = LOW_HEIGHT, .refine = REFINE_ALL & ~(unsigned)REFINE_GUIDE
    };
    struct compositor_params compositor = { .width = width,
        .height = height,
        .low_width = LOW_WIDTH,
        .low_height = LOW_HEIGHT,
        .canvas_width = width,
        .canvas_height = height,
        .place = { 0, 0, width, height },
        .matrix = s->info.matrix,
        .guided = 1,
        .opaque = w->opaque,
        .color = { 30, 200, 90 } };
    memcpy(sampler.mean, mean, sizeof mean);
    memcpy(sampler.std, std, sizeof std);
    memcpy(solver.mean, mean, sizeof mean);
    memcpy(solver.std, std, sizeof std);
    memcpy(compositor.mean, mean, sizeof mean);
    memcpy(compositor.std, std, sizeof std);
    if (w->percent) {
        int side = width > height ? width : height;
        compositor.canvas_width = compositor.canvas_height = side;
        compositor.place = (struct placement) { side / 9, -3, width * w->percent / 100 + 1,
            height * w->percent / 100 + 1 };
    }
    width = compositor.canvas_width;
    height = compositor.canvas_height;
    enum frame_layout layout = apart ? w->layout : FRAME_PLANAR;
    if (raster_open(s->device, &s->in, LOW_WIDTH, LOW_HEIGHT, 3, e) ||
        raster_open(s->device, &s->alpha, LOW_WIDTH, LOW_HEIGHT, 1, e) ||
        raster_open(s->device, &s->foreground, LOW_WIDTH, LOW_HEIGHT, 3, e) ||
        !(s->sampler = sampler_open(s->device, &sampler, e)) ||
        !(s->solver = solver_open(s->device, &solver, e)) ||
        !(s->compositor = compositor_open(s->device, &compositor, e)) ||
        !(s->sources = open_pool(s, s->info.width, s->info.height, 0,
              apart ? FRAME_NV12 : FRAME_PLANAR, FRAME_DEVICE, e)) ||
        !(s->outputs = open_pool(s, width, height, !w->opaque, layout, FRAME_DEVICE, e)))
        return -1;
    s->fetched = apart ? open_pool(s, width, height, !w->opaque, layout, FRAME_HOST, e) : NULL;
    return apart && !s->fetched ? -1 : 0;
}

static void close_side(struct side *s)
{
    input_close(s->input);
    sampler_close(s->sampler);
    solver_close(s->solver);
    compositor_close(s->compositor);
    raster_close(s->device, &s->in);
    raster_close(s->device, &s->alpha);
    raster_close(s->device, &s->foreground);
    frame_pool_close(s->sources);
    frame_pool_close(s->outputs);
    frame_pool_close(s->fetched);
    struct device *device = s->device;
    *s = (struct side) { .device = device };
}

/* The next picture, as it would go to the encoder: 1; 0: no more; -1 and *e. */
static int make(struct side *s, const struct way *w, const struct answer *a, struct frame **made,
    struct error *e)
{
    struct frame *source = NULL, *output = NULL;
    int got = input_read(s->input, s->sources, &source, e);
    *made = NULL;
    if (got <= 0)
        return got;
    struct compositor_low low = { .alpha = s->alpha, .input = s->in };
    if (w->has_foreground)
        low.foreground = s->foreground;
    int failed = sampler_run(s->sampler, source, &s->in, e) ||
                 raster_write(s->device, &s->alpha, a->alpha, e) ||
                 raster_write(s->device, &s->foreground, a->foreground, e) ||
                 solver_run(s->solver, &low, e) || !(output = frame_take(s->outputs, e)) ||
                 compositor_run(s->compositor, source, &low, output, e);
    if (!failed && s->fetched) {
        *made = frame_take(s->fetched, e);
        failed = !*made || frame_fetch(*made, output, e) || frame_wait(*made, e);
        frame_release(output);
    } else {
        *made = output;
    }
    frame_release(source);
    return failed ? -1 : 1;
}

static int code_at(const struct frame *f, int plane, int x, int y)
{
    int pairs = f->layout == FRAME_NV12 && (plane == FRAME_U || plane == FRAME_V);
    return f->plane[plane][(ptrdiff_t)y * f->stride[plane] + (pairs ? 2 * x : x)];
}

/* How much of a plane's sample is seen, 0..255: of chroma by the most opaque pixel that it colours. */
static int opacity_at(const struct frame *f, int plane, int x, int y)
{
    int shift = plane == FRAME_U || plane == FRAME_V, most = 0;
    if (plane == FRAME_A || !f->plane[FRAME_A])
        return 255;
    for (int j = y << shift; j < f->height && j <= (y << shift) + shift; j++)
        for (int i = x << shift; i < f->width && i <= (x << shift) + shift; i++)
            most = code_at(f, FRAME_A, i, j) > most ? code_at(f, FRAME_A, i, j) : most;
    return most;
}

static void compare(const struct frame *a, const struct frame *b, struct difference *d)
{
    for (int i = 0; i < FRAME_PLANES; i++) {
        int shift = i == FRAME_U || i == FRAME_V;
        for (int y = 0; a->plane[i] && y < (a->height + shift) >> shift; y++)
            for (int x = 0; x < (a->width + shift) >> shift; x++) {
                int apart = abs(code_at(a, i, x, y) - code_at(b, i, x, y));
                apart = (apart * opacity_at(a, i, x, y) + 127) / 255;
                d->most = apart > d->most ? apart : d->most;
                d->over += apart > 1;
            }
    }
    d->frames++;
}

/* 1: both had a picture; 0: neither; -1 and *e. */
static int next(
    struct side sides[SIDES], const struct way *w, int frame, struct difference *d, struct error *e)
{
    static struct answer answer;
    struct frame *made[SIDES] = { NULL };
    int got[SIDES] = { 0 };
    make_answer(&answer, frame);
    for (int i = 0; i < SIDES; i++)
        if ((got[i] = make(&sides[i], w, &answer, &made[i], e)) < 0)
            break;
    int result = got[PROCESSOR] < 0 || got[CARD] < 0 ? -1 : got[PROCESSOR];
    if (!result != !got[CARD])
        result = error_set(e, "disagreement", "One of them has more pictures.");
    if (result > 0 && made[PROCESSOR]->pts != made[CARD]->pts)
        result = error_set(e, "disagreement", "A picture has two times.");
    if (result > 0)
        compare(made[PROCESSOR], made[CARD], d);
    for (int i = 0; i < SIDES; i++)
        frame_release(made[i]);
    return result;
}

static int run(
    struct side sides[SIDES], const struct way *w, const char *path, int frames, struct error *e)
{
    struct difference d = { 0 };
    int fd = open(path, O_RDONLY), result = 0;
    for (int i = 0; !result && i < SIDES; i++)
        result = open_side(&sides[i], w, fd, e);
    for (int got = 1; !result && got && d.frames < frames;) {
        got = next(sides, w, d.frames, &d, e);
        result = got < 0 ? -1 : 0;
    }
    for (int i = 0; i < SIDES; i++)
        close_side(&sides[i]);
    close(fd);
    const char *name = strrchr(path, '/');
    if (!result)
        printf("%s, %s: frames=%d most=%d over=%ld\n", name ? name + 1 : path, w->name, d.frames,
            d.most, d.over);
    return result;
}

int main(int argc, char **argv)
{
    struct side sides[SIDES] = { { 0 } };
    struct error e = { 0 };
    int frames = argc > 1 ? atoi(argv[1]) : 0, result = 0;
    if (argc < 3 || frames < 1)
        return 2;
    libav_start();
    sides[CARD].device = device_open("cuda", &e);
    if (!sides[CARD].device) {
        fprintf(stderr, "%s: %s\n", e.code, e.text);
        return NO_CARD;
    }
    sides[PROCESSOR].device = device_open("cpu", &e);
    for (int i = 2; !result && i < argc; i++)
        for (size_t k = 0; !result && k < sizeof ways / sizeof *ways; k++)
            result = run(sides, &ways[k], argv[i], frames, &e);
    if (result)
        fprintf(stderr, "%s: %s\n", e.code, e.text);
    device_close(sides[CARD].device);
    device_close(sides[PROCESSOR].device);
    return result ? 1 : 0;
}
