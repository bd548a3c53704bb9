/*
 * A network: an ONNX file planned for its fixed input sizes and ready to run. One folder a backend (nn/dnnl).
 *
 * Tensors cross this boundary as dense float32 in N,C,H,W order; whatever layout a backend prefers stays inside it.
 * A net belongs to one thread at a time. No memory is allocated in nn_run().
 */
#ifndef MATTE_NN_H
#define MATTE_NN_H

#include <stddef.h>

#include "../error.h"

struct nn_net;

struct nn_params {
    int threads; /* at most this many compute threads; 0: all processors of this process */
};

/* A graph input or output. data belongs to the net and lives as long as it does. */
struct nn_tensor {
    float *data;
    int n, c, h, w;
};

/*
 * Reads the ONNX file behind fd (from its beginning, whatever its offset; fd stays open and the caller's) and plans
 * it. label names the file in errors. NULL and *e: not ONNX, an operator or opset that is not supported (the text
 * names node, operator and opset), a shape that is not fixed.
 */
struct nn_net *nn_open(int fd, const char *label, const struct nn_params *params, struct error *e);

/* The input or output called name; -1 and *e if the graph has none. */
int nn_tensor(struct nn_net *net, const char *name, struct nn_tensor *out, struct error *e);

/* Computes every output from the present inputs. */
int nn_run(struct nn_net *net, struct error *e);

/* Bytes held: weights as packed for the backend, and the activations' arena. */
size_t nn_bytes(const struct nn_net *net);

void nn_close(struct nn_net *net);

#endif
