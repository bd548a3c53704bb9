#include "place.h"

static int clipped(int x, int size)
{
    return x < 0 ? 0 : x < size ? x : size;
}

/* Along one axis: chroma samples of picture and canvas coincide, and none has pixels of both. */
static int is_whole(int source, int canvas, int at, int size)
{
    return size == source && !(at & 1) && (!(size & 1) || at + size >= canvas);
}

static int axis(struct taps *taps, int source, int size, int at, int from, int to)
{
    struct taps_params p = { source, source, size, from - at, to - from };
    return taps_open(taps, &p);
}

int placed_open(struct placed *s, const struct compositor_params *p)
{
    const struct placement *at = &p->place;
    *s = (struct placed) {
        .x0 = clipped(at->x, p->canvas_width),
        .y0 = clipped(at->y, p->canvas_height),
        .x1 = clipped(at->x + at->width, p->canvas_width),
        .y1 = clipped(at->y + at->height, p->canvas_height),
        .whole = is_whole(p->width, p->canvas_width, at->x, at->width) &&
                 is_whole(p->height, p->canvas_height, at->y, at->height),
    };
    if (s->x0 == s->x1 || s->y0 == s->y1)
        *s = (struct placed) { .whole = 1 };
    if (s->whole)
        return 0;
    return axis(&s->x, p->width, at->width, at->x, s->x0, s->x1) ||
                   axis(&s->y, p->height, at->height, at->y, s->y0, s->y1)
               ? -1
               : 0;
}

void placed_close(struct placed *s)
{
    taps_close(&s->x);
    taps_close(&s->y);
}
