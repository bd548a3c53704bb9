/*
 * Makes a network's answer better at the network's size, on the processor, where the answer is: alpha steadied over time
 * and decided by the colours around it, and the foreground's colours found. What it does is enum refinement's; for one
 * clip, one thread, frame after frame in order; it allocates nothing while running.
 */
#ifndef MATTE_SOLVER_H
#define MATTE_SOLVER_H

#include "device.h"

struct solver;

struct solver_params {
    int width, height;     /* of the network's answer */
    float mean[3], std[3]; /* as given to the sampler */
    unsigned refine;       /* of enum refinement; REFINE_GUIDE is the compositor's */
};

struct solver *solver_open(const struct solver_params *params, struct error *e);

/* Puts the solver's own planes, good until its next run, in the place of low's. */
void solver_run(struct solver *solver, struct compositor_low *low);

/* solver may be NULL. */
void solver_close(struct solver *solver);

#endif
