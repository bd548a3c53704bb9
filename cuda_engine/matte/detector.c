#include "detector.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../device/taps.h"
#include "../nn/nn.h"

/* Boxes of one class that overlap by more are of one thing; of two classes, ones that overlap by much more. */
#define SAME_CLASS .5f
#define SAME_THING .75f

/* A box of less than this part of the score of one in it is drawn loosely around the same thing. */
#define LOOSE .7f

enum { CANDIDATES = 1024, FIRST_STRIDE = 8 };

struct candidate {
    struct box box;
    float score;
    int label;
};

struct detector {
    struct nn_net *net;
    struct nn_tensor input;
    struct detector_answer answer;
    int width, height; /* of the picture */
    struct taps x, y;
    float *rows;              /* the picture, as wide as the input */
    float gain[3], offset[3]; /* from the picture's values to the network's, of R, G, B */
    int plane[3];             /* of the network, of R, G, B */
};

/* ---- decoding ---- */

float box_overlap(const struct box *a, const struct box *b)
{
    const float width = fminf(a->right, b->right) - fmaxf(a->left, b->left);
    const float height = fminf(a->bottom, b->bottom) - fmaxf(a->top, b->top);
    if (width <= 0 || height <= 0)
        return 0;
    const float both = width * height;
    return both / ((a->right - a->left) * (a->bottom - a->top) +
                      (b->right - b->left) * (b->bottom - b->top) - both);
}

/* The expectation of a side's bins. */
static float side_distance(const float *bins)
{
    float most = bins[0], sum = 0, mean = 0;
    for (int i = 1; i < DETECTOR_BINS; i++)
        most = fmaxf(most, bins[i]);
    for (int i = 0; i < DETECTOR_BINS; i++) {
        const float weight = expf(bins[i] - most);
        sum += weight;
        mean += weight * (float)i;
    }
    return mean / sum;
}

static struct box cell_box(const float *bins, int x, int y, float stride, float width, float height)
{
    const float cx = ((float)x + .5f) * stride, cy = ((float)y + .5f) * stride;
    float side[4];
    for (int i = 0; i < 4; i++)
        side[i] = stride * side_distance(bins + (ptrdiff_t)i * DETECTOR_BINS);
    return (struct box) { fmaxf(cx - side[0], 0), fmaxf(cy - side[1], 0),
        fminf(cx + side[2], width), fminf(cy + side[3], height) };
}

/* The least of a full list gives way to a better one. */
static int add_candidate(struct candidate *list, int count, const struct candidate *c)
{
    if (count < CANDIDATES) {
        list[count] = *c;
        return count + 1;
    }
    int least = 0;
    for (int i = 1; i < CANDIDATES; i++)
        if (list[i].score < list[least].score)
            least = i;
    if (list[least].score < c->score)
        list[least] = *c;
    return count;
}

static int collect(
    const struct detector_answer *answer, int width, int height, struct candidate *list)
{
    int count = 0;
    for (int s = 0; s < DETECTOR_SCALES; s++) {
        const int stride = FIRST_STRIDE << s, columns = width / stride, rows = height / stride;
        for (int cell = 0; cell < columns * rows; cell++) {
            const float *score = answer->scores[s] + (ptrdiff_t)cell * DETECTOR_CLASSES;
            struct candidate c = { .label = -1 };
            for (int k = 0; k < DETECTOR_CLASSES; k++) {
                if (!(score[k] >= DETECTOR_SEEN))
                    continue;
                if (c.label < 0)
                    c.box = cell_box(answer->boxes[s] + (ptrdiff_t)cell * 4 * DETECTOR_BINS,
                        cell % columns, cell / columns, (float)stride, (float)width, (float)height);
                c.label = k;
                c.score = score[k];
                count = add_candidate(list, count, &c);
            }
        }
    }
    return count;
}

static int by_score(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return x->score < y->score ? 1 : x->score > y->score ? -1 : x->label - y->label;
}

/* Keeps of each class the best of those that overlap; how many are left. list: best first. */
static int keep_best(struct candidate *list, int count)
{
    int kept = 0;
    for (int i = 0; i < count; i++) {
        int better = 0;
        for (int k = 0; k < kept && !better; k++)
            better = list[k].label == list[i].label &&
                     box_overlap(&list[k].box, &list[i].box) > SAME_CLASS;
        if (!better)
            list[kept++] = list[i];
    }
    return kept;
}

/* Adds a candidate that is no better than those before it; how many things there are then. */
static int add_detection(struct detection *found, int count, const struct candidate *c)
{
    struct detection *same = NULL;
    for (int i = 0; i < count && !same; i++)
        if (found[i].score[c->label] <= 0 && box_overlap(&found[i].box, &c->box) > SAME_THING)
            same = &found[i];
    if (!same && count == DETECTIONS)
        return count;
    if (!same) {
        same = &found[count++];
        *same = (struct detection) { .box = c->box, .label = c->label };
    }
    same->score[c->label] = c->score;
    return count;
}

int detector_decode(
    const struct detector_answer *answer, int width, int height, struct detection found[DETECTIONS])
{
    struct candidate list[CANDIDATES];
    int candidates = collect(answer, width, height, list), count = 0;
    qsort(list, (size_t)candidates, sizeof *list, by_score);
    candidates = keep_best(list, candidates);
    for (int i = 0; i < candidates; i++)
        count = add_detection(found, count, &list[i]);
    return count;
}

/* What two boxes have in common, of the first one. */
static float part_inside(const struct box *a, const struct box *b)
{
    const float width = fminf(a->right, b->right) - fmaxf(a->left, b->left);
    const float height = fminf(a->bottom, b->bottom) - fmaxf(a->top, b->top);
    return width > 0 && height > 0 ? width * height / ((a->right - a->left) * (a->bottom - a->top))
                                   : 0;
}

int detector_drop_groups(struct detection *found, int count)
{
    int kept = 0;
    for (int i = 0; i < count; i++) {
        const struct box *group = &found[i].box;
        const float score = found[i].score[found[i].label];
        int members = 0, surer = 0;
        for (int k = 0; k < count; k++) {
            const struct box *b = &found[k].box;
            const float its = found[k].score[found[k].label];
            if (k == i || found[k].label != found[i].label || part_inside(b, group) <= .85f ||
                box_overlap(b, group) >= SAME_CLASS ||
                b->bottom - b->top <= .6f * (group->bottom - group->top))
                continue;
            members += its > .5f * score;
            surer |= score < LOOSE * its;
        }
        if (members < 2 && !surer)
            found[kept++] = found[i];
    }
    return kept;
}

/* ---- the network ---- */

static int find(struct detector *d, const struct manifest *m, const char *name, int values,
    const float **to, struct error *e)
{
    struct nn_tensor t;
    if (nn_tensor(d->net, name, &t, e))
        return -1;
    if (t.n * t.c * t.h * t.w != values)
        return error_set(e, "bad_model", "%s: %s has %d values, not %d.", m->files[0].file, name,
            t.n * t.c * t.h * t.w, values);
    *to = t.data;
    return 0;
}

static int find_tensors(struct detector *d, const struct manifest *m, struct error *e)
{
    const struct manifest_file *f = &m->files[0];
    if (nn_tensor(d->net, m->input, &d->input, e))
        return -1;
    if (d->input.c != 3 || d->input.h != f->height || d->input.w != f->width)
        return error_set(e, "bad_model", "%s: %s is not of 3 x %d x %d.", f->file, m->input,
            f->height, f->width);
    for (int s = 0; s < DETECTOR_SCALES; s++) {
        const int stride = FIRST_STRIDE << s, cells = f->width / stride * (f->height / stride);
        if (find(d, m, m->outputs.scores[s], cells * DETECTOR_CLASSES, &d->answer.scores[s], e) ||
            find(d, m, m->outputs.boxes[s], cells * 4 * DETECTOR_BINS, &d->answer.boxes[s], e))
            return -1;
    }
    return 0;
}

static int make_room(struct detector *d, const struct manifest *m, struct error *e)
{
    const struct manifest_file *f = &m->files[0];
    const struct taps_params x = { d->width, d->width, f->width, 0, f->width };
    const struct taps_params y = { d->height, d->height, f->height, 0, f->height };
    d->rows = malloc((size_t)d->height * (size_t)f->width * sizeof *d->rows);
    if (!d->rows || taps_open(&d->x, &x) || taps_open(&d->y, &y))
        return error_retry(e, "out_of_memory", "There is no memory for the network %s.", m->name);
    return 0;
}

struct detector *detector_open(const struct manifest *m, const struct manifest *from, int width,
    int height, int threads, struct error *e)
{
    const struct manifest_file *f = &m->files[0];
    struct detector *d = calloc(1, sizeof *d);
    if (!d) {
        error_retry(e, "out_of_memory", "There is no memory for the network %s.", m->name);
        return NULL;
    }
    d->width = width;
    d->height = height;
    for (int c = 0; c < 3; c++) {
        d->gain[c] = from->std[c] / m->std[c];
        d->offset[c] = (from->mean[c] - m->mean[c]) / m->std[c];
        d->plane[c] = m->channels == CHANNELS_BGR ? 2 - c : c;
    }
    const struct nn_params net = { .threads = threads };
    if (manifest_verify(f, e) || !(d->net = nn_open(f->fd, f->file, &net, e)) ||
        find_tensors(d, m, e) || make_room(d, m, e)) {
        detector_close(d);
        return NULL;
    }
    return d;
}

/* One plane of the input, of one of the picture. */
static void resize_plane(
    struct detector *d, const float *restrict from, float *restrict to, float gain, float offset)
{
    const int width = d->x.count, height = d->y.count;
    for (int y = 0; y < d->height; y++)
        for (int x = 0; x < width; x++) {
            const float *in = from + (ptrdiff_t)y * d->width + d->x.first[x];
            const float *weight = d->x.weight + (ptrdiff_t)x * d->x.most;
            float sum = 0;
            for (int k = 0; k < d->x.most; k++)
                sum += weight[k] * in[k];
            d->rows[(ptrdiff_t)y * width + x] = sum;
        }
    for (int y = 0; y < height; y++) {
        float *row = to + (ptrdiff_t)y * width;
        for (int x = 0; x < width; x++)
            row[x] = offset;
        for (int k = 0; k < d->y.most; k++) {
            const float *in = d->rows + (ptrdiff_t)(d->y.first[y] + k) * width;
            const float weight = gain * d->y.weight[(ptrdiff_t)y * d->y.most + k];
            for (int x = 0; x < width; x++)
                row[x] += weight * in[x];
        }
    }
}

int detector_run(
    struct detector *d, const float *picture, struct detection found[DETECTIONS], struct error *e)
{
    const int width = d->x.count, height = d->y.count;
    for (int c = 0; c < 3; c++)
        resize_plane(d, picture + (ptrdiff_t)c * d->width * d->height,
            d->input.data + (ptrdiff_t)d->plane[c] * width * height, d->gain[c], d->offset[c]);
    if (nn_run(d->net, e))
        return -1;
    int count = detector_decode(&d->answer, width, height, found);
    count = detector_drop_groups(found, count);
    const float across = (float)d->width / (float)width, down = (float)d->height / (float)height;
    for (int i = 0; i < count; i++) {
        struct box *b = &found[i].box;
        *b = (struct box) { b->left * across, b->top * down, b->right * across, b->bottom * down };
    }
    return count;
}

void detector_close(struct detector *d)
{
    if (!d)
        return;
    nn_close(d->net);
    taps_close(&d->x);
    taps_close(&d->y);
    free(d->rows);
    free(d);
}
