#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "../nn/nn.h"

struct model {
    const struct manifest *manifest;
    int file;
    struct nn_net *net;
    struct nn_tensor input, alpha, foreground; /* foreground.data is NULL where there is none */
};

/* The installed file whose aspect ratio is nearest to the clip's, by their quotient; -1: none is installed. */
static int nearest_file(const struct manifest *m, const struct model_params *params)
{
    double least = INFINITY;
    int best = -1;
    for (int i = 0; i < m->file_count; i++) {
        double off = fabs(
            log((double)m->files[i].width / m->files[i].height * params->height / params->width));
        if (m->files[i].fd >= 0 && off < least) {
            least = off;
            best = i;
        }
    }
    return best;
}

/* Checks that the file is the manifest's: another network under its name would give a wrong matte without a word. */
static int verify(const struct manifest_file *f, struct error *e)
{
    unsigned char block[1 << 16], digest[EVP_MAX_MD_SIZE];
    char hex[65] = "";
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    int ok = sha && EVP_DigestInit_ex(sha, EVP_sha256(), NULL);
    ssize_t n = 0;
    for (off_t at = 0; ok && (n = pread(f->fd, block, sizeof block, at)) > 0; at += n)
        ok = EVP_DigestUpdate(sha, block, n);
    ok = ok && !n && EVP_DigestFinal_ex(sha, digest, NULL);
    EVP_MD_CTX_free(sha);
    if (!ok)
        return error_set(e, "bad_model", "%s cannot be read.", f->file);
    for (int i = 0; i < 32; i++)
        snprintf(&hex[2 * i], 3, "%02x", digest[i]);
    if (strcmp(hex, f->sha256))
        return error_set(e, "bad_model",
            "%s is not the file that its manifest names: its SHA-256 is %s.", f->file, hex);
    return 0;
}

/* Finds a tensor and checks its size. */
static int find(struct model *model, const char *label, const char *name, int c, int h, int w,
    struct nn_tensor *t, struct error *e)
{
    if (nn_tensor(model->net, name, t, e))
        return -1;
    if (t->n != 1 || t->c != c || t->h != h || t->w != w)
        return error_set(e, "bad_model", "%s: %s is of %d x %d x %d x %d, not of 1 x %d x %d x %d.",
            label, name, t->n, t->c, t->h, t->w, c, h, w);
    return 0;
}

static int find_tensors(struct model *model, const struct manifest *m, int file, struct error *e)
{
    const char *label = m->files[file].file;
    const int w = m->files[file].width, h = m->files[file].height;
    if (find(model, label, m->input, 3, h, w, &model->input, e) ||
        find(model, label, m->alpha, 1, h, w, &model->alpha, e) ||
        (*m->foreground && find(model, label, m->foreground, 3, h, w, &model->foreground, e)))
        return -1;
    return 0;
}

struct model *model_open(
    const struct manifest *m, const struct model_params *params, struct error *e)
{
    int file = nearest_file(m, params);
    if (file < 0) {
        error_set(
            e, "model_not_installed", "None of the files of the network %s is installed.", m->name);
        return NULL;
    }
    if (verify(&m->files[file], e))
        return NULL;
    struct model *model = calloc(1, sizeof *model);
    if (!model) {
        error_retry(e, "out_of_memory", "There is no memory for the network %s.", m->name);
        return NULL;
    }
    model->manifest = m;
    model->file = file;
    const char *states[MANIFEST_STATES][2];
    for (int i = 0; i < m->state_count; i++)
        for (int k = 0; k < 2; k++)
            states[i][k] = m->states[i][k];
    const struct nn_params net = { .threads = params->threads,
        .states = (const char *const(*)[2])states,
        .state_count = m->state_count };
    model->net = nn_open(m->files[file].fd, m->files[file].file, &net, e);
    if (!model->net || find_tensors(model, m, file, e)) {
        model_close(model);
        return NULL;
    }
    return model;
}

int model_suits(
    const struct model *model, const struct manifest *m, const struct model_params *params)
{
    return model->manifest == m && model->file == nearest_file(m, params);
}

float *model_input(struct model *model, int *width, int *height)
{
    *width = model->input.w;
    *height = model->input.h;
    return model->input.data;
}

int model_run(struct model *model, struct model_output *out, struct error *e)
{
    if (nn_run(model->net, e))
        return -1;
    *out = (struct model_output) { model->alpha.data, model->foreground.data };
    return 0;
}

void model_reset(struct model *model)
{
    nn_reset(model->net);
}

void model_close(struct model *model)
{
    if (!model)
        return;
    nn_close(model->net);
    free(model);
}
