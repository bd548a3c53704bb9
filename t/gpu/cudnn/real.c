#include "real.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "../driver/emulation.h"

enum { PROPERTIES = 8192 };

static struct real library;

/* t/data/cards/sm_NN.json, as cuDNN takes them in place of a handle. */
static void describe_card(void)
{
    char path[500], json[PROPERTIES];
    snprintf(path, sizeof path, "%s/sm_%ld.json", CARDS, cuemu_setting("CUEMU_SM", 86));
    FILE *file = fopen(path, "re");
    const size_t bytes = file ? fread(json, 1, sizeof json, file) : 0;
    if (file)
        fclose(file);
    if (library.cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &library.card) ||
        library.cudnnBackendSetAttribute(library.card, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
            CUDNN_TYPE_CHAR, (int64_t)bytes, json) ||
        library.cudnnBackendFinalize(library.card)) {
        cuemu_say("cuDNN does not take %s for a card", path);
        abort();
    }
}

static void load(void)
{
    void *handle = dlopen(CUDNN_GRAPH, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        cuemu_say("%s", dlerror());
        abort();
    }
#define REAL_LOAD(name)                                               \
    if (!(library.name = (__typeof__(name) *)dlsym(handle, #name))) { \
        cuemu_say("%s has no %s", CUDNN_GRAPH, #name);                \
        abort();                                                      \
    }
    REAL_CALLS(REAL_LOAD)
    describe_card();
}

const struct real *real(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return &library;
}
