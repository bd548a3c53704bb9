#include "pass.h"

/* A product's right matrices that were transposed before are read as they were: backends take both. */
int columns_run(struct graph *g, struct node *n, struct error *e)
{
    if (n->kind != PRODUCT || n->columns || g->tensors[n->inputs[1]].data)
        return 0;
    struct node *copy = only_producer(g, n, 1);
    if (!copy || copy->kind != COPY)
        return 0;
    struct shape shape = g->tensors[copy->output].shape;
    struct copy *c = &copy->settings.copy;
    const int last = c->rank - 1, rows = shape.rank - 2, columns = shape.rank - 1;
    if (last < 1 || c->dims[last] != shape.dims[columns] || c->dims[last - 1] != shape.dims[rows] ||
        c->step[last - 1] != 1)
        return 0;
    shape.dims[rows] = c->dims[last];
    shape.dims[columns] = c->dims[last - 1];
    const int turned = graph_add_tensor(g, g->tensors[copy->output].name, &shape, e);
    if (turned < 0)
        return -1;
    c->step[last - 1] = c->step[last];
    c->step[last] = 1;
    c->dims[last - 1] = shape.dims[rows];
    c->dims[last] = shape.dims[columns];
    copy->output = n->inputs[1] = turned;
    n->columns = 1;
    return 0;
}
