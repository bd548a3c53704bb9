/*
 * Stands for the toolkit's mma.h where g++ compiles a .cu: products of 16x16 matrices of halves, with sums in floats,
 * by a warp. As on a card a matrix is spread over the warp's lanes, so that what lanes read must be written, and waited
 * for, before; how it is spread is nobody's business. Here a lane has two rows by four columns of the sums, and of the
 * two factors, which it keeps as floats, all that it needs for these: more than its share, but then no lane has to ask
 * another.
 */
#pragma once

#include <cstdio>
#include <cstdlib>

#include "device_language.h"

#include <cuda_fp16.h>
#ifdef __F16C__
#include <immintrin.h>
#endif

namespace nvcuda
{
namespace wmma
{
struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major };

template <class Use, int M, int N, int K, class T, class Layout = void> struct fragment;

template <class Layout> struct fragment<matrix_a, 16, 16, 16, __half, Layout> {
    float x[2][16];
};

template <class Layout> struct fragment<matrix_b, 16, 16, 16, __half, Layout> {
    float x[16][4];
};

template <> struct fragment<accumulator, 16, 16, 16, float> {
    static constexpr int num_elements = 8;
    float x[num_elements];
};

/* What a lane has of the sums: rows from `row`, columns from `column`. */
struct cuemu_share {
    unsigned row, column;
};

static inline cuemu_share cuemu_mine()
{
    return { cuemu_now->lane / 4 * 2, cuemu_now->lane % 4 * 4 };
}

/* Exactly, without the branches that keep loops from being vectorised. */
static inline float cuemu_float(unsigned short half)
{
    const unsigned magnitude = half & 0x7fff;
    unsigned bits = magnitude << 13;
    float f;
    memcpy(&f, &bits, sizeof f);
    f *= 0x1p112f;
    memcpy(&bits, &f, sizeof bits);
    bits |= (magnitude >= 0x7c00 ? 0x7f800000 : 0) | (unsigned)(half & 0x8000) << 16;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* A card refuses what does not begin at a multiple of 32 bytes, and rows that do not at one of 16. */
template <class T> static inline T *cuemu_matrix(T *p, unsigned step, const char *file, int line)
{
    if ((size_t)p % 32 || step * sizeof *p % 16) {
        fprintf(stderr, "cuemu: a fragment that is not aligned: %s:%d\n", file, line);
        abort();
    }
    return p;
}

/* count values at to, from halves that are step apart. */
template <int count>
__attribute__((optimize("O3"), always_inline)) static inline void cuemu_read(
    float *to, const unsigned short *from, unsigned step)
{
#ifdef __F16C__
    for (int i = 0; i < count && step == 1; i += 4)
        _mm_storeu_ps(to + i, _mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)(from + i))));
    if (step == 1)
        return;
#endif
    for (int i = 0; i < count; i++)
        to[i] = cuemu_float(from[i * step]);
}

__attribute__((optimize("O3"))) static inline void load_matrix_sync(
    fragment<matrix_a, 16, 16, 16, __half, row_major> &f, const __half *p, unsigned step,
    CUEMU_HERE)
{
    const unsigned short *from = (const unsigned short *)cuemu_matrix(p, step, file, line);
    for (unsigned i = 0; i < 2; i++)
        cuemu_read<16>(f.x[i], from + (cuemu_mine().row + i) * step, 1);
}

__attribute__((optimize("O3"))) static inline void load_matrix_sync(
    fragment<matrix_b, 16, 16, 16, __half, row_major> &f, const __half *p, unsigned step,
    CUEMU_HERE)
{
    const unsigned short *from = (const unsigned short *)cuemu_matrix(p, step, file, line);
    for (unsigned k = 0; k < 16; k++)
        cuemu_read<4>(f.x[k], from + k * step + cuemu_mine().column, 1);
}

__attribute__((optimize("O3"))) static inline void load_matrix_sync(
    fragment<matrix_b, 16, 16, 16, __half, col_major> &f, const __half *p, unsigned step,
    CUEMU_HERE)
{
    const unsigned short *from = (const unsigned short *)cuemu_matrix(p, step, file, line);
    for (unsigned k = 0; k < 16; k++)
        cuemu_read<4>(f.x[k], from + cuemu_mine().column * step + k, step);
}

template <class Layout>
static inline void fill_fragment(fragment<accumulator, 16, 16, 16, float, Layout> &f, float value)
{
    for (float &x : f.x)
        x = value;
}

template <class LayoutA, class LayoutB>
__attribute__((optimize("O3"))) static inline void mma_sync(
    fragment<accumulator, 16, 16, 16, float> &d,
    const fragment<matrix_a, 16, 16, 16, __half, LayoutA> &a,
    const fragment<matrix_b, 16, 16, 16, __half, LayoutB> &b,
    const fragment<accumulator, 16, 16, 16, float> &c)
{
    float sums[2][4];
    memcpy(sums, c.x, sizeof sums);
    for (int k = 0; k < 16; k++)
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 4; j++)
                sums[i][j] += a.x[i][k] * b.x[k][j];
    memcpy(d.x, sums, sizeof sums);
}

/* All lanes have to come, which orders nothing. */
static inline void store_matrix_sync(float *p, const fragment<accumulator, 16, 16, 16, float> &f,
    unsigned step, layout_t, CUEMU_HERE)
{
    const cuemu_share mine = cuemu_mine();
    cuemu_exchange(0xffffffff, CUEMU_BALLOT, 0, 0, file, line);
    float *to = cuemu_matrix(p, step, file, line);
    for (unsigned i = 0; i < 2; i++)
        for (unsigned j = 0; j < 4; j++)
            to[(mine.row + i) * step + mine.column + j] = f.x[i * 4 + j];
}
} // namespace wmma
} // namespace nvcuda
