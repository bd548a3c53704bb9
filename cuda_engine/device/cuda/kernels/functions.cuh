/* Element-wise functions, as pointwise.cu computes programs of them and product.cu does with its sums. */
#ifndef MATTE_KERNELS_FUNCTIONS_CUH
#define MATTE_KERNELS_FUNCTIONS_CUH

#include "pointwise.h"
#include "tensor.cuh"

template <int V, class F> DEVICE_FN struct pack<V> each(struct pack<V> a, struct pack<V> b, F f) {
    struct pack<V> r;
#pragma unroll
    for (int i = 0; i < V; i++)
        r.v[i] = f(a.v[i], b.v[i]);
    return r;
}

DEVICE_FN float
at_least(float x, float low)
{
    return x > low ? x : low;
}

DEVICE_FN float at_most(float x, float high)
{
    return x < high ? x : high;
}

#define CASE(function, expression)                         \
    case POINTWISE_##function:                             \
        return each(a, b, [=](float x, float y) -> float { \
            (void)y;                                       \
            return expression;                             \
        });

template <int V>
DEVICE_FN struct pack<V> apply(
    const struct pointwise_instruction &in, struct pack<V> a, struct pack<V> b) {
    const float low = in.low, high = in.high;
    switch (in.function) {
        CASE(RELU, at_least(x, 0))
        CASE(CLIP, at_most(at_least(x, low), high))
        CASE(LINEAR, x * low + high)
        CASE(LEAKY, x > 0 ? x : x * low)
        CASE(SIGMOID, 1 / (1 + expf(-x)))
        CASE(TANH, tanhf(x))
        CASE(HARDSWISH, x * at_most(at_least(x + 3, 0), 6) * (1.0f / 6))
        CASE(GELU, .5f * x * (1 + erff(x * 0.70710678f)))
        CASE(ADD, x + y)
        CASE(SUB, x - y)
        CASE(MUL, x * y)
        CASE(DIV, x / y)
        CASE(MIN, at_most(x, y))
        CASE(MAX, at_least(x, y))
    default: return a;
    }
}

#undef CASE

#endif
