/*
 * Lines of colour to alpha for every sample of the network's picture, as refine_math.h has them: fitted in the window
 * around each sample, then averaged over the windows that hold it.
 */
#include "../refine_math.h"
#include "cpu.h"

#include <stdlib.h>

struct cpu_guide {
    int width, height;
    struct line *samples, *fits;
};

struct cpu_guide *cpu_guide_open(int width, int height)
{
    struct cpu_guide *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    const size_t n = (size_t)width * (size_t)height;
    g->width = width;
    g->height = height;
    g->samples = malloc(n * sizeof *g->samples);
    g->fits = malloc(n * sizeof *g->fits);
    if (g->samples && g->fits)
        return g;
    cpu_guide_close(g);
    return NULL;
}

/* The samples beside i, those of the picture only. */
static void around(int i, int size, int *first, int *last)
{
    *first = i > 0 ? i - 1 : 0;
    *last = i + 1 < size ? i + 1 : size - 1;
}

static struct line fit_window(const struct cpu_guide *g, int x, int y)
{
    const struct line middle = g->samples[(size_t)y * (size_t)g->width + (size_t)x];
    struct moments m = { 0 };
    int left, right, top, bottom;
    around(x, g->width, &left, &right);
    around(y, g->height, &top, &bottom);
    for (int j = top; j <= bottom; j++)
        for (int i = left; i <= right; i++)
            moments_add(&m, g->samples[(size_t)j * (size_t)g->width + (size_t)i], middle);
    return fit(m, middle);
}

static struct line mean_line(const struct cpu_guide *g, int x, int y)
{
    struct line sum = { 0, 0, 0, 0 };
    int left, right, top, bottom;
    around(x, g->width, &left, &right);
    around(y, g->height, &top, &bottom);
    for (int j = top; j <= bottom; j++)
        for (int i = left; i <= right; i++) {
            const struct line l = g->fits[(size_t)j * (size_t)g->width + (size_t)i];
            sum.r += l.r;
            sum.g += l.g;
            sum.b += l.b;
            sum.c += l.c;
        }
    const float n = 1 / (float)((right - left + 1) * (bottom - top + 1));
    return (struct line) { sum.r * n, sum.g * n, sum.b * n, sum.c * n };
}

void cpu_guide_run(struct cpu_guide *g, const struct compositor_params *p,
    const struct compositor_low *low, float *lines)
{
    const size_t n = (size_t)g->width * (size_t)g->height;
    const float *input = low->input.data, *alpha = low->alpha.data;
    for (size_t i = 0; i < n; i++)
        g->samples[i] = (struct line) {
            input[i] * p->std[0] + p->mean[0],
            input[n + i] * p->std[1] + p->mean[1],
            input[2 * n + i] * p->std[2] + p->mean[2],
            alpha[i],
        };
    for (int y = 0; y < g->height; y++)
        for (int x = 0; x < g->width; x++)
            g->fits[(size_t)y * (size_t)g->width + (size_t)x] = fit_window(g, x, y);
    for (int y = 0; y < g->height; y++)
        for (int x = 0; x < g->width; x++) {
            const size_t i = (size_t)y * (size_t)g->width + (size_t)x;
            const struct line l = mean_line(g, x, y);
            lines[i] = l.r;
            lines[n + i] = l.g;
            lines[2 * n + i] = l.b;
            lines[3 * n + i] = l.c;
        }
}

void cpu_guide_close(struct cpu_guide *g)
{
    if (!g)
        return;
    free(g->samples);
    free(g->fits);
    free(g);
}
