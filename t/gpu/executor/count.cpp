/*
 * Counts the memory that kernels touch. g++ -fsanitize=thread puts a call before every access; linked without TSan
 * these are the functions called, hidden in the library of kernels that is to be counted.
 */
#include "cuemu.h"

extern "C" {
void __tsan_init(void)
{
}

void __tsan_func_entry(void *)
{
}

void __tsan_func_exit(void)
{
}

#define TOUCH(name, size)                       \
    void __tsan_read##name(void *at)            \
    {                                           \
        cuemu_touch(at, size, 0);               \
    }                                           \
    void __tsan_write##name(void *at)           \
    {                                           \
        cuemu_touch(at, size, 1);               \
    }                                           \
    void __tsan_unaligned_read##name(void *at)  \
    {                                           \
        cuemu_touch(at, size, 0);               \
    }                                           \
    void __tsan_unaligned_write##name(void *at) \
    {                                           \
        cuemu_touch(at, size, 1);               \
    }
TOUCH(1, 1)
TOUCH(2, 2)
TOUCH(4, 4)
TOUCH(8, 8)
TOUCH(16, 16)

void __tsan_read_range(void *at, size_t size)
{
    cuemu_touch(at, size, 0);
}

void __tsan_write_range(void *at, size_t size)
{
    cuemu_touch(at, size, 1);
}

/* What device_language.h makes atomics of. */
#define COUNT_ATOMICS(bits, T)                                                               \
    T __tsan_atomic##bits##_load(T *at, int)                                                 \
    {                                                                                        \
        cuemu_touch(at, sizeof *at, 0);                                                      \
        return __atomic_load_n(at, __ATOMIC_RELAXED);                                        \
    }                                                                                        \
    int __tsan_atomic##bits##_compare_exchange_strong(T *at, T *expected, T value, int, int) \
    {                                                                                        \
        cuemu_touch(at, sizeof *at, 1);                                                      \
        return __atomic_compare_exchange_n(                                                  \
            at, expected, value, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);                     \
    }
COUNT_ATOMICS(32, int)
COUNT_ATOMICS(64, long long)
#undef COUNT_ATOMICS
}
