#include "models.h"

#include <stdlib.h>

static const struct manifest *find(const struct models *models, const char *name)
{
    for (int i = 0; i < models->manifest_count; i++)
        if (manifest_serves(models->manifests[i], name))
            return models->manifests[i];
    return NULL;
}

int models_use(struct models *models, const char *name, int width, int height, struct error *e)
{
    const struct manifest *manifest = find(models, name);
    if (!manifest)
        return error_set(
            e, "model_not_installed", "The model %s is not installed on this engine.", name);
    struct model_params params = {
        .width = width, .height = height, .threads = models->threads, .device = models->device
    };
    if (models->model && model_suits(models->model, manifest, &params)) {
        model_reset(models->model);
        return 0;
    }
    models_close(models);
    models->model = model_open(manifest, &params, e);
    models->manifest = manifest;
    return models->model ? 0 : -1;
}

void models_close(struct models *models)
{
    if (models->model)
        model_close(models->model);
    models->model = NULL;
}
