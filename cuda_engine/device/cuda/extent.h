/* How a kernel is launched. Shared with CUDA; the headers of kernels/ give a struct launch for each kernel's parameters. */
#ifndef MATTE_DEVICE_CUDA_EXTENT_H
#define MATTE_DEVICE_CUDA_EXTENT_H

/* In threads or in blocks. */
struct extent {
    unsigned x, y, z;
};

struct launch {
    struct extent grid, block;
    unsigned shared_bytes; /* of dynamic shared memory */
};

/* Blocks of `block` that cover count. */
static inline unsigned blocks_for(unsigned count, unsigned block)
{
    return (count + block - 1) / block;
}

#endif
