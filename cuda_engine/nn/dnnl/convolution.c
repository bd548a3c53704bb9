#include <omp.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "plan.h"

enum { TRIALS = 512, RUNS = 3 };

#define TRIAL_MACS ((size_t)128 << 20)

/* What decides how fast a convolution of 3x3 is. */
struct shape_key {
    int channels, outputs, h, w, threads, program;
};

static struct {
    struct shape_key key;
    int winograd;
} known[TRIALS]; /* of this process */
static int known_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void step_scratch(struct step *s, void *scratch)
{
    dnnl_scratch(s, scratch);
    winograd_scratch(s, scratch);
}

void step_release(struct step *s)
{
    dnnl_release(s);
    winograd_release(s);
    s->run = NULL;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The least seconds that a step of the convolution takes; -1 and *e. */
static int measure(struct plan *p, const struct step *part,
    int (*prepare)(struct plan *, struct step *, struct error *), double *least, struct error *e)
{
    struct step s = *part;
    const int owned = p->owned_count;
    const size_t bytes = p->bytes, scratch_bytes = p->scratch_bytes;
    void *scratch;
    int result = prepare(p, &s, e) || !(scratch = plan_alloc(p, p->scratch_bytes, e)) ? -1 : 0;
    *least = 1e9;
    if (!result) {
        step_scratch(&s, scratch);
        s.run(&s); /* once to warm up */
        for (int i = 0; i < RUNS; i++) {
            const double before = seconds();
            s.run(&s);
            const double took = seconds() - before;
            if (*least > took)
                *least = took;
        }
    }
    step_release(&s);
    plan_free_since(
        p, owned, bytes + CODE_BYTES); /* oneDNN keeps the code for the next one like it */
    p->scratch_bytes = scratch_bytes;
    return result;
}

/* As many rows of the convolution as are enough to tell. */
static struct step first_rows(const struct step *s)
{
    struct step part = *s;
    const size_t each = (size_t)s->out.w * s->out.c * s->in[0].c * 9;
    const int rows = (int)(TRIAL_MACS / each) / 16 * 16 + 16; /* some tiles by some threads */
    const int less = s->out.h - rows;
    if (less > 0) {
        part.in[0].h -= less;
        part.out.h = rows;
        for (int k = 2 + s->node->window.bias; k < s->node->input_count; k++)
            part.in[k].h = rows;
    }
    return part;
}

/* 1: Winograd's algorithm is the faster one. -1 and *e. */
static int choose(struct plan *p, const struct step *s, struct error *e)
{
    const struct shape_key key = { s->in[0].c, s->out.c, s->out.n * s->out.h, s->out.w,
        omp_get_max_threads(), s->node->program_length };
    const struct step part = first_rows(s);
    double direct, winograd;
    int result = -1;
    pthread_mutex_lock(&lock); /* one at a time, or they would slow each other */
    for (int i = 0; i < known_count && result < 0; i++)
        if (!memcmp(&known[i].key, &key, sizeof key))
            result = known[i].winograd;
    if (result < 0 && known_count == TRIALS)
        result = 0;
    if (result < 0 && !measure(p, &part, dnnl_prepare, &direct, e)) {
        result = !measure(p, &part, winograd_prepare, &winograd, e) && winograd < direct;
        known[known_count].key = key;
        known[known_count++].winograd = result;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int convolution_prepare(struct plan *p, struct step *s, struct error *e)
{
    const int winograd = winograd_fits(s) ? choose(p, s, e) : 0;
    if (winograd < 0)
        return -1;
    return winograd ? winograd_prepare(p, s, e) : dnnl_prepare(p, s, e);
}
