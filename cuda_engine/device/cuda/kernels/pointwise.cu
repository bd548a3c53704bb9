/*
 * A chain of element-wise operators in one pass: each thread runs the whole program over four channels of a pixel, so
 * that memory is read and written once however long the chain. Results that instructions may come back to are in
 * shared memory, a column to a thread, because registers cannot be addressed by a number that is not known before;
 * what an instruction takes from the one before it stays in registers, and that is all that the last one can take.
 * All threads are at the same instruction, so the choice of function costs no divergence.
 */
#include "functions.cuh"
#include "pointwise.h"

template <int V>
DEVICE_FN struct pack<V> read(const struct pointwise_params &p, int k, struct spot s) {
    const struct pointwise_input &in = p.in[k];
    const uint16_t *from =
        in.data + (s.n * in.stride_n + s.y * in.stride_h + s.x * in.stride_w + s.c * in.stride_c);
    if (in.stride_c)
        return load<V>(from);
    const struct pack<1> one = load<1>(from);
    return each(pack<V> {}, pack<V> {}, [=](float, float) -> float { return one.v[0]; });
}

template <int V>
DEVICE_FN struct pack<V> operand(const struct pointwise_params &p, int k, struct spot s, int i,
    struct pack<V> last, const struct pack<V> *results) {
    return k >= 0 ? read<V>(p, k, s) : ~k == i - 1 ? last : results[~k * TENSOR_THREADS];
}

template <int V>
DEVICE_FN void run(const struct pointwise_params &p)
{
    DYNAMIC_SHARED(struct pack<V>, column);
    struct pack<V> *results = column + threadIdx.x;
    for_spots<V>(p.out, [&](struct spot s) {
        struct pack<V> last = {
        };
        for (int i = 0; i < p.length; i++) {
            const struct pointwise_instruction &in = p.program[i];
            const struct pack<V> x = operand(p, in.x, s, i, last, results);
            const struct pack<V> y =
                in.function < POINTWISE_ADD ? x : operand(p, in.y, s, i, last, results);
            last = apply(in, x, y);
            if (i + 2 < p.length)
                results[i * TENSOR_THREADS] = last;
        }
        store(address(p.out, s), last);
    });
}

KERNEL(pointwise, TENSOR_THREADS)
{
    if (p.vector)
        run<TENSOR_VECTOR>(p);
    else
        run<1>(p);
}
