#include "detector.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "end.h"

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
    struct device *device;
    struct nn_net *net;
    struct scaler *scaler; /* from the picture to the input */
    struct raster input, scores[DETECTOR_SCALES], boxes[DETECTOR_SCALES];
    struct detector_answer answer;
    float *answers; /* what was read of a card; NULL: the answer is where the network made it */
    int answer_count;
    float across, down; /* pixels of the picture to one of the input */
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

/* Where the answer is decoded: in the network's own memory or, of a card, in what it is read to. */
static int find_answer(struct detector *d, const char *label, const char *name, int values,
    struct raster *end, const float **answer, struct error *e)
{
    if (end_find(d->net, label, name, values, end, e))
        return -1;
    if (!device_is_apart(d->device)) {
        *answer = end->data;
        return 0;
    }
    *answer = d->answers + d->answer_count;
    d->answer_count += values;
    return 0;
}

static int find_ends(struct detector *d, const struct manifest *m, struct error *e)
{
    const struct manifest_file *f = &m->files[0];
    /* of three scales, each of a quarter of the cells of the one before */
    const size_t cells = 2 * (size_t)f->width * (size_t)f->height / (FIRST_STRIDE * FIRST_STRIDE);
    const size_t values = cells * (DETECTOR_CLASSES + 4 * DETECTOR_BINS);
    if (end_find(d->net, f->file, m->input, 3 * f->width * f->height, &d->input, e))
        return -1;
    if (d->input.channels != 3 || d->input.height != f->height)
        return error_set(e, "bad_model", "%s: %s is not of 3 x %d x %d.", f->file, m->input,
            f->height, f->width);
    if (device_is_apart(d->device) && !(d->answers = malloc(values * sizeof *d->answers)))
        return error_retry(e, "out_of_memory", "There is no memory for the network %s.", m->name);
    for (int s = 0; s < DETECTOR_SCALES; s++) {
        const int stride = FIRST_STRIDE << s, here = f->width / stride * (f->height / stride);
        if (find_answer(d, f->file, m->outputs.scores[s], here * DETECTOR_CLASSES, &d->scores[s],
                &d->answer.scores[s], e) ||
            find_answer(d, f->file, m->outputs.boxes[s], here * 4 * DETECTOR_BINS, &d->boxes[s],
                &d->answer.boxes[s], e))
            return -1;
    }
    return 0;
}

static int open_scaler(struct detector *d, const struct manifest *m, const struct manifest *from,
    int width, int height, struct error *e)
{
    struct scaler_params p = { .width = width,
        .height = height,
        .to_width = d->input.width,
        .to_height = d->input.height,
        .across = width,
        .down = height,
        .reversed = m->channels == CHANNELS_BGR };
    for (int c = 0; c < 3; c++) {
        p.gain[c] = from->std[c] / m->std[c];
        p.offset[c] = (from->mean[c] - m->mean[c]) / m->std[c];
    }
    d->scaler = scaler_open(d->device, &p, e);
    return d->scaler ? 0 : -1;
}

struct detector *detector_open(const struct manifest *m, const struct manifest *from,
    struct device *device, int width, int height, int threads, struct error *e)
{
    const struct manifest_file *f = &m->files[0];
    struct detector *d = calloc(1, sizeof *d);
    if (!d) {
        error_retry(e, "out_of_memory", "There is no memory for the network %s.", m->name);
        return NULL;
    }
    d->device = device;
    const struct nn_params net = { .device = device, .threads = threads };
    if (manifest_verify(f, e) || !(d->net = nn_open(f->fd, f->file, &net, e)) ||
        find_ends(d, m, e) || open_scaler(d, m, from, width, height, e)) {
        detector_close(d);
        return NULL;
    }
    d->across = (float)width / (float)f->width;
    d->down = (float)height / (float)f->height;
    return d;
}

int64_t detector_bytes(const struct detector *d)
{
    return nn_card_bytes(d->net);
}

static int read_answer(struct detector *d, struct error *e)
{
    for (int s = 0; s < DETECTOR_SCALES && device_is_apart(d->device); s++)
        if (raster_read(d->device, &d->scores[s], (float *)d->answer.scores[s], e) ||
            raster_read(d->device, &d->boxes[s], (float *)d->answer.boxes[s], e))
            return -1;
    return 0;
}

int detector_run(struct detector *d, const struct raster *picture,
    struct detection found[DETECTIONS], struct error *e)
{
    if (scaler_run(d->scaler, picture, &d->input, e) || nn_run(d->net, e) || read_answer(d, e))
        return -1;
    int count = detector_decode(&d->answer, d->input.width, d->input.height, found);
    count = detector_drop_groups(found, count);
    for (int i = 0; i < count; i++) {
        struct box *b = &found[i].box;
        *b = (struct box) { b->left * d->across, b->top * d->down, b->right * d->across,
            b->bottom * d->down };
    }
    return count;
}

void detector_close(struct detector *d)
{
    if (!d)
        return;
    scaler_close(d->scaler);
    nn_close(d->net);
    free(d->answers);
    free(d);
}
