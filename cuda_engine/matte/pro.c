/*
 * The model `pro`. A detector sees things in some of the frames, which are followed through all of them; those that the
 * prompt keeps are cut out by a segmenter, which looks again when the picture has changed enough, and in between their
 * masks move along with the picture. The networks run
 * where the pictures are; the rest is little, and the host's: of each frame it is given a picture as small as a mask.
 */
#include "kind.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../log.h"
#include "selection.h"
#include "motion.h"
#include "segment.h"

/* Frames between two looks of the detector: while things move, where they touch, hide or come in, where all stands still. */
enum { LOOK_MOVING = 3, LOOK_TOUCHING = 1, LOOK_STILL = 50 };

/* The part of the picture that must move to be more than leaves in the wind. */
#define MOVING .01f

/*
 * A mask ages, and at 1 it is made again: by what of the picture could not be found where it should have gone (codes of
 * luma above the noise), by growth, by each frame in which it moved or touched another thing, by its way over its size, as
 * what walks swings its legs, by more of it where the border cuts it, as what comes in there was in no mask, and when its box
 * is not the detector's.
 */
#define AGE_RESIDUAL (1 / 25.f)
#define AGE_GROWN    2.f
#define AGE_MOVED    .03f
#define AGE_WAY      3.f
#define AGE_TOUCHED  .08f
#define AGE_CUT      5.f
#define AGE_BOX      .5f
#define RESIDUAL     1.5f
#define SAME_BOX     .7f

/* When the picture is looked at for one of them, masks of this age are made again with it. */
#define AGE_WITH .15f

/* An answer of less trust is asked for once more, without the mask as it was. */
#define TRUSTED .8f

/* A mask ends outside of its box, wider by this part of it. */
#define WIDER .12f

/* Alpha rises from 0 to 1 between these logits, -SOFT and SOFT. */
#define SOFT 3.f

/* What no mask says anything of. */
#define NOTHING (-10.f)

struct thing {
    int id;     /* of its track; 0: free */
    int masked; /* it has a mask */
    int needed; /* its mask matters in this frame */
    float age;  /* of the mask */
    float *mask;
};

enum cost { COST_FOLLOW, COST_DETECT, COST_ENCODE, COST_DECODE, COST_ALPHA, COSTS };

struct pro {
    struct model base;
    const struct manifest *manifest;
    struct model_params params;
    struct detector *detector;
    struct segment *segment;
    struct motion *motion;
    struct tracker tracker;
    struct selection selection;
    struct prompt prompt;
    struct thing things[TRACKS];
    struct device *
        home; /* of the networks: that of pictures, or the processor where a card does not run them */
    struct raster seen, made;    /* the picture and its alpha where the device computes */
    struct raster picture;       /* where the networks run: seen, or a copy */
    struct raster small;         /* there, as large as a mask, values of 0..255 */
    struct scaler *shrink;       /* from picture to small */
    int width, height;           /* of the picture */
    int mask_width, mask_height; /* SEGMENT_STEP times smaller */
    float *alpha, *rows;         /* in host memory; rows: two of masks as wide as the picture */
    float *colors;               /* what is small, in host memory: in floats, and ... */
    uint8_t *rgb, *luma;         /* ... in codes */
    float *moved, *kept, *excluded;
    int found;            /* something was kept in a frame so far */
    int looked;           /* the segmenter has seen this frame */
    struct error failure; /* of a mask that was wanted for its colours */
    int failed;
    struct {
        int64_t runs;
        double seconds;
    } costs[COSTS];
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double count_cost(struct pro *p, enum cost which, double since)
{
    const double t = now();
    p->costs[which].runs++;
    p->costs[which].seconds += t - since;
    return t;
}

/* ---- opening ---- */

static void pro_reset(struct model *model);
static void pro_close(struct model *model);

static int make_room(struct pro *p, struct error *e)
{
    const size_t pixels = (size_t)p->width * (size_t)p->height;
    const size_t samples = (size_t)p->mask_width * (size_t)p->mask_height;
    int missing = 0;
    assert(pixels && samples);
    missing |= !(p->alpha = calloc(pixels, sizeof *p->alpha));
    missing |= !(p->rows = calloc(2 * (size_t)p->width, sizeof *p->rows));
    missing |= !(p->colors = calloc(3 * samples, sizeof *p->colors));
    missing |= !(p->rgb = calloc(3 * samples, 1));
    missing |= !(p->luma = calloc(samples, 1));
    missing |= !(p->moved = calloc(samples, sizeof *p->moved));
    missing |= !(p->kept = calloc(samples, sizeof *p->kept));
    missing |= !(p->excluded = calloc(samples, sizeof *p->excluded));
    for (int i = 0; i < TRACKS; i++)
        missing |= !(p->things[i].mask = calloc(samples, sizeof *p->things[i].mask));
    if (missing)
        return error_retry(
            e, "out_of_memory", "There is no memory for the model %s.", p->manifest->name);
    return 0;
}

static int is_apart(const struct pro *p)
{
    return device_is_apart(p->params.device);
}

/* Alpha is drawn in host memory, which is the processor's raster. */
static int open_rasters(struct pro *p, struct error *e)
{
    struct device *device = p->params.device;
    if (raster_open(device, &p->seen, p->width, p->height, 3, e) ||
        raster_open(p->home, &p->small, p->mask_width, p->mask_height, 3, e))
        return -1;
    p->picture = p->seen;
    if (p->home != device && raster_open(p->home, &p->picture, p->width, p->height, 3, e))
        return -1;
    p->made = (struct raster) { p->alpha, p->width, p->height, 1, 0 };
    return is_apart(p) ? raster_open(device, &p->made, p->width, p->height, 1, e) : 0;
}

/* Means of SEGMENT_STEP x SEGMENT_STEP pixels; at the right and below of what is left. */
static int open_shrink(struct pro *p, struct error *e)
{
    struct scaler_params s = { .width = p->width,
        .height = p->height,
        .to_width = p->mask_width,
        .to_height = p->mask_height,
        .across = p->mask_width * SEGMENT_STEP,
        .down = p->mask_height * SEGMENT_STEP };
    for (int c = 0; c < 3; c++) {
        s.gain[c] = 255 * p->manifest->std[c];
        s.offset[c] = 255 * p->manifest->mean[c];
    }
    p->shrink = scaler_open(p->home, &s, e);
    return p->shrink ? 0 : -1;
}

static int open_networks(struct pro *p, struct error *e)
{
    const struct manifest_parts *parts = &p->manifest->parts;
    const struct model_params *params = &p->params;
    p->segment = segment_open(
        parts->encoder, parts->decoder, p->home, params->width, params->height, params->threads, e);
    if (!p->segment)
        return -1;
    segment_size(p->segment, &p->width, &p->height);
    segment_mask_size(p->segment, &p->mask_width, &p->mask_height);
    p->detector = detector_open(
        parts->detector, p->manifest, p->home, p->width, p->height, params->threads, e);
    return p->detector ? 0 : -1;
}

static void close_networks(struct pro *p)
{
    detector_close(p->detector);
    segment_close(p->segment);
    p->detector = NULL;
    p->segment = NULL;
}

/* On the device; where that is a card which does not run all of them, on the processor. */
static int open_networks_somewhere(struct pro *p, struct error *e)
{
    p->home = p->params.device;
    if (!open_networks(p, e))
        return 0;
    if (!is_apart(p) || !kind_refused(e))
        return -1;
    log_event(LOG_WARN, "network_on_processor", log_str("network", p->manifest->name),
        log_str("reason", e->text));
    close_networks(p);
    p->home = device_open("cpu", e);
    return p->home ? open_networks(p, e) : -1;
}

static int open_parts(struct pro *p, struct error *e)
{
    const struct manifest_parts *parts = &p->manifest->parts;
    const struct manifest *const networks[] = { parts->detector, parts->encoder, parts->decoder };
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        if (networks[i]->files[0].fd < 0)
            return error_set(e, "model_not_installed",
                "None of the files of the network %s is installed.", networks[i]->name);
    if (open_networks_somewhere(p, e) || make_room(p, e) || open_rasters(p, e) || open_shrink(p, e))
        return -1;
    p->motion = motion_open(p->mask_width, p->mask_height, e);
    return p->motion ? 0 : -1;
}

static struct model *pro_open(
    const struct manifest *m, const struct model_params *params, struct error *e)
{
    struct pro *p = calloc(1, sizeof *p);
    if (!p) {
        error_retry(e, "out_of_memory", "There is no memory for the model %s.", m->name);
        return NULL;
    }
    p->manifest = m;
    p->params = *params;
    if (open_parts(p, e)) {
        pro_close(&p->base);
        return NULL;
    }
    pro_reset(&p->base);
    return &p->base;
}

static int pro_suits(
    const struct model *model, const struct manifest *m, const struct model_params *params)
{
    const struct pro *p = (const struct pro *)model;
    return p->manifest == m && p->params.width == params->width &&
           p->params.height == params->height && p->params.device == params->device;
}

static const struct raster *pro_input(const struct model *model)
{
    return &((const struct pro *)model)->seen;
}

static void pro_ask(struct model *model, const struct prompt *prompt)
{
    ((struct pro *)model)->prompt = prompt ? *prompt : (struct prompt) { 0 };
    pro_reset(model);
}

static void pro_reset(struct model *model)
{
    struct pro *p = (struct pro *)model;
    tracker_start(&p->tracker, p->width, p->height);
    selection_start(&p->selection, &p->prompt);
    motion_reset(p->motion);
    for (int i = 0; i < TRACKS; i++)
        p->things[i].id = 0;
    p->found = 0;
    memset(p->costs, 0, sizeof p->costs);
}

/* ---- the small picture ---- */

static uint8_t code(float value)
{
    return (uint8_t)(fminf(fmaxf(value, 0), 255) + .5f);
}

/* All devices decide by the same codes. */
static int shrink(struct pro *p, struct error *e)
{
    const int count = p->mask_width * p->mask_height;
    const float *r = p->colors, *g = r + count, *b = g + count;
    if (scaler_run(p->shrink, &p->picture, &p->small, e))
        return -1;
    raster_round(p->home, &p->small);
    if (raster_read(p->home, &p->small, p->colors, e))
        return -1;
    for (int i = 0; i < count; i++) {
        uint8_t *rgb = p->rgb + 3 * (ptrdiff_t)i;
        rgb[0] = code(r[i]);
        rgb[1] = code(g[i]);
        rgb[2] = code(b[i]);
        p->luma[i] = code(.299f * r[i] + .587f * g[i] + .114f * b[i]);
    }
    return 0;
}

/* In pixels of the small picture. */
static struct box small_box(const struct box *b)
{
    return (struct box) { b->left / SEGMENT_STEP, b->top / SEGMENT_STEP, b->right / SEGMENT_STEP,
        b->bottom / SEGMENT_STEP };
}

/* ---- things and their tracks ---- */

static struct thing *thing_of(struct pro *p, const struct track *k)
{
    struct thing *unused = NULL;
    for (int i = 0; i < TRACKS; i++) {
        if (p->things[i].id == k->id)
            return &p->things[i];
        if (!p->things[i].id && !unused)
            unused = &p->things[i];
    }
    *unused = (struct thing) { .id = k->id, .mask = unused->mask };
    return unused;
}

/* Things whose tracks are lost or forgotten have no mask any more. */
static void drop_things(struct pro *p)
{
    for (int i = 0; i < TRACKS; i++) {
        const struct track *k = NULL;
        for (int j = 0; j < p->tracker.count; j++)
            if (p->tracker.tracks[j].id == p->things[i].id)
                k = &p->tracker.tracks[j];
        if (!k)
            p->things[i].id = 0;
        if (!k || k->state == TRACK_LOST)
            p->things[i].masked = 0;
    }
}

/* What part of the box of a mask, and of a box, both have. */
static float mask_fits(const struct pro *p, const float *mask, const struct box *box)
{
    struct box b = { (float)p->width, (float)p->height, 0, 0 };
    for (int y = 0; y < p->mask_height; y++)
        for (int x = 0; x < p->mask_width; x++)
            if (mask[(ptrdiff_t)y * p->mask_width + x] > 0) {
                b.left = fminf(b.left, (float)(x * SEGMENT_STEP));
                b.top = fminf(b.top, (float)(y * SEGMENT_STEP));
                b.right = fmaxf(b.right, (float)((x + 1) * SEGMENT_STEP));
                b.bottom = fmaxf(b.bottom, (float)((y + 1) * SEGMENT_STEP));
            }
    return box_overlap(&b, box);
}

/* A mask without its thing: what is hidden goes on as it went. */
static void slide(struct pro *p, struct thing *g, float dx, float dy)
{
    for (int y = 0; y < p->mask_height; y++)
        for (int x = 0; x < p->mask_width; x++) {
            const float u = (float)x - dx / SEGMENT_STEP, v = (float)y - dy / SEGMENT_STEP;
            const int left = (int)floorf(u), top = (int)floorf(v);
            float sum = 0;
            for (int k = 0; k < 4; k++) {
                const int i = left + (k & 1), j = top + (k >> 1);
                const int in = i >= 0 && j >= 0 && i < p->mask_width && j < p->mask_height;
                const float weight = (1 - fabsf(u - (float)i)) * (1 - fabsf(v - (float)j));
                sum += weight * (in ? g->mask[(ptrdiff_t)j * p->mask_width + i] : NOTHING);
            }
            p->moved[(ptrdiff_t)y * p->mask_width + x] = sum;
        }
    float *mask = g->mask;
    g->mask = p->moved;
    p->moved = mask;
}

/* Where a box's thing is before it has a mask: in the ellipse that fills it. */
static void fill_ellipse(const struct pro *p, const struct box *box, float *mask)
{
    const struct box b = small_box(box);
    const float cx = (b.left + b.right) / 2, cy = (b.top + b.bottom) / 2;
    for (int y = 0; y < p->mask_height; y++)
        for (int x = 0; x < p->mask_width; x++) {
            const float u = ((float)x + .5f - cx) / fmaxf(b.right - cx, 1),
                        v = ((float)y + .5f - cy) / fmaxf(b.bottom - cy, 1);
            mask[(ptrdiff_t)y * p->mask_width + x] = 1 - u * u - v * v;
        }
}

/* A thing in view goes where its pixels went; one that touches another, whose pixels may be taken for its own, as it went. */
static void carry(struct pro *p, struct track *k, struct thing *g)
{
    struct motion_carried c;
    const int touches = tracker_touches(&p->tracker, k);
    if (!g->masked)
        fill_ellipse(p, &k->box, g->mask);
    motion_carry(p->motion, g->mask, p->moved, &c);
    float *mask = g->mask;
    g->mask = p->moved;
    p->moved = mask;
    g->age += AGE_RESIDUAL * fmaxf(c.residual - RESIDUAL, 0) + AGE_GROWN * fabsf(c.scale - 1);
    const float way = SEGMENT_STEP * hypotf(c.dx, c.dy) /
                      fminf(k->box.right - k->box.left, k->box.bottom - k->box.top);
    if (way > 0)
        g->age += touches ? AGE_TOUCHED : AGE_MOVED + AGE_WAY * way;
    if (tracker_comes_in(&p->tracker, k))
        g->age += AGE_CUT * way;
    if (touches)
        tracker_move(&p->tracker, k, k->dx, k->dy, 1);
    else
        tracker_move(&p->tracker, k, SEGMENT_STEP * c.dx, SEGMENT_STEP * c.dy, c.scale);
}

static void follow(struct pro *p)
{
    motion_run(p->motion, p->luma);
    tracker_pass(&p->tracker);
    if (p->motion->cut)
        tracker_cut(&p->tracker);
    for (int i = 0; i < p->tracker.count; i++) {
        struct track *k = &p->tracker.tracks[i];
        struct thing *g = thing_of(p, k);
        if (k->state == TRACK_SEEN)
            carry(p, k, g);
        else if (k->state == TRACK_HIDDEN && g->masked)
            slide(p, g, k->dx, k->dy);
    }
}

/* ---- looking ---- */

static int must_detect(const struct pro *p)
{
    const struct tracker *t = &p->tracker;
    int every = p->motion->moving > MOVING ? LOOK_MOVING : LOOK_STILL;
    for (int i = 0; i < t->count && p->motion->moving > MOVING; i++)
        if (t->tracks[i].state == TRACK_HIDDEN ||
            (t->tracks[i].state == TRACK_SEEN &&
                (tracker_touches(t, &t->tracks[i]) || tracker_comes_in(t, &t->tracks[i]))))
            every = LOOK_TOUCHING;
    return p->motion->cut || t->since >= every;
}

/* Ends a mask where its thing cannot be. */
static void crop(const struct pro *p, const struct box *box, float *mask)
{
    const struct box b = small_box(box);
    const float wider = 1 + WIDER * (b.right - b.left), higher = 1 + WIDER * (b.bottom - b.top);
    for (int y = 0; y < p->mask_height; y++)
        for (int x = 0; x < p->mask_width; x++)
            if ((float)x < b.left - wider || (float)x > b.right + wider ||
                (float)y < b.top - higher || (float)y > b.bottom + higher)
                mask[(ptrdiff_t)y * p->mask_width + x] = NOTHING;
}

/* The mask of a thing that is in view, of this frame. */
static int make_mask(struct pro *p, const struct track *k, struct thing *g, struct error *e)
{
    double t = now();
    float trust, again = 0;
    if (!p->looked && segment_look(p->segment, &p->picture, e))
        return -1;
    if (!p->looked)
        t = count_cost(p, COST_ENCODE, t);
    p->looked = 1;
    if (segment_box(p->segment, &k->box, g->masked ? g->mask : NULL, p->moved, &trust, e))
        return -1;
    t = count_cost(p, COST_DECODE, t);
    if (g->masked && trust < TRUSTED) {
        if (segment_box(p->segment, &k->box, NULL, g->mask, &again, e))
            return -1;
        count_cost(p, COST_DECODE, t);
    }
    if (!g->masked || trust >= TRUSTED || again <= trust) {
        float *mask = g->mask;
        g->mask = p->moved;
        p->moved = mask;
    }
    crop(p, &k->box, g->mask);
    g->masked = 1;
    g->age = 0;
    return 0;
}

static struct look_picture small_picture(const struct pro *p)
{
    return (struct look_picture) { p->rgb, p->mask_width, p->mask_height };
}

static unsigned colours_of(void *data, const struct track *k)
{
    struct pro *p = data;
    struct thing *g = thing_of(p, k);
    const struct look_picture picture = small_picture(p);
    if (!g->masked && make_mask(p, k, g, &p->failure)) {
        p->failed = 1;
        return 0;
    }
    return look_colours(&picture, g->mask);
}

static int detect(struct pro *p, double since, struct error *e)
{
    struct detection found[DETECTIONS];
    struct look looks[DETECTIONS];
    const struct look_picture picture = small_picture(p);
    const int count = detector_run(p->detector, &p->picture, found, e);
    if (count < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        const struct box b = small_box(&found[i].box);
        look_take(&looks[i], &picture, &b);
    }
    tracker_see(&p->tracker, found, looks, count);
    count_cost(p, COST_DETECT, since);
    drop_things(p);
    selection_update(&p->selection, &p->tracker, colours_of, p);
    if (p->failed)
        *e = p->failure;
    for (int i = 0; i < p->tracker.count; i++) {
        struct track *k = &p->tracker.tracks[i];
        struct thing *g = thing_of(p, k);
        if (k->state == TRACK_SEEN && !k->missed && g->masked &&
            mask_fits(p, g->mask, &k->box) < SAME_BOX)
            g->age += AGE_BOX;
    }
    return p->failed ? -1 : 0;
}

static int is_kept(const struct pro *p, const struct track *k)
{
    return k->state != TRACK_LOST && selection_of(&p->selection, k) == SELECTION_KEPT;
}

/* Boxes that have a pixel in common. */
static int meet(const struct box *a, const struct box *b)
{
    return a->left < b->right && b->left < a->right && a->top < b->bottom && b->top < a->bottom;
}

/* Masks that matter: of what is kept; of what is excluded and near it; of what hides it. */
static int is_needed(const struct pro *p, const struct track *k)
{
    if (k->state != TRACK_SEEN)
        return 0;
    const enum selection_verdict verdict = selection_of(&p->selection, k);
    for (int i = 0; i < p->tracker.count && verdict != SELECTION_KEPT; i++) {
        const struct track *other = &p->tracker.tracks[i];
        if (is_kept(p, other) && meet(&other->box, &k->box) &&
            (verdict == SELECTION_EXCLUDED || other->state == TRACK_HIDDEN))
            return 1;
    }
    return verdict == SELECTION_KEPT;
}

static int make_masks(struct pro *p, struct error *e)
{
    int due = p->looked;
    for (int i = 0; i < p->tracker.count; i++) {
        const struct track *k = &p->tracker.tracks[i];
        struct thing *g = thing_of(p, k);
        g->needed = is_needed(p, k);
        due |= g->needed && (!g->masked || g->age >= 1);
    }
    for (int i = 0; i < p->tracker.count && due; i++) {
        const struct track *k = &p->tracker.tracks[i];
        struct thing *g = thing_of(p, k);
        if (g->needed && (!g->masked || g->age >= AGE_WITH) && make_mask(p, k, g, e))
            return -1;
    }
    return 0;
}

/* ---- alpha ---- */

static void unite(float *restrict to, const float *restrict mask, int count)
{
    for (int i = 0; i < count; i++)
        to[i] = to[i] > mask[i] ? to[i] : mask[i];
}

/* Where what hides a thing is surely not, its mask is as it was. */
static void cover(const struct pro *p, const struct track *hidden, float *mask)
{
    const int count = p->mask_width * p->mask_height;
    for (int i = 0; i < p->tracker.count; i++) {
        const struct track *k = &p->tracker.tracks[i];
        const struct thing *g = thing_of((struct pro *)p, k);
        if (k == hidden || k->state != TRACK_SEEN || !g->masked)
            continue;
        for (int s = 0; s < count; s++)
            mask[s] = fminf(mask[s], -g->mask[s]);
    }
}

/* All that is kept, less what is excluded and surer to be there. */
static void unite_masks(struct pro *p)
{
    const int count = p->mask_width * p->mask_height;
    for (int i = 0; i < count; i++)
        p->kept[i] = p->excluded[i] = NOTHING;
    for (int i = 0; i < p->tracker.count; i++) {
        const struct track *k = &p->tracker.tracks[i];
        const struct thing *g = thing_of(p, k);
        if (k->state == TRACK_LOST || !g->masked)
            continue;
        memcpy(p->moved, g->mask, (size_t)count * sizeof *p->moved);
        if (k->state == TRACK_HIDDEN)
            cover(p, k, p->moved);
        const enum selection_verdict verdict = selection_of(&p->selection, k);
        p->found |= verdict == SELECTION_KEPT;
        if (verdict != SELECTION_UNNAMED)
            unite(verdict == SELECTION_KEPT ? p->kept : p->excluded, p->moved, count);
    }
    for (int i = 0; i < count; i++)
        if (p->excluded[i] > 0)
            p->kept[i] -= p->excluded[i];
}

/* One row of a mask, as wide as the picture. */
static void widen(const struct pro *p, const float *restrict from, float *restrict to)
{
    for (int x = 0; x < p->width; x++) {
        const float u = fmaxf(((float)x + .5f) / SEGMENT_STEP - .5f, 0);
        const int left = (int)u, right = left + 1 < p->mask_width ? left + 1 : p->mask_width - 1;
        const float part = u - (float)left;
        to[x] = from[left] + part * (from[right] - from[left]);
    }
}

static void draw_alpha(struct pro *p)
{
    float *above = p->rows, *below = p->rows + p->width;
    int at = -1;
    for (int y = 0; y < p->height; y++) {
        const float v = fmaxf(((float)y + .5f) / SEGMENT_STEP - .5f, 0);
        const int top = (int)v, bottom = top + 1 < p->mask_height ? top + 1 : p->mask_height - 1;
        const float part = v - (float)top;
        if (top != at) {
            widen(p, p->kept + (ptrdiff_t)top * p->mask_width, above);
            widen(p, p->kept + (ptrdiff_t)bottom * p->mask_width, below);
            at = top;
        }
        float *restrict alpha = p->alpha + (ptrdiff_t)y * p->width;
        for (int x = 0; x < p->width; x++) {
            float a = .5f + (above[x] + part * (below[x] - above[x])) / (2 * SOFT);
            a = a < 0 ? 0 : a > 1 ? 1 : a;
            alpha[x] = a * a * (3 - 2 * a);
        }
    }
}

static int pro_run(struct model *model, struct model_output *out, struct error *e)
{
    struct pro *p = (struct pro *)model;
    double t = now();
    if (p->home != p->params.device && raster_read(p->params.device, &p->seen, p->picture.data, e))
        return -1;
    if (shrink(p, e))
        return -1;
    p->looked = p->failed = 0;
    follow(p);
    drop_things(p);
    t = count_cost(p, COST_FOLLOW, t);
    if ((must_detect(p) && detect(p, t, e)) || make_masks(p, e))
        return -1;
    t = now();
    unite_masks(p);
    draw_alpha(p);
    if (!is_apart(p))
        raster_round(p->params.device, &p->made);
    else if (raster_write(p->params.device, &p->made, p->alpha, e))
        return -1;
    count_cost(p, COST_ALPHA, t);
    *out = (struct model_output) { .alpha = p->made };
    return 0;
}

/* ---- what is told ---- */

static int pro_things(const struct model *model, struct model_thing things[MODEL_THINGS], int *key)
{
    const struct pro *p = (const struct pro *)model;
    int count = 0;
    *key = p->looked || !p->tracker.since;
    for (int i = 0; i < p->tracker.count; i++) {
        const struct track *k = &p->tracker.tracks[i];
        if (k->state == TRACK_LOST || count == MODEL_THINGS)
            continue;
        things[count++] = (struct model_thing) {
            .id = k->id,
            .name = prompt_classes[k->label],
            .score = k->score[k->label],
            .hidden = k->state == TRACK_HIDDEN,
            .kept = is_kept(p, k),
            .left = k->box.left / (float)p->width,
            .top = k->box.top / (float)p->height,
            .right = k->box.right / (float)p->width,
            .bottom = k->box.bottom / (float)p->height,
        };
    }
    return count;
}

static int pro_found(const struct model *model)
{
    return ((const struct pro *)model)->found;
}

static int64_t pro_card_bytes(const struct model *model)
{
    const struct pro *p = (const struct pro *)model;
    return detector_bytes(p->detector) + segment_bytes(p->segment);
}

static int pro_costs(const struct model *model, struct model_cost costs[MODEL_COSTS])
{
    const struct pro *p = (const struct pro *)model;
    static const char *const names[COSTS] = {
        [COST_FOLLOW] = "follow",
        [COST_DETECT] = "detect",
        [COST_ENCODE] = "encode",
        [COST_DECODE] = "decode",
        [COST_ALPHA] = "alpha",
    };
    for (int i = 0; i < COSTS; i++)
        costs[i] = (struct model_cost) { names[i], p->costs[i].runs, 1000 * p->costs[i].seconds };
    return COSTS;
}

static void pro_close(struct model *model)
{
    struct pro *p = (struct pro *)model;
    struct device *device = p->params.device;
    if (p->picture.data != p->seen.data)
        raster_close(p->home, &p->picture);
    raster_close(device, &p->seen);
    raster_close(p->home, &p->small);
    if (is_apart(p))
        raster_close(device, &p->made);
    scaler_close(p->shrink);
    close_networks(p);
    if (p->home != device)
        device_close(p->home);
    motion_close(p->motion);
    free(p->alpha);
    free(p->rows);
    free(p->colors);
    free(p->rgb);
    free(p->luma);
    free(p->moved);
    free(p->kept);
    free(p->excluded);
    for (int i = 0; i < TRACKS; i++)
        free(p->things[i].mask);
    free(p);
}

const struct model_kind model_prompted = {
    .open = pro_open,
    .suits = pro_suits,
    .ask = pro_ask,
    .input = pro_input,
    .run = pro_run,
    .things = pro_things,
    .found = pro_found,
    .costs = pro_costs,
    .card_bytes = pro_card_bytes,
    .reset = pro_reset,
    .close = pro_close,
};
