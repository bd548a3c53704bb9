/* What is behind model.h: a kind of model, as manifests tell them apart. For matte/ only. */
#ifndef MATTE_KIND_H
#define MATTE_KIND_H

#include "model.h"

/* As the functions of model.h. A model is its kind's own struct that begins with struct model, which model_open() fills. */
struct model_kind {
    struct model *(*open)(
        const struct manifest *m, const struct model_params *params, struct error *e);
    int (*suits)(
        const struct model *model, const struct manifest *m, const struct model_params *params);
    void (*ask)(struct model *model, const struct prompt *prompt); /* NULL: it takes no prompt */
    const struct raster *(*input)(const struct model *model);
    int (*run)(struct model *model, struct model_output *out, struct error *e);
    int (*things)(
        const struct model *model, struct model_thing things[MODEL_THINGS], int *key); /* or NULL */
    int (*costs)(const struct model *model, struct model_cost costs[MODEL_COSTS]);     /* or NULL */
    int (*found)(const struct model *model);          /* NULL: it is 1 */
    int64_t (*card_bytes)(const struct model *model); /* NULL: none */
    void (*reset)(struct model *model);
    void (*close)(struct model *model);
};

struct model {
    const struct model_kind *kind;
};

/* 1: an error about a card that cannot run a network, which the processor may. */
int kind_refused(const struct error *e);

extern const struct model_kind model_network;   /* model.c: one network, alpha of a picture */
extern const struct model_kind model_prompted;  /* pro.c: what a prompt names */
extern const struct model_kind model_described; /* described.c: what any words describe */

#endif
