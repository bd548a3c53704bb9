/*
 * Plans the convolutions of networks with the real cuDNN for a card that need not be there, and prints what came of it.
 *
 *   plans [-p] CARD.json MODEL.onnx[@INPUT:SIZE[=VALUES]]...
 *
 * CARD.json holds a card's properties (t/data/cards). Of inputs that a file leaves open the SIZE (1x3x64x64) is given,
 * and VALUES (1,2) where they must be known. -p: every convolution is first given padding for one more row
 * than its output has, which cuDNN must refuse. Prints a sentence for each shape that is refused, then cudnn= its
 * version, and sm=, layers=, shapes=, plans=, refused=, extras=, fused= and workspace= as nn/cudnn/plan.h has them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nn/cudnn/plan.h"

enum { WORKSPACE_LIMIT = 64 << 20, INPUTS = 8, VALUES = 16 };

/* What follows a file's name, one input after another. */
static int take_inputs(char *given, struct nn_fixed *fixed, float *values)
{
    int count = 0, known = 0;
    for (char *save, *input = strtok_r(given, "@", &save); input && count < INPUTS;
         input = strtok_r(NULL, "@", &save)) {
        struct nn_fixed *f = &fixed[count++];
        char *size = input + strcspn(input, ":");
        char *list = size + strcspn(size, "=");
        *f = (struct nn_fixed) { .name = input, .values = *list ? values + known : NULL };
        for (char *v = list; *v && known < VALUES; v += strcspn(v, ","))
            values[known++] = strtof(v + 1, &v);
        *list = 0;
        for (char *d = size; *d && f->rank < NN_RANK; d += strcspn(d, "x"))
            f->dims[f->rank++] = (int)strtol(d + 1, &d, 10);
        *size = 0;
    }
    return count;
}

static int plan_file(
    char *path, const struct target *card, struct plan_cache *cache, int pad, struct error *e)
{
    struct nn_fixed fixed[INPUTS];
    float values[VALUES];
    struct graph g = { 0 };
    const struct planned **of = NULL;
    char *given = path + strcspn(path, "@");
    const struct nn_params params = {
        .fixed = fixed,
        .fixed_count = *given ? take_inputs(given + 1, fixed, values) : 0,
    };
    *given = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    int failed = graph_read(&g, fd, path, &params, e) || graph_fuse(&g, e);
    for (int i = 0; i < g.node_count && pad; i++)
        if (g.nodes[i].kind == CONVOLUTION)
            g.nodes[i].window.after[0] += g.nodes[i].window.stride[0];
    if (!failed) {
        of = graph_alloc(&g, g.node_count * sizeof *of, e);
        failed = !of || plan_convolutions(&g, card, cache, of, e);
    }
    graph_free(&g);
    close(fd);
    return failed ? -1 : 0;
}

static void print(const struct cudnn *cudnn, const struct plan_cache *cache, int sm)
{
    const struct plan_report r = plan_cache_report(cache, sm);
    for (const struct planned *p = cache->first; p; p = p->next)
        if (p->refused)
            printf("%s\n", p->error.text);
    printf("cudnn=%zu\nsm=%d\nlayers=%d\nshapes=%d\nplans=%d\nrefused=%d\nextras=%d\nfused=%d\n"
           "workspace=%lld\n",
        cudnn->cudnnGetVersion(), sm, r.layers, r.shapes, r.plans, r.refused, r.extras, r.fused,
        (long long)r.workspace);
}

int main(int argc, char **argv)
{
    static char json[8192];
    struct error e;
    struct cudnn cudnn = { 0 };
    struct target card = { 0 };
    struct plan_cache cache = { .workspace_limit = WORKSPACE_LIMIT };
    const int pad = argc > 1 && !strcmp(argv[1], "-p");
    char **files = argv + 1 + pad;
    FILE *f = argc - pad > 2 ? fopen(*files, "r") : NULL;
    if (!f || !fread(json, 1, sizeof json - 1, f)) {
        fprintf(stderr, "usage: plans [-p] CARD.json MODEL.onnx[@INPUT:SIZE[=VALUES]]...\n");
        return 2;
    }
    fclose(f);
    int failed = cudnn_open(&cudnn, &e) || target_open(&card, &cudnn, json, *files, &e);
    while (!failed && *++files)
        failed = plan_file(*files, &card, &cache, pad, &e);
    if (failed)
        fprintf(stderr, "plans: %s\n", e.text);
    else
        print(&cudnn, &cache, card.sm);
    plan_cache_free(&cache);
    target_close(&card);
    cudnn_close(&cudnn);
    return failed;
}
