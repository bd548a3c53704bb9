/*
 * Plans the convolutions of networks with the real cuDNN for a card that need not be there, and prints what came of it.
 *
 *   plans [-p] CARD.json MODEL.onnx...
 *
 * CARD.json holds a card's properties (t/data/cards). -p: every convolution is first given padding for one more row
 * than its output has, which cuDNN must refuse. Prints a sentence for each shape that is refused, then cudnn= its
 * version, and sm=, layers=, shapes=, plans=, refused=, extras=, fused= and workspace= as nn/cudnn/plan.h has them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nn/cudnn/plan.h"

enum { WORKSPACE_LIMIT = 64 << 20 };

static int plan_file(
    const char *path, const struct card *card, struct plan_cache *cache, int pad, struct error *e)
{
    struct graph g = { 0 };
    const struct planned **of = NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    int failed = graph_read(&g, fd, path, &(struct nn_params) { 0 }, e) || graph_fuse(&g, e);
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
    struct card card = { 0 };
    struct plan_cache cache = { .workspace_limit = WORKSPACE_LIMIT };
    const int pad = argc > 1 && !strcmp(argv[1], "-p");
    char **files = argv + 1 + pad;
    FILE *f = argc - pad > 2 ? fopen(*files, "r") : NULL;
    if (!f || !fread(json, 1, sizeof json - 1, f)) {
        fprintf(stderr, "usage: plans [-p] CARD.json MODEL.onnx...\n");
        return 2;
    }
    fclose(f);
    int failed = cudnn_open(&cudnn, &e) || card_open(&card, &cudnn, json, *files, &e);
    while (!failed && *++files)
        failed = plan_file(*files, &card, &cache, pad, &e);
    if (failed)
        fprintf(stderr, "plans: %s\n", e.text);
    else
        print(&cudnn, &cache, card.sm);
    plan_cache_free(&cache);
    card_close(&card);
    cudnn_close(&cudnn);
    return failed;
}
