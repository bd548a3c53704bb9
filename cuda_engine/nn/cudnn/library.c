#include "library.h"

#include <dlfcn.h>
#include <string.h>

static const char soname[] = "libcudnn.so.9";

int cudnn_open(struct cudnn *c, struct error *e)
{
    *c = (struct cudnn) { .library = dlopen(soname, RTLD_NOW | RTLD_LOCAL) };
    if (!c->library)
        return error_set(e, "no_cudnn", "cuDNN cannot be loaded: %s.", dlerror());
#define CUDNN_LOAD(name)                                                          \
    if (!(c->name = (__typeof__(name) *)dlsym(c->library, #name))) {              \
        cudnn_close(c);                                                           \
        return error_set(e, "no_cudnn", "%s has no function %s.", soname, #name); \
    }
    CUDNN_CALLS(CUDNN_LOAD)
#undef CUDNN_LOAD
    const size_t version = c->cudnnGetVersion();
    if (version < CUDNN_VERSION) {
        cudnn_close(c);
        return error_set(e, "no_cudnn", "%s is of version %zu; %d or later is needed.", soname,
            version, CUDNN_VERSION);
    }
    return 0;
}

void cudnn_close(struct cudnn *c)
{
    if (c->library)
        dlclose(c->library);
    *c = (struct cudnn) { 0 };
}

int cudnn_check(const struct cudnn *c, cudnnStatus_t status, const char *call, struct error *e)
{
    char text[400] = "";
    if (!status)
        return 0;
    c->cudnnGetLastErrorString(text, sizeof text);
    return error_set(e, "cudnn_error", "%s gave %s%s%s.", call, c->cudnnGetErrorString(status),
        *text ? ": " : "", text);
}
