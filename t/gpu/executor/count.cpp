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
}
