#include "segment.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "end.h"

/* The planes that the decoder takes and gives as hints; what is beside the picture in one is surely outside. */
enum { HINT_SIDE = 256 };
#define OUTSIDE (-10.f)

/*
 * An answer is the next one's hint, and what it is unsure of would fade from one to the next: a hint says of every place
 * as surely as this that it is inside or outside. Of 4 masks change so much that they are made more often.
 */
#define SURE 3.f

/* As SAM's exporter calls them (facebookresearch/segment-anything, utils/onnx.py). */
#define LOW_MASKS "low_res_masks"
#define TRUST     "iou_predictions"

struct segment {
    struct device *device;
    struct nn_net *encoder, *decoder;
    struct fit *fit;                            /* the picture into the encoder's input */
    struct raster picture, embedding;           /* of the encoder */
    struct raster seen, points, hint, hinted;   /* the decoder's inputs, and ... */
    struct raster mask, trust;                  /* ... what it answers */
    int width, height, mask_width, mask_height; /* of the picture and of its part of a mask */
    float plane[HINT_SIDE * HINT_SIDE];         /* a mask as the decoder takes and gives it */
};

/* At the encoder's top left. */
static int open_fit(struct segment *s, const struct manifest *m, struct error *e)
{
    const struct manifest_file *f = &m->files[0];
    struct fit_params p = {
        .width = s->width, .height = s->height, .to_width = f->width, .to_height = f->height
    };
    memcpy(p.mean, m->mean, sizeof p.mean);
    memcpy(p.std, m->std, sizeof p.std);
    s->fit = fit_open(s->device, &p, e);
    return s->fit ? 0 : -1;
}

static int open_encoder(struct segment *s, const struct manifest *m, int threads, struct error *e)
{
    const struct manifest_file *f = &m->files[0];
    const struct nn_fixed input = {
        .name = m->input, .rank = 4, .dims = { 1, 3, f->height, f->width }
    };
    const struct nn_params net = {
        .device = s->device, .threads = threads, .fixed = &input, .fixed_count = 1
    };
    if (f->width != HINT_SIDE * SEGMENT_STEP || f->height != f->width)
        return error_set(e, "bad_model", "%s is of %dx%d, not of %dx%d.", f->file, f->width,
            f->height, HINT_SIDE * SEGMENT_STEP, HINT_SIDE * SEGMENT_STEP);
    if (manifest_verify(f, e) || !(s->encoder = nn_open(f->fd, f->file, &net, e)))
        return -1;
    return end_find(s->encoder, f->file, m->input, 3 * f->width * f->height, &s->picture, e) ||
                   open_fit(s, m, e)
               ? -1
               : 0;
}

static int open_decoder(struct segment *s, const struct manifest *encoder,
    const struct manifest *decoder, int threads, struct error *e)
{
    /* a box's corners, and a point that is none: asked so, it answers with the mask for one thing, not for a part of it */
    static const float labels[] = { 2, 3, -1 };
    const struct manifest_file *f = &decoder->files[0];
    /* masks of the picture's size are made of the small ones; nobody asks for them, and this is their least size */
    const float size[] = { 1, 1 };
    const struct nn_fixed fixed[] = {
        { .name = "point_coords", .rank = 3, .dims = { 1, 3, 2 } },
        { .name = "point_labels", .rank = 2, .dims = { 1, 3 }, .values = labels },
        { .name = "mask_input", .rank = 4, .dims = { 1, 1, HINT_SIDE, HINT_SIDE } },
        { .name = "has_mask_input", .rank = 1, .dims = { 1 } },
        { .name = "orig_im_size", .rank = 1, .dims = { 2 }, .values = size },
    };
    const struct nn_params net = { .device = s->device,
        .threads = threads,
        .fixed = fixed,
        .fixed_count = sizeof fixed / sizeof *fixed };
    struct nn_tensor seen;
    if (manifest_verify(f, e) || !(s->decoder = nn_open(f->fd, f->file, &net, e)) ||
        nn_tensor(s->decoder, decoder->input, &seen, e))
        return -1;
    const int values = seen.n * seen.c * seen.h * seen.w;
    const int plane = HINT_SIDE * HINT_SIDE;
    return end_find(s->encoder, encoder->files[0].file, encoder->outputs.embedding, values,
               &s->embedding, e) ||
                   end_find(s->decoder, f->file, decoder->input, values, &s->seen, e) ||
                   end_find(s->decoder, f->file, "point_coords", 6, &s->points, e) ||
                   end_find(s->decoder, f->file, "mask_input", plane, &s->hint, e) ||
                   end_find(s->decoder, f->file, "has_mask_input", 1, &s->hinted, e) ||
                   end_find(s->decoder, f->file, LOW_MASKS, plane, &s->mask, e) ||
                   end_find(s->decoder, f->file, TRUST, 1, &s->trust, e)
               ? -1
               : 0;
}

struct segment *segment_open(const struct manifest *encoder, const struct manifest *decoder,
    struct device *device, int width, int height, int threads, struct error *e)
{
    const struct manifest_file *f = &encoder->files[0];
    const double scale = fmin((double)f->width / width, (double)f->height / height);
    struct segment *s = calloc(1, sizeof *s);
    if (!s) {
        error_retry(e, "out_of_memory", "There is no memory for the network %s.", encoder->name);
        return NULL;
    }
    s->device = device;
    s->width = (int)fmax(1, floor(width * scale + .5));
    s->height = (int)fmax(1, floor(height * scale + .5));
    s->mask_width = (s->width + SEGMENT_STEP - 1) / SEGMENT_STEP;
    s->mask_height = (s->height + SEGMENT_STEP - 1) / SEGMENT_STEP;
    if (open_encoder(s, encoder, threads, e) || open_decoder(s, encoder, decoder, threads, e)) {
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

int64_t segment_bytes(const struct segment *s)
{
    return nn_card_bytes(s->encoder) + nn_card_bytes(s->decoder);
}

int segment_look(struct segment *s, const struct raster *picture, struct error *e)
{
    return fit_put(s->fit, picture, &s->picture, e) || nn_run(s->encoder, e) ||
                   raster_copy(s->device, &s->embedding, &s->seen, e)
               ? -1
               : 0;
}

static int set_hint(struct segment *s, const float *hint, struct error *e)
{
    const float hinted = hint != NULL;
    if (raster_write(s->device, &s->hinted, &hinted, e))
        return -1;
    if (!hint)
        return 0;
    for (int i = 0; i < HINT_SIDE * HINT_SIDE; i++)
        s->plane[i] = OUTSIDE;
    for (int y = 0; y < s->mask_height; y++)
        for (int x = 0; x < s->mask_width; x++) {
            const float logit = hint[(ptrdiff_t)y * s->mask_width + x];
            s->plane[y * HINT_SIDE + x] = logit > 0 ? fmaxf(logit, SURE) : fminf(logit, -SURE);
        }
    return raster_write(s->device, &s->hint, s->plane, e);
}

int segment_box(struct segment *s, const struct box *box, const float *hint, float *mask,
    float *trust, struct error *e)
{
    const float corners[6] = { box->left, box->top, box->right, box->bottom };
    if (raster_write(s->device, &s->points, corners, e) || set_hint(s, hint, e) ||
        nn_run(s->decoder, e) || raster_read(s->device, &s->trust, trust, e) ||
        raster_read(s->device, &s->mask, s->plane, e))
        return -1;
    for (int y = 0; y < s->mask_height; y++)
        memcpy(mask + (ptrdiff_t)y * s->mask_width, s->plane + (ptrdiff_t)y * HINT_SIDE,
            (size_t)s->mask_width * sizeof *mask);
    return 0;
}

void segment_close(struct segment *s)
{
    if (!s)
        return;
    fit_close(s->fit);
    nn_close(s->encoder);
    nn_close(s->decoder);
    free(s);
}
