#include "models.h"

#include <stdlib.h>
#include <string.h>

/* How a network stands to a model, better ones last. */
enum rank { NONE, SUBSTITUTE, ITS_OWN, INSTALLED };

static enum rank rank(const struct manifest *m, const char *name)
{
    if (!name || strcmp(m->serves[0], name) == 0)
        return ITS_OWN;
    return manifest_serves(m, name) ? SUBSTITUTE : NONE;
}

int models_choose(const struct models *models, const char *name, int width, int height, double rate,
    struct choice *choice, struct error *e)
{
    int best = NONE;
    const int on_card = models->device && device_is_apart(models->device);
    const int64_t budget = on_card ? 0 : models->budget;
    *choice = (struct choice) { .params = { .width = width,
                                    .height = height,
                                    .threads = models->threads,
                                    .device = models->device,
                                    .max_pixels = (int64_t)((double)budget / rate) } };
    for (int i = 0; i < models->manifest_count; i++) {
        const struct manifest *m = models->manifests[i];
        const struct manifest_file *file = model_file(m, &choice->params);
        const enum rank own = rank(m, name);
        const int how_good = own == NONE ? NONE : own + (file ? INSTALLED : NONE);
        if (how_good <= best)
            continue;
        best = how_good;
        choice->manifest = m;
        choice->file = file;
        choice->is_substitute = own == SUBSTITUTE;
    }
    if (choice->manifest)
        return 0;
    return name ? error_set(e, "model_not_installed",
                      "The model %s is not installed on this engine.", name)
                : error_set(e, "model_not_installed", "No model is installed on this engine.");
}

int models_understand(
    const struct models *models, const char *name, const struct prompt *prompt, struct error *e)
{
    struct choice choice;
    models_choose(models, name, 1, 1, 1, &choice, NULL); /* no manifest where none is installed */
    if (!prompt->count || (choice.manifest && choice.manifest->kind == KIND_DESCRIBED))
        return 0;
    return prompt_understood(prompt, e) ? -1 : prompt_warning(prompt, e);
}

int models_use(struct models *models, const struct choice *choice, const struct prompt *prompt,
    struct error *e)
{
    const struct manifest *m = choice->manifest;
    if (prompt && prompt->count && m->kind == KIND_MATTE)
        return error_set(e, "invalid_request", "The model %s takes no prompt.", m->serves[0]);
    if (models->model && model_suits(models->model, m, &choice->params)) {
        model_reset(models->model);
    } else {
        models_close(models);
        models->model = model_open(m, &choice->params, e);
        models->manifest = m;
    }
    if (!models->model)
        return -1;
    model_ask(models->model, prompt);
    return 0;
}

void models_close(struct models *models)
{
    if (models->model)
        model_close(models->model);
    models->model = NULL;
}
