#include "plan.h"

#include <string.h>

/* Copies w pixels of c channels. */
static void copy_row(
    float *to, ptrdiff_t to_stride, const float *from, ptrdiff_t from_stride, int w, int c)
{
    if (to_stride == c && from_stride == c) {
        memcpy(to, from, (size_t)w * c * sizeof *to);
        return;
    }
    for (int x = 0; x < w; x++, to += to_stride, from += from_stride)
        for (int k = 0; k < c; k++)
            to[k] = from[k];
}

void view_copy(const struct view *to, const struct view *from)
{
    if (to->data == from->data) /* it was computed in place */
        return;
#pragma omp parallel for collapse(2)
    for (int n = 0; n < to->n; n++)
        for (int y = 0; y < to->h; y++)
            copy_row(to->data + n * to->stride_n + y * to->stride_h, to->stride_w,
                from->data + n * from->stride_n + y * from->stride_h, from->stride_w, to->w, to->c);
}

static void run_concat(const struct step *s)
{
    const struct node *n = s->node;
    int offset[4] = { 0 };
    for (int k = 0; k < n->input_count; k++) {
        struct view to = view_part(&s->out, offset, &s->in[k], sizeof(float));
        view_copy(&to, &s->in[k]);
        const int rows = to.layout == ROWS;
        const int size[4] = { to.n, rows ? to.h : to.c, rows ? to.w : to.h, rows ? to.c : to.w };
        offset[n->axis] += size[n->axis];
    }
}

static void run_pad(const struct step *s)
{
    const struct view *v = &s->out;
#pragma omp parallel for collapse(2)
    for (int n = 0; n < v->n; n++)
        for (int y = 0; y < v->h; y++)
            for (int x = 0; x < v->w; x++)
                for (int k = 0; k < v->c; k++)
                    v->data[n * v->stride_n + y * v->stride_h + x * v->stride_w + k] =
                        s->node->fill;
    struct view to = view_part(v, s->node->offset, &s->in[0], sizeof(float));
    view_copy(&to, &s->in[0]);
}

int copy_prepare(struct plan *p, struct step *s, struct error *e)
{
    (void)p;
    (void)e;
    s->run = s->node->kind == PAD ? run_pad : run_concat;
    return 0;
}

enum { BLOCK = 16 }; /* pixels of which a plane's are adjacent: a cache line */

void view_load(const struct view *to, const float *from)
{
    const ptrdiff_t plane = (ptrdiff_t)to->h * to->w;
#pragma omp parallel for collapse(2)
    for (int n = 0; n < to->n; n++)
        for (int y = 0; y < to->h; y++)
            for (int x = 0; x < to->w; x += BLOCK) {
                const int count = to->w - x < BLOCK ? to->w - x : BLOCK;
                const float *row = from + plane * n * to->c + (ptrdiff_t)y * to->w + x;
                float *pixel = to->data + n * to->stride_n + y * to->stride_h + x * to->stride_w;
                for (int k = 0; k < to->c; k++)
                    for (int i = 0; i < count; i++)
                        pixel[i * to->stride_w + k] = row[k * plane + i];
            }
}

void view_store(float *to, const struct view *from)
{
    const ptrdiff_t plane = (ptrdiff_t)from->h * from->w;
#pragma omp parallel for collapse(2)
    for (int n = 0; n < from->n; n++)
        for (int y = 0; y < from->h; y++)
            for (int x = 0; x < from->w; x += BLOCK) {
                const int count = from->w - x < BLOCK ? from->w - x : BLOCK;
                float *row = to + plane * n * from->c + (ptrdiff_t)y * from->w + x;
                const float *pixel =
                    from->data + n * from->stride_n + y * from->stride_h + x * from->stride_w;
                for (int k = 0; k < from->c; k++)
                    for (int i = 0; i < count; i++)
                        row[k * plane + i] = pixel[i * from->stride_w + k];
            }
}
