#include "narrow.h"

#include <assert.h>
#include <stdlib.h>

#include "backend.h"
#include "kernels/narrow.h"

struct narrow {
    const struct cuda *cuda;
    struct module module;
    KERNEL(narrow);
};

struct narrow *narrow_open(const struct card *card, struct error *e)
{
    struct narrow *n = calloc(1, sizeof *n);
    if (!n) {
        error_retry(e, "out_of_memory", "There is no memory for a decoder.");
        return NULL;
    }
    n->cuda = &card->cuda;
    if (!module_load(&n->module, &card->cuda, narrow_fatbin, e) &&
        !KERNEL_FIND(&n->module, &n->narrow, narrow, 0, e))
        return n;
    narrow_close(n);
    return NULL;
}

int narrow_run(struct narrow *narrow, struct frame *to, const struct surface *from, CUstream stream,
    struct error *e)
{
    assert(to->layout == FRAME_NV12);
    struct narrow_params p = {
        .luma = (const uint16_t *)from->luma,
        .chroma = (const uint16_t *)from->chroma,
        .to_luma = to->plane[FRAME_Y],
        .to_chroma = to->plane[FRAME_U],
        .pitch = (int)from->pitch,
        .luma_pitch = to->stride[FRAME_Y],
        .chroma_pitch = to->stride[FRAME_U],
        .width = to->width,
        .height = to->height,
    };
    return fence_write(to, stream, e) || RUN(narrow, narrow, stream, &p, e) ||
                   fence_written(to, stream, e)
               ? -1
               : 0;
}

void narrow_close(struct narrow *narrow)
{
    if (!narrow)
        return;
    cuda_enter(narrow->cuda, NULL);
    module_unload(&narrow->module);
    free(narrow);
}
