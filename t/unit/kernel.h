/*
 * What the tests of kernels share: kernels launched on the executor of t/gpu, halves, and pictures. Memory is of the
 * exact size, so that AddressSanitizer sees whoever leaves it.
 */
#ifndef MATTE_UNIT_KERNEL_H
#define MATTE_UNIT_KERNEL_H

#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cuemu.h"
#include "device/cuda/extent.h"

/* Of KERNELS, or of the libraries in CUEMU_KERNELS, of which the last is found first. */
static inline int load_kernels(void **state)
{
    (void)state;
    const char *given = getenv("CUEMU_KERNELS");
    char *paths = strdup(given ? given : KERNELS), *rest = paths;
    int failed = 0;
    srand(1);
    for (const char *path; (path = strsep(&rest, ":"));)
        if (!dlopen(path, RTLD_NOW)) {
            print_error("%s\n", dlerror());
            failed = -1;
        }
    free(paths);
    return failed;
}

static inline void launch_kernel(const char *name, struct launch l, void *params, size_t bytes)
{
    const struct cuemu_kernel *k = cuemu_find(name);
    if (!k)
        fail_msg("There is no kernel %s.", name);
    assert_int_equal(k->parameter_bytes[0], bytes);
    const struct cuemu_extent grid = { l.grid.x, l.grid.y, l.grid.z };
    const struct cuemu_extent block = { l.block.x, l.block.y, l.block.z };
    if (cuemu_launch(k, grid, block, l.shared_bytes, &params))
        fail_msg("The kernel %s failed.", name);
}

/* Is what is multiplied and added rounded once, as nvcc would have it? Then results are not the CPU's to the bit. */
static inline int contracts(void)
{
    const char *given = getenv("CUEMU_KERNELS");
    return given && strstr(given, "/fma.so");
}

#define RUN(name, params) launch_kernel(#name, name##_launch(params), (params), sizeof *(params))

static inline int random_below(int n)
{
    return rand() % n;
}

static inline double fraction(void)
{
    return (double)rand() / RAND_MAX;
}

static inline float value_of(uint16_t half)
{
    _Float16 h;
    memcpy(&h, &half, sizeof h);
    return (float)h;
}

static inline uint16_t half_of(double value)
{
    const _Float16 h = (_Float16)value;
    uint16_t bits;
    memcpy(&bits, &h, sizeof bits);
    return bits;
}

/* count halves of random values in low..high. */
static inline uint16_t *random_halves(size_t count, double low, double high)
{
    uint16_t *h = malloc(count * sizeof *h);
    for (size_t i = 0; i < count; i++)
        h[i] = half_of(low + (high - low) * fraction());
    return h;
}

static inline double clip(double x, double low, double high)
{
    return x > low ? (x < high ? x : high) : low;
}

#endif
