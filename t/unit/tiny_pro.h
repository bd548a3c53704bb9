/*
 * Networks in the places of NanoDet's and MobileSAM's that are so small that what they answer is known. Red is a person: the
 * detector's cells of 8 x 8 that are, each in a box of its own, and the mask of what is looked at. What else the decoder is
 * given shows in its trust.
 */
#ifndef MATTE_UNIT_TINY_PRO_H
#define MATTE_UNIT_TINY_PRO_H

#include "onnx.h"

#include <stdio.h>

#include <openssl/sha.h>

#include "matte/manifest.h"

enum {
    TINY_SIDE = 1024,    /* of the encoder's input */
    TINY_CELL = 16,      /* of it, to one of the embedding */
    TINY_EMBEDDING = 64, /* its side */
    TINY_CHANNELS = 4,   /* its: mean red, green, blue, and 1 */
    TINY_MASK = 256,
    TINY_DETECTOR = 64, /* the detector's side */
};

/* A mask's logits are this many times red, less half of it. */
#define TINY_STEEP 16

/* What the file m->files[0] holds, of what was built since begin(). */
__attribute__((unused)) static void tiny_file(struct manifest *m, const char *name, int side)
{
    struct manifest_file *f = &m->files[0];
    unsigned char digest[32];
    size_t size;
    const uint8_t *bytes = file_bytes(&size);
    snprintf(f->file, sizeof f->file, "%s.onnx", name);
    f->fd = memfd_create(name, MFD_CLOEXEC);
    assert_int_equal(write(f->fd, bytes, size), size);
    assert_non_null(SHA256(bytes, size, digest));
    for (int i = 0; i < 32; i++)
        snprintf(f->sha256 + 2 * i, 3, "%02x", digest[i]);
    f->width = f->height = side;
    m->file_count = 1;
    strcpy(m->name, name);
    for (int i = 0; i < 3; i++)
        m->std[i] = 1;
}

/* Means of squares of `cell` pixels: of channel c of them weight[o][c] to channel o, and bias[o] more. */
__attribute__((unused)) static void tiny_means(const char *in, const char *out, int cell,
    int channels, const float weight[][3], const float *bias)
{
    float *w = calloc((size_t)(channels * 3 * cell * cell), sizeof *w);
    char weights[40], biases[40], names[100];
    snprintf(weights, sizeof weights, "%s_w", out);
    snprintf(biases, sizeof biases, "%s_b", out);
    snprintf(names, sizeof names, "%s,%s,%s", in, weights, biases);
    for (int i = 0; i < channels * 3; i++)
        for (int k = 0; k < cell * cell; k++)
            w[i * cell * cell + k] = weight[i / 3][i % 3] / (float)(cell * cell);
    floats(weights, w, 4, (int[]) { channels, 3, cell, cell });
    floats(biases, bias, 1, &channels);
    set_ints(node("Conv", names, out), "strides", 2, (int[]) { cell, cell });
    free(w);
}

__attribute__((unused)) static void tiny_encoder(struct manifest *m)
{
    static const float colours[TINY_CHANNELS][3] = { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } };
    static const float one[TINY_CHANNELS] = { 0, 0, 0, 1 };
    *m = (struct manifest) { .fit = FIT_PAD };
    begin(13);
    input("picture", 1, 3, TINY_SIDE, TINY_SIDE);
    tiny_means("picture", "embedding", TINY_CELL, TINY_CHANNELS, colours, one);
    output("embedding");
    strcpy(m->input, "picture");
    strcpy(m->outputs.embedding, "embedding");
    tiny_file(m, "encoder", TINY_SIDE);
}

/*
 * Logits are TINY_STEEP * (red - 1/2), and those of the hint are added where there is one. Trust is what tiny_trust() says
 * of the box, and where there is a hint the mean of its plane.
 */
__attribute__((unused)) static float tiny_trust(float left, float top, float right, float bottom)
{
    const float upper = 2, lower = 3; /* as SAM labels corners */
    return (upper * (left + 2 * top) + lower * (right + 2 * bottom)) /
           (6 * TINY_SIDE); /* the third point is at 0, 0 */
}

__attribute__((unused)) static void tiny_decoder(struct manifest *m)
{
    static const float red[TINY_CHANNELS] = { TINY_STEEP, 0, 0, -TINY_STEEP / 2.f };
    static const float weights[] = { 1.f / TINY_SIDE, 2.f / TINY_SIDE };
    static const float larger[] = { 1, 1, TINY_MASK / TINY_EMBEDDING, TINY_MASK / TINY_EMBEDDING };
    *m = (struct manifest) { 0 };
    begin(13);
    input("embeddings", 1, TINY_CHANNELS, TINY_EMBEDDING, TINY_EMBEDDING);
    onnx.inputs[onnx.graph.n_input++] = value("point_coords", (int[]) { 1, 3, 2 }, 3);
    onnx.inputs[onnx.graph.n_input++] = value("point_labels", (int[]) { 1, 3 }, 2);
    input("mask_input", 1, 1, TINY_MASK, TINY_MASK);
    onnx.inputs[onnx.graph.n_input++] = value("has_mask_input", (int[]) { 1 }, 1);
    onnx.inputs[onnx.graph.n_input++] = value("orig_im_size", (int[]) { 2 }, 1);
    floats("red", red, 4, (int[]) { 1, TINY_CHANNELS, 1, 1 });
    node("Conv", "embeddings,red", "low");
    floats("larger", larger, 1, (int[]) { 4 });
    set_text(node("Resize", "low,,larger", "wide"), "mode", "nearest");
    node("Mul", "mask_input,has_mask_input", "hint");
    node("Add", "wide,hint", "low_res_masks");
    output("low_res_masks");
    floats("weights", weights, 3, (int[]) { 1, 1, 2 });
    int64s("last", (int64_t[]) { 2 }, 1);
    node("Unsqueeze", "point_labels,last", "labels");
    node("Mul", "labels,weights", "weighted");
    node("Mul", "point_coords,weighted", "corners");
    set_int(node("ReduceMean", "corners", "middle"), "keepdims", 0);
    set_int(node("ReduceMean", "hint", "hinted"), "keepdims", 0);
    node("Add", "middle,hinted", "sum");
    int64s("one", (int64_t[]) { 1, 1 }, 2);
    node("Reshape", "sum,one", "iou_predictions");
    output("iou_predictions");
    strcpy(m->input, "embeddings");
    strcpy(m->outputs.masks, "masks");
    tiny_file(m, "decoder", TINY_EMBEDDING);
}

/* Of each scale: cells that are red have red for a score of the first class, others less; a box is its cell. */
__attribute__((unused)) static void tiny_scale(struct manifest *m, int s)
{
    static const int classes = 80, bins = 44;
    float colours[80][3] = { { 0 } }, none[44][3] = { { 0 } }, zero[80] = { 0 }, half[44];
    char name[4][20];
    const int cell = 8 << s, cells = TINY_DETECTOR / cell * (TINY_DETECTOR / cell);
    for (int i = 0; i < bins; i++) /* of sides 11 strides, of which the first two are as likely */
        half[i] = i % 11 < 2 ? 0 : -50;
    colours[0][0] = s == 0;
    for (int i = 0; i < 4; i++)
        snprintf(name[i], sizeof name[i], "%c%d", "abcd"[i], s);
    for (int i = 0; i < 2; i++) {
        const int channels = i ? bins : classes;
        char turned[40], shape[20], out[20];
        tiny_means("picture", name[i], cell, channels, i ? none : colours, i ? half : zero);
        snprintf(turned, sizeof turned, "%s_t", name[i]);
        set_ints(node("Transpose", name[i], turned), "perm", 4, (int[]) { 0, 2, 3, 1 });
        snprintf(shape, sizeof shape, "%s_s", name[i]);
        int64s(shape, (int64_t[]) { 1, cells, channels }, 3);
        strcat(strcat(turned, ","), shape);
        snprintf(out, sizeof out, "%s%d", i ? "boxes" : "scores", s);
        node("Reshape", turned, out);
        output(out);
        strcpy(i ? m->outputs.boxes[s] : m->outputs.scores[s], out);
    }
}

__attribute__((unused)) static void tiny_detector(struct manifest *m)
{
    *m = (struct manifest) { 0 };
    begin(13);
    input("picture", 1, 3, TINY_DETECTOR, TINY_DETECTOR);
    for (int s = 0; s < 3; s++)
        tiny_scale(m, s);
    strcpy(m->input, "picture");
    tiny_file(m, "detector", TINY_DETECTOR);
}

__attribute__((unused)) static void tiny_close(struct manifest *m)
{
    close(m->files[0].fd);
}

#endif
