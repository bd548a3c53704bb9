#include "kind.h"

#include <string.h>

static const struct model_kind *const kinds[] = {
    [KIND_MATTE] = &model_network,
    [KIND_PROMPTED] = &model_prompted,
    [KIND_DESCRIBED] = &model_described,
};

int kind_refused(const struct error *e)
{
    return !strcmp(e->code, "unsupported_model") || !strcmp(e->code, "no_cudnn") ||
           !strcmp(e->code, "cudnn_error");
}

struct model *model_open(
    const struct manifest *m, const struct model_params *params, struct error *e)
{
    struct model *model = kinds[m->kind]->open(m, params, e);
    if (model)
        model->kind = kinds[m->kind];
    return model;
}

int model_suits(
    const struct model *model, const struct manifest *m, const struct model_params *params)
{
    return model->kind == kinds[m->kind] && model->kind->suits(model, m, params);
}

void model_ask(struct model *model, const struct prompt *prompt)
{
    if (model->kind->ask)
        model->kind->ask(model, prompt);
}

const struct raster *model_input(const struct model *model)
{
    return model->kind->input(model);
}

int model_run(struct model *model, struct model_output *out, struct error *e)
{
    return model->kind->run(model, out, e);
}

int model_things(const struct model *model, struct model_thing things[MODEL_THINGS], int *key)
{
    *key = 0;
    return model->kind->things ? model->kind->things(model, things, key) : 0;
}

int model_found(const struct model *model)
{
    return model->kind->found ? model->kind->found(model) : 1;
}

int model_costs(const struct model *model, struct model_cost costs[MODEL_COSTS])
{
    return model->kind->costs ? model->kind->costs(model, costs) : 0;
}

int64_t model_card_bytes(const struct model *model)
{
    return model->kind->card_bytes ? model->kind->card_bytes(model) : 0;
}

void model_reset(struct model *model)
{
    model->kind->reset(model);
}

void model_close(struct model *model)
{
    if (model)
        model->kind->close(model);
}
