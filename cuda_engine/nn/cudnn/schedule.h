/*
 * A graph as what is queued on a card for each frame: convolutions by cuDNN, all else by the kernels of device/cuda. Tensors
 * are halves, pictures in N,H,W,C order; weights, activations and the workspace that all steps share lie in one block of
 * device memory, so that every address is known before the first run and a run is nothing but launches.
 */
#ifndef MATTE_NN_CUDNN_SCHEDULE_H
#define MATTE_NN_CUDNN_SCHEDULE_H

#include "../../device/cuda/card.h"
#include "../../device/cuda/kernel.h"
#include "../../device/cuda/kernels/attention.h"
#include "../../device/cuda/kernels/copy.h"
#include "../../device/cuda/kernels/move.h"
#include "../../device/cuda/kernels/normalise.h"
#include "../../device/cuda/kernels/pointwise.h"
#include "../../device/cuda/kernels/pool.h"
#include "../../device/cuda/kernels/product.h"
#include "../../device/cuda/kernels/resize.h"
#include "../backend.h"
#include "../place.h"
#include "host.h"
#include "plan.h"

/* Every kernel that a step may launch: its file in device/cuda/kernels, its name, the most shared memory it is given. */
#define SCHEDULE_KERNELS(OF)    \
    OF(pointwise, pointwise, 0) \
    OF(resize, resize, 0)       \
    OF(pool, pool, 0)           \
    OF(copy, copy, 0)           \
    OF(move, move, 0)           \
    OF(product, product, 0)     \
    OF(attention, attention, 0) \
    OF(normalise, softmax, 0)   \
    OF(normalise, layer, 0)     \
    OF(normalise, moments, 0)   \
    OF(normalise, average, 0)

#define SCHEDULE_MODULES(OF) \
    OF(pointwise) OF(resize) OF(pool) OF(copy) OF(move) OF(product) OF(attention) OF(normalise)

/* How a constant is laid for whoever reads it. */
enum form {
    AS_IT_LIES, /* halves, in the tensor's layout */
    FILTERS,    /* halves, [out][h][w][in] of the file's [out][in][h][w] */
    MATRICES,   /* halves in rows, each row padded to eight */
    FLOATS,     /* dense, as in the file */
    FORMS,
};

/* One thing to queue. */
struct step {
    const struct kernel *kernel; /* NULL: plan */
    struct launch launch;
    const void *params;
    cudnnBackendDescriptor_t plan, pack;
    const struct hosted *hosted; /* NULL: a kernel or a plan */
};

struct schedule {
    const struct card *card;
    const struct cudnn *cudnn;
    cudnnHandle_t handle;
    struct graph *graph;
    struct places places;
    struct plan_cache plans;
    struct host host;
    const struct planned **planned; /* of every node; NULL where it is no convolution */
    struct view *views;             /* of every tensor */
    size_t (
        *constants)[FORMS]; /* of every tensor: where it is in memory, in each form; 0: it is not */
    size_t zeros;           /* where in memory zeros are, as many as a convolution has channels */
    size_t arena, workspace, bytes; /* where in memory those begin, and its end */
    CUdeviceptr memory;
    struct step *steps;
    int step_count, step_room;
#define SCHEDULE_MODULE(file) struct module file##_module;
    SCHEDULE_MODULES(SCHEDULE_MODULE)
#undef SCHEDULE_MODULE
#define SCHEDULE_KERNEL(file, name, shared) KERNEL(name);
    SCHEDULE_KERNELS(SCHEDULE_KERNEL)
#undef SCHEDULE_KERNEL
};

/*
 * Schedules net's graph, fused, for a card, whose context must be current; plans are made for target, which lives as long.
 * -1 and *e: among others a convolution that cuDNN has no plan for, by name. schedule_free() is due in either case.
 */
int schedule_make(struct schedule *s, struct nn_net *net, const struct card *card,
    const struct target *target, struct error *e);

/* Queues everything. fresh: states are zeros first. */
int schedule_run(const struct schedule *s, int fresh, struct error *e);

/* Waits for what is queued. */
void schedule_free(struct schedule *s);

/* ---- for operations.c ---- */

/*
 * How a kind of node is computed: what it needs of the workspace, and what adds its steps.
 */
struct operation {
    int (*add)(struct schedule *s, const struct node *n, struct error *e);
    size_t (*workspace)(const struct schedule *s, const struct node *n); /* bytes; NULL: none */
    int reads_gaps, writes_gaps; /* between the pixels of its inputs and its output */
};

const struct operation *operation_of(const struct node *n);

/* The form in which n reads its constant k. */
enum form operation_form(const struct node *n, int k);

/* What nodes can do with gaps, as place.h asks. */
int operation_reads_gaps(const struct graph *g, const struct node *n, int k);
int operation_writes_gaps(const struct graph *g, const struct node *n);

/* Adds copies of the states, for the end of a run. */
int operation_add_states(struct schedule *s, const struct nn_net *net, struct error *e);

/* The address of a constant, in the form in which its reader said that it needs it. */
void *schedule_constant(const struct schedule *s, int t, enum form form);
/* Halves from row to row of a constant whose form is MATRICES. */
int schedule_row(const struct tensor *t);
void *schedule_zeros(const struct schedule *s);
void *schedule_workspace(const struct schedule *s);

/* Adds a launch of one of the kernels; *params is copied. Or one of a convolution's plan; pack is the schedule's then. */
int schedule_launch(struct schedule *s, const struct kernel *kernel, struct launch launch,
    const void *params, size_t bytes, struct error *e);
int schedule_execute(struct schedule *s, cudnnBackendDescriptor_t plan,
    cudnnBackendDescriptor_t pack, struct error *e);

/* Adds a PLAIN node. */
int schedule_host(struct schedule *s, const struct node *n, struct error *e);

#define ADD_LAUNCH(s, name, params, e)                             \
    schedule_launch((s), &(s)->name.kernel, name##_launch(params), \
        1 ? (params) : (s)->name.parameters, sizeof *(params), (e))

#endif
