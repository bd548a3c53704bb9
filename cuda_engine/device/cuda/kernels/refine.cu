/*
 * Alpha at the picture's size by a guided filter, from the network's answer, its input, and the picture, which is
 * read once: for what works on alpha before the picture is composed (temporal.cu). A block makes a tile, first its
 * lines (refine.cuh), then its pixels, four of a row to a thread.
 */
#include "picture.cuh"
#include "refine.cuh"

KERNEL(refine, ENLARGE_THREADS)
{
    __shared__ struct line samples[ENLARGE_SAMPLES], lines[ENLARGE_SAMPLES];
    const struct enlargement &size = p.size;
    const int left = blockIdx.x * size.tile_width, top = blockIdx.y * size.tile_height;
    const int right = min(left + size.tile_width, size.width) - 1;
    const int bottom = min(top + size.tile_height, size.height) - 1;
    fit_lines(p.guide, size, left, top, right, bottom, samples, lines);

    const struct patch inner = patch_under(size, left, top, right, bottom, 0);
    const int words = (right - left) / 4 + 1, rows = bottom - top + 1;
    for (int i = threadIdx.x; i < words * rows; i += ENLARGE_THREADS) {
        const int x = left + i % words * 4, y = top + i / words;
        const float place = small_place(y, size.height, size.low_height);
        struct rgb color[4];
        unsigned char alpha[4];
        colors(p.picture, x, y, color);
#pragma unroll
        for (int k = 0; k < 4; k++)
            alpha[k] = refined(samples, inner, size,
                small_place(min(x + k, right), size.width, size.low_width), place, color[k]);
        *(uchar4 *)(p.out + (size_t)y * p.out_pitch + x) =
            make_uchar4(alpha[0], alpha[1], alpha[2], alpha[3]);
    }
}
