#include "kernel.h"

/* What every launch may ask for; above it the function must be told. */
enum { SHARED_ALWAYS = 48 << 10 };

int module_load(struct module *m, const struct cuda *c, const void *fatbin, struct error *e)
{
    *m = (struct module) { .cuda = c };
    CUmodule module;
    if (CUDA(c, e, cuModuleLoadData, &module, fatbin))
        return -1;
    m->module = module;
    return 0;
}

void module_unload(struct module *m)
{
    if (m->module)
        m->cuda->cuModuleUnload(m->module);
    m->module = NULL;
}

int kernel_find(struct kernel *k, const struct module *m, const char *name, size_t parameter_bytes,
    size_t shared_max, struct error *e)
{
    const struct cuda *c = m->cuda;
    size_t offset = 0, bytes = 0;
    *k = (struct kernel) { .cuda = c, .name = name };
    CUresult result = c->cuModuleGetFunction(&k->function, m->module, name);
    if (result == CUDA_ERROR_NOT_FOUND)
        return error_set(e, "device_error", "The engine was built without the kernel %s.", name);
    if (cuda_check(c, result, "cuModuleGetFunction", e) ||
        CUDA(c, e, cuFuncGetParamInfo, k->function, 0, &offset, &bytes))
        return -1;
    if (bytes != parameter_bytes || !c->cuFuncGetParamInfo(k->function, 1, &offset, &bytes))
        return error_set(e, "device_error",
            "The kernel %s does not take the one parameter of %zu bytes that it is given.", name,
            parameter_bytes);
    if (shared_max <= SHARED_ALWAYS)
        return 0;
    return CUDA(c, e, cuFuncSetAttribute, k->function,
        CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, (int)shared_max);
}

int kernel_launch(const struct kernel *k, struct extent grid, struct extent block,
    size_t shared_bytes, CUstream stream, const void *parameters, struct error *e)
{
    const struct cuda *c = k->cuda;
    void *list[] = { (void *)parameters };
    struct error why;
    if (!cuda_check(c,
            c->cuLaunchKernel(k->function, grid.x, grid.y, grid.z, block.x, block.y, block.z,
                (unsigned)shared_bytes, stream, list, NULL),
            "cuLaunchKernel", &why))
        return 0;
    return error_retry(e, why.code, "%s: %s", k->name, why.text);
}
