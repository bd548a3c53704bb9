/*
 * Where a network's time goes on the CPU: runs one ONNX file and prints a line for every node of its plan, the slowest
 * first, and the sums by kind. Inputs are left at zero; the time of no kind depends on values.
 * Where Winograd's algorithm is taken, oneDNN's convolution runs in every other run, and the line tells its time too.
 *
 *   profile MODEL.onnx RUNS THREADS [INPUT:SIZE[=VALUES] ...]
 */
#include <fcntl.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nn/dnnl/plan.h"

enum { PORTS = 16, VALUES = 64 };

static const char *const kinds[] = {
    [CONVOLUTION] = "convolution",
    [POOL_MAX] = "pool",
    [POOL_AVERAGE] = "pool",
    [RESIZE] = "resize",
    [CONCAT] = "concat",
    [SLICE] = "slice",
    [PAD] = "pad",
    [POINTWISE] = "pointwise",
    [PRODUCT] = "product",
    [SOFTMAX] = "softmax",
    [NORMALISE] = "normalise",
    [COPY] = "copy",
    [ATTENTION] = "attention",
    [PLAIN] = "plain",
};

struct line {
    const struct step *step;
    double ms;
    struct step direct; /* by oneDNN what is done by Winograd's algorithm; run NULL: it is not */
    double direct_ms;
};

static double milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_time(const void *a, const void *b)
{
    const double x = ((const struct line *)a)->ms, y = ((const struct line *)b)->ms;
    return (x < y) - (x > y);
}

/* INPUT:SIZE[=VALUES] */
static void take_size(char *argument, struct nn_fixed *f)
{
    static float values[PORTS][VALUES];
    static int count;
    char *at = strchr(argument, ':'), *known = strchr(argument, '=');
    *at = 0;
    f->name = argument;
    while (at && f->rank < NN_RANK) {
        f->dims[f->rank++] = atoi(at + 1);
        at = strchr(at + 1, 'x');
    }
    if (!known)
        return;
    f->values = values[count++];
    char *v = strtok(known + 1, ",");
    for (int i = 0; v && i < VALUES; v = strtok(NULL, ","))
        values[count - 1][i++] = strtof(v, NULL);
}

static void print_dims(const struct graph *g, int t)
{
    const struct shape *s = &g->tensors[t].shape;
    for (int i = 0; i < s->rank; i++)
        printf("%s%d", i ? "x" : " ", s->dims[i]);
}

static int prepare_direct(struct plan *p, struct line *l, struct error *e)
{
    const struct step *s = l->step;
    if (s->node->kind != CONVOLUTION || !winograd_fits(s))
        return 0;
    l->direct.node = s->node;
    l->direct.out = s->out;
    memcpy(l->direct.in, s->in, sizeof s->in);
    return dnnl_prepare(p, &l->direct, e);
}

static void time_step(const struct step *s, double *least)
{
    const double before = milliseconds();
    s->run(s);
    *least = fmin(*least, milliseconds() - before);
}

int main(int argc, char **argv)
{
    struct error e;
    struct graph g;
    struct plan p = { 0 };
    struct nn_fixed fixed[PORTS] = { 0 };
    struct nn_params params = { .fixed = fixed };
    double sums[sizeof kinds / sizeof *kinds] = { 0 }, all = 0;
    double winograd = 0, direct = 0, faster = 0;
    int failed = 0;

    nn_start(argv);
    if (argc < 4 || argc > 4 + PORTS) {
        fprintf(stderr, "profile MODEL.onnx RUNS THREADS [INPUT:SIZE[=VALUES] ...]\n");
        return 2;
    }
    const int runs = atoi(argv[2]);
    omp_set_num_threads(atoi(argv[3]));
    for (int a = 4; a < argc; a++)
        take_size(argv[a], &fixed[params.fixed_count++]);
    const double start = milliseconds();
    if (graph_read(&g, open(argv[1], O_RDONLY | O_CLOEXEC), argv[1], &params, &e) ||
        graph_fuse(&g, &e) || plan_make(&p, &g, &e)) {
        fprintf(stderr, "profile: %s\n", e.text);
        return 1;
    }
    const double planned = milliseconds() - start;
    struct line *lines = calloc(p.step_count, sizeof *lines);
    for (int i = 0; i < p.step_count; i++) {
        lines[i] = (struct line) { .step = &p.steps[i], .ms = 1e9, .direct_ms = 1e9 };
        failed |= prepare_direct(&p, &lines[i], &e);
    }
    void *scratch = failed ? NULL : plan_alloc(&p, p.scratch_bytes, &e);
    if (!scratch) {
        fprintf(stderr, "profile: %s\n", e.text);
        return 1;
    }
    for (int i = 0; i < p.step_count; i++)
        step_scratch(&lines[i].direct, scratch);
    plan_run(&p);
    for (int r = 0; r < 2 * runs; r++)
        for (int i = 0; i < p.step_count; i++) {
            struct line *l = &lines[i];
            if (r % 2 && l->direct.run)
                time_step(&l->direct, &l->direct_ms);
            else
                time_step(l->step, &l->ms);
        }
    qsort(lines, p.step_count, sizeof *lines, by_time);
    for (int i = 0; i < p.step_count; i++) {
        const struct node *n = lines[i].step->node;
        printf("%8.3f %-12s %-20s %-24s", lines[i].ms, kinds[n->kind], n->op, n->name);
        for (int k = 0; k < n->input_count && k < 3; k++)
            print_dims(&g, n->inputs[k]);
        printf(" ->");
        print_dims(&g, n->output);
        if (n->program_length)
            printf(" program %d", n->program_length);
        if (lines[i].direct.run) {
            printf(" direct %.3f", lines[i].direct_ms);
            winograd += lines[i].ms;
            direct += lines[i].direct_ms;
            faster += fmin(lines[i].ms, lines[i].direct_ms);
        }
        printf("\n");
        sums[n->kind] += lines[i].ms;
        all += lines[i].ms;
    }
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (sums[k] > 0)
            printf("%8.3f of %s\n", sums[k], kinds[k]);
    printf("%8.3f by Winograd's algorithm; by oneDNN %.3f, by the faster one of each %.3f\n",
        winograd, direct, faster);
    printf("%8.3f of %d nodes; planned in %.0f ms\n", all, p.step_count, planned);
    for (int i = 0; i < p.step_count; i++)
        step_release(&lines[i].direct);
    free(lines);
    plan_free(&p);
    graph_free(&g);
    return 0;
}
