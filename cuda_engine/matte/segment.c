#include "segment.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../nn/nn.h"

/* The planes that the decoder takes and gives as hints; what is beside the picture in one is surely outside. */
enum { HINT_SIDE = 256 };
#define OUTSIDE (-10.f)

/* As SAM's exporter calls them (facebookresearch/segment-anything, utils/onnx.py). */
#define LOW_MASKS "low_res_masks"
#define TRUST     "iou_predictions"

struct segment {
    struct nn_net *encoder, *decoder;
    struct nn_tensor picture, embedding;         /* of the encoder */
    struct nn_tensor seen, points, hint, hinted; /* the decoder's inputs, and ... */
    struct nn_tensor mask, trust;                /* ... what it answers */
    int width, height, mask_width, mask_height;  /* of the picture and of its part of a mask */
};

static int find(struct nn_net *net, const struct manifest *m, const char *name, int values,
    struct nn_tensor *t, struct error *e)
{
    if (nn_tensor(net, name, t, e))
        return -1;
    if (t->n * t->c * t->h * t->w != values)
        return error_set(e, "bad_model", "%s: %s has %d values, not %d.", m->files[0].file, name,
            t->n * t->c * t->h * t->w, values);
    return 0;
}

static int open_encoder(struct segment *s, const struct manifest *m, int threads, struct error *e)
{
    const struct manifest_file *f = &m->files[0];
    const struct nn_fixed input = {
        .name = m->input, .rank = 4, .dims = { 1, 3, f->height, f->width }
    };
    const struct nn_params net = { .threads = threads, .fixed = &input, .fixed_count = 1 };
    if (f->width != HINT_SIDE * SEGMENT_STEP || f->height != f->width)
        return error_set(e, "bad_model", "%s is of %dx%d, not of %dx%d.", f->file, f->width,
            f->height, HINT_SIDE * SEGMENT_STEP, HINT_SIDE * SEGMENT_STEP);
    if (manifest_verify(f, e) || !(s->encoder = nn_open(f->fd, f->file, &net, e)))
        return -1;
    return find(s->encoder, m, m->input, 3 * f->width * f->height, &s->picture, e) ||
           nn_tensor(s->encoder, m->outputs.embedding, &s->embedding, e);
}

static int open_decoder(struct segment *s, const struct manifest *m, int threads, struct error *e)
{
    /* a box's corners, and a point that is none: asked so, it answers with the mask for one thing, not for a part of it */
    static const float labels[] = { 2, 3, -1 };
    const struct manifest_file *f = &m->files[0];
    /* masks of the picture's size are made of the small ones; nobody asks for them, and this is their least size */
    const float size[] = { 1, 1 };
    const struct nn_fixed fixed[] = {
        { .name = "point_coords", .rank = 3, .dims = { 1, 3, 2 } },
        { .name = "point_labels", .rank = 2, .dims = { 1, 3 }, .values = labels },
        { .name = "mask_input", .rank = 4, .dims = { 1, 1, HINT_SIDE, HINT_SIDE } },
        { .name = "has_mask_input", .rank = 1, .dims = { 1 } },
        { .name = "orig_im_size", .rank = 1, .dims = { 2 }, .values = size },
    };
    const struct nn_params net = {
        .threads = threads, .fixed = fixed, .fixed_count = sizeof fixed / sizeof *fixed
    };
    if (manifest_verify(f, e) || !(s->decoder = nn_open(f->fd, f->file, &net, e)))
        return -1;
    const int seen = s->embedding.n * s->embedding.c * s->embedding.h * s->embedding.w;
    return find(s->decoder, m, m->input, seen, &s->seen, e) ||
           find(s->decoder, m, "point_coords", 6, &s->points, e) ||
           find(s->decoder, m, "mask_input", HINT_SIDE * HINT_SIDE, &s->hint, e) ||
           find(s->decoder, m, "has_mask_input", 1, &s->hinted, e) ||
           find(s->decoder, m, LOW_MASKS, HINT_SIDE * HINT_SIDE, &s->mask, e) ||
           find(s->decoder, m, TRUST, 1, &s->trust, e);
}

struct segment *segment_open(const struct manifest *encoder, const struct manifest *decoder,
    int width, int height, int threads, struct error *e)
{
    const struct manifest_file *f = &encoder->files[0];
    const double scale = fmin((double)f->width / width, (double)f->height / height);
    struct segment *s = calloc(1, sizeof *s);
    if (!s) {
        error_retry(e, "out_of_memory", "There is no memory for the network %s.", encoder->name);
        return NULL;
    }
    s->width = (int)fmax(1, floor(width * scale + .5));
    s->height = (int)fmax(1, floor(height * scale + .5));
    s->mask_width = (s->width + SEGMENT_STEP - 1) / SEGMENT_STEP;
    s->mask_height = (s->height + SEGMENT_STEP - 1) / SEGMENT_STEP;
    if (open_encoder(s, encoder, threads, e) || open_decoder(s, decoder, threads, e)) {
        segment_close(s);
        return NULL;
    }
    return s;
}

void segment_size(const struct segment *s, int *width, int *height)
{
    *width = s->width;
    *height = s->height;
}

void segment_mask_size(const struct segment *s, int *width, int *height)
{
    *width = s->mask_width;
    *height = s->mask_height;
}

/* The padding was zeros from the beginning and stays. */
int segment_look(struct segment *s, const float *picture, struct error *e)
{
    const struct nn_tensor *to = &s->picture;
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < s->height; y++)
            memcpy(to->data + ((ptrdiff_t)c * to->h + y) * to->w,
                picture + ((ptrdiff_t)c * s->height + y) * s->width,
                (size_t)s->width * sizeof *picture);
    if (nn_run(s->encoder, e))
        return -1;
    const size_t values = (size_t)s->embedding.n * (size_t)s->embedding.c * (size_t)s->embedding.h *
                          (size_t)s->embedding.w;
    memcpy(s->seen.data, s->embedding.data, values * sizeof *s->seen.data);
    return 0;
}

static void set_hint(struct segment *s, const float *hint)
{
    s->hinted.data[0] = hint != NULL;
    if (!hint)
        return;
    for (int i = 0; i < HINT_SIDE * HINT_SIDE; i++)
        s->hint.data[i] = OUTSIDE;
    for (int y = 0; y < s->mask_height; y++)
        memcpy(s->hint.data + (ptrdiff_t)y * HINT_SIDE, hint + (ptrdiff_t)y * s->mask_width,
            (size_t)s->mask_width * sizeof *hint);
}

int segment_box(struct segment *s, const struct box *box, const float *hint, float *mask,
    float *trust, struct error *e)
{
    const float corners[] = { box->left, box->top, box->right, box->bottom };
    memcpy(s->points.data, corners, sizeof corners);
    set_hint(s, hint);
    if (nn_run(s->decoder, e))
        return -1;
    for (int y = 0; y < s->mask_height; y++)
        memcpy(mask + (ptrdiff_t)y * s->mask_width, s->mask.data + (ptrdiff_t)y * HINT_SIDE,
            (size_t)s->mask_width * sizeof *mask);
    *trust = s->trust.data[0];
    return 0;
}

void segment_close(struct segment *s)
{
    if (!s)
        return;
    nn_close(s->encoder);
    nn_close(s->decoder);
    free(s);
}
