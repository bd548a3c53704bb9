/*
 * Every operator of the table against a plain computation in double precision, written from ONNX's definition of it.
 */
#include "onnx.h"

#include <math.h>
#include <stdio.h>

#include "nn/ops.h"

enum { MOST = 50000 };

/* A tensor of the plain computation. */
struct plain {
    int d[4];
    double v[MOST];
};

static struct plain a, b, c, expected;
static uint64_t seed;
static const char *tested[64]; /* operators, once each */

static double at(const struct plain *p, int n, int k, int y, int x)
{
    return p->v[((n * p->d[1] + k) * p->d[2] + y) * p->d[3] + x];
}

static double *to(struct plain *p, int n, int k, int y, int x)
{
    return &p->v[((n * p->d[1] + k) * p->d[2] + y) * p->d[3] + x];
}

static int elements(const struct plain *p)
{
    return p->d[0] * p->d[1] * p->d[2] * p->d[3];
}

static void shape(struct plain *p, int n, int k, int y, int x)
{
    memcpy(p->d, (int[]) { n, k, y, x }, sizeof p->d);
    assert_true(elements(p) <= MOST);
}

/* Values of -4..4 that are exact in float. */
static void fill(struct plain *p, int n, int k, int y, int x)
{
    shape(p, n, k, y, x);
    for (int i = 0; i < elements(p); i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        p->v[i] = (double)(seed >> 40) / (1 << 21) - 4;
    }
}

static void plain_constant(const char *name, const struct plain *p, int rank)
{
    static float values[MOST];
    for (int i = 0; i < elements(p); i++)
        values[i] = (float)p->v[i];
    floats(name, values, rank, p->d + 4 - rank);
}

static void plain_input(const char *name, const struct plain *p)
{
    input(name, p->d[0], p->d[1], p->d[2], p->d[3]);
}

static void give(struct nn_net *net, const char *name, const struct plain *p)
{
    struct nn_tensor t;
    struct error e;
    assert_int_equal(nn_tensor(net, name, &t, &e), 0);
    for (int i = 0; i < elements(p); i++)
        t.data[i] = (float)p->v[i];
}

static void compare(struct nn_net *net, const char *op, const char *name)
{
    struct nn_tensor t;
    struct error e;
    assert_int_equal(nn_tensor(net, name, &t, &e), 0);
    const int d[4] = { t.n, t.c, t.h, t.w };
    assert_memory_equal(d, expected.d, sizeof d);
    for (int i = 0; i < elements(&expected); i++)
        if (!(fabs(t.data[i] - expected.v[i]) <= 2e-5 * (1 + fabs(expected.v[i]))))
            fail_msg("%s: %s[%d] is %.7g, not %.7g", op, name, i, t.data[i], expected.v[i]);
}

static void mark(const char *op)
{
    int i = 0;
    while (tested[i] && strcmp(tested[i], op))
        i++;
    tested[i] = op;
}

/* Opens the file, runs it on a as x (and b as y where it has that), and compares its output z with expected. */
static void check(const char *op)
{
    struct error e;
    output("z");
    struct nn_net *net = open_net(&e);
    if (!net)
        fail_msg("%s: %s", op, e.text);
    give(net, "x", &a);
    if (onnx.graph.n_input > 1)
        give(net, "y", &b);
    assert_int_equal(nn_run(net, &e), 0);
    compare(net, op, "z");
    nn_close(net);
    mark(op);
}

/* pointwise */

static double relu(double x)
{
    return x > 0 ? x : 0;
}
static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}
static double hardsigmoid(double x)
{
    return fmin(fmax(0.2 * x + 0.5, 0), 1);
}
static double leaky(double x)
{
    return x > 0 ? x : 0.01 * x;
}
static double hardswish(double x)
{
    return x * fmin(fmax(x + 3, 0), 6) / 6;
}
static double add(double x, double y)
{
    return x + y;
}
static double subtract(double x, double y)
{
    return x - y;
}
static double multiply(double x, double y)
{
    return x * y;
}
static double divide(double x, double y)
{
    return x / y;
}

static void computes_unary(void **state)
{
    static const struct {
        const char *op;
        double (*of)(double);
    } unary[] = { { "Relu", relu }, { "Sigmoid", sigmoid }, { "Tanh", tanh },
        { "HardSwish", hardswish }, { "HardSigmoid", hardsigmoid }, { "LeakyRelu", leaky } };
    (void)state;
    for (size_t u = 0; u < sizeof unary / sizeof *unary; u++) {
        begin(14);
        fill(&a, 2, 5, 7, 31);
        for (int i = 0; i < 20; i++)
            a.v[i] = i < 10 ? 200.0 * (i - 5) : 1e-3 * (i - 15); /* saturated, and around 0 */
        plain_input("x", &a);
        node(unary[u].op, "x", "z");
        shape(&expected, 2, 5, 7, 31);
        for (int i = 0; i < elements(&a); i++)
            expected.v[i] = unary[u].of((float)a.v[i]);
        check(unary[u].op);
    }
}

static void computes_clip(void **state)
{
    (void)state;
    for (int bounds = 0; bounds < 4; bounds++) {
        begin(13);
        fill(&a, 1, 3, 5, 9);
        plain_input("x", &a);
        scalar("low", -1.5f);
        scalar("high", 2);
        node("Clip",
            bounds == 0   ? "x"
            : bounds == 1 ? "x,low"
            : bounds == 2 ? "x,,high"
                          : "x,low,high",
            "z");
        expected = a;
        for (int i = 0; i < elements(&a); i++) {
            if (bounds & 1)
                expected.v[i] = fmax(expected.v[i], -1.5);
            if (bounds & 2)
                expected.v[i] = fmin(expected.v[i], 2);
        }
        check("Clip");
    }
}

/* The value of p for the output's element, p being broadcast. */
static double broadcast(const struct plain *p, int n, int k, int y, int x)
{
    return at(p, n % p->d[0], k % p->d[1], y % p->d[2], x % p->d[3]);
}

static void computes_binary(void **state)
{
    static const struct {
        const char *op;
        double (*of)(double, double);
    } binary[] = { { "Add", add }, { "Sub", subtract }, { "Mul", multiply }, { "Div", divide },
        { "Min", fmin }, { "Max", fmax } };
    static const int shapes[][2][4] = {
        { { 2, 5, 6, 7 }, { 2, 5, 6, 7 } },
        { { 1, 33, 6, 7 }, { 1, 33, 1, 1 } }, /* a value a channel */
        { { 1, 33, 1, 1 }, { 1, 33, 6, 7 } },
        { { 1, 1, 1, 1 }, { 2, 3, 4, 5 } },
        { { 2, 3, 4, 5 }, { 1, 1, 1, 1 } },
        { { 2, 4, 6, 7 }, { 1, 1, 6, 7 } }, /* a value a pixel */
        { { 2, 4, 6, 7 }, { 2, 1, 1, 7 } },
        { { 1, 4, 6, 1 }, { 2, 1, 1, 7 } },       /* both */
        { { 2, 1500, 1, 3 }, { 1, 1500, 1, 1 } }, /* more channels than a tile has */
        { { 1, 1, 3, 2000 }, { 1, 1, 3, 2000 } },
    };
    (void)state;
    for (size_t i = 0; i < sizeof binary / sizeof *binary; i++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (int constant = 0; constant < 3; constant++) {
                const int *p = shapes[s][0], *q = shapes[s][1];
                begin(13);
                fill(&a, p[0], p[1], p[2], p[3]);
                fill(&b, q[0], q[1], q[2], q[3]);
                for (int k = 0; k < elements(&a); k++)
                    a.v[k] += a.v[k] < 0 ? -0.1 : 0.1; /* nothing is divided by 0 */
                for (int k = 0; k < elements(&b); k++)
                    b.v[k] += b.v[k] < 0 ? -0.1 : 0.1;
                plain_input("x", &a);
                if (constant)
                    plain_constant("y", &b, 4);
                else
                    plain_input("y", &b);
                const int swap = constant == 2;
                node(binary[i].op, swap ? "y,x" : "x,y", "z");
                shape(&expected, p[0] > q[0] ? p[0] : q[0], p[1] > q[1] ? p[1] : q[1],
                    p[2] > q[2] ? p[2] : q[2], p[3] > q[3] ? p[3] : q[3]);
                for (int n = 0; n < expected.d[0]; n++)
                    for (int k = 0; k < expected.d[1]; k++)
                        for (int y = 0; y < expected.d[2]; y++)
                            for (int x = 0; x < expected.d[3]; x++) {
                                const double u = (float)broadcast(&a, n, k, y, x);
                                const double v = (float)broadcast(&b, n, k, y, x);
                                *to(&expected, n, k, y, x) =
                                    swap ? binary[i].of(v, u) : binary[i].of(u, v);
                            }
                check(binary[i].op);
            }
}

/* windows */

struct sliding {
    int in[4], kernel[2], stride[2], dilation[2], pads[4], out_channels, group;
};

/* Adds the attributes, and sets the size of expected. */
static void window_node(Onnx__NodeProto *n, const struct sliding *w)
{
    set_ints(n, "kernel_shape", 2, w->kernel);
    set_ints(n, "strides", 2, w->stride);
    set_ints(n, "pads", 4, w->pads);
    int size[2];
    for (int i = 0; i < 2; i++)
        size[i] =
            (w->in[2 + i] + w->pads[i] + w->pads[2 + i] - (w->kernel[i] - 1) * w->dilation[i] - 1) /
                w->stride[i] +
            1;
    shape(&expected, w->in[0], w->out_channels, size[0], size[1]);
}

static void computes_conv(void **state)
{
    static const struct sliding windows[] = {
        { { 1, 3, 16, 18 }, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1, 1, 1 }, 16, 1 },
        { { 1, 3, 16, 18 }, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 0, 0, 1, 1 }, 5, 1 },
        { { 1, 20, 9, 7 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, { 0, 0, 0, 0 }, 24, 1 },
        { { 2, 16, 5, 6 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1, 1, 1 }, 40, 1 },
        { { 1, 24, 9, 8 }, { 5, 5 }, { 1, 1 }, { 2, 2 }, { 4, 4, 4, 4 }, 24, 24 },
        { { 1, 24, 9, 8 }, { 5, 5 }, { 2, 2 }, { 1, 1 }, { 2, 2, 1, 2 }, 24, 24 },
        { { 1, 16, 9, 8 }, { 3, 1 }, { 1, 1 }, { 1, 1 }, { 1, 0, 1, 0 }, 16, 16 },
        { { 1, 16, 9, 8 }, { 1, 3 }, { 1, 1 }, { 1, 1 }, { 0, 1, 0, 1 }, 16, 16 },
        { { 1, 12, 9, 8 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1, 1, 1 }, 6, 3 },
        { { 1, 8, 12, 12 }, { 3, 3 }, { 1, 1 }, { 4, 4 }, { 4, 4, 4, 4 }, 8, 1 },
        { { 1, 480, 1, 1 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, { 0, 0, 0, 0 }, 12, 1 },
        { { 1, 7, 10, 11 }, { 2, 3 }, { 3, 2 }, { 1, 1 }, { 0, 0, 0, 1 }, 3, 1 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
        for (int bias = 0; bias < 2; bias++) {
            const struct sliding *w = &windows[i];
            begin(13);
            fill(&a, w->in[0], w->in[1], w->in[2], w->in[3]);
            fill(&b, w->out_channels, w->in[1] / w->group, w->kernel[0], w->kernel[1]);
            fill(&c, 1, 1, 1, w->out_channels);
            const int terms = elements(&b) / w->out_channels;
            for (int k = 0; k < elements(&b); k++) /* so that sums are as small as what is summed */
                b.v[k] = (float)(b.v[k] / terms);
            plain_input("x", &a);
            plain_constant("w", &b, 4);
            plain_constant("b", &c, 1);
            Onnx__NodeProto *n = node("Conv", bias ? "x,w,b" : "x,w", "z");
            window_node(n, w);
            set_ints(n, "dilations", 2, w->dilation);
            set_int(n, "group", w->group);
            for (int image = 0; image < w->in[0]; image++)
                for (int o = 0; o < w->out_channels; o++)
                    for (int y = 0; y < expected.d[2]; y++)
                        for (int x = 0; x < expected.d[3]; x++) {
                            const int each = w->in[1] / w->group;
                            double sum = bias ? c.v[o] : 0;
                            for (int k = 0; k < each; k++)
                                for (int u = 0; u < w->kernel[0]; u++)
                                    for (int v = 0; v < w->kernel[1]; v++) {
                                        const int yy =
                                            y * w->stride[0] + u * w->dilation[0] - w->pads[0];
                                        const int xx =
                                            x * w->stride[1] + v * w->dilation[1] - w->pads[1];
                                        if (yy < 0 || yy >= w->in[2] || xx < 0 || xx >= w->in[3])
                                            continue;
                                        sum += at(&b, o, k, u, v) *
                                               at(&a, image,
                                                   o / (w->out_channels / w->group) * each + k, yy,
                                                   xx);
                                    }
                            *to(&expected, image, o, y, x) = sum;
                        }
            check("Conv");
        }
}

static void computes_pools(void **state)
{
    static const struct sliding windows[] = {
        { { 1, 3, 16, 18 }, { 2, 2 }, { 2, 2 }, { 1, 1 }, { 0, 0, 0, 0 }, 3, 1 },
        { { 2, 20, 9, 7 }, { 2, 2 }, { 2, 2 }, { 1, 1 }, { 0, 0, 1, 1 }, 20, 1 },
        { { 1, 16, 9, 7 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1, 1, 1 }, 16, 1 },
        { { 1, 5, 9, 8 }, { 3, 2 }, { 2, 3 }, { 1, 1 }, { 0, 1, 2, 0 }, 5, 1 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
        for (int average = 0; average < 2; average++) {
            const struct sliding *w = &windows[i];
            begin(13);
            fill(&a, w->in[0], w->in[1], w->in[2], w->in[3]);
            plain_input("x", &a);
            window_node(node(average ? "AveragePool" : "MaxPool", "x", "z"), w);
            for (int image = 0; image < w->in[0]; image++)
                for (int k = 0; k < w->in[1]; k++)
                    for (int y = 0; y < expected.d[2]; y++)
                        for (int x = 0; x < expected.d[3]; x++) {
                            double sum = 0, most = -INFINITY;
                            int count = 0;
                            for (int u = 0; u < w->kernel[0]; u++)
                                for (int v = 0; v < w->kernel[1]; v++) {
                                    const int yy = y * w->stride[0] + u - w->pads[0];
                                    const int xx = x * w->stride[1] + v - w->pads[1];
                                    if (yy < 0 || yy >= w->in[2] || xx < 0 || xx >= w->in[3])
                                        continue;
                                    sum += at(&a, image, k, yy, xx);
                                    most = fmax(most, at(&a, image, k, yy, xx));
                                    count++;
                                }
                            *to(&expected, image, k, y, x) = average ? sum / count : most;
                        }
            check(average ? "AveragePool" : "MaxPool");
        }
}

static void computes_global_pools(void **state)
{
    (void)state;
    begin(13);
    fill(&a, 2, 21, 18, 32);
    plain_input("x", &a);
    node("GlobalAveragePool", "x", "z");
    shape(&expected, 2, 21, 1, 1);
    for (int i = 0; i < 2 * 21; i++) {
        expected.v[i] = 0;
        for (int k = 0; k < 18 * 32; k++)
            expected.v[i] += a.v[i * 18 * 32 + k] / (18 * 32);
    }
    check("GlobalAveragePool");

    begin(13);
    plain_input("x", &a);
    node("GlobalMaxPool", "x", "z");
    for (int i = 0; i < 2 * 21; i++) {
        expected.v[i] = -INFINITY;
        for (int k = 0; k < 18 * 32; k++)
            expected.v[i] = fmax(expected.v[i], a.v[i * 18 * 32 + k]);
    }
    check("GlobalMaxPool");
}

static void computes_resize(void **state)
{
    static const int sizes[][4] = { /* in, out */
        { 9, 16, 18, 32 }, { 5, 7, 11, 13 }, { 12, 10, 5, 3 }, { 1, 1, 4, 4 }, { 6, 6, 6, 12 }
    };
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int channels = 1; channels < 40; channels += 18) {
            const int *s = sizes[i];
            begin(13);
            fill(&a, 2, channels, s[0], s[1]);
            plain_input("x", &a);
            int64s("sizes", (int64_t[]) { 2, channels, s[2], s[3] }, 4);
            Onnx__NodeProto *n = node("Resize", "x,,,sizes", "z");
            set_text(n, "mode", "linear");
            set_text(
                n, "coordinate_transformation_mode", i & 1 ? "pytorch_half_pixel" : "half_pixel");
            shape(&expected, 2, channels, s[2], s[3]);
            for (int image = 0; image < 2; image++)
                for (int k = 0; k < channels; k++)
                    for (int y = 0; y < s[2]; y++)
                        for (int x = 0; x < s[3]; x++) {
                            double v = fmin(fmax((y + 0.5) * s[0] / s[2] - 0.5, 0), s[0] - 1);
                            double u = fmin(fmax((x + 0.5) * s[1] / s[3] - 0.5, 0), s[1] - 1);
                            const int top = (int)floor(v), left = (int)floor(u);
                            const int bottom = top + 1 < s[0] ? top + 1 : top;
                            const int right = left + 1 < s[1] ? left + 1 : left;
                            v -= top;
                            u -= left;
                            *to(&expected, image, k, y, x) =
                                (1 - v) * ((1 - u) * at(&a, image, k, top, left) +
                                              u * at(&a, image, k, top, right)) +
                                v * ((1 - u) * at(&a, image, k, bottom, left) +
                                        u * at(&a, image, k, bottom, right));
                        }
            check("Resize");
        }
}

/* By each rounding; and by a ratio where arithmetic might choose another pixel, which is left to plain C. */
static void computes_the_nearest(void **state)
{
    static const int sizes[][4] = { { 4, 8, 8, 16 }, { 8, 6, 4, 6 }, { 5, 3, 15, 21 },
        { 7, 9, 11, 4 } };
    static const char *const roundings[] = { "floor", "ceil", "round_prefer_floor",
        "round_prefer_ceil" };
    (void)state;
    for (int i = 0; i < 32; i++) {
        const int *s = sizes[i / 8], half = i & 1, rounding = i / 2 % 4;
        begin(13);
        fill(&a, 2, 19, s[0], s[1]);
        plain_input("x", &a);
        int64s("sizes", (int64_t[]) { 2, 19, s[2], s[3] }, 4);
        Onnx__NodeProto *n = node("Resize", "x,,,sizes", "z");
        set_text(n, "mode", "nearest");
        set_text(n, "nearest_mode", roundings[rounding]);
        set_text(n, "coordinate_transformation_mode", half ? "half_pixel" : "asymmetric");
        shape(&expected, 2, 19, s[2], s[3]);
        for (int k = 0; k < 2 * 19 * s[2] * s[3]; k++) {
            int at[2] = { k / s[3] % s[2], k % s[3] };
            for (int side = 0; side < 2; side++) {
                /* in whole numbers: twice the place, times the output's size */
                const int in = s[side], out = s[2 + side];
                const int twice = half ? (2 * at[side] + 1) * in - out : 2 * at[side] * in;
                int place = rounding == 0   ? (int)floor(twice / (2. * out))
                            : rounding == 1 ? (int)ceil(twice / (2. * out))
                            : rounding == 2 ? (int)ceil((twice - out) / (2. * out))
                                            : (int)floor((twice + out) / (2. * out));
                at[side] = place < 0 ? 0 : place >= in ? in - 1 : place;
            }
            expected.v[k] = a.v[(k / (s[2] * s[3]) * s[0] + at[0]) * s[1] + at[1]];
        }
        check("Resize");
    }
}

/* moving things */

/* expected = the part of p that starts at offset, with its present size. */
static void cut(const struct plain *p, const int offset[4])
{
    for (int n = 0; n < expected.d[0]; n++)
        for (int k = 0; k < expected.d[1]; k++)
            for (int y = 0; y < expected.d[2]; y++)
                for (int x = 0; x < expected.d[3]; x++)
                    *to(&expected, n, k, y, x) =
                        at(p, n + offset[0], k + offset[1], y + offset[2], x + offset[3]);
}

/* Puts p into expected at offset. */
static void paste(const struct plain *p, const int offset[4])
{
    for (int n = 0; n < p->d[0]; n++)
        for (int k = 0; k < p->d[1]; k++)
            for (int y = 0; y < p->d[2]; y++)
                for (int x = 0; x < p->d[3]; x++)
                    *to(&expected, n + offset[0], k + offset[1], y + offset[2], x + offset[3]) =
                        at(p, n, k, y, x);
}

static void computes_concat(void **state)
{
    (void)state;
    for (int axis = 0; axis < 4; axis++)
        for (int how = 0; how < 3;
             how++) { /* of inputs; of what may be computed in place; of one twice */
            int d[4] = { 2, 3, 4, 5 }, offset[4] = { 0 };
            begin(13);
            fill(&a, 2, 3, 4, 5);
            d[axis] = 17;
            fill(&b, d[0], d[1], d[2], d[3]);
            plain_input("x", &a);
            plain_input("y", &b);
            node("Add", "x,x", "x2");
            node("Add", "y,y", "y2");
            Onnx__NodeProto *n = node("Concat",
                how == 0   ? "x,y"
                : how == 1 ? "x2,y2"
                           : "x2,y,x2",
                "z");
            set_int(n, "axis", axis - 4 * (how & 1));
            d[axis] = 17 + (how == 2 ? 2 : 1) * a.d[axis];
            shape(&expected, d[0], d[1], d[2], d[3]);
            const int with_a = how > 0, with_b = how == 1;
            struct error e;
            output("z");
            struct nn_net *net = open_net(&e);
            assert_non_null(net);
            give(net, "x", &a);
            give(net, "y", &b);
            for (int i = 0; i < elements(&a) && with_a; i++)
                a.v[i] *= 2;
            for (int i = 0; i < elements(&b) && with_b; i++)
                b.v[i] *= 2;
            paste(&a, offset);
            offset[axis] += a.d[axis];
            paste(&b, offset);
            offset[axis] += 17;
            if (how == 2)
                paste(&a, offset);
            assert_int_equal(nn_run(net, &e), 0);
            compare(net, "Concat", "z");
            nn_close(net);
        }
    /* matrices, and what is known among them */
    begin(13);
    fill(&a, 1, 1, 6, 5);
    fill(&b, 1, 1, 6, 9);
    onnx.inputs[onnx.graph.n_input++] = value("x", a.d + 2, 2);
    plain_constant("y", &b, 2);
    set_int(node("Concat", "x,y", "z"), "axis", -1);
    shape(&expected, 1, 1, 6, 14);
    paste(&a, (int[4]) { 0 });
    paste(&b, (int[4]) { 0, 0, 0, 5 });
    check("Concat");
}

/* One place, known before. */
static void computes_gather(void **state)
{
    (void)state;
    for (int axis = 0; axis < 4; axis++)
        for (int sign = 0; sign < 2; sign++) {
            int d[4] = { 3, 4, 5, 6 }, offset[4] = { 0 };
            begin(13);
            fill(&a, 3, 4, 5, 6);
            plain_input("x", &a);
            int64s("index", (int64_t[]) { sign ? -1 : 1 }, 1);
            set_int(node("Gather", "x,index", "z"), "axis", axis);
            offset[axis] = sign ? d[axis] - 1 : 1;
            d[axis] = 1;
            shape(&expected, d[0], d[1], d[2], d[3]);
            cut(&a, offset);
            check("Gather");
        }
}

static void computes_slice(void **state)
{
    static const struct {
        int64_t starts[4], ends[4], axes[4];
        int count, offset[4], d[4];
    } slices[] = {
        { { 1 }, { 3 }, { 1 }, 1, { 0, 1, 0, 0 }, { 2, 2, 6, 7 } },
        { { -3, 2 }, { 100, -1 }, { -2, -1 }, 2, { 0, 0, 3, 2 }, { 2, 5, 3, 4 } },
        { { 1, 0, 2, 3 }, { 2, 5, 6, 4 }, { 0, 1, 2, 3 }, 4, { 1, 0, 2, 3 }, { 1, 5, 4, 1 } },
        { { -100 }, { INT64_MAX }, { 3 }, 1, { 0, 0, 0, 0 }, { 2, 5, 6, 7 } },
    };
    (void)state;
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++)
        for (int after = 0; after < 2;
             after++) { /* and what reads a part: here a convolution by 1 */
            const int *d = slices[i].d, channels = d[1];
            begin(13);
            fill(&a, 2, 5, 6, 7);
            plain_input("x", &a);
            int64s("starts", slices[i].starts, slices[i].count);
            int64s("ends", slices[i].ends, slices[i].count);
            int64s("axes", slices[i].axes, slices[i].count);
            int64s("steps", (int64_t[]) { 1, 1, 1, 1 }, slices[i].count);
            node("Slice", slices[i].count == 4 ? "x,starts,ends" : "x,starts,ends,axes,steps",
                after ? "part" : "z");
            shape(&b, channels, channels, 1, 1);
            for (int k = 0; k < channels * channels; k++)
                b.v[k] = k % (channels + 1) == 0;
            plain_constant("w", &b, 4);
            if (after)
                node("Conv", "part,w", "z");
            shape(&expected, d[0], d[1], d[2], d[3]);
            cut(&a, slices[i].offset);
            check("Slice");
        }
}

static void computes_split(void **state)
{
    (void)state;
    for (int how = 0; how < 4;
         how++) { /* sizes as an input, as an attribute, equal parts, one part */
        begin(how == 1 ? 12 : 13);
        fill(&a, 1, how == 3 ? 4 : 6, 4, 5);
        plain_input("x", &a);
        int64s("sizes", (int64_t[]) { 2, 4 }, 2);
        Onnx__NodeProto *n = node("Split", how == 0 ? "x,sizes" : "x", how == 3 ? "p" : "p,q");
        set_int(n, "axis", how == 3 ? -3 : 1);
        if (how == 1)
            set_ints(n, "split", 2, (int[]) { 2, 4 });
        node("Relu", how == 3 ? "p" : "q", "z");
        const int from = how == 3 ? 0 : how == 2 ? 3 : 2;
        shape(&expected, 1, a.d[1] - from, 4, 5);
        cut(&a, (int[]) { 0, from, 0, 0 });
        for (int i = 0; i < elements(&expected); i++)
            expected.v[i] = relu(expected.v[i]);
        check("Split");
    }
}

static void computes_pad(void **state)
{
    static const int pads[][8] = { { 0, 0, 1, 2, 0, 0, 3, 4 }, { 1, 2, 0, 1, 0, 3, 1, 0 },
        { 0, 0, 0, 0, 0, 0, 0, 0 } };
    (void)state;
    for (size_t i = 0; i < sizeof pads / sizeof *pads; i++)
        for (int with = 0; with < 2; with++) {
            const int *p = pads[i];
            int64_t wide[8];
            begin(13);
            fill(&a, 2, 3, 4, 5);
            plain_input("x", &a);
            for (int k = 0; k < 8; k++)
                wide[k] = p[k];
            int64s("pads", wide, 8);
            scalar("v", -7.5f);
            node("Pad", with ? "x,pads,v" : "x,pads", "z");
            shape(&expected, 2 + p[0] + p[4], 3 + p[1] + p[5], 4 + p[2] + p[6], 5 + p[3] + p[7]);
            for (int k = 0; k < elements(&expected); k++)
                expected.v[k] = with ? -7.5 : 0;
            paste(&a, p);
            check("Pad");
        }
}

static void computes_identity(void **state)
{
    (void)state;
    begin(13);
    fill(&a, 1, 3, 4, 5);
    plain_input("x", &a);
    node("Identity", "x", "z");
    expected = a;
    check("Identity");
}

/* x by y, of four dimensions or (y) two. */
static void matrix_product(const struct plain *x, const struct plain *y)
{
    shape(&expected, x->d[0], x->d[1], x->d[2], y->d[3]);
    for (int n = 0; n < x->d[0]; n++)
        for (int k = 0; k < x->d[1]; k++)
            for (int i = 0; i < x->d[2]; i++)
                for (int j = 0; j < y->d[3]; j++) {
                    double sum = 0;
                    for (int m = 0; m < x->d[3]; m++)
                        sum += at(x, n, k, i, m) * at(y, n % y->d[0], k % y->d[1], m, j);
                    *to(&expected, n, k, i, j) = sum;
                }
}

static void computes_matmul(void **state)
{
    (void)state;
    for (int known = 0; known < 2; known++) {
        begin(13);
        fill(&a, 2, 3, 7, 33);
        fill(&b, known ? 1 : 2, known ? 1 : 3, 33, 20);
        plain_input("x", &a);
        if (known)
            plain_constant("w", &b, 2);
        else
            plain_input("y", &b);
        node("MatMul", known ? "x,w" : "x,y", "z");
        matrix_product(&a, &b);
        check("MatMul");
    }
}

static void computes_gemm(void **state)
{
    (void)state;
    for (int turned = 0; turned < 2; turned++)
        for (int adds = 0; adds < 3; adds++) {
            begin(13);
            fill(&a, 1, 1, 9, 18);
            fill(&b, 1, 1, 18, 21);
            matrix_product(&a, &b);
            onnx.inputs[onnx.graph.n_input++] = value("x", a.d + 2, 2);
            c = b;
            if (turned) {
                shape(&c, 1, 1, 21, 18);
                for (int i = 0; i < 21 * 18; i++)
                    c.v[i] = b.v[i % 18 * 21 + i / 18];
            }
            plain_constant("w", &c, 2);
            fill(&c, 1, 1, adds > 1 ? 9 : 1, 21);
            plain_constant("s", &c, adds > 1 ? 2 : 1);
            for (int i = 0; i < 9 * 21 && adds; i++)
                expected.v[i] += c.v[adds > 1 ? i : i % 21];
            set_int(node("Gemm", adds ? "x,w,s" : "x,w", "z"), "transB", turned);
            check("Gemm");
        }
}

static void computes_softmax(void **state)
{
    static const int widths[] = { 1, 7, 16, 49, 2500 };
    (void)state;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        const int w = widths[i];
        begin(i % 2 ? 11 : 13);
        fill(&a, 1, 2, 3, w);
        plain_input("x", &a);
        set_int(node("Softmax", "x", "z"), "axis", i % 2 ? 3 : -1);
        expected = a;
        for (int row = 0; row < 6; row++) {
            double sum = 0;
            for (int k = 0; k < w; k++)
                sum += exp(a.v[row * w + k]);
            for (int k = 0; k < w; k++)
                expected.v[row * w + k] = exp(a.v[row * w + k]) / sum;
        }
        check("Softmax");
    }
    begin(13); /* along the channels of pictures */
    fill(&a, 2, 6, 7, 9);
    plain_input("x", &a);
    set_int(node("Softmax", "x", "z"), "axis", 1);
    expected = a;
    for (int i = 0; i < 2 * 63; i++) {
        const int first = i / 63 * 6 * 63 + i % 63;
        double sum = 0;
        for (int k = 0; k < 6; k++)
            sum += exp(a.v[first + k * 63]);
        for (int k = 0; k < 6; k++)
            expected.v[first + k * 63] = exp(a.v[first + k * 63]) / sum;
    }
    check("Softmax");
}

static void computes_layer_normalization(void **state)
{
    (void)state;
    begin(17);
    fill(&a, 2, 3, 5, 40);
    fill(&b, 1, 1, 1, 40);
    fill(&c, 1, 1, 1, 40);
    plain_input("x", &a);
    plain_constant("gain", &b, 1);
    plain_constant("shift", &c, 1);
    node("LayerNormalization", "x,gain,shift", "z");
    expected = a;
    for (int row = 0; row < 30; row++) {
        const double *x = a.v + row * 40;
        double mean = 0, variance = 0;
        for (int k = 0; k < 40; k++)
            mean += x[k] / 40;
        for (int k = 0; k < 40; k++)
            variance += (x[k] - mean) * (x[k] - mean) / 40;
        for (int k = 0; k < 40; k++)
            expected.v[row * 40 + k] = (x[k] - mean) / sqrt(variance + 1e-5) * b.v[k] + c.v[k];
    }
    check("LayerNormalization");
}

static void covers_the_table(void **state)
{
    (void)state;
    for (int i = 0; i < op_count; i++) {
        int found = 0;
        for (int k = 0; tested[k]; k++)
            found |= !strcmp(tested[k], ops[i].name);
        if (!found && ops[i].lower) /* the others have ONNX's own cases */
            fail_msg("%s has no test", ops[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(computes_unary),
        cmocka_unit_test(computes_clip),
        cmocka_unit_test(computes_binary),
        cmocka_unit_test(computes_conv),
        cmocka_unit_test(computes_pools),
        cmocka_unit_test(computes_global_pools),
        cmocka_unit_test(computes_resize),
        cmocka_unit_test(computes_the_nearest),
        cmocka_unit_test(computes_concat),
        cmocka_unit_test(computes_gather),
        cmocka_unit_test(computes_slice),
        cmocka_unit_test(computes_split),
        cmocka_unit_test(computes_pad),
        cmocka_unit_test(computes_identity),
        cmocka_unit_test(computes_matmul),
        cmocka_unit_test(computes_gemm),
        cmocka_unit_test(computes_softmax),
        cmocka_unit_test(computes_layer_normalization),
        cmocka_unit_test(covers_the_table),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
