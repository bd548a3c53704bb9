#include "pass.h"

/* A product's right matrices that were transposed before are read as they were: backends take both. */
int columns_run(struct graph *g, struct node *n, struct error *e)
{
    if (n->kind != PRODUCT || n->columns || g->tensors[n->inputs[1]].data)
        return 0;
    struct node *before = only_producer(g, n, 1);
    if (!before || before->kind != COPY)
        return 0;
    struct shape shape = g->tensors[before->output].shape;
    const int rows = shape.dims[shape.rank - 2], columns = shape.dims[shape.rank - 1];
    struct copy turned = { .rank = 3,
        .dims = { (int)(shape_elements(&shape) / ((size_t)rows * columns)), columns, rows },
        .step = { (ptrdiff_t)rows * columns, 1, columns } };
    if (!copy_compose(&turned, &before->settings.copy) || !turned.rank ||
        turned.step[turned.rank - 1] != 1)
        return 0;
    shape.dims[shape.rank - 2] = columns;
    shape.dims[shape.rank - 1] = rows;
    const int made = graph_add_tensor(g, g->tensors[before->output].name, &shape, e);
    if (made < 0)
        return -1;
    before->settings.copy = turned;
    before->output = n->inputs[1] = made;
    n->columns = 1;
    return 0;
}
