/*
 * scene KIND SEED FRAMES WIDTH HEIGHT SUBJECT SW SH BACKGROUND FOLDER: a clip of which the matte is known. A cut-out
 * (SUBJECT: SW x SH RGBA) moves over moving footage (BACKGROUND: FRAMES pictures of RGB, WIDTH x HEIGHT); what the kind
 * adds to it has an exact alpha as well. Written into FOLDER: frames.rgb, what a camera would give, with its noise;
 * alpha.gray16le and foreground.rgb, the truth. The same seed gives the same clip.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHUTTER = 16, STRANDS = 220, HOLES = 9, CLIP_MAX = 4096 };

/* Premultiplied R, G, B, A of 0..1. */
struct picture {
    int width, height;
    float *rgba;
};

/* Where the cut-out is at a time: its centre in parts of the frame, its size, its turn; speed: sways in 100 frames. */
struct motion {
    double x, y, sway_x, sway_y, height, zoom, turn, speed;
    double shutter; /* part of the frame's time in which light falls in */
};

struct kind {
    const char *name;
    void (*decorate)(struct picture *p, uint64_t *seed);
    struct motion motion;
    double noise; /* standard deviation of the camera's, in codes */
    int still;    /* the background does not move either */
};

static double uniform(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (double)(*seed >> 11) * 0x1p-53;
}

static double gaussian(uint64_t *seed)
{
    return sqrt(-2 * log(1 - uniform(seed))) * cos(2 * M_PI * uniform(seed));
}

static void *need(void *p)
{
    if (!p) {
        fputs("scene: no memory\n", stderr);
        exit(1);
    }
    return p;
}

/* Colour over what is there, covering a part of the pixel. */
static void lay(struct picture *p, int x, int y, const float color[3], double cover)
{
    if (x < 0 || y < 0 || x >= p->width || y >= p->height)
        return;
    float *to = p->rgba + 4 * ((size_t)y * (size_t)p->width + (size_t)x);
    for (int c = 0; c < 3; c++)
        to[c] = (float)(color[c] * cover + to[c] * (1 - cover));
    to[3] = (float)(cover + to[3] * (1 - cover));
}

/* ---- kinds ---- */

static void plain(struct picture *p, uint64_t *seed)
{
    (void)p;
    (void)seed;
}

/* A strand: a curved line that thins towards its tip, drawn as discs that cover pixels by distance. */
static void strand(
    struct picture *p, double x, double y, double angle, const float color[3], uint64_t *seed)
{
    double length = p->height * (.06 + .1 * uniform(seed)), bend = .02 * (uniform(seed) - .5);
    double width = .5 + 1.1 * uniform(seed);
    for (double at = 0; at < length; at += .35) {
        double radius = width * (1 - .8 * at / length);
        for (int j = (int)(y - 2); j <= y + 3; j++)
            for (int i = (int)(x - 2); i <= x + 3; i++) {
                double inside = radius - hypot(i - x, j - y);
                /* a disc is passed about three times a pixel: its share each time */
                if (inside > -.5)
                    lay(p, i, j, color, .35 * fmin(inside + .5, 1));
            }
        x += .35 * cos(angle);
        y += .35 * sin(angle);
        angle += bend;
    }
}

/* Hairs that start inside the edge and stand off it. */
static void hair(struct picture *p, uint64_t *seed)
{
    double cx = p->width / 2.0, cy = p->height / 2.0;
    struct picture bare = *p;
    bare.rgba = need(malloc((size_t)p->width * (size_t)p->height * 4 * sizeof *bare.rgba));
    memcpy(bare.rgba, p->rgba, (size_t)p->width * (size_t)p->height * 4 * sizeof *bare.rgba);
    for (int i = 0; i < STRANDS; i++) {
        double angle = M_PI * (1 + uniform(seed)); /* the upper half */
        for (double r = hypot(cx, cy); r > 0; r -= 1) {
            int x = (int)(cx + r * cos(angle)), y = (int)(cy + r * sin(angle));
            if (x < 0 || y < 0 || x >= p->width || y >= p->height)
                continue;
            const float *from = bare.rgba + 4 * ((size_t)y * (size_t)p->width + (size_t)x);
            if (from[3] < .98f)
                continue;
            double shade = .6 + .4 * uniform(seed);
            const float color[3] = { (float)(from[0] * shade), (float)(from[1] * shade),
                (float)(from[2] * shade) };
            strand(p, x, y, angle + .8 * (uniform(seed) - .5), color, seed);
            break;
        }
    }
    free(bare.rgba);
}

/* Thin cloth that hangs from the middle: folds of alpha. */
static void veil(struct picture *p, uint64_t *seed)
{
    double phase = 2 * M_PI * uniform(seed);
    const float color[3] = { .93f, .9f, .88f };
    for (int y = p->height / 2; y < p->height; y++) {
        double reach = .5 * p->width * (.55 + .4 * (y - p->height / 2) / (.5 * p->height));
        for (int x = 0; x < p->width; x++) {
            double side = fabs(x - p->width / 2.0);
            double fold = .45 + .15 * sin(phase + 18.0 * x / p->width + 3.0 * y / p->height);
            lay(p, x, y, color, fold * fmin(fmax(reach - side, 0), 1));
        }
    }
}

/* Round holes through the cut-out, edges a pixel wide. */
static void holes(struct picture *p, uint64_t *seed)
{
    for (int i = 0; i < HOLES; i++) {
        double cx = p->width * (.25 + .5 * uniform(seed)),
               cy = p->height * (.25 + .5 * uniform(seed));
        double radius = p->height * (.02 + .035 * uniform(seed));
        for (int y = 0; y < p->height; y++)
            for (int x = 0; x < p->width; x++) {
                float keep = (float)fmin(fmax(hypot(x - cx, y - cy) - radius + .5, 0), 1);
                float *to = p->rgba + 4 * ((size_t)y * (size_t)p->width + (size_t)x);
                for (int c = 0; c < 4; c++)
                    to[c] *= keep;
            }
    }
}

static const struct kind kinds[] = {
    { "photo", plain, { .5, .52, .12, .04, .75, .06, .10, 1, 0 }, 2, 0 },
    { "hair", hair, { .5, .56, .08, .03, .75, .04, .06, 1, 0 }, 2, 0 },
    { "veil", veil, { .5, .5, .08, .03, .8, .04, .05, 1, 0 }, 2, 0 },
    { "holes", holes, { .5, .52, .1, .04, .8, .05, .08, 1, 0 }, 2, 0 },
    { "blur", plain, { .5, .52, .15, .05, .6, .05, .25, 4, .5 }, 2, 0 },
    { "still", plain, { .5, .52, 0, 0, .75, 0, 0, 0, 0 }, 2.5, 1 },
    { "far", plain, { .3, .75, .06, .02, .3, .04, .06, 1, 0 }, 2, 0 },
};

/* ---- drawing ---- */

static void sample(const struct picture *p, double x, double y, float out[4])
{
    int x0 = (int)floor(x), y0 = (int)floor(y);
    double fx = x - x0, fy = y - y0;
    memset(out, 0, 4 * sizeof *out);
    for (int j = 0; j < 2; j++)
        for (int i = 0; i < 2; i++) {
            if (x0 + i < 0 || y0 + j < 0 || x0 + i >= p->width || y0 + j >= p->height)
                continue;
            const float *from =
                p->rgba + 4 * ((size_t)(y0 + j) * (size_t)p->width + (size_t)(x0 + i));
            double weight = (i ? fx : 1 - fx) * (j ? fy : 1 - fy);
            for (int c = 0; c < 4; c++)
                out[c] += (float)(weight * from[c]);
        }
}

/* Adds the cut-out as it stands at time t, in frames, with 2 x 2 samples a pixel. */
static void draw(struct picture *to, const struct picture *subject, const struct motion *m,
    double t, double share)
{
    double phase = 2 * M_PI * m->speed * t / 100;
    double size = m->height * to->height / subject->height * (1 + m->zoom * sin(1.3 * phase));
    double turn = m->turn * sin(.9 * phase + .4);
    double cx = to->width * (m->x + m->sway_x * sin(phase));
    double cy = to->height * (m->y + m->sway_y * cos(1.1 * phase));
    double c = cos(turn) / size, s = sin(turn) / size;
    for (int y = 0; y < to->height; y++)
        for (int x = 0; x < to->width; x++) {
            float *out = to->rgba + 4 * ((size_t)y * (size_t)to->width + (size_t)x);
            for (int k = 0; k < 4; k++) {
                double dx = x + .25 + .5 * (k & 1) - cx, dy = y + .25 + .5 * (k >> 1) - cy;
                float got[4];
                sample(subject, c * dx + s * dy + subject->width / 2.0 - .5,
                    c * dy - s * dx + subject->height / 2.0 - .5, got);
                for (int i = 0; i < 4; i++)
                    out[i] += (float)(.25 * share * got[i]);
            }
        }
}

static uint8_t code(double value)
{
    return (uint8_t)lrint(fmin(fmax(value, 0), 255));
}

/* ---- files ---- */

static FILE *file_in(const char *folder, const char *name)
{
    char path[CLIP_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f) {
        perror(path);
        exit(1);
    }
    return f;
}

static uint8_t *file_read(const char *path, size_t bytes)
{
    uint8_t *data = need(malloc(bytes));
    FILE *f = fopen(path, "rb");
    if (!f || fread(data, 1, bytes, f) != bytes) {
        fprintf(stderr, "scene: %s is missing or shorter than %zu bytes\n", path, bytes);
        exit(1);
    }
    fclose(f);
    return data;
}

static struct picture subject_open(const char *path, int width, int height)
{
    size_t n = (size_t)width * (size_t)height;
    struct picture p = { width, height, need(malloc(n * 4 * sizeof *p.rgba)) };
    uint8_t *from = file_read(path, 4 * n);
    for (size_t i = 0; i < n; i++) {
        float alpha = from[4 * i + 3] / 255.0f;
        for (int c = 0; c < 3; c++)
            p.rgba[4 * i + c] = alpha * from[4 * i + c] / 255.0f;
        p.rgba[4 * i + 3] = alpha;
    }
    free(from);
    return p;
}

static void write_frame(const struct picture *p, const uint8_t *background, double noise,
    uint64_t *seed, FILE *frames, FILE *alphas, FILE *foregrounds)
{
    size_t n = (size_t)p->width * (size_t)p->height;
    uint8_t *rgb = need(malloc(3 * n)), *alpha = need(malloc(2 * n)), *truth = need(malloc(3 * n));
    for (size_t i = 0; i < n; i++) {
        const float *from = p->rgba + 4 * i;
        double a = fmin(from[3], 1);
        long deep = lrint(65535 * a);
        alpha[2 * i] = (uint8_t)deep;
        alpha[2 * i + 1] = (uint8_t)(deep >> 8);
        for (int c = 0; c < 3; c++) {
            truth[3 * i + c] = a > 0 ? code(255 * from[c] / a) : 0;
            rgb[3 * i + c] =
                code(255 * from[c] + (1 - a) * background[3 * i + c] + noise * gaussian(seed));
        }
    }
    fwrite(rgb, 3, n, frames);
    fwrite(alpha, 2, n, alphas);
    fwrite(truth, 3, n, foregrounds);
    free(rgb);
    free(alpha);
    free(truth);
}

int main(int argc, char **argv)
{
    const struct kind *kind = NULL;
    for (size_t i = 0; argc == 11 && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(argv[1], kinds[i].name) == 0)
            kind = &kinds[i];
    if (!kind) {
        fputs(
            "usage: scene KIND SEED FRAMES WIDTH HEIGHT SUBJECT SW SH BACKGROUND FOLDER\n", stderr);
        return 2;
    }
    uint64_t seed = strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
    int count = atoi(argv[3]), width = atoi(argv[4]), height = atoi(argv[5]);
    size_t n = (size_t)width * (size_t)height;
    struct picture subject = subject_open(argv[6], atoi(argv[7]), atoi(argv[8]));
    uint8_t *background = file_read(argv[9], 3 * n * (size_t)count);
    FILE *frames = file_in(argv[10], "frames.rgb"), *alphas = file_in(argv[10], "alpha.gray16le");
    FILE *foregrounds = file_in(argv[10], "foreground.rgb");

    kind->decorate(&subject, &seed);
    struct picture p = { width, height, need(malloc(n * 4 * sizeof *p.rgba)) };
    int open = kind->motion.shutter > 0 ? SHUTTER : 1;
    for (int f = 0; f < count; f++) {
        memset(p.rgba, 0, n * 4 * sizeof *p.rgba);
        for (int k = 0; k < open; k++)
            draw(&p, &subject, &kind->motion, f + kind->motion.shutter * k / open, 1.0 / open);
        write_frame(&p, background + 3 * n * (size_t)(kind->still ? 0 : f), kind->noise, &seed,
            frames, alphas, foregrounds);
    }
    free(p.rgba);
    free(subject.rgba);
    free(background);
    return fclose(frames) | fclose(alphas) | fclose(foregrounds) ? 1 : 0;
}
