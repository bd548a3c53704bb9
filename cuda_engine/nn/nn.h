/*
 * A network: an ONNX file planned for its fixed input sizes and ready to run. One folder a backend (nn/dnnl, nn/cudnn).
 *
 * On the processor tensors cross this boundary as dense float32 in the file's order (N,C,H,W), integers and truths too;
 * whatever layout a backend prefers stays inside it. On a card they are halves in its memory.
 * A net belongs to one thread at a time. nn_run() allocates nothing itself. oneDNN 2.6 does, and its C API leaves no way
 * around it: dnnl_primitive_execute() makes two tables of a primitive's arguments, of about six allocations and 300 bytes,
 * which it gives back before it returns (in RVM some 670 allocations a frame). The heap does not grow.
 */
#ifndef MATTE_NN_H
#define MATTE_NN_H

#include <stddef.h>
#include <stdint.h>

#include "../error.h"

struct device;
struct nn_net;

enum { NN_RANK = 6 };

/* An input of which the file leaves something open: its size, and where values is not NULL what it always is. */
struct nn_fixed {
    const char *name;
    int rank;
    int dims[NN_RANK];
    const float *values;
};

struct nn_params {
    /* A card computes where this is one (device/device.h; it must outlive the net), else the processor: also for NULL. */
    struct device *device;
    int threads; /* at most this many compute threads; 0: all processors of this process */
    /* Recurrent states: pairs of an input's and an output's name. The net itself makes each run's output the next
     * run's input, without leaving the backend's layout; at first, and after nn_reset(), the inputs are zeros. */
    const char *const (*states)[2];
    int state_count;
    const struct nn_fixed *fixed;
    int fixed_count;
};

/*
 * A graph input or output, which belongs to the net and lives as long as it does. dims are as in the file; n, c, h, w the
 * same with ones before a lower rank (n is a product for a higher one).
 *
 * On the processor: data, and halves NULL. On a card: halves in device memory, for work on the device's stream `compute`,
 * and data NULL. A picture lies as N,H,W,C, `step` halves from pixel to pixel and w * step from row to row; step 0: dense
 * as in the file, as do all of other than four dimensions. A picture of three channels that is an input has step 4, so that
 * a pixel is a word; what is between pixels is not read. Inputs are zeros at first and stay as they are through a run.
 * Both NULL for a state's.
 */
struct nn_tensor {
    float *data;
    uint16_t *halves;
    int step;
    int n, c, h, w;
    int rank;
    int dims[NN_RANK];
};

/*
 * To be called first in main(). libgomp's threads wait for each other by spinning for milliseconds, which on a machine
 * with other work costs a time slice for every layer (1.4 s a frame were seen instead of 0.1), and it takes another
 * setting from its environment only, when it is loaded: so the program is run again with that set. Returns in the
 * second run, where the operator has set GOMP_SPINCOUNT or OMP_WAIT_POLICY, or where /proc is not there.
 */
void nn_start(char *const argv[]);

/*
 * Reads the ONNX file behind fd (from its beginning, whatever its offset; fd stays open and the caller's) and plans
 * it. On the processor, what it computes is the same to the bit in every process of a machine that gives it as many
 * threads; with other threads or on another processor it differs by rounding. label names the file in errors. NULL and *e:
 * not ONNX, an operator or opset that is not supported (the text names node, operator and opset), a shape that is not
 * fixed, a state whose two sizes differ.
 */
struct nn_net *nn_open(int fd, const char *label, const struct nn_params *params, struct error *e);

/* The input or output called name; -1 and *e if the graph has none. */
int nn_tensor(struct nn_net *net, const char *name, struct nn_tensor *out, struct error *e);

/*
 * Computes every output from the present inputs. On a card it queues the work on the device's stream `compute` and does not
 * wait; -1 and *e: those of a device that can fail (device_error, device_lost), which may be of earlier work.
 */
int nn_run(struct nn_net *net, struct error *e);

/* The next run begins with states of zeros. */
void nn_reset(struct nn_net *net);

/*
 * Bytes that the net takes, known before the first run and not exceeded by it: the file's message, weights as packed for
 * the backend, the activations' arena, and an estimate for the code that oneDNN generates. What the process grows by
 * differs by less than 5 % (t/onnx_memory.t). On a card: of its memory, taken when the net was opened; what the driver and
 * cuDNN load of their own code comes to that.
 */
size_t nn_bytes(const struct nn_net *net);

/* Those of a card's memory: all of them, or none. */
int64_t nn_card_bytes(const struct nn_net *net);

void nn_close(struct nn_net *net);

#endif
