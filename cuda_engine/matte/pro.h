/*
 * The model `pro`: what a prompt names. A detector sees things in some of the frames, which are followed through all of
 * them; those that the prompt keeps are cut out by a segmenter, which looks again when the picture has changed enough, and
 * in between their masks move along with the picture. One clip, one thread, frames in order.
 */
#ifndef MATTE_PRO_H
#define MATTE_PRO_H

#include "model.h"

struct pro;

/* m: of KIND_PROMPTED. */
struct pro *pro_open(const struct manifest *m, const struct model_params *params, struct error *e);

/* As the functions of model.h. */
int pro_suits(const struct pro *p, const struct manifest *m, const struct model_params *params);
void pro_ask(struct pro *p, const struct prompt *prompt);
float *pro_input(struct pro *p, int *width, int *height);
int pro_run(struct pro *p, struct model_output *out, struct error *e);
int pro_things(const struct pro *p, struct model_thing things[MODEL_THINGS]);
int pro_costs(const struct pro *p, struct model_cost costs[MODEL_COSTS]);
void pro_reset(struct pro *p);
void pro_close(struct pro *p);

#endif
