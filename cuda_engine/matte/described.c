/*
 * The model `pro` with words of any kind: a network that is given a picture and a phrase, and answers where it is. What a
 * phrase becomes for the network, tokens or their encoder's answer, is made once and kept. The networks run on the
 * processor.
 */
#include "kind.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../log.h"
#include "../nn/nn.h"
#include "tokenizer.h"

/* Alpha rises from 0 to 1 between these logits, -SOFT and SOFT. */
#define SOFT 1.f

/* What is kept where nothing is asked for. */
#define SUBJECT "the main subject"

enum { GIVEN = 2 };

struct described {
    struct model base;
    const struct manifest *manifest;
    const struct manifest_file *file;
    struct model_params params;
    struct tokenizer *tokenizer;
    struct nn_net *encoder, *network; /* encoder: NULL where the network takes tokens */
    struct nn_tensor tokens, attention, embedding; /* attention.data: NULL where there is none */
    struct nn_tensor picture, logits;
    /* what tells the network a phrase, up to one without data: the condition, or tokens and attention */
    struct nn_tensor given[GIVEN];
    struct prompt prompt;
    float *phrases;           /* what is given, of each phrase */
    struct raster seen, made; /* the picture and its alpha where the device computes */
    float *alpha, *excluded;
    struct error failure; /* of the encoder, when it was asked */
    int failed;
};

static int is_apart(const struct described *d)
{
    return device_is_apart(d->params.device);
}

static size_t values(const struct nn_tensor *t)
{
    return (size_t)t->n * (size_t)t->c * (size_t)t->h * (size_t)t->w;
}

/* Of all that is given for a phrase. */
static size_t given_values(const struct described *d)
{
    return values(&d->given[0]) + (d->given[1].data ? values(&d->given[1]) : 0);
}

/* ---- opening ---- */

static int find(struct nn_net *net, const char *label, const char *name, size_t count,
    struct nn_tensor *t, struct error *e)
{
    if (nn_tensor(net, name, t, e))
        return -1;
    if (values(t) != count)
        return error_set(
            e, "bad_model", "%s: %s has %zu values, not %zu.", label, name, values(t), count);
    return 0;
}

static int find_tokens(struct described *d, struct nn_net *net, const char *label, struct error *e)
{
    const struct manifest_text *text = &d->manifest->text;
    const size_t count = (size_t)text->length;
    return find(net, label, text->tokens, count, &d->tokens, e) ||
           (*text->attention && find(net, label, text->attention, count, &d->attention, e));
}

static int open_encoder(struct described *d, struct error *e)
{
    const struct manifest_text *text = &d->manifest->text;
    const struct nn_fixed fixed[] = {
        { .name = text->tokens, .rank = 2, .dims = { 1, text->length } },
        { .name = text->attention, .rank = 2, .dims = { 1, text->length } },
    };
    const struct nn_params net = {
        .threads = d->params.threads, .fixed = fixed, .fixed_count = *text->attention ? 2 : 1
    };
    const struct manifest_file *f = &text->encoder;
    if (f->fd < 0)
        return error_set(e, "model_not_installed", "%s is not installed.", f->file);
    if (manifest_verify(f, e) || !(d->encoder = nn_open(f->fd, f->file, &net, e)))
        return -1;
    return find_tokens(d, d->encoder, f->file, e) ||
           nn_tensor(d->encoder, text->embedding, &d->embedding, e);
}

static int open_network(struct described *d, struct error *e)
{
    const struct manifest *m = d->manifest;
    const struct manifest_file *f = d->file;
    const size_t pixels = (size_t)f->width * (size_t)f->height;
    struct nn_fixed fixed[] = {
        { .name = m->input, .rank = 4, .dims = { 1, 3, f->height, f->width } },
        { .name = m->text.tokens, .rank = 2, .dims = { 1, m->text.length } },
        { .name = m->text.attention, .rank = 2, .dims = { 1, m->text.length } },
    };
    struct nn_params net = { .threads = d->params.threads, .fixed = fixed, .fixed_count = 2 };
    if (d->encoder) {
        fixed[1] = (struct nn_fixed) { .name = m->text.condition, .rank = d->embedding.rank };
        memcpy(fixed[1].dims, d->embedding.dims, sizeof fixed[1].dims);
    } else if (*m->text.attention) {
        net.fixed_count = 3;
    }
    if (manifest_verify(f, e) || !(d->network = nn_open(f->fd, f->file, &net, e)))
        return -1;
    if (find(d->network, f->file, m->input, 3 * pixels, &d->picture, e) ||
        find(d->network, f->file, m->outputs.masks, pixels, &d->logits, e))
        return -1;
    if (d->encoder)
        return find(d->network, f->file, m->text.condition, values(&d->embedding), &d->given[0], e);
    if (find_tokens(d, d->network, f->file, e))
        return -1;
    d->given[0] = d->tokens;
    d->given[1] = d->attention;
    return 0;
}

static int make_room(struct described *d, struct error *e)
{
    const size_t pixels = (size_t)d->file->width * (size_t)d->file->height;
    d->alpha = calloc(pixels, sizeof *d->alpha);
    d->excluded = calloc(pixels, sizeof *d->excluded);
    d->phrases = calloc((PROMPT_PHRASES + 1) * given_values(d), sizeof *d->phrases);
    if (!d->alpha || !d->excluded || !d->phrases)
        return error_retry(
            e, "out_of_memory", "There is no memory for the model %s.", d->manifest->name);
    return 0;
}

/* Rasters of a card, or of what is in host memory. */
static int open_rasters(struct described *d, struct error *e)
{
    const int w = d->file->width, h = d->file->height;
    if (is_apart(d))
        return raster_open(d->params.device, &d->seen, w, h, 3, e) ||
               raster_open(d->params.device, &d->made, w, h, 1, e);
    d->seen = (struct raster) { d->picture.data, w, h, 3, 0 };
    d->made = (struct raster) { d->alpha, w, h, 1, 0 };
    return 0;
}

static void described_close(struct model *model)
{
    struct described *d = (struct described *)model;
    if (is_apart(d)) {
        raster_close(d->params.device, &d->seen);
        raster_close(d->params.device, &d->made);
    }
    tokenizer_close(d->tokenizer);
    nn_close(d->encoder);
    nn_close(d->network);
    free(d->phrases);
    free(d->alpha);
    free(d->excluded);
    free(d);
}

static void described_ask(struct model *model, const struct prompt *prompt);

static struct model *described_open(
    const struct manifest *m, const struct model_params *params, struct error *e)
{
    const struct manifest_file *file = model_file(m, params);
    if (!file) {
        error_set(
            e, "model_not_installed", "None of the files of the network %s is installed.", m->name);
        return NULL;
    }
    struct described *d = calloc(1, sizeof *d);
    if (!d) {
        error_retry(e, "out_of_memory", "There is no memory for the model %s.", m->name);
        return NULL;
    }
    d->manifest = m;
    d->file = file;
    d->params = *params;
    if (!(d->tokenizer = tokenizer_open(&m->text.vocabulary, &m->text.merges, e)) ||
        (*m->text.encoder.file && open_encoder(d, e)) || open_network(d, e) || make_room(d, e) ||
        open_rasters(d, e)) {
        described_close(&d->base);
        return NULL;
    }
    if (is_apart(d))
        log_event(LOG_INFO, "networks_on_processor", log_str("model", m->name));
    described_ask(&d->base, NULL);
    return &d->base;
}

static int described_suits(
    const struct model *model, const struct manifest *m, const struct model_params *params)
{
    const struct described *d = (const struct described *)model;
    return d->manifest == m && d->file == model_file(m, params) &&
           d->params.device == params->device;
}

static const struct raster *described_input(const struct model *model)
{
    return &((const struct described *)model)->seen;
}

/* ---- words ---- */

/* Makes of a phrase what the network is given for it. */
static int read_phrase(struct described *d, const char *words, float *given, struct error *e)
{
    int tokens[MANIFEST_TOKENS];
    const int length = d->manifest->text.length;
    const int count = tokenizer_encode(d->tokenizer, words, tokens, length);
    for (int i = 0; i < length; i++) {
        d->tokens.data[i] = (float)tokens[i];
        if (d->attention.data)
            d->attention.data[i] = i < count;
    }
    if (d->encoder && nn_run(d->encoder, e))
        return -1;
    const struct nn_tensor *const from[GIVEN] = { d->encoder ? &d->embedding : &d->tokens,
        !d->encoder && d->attention.data ? &d->attention : NULL };
    for (int i = 0; i < GIVEN && from[i]; given += values(from[i++]))
        memcpy(given, from[i]->data, values(from[i]) * sizeof *given);
    return 0;
}

static int is_everything(const struct described *d, const struct prompt_phrase *phrase)
{
    return !strcasecmp(prompt_words(&d->prompt, phrase), "everything");
}

static void described_ask(struct model *model, const struct prompt *prompt)
{
    struct described *d = (struct described *)model;
    struct error ignored;
    if (prompt && prompt->count)
        d->prompt = *prompt;
    else
        prompt_parse(&d->prompt, SUBJECT, strlen(SUBJECT), &ignored);
    d->failed = 0;
    for (int i = 0; i < d->prompt.count && !d->failed; i++)
        d->failed = read_phrase(d, prompt_words(&d->prompt, &d->prompt.phrases[i]),
            d->phrases + (size_t)i * given_values(d), &d->failure);
}

/* ---- frames ---- */

/* Unites where a phrase is with where others are. */
static int find_phrase(struct described *d, int i, float *where, struct error *e)
{
    const size_t pixels = values(&d->logits);
    const float *given = d->phrases + (size_t)i * given_values(d);
    if (is_everything(d, &d->prompt.phrases[i])) {
        for (size_t p = 0; p < pixels; p++)
            where[p] = 1;
        return 0;
    }
    for (int g = 0; g < GIVEN && d->given[g].data; given += values(&d->given[g++]))
        memcpy(d->given[g].data, given, values(&d->given[g]) * sizeof *given);
    if (nn_run(d->network, e))
        return -1;
    for (size_t p = 0; p < pixels; p++) {
        const float alpha = (d->logits.data[p] + SOFT) / (2 * SOFT);
        where[p] = fmaxf(where[p], fminf(alpha, 1));
    }
    return 0;
}

static int described_run(struct model *model, struct model_output *out, struct error *e)
{
    struct described *d = (struct described *)model;
    const size_t pixels = values(&d->logits);
    if (d->failed) {
        *e = d->failure;
        return -1;
    }
    if (is_apart(d) && raster_read(d->params.device, &d->seen, d->picture.data, e))
        return -1;
    memset(d->alpha, 0, pixels * sizeof *d->alpha);
    memset(d->excluded, 0, pixels * sizeof *d->excluded);
    for (int i = 0; i < d->prompt.count; i++)
        if (find_phrase(d, i, d->prompt.phrases[i].exclude ? d->excluded : d->alpha, e))
            return -1;
    for (size_t p = 0; p < pixels; p++)
        d->alpha[p] *= 1 - d->excluded[p];
    if (!is_apart(d))
        raster_round(d->params.device, &d->made);
    else if (raster_write(d->params.device, &d->made, d->alpha, e))
        return -1;
    *out = (struct model_output) { .alpha = d->made };
    return 0;
}

/* A frame says nothing of the next one. */
static void described_reset(struct model *model)
{
    (void)model;
}

const struct model_kind model_described = {
    .open = described_open,
    .suits = described_suits,
    .ask = described_ask,
    .input = described_input,
    .run = described_run,
    .reset = described_reset,
    .close = described_close,
};
