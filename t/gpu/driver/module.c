/*
 * Modules and launches. Of a fatbin only the form is looked at; what runs is the kernel of the same name that was compiled
 * for the processor (CUEMU_KERNELS).
 */
#include "driver.h"

#include <stdlib.h>
#include <string.h>

#include "../executor/cuemu.h"

enum { FATBIN = 0xba55ed50, BLOCK_Z_MAX = 64, GRID_YZ_MAX = 65535 };

struct CUmod_st {
    char unused; /* a module has nothing but its life */
};

struct launch_work {
    struct work work;
    const struct cuemu_kernel *kernel;
    struct cuemu_extent grid, block;
    size_t shared_bytes;
    void *args[];
};

API CUresult cuModuleLoadData(CUmodule *module, const void *image)
{
    ENTER_CURRENT;
    unsigned magic;
    memcpy(&magic, image, sizeof magic);
    if (magic != FATBIN)
        return CUDA_ERROR_INVALID_IMAGE;
    *module = calloc(1, sizeof **module);
    if (!*module)
        return CUDA_ERROR_OUT_OF_MEMORY;
    cuemu_alive(MODULES, 1);
    return CUDA_SUCCESS;
}

API CUresult cuModuleUnload(CUmodule module)
{
    ENTER_RELEASE;
    stream_drain_all();
    free(module);
    cuemu_alive(MODULES, -1);
    return earlier;
}

static const struct cuemu_kernel *kernel_of(CUfunction function)
{
    return (const struct cuemu_kernel *)function;
}

API CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name)
{
    ENTER_CURRENT;
    const struct cuemu_kernel *kernel = cuemu_find(name);
    if (!kernel) {
        cuemu_say("no library of CUEMU_KERNELS has the kernel %s", name);
        return CUDA_ERROR_NOT_FOUND;
    }
    *function = (CUfunction)kernel;
    return CUDA_SUCCESS;
}

API CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t *offset, size_t *bytes)
{
    ENTER_CURRENT;
    const struct cuemu_kernel *kernel = kernel_of(function);
    if (index >= (size_t)kernel->parameters)
        return CUDA_ERROR_INVALID_VALUE;
    *offset = 0;
    if (bytes)
        *bytes = kernel->parameter_bytes[index];
    return CUDA_SUCCESS;
}

API CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value)
{
    ENTER_CURRENT;
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)
        return CUDA_ERROR_NOT_SUPPORTED;
    return value < 0 || cuemu_allow_dynamic(kernel_of(function), (size_t)value)
               ? CUDA_ERROR_INVALID_VALUE
               : CUDA_SUCCESS;
}

static CUresult run_launch(struct work *work)
{
    struct launch_work *w = (struct launch_work *)work;
    return cuemu_launch(w->kernel, w->grid, w->block, w->shared_bytes, w->args)
               ? CUDA_ERROR_LAUNCH_FAILED
               : CUDA_SUCCESS;
}

static void drop_launch(struct work *work)
{
    struct launch_work *w = (struct launch_work *)work;
    for (int i = 0; i < w->kernel->parameters; i++)
        free(w->args[i]);
}

static bool is_good(const struct launch_work *w)
{
    const struct cuemu_extent g = w->grid, b = w->block;
    return g.x && g.y && g.z && b.x && b.y && b.z && g.y <= GRID_YZ_MAX && g.z <= GRID_YZ_MAX &&
           b.z <= BLOCK_Z_MAX && (size_t)b.x * b.y * b.z <= w->kernel->threads_max &&
           w->shared_bytes <= w->kernel->dynamic_max;
}

API CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
    unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream,
    void **args, void **extra)
{
    ENTER_CURRENT;
    const struct cuemu_kernel *kernel = kernel_of(function);
    struct launch_work *w = calloc(1, sizeof *w + (size_t)kernel->parameters * sizeof *w->args);
    if (!w)
        return CUDA_ERROR_OUT_OF_MEMORY;
    w->work = (struct work) { NULL, run_launch, drop_launch };
    w->kernel = kernel;
    w->grid = (struct cuemu_extent) { grid_x, grid_y, grid_z };
    w->block = (struct cuemu_extent) { block_x, block_y, block_z };
    w->shared_bytes = shared_bytes;
    CUresult result = extra || !is_good(w) ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
    for (int i = 0; !result && i < kernel->parameters; i++) {
        size_t bytes = kernel->parameter_bytes[i];
        w->args[i] = malloc(bytes);
        if (w->args[i])
            memcpy(w->args[i], args[i], bytes);
        else
            result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (result) {
        drop_launch(&w->work);
        free(w);
        return result;
    }
    cuemu_trace("launch %s %ux%ux%u", kernel->name, grid_x, grid_y, grid_z);
    return stream_push(stream, &w->work);
}
