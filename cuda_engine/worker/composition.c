#include "composition.h"

#include <math.h>
#include <string.h>

#define SCALE_MIN  .001
#define SCALE_MAX  100.
#define OFFSET_MAX 100000.

/* x, y: how much of the room beside the picture is left of it and above it, in halves. */
static const struct {
    const char *name;
    int x, y;
} anchors[ANCHORS] = {
    [ANCHOR_CENTER] = { "center", 1, 1 },
    [ANCHOR_TOP_LEFT] = { "top-left", 0, 0 },
    [ANCHOR_TOP_CENTER] = { "top-center", 1, 0 },
    [ANCHOR_TOP_RIGHT] = { "top-right", 2, 0 },
    [ANCHOR_CENTER_LEFT] = { "center-left", 0, 1 },
    [ANCHOR_CENTER_RIGHT] = { "center-right", 2, 1 },
    [ANCHOR_BOTTOM_LEFT] = { "bottom-left", 0, 2 },
    [ANCHOR_BOTTOM_CENTER] = { "bottom-center", 1, 2 },
    [ANCHOR_BOTTOM_RIGHT] = { "bottom-right", 2, 2 },
};

int anchor_of(const char *name)
{
    for (int i = 0; i < ANCHORS; i++)
        if (strcmp(anchors[i].name, name) == 0)
            return i;
    return -1;
}

static int check_range(const char *field, double value, double least, double most, struct error *e)
{
    if (value >= least && value <= most)
        return 0;
    return error_set(e, "invalid_composition", "composition.%s is %g, outside %g to %g.", field,
        value, least, most);
}

static int check(const struct composition *c, struct error *e)
{
    int has_canvas = c->canvas_width || c->canvas_height;
    if ((has_canvas &&
            (check_range("canvas.width", c->canvas_width, CANVAS_MIN, CANVAS_MAX, e) ||
                check_range("canvas.height", c->canvas_height, CANVAS_MIN, CANVAS_MAX, e))) ||
        (c->scale != 0 && check_range("foreground.scale", c->scale, SCALE_MIN, SCALE_MAX, e)))
        return -1;
    if ((unsigned)c->anchor >= ANCHORS)
        return error_set(e, "invalid_composition", "composition.foreground.anchor is no anchor.");
    return check_range("foreground.offset.x", c->offset_x, -OFFSET_MAX, OFFSET_MAX, e) ||
                   check_range("foreground.offset.y", c->offset_y, -OFFSET_MAX, OFFSET_MAX, e)
               ? -1
               : 0;
}

static int made_even(int side)
{
    return side > 2 ? side / 2 * 2 : 2;
}

static int rounded(double pixels)
{
    int whole = (int)floor(pixels + .5);
    return whole > 1 ? whole : 1;
}

int composition_layout(const struct composition *c, int width, int height, int even,
    int64_t max_pixels, struct layout *l, struct error *e)
{
    if (check(c, e))
        return -1;
    int has_canvas = c->canvas_width > 0;
    l->width = has_canvas ? c->canvas_width : width;
    l->height = has_canvas ? c->canvas_height : height;
    /* without a canvas the picture's own pixels are kept, also where a row is lost to evenness */
    double fit = fmin((double)l->width / width, (double)l->height / height);
    double scale = fit * (c->scale > 0 ? c->scale : 1);
    if (even) {
        l->width = made_even(l->width);
        l->height = made_even(l->height);
    }
    if ((int64_t)l->width * l->height > max_pixels)
        return error_set(e, "too_large",
            "composition.canvas is %dx%d, above the limit of %lld pixels a frame.", l->width,
            l->height, (long long)max_pixels);
    struct placement *p = &l->place;
    p->width = rounded(width * scale);
    p->height = rounded(height * scale);
    p->x = (int)floor((l->width - p->width) * anchors[c->anchor].x / 2. + c->offset_x + .5);
    p->y = (int)floor((l->height - p->height) * anchors[c->anchor].y / 2. + c->offset_y + .5);
    return 0;
}
