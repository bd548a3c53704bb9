#include "plan.h"

#include <stdlib.h>
#include <string.h>

void plan_cache_free(struct plan_cache *cache)
{
    while (cache->first) {
        struct planned *next = cache->first->next;
        convolution_free(&cache->first->convolution);
        free(cache->first);
        cache->first = next;
    }
}

static struct planned *find(const struct plan_cache *cache, int sm, const struct layer *shape)
{
    struct planned *p = cache->first;
    while (p && (p->sm != sm || memcmp(&p->shape, shape, sizeof *shape)))
        p = p->next;
    return p;
}

/* A new plan into the cache; NULL and *e. */
static struct planned *add(struct plan_cache *cache, const struct target *target,
    const struct node *n, const struct layer *shape, struct error *e)
{
    struct error why;
    struct planned *p = calloc(1, sizeof *p);
    if (!p) {
        error_retry(e, "out_of_memory", "There is no memory for the plans of a network.");
        return NULL;
    }
    p->sm = target->sm;
    p->shape = *shape;
    if (convolution_plan(&p->convolution, target, shape, cache->workspace_limit, &why))
        p->refused = error_set(&p->error, "unsupported_model",
            "The node %s (%s) has no plan for sm_%d: %s", n->name, n->op, target->sm, why.text);
    p->next = cache->first;
    return cache->first = p;
}

int plan_convolutions(const struct graph *g, const struct target *target, struct plan_cache *cache,
    const struct planned **of, struct error *e)
{
    for (int i = 0; i < g->node_count; i++) {
        const struct node *n = &g->nodes[i];
        of[i] = NULL;
        if (n->kind != CONVOLUTION)
            continue;
        const struct layer shape = layer_of(g, n);
        struct planned *p = find(cache, target->sm, &shape);
        if (!p && !(p = add(cache, target, n, &shape, e)))
            return -1;
        p->layers++;
        of[i] = p;
    }
    return 0;
}

struct plan_report plan_cache_report(const struct plan_cache *cache, int sm)
{
    struct plan_report r = { 0 };
    for (const struct planned *p = cache->first; p; p = p->next) {
        if (p->sm != sm)
            continue;
        r.layers += p->layers;
        r.shapes++;
        r.extras += p->shape.extras != 0;
        if (p->refused) {
            r.refused++;
            continue;
        }
        r.plans++;
        r.fused += p->shape.extras && p->convolution.extras == p->shape.extras;
        if (r.workspace < p->convolution.workspace)
            r.workspace = p->convolution.workspace;
    }
    return r;
}
