/*
 * An input or an output of a network as a raster, where the network runs: for raster_read() and raster_write(), which take it
 * to the host and back, and for what works on rasters.
 */
#ifndef MATTE_END_H
#define MATTE_END_H

#include "../device/device.h"
#include "../nn/nn.h"

/*
 * A picture as it lies, anything else as one row. -1 and *e: nothing is called name; bad_model, with label, where it has
 * another number of values.
 */
int end_find(struct nn_net *net, const char *label, const char *name, int values,
    struct raster *end, struct error *e);

#endif
