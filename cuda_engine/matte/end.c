#include "end.h"

int end_find(struct nn_net *net, const char *label, const char *name, int values,
    struct raster *end, struct error *e)
{
    struct nn_tensor t;
    if (nn_tensor(net, name, &t, e))
        return -1;
    const int count = t.n * t.c * t.h * t.w;
    void *data = t.halves ? (void *)t.halves : (void *)t.data;
    if (count != values)
        return error_set(
            e, "bad_model", "%s: %s has %d values, not %d.", label, name, count, values);
    *end = t.n == 1 && t.rank == 4 && !t.halves == !t.step
               ? (struct raster) { data, t.w, t.h, t.c, t.step }
               : (struct raster) { data, count, 1, 1, t.halves ? 1 : 0 };
    return 0;
}
