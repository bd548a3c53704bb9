/*
 * Kernels on the CPU: what an emulated driver (C), the executor (cuemu.cpp) and kernels that g++ compiled
 * (device_language.h) know of each other.
 *
 * Every kernel takes one struct by value. Launches are one at a time, whatever thread they come from.
 */
#ifndef CUEMU_H
#define CUEMU_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Global memory as a card would see it, in bytes of 32-byte sectors; all zero where the kernel's library does not count
 * (count.cpp). read and written: of distinct sectors of a launch, what a card moves whose second level cache holds the
 * rest; fetched: of distinct sectors of each block, what that cache delivers. Sums over all launches.
 */
struct cuemu_traffic {
    unsigned long long launches, read, written, fetched;
};

struct cuemu_kernel {
    const char *name;
    void (*invoke)(const void *params); /* one CUDA thread */
    size_t params_size;
    unsigned threads_max;      /* its launch bounds */
    size_t dynamic_limit;      /* bytes of dynamic shared memory that a launch may ask for */
    char *shared, *shared_end; /* the shared variables of its library */
    struct cuemu_traffic traffic;
    struct cuemu_kernel *next;
};

struct cuemu_size {
    unsigned x, y, z;
};

/* Called while a library of kernels is loaded, which must stay loaded. */
void cuemu_register(struct cuemu_kernel *kernel);

/* NULL where no library that is loaded has it. */
struct cuemu_kernel *cuemu_find(const char *name);

/* Raises a kernel's limit from 48 KiB, as cuFuncSetAttribute() does. -1: the card has less (CUEMU_SHARED, 99 KiB). */
int cuemu_allow_dynamic(struct cuemu_kernel *kernel, size_t bytes);

/*
 * Runs a whole grid; dynamic: bytes of shared memory. 0; -1 where the sizes are refused, a barrier is not reached by all
 * threads of a block, or they wait for each other, with a sentence on stderr.
 */
int cuemu_launch(struct cuemu_kernel *kernel, struct cuemu_size grid, struct cuemu_size block,
    size_t dynamic, const void *params);

/* count.cpp: a kernel reads or writes. */
void cuemu_touch(const void *address, size_t size, int writes);

#ifdef __cplusplus
}
#endif
#endif
