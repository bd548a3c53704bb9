/*
 * Linear resizing with half pixel centres and repeated edges: output pixel i lies at (i + 0.5) * in / out - 0.5. Rows are
 * mixed first, over whole rows of adjacent floats, then columns. The nearest pixel is both neighbours.
 */
#include "plan.h"

#include <math.h>

#include "../plain/plain.h"

/* The two neighbours of output pixel i of out and the weight of the second. */
static float neighbours(const struct settings *s, int i, int in, int out, int *low, int *high)
{
    const float shift = s->count == ASYMMETRIC ? 0 : 0.5f;
    float at = ((float)i + shift) * ((float)in / (float)out) - shift;
    at = fminf(fmaxf(at, 0), (float)(in - 1));
    if (s->mode == NEAREST) {
        *low = *high = resize_nearest(s->keep, at);
        return 0;
    }
    *low = (int)at;
    *high = *low + 1 < in ? *low + 1 : *low;
    return at - (float)*low;
}

static void run_resize(const struct step *s)
{
    const struct view *in = &s->in[0], *out = &s->out;
    const int c = out->c;
#pragma omp parallel for collapse(2)
    for (int n = 0; n < out->n; n++)
        for (int y = 0; y < out->h; y++) {
            int above, below;
            const float f = neighbours(&s->node->settings, y, in->h, out->h, &above, &below);
            const float *a = in->data + n * in->stride_n + above * in->stride_h;
            const float *b = in->data + n * in->stride_n + below * in->stride_h;
            float *pixel = out->data + n * out->stride_n + y * out->stride_h;
            for (int x = 0; x < out->w; x++, pixel += out->stride_w) {
                const ptrdiff_t l = s->resize.left[x], r = s->resize.right[x];
                const float g = s->resize.fractions[x];
                for (int k = 0; k < c; k++) {
                    const float left = a[l + k] + (b[l + k] - a[l + k]) * f;
                    const float right = a[r + k] + (b[r + k] - a[r + k]) * f;
                    pixel[k] = left + (right - left) * g;
                }
            }
        }
}

int resize_prepare(struct plan *p, struct step *s, struct error *e)
{
    const struct view *in = &s->in[0], *out = &s->out;
    const size_t columns = out->w;
    s->resize.left = plan_alloc(p, columns * sizeof *s->resize.left, e);
    s->resize.right = plan_alloc(p, columns * sizeof *s->resize.right, e);
    s->resize.fractions = plan_alloc(p, columns * sizeof *s->resize.fractions, e);
    if (!s->resize.left || !s->resize.right || !s->resize.fractions)
        return -1;
    for (int x = 0; x < out->w; x++) {
        int left, right;
        s->resize.fractions[x] = neighbours(&s->node->settings, x, in->w, out->w, &left, &right);
        s->resize.left[x] = left * in->stride_w;
        s->resize.right[x] = right * in->stride_w;
    }
    s->run = run_resize;
    return 0;
}
