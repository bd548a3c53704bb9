/*
 * Kernels: a module is a fatbin that the build embeds as an array, a kernel one function of it. Every kernel takes ONE
 * parameter, a struct of its own name by value, declared in a header that C and CUDA share:
 *
 *     struct invert_params { ... };
 *     extern "C" __global__ void invert(const struct invert_params p)
 *
 * and is known to C by a field that carries the type of its parameter:
 *
 *     struct tricks { struct module module; KERNEL(invert); } t;
 *     module_load(&t.module, cuda, tricks_fatbin, e) || KERNEL_FIND(&t.module, &t.invert, invert, e)
 *     LAUNCH(&t.invert, grid, block, 0, stream, &params, e)
 *
 * so that the compiler refuses the parameters of another kernel, and the look-up a kernel that was built with another
 * idea of the struct.
 */
#ifndef MATTE_DEVICE_CUDA_KERNEL_H
#define MATTE_DEVICE_CUDA_KERNEL_H

#include "driver.h"
#include "extent.h"

struct module {
    const struct cuda *cuda;
    CUmodule module;
};

struct kernel {
    const struct cuda *cuda;
    const char *name;
    CUfunction function;
};

/* fatbin: as bin2c wrote it. -1 and *e; module_unload() is due in either case. module may be all zeros there. */
int module_load(struct module *m, const struct cuda *c, const void *fatbin, struct error *e);
void module_unload(struct module *m);

/*
 * parameter_bytes: of its one parameter. shared_max: the most dynamic shared memory that a launch will ask for. -1 and
 * *e: it is not in the module, takes something else, or the card has not so much shared memory.
 */
int kernel_find(struct kernel *k, const struct module *m, const char *name, size_t parameter_bytes,
    size_t shared_max, struct error *e);

/*
 * Queues the kernel on stream; *parameters is copied. shared_bytes: of dynamic shared memory. -1 and *e: it was not
 * queued, or something before it had failed. What goes wrong while it runs comes out of a later call. The context must be
 * current.
 */
int kernel_launch(const struct kernel *k, struct extent grid, struct extent block,
    size_t shared_bytes, CUstream stream, const void *parameters, struct error *e);

/* A field for kernel `name`; finding it; launching it with a struct name_params. */
#define KERNEL(name)                            \
    struct {                                    \
        struct kernel kernel;                   \
        const struct name##_params *parameters; \
    } name
#define KERNEL_FIND(m, field, name, shared_max, e) \
    kernel_find(&(field)->kernel, (m), #name, sizeof *(field)->parameters, (shared_max), (e))
#define LAUNCH(field, grid, block, shared_bytes, stream, params, e)            \
    kernel_launch(&(field)->kernel, (grid), (block), (shared_bytes), (stream), \
        1 ? (params) : (field)->parameters, (e))

/* The same with the launch that the kernel's header gives for its parameters; set has a field of its name. */
#define RUN(set, name, stream, params, e)                                         \
    LAUNCH(&(set)->name, name##_launch(params).grid, name##_launch(params).block, \
        name##_launch(params).shared_bytes, (stream), (params), (e))

#endif
