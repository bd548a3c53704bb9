#include "selection.h"

#include <math.h>

/* A thing may be of a class that has at least this part of the score of its likeliest one. */
#define MAYBE .5f

/* What is as large, or as small, as the most of its kind but for this is so, too. */
#define NEARLY .7f

enum { PERSON = 0 };

void selection_start(struct selection *c, const struct prompt *p)
{
    *c = (struct selection) { 0 };
    if (p && p->count) {
        c->prompt = *p;
    } else {
        c->undecided = 1;
        c->prompt.count = 1;
        c->prompt.phrases[0].classes[PERSON / 64] = 1ull << PERSON % 64;
        c->prompt.phrases[1] = (struct prompt_phrase) {
            .classes = { UINT64_MAX, UINT64_MAX }, .places = PLACE_LARGEST, .count = 1
        };
    }
    for (int i = 0; i < c->prompt.count; i++)
        *(c->prompt.phrases[i].exclude ? &c->excluding : &c->keeping) |= 1u << i;
}

static struct chosen *find(const struct selection *c, int id)
{
    for (int i = 0; i < c->count; i++)
        if (c->chosen[i].id == id)
            return (struct chosen *)&c->chosen[i];
    return NULL;
}

/* What is said of things that the tracker has forgotten is forgotten, and new ones get their place. */
static void follow(struct selection *c, const struct tracker *t)
{
    struct chosen now[TRACKS] = { 0 };
    for (int i = 0; i < t->count; i++) {
        const struct chosen *was = find(c, t->tracks[i].id);
        now[i] = was ? *was : (struct chosen) { .id = t->tracks[i].id };
    }
    for (int i = 0; i < t->count; i++)
        c->chosen[i] = now[i];
    c->count = t->count;
}

/* The thing's best score among the classes that the phrase means; 0: it is none of them. */
static float class_score(const struct prompt_phrase *p, const struct track *k)
{
    float best = 0;
    for (int i = 0; i < DETECTOR_CLASSES; i++)
        if (prompt_means(p, i))
            best = fmaxf(best, k->score[i]);
    return best >= MAYBE * k->score[k->label] ? best : 0;
}

static float area(const struct box *b)
{
    return (b->right - b->left) * (b->bottom - b->top);
}

/* Where and how large a thing is: of 0..1, of the picture. */
struct stand {
    float x, y, size;
};

static struct stand stand_of(const struct tracker *t, const struct track *k)
{
    return (struct stand) { (k->box.left + k->box.right) / 2 / t->width,
        (k->box.top + k->box.bottom) / 2 / t->height, area(&k->box) / t->width / t->height };
}

/* How much a thing is at the places: more is better. */
static float fit(unsigned places, struct stand s)
{
    float sum = 0;
    if (places & PLACE_LEFT)
        sum -= s.x;
    if (places & PLACE_RIGHT)
        sum += s.x;
    if (places & PLACE_TOP)
        sum -= s.y;
    if (places & PLACE_BOTTOM)
        sum += s.y;
    if (places & PLACE_CENTER)
        sum -= hypotf(s.x - .5f, s.y - .5f);
    if (places & (PLACE_LARGEST | PLACE_NEAREST))
        sum += s.size;
    if (places & (PLACE_SMALLEST | PLACE_FARTHEST))
        sum -= s.size;
    return sum;
}

/* 1: it is at the places, however many others are; most and least: sizes of all that the phrase may mean. */
static int fits(unsigned places, struct stand s, float most, float least)
{
    if (places & PLACE_LEFT && s.x > .5f && !(places & PLACE_RIGHT))
        return 0;
    if (places & PLACE_RIGHT && s.x < .5f && !(places & PLACE_LEFT))
        return 0;
    if (places & PLACE_TOP && s.y > .5f && !(places & PLACE_BOTTOM))
        return 0;
    if (places & PLACE_BOTTOM && s.y < .5f && !(places & PLACE_TOP))
        return 0;
    if (places & PLACE_CENTER && (fabsf(s.x - .5f) > 1 / 6.f || fabsf(s.y - .5f) > 1 / 4.f))
        return 0;
    if (places & (PLACE_LARGEST | PLACE_NEAREST) && s.size < NEARLY * most)
        return 0;
    return !(places & (PLACE_SMALLEST | PLACE_FARTHEST) && s.size * NEARLY > least);
}

/* A phrase, and the things that it may mean by class and colour. */
struct judgement {
    const struct prompt_phrase *phrase;
    uint32_t bit;
    float score[TRACKS]; /* of a thing, 0: it is not meant */
    float most, least;   /* sizes */
};

static int has_colour(const struct prompt_phrase *p, struct chosen *chosen, const struct track *k,
    selection_colours_fn *colours, void *data)
{
    if (!p->colours)
        return 1;
    if (!chosen->coloured) {
        chosen->colours = colours(data, k);
        chosen->coloured = 1;
    }
    return (chosen->colours & p->colours) != 0;
}

static void gather(struct judgement *j, struct selection *c, const struct tracker *t,
    selection_colours_fn *colours, void *data)
{
    j->most = 0;
    j->least = INFINITY;
    for (int i = 0; i < t->count; i++) {
        const struct track *k = &t->tracks[i];
        j->score[i] = k->state == TRACK_SEEN ? class_score(j->phrase, k) : 0;
        if (j->score[i] <= 0)
            continue;
        if (!has_colour(j->phrase, &c->chosen[i], k, colours, data)) {
            j->score[i] = 0;
            continue;
        }
        const float size = stand_of(t, k).size;
        j->most = fmaxf(j->most, size);
        j->least = fminf(j->least, size);
    }
}

/* A phrase that takes all that fit. */
static void judge_all(const struct judgement *j, struct selection *c, const struct tracker *t)
{
    for (int i = 0; i < t->count; i++) {
        struct chosen *chosen = &c->chosen[i];
        if (j->score[i] <= 0 || chosen->judged & j->bit)
            continue;
        chosen->judged |= j->bit;
        if (fits(j->phrase->places, stand_of(t, &t->tracks[i]), j->most, j->least))
            chosen->named |= j->bit;
    }
}

/* A phrase that takes so many: as long as those it has are not forgotten or left behind by a cut, no others. */
static void judge_some(const struct judgement *j, struct selection *c, const struct tracker *t)
{
    int left = j->phrase->count;
    for (int i = 0; i < t->count; i++)
        left -= c->chosen[i].named & j->bit && !t->tracks[i].cut;
    while (left-- > 0) {
        int best = -1;
        float most = 0;
        for (int i = 0; i < t->count; i++) {
            if (j->score[i] <= 0 || c->chosen[i].named & j->bit)
                continue;
            const float good = j->phrase->places
                                   ? fit(j->phrase->places, stand_of(t, &t->tracks[i]))
                                   : j->score[i];
            if (best < 0 || good > most) {
                best = i;
                most = good;
            }
        }
        if (best < 0)
            return;
        c->chosen[best].named |= j->bit;
    }
}

/* Nothing was asked for: with the first things that are seen it is decided which of the two phrases holds. */
static void settle_subject(struct selection *c, const struct tracker *t)
{
    int seen = 0, persons = 0;
    for (int i = 0; i < t->count; i++)
        if (t->tracks[i].state == TRACK_SEEN) {
            seen++;
            persons += class_score(&c->prompt.phrases[0], &t->tracks[i]) > 0;
        }
    if (seen && !persons)
        c->prompt.phrases[0] = c->prompt.phrases[1];
    if (seen)
        c->undecided = 0;
}

void selection_update(
    struct selection *c, const struct tracker *t, selection_colours_fn *colours, void *data)
{
    follow(c, t);
    if (c->undecided)
        settle_subject(c, t);
    for (int p = 0; p < c->prompt.count; p++) {
        struct judgement j = { .phrase = &c->prompt.phrases[p], .bit = 1u << p };
        gather(&j, c, t, colours, data);
        if (j.phrase->count)
            judge_some(&j, c, t);
        else
            judge_all(&j, c, t);
    }
}

enum selection_verdict selection_of(const struct selection *c, const struct track *k)
{
    const struct chosen *chosen = find(c, k->id);
    if (!chosen || !chosen->named)
        return SELECTION_UNNAMED;
    return chosen->named & c->excluding ? SELECTION_EXCLUDED : SELECTION_KEPT;
}
