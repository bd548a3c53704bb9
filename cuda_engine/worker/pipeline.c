#include "pipeline.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../media/audio.h"
#include "../media/encoder.h"
#include "../media/image.h"
#include "../media/input.h"
#include "../media/nvenc.h"
#include "need.h"
#include "queue.h"

enum {
    /* all frames but one in the hands of each stage at the queue's ends */
    SOURCE_QUEUE = SOURCE_FRAMES - 2,
    OUTPUT_QUEUE = OUTPUT_FRAMES - 3,
    PACKET_QUEUE = 8,
    DECODE_THREADS = 4,
    ENCODE_THREADS = 8,
    PROGRESS_MS = 100,
};

/* What is made of a composed frame: the tracks of the format, and alpha in a file of its own. */
enum lane { COLOR, ALPHA, ALONE, LANES };

const char *const pipeline_stage_names[STAGES] = { "decode", "matte", "color", "alpha", "mux",
    "alone", "alone_mux" };

struct run {
    const struct pipeline_params *params;
    const struct format *format;
    const struct track *track;
    int tracks;
    int on_card;           /* frames stay there from decoder to encoder */
    struct track software; /* where they were to stay, but NVENC is not to be had */

    struct input *input;
    struct input_info info;
    struct layout layout;
    struct choice choice; /* of the network */
    struct audio *audio;
    struct sampler *sampler;
    struct solver *solver; /* NULL: the network's answer is taken as it is */
    struct compositor *compositor;
    struct encoder *encoder[LANES];
    struct mux *mux, *alone;
    struct format alone_format;
    struct frame_pool *sources, *outputs, *images;
    struct frame_pool *fetched; /* NULL: encoders take frames of outputs */
    struct frame *image;        /* the background's; NULL: it has none */
    struct queue *source, *output[LANES], *packets[LANES];

    pthread_mutex_t lock;
    pthread_cond_t changed;
    int running, failed; /* threads */
    struct error error;  /* of the first that failed */
    int64_t done, end;   /* frames that are encoded, and the last one's end in ticks */
    double busy[STAGES];
};

struct stage {
    struct run *run;
    enum pipeline_stage stage;
    int (*work)(struct run *run, double *busy, struct error *e);
    pthread_t thread;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void drop_frame(void *item)
{
    frame_release(item);
}

static void drop_packet(void *item)
{
    AVPacket *packet = item;
    av_packet_free(&packet);
}

static int out_of_memory(struct error *e)
{
    return error_retry(e, "out_of_memory", "There is no memory for the job.");
}

static int stopped(struct error *e)
{
    return error_set(e, "cancelled", "The job was stopped.");
}

/* ---- stages: each returns 0 when its input has ended, -1 and *e ---- */

static int decode(struct run *r, double *busy, struct error *e)
{
    for (;;) {
        struct frame *frame;
        double from = now();
        int got = input_read(r->input, r->sources, &frame, e);
        if (!got && r->audio && audio_finish(r->audio, e))
            return -1;
        *busy += now() - from;
        if (got < 0)
            return -1;
        if (!got) {
            queue_end(r->source);
            return 0;
        }
        if (queue_push(r->source, frame) != QUEUE_ITEM)
            return stopped(e);
    }
}

static int matte_frame(
    struct run *r, const struct frame *source, struct frame *output, struct error *e)
{
    struct model *model = r->params->models->model;
    const struct raster *input = model_input(model);
    struct model_output answer;
    if (sampler_run(r->sampler, source, input, e) || model_run(model, &answer, e))
        return -1;
    if (r->params->explain && explain_frame(r->params->explain, r->params->device,
                                  r->params->models->manifest, model, input, &answer.alpha, e))
        return -1;
    struct compositor_low low = { answer.alpha, answer.foreground, *input };
    if (r->solver && solver_run(r->solver, &low, e))
        return -1;
    return compositor_run(r->compositor, source, &low, output, e);
}

/* The output as the encoders take it, from its frame on the device, whose reference is given up; NULL and *e. */
static struct frame *fetch(struct run *r, struct frame *output, struct error *e)
{
    struct frame *host = frame_take(r->fetched, e);
    if (host && frame_fetch(host, output, e)) {
        frame_release(host);
        host = NULL;
    }
    frame_release(output);
    return host;
}

static int matte(struct run *r, double *busy, struct error *e)
{
    void *item;
    enum queue_state state;
    while ((state = queue_pop(r->source, &item)) == QUEUE_ITEM) {
        struct frame *source = item, *output = frame_take(r->outputs, e);
        double from = now();
        int result = output ? matte_frame(r, source, output, e) : -1;
        *busy += now() - from;
        frame_release(source);
        if (!result && r->fetched && !(output = fetch(r, output, e)))
            return -1;
        for (int i = 0; !result && i < LANES; i++)
            if (r->output[i] && queue_push(r->output[i], frame_ref(output)) != QUEUE_ITEM)
                result = stopped(e);
        frame_release(output);
        if (result)
            return -1;
    }
    if (state == QUEUE_ABORTED)
        return stopped(e);
    for (int i = 0; i < LANES; i++)
        if (r->output[i])
            queue_end(r->output[i]);
    return 0;
}

/* Here and not at the muxer, as some encoders make one packet of all frames. */
static void count_frame(struct run *r, int64_t end)
{
    pthread_mutex_lock(&r->lock);
    r->done++;
    r->end = end;
    pthread_mutex_unlock(&r->lock);
}

/* frame NULL: the last packets. */
static int encode_frame(
    struct run *r, enum lane lane, struct frame *frame, double *busy, struct error *e)
{
    double from = now();
    int64_t end = frame ? frame->pts + frame->duration : 0;
    if (encoder_send(r->encoder[lane], frame, e))
        return -1;
    if (frame && lane == COLOR)
        count_frame(r, end);
    for (;;) {
        AVPacket *packet = av_packet_alloc();
        if (!packet)
            return out_of_memory(e);
        int got = encoder_receive(r->encoder[lane], packet, e);
        if (got <= 0) {
            av_packet_free(&packet);
            *busy += now() - from;
            return got;
        }
        *busy += now() - from;
        if (queue_push(r->packets[lane], packet) != QUEUE_ITEM)
            return stopped(e);
        from = now();
    }
}

static int encode(struct run *r, enum lane lane, double *busy, struct error *e)
{
    void *item;
    enum queue_state state;
    while ((state = queue_pop(r->output[lane], &item)) == QUEUE_ITEM)
        if (encode_frame(r, lane, item, busy, e))
            return -1;
    if (state == QUEUE_ABORTED)
        return stopped(e);
    if (encode_frame(r, lane, NULL, busy, e))
        return -1;
    queue_end(r->packets[lane]);
    return 0;
}

static int encode_color(struct run *r, double *busy, struct error *e)
{
    return encode(r, COLOR, busy, e);
}

static int encode_alpha(struct run *r, double *busy, struct error *e)
{
    return encode(r, ALPHA, busy, e);
}

static int encode_alone(struct run *r, double *busy, struct error *e)
{
    return encode(r, ALONE, busy, e);
}

static int write_frame(struct run *r, AVPacket *color, const AVPacket *alpha, struct error *e)
{
    assert(color);
    if (alpha && r->format->join(color, alpha, e))
        return -1;
    return mux_write(r->mux, MUX_VIDEO, color, e);
}

/* Both tracks have a packet for each frame, in order. */
static int mux(struct run *r, double *busy, struct error *e)
{
    for (;;) {
        void *packet[FORMAT_TRACKS] = { NULL };
        int got = 0, result = 0;
        for (int i = 0; !result && i < r->tracks; i++) {
            enum queue_state state = queue_pop(r->packets[i], &packet[i]);
            result = state == QUEUE_ABORTED ? stopped(e) : 0;
            got += state == QUEUE_ITEM;
        }
        if (!result && got == r->tracks) {
            double from = now();
            result = write_frame(r, packet[COLOR], packet[ALPHA], e);
            *busy += now() - from;
        } else if (!result && got) {
            result = error_set(e, "encode_error", "The encoders made unequal numbers of packets.");
        }
        for (int i = 0; i < r->tracks; i++)
            if (packet[i])
                drop_packet(packet[i]);
        if (result || !got)
            return result;
    }
}

static int mux_alone(struct run *r, double *busy, struct error *e)
{
    void *item;
    enum queue_state state;
    while ((state = queue_pop(r->packets[ALONE], &item)) == QUEUE_ITEM) {
        double from = now();
        int result = mux_write(r->alone, MUX_VIDEO, item, e);
        *busy += now() - from;
        drop_packet(item);
        if (result)
            return -1;
    }
    return state == QUEUE_ABORTED ? stopped(e) : 0;
}

/* ---- threads ---- */

static void abort_all(struct run *r)
{
    frame_pool_abort(r->sources);
    frame_pool_abort(r->outputs);
    if (r->fetched)
        frame_pool_abort(r->fetched);
    queue_abort(r->source);
    for (int i = 0; i < LANES; i++)
        if (r->output[i]) {
            queue_abort(r->output[i]);
            queue_abort(r->packets[i]);
        }
}

static void fail(struct run *r, const struct error *e)
{
    pthread_mutex_lock(&r->lock);
    if (!r->failed) {
        r->failed = 1;
        r->error = *e;
    }
    pthread_mutex_unlock(&r->lock);
    abort_all(r);
}

static void *stage_main(void *data)
{
    struct stage *s = data;
    struct run *r = s->run;
    struct error e = { 0 };
    double busy = 0;
    if (s->work(r, &busy, &e))
        fail(r, &e);
    pthread_mutex_lock(&r->lock);
    r->busy[s->stage] = busy;
    r->running--;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* Waits for the threads, telling how far they are. */
static void supervise(struct run *r)
{
    int64_t told = 0;
    struct timespec next;
    pthread_mutex_lock(&r->lock);
    while (r->running) {
        clock_gettime(CLOCK_MONOTONIC, &next);
        next.tv_nsec += PROGRESS_MS * 1000000L;
        next.tv_sec += next.tv_nsec / 1000000000L;
        next.tv_nsec %= 1000000000L;
        while (r->running && !pthread_cond_timedwait(&r->changed, &r->lock, &next))
            continue;
        struct report report = { .kind = REPORT_PROGRESS, .frames_done = r->done };
        int tell = r->running && !r->failed && r->done > told;
        told = r->done;
        pthread_mutex_unlock(&r->lock);
        struct error e;
        if (tell && r->params->report(r->params->data, &report)) {
            stopped(&e);
            fail(r, &e);
        }
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
}

static int run_threads(struct run *r, struct error *e)
{
    struct stage stages[STAGES] = {
        [STAGE_DECODE] = { r, STAGE_DECODE, decode, 0 },
        [STAGE_MATTE] = { r, STAGE_MATTE, matte, 0 },
        [STAGE_COLOR] = { r, STAGE_COLOR, encode_color, 0 },
        [STAGE_ALPHA] = { r, STAGE_ALPHA, r->tracks > ALPHA ? encode_alpha : NULL, 0 },
        [STAGE_MUX] = { r, STAGE_MUX, mux, 0 },
        [STAGE_ALONE] = { r, STAGE_ALONE, r->alone ? encode_alone : NULL, 0 },
        [STAGE_ALONE_MUX] = { r, STAGE_ALONE_MUX, r->alone ? mux_alone : NULL, 0 },
    };
    int started[STAGES] = { 0 };
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < STAGES; i++) {
        if (!stages[i].work)
            continue;
        started[i] = !pthread_create(&stages[i].thread, NULL, stage_main, &stages[i]);
        r->running += started[i];
        if (!started[i] && !r->failed) {
            r->failed = 1;
            error_retry(&r->error, "out_of_memory", "A thread could not be started.");
        }
    }
    int failed = r->failed;
    pthread_mutex_unlock(&r->lock);
    if (failed)
        abort_all(r);
    supervise(r);
    for (int i = 0; i < STAGES; i++)
        if (started[i])
            pthread_join(stages[i].thread, NULL);
    if (r->failed)
        *e = r->error;
    return r->failed ? -1 : 0;
}

/* ---- setting up ---- */

static int is_transparent(const struct run *r)
{
    return r->params->job->background == BACKGROUND_TRANSPARENT;
}

static int warn(const struct run *r, const char *code, const char *text)
{
    struct report report = { .kind = REPORT_WARNING };
    error_set(&report.error, code, "%s", text);
    return r->params->report(r->params->data, &report);
}

static int open_audio(struct run *r, struct error *e)
{
    const struct job *job = r->params->job;
    struct error why;
    if (!r->format->audio_encoder && r->info.has_audio)
        return warn(r, "audio_dropped", "The output's format has no sound.") ? stopped(e) : 0;
    if (!r->info.audio)
        return 0;
    struct audio_params p = {
        .source = r->info.audio,
        .format = r->format,
        .timeline = r->info.timeline,
        .preview_ms = job->preview_ms,
        .max_ms = job->max_ms,
    };
    r->audio = audio_open(&p, &why);
    if (!r->audio)
        return warn(r, "audio_dropped", why.text) ? stopped(e) : 0;
    input_audio(r->input, audio_packet, r->audio);
    if (audio_transcodes(r->audio) &&
        warn(r, "audio_transcoded", "The audio was converted to a codec that the output takes."))
        return stopped(e);
    return 0;
}

static struct encoder *open_encoder(struct run *r, const struct track *track, struct error *e)
{
    int threads = r->params->threads / (r->tracks + r->params->job->alpha);
    struct encoder_params p = {
        .track = track,
        .lossless = r->params->job->lossless,
        .device = r->params->device,
        .width = r->layout.width,
        .height = r->layout.height,
        .matrix = r->info.matrix,
        .ticks = r->format->ticks,
        .rate = r->info.rate,
        .threads = threads < 1                ? 1
                   : threads > ENCODE_THREADS ? ENCODE_THREADS
                                              : threads,
    };
    return encoder_open(&p, e);
}

/* NVENC; where it is not to be had, the same by the processor, from the frames that were meant for it. */
static int open_on_card(struct run *r, struct error *e)
{
    struct error why;
    r->encoder[0] = open_encoder(r, nvenc_track(r->track), &why);
    if (r->encoder[0])
        return 0;
    if (warn(r, "encoder_unavailable", why.text))
        return stopped(e);
    r->software = *r->track;
    r->software.pixel_format = AV_PIX_FMT_NV12;
    r->on_card = 0;
    r->encoder[0] = open_encoder(r, &r->software, e);
    return r->encoder[0] ? 0 : -1;
}

static int open_encoders(struct run *r, struct error *e)
{
    if (r->on_card)
        return open_on_card(r, e);
    for (int i = 0; i < r->tracks; i++)
        if (!(r->encoder[i] = open_encoder(r, &r->track[i], e)))
            return -1;
    return r->params->job->alpha && !(r->encoder[ALONE] = open_encoder(r, &format_alpha.opaque, e))
               ? -1
               : 0;
}

static int open_mux(struct run *r, struct error *e)
{
    r->mux = mux_open(r->params->files.output, r->format, e);
    AVStream *stream = r->mux ? mux_stream(r->mux, MUX_VIDEO, r->format->ticks, e) : NULL;
    if (!stream || encoder_describe(r->encoder[COLOR], stream->codecpar, e))
        return -1;
    if (r->format->describe && r->format->describe(stream, is_transparent(r), e))
        return -1;
    if (r->audio && audio_attach(r->audio, r->mux, e))
        return -1;
    return mux_start(r->mux, e);
}

/* The file of alpha alone. */
static int open_alone(struct run *r, struct error *e)
{
    if (!r->params->job->alpha)
        return 0;
    r->alone_format = format_alpha;
    r->alone_format.ticks = r->format->ticks;
    r->alone = mux_open(r->params->files.alpha, &r->alone_format, e);
    AVStream *stream = r->alone ? mux_stream(r->alone, MUX_VIDEO, r->format->ticks, e) : NULL;
    return !stream || encoder_describe(r->encoder[ALONE], stream->codecpar, e)
               ? -1
               : mux_start(r->alone, e);
}

static int open_compute(struct run *r, struct error *e)
{
    const struct pipeline_params *p = r->params;
    const struct job *job = p->job;
    const struct manifest *m = r->choice.manifest;
    if (models_use(p->models, &r->choice, &job->prompt, e))
        return -1;
    struct sampler_params sampler = {
        .width = r->info.width, .height = r->info.height, .matrix = r->info.matrix
    };
    struct compositor_params compositor = {
        .width = r->info.width,
        .height = r->info.height,
        .canvas_width = r->layout.width,
        .canvas_height = r->layout.height,
        .place = r->layout.place,
        .matrix = r->info.matrix,
        .opaque = !is_transparent(r),
        .guided = !!(job->refine & m->refine & REFINE_GUIDE),
        .background = r->image,
    };
    sampler.to_width = model_input(p->models->model)->width;
    sampler.to_height = model_input(p->models->model)->height;
    compositor.low_width = sampler.to_width;
    compositor.low_height = sampler.to_height;
    memcpy(sampler.mean, m->mean, sizeof sampler.mean);
    memcpy(sampler.std, m->std, sizeof sampler.std);
    memcpy(compositor.mean, m->mean, sizeof compositor.mean);
    memcpy(compositor.std, m->std, sizeof compositor.std);
    memcpy(compositor.color, job->color, sizeof compositor.color);
    struct solver_params solver = { .width = sampler.to_width,
        .height = sampler.to_height,
        .refine = job->refine & m->refine & ~(unsigned)REFINE_GUIDE };
    memcpy(solver.mean, m->mean, sizeof solver.mean);
    memcpy(solver.std, m->std, sizeof solver.std);
    r->sampler = sampler_open(p->device, &sampler, e);
    if (!r->sampler || (solver.refine && !(r->solver = solver_open(p->device, &solver, e))))
        return -1;
    r->compositor = compositor_open(p->device, &compositor, e);
    return r->compositor ? 0 : -1;
}

/* The image that is behind every frame. */
static int open_image(struct run *r, struct error *e)
{
    const struct job *job = r->params->job;
    struct frame_pool_params p = {
        .width = r->layout.width,
        .height = r->layout.height,
        .count = 1,
        .place = FRAME_HOST,
    };
    if (job->background != BACKGROUND_IMAGE)
        return 0;
    r->images = frame_pool_open(r->params->device, &p, e);
    r->image = r->images ? frame_take(r->images, e) : NULL;
    struct image_params image = {
        .fd = r->params->files.image,
        .max_bytes = job->max_image_bytes,
        .max_pixels = job->max_pixels,
        .matrix = r->info.matrix,
    };
    return r->image ? image_cover(&image, r->image, e) : -1;
}

static int open_pools(struct run *r, struct error *e)
{
    struct device *device = r->params->device;
    int apart = device_is_apart(device);
    struct frame_pool_params source = {
        .width = r->info.width,
        .height = r->info.height,
        .count = SOURCE_FRAMES,
        .layout = apart ? FRAME_NV12 : FRAME_PLANAR, /* as NVDEC has it */
    };
    struct frame_pool_params output = {
        .width = r->layout.width,
        .height = r->layout.height,
        .alpha = is_transparent(r) || r->params->job->alpha,
        .count = r->on_card ? OUTPUT_FRAMES + NVENC_FRAMES : OUTPUT_FRAMES,
        .layout = r->on_card || r->software.encoder ? FRAME_NV12 : FRAME_PLANAR,
        .place = FRAME_HOST,
    };
    if (apart && !r->on_card) {
        r->fetched = frame_pool_open(device, &output, e);
        output.count = COMPOSED_FRAMES;
    }
    output.place = FRAME_DEVICE;
    r->sources = frame_pool_open(device, &source, e);
    r->outputs = frame_pool_open(device, &output, e);
    return r->sources && r->outputs && (r->fetched || !apart || r->on_card) ? 0 : -1;
}

static int open_queues(struct run *r, struct error *e)
{
    int missing = !(r->source = queue_open(SOURCE_QUEUE, drop_frame));
    for (int i = 0; i < LANES; i++) {
        if (!r->encoder[i])
            continue;
        missing |= !(r->output[i] = queue_open(OUTPUT_QUEUE, drop_frame));
        missing |= !(r->packets[i] = queue_open(PACKET_QUEUE, drop_packet));
    }
    return missing ? out_of_memory(e) : 0;
}

static int open_layout(struct run *r, struct error *e)
{
    const struct job *job = r->params->job;
    int side = r->format->max_side;
    if (composition_layout(&job->composition, r->info.width, r->info.height, r->format->even,
            job->max_pixels, &r->layout, e))
        return -1;
    if (r->layout.width <= side && r->layout.height <= side)
        return 0;
    return error_set(e, "too_large", "A %s file of %dx%d pixels is above its limit of %d a side.",
        r->format->name, r->layout.width, r->layout.height, side);
}

static int open_input(struct run *r, struct error *e)
{
    const struct pipeline_params *p = r->params;
    struct input_params in = {
        .fd = p->files.input,
        .ticks = r->format->ticks,
        .apart = r->format->apart,
        .sound = r->format->audio_encoder != NULL,
        .max_pixels = p->job->max_pixels,
        .max_ms = p->job->max_ms,
        .preview_ms = p->job->preview_ms,
        .threads = p->threads < DECODE_THREADS ? p->threads : DECODE_THREADS,
        .device = p->device,
    };
    r->input = input_open(&in, &r->info, e);
    if (!r->input || open_layout(r, e))
        return -1;
    return models_choose(p->models, p->job->model, r->info.width, r->info.height,
        av_q2d(r->info.rate), &r->choice, e);
}

static int64_t need_of(const struct run *r)
{
    const struct model *model = r->params->models->model;
    struct need_params p = {
        .width = r->info.width,
        .height = r->info.height,
        .canvas_width = r->layout.width,
        .canvas_height = r->layout.height,
        .transparent = is_transparent(r) || r->params->job->alpha,
        .on_card = r->on_card,
        .network = model ? model_card_bytes(model) : 0,
    };
    return device_is_apart(r->params->device) ? need_bytes(&p) : 0;
}

/* Where there is a card. Its network is there by now, which is the job's own. */
static int tell_need(const struct run *r, struct error *e)
{
    struct report known = { .kind = REPORT_PROGRESS, .need = need_of(r) };
    return known.need && r->params->report(r->params->data, &known) ? stopped(e) : 0;
}

static int tell_probed(const struct run *r, struct error *e)
{
    struct report probed = {
        .kind = REPORT_PROBED,
        .frames_total = r->info.frames,
        .duration_ms = r->info.duration_ms,
        .width = r->layout.width,
        .height = r->layout.height,
    };
    snprintf(probed.network, sizeof probed.network, "%.63s",
        r->choice.file ? r->choice.file->file : r->choice.manifest->name);
    if (r->params->report(r->params->data, &probed))
        return stopped(e);
    return r->choice.is_substitute &&
                   warn(r, "model_substituted",
                       "The model's own network is not installed: another did it.")
               ? stopped(e)
               : 0;
}

/* What the device is asked for, all of it before the first frame. */
static int open_work(struct run *r, struct error *e)
{
    return open_image(r, e) || open_compute(r, e) ? -1 : 0;
}

static void close_work(struct run *r)
{
    sampler_close(r->sampler);
    compositor_close(r->compositor);
    solver_close(r->solver);
    frame_release(r->image);
    frame_pool_close(r->images);
    r->sampler = NULL;
    r->compositor = NULL;
    r->solver = NULL;
    r->image = NULL;
    r->images = NULL;
}

static int is_for_another(const struct error *why)
{
    return strcmp(why->code, "device_unsuited") == 0 || strcmp(why->code, "out_of_memory") == 0;
}

/* The same on the processor, where the device may become it; it has refused with *e. */
static int open_again(struct run *r, struct error *e)
{
    const struct pipeline_params *p = r->params;
    struct error why = *e;
    if (!is_for_another(&why))
        return -1;
    close_work(r);
    input_close(r->input);
    r->input = NULL;
    models_close(p->models);
    if (device_fall_back(p->device, &why))
        return -1;
    r->on_card = 0;
    if (warn(r, "processor_used", why.text))
        return stopped(e);
    return open_input(r, e) || open_work(r, e) ? -1 : 0;
}

static int warn_of_outcome(const struct run *r, struct error *e)
{
    struct input_outcome outcome;
    input_outcome(r->input, &outcome);
    if (outcome.truncated &&
        warn(r, "truncated", "The input ends before the length that it declares."))
        return stopped(e);
    if (outcome.damaged &&
        warn(r, "decode_errors", "Parts of the input were damaged and could not be decoded."))
        return stopped(e);
    if (!model_found(r->params->models->model) &&
        warn(r, "nothing_found", "Nothing that is to be kept was seen in the video."))
        return stopped(e);
    return 0;
}

static int run(struct run *r, struct pipeline_result *result, struct error *e)
{
    r->format = format_find(r->params->job->format, e);
    if (!r->format)
        return -1;
    r->tracks = format_tracks(r->format, is_transparent(r), &r->track, e);
    if (!r->tracks)
        return -1;
    /* alpha alone is made by the processor: then every frame goes there */
    r->on_card = device_is_apart(r->params->device) && r->tracks == 1 && nvenc_track(r->track) &&
                 !r->params->job->alpha;
    if (open_input(r, e) || tell_probed(r, e) || (open_work(r, e) && open_again(r, e)) ||
        tell_need(r, e) || open_audio(r, e) || open_encoders(r, e) || open_pools(r, e) ||
        open_queues(r, e) || open_mux(r, e) || open_alone(r, e) || run_threads(r, e) ||
        mux_finish(r->mux, &result->bytes, e) ||
        (r->alone && mux_finish(r->alone, &result->alpha_bytes, e)) || warn_of_outcome(r, e))
        return -1;
    result->frames = r->done;
    if (!r->alone)
        result->alpha_bytes = 0;
    result->duration_ms = av_rescale_q(r->end, r->format->ticks, (AVRational) { 1, 1000 });
    result->width = r->layout.width;
    result->height = r->layout.height;
    result->need = need_of(r);
    memcpy(result->busy, r->busy, sizeof result->busy);
    return 0;
}

int pipeline_run(const struct pipeline_params *params, struct pipeline_result *r, struct error *e)
{
    struct run state = { .params = params };
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&state.lock, NULL);
    pthread_cond_init(&state.changed, &clock);
    pthread_condattr_destroy(&clock);

    int result = run(&state, r, e);

    /* whoever holds frames goes before the pools */
    queue_close(state.source);
    for (int i = 0; i < LANES; i++) {
        queue_close(state.output[i]);
        queue_close(state.packets[i]);
        encoder_close(state.encoder[i]);
    }
    mux_close(state.mux);
    mux_close(state.alone);
    audio_close(state.audio);
    input_close(state.input);
    close_work(&state);
    frame_pool_close(state.sources);
    frame_pool_close(state.outputs);
    frame_pool_close(state.fetched);
    pthread_cond_destroy(&state.changed);
    pthread_mutex_destroy(&state.lock);
    return result;
}
