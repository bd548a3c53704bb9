#include "descriptors.h"

#include <stdio.h>
#include <string.h>

/* Remembers a call that failed. what: "NAME of THING". */
static void check(struct descriptors *d, cudnnStatus_t status, const char *call, const char *thing)
{
    char text[120];
    snprintf(text, sizeof text, "%s of %s", call, thing);
    d->failed = cudnn_check(d->cudnn, status, text, &d->error);
}

void descriptors_free(struct descriptors *d, int kept)
{
    /* the newest first: it may refer to older ones */
    while (d->count > kept)
        d->cudnn->cudnnBackendDestroyDescriptor(d->list[--d->count]);
    d->failed = 0;
}

void descriptor_free(struct descriptors *d, cudnnBackendDescriptor_t which)
{
    int i = 0;
    while (d->list[i] != which)
        i++;
    d->cudnn->cudnnBackendDestroyDescriptor(which);
    memmove(&d->list[i], &d->list[i + 1], (--d->count - i) * sizeof(cudnnBackendDescriptor_t));
}

cudnnBackendDescriptor_t descriptor_make(
    struct descriptors *d, cudnnBackendDescriptorType_t type, const char *type_name)
{
    cudnnBackendDescriptor_t made = NULL;
    if (d->failed)
        return NULL;
    if (d->count == DESCRIPTORS) {
        d->failed = error_set(
            &d->error, "cudnn_error", "More than %d cuDNN descriptors are needed.", DESCRIPTORS);
        return NULL;
    }
    check(d, d->cudnn->cudnnBackendCreateDescriptor(type, &made), "cudnnBackendCreateDescriptor",
        type_name);
    if (!d->failed)
        d->list[d->count++] = made;
    return made;
}

void descriptor_set(struct descriptors *d, cudnnBackendDescriptor_t to,
    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
    const void *values, const char *attribute_name)
{
    if (!d->failed)
        check(d, d->cudnn->cudnnBackendSetAttribute(to, name, type, count, values),
            "cudnnBackendSetAttribute", attribute_name);
}

void descriptor_finalize(struct descriptors *d, cudnnBackendDescriptor_t which, const char *what)
{
    if (!d->failed)
        check(d, d->cudnn->cudnnBackendFinalize(which), "cudnnBackendFinalize", what);
}
