#include "backend.h"

struct color_matrix matrix_of(enum frame_matrix matrix)
{
    return matrix == MATRIX_BT709 ? color_matrix(.2126f, .0722f) : color_matrix(.299f, .114f);
}

struct picture picture_of(const struct frame *f, enum frame_matrix matrix)
{
    return (struct picture) {
        .y = f->plane[FRAME_Y],
        .u = f->plane[FRAME_U],
        .v = f->plane[FRAME_V],
        .y_pitch = f->stride[FRAME_Y],
        .uv_pitch = f->stride[FRAME_U],
        .width = f->width,
        .height = f->height,
        .interleaved = f->layout == FRAME_NV12,
        .decoding = decoding(matrix_of(matrix), 0),
    };
}

int device_axis_copy(
    struct device_axis *axis, const struct card *card, const struct taps *taps, struct error *e)
{
    const struct cuda *c = &card->cuda;
    size_t firsts = (size_t)taps->count * sizeof *taps->first;
    size_t weights = (size_t)taps->count * (size_t)taps->most * sizeof *taps->weight;
    CUdeviceptr memory;
    if (CUDA(c, e, cuMemAlloc, &memory, firsts + weights))
        return -1;
    axis->memory = memory;
    axis->axis =
        (struct axis) { (const int *)memory, (const float *)(memory + firsts), taps->most };
    return CUDA(c, e, cuMemcpyHtoDAsync, memory, taps->first, firsts, card->compute) ||
                   CUDA(c, e, cuMemcpyHtoDAsync, memory + firsts, taps->weight, weights,
                       card->compute)
               ? -1
               : 0;
}

int device_axis_open(struct device_axis *axis, const struct card *card,
    const struct taps_params *params, struct error *e)
{
    struct taps taps = { 0 };
    int failed = taps_open(&taps, params) || device_axis_copy(axis, card, &taps, e);
    taps_close(&taps);
    return failed ? -1 : 0;
}

void device_axis_close(struct device_axis *axis, const struct card *card)
{
    card->cuda.cuMemFree(axis->memory);
}
