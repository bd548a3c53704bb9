/*
 * Small networks of the blocks that real ones are built of: for tests of networks that cannot be fetched, and as what
 * broken files are made from. Each begins a file of its own.
 */
#ifndef MATTE_UNIT_BLOCKS_H
#define MATTE_UNIT_BLOCKS_H

#include "pass.h"

__attribute__((unused)) static void input_of(const char *name, int rank, const int *dims)
{
    onnx.inputs[onnx.graph.n_input++] = value(name, dims, rank);
}

/* A node that also reads a constant of integers, called as its output and `_of`. */
__attribute__((unused)) static Onnx__NodeProto *node_ints(
    const char *op, const char *from, const char *to, int count, const int *values)
{
    int64_t wide[6];
    char name[40], inputs[80];
    for (int i = 0; i < count; i++)
        wide[i] = values[i];
    snprintf(name, sizeof name, "%s_of", to);
    snprintf(inputs, sizeof inputs, "%s,%s", from, name);
    int64s(name, wide, count);
    return node(op, inputs, to);
}

#define NODE_INTS(op, from, to, ...) \
    node_ints(op, from, to, sizeof((int[]) { __VA_ARGS__ }) / sizeof(int), (int[]) { __VA_ARGS__ })

__attribute__((unused)) static void slice(
    const char *from, const char *to, int axis, int64_t start, int64_t end)
{
    char name[3][40], inputs[160];
    snprintf(name[0], sizeof name[0], "%s_start", to);
    snprintf(name[1], sizeof name[1], "%s_end", to);
    snprintf(name[2], sizeof name[2], "%s_axis", to);
    snprintf(inputs, sizeof inputs, "%s,%s,%s,%s", from, name[0], name[1], name[2]);
    int64s(name[0], &start, 1);
    int64s(name[1], &end, 1);
    int64s(name[2], (int64_t[]) { axis }, 1);
    node("Slice", inputs, to);
}

static void permute(const char *from, const char *to, int rank, const int *axes)
{
    set_ints(node("Transpose", from, to), "perm", rank, axes);
}

#define PERMUTE(from, to, ...) \
    permute(from, to, sizeof((int[]) { __VA_ARGS__ }) / sizeof(int), (int[]) { __VA_ARGS__ })

__attribute__((unused)) static Onnx__NodeProto *padded_conv(
    const char *inputs, const char *to, int pad, int dilation)
{
    Onnx__NodeProto *n = node("Conv", inputs, to);
    set_ints(n, "pads", 4, (int[]) { pad, pad, pad, pad });
    set_ints(n, "dilations", 2, (int[]) { dilation, dilation });
    return n;
}

/* A little of everything that convolutional networks do. */
__attribute__((unused)) static void build_small(void)
{
    begin(13);
    input("x", 1, 3, 8, 8);
    input("h", 1, 4, 4, 4);
    NOISE("w", 8, 3, 3, 3);
    NOISE("b", 8);
    scalar("zero", 0);
    scalar("six", 6);
    int64s("sizes", (int64_t[]) { 1, 4, 8, 8 }, 4);
    Onnx__NodeProto *n = node("Conv", "x,w,b", "c");
    set_ints(n, "strides", 2, (int[]) { 2, 2 });
    set_ints(n, "pads", 4, (int[]) { 1, 1, 1, 1 });
    node("Clip", "c,zero,six", "d");
    set_int(node("Split", "d", "p,q"), "axis", 1);
    set_int(node("Concat", "p,h", "r"), "axis", 1);
    node("GlobalAveragePool", "r", "g");
    node("Mul", "r,g", "m");
    node("Add", "q,h", "s");
    n = node("Resize", "s,,,sizes", "z");
    set_text(n, "mode", "linear");
    output("z");
    output("m");
}

/* MODNet: half of the channels normalised by what was learned, half by themselves; then squeezed and excited. */
__attribute__((unused)) static void build_modnet(void)
{
    begin(11);
    input("x", 1, 6, 7, 5);
    NOISE("w", 16, 6, 3, 3);
    NOISE("b", 16);
    NOISE("scale", 8);
    NOISE("shift", 8);
    NOISE("mean", 8);
    floats("variance", (float[]) { 1, 2, .5f, 1, 1, 3, 1, 1 }, 1, (int[]) { 8 });
    NOISE("down", 16, 4);
    NOISE("up", 4, 16);
    padded_conv("x,w,b", "c", 1, 1);
    slice("c", "c1", 1, 0, 8);
    slice("c", "c2", 1, 8, INT64_MAX);
    node("BatchNormalization", "c1,scale,shift,mean,variance", "n1");
    node("InstanceNormalization", "c2,scale,shift", "n2");
    set_int(node("Concat", "n1,n2", "n"), "axis", 1);
    node("Relu", "n", "r");
    node("GlobalAveragePool", "r", "p");
    NODE_INTS("Reshape", "p", "v", 1, 16);
    node("MatMul", "v,down", "v1");
    node("Relu", "v1", "v2");
    node("MatMul", "v2,up", "v3");
    node("Sigmoid", "v3", "v4");
    NODE_INTS("Reshape", "v4", "g", 1, 16, 1, 1);
    NODE_INTS("Expand", "g", "e", 1, 16, 7, 5);
    node("Mul", "r,e", "m");
    int64s("sizes", (int64_t[]) { 1, 16, 14, 10 }, 4);
    Onnx__NodeProto *n = node("Resize", "m,,,sizes", "z");
    set_text(n, "mode", "linear");
    output("z");
}

/* A layer normalisation over the last axis, as exporters wrote it before there was an operator. */
__attribute__((unused)) static void layer_norm(const char *from, const char *to)
{
    char a[6][40], inputs[90];
    static const char *const suffix[] = { "m", "d", "q", "v", "e", "s" };
    for (int i = 0; i < 6; i++)
        snprintf(a[i], sizeof a[i], "%s_%s", to, suffix[i]);
    set_ints(node("ReduceMean", from, a[0]), "axes", 1, (int[]) { -1 });
    snprintf(inputs, sizeof inputs, "%s,%s", from, a[0]);
    node("Sub", inputs, a[1]);
    snprintf(inputs, sizeof inputs, "%s,two", a[1]);
    node("Pow", inputs, a[2]);
    set_ints(node("ReduceMean", a[2], a[3]), "axes", 1, (int[]) { -1 });
    snprintf(inputs, sizeof inputs, "%s,tiny", a[3]);
    node("Add", inputs, a[4]);
    node("Sqrt", a[4], a[5]);
    snprintf(inputs, sizeof inputs, "%s,%s", a[1], a[5]);
    node("Div", inputs, to);
}

/* BiRefNet's backbone: a Swin block whose windows are shifted by slices and concatenations. */
__attribute__((unused)) static void build_swin(void)
{
    enum { H = 4, W = 6, SIDE = 2, C = 8, HEADS = 2 };
    begin(13);
    input_of("x", 3, (int[]) { 1, H * W, C });
    scalar("two", 2);
    scalar("tiny", 1e-5f);
    scalar("scale", .5f);
    scalar("root2", 1.41421356f);
    scalar("one", 1);
    scalar("half", .5f);
    NOISE("w_qkv", C, 3 * C);
    NOISE("b_qkv", 3 * C);
    NOISE("position", 1, HEADS, SIDE * SIDE, SIDE * SIDE);
    NOISE("w_out", C, C);
    NOISE("w_mlp", C, 2 * C);
    NOISE("w_end", 2 * C, C);
    layer_norm("x", "n");
    NODE_INTS("Reshape", "n", "p", 1, H, W, C);
    slice("p", "p1", 1, 1, INT64_MAX); /* rolled by a row and a column */
    slice("p", "p2", 1, 0, 1);
    set_int(node("Concat", "p1,p2", "q"), "axis", 1);
    slice("q", "q1", 2, 1, INT64_MAX);
    slice("q", "q2", 2, 0, 1);
    set_int(node("Concat", "q1,q2", "r"), "axis", 2);
    NODE_INTS("Reshape", "r", "s", 1, H / SIDE, SIDE, W / SIDE, SIDE, C);
    PERMUTE("s", "t", 0, 1, 3, 2, 4, 5);
    NODE_INTS("Reshape", "t", "u", -1, SIDE * SIDE, C);
    node("MatMul", "u,w_qkv", "v");
    node("Add", "v,b_qkv", "w");
    NODE_INTS("Reshape", "w", "a", -1, SIDE * SIDE, 3, HEADS, C / HEADS);
    PERMUTE("a", "b", 2, 0, 3, 1, 4);
    for (int i = 0; i < 3; i++) {
        const char *const names[] = { "query", "key", "value" };
        char index[20], inputs[30];
        snprintf(index, sizeof index, "index%d", i);
        snprintf(inputs, sizeof inputs, "b,%s", index);
        int64_t at = i;
        constant(index, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, &at, sizeof at, 0, NULL);
        set_int(node("Gather", inputs, names[i]), "axis", 0);
    }
    node("Mul", "query,scale", "scaled");
    PERMUTE("key", "turned", 0, 1, 3, 2);
    node("MatMul", "scaled,turned", "scores");
    node("Add", "scores,position", "moved");
    set_int(node("Softmax", "moved", "weights"), "axis", -1);
    node("MatMul", "weights,value", "mixed");
    PERMUTE("mixed", "c", 0, 2, 1, 3);
    NODE_INTS("Reshape", "c", "d", -1, SIDE * SIDE, C);
    node("MatMul", "d,w_out", "e");
    NODE_INTS("Reshape", "e", "f", 1, H / SIDE, W / SIDE, SIDE, SIDE, C);
    PERMUTE("f", "g", 0, 1, 3, 2, 4, 5);
    NODE_INTS("Reshape", "g", "h", 1, H, W, C);
    slice("h", "h1", 1, -1, INT64_MAX); /* and back */
    slice("h", "h2", 1, 0, -1);
    set_int(node("Concat", "h1,h2", "i"), "axis", 1);
    slice("i", "i1", 2, -1, INT64_MAX);
    slice("i", "i2", 2, 0, -1);
    set_int(node("Concat", "i1,i2", "j"), "axis", 2);
    NODE_INTS("Reshape", "j", "k", 1, H * W, C);
    node("Add", "x,k", "l");
    layer_norm("l", "m");
    node("MatMul", "m,w_mlp", "o");
    node("Div", "o,root2", "o1");
    node("Erf", "o1", "o2");
    node("Add", "o2,one", "o3");
    node("Mul", "o,o3", "o4");
    node("Mul", "o4,half", "o5");
    node("MatMul", "o5,w_end", "y");
    node("Add", "l,y", "z");
    output("z");
}

/* BiRefNet's decoder without its deformable convolutions: what is near and far, at several dilations. */
__attribute__((unused)) static void build_aspp(void)
{
    begin(16);
    input("x", 1, 8, 9, 7);
    NOISE("w1", 4, 8, 1, 1);
    NOISE("w3", 4, 8, 3, 3);
    NOISE("w", 8, 16, 1, 1);
    NOISE("scale", 4);
    NOISE("mean", 4);
    floats("variance", (float[]) { 1, 2, .5f, 1 }, 1, (int[]) { 4 });
    node("Conv", "x,w1", "a");
    node("BatchNormalization", "a,scale,mean,mean,variance", "a1");
    node("Relu", "a1", "a2");
    padded_conv("x,w3", "b", 2, 2);
    node("BatchNormalization", "b,scale,mean,mean,variance", "b1");
    node("Relu", "b1", "b2");
    padded_conv("x,w3", "c", 3, 3);
    node("BatchNormalization", "c,scale,mean,mean,variance", "c1");
    node("Relu", "c1", "c2");
    node("GlobalAveragePool", "x", "p");
    node("Conv", "p,w1", "d");
    node("Relu", "d", "d1");
    int64s("sizes", (int64_t[]) { 1, 4, 9, 7 }, 4);
    Onnx__NodeProto *n = node("Resize", "d1,,,sizes", "d2");
    set_text(n, "mode", "linear");
    set_text(n, "coordinate_transformation_mode", "align_corners");
    set_int(node("Concat", "a2,b2,c2,d2", "e"), "axis", 1);
    node("Conv", "e,w", "z");
    output("z");
}

/* MediaPipe's multiclass network: channels last, tokens that look at one another, and the way back up. */
__attribute__((unused)) static void build_multiclass(void)
{
    begin(13);
    input("x", 1, 4, 6, 8); /* N, H, W, C */
    NOISE("w", 8, 8, 1, 1);
    NOISE("deep", 8, 1, 3, 3);
    NOISE("bias", 8);
    NOISE("up", 8, 6, 2, 2);
    scalar("three", 3);
    scalar("zero", 0);
    scalar("six", 6);
    scalar("sixth", 1.0f / 6);
    PERMUTE("x", "a", 0, 3, 1, 2);
    node("Conv", "a,w", "b");
    PERMUTE("b", "c", 0, 2, 3, 1);
    node("Add", "c,bias", "d");
    node("Add", "d,three", "e");
    node("Clip", "e,zero,six", "f");
    node("Mul", "d,f", "g");
    node("Mul", "g,sixth", "h");
    PERMUTE("h", "i", 0, 3, 1, 2);
    set_int(padded_conv("i,deep,bias", "j", 1, 1), "group", 8);
    PERMUTE("j", "k", 0, 2, 3, 1);
    NODE_INTS("Reshape", "k", "tokens", 1, 24, 8);
    PERMUTE("tokens", "turned", 0, 2, 1);
    node("MatMul", "turned,tokens", "scores");
    node("Softmax", "scores", "weights");
    node("MatMul", "tokens,weights", "mixed");
    NODE_INTS("ReduceSum", "mixed", "sum", 1);
    node("Add", "mixed,sum", "l");
    NODE_INTS("Reshape", "l", "m", 1, 4, 6, 8);
    PERMUTE("m", "n", 0, 3, 1, 2);
    set_ints(node("ConvTranspose", "n,up", "o"), "strides", 2, (int[]) { 2, 2 });
    int64s("sizes", (int64_t[]) { 1, 6, 16, 24 }, 4);
    Onnx__NodeProto *n = node("Resize", "o,,,sizes", "q");
    set_text(n, "mode", "nearest");
    set_text(n, "coordinate_transformation_mode", "asymmetric");
    set_text(n, "nearest_mode", "floor");
    set_int(node("Softmax", "q", "z"), "axis", 1);
    output("z");
}

static const struct {
    const char *name;
    void (*build)(void);
} blocks[] = {
    { "small", build_small },
    { "modnet", build_modnet },
    { "swin", build_swin },
    { "aspp", build_aspp },
    { "multiclass", build_multiclass },
};

#endif
