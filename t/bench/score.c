/*
 * score WIDTH HEIGHT FRAMES TRUTH FOREGROUND ALPHA COLOR: how far a matte is from the truth, as the matting literature
 * measures it (the definitions and scales of Robust Video Matting's evaluation): TRUTH and ALPHA are gray16le, FOREGROUND
 * and COLOR rgb24. One name=value a line: mad and mse (mean, x 1e3), grad (sum a frame / 1e3, sigma 1.4), conn (sum a frame
 * / 1e3), dtssd (x 1e2), edge_psnr (dB of the colour where the true alpha is between 5 and 95 percent).
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RADIUS = 5, LEVELS = 10 };

struct clip {
    int width, height;
    size_t n;
};

static void *need(void *p)
{
    if (!p) {
        fputs("score: no memory\n", stderr);
        exit(1);
    }
    return p;
}

static FILE *open_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(1);
    }
    return f;
}

/* The next picture; a file that ends early is a clip that has lost frames. */
static void next(FILE *f, const char *path, void *to, size_t bytes)
{
    if (fread(to, 1, bytes, f) != bytes) {
        fprintf(stderr, "score: %s has too few frames\n", path);
        exit(1);
    }
}

static void next_alpha(FILE *f, const char *path, uint8_t *scratch, float *to, size_t n)
{
    next(f, path, scratch, 2 * n);
    for (size_t i = 0; i < n; i++)
        to[i] = (float)((scratch[2 * i] | scratch[2 * i + 1] << 8) / 65535.0);
}

static int inside(int at, int size)
{
    return at < 0 ? 0 : at >= size ? size - 1 : at;
}

/* One pass of a separable filter, along rows (down: along columns), edges repeated. */
static void filter(const struct clip *c, const float *from, const double *taps, int down, float *to)
{
    float *edged = need(malloc(((size_t)c->width + 2 * RADIUS) * sizeof *edged));
    for (int y = 0; y < c->height; y++) {
        float *row = to + (size_t)y * (size_t)c->width;
        memset(row, 0, (size_t)c->width * sizeof *row);
        for (int x = 0; x < c->width + 2 * RADIUS; x++)
            edged[x] = from[(size_t)y * (size_t)c->width + (size_t)inside(x - RADIUS, c->width)];
        for (int k = 0; k <= 2 * RADIUS; k++) {
            const float *in =
                down ? from + (size_t)inside(y + k - RADIUS, c->height) * (size_t)c->width
                     : edged + k;
            const float tap = (float)taps[k];
            for (int x = 0; x < c->width; x++)
                row[x] += tap * in[x];
        }
    }
    free(edged);
}

/* The gradient's length under a Gaussian of sigma 1.4, kernels of unit energy. */
static void gradient(const struct clip *c, const float *alpha, float *scratch, float *dx, float *to)
{
    double smooth[2 * RADIUS + 1], slope[2 * RADIUS + 1], s2 = 1.4 * 1.4, energy = 0;
    for (int k = -RADIUS; k <= RADIUS; k++) {
        smooth[k + RADIUS] = exp(-k * k / (2 * s2)) / (1.4 * sqrt(2 * M_PI));
        slope[k + RADIUS] = -k * smooth[k + RADIUS] / s2;
    }
    for (int i = 0; i <= 2 * RADIUS; i++)
        for (int j = 0; j <= 2 * RADIUS; j++)
            energy += pow(smooth[i] * slope[j], 2);
    for (int i = 0; i <= 2 * RADIUS; i++)
        slope[i] /= sqrt(energy);
    filter(c, alpha, smooth, 1, scratch);
    filter(c, scratch, slope, 0, dx);
    filter(c, alpha, smooth, 0, scratch);
    filter(c, scratch, slope, 1, to);
    for (size_t i = 0; i < c->n; i++)
        to[i] = hypotf(to[i], dx[i]);
}

/* Keeps the largest 4-connected part of mask (1: in it), sets the rest to 0. */
static void keep_largest(const struct clip *c, uint8_t *mask, int *label, int *stack)
{
    size_t best_size = 0;
    int best = 0, labels = 0;
    memset(label, 0, c->n * sizeof *label);
    for (size_t start = 0; start < c->n; start++) {
        size_t size = 0, depth = 0;
        if (!mask[start] || label[start])
            continue;
        label[start] = ++labels;
        stack[depth++] = (int)start;
        while (depth) {
            int at = stack[--depth], x = at % c->width, y = at / c->width;
            const int near[4][2] = { { x - 1, y }, { x + 1, y }, { x, y - 1 }, { x, y + 1 } };
            size++;
            for (int k = 0; k < 4; k++) {
                int to = near[k][1] * c->width + near[k][0];
                if (near[k][0] < 0 || near[k][0] >= c->width || near[k][1] < 0 ||
                    near[k][1] >= c->height || !mask[to] || label[to])
                    continue;
                label[to] = labels;
                stack[depth++] = to;
            }
        }
        if (size > best_size) {
            best_size = size;
            best = labels;
        }
    }
    for (size_t i = 0; i < c->n; i++)
        mask[i] = best && label[i] == best;
}

/* Rhemann et al., "A perceptually motivated online benchmark for image matting": step .1, differences from .15 on. */
static double connectivity(const struct clip *c, const float *truth, const float *alpha)
{
    uint8_t *mask = need(malloc(c->n));
    float *level = need(malloc(c->n * sizeof *level));
    int *label = need(malloc(c->n * sizeof *label)), *stack = need(malloc(c->n * sizeof *stack));
    double sum = 0;
    for (size_t i = 0; i < c->n; i++)
        level[i] = -1;
    for (int k = 1; k <= LEVELS; k++) {
        float at = (float)k / LEVELS;
        for (size_t i = 0; i < c->n; i++)
            mask[i] = truth[i] >= at && alpha[i] >= at;
        keep_largest(c, mask, label, stack);
        for (size_t i = 0; i < c->n; i++)
            if (level[i] < 0 && !mask[i])
                level[i] = (float)(k - 1) / LEVELS;
    }
    for (size_t i = 0; i < c->n; i++) {
        float l = level[i] < 0 ? 1 : level[i], dt = truth[i] - l, da = alpha[i] - l;
        sum += fabs((double)(dt >= .15f ? dt : 0) - (double)(da >= .15f ? da : 0));
    }
    free(mask);
    free(level);
    free(label);
    free(stack);
    return sum;
}

int main(int argc, char **argv)
{
    if (argc != 8) {
        fputs("usage: score WIDTH HEIGHT FRAMES TRUTH FOREGROUND ALPHA COLOR\n", stderr);
        return 2;
    }
    struct clip c = { atoi(argv[1]), atoi(argv[2]), 0 };
    int count = atoi(argv[3]);
    c.n = (size_t)c.width * (size_t)c.height;
    FILE *truths = open_file(argv[4]), *foregrounds = open_file(argv[5]);
    FILE *alphas = open_file(argv[6]), *colors = open_file(argv[7]);
    float *planes = need(calloc(8 * c.n, sizeof *planes));
    float *truth = planes, *alpha = truth + c.n, *truth_before = alpha + c.n,
          *alpha_before = truth_before + c.n;
    float *truth_slope = alpha_before + c.n, *alpha_slope = truth_slope + c.n,
          *scratch = alpha_slope + c.n, *other = scratch + c.n;
    uint8_t *raw = need(malloc(2 * c.n)), *foreground = need(malloc(3 * c.n)),
            *color = need(malloc(3 * c.n));
    double mad = 0, mse = 0, grad = 0, conn = 0, dtssd = 0, edge = 0, edge_count = 0;

    for (int f = 0; f < count; f++) {
        next_alpha(truths, argv[4], raw, truth, c.n);
        next_alpha(alphas, argv[6], raw, alpha, c.n);
        next(foregrounds, argv[5], foreground, 3 * c.n);
        next(colors, argv[7], color, 3 * c.n);
        gradient(&c, truth, scratch, other, truth_slope);
        gradient(&c, alpha, scratch, other, alpha_slope);
        double change = 0;
        for (size_t i = 0; i < c.n; i++) {
            double d = (double)alpha[i] - (double)truth[i];
            double moved = d - ((double)alpha_before[i] - (double)truth_before[i]);
            double slope = (double)alpha_slope[i] - (double)truth_slope[i];
            mad += fabs(d);
            mse += d * d;
            grad += slope * slope;
            change += moved * moved;
            if (truth[i] > .05f && truth[i] < .95f)
                for (int k = 0; k < 3; k++) {
                    double off =
                        (double)color[3 * i + (size_t)k] - (double)foreground[3 * i + (size_t)k];
                    edge += off * off;
                    edge_count++;
                }
        }
        conn += connectivity(&c, truth, alpha);
        if (f > 0)
            dtssd += sqrt(change / (double)c.n);
        memcpy(truth_before, truth, c.n * sizeof *truth);
        memcpy(alpha_before, alpha, c.n * sizeof *alpha);
    }
    double all = (double)c.n * count;
    printf("mad=%.4f\nmse=%.4f\ngrad=%.4f\nconn=%.4f\ndtssd=%.4f\nedge_psnr=%.3f\n",
        1e3 * mad / all, 1e3 * mse / all, grad / count / 1e3, conn / count / 1e3,
        count > 1 ? 1e2 * dtssd / (count - 1) : 0, 10 * log10(255.0 * 255 * edge_count / edge));
    free(planes);
    free(raw);
    free(foreground);
    free(color);
    fclose(truths);
    fclose(foregrounds);
    fclose(alphas);
    fclose(colors);
    return 0;
}
