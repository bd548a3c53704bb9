/*
 * What the emulated driver, the executor and kernels that were compiled for the processor know of each other. A library of
 * kernels registers them when it is loaded; the driver, which loads the libraries of CUEMU_KERNELS at its first call,
 * finds and launches them by name.
 */
#ifndef CUEMU_H
#define CUEMU_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cuemu_kernel {
    const char *name;
    void (*invoke)(void *const *args); /* unpacks args and calls the kernel's body */
    int parameters;
    const size_t *parameter_bytes;
    void *shared_from, *shared_to; /* the library's section of __shared__ variables */
    struct cuemu_kernel *next;
};

struct cuemu_extent {
    unsigned x, y, z;
};

/* kernel lasts as long as the process. */
void cuemu_register(struct cuemu_kernel *kernel);

/* NULL: no library has it. */
const struct cuemu_kernel *cuemu_find(const char *name);

/*
 * Runs a whole grid; one at a time. 0; -1: the geometry, a divergent barrier or a deadlock is wrong, with a text on
 * stderr.
 */
int cuemu_launch(const struct cuemu_kernel *kernel, struct cuemu_extent grid,
    struct cuemu_extent block, size_t shared_bytes, void *const *args);

#ifdef __cplusplus
}
#endif

#endif
