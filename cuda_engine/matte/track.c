#include "track.h"

#include <math.h>
#include <string.h>

/* The detector must be as sure of a thing that is new; less will do for one that was there before. */
#define NEW .25f

/* What boxes of two things have in common when they touch, of the smaller one. */
#define TOUCH .1f

/* A box that overlaps so much with a thing's is no other thing. */
#define TAKEN .6f

/* A box that ends so near the picture's, in pixels, is cut by it: the detector's do not end there exactly. */
#define BORDER 8

/* What goes by a part of its size in a frame is on its way in, or out. */
#define COMES .02f

/* Likeness of the scores of two things that may be of one class, and that are. */
#define MAY_BE   .2f
#define ONE_KIND .5f

/* Two looks of the same thing; of one that is back, whose place says nothing. */
#define ALIKE .35f
#define AGAIN .75f

/* Parts by which what is known gives way to what is seen: alone, and where another is in the way. */
#define LEARN .4f
#define DOUBT .1f

enum {
    MISSES = 4,      /* looks of the detector until a thing is lost */
    HIDING = 2,      /* until one with another before it is hidden: one miss is the detector's */
    HIDES = 75,      /* frames for which it may be hidden */
    REMEMBERS = 250, /* frames until it is forgotten */
};

void tracker_start(struct tracker *t, int width, int height)
{
    *t = (struct tracker) { .width = (float)width, .height = (float)height, .next = 1 };
}

static float middle_x(const struct box *b)
{
    return (b->left + b->right) / 2;
}

static float middle_y(const struct box *b)
{
    return (b->top + b->bottom) / 2;
}

static float area(const struct box *b)
{
    return fmaxf(b->right - b->left, 0) * fmaxf(b->bottom - b->top, 0);
}

static void shift(struct box *b, float dx, float dy)
{
    b->left += dx;
    b->right += dx;
    b->top += dy;
    b->bottom += dy;
}

/* What two boxes have in common, of the smaller one. */
static float in_common(const struct box *a, const struct box *b)
{
    const float width = fminf(a->right, b->right) - fmaxf(a->left, b->left);
    const float height = fminf(a->bottom, b->bottom) - fmaxf(a->top, b->top);
    const float least = fminf(area(a), area(b));
    return width > 0 && height > 0 && least > 0 ? width * height / least : 0;
}

static void lose(struct track *k)
{
    k->state = TRACK_LOST;
}

static void forget(struct tracker *t)
{
    int kept = 0;
    for (int i = 0; i < t->count; i++)
        if (t->tracks[i].state != TRACK_LOST || t->tracks[i].unseen <= REMEMBERS)
            t->tracks[kept++] = t->tracks[i];
    t->count = kept;
}

/* 1: its middle has left the picture. */
static int is_out(const struct tracker *t, const struct track *k)
{
    const float x = middle_x(&k->box), y = middle_y(&k->box);
    return x < 0 || y < 0 || x > t->width || y > t->height;
}

void tracker_pass(struct tracker *t)
{
    t->since++;
    for (int i = 0; i < t->count; i++) {
        struct track *k = &t->tracks[i];
        k->unseen++;
        if (k->state == TRACK_HIDDEN) {
            shift(&k->box, k->dx, k->dy);
            if (k->unseen > HIDES)
                lose(k);
        }
        if (k->state != TRACK_LOST && is_out(t, k))
            lose(k);
    }
    forget(t);
}

static int is_cut(const struct tracker *t, const struct box *b)
{
    return b->left < BORDER || b->top < BORDER || b->right > t->width - BORDER ||
           b->bottom > t->height - BORDER;
}

int tracker_comes_in(const struct tracker *t, const struct track *k)
{
    const float size = fminf(k->box.right - k->box.left, k->box.bottom - k->box.top);
    return is_cut(t, &k->box) && hypotf(k->dx, k->dy) > COMES * size;
}

void tracker_move(const struct tracker *t, struct track *k, float dx, float dy, float scale)
{
    const struct box was = k->box;
    const float cx = middle_x(&k->box) + dx, cy = middle_y(&k->box) + dy;
    const float rx = scale * (k->box.right - k->box.left) / 2,
                ry = scale * (k->box.bottom - k->box.top) / 2;
    k->box = (struct box) { cx - rx, cy - ry, cx + rx, cy + ry };
    if (was.left < BORDER)
        k->box.left = fminf(k->box.left, was.left);
    if (was.top < BORDER)
        k->box.top = fminf(k->box.top, was.top);
    if (was.right > t->width - BORDER)
        k->box.right = fmaxf(k->box.right, was.right);
    if (was.bottom > t->height - BORDER)
        k->box.bottom = fmaxf(k->box.bottom, was.bottom);
}

void tracker_cut(struct tracker *t)
{
    for (int i = 0; i < t->count; i++) {
        lose(&t->tracks[i]);
        t->tracks[i].cut = 1;
    }
}

/* ---- who is who ---- */

/* The cosine of the angle between the scores of two things. */
static float same_class(const float *a, const float *b)
{
    float both = 0, aa = 1e-9f, bb = 1e-9f;
    for (int i = 0; i < DETECTOR_CLASSES; i++) {
        both += a[i] * b[i];
        aa += a[i] * a[i];
        bb += b[i] * b[i];
    }
    return both / sqrtf(aa * bb);
}

int tracker_touches(const struct tracker *t, const struct track *k)
{
    for (int i = 0; i < t->count; i++)
        if (&t->tracks[i] != k && t->tracks[i].state != TRACK_LOST &&
            in_common(&t->tracks[i].box, &k->box) > TOUCH &&
            same_class(t->tracks[i].score, k->score) > ONE_KIND)
            return 1;
    return 0;
}

/* How well a thing in view and a detection go together, above 0; 0: they do not. */
static float affinity(const struct track *k, const struct detection *d, const struct look *look)
{
    const float size = sqrtf(fmaxf(area(&k->box), area(&d->box)) + 1e-6f);
    const float ratio = area(&d->box) / (area(&k->box) + 1e-6f);
    /* who has been hidden for long may be farther from where it was thought to be */
    const float reach = .6f + (k->state == TRACK_HIDDEN ? .02f * fminf((float)k->unseen, 40) : 0);
    const float away =
        hypotf(middle_x(&k->box) - middle_x(&d->box), middle_y(&k->box) - middle_y(&d->box)) /
        size / reach;
    const float overlap = box_overlap(&k->box, &d->box), like = look_likeness(&k->look, look);
    const float kind = same_class(k->score, d->score);
    if (kind < MAY_BE || ratio < .25f || ratio > 4)
        return 0;
    if (overlap < .1f && away > 1)
        return 0;
    if (overlap < .5f && like < ALIKE)
        return 0;
    return .1f + .5f * kind + overlap + .7f * fmaxf(1 - away, 0) + .3f * like;
}

/* Pairs of a thing and a detection, -1: none; each has one at most. */
struct pairing {
    float affinity[TRACKS][DETECTIONS];
    int of_track[TRACKS], of_detection[DETECTIONS];
};

static void pair(struct pairing *p, int track, int detection)
{
    p->of_track[track] = detection;
    if (detection >= 0)
        p->of_detection[detection] = track;
}

static float worth(const struct pairing *p, int track, int detection)
{
    return detection < 0 ? 0 : p->affinity[track][detection];
}

/* The best pair first; then things exchange their detections as long as both together gain by it. */
static void pair_all(struct pairing *p, int tracks, int detections)
{
    for (int i = 0; i < tracks; i++)
        p->of_track[i] = -1;
    for (int i = 0; i < detections; i++)
        p->of_detection[i] = -1;
    for (;;) {
        int track = -1, detection = -1;
        float best = 0;
        for (int i = 0; i < tracks; i++)
            for (int k = 0; k < detections && p->of_track[i] < 0; k++)
                if (p->of_detection[k] < 0 && p->affinity[i][k] > best) {
                    best = p->affinity[i][k];
                    track = i;
                    detection = k;
                }
        if (track < 0)
            break;
        pair(p, track, detection);
    }
    for (int again = 1; again;) {
        again = 0;
        for (int i = 0; i < tracks; i++)
            for (int k = 0; k < i; k++) {
                const int a = p->of_track[i], b = p->of_track[k];
                if ((a >= 0 && worth(p, k, a) <= 0) || (b >= 0 && worth(p, i, b) <= 0))
                    continue;
                if (worth(p, i, b) + worth(p, k, a) <= worth(p, i, a) + worth(p, k, b) + 1e-5f)
                    continue;
                pair(p, i, b);
                pair(p, k, a);
                again = 1;
            }
    }
}

static int best_class(const float *score)
{
    int best = 0;
    for (int i = 1; i < DETECTOR_CLASSES; i++)
        if (score[i] > score[best])
            best = i;
    return best;
}

static void seen_again(
    struct tracker *t, struct track *k, const struct detection *d, const struct look *look)
{
    const int back = k->state == TRACK_LOST, touches = !back && tracker_touches(t, k);
    const float part = back ? 1 : touches ? .3f : .7f, x = middle_x(&d->box), y = middle_y(&d->box);
    const float frames = (float)(k->unseen > 0 ? k->unseen : 1);
    if (back) {
        k->dx = k->dy = 0;
    } else if (!touches) {
        /* a box trembles: its way is told by all the frames since it was seen */
        const float learn = k->looks > 1 ? LEARN : 1;
        k->dx += learn * ((x - k->was_x) / frames - k->dx);
        k->dy += learn * ((y - k->was_y) / frames - k->dy);
    }
    k->box.left += part * (d->box.left - k->box.left);
    k->box.top += part * (d->box.top - k->box.top);
    k->box.right += part * (d->box.right - k->box.right);
    k->box.bottom += part * (d->box.bottom - k->box.bottom);
    for (int i = 0; i < DETECTOR_CLASSES; i++)
        k->score[i] += (touches ? DOUBT : LEARN) * (d->score[i] - k->score[i]);
    k->label = best_class(k->score);
    look_learn(&k->look, look, touches ? DOUBT / 2 : DOUBT);
    k->state = TRACK_SEEN;
    k->looks++;
    k->missed = k->unseen = k->cut = 0;
    k->was_x = middle_x(&k->box);
    k->was_y = middle_y(&k->box);
}

/* Not seen though the detector looked: hidden if another is there that was, else lost when it goes on. */
static void not_seen(const struct tracker *t, struct track *k)
{
    int covered = 0;
    for (int i = 0; i < t->count; i++) {
        const struct track *other = &t->tracks[i];
        covered |= other != k && other->state == TRACK_SEEN && !other->missed &&
                   in_common(&other->box, &k->box) > TOUCH;
    }
    k->missed++;
    if (covered && k->missed >= HIDING && k->looks > 1)
        k->state = TRACK_HIDDEN;
    else if (k->missed >= (k->looks > 1 ? MISSES : 1))
        lose(k);
    else if (k->state == TRACK_HIDDEN && !covered)
        k->missed++;
}

/* The lost thing that this is; NULL: none. */
static struct track *known(struct tracker *t, const struct detection *d, const struct look *look)
{
    struct track *best = NULL;
    float most = AGAIN;
    for (int i = 0; i < t->count; i++) {
        struct track *k = &t->tracks[i];
        if (k->state != TRACK_LOST || same_class(k->score, d->score) < ONE_KIND)
            continue;
        const float like = look_likeness(&k->look, look);
        if (like > most) {
            most = like;
            best = k;
        }
    }
    return best;
}

/* A place for one more; NULL: all are taken. The one lost for longest goes first. */
static struct track *room(struct tracker *t)
{
    struct track *longest = NULL;
    if (t->count < TRACKS)
        return &t->tracks[t->count++];
    for (int i = 0; i < t->count; i++)
        if (t->tracks[i].state == TRACK_LOST && (!longest || t->tracks[i].unseen > longest->unseen))
            longest = &t->tracks[i];
    return longest;
}

static void add(struct tracker *t, const struct detection *d, const struct look *look)
{
    for (int i = 0; i < t->count; i++)
        if (t->tracks[i].state == TRACK_SEEN && box_overlap(&t->tracks[i].box, &d->box) > TAKEN)
            return;
    struct track *k = known(t, d, look);
    if (k) {
        seen_again(t, k, d, look);
        return;
    }
    if (d->score[d->label] < NEW || !(k = room(t)))
        return;
    *k = (struct track) { .id = t->next++,
        .box = d->box,
        .label = d->label,
        .look = *look,
        .looks = 1,
        .was_x = middle_x(&d->box),
        .was_y = middle_y(&d->box) };
    memcpy(k->score, d->score, sizeof k->score);
}

void tracker_see(
    struct tracker *t, const struct detection *found, const struct look *looks, int count)
{
    struct pairing p;
    const int tracks = t->count;
    for (int i = 0; i < tracks; i++)
        for (int k = 0; k < count; k++)
            p.affinity[i][k] = t->tracks[i].state == TRACK_LOST
                                   ? 0
                                   : affinity(&t->tracks[i], &found[k], &looks[k]);
    pair_all(&p, tracks, count);
    for (int i = 0; i < tracks; i++)
        if (p.of_track[i] >= 0)
            seen_again(t, &t->tracks[i], &found[p.of_track[i]], &looks[p.of_track[i]]);
    for (int i = 0; i < tracks; i++)
        if (p.of_track[i] < 0 && t->tracks[i].state != TRACK_LOST)
            not_seen(t, &t->tracks[i]);
    for (int k = 0; k < count; k++)
        if (p.of_detection[k] < 0)
            add(t, &found[k], &looks[k]);
    t->since = 0;
}
