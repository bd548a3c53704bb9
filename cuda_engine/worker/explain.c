#include "explain.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../media/still.h"

enum { GLYPH_WIDTH = 5, GLYPH_HEIGHT = 7, SCALE = 2, LINE = 2 };

/* The part that is left of the light of what is not kept. */
#define DARKER .35f

struct explain {
    char path[PATH_MAX];
    int folder;
    int64_t frame, written;
    int width, height; /* of what is below */
    float *planes;     /* R, G, B, alpha */
    uint8_t *rgb;
};

/* A column a byte, the top pixel its lowest bit. What has no glyph is a space. */
static const uint8_t digits[10][GLYPH_WIDTH] = { { 0x3e, 0x51, 0x49, 0x45, 0x3e },
    { 0x00, 0x42, 0x7f, 0x40, 0x00 }, { 0x42, 0x61, 0x51, 0x49, 0x46 },
    { 0x21, 0x41, 0x45, 0x4b, 0x31 }, { 0x18, 0x14, 0x12, 0x7f, 0x10 },
    { 0x27, 0x45, 0x45, 0x45, 0x39 }, { 0x3c, 0x4a, 0x49, 0x49, 0x30 },
    { 0x01, 0x71, 0x09, 0x05, 0x03 }, { 0x36, 0x49, 0x49, 0x49, 0x36 },
    { 0x06, 0x49, 0x49, 0x29, 0x1e } };
static const uint8_t letters[26][GLYPH_WIDTH] = { { 0x20, 0x54, 0x54, 0x54, 0x78 },
    { 0x7f, 0x48, 0x44, 0x44, 0x38 }, { 0x38, 0x44, 0x44, 0x44, 0x20 },
    { 0x38, 0x44, 0x44, 0x48, 0x7f }, { 0x38, 0x54, 0x54, 0x54, 0x18 },
    { 0x08, 0x7e, 0x09, 0x01, 0x02 }, { 0x0c, 0x52, 0x52, 0x52, 0x3e },
    { 0x7f, 0x08, 0x04, 0x04, 0x78 }, { 0x00, 0x44, 0x7d, 0x40, 0x00 },
    { 0x20, 0x40, 0x44, 0x3d, 0x00 }, { 0x7f, 0x10, 0x28, 0x44, 0x00 },
    { 0x00, 0x41, 0x7f, 0x40, 0x00 }, { 0x7c, 0x04, 0x18, 0x04, 0x78 },
    { 0x7c, 0x08, 0x04, 0x04, 0x78 }, { 0x38, 0x44, 0x44, 0x44, 0x38 },
    { 0x7c, 0x14, 0x14, 0x14, 0x08 }, { 0x08, 0x14, 0x14, 0x18, 0x7c },
    { 0x7c, 0x08, 0x04, 0x04, 0x08 }, { 0x48, 0x54, 0x54, 0x54, 0x20 },
    { 0x04, 0x3f, 0x44, 0x40, 0x20 }, { 0x3c, 0x40, 0x40, 0x20, 0x7c },
    { 0x1c, 0x20, 0x40, 0x20, 0x1c }, { 0x3c, 0x40, 0x30, 0x40, 0x3c },
    { 0x44, 0x28, 0x10, 0x28, 0x44 }, { 0x0c, 0x50, 0x50, 0x50, 0x3c },
    { 0x44, 0x64, 0x54, 0x4c, 0x44 } };
static const uint8_t point[GLYPH_WIDTH] = { 0x00, 0x60, 0x60, 0x00, 0x00 };

static const uint8_t *glyph(char c)
{
    return c >= '0' && c <= '9'   ? digits[c - '0']
           : c >= 'a' && c <= 'z' ? letters[c - 'a']
           : c == '.'             ? point
                                  : NULL;
}

struct explain *explain_open(const char *path, struct error *e)
{
    struct stat status;
    const size_t length = strlen(path);
    const int file = length > 4 && !strcmp(path + length - 4, ".png");
    if (!file && (stat(path, &status) || !S_ISDIR(status.st_mode))) {
        error_set(
            e, "invalid_request", "%s is neither a file's name with .png nor a folder.", path);
        return NULL;
    }
    struct explain *x = length < sizeof x->path ? calloc(1, sizeof *x) : NULL;
    if (!x) {
        error_retry(e, "out_of_memory", "There is no memory to explain anything.");
        return NULL;
    }
    memcpy(x->path, path, length + 1);
    x->folder = !file;
    return x;
}

static int make_room(struct explain *x, const struct raster *picture, struct error *e)
{
    const size_t pixels = (size_t)picture->width * (size_t)picture->height;
    if (x->planes)
        return 0;
    x->width = picture->width;
    x->height = picture->height;
    x->planes = malloc(4 * pixels * sizeof *x->planes);
    x->rgb = malloc(3 * pixels);
    return x->planes && x->rgb
               ? 0
               : error_retry(e, "out_of_memory", "There is no memory to explain anything.");
}

/* ---- drawing ---- */

static void draw_picture(struct explain *x, const struct manifest *m)
{
    const size_t pixels = (size_t)x->width * (size_t)x->height;
    const float *alpha = x->planes + 3 * pixels;
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < 3; c++) {
            const float light = x->planes[c * pixels + i] * m->std[c] + m->mean[c];
            const float code = 255 * light * (DARKER + (1 - DARKER) * alpha[i]);
            x->rgb[3 * i + c] = (uint8_t)(code < 0 ? 0 : code > 255 ? 255 : code + .5f);
        }
}

static void fill(
    struct explain *x, int left, int top, int width, int height, const uint8_t color[3])
{
    for (int y = top < 0 ? 0 : top; y < top + height && y < x->height; y++)
        for (int i = left < 0 ? 0 : left; i < left + width && i < x->width; i++)
            memcpy(x->rgb + 3 * ((ptrdiff_t)y * x->width + i), color, 3);
}

static void draw_text(
    struct explain *x, int left, int top, const char *text, const uint8_t color[3])
{
    for (; *text; text++, left += SCALE * (GLYPH_WIDTH + 1)) {
        const uint8_t *g = glyph(*text);
        for (int i = 0; g && i < GLYPH_WIDTH * GLYPH_HEIGHT; i++)
            if (g[i / GLYPH_HEIGHT] >> i % GLYPH_HEIGHT & 1)
                fill(x, left + SCALE * (i / GLYPH_HEIGHT), top + SCALE * (i % GLYPH_HEIGHT), SCALE,
                    SCALE, color);
    }
}

static void draw_thing(struct explain *x, const struct model_thing *t)
{
    static const uint8_t green[] = { 60, 220, 80 }, grey[] = { 170, 170, 170 },
                         yellow[] = { 250, 210, 60 }, black[] = { 0, 0, 0 };
    const uint8_t *color = t->hidden ? yellow : t->kept ? green : grey;
    const int left = (int)(t->left * (float)x->width), top = (int)(t->top * (float)x->height),
              right = (int)(t->right * (float)x->width),
              bottom = (int)(t->bottom * (float)x->height);
    const int width = right - left, height = bottom - top;
    char label[80];
    fill(x, left, top, width, LINE, color);
    fill(x, left, bottom - LINE, width, LINE, color);
    fill(x, left, top, LINE, height, color);
    fill(x, right - LINE, top, LINE, height, color);
    snprintf(label, sizeof label, "%d %s %.2f", t->id, t->name, (double)t->score);
    const int high = SCALE * (GLYPH_HEIGHT + 2), above = top < high ? 0 : top - high;
    const int from = left < 0 ? 0 : left;
    fill(x, from, above, SCALE * (GLYPH_WIDTH + 1) * (int)strlen(label) + SCALE, high, color);
    draw_text(x, from + SCALE, above + SCALE, label, black);
}

static int write_picture(struct explain *x, struct error *e)
{
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, x->folder ? "%s/%06lld.png" : "%s", x->path, (long long)x->frame);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_set(e, "storage_error", "%s cannot be made: %s.", path, strerror(errno));
    int failed = still_write(fd, x->rgb, x->width, x->height, e);
    if (close(fd) && !failed)
        failed = error_set(e, "storage_error", "%s cannot be written: %s.", path, strerror(errno));
    x->written++;
    return failed;
}

int explain_frame(struct explain *x, struct device *device, const struct manifest *m,
    const struct model *model, const struct raster *picture, const struct raster *alpha,
    struct error *e)
{
    struct model_thing things[MODEL_THINGS];
    int key, failed = 0;
    const int count = model_things(model, things, &key);
    if (key && (x->folder || !x->written)) {
        const size_t pixels = (size_t)picture->width * (size_t)picture->height;
        if (make_room(x, picture, e) || raster_read(device, picture, x->planes, e) ||
            raster_read(device, alpha, x->planes + 3 * pixels, e))
            return -1;
        draw_picture(x, m);
        for (int i = 0; i < count; i++)
            draw_thing(x, &things[i]);
        failed = write_picture(x, e);
    }
    x->frame++;
    return failed;
}

void explain_close(struct explain *x)
{
    if (!x)
        return;
    free(x->planes);
    free(x->rgb);
    free(x);
}
