/*
 * Kernels on the CPU: what an emulated driver (C), the executor (cuemu.cpp) and kernels that g++ compiled
 * (device_language.h) know of each other. A library of kernels registers them when it is loaded; a driver, or a test,
 * finds and launches them by name.
 */
#ifndef CUEMU_H
#define CUEMU_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Global memory as a card would see it, in bytes of 32-byte sectors; all zero where the kernel's library does not
 * count (count.cpp). read and written: of distinct sectors of a launch, what a card moves whose second level cache
 * holds the rest; fetched: of distinct sectors of each block, what that cache delivers. Sums over all launches.
 */
struct cuemu_traffic {
    unsigned long long launches, read, written, fetched;
};

struct cuemu_kernel {
    const char *name;
    void (*invoke)(void *const *args); /* one CUDA thread of it: unpacks args and calls the body */
    int parameters;
    const size_t *parameter_bytes;
    char *shared_from, *shared_to; /* the library's shared variables */
    unsigned threads_max;          /* its launch bounds */
    size_t dynamic_max;            /* bytes of dynamic shared memory that a launch may ask for */
    struct cuemu_traffic traffic;
    struct cuemu_kernel *next;
};

struct cuemu_extent {
    unsigned x, y, z;
};

/* kernel lasts as long as the process: a library of kernels stays loaded. */
void cuemu_register(struct cuemu_kernel *kernel);

/* NULL: no library has it. */
const struct cuemu_kernel *cuemu_find(const char *name);

/* Raises a kernel's dynamic_max from 48 KiB, as cuFuncSetAttribute() does. -1: the card has less (CUEMU_SHARED). */
int cuemu_allow_dynamic(const struct cuemu_kernel *kernel, size_t bytes);

/*
 * Runs a whole grid; one at a time, whatever thread asks. 0; -1 where the geometry is refused, a barrier is not
 * reached by all threads of a block, or they wait for each other, with a sentence on stderr.
 */
int cuemu_launch(const struct cuemu_kernel *kernel, struct cuemu_extent grid,
    struct cuemu_extent block, size_t shared_bytes, void *const *args);

/* count.cpp: a kernel reads or writes. */
void cuemu_touch(const void *address, size_t size, int writes);

#ifdef __cplusplus
}
#endif
#endif
