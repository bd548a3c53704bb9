/* The software encoder inside a session: one picture in, one packet out. Called directly, as opening one through libavcodec
 * inside avcodec_open2() of h264_nvenc waits for a lock that is held. */
#ifndef CUEMU_CODER_H
#define CUEMU_CODER_H

#include <ffnvcodec/dynlink_cuda.h>
#include <ffnvcodec/nvEncodeAPI.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct coder_params {
    int width, height, gop;
    int rate_num, rate_den;
    int qp, quality, bit_rate; /* one of them is not 0: constant QP, CRF, bits per second */
    bool lossless;             /* instead of them */
    bool has_color, full_range;
    int primaries, transfer, matrix;
};

struct picture {
    uint8_t *nv12; /* width and height even, rows of width bytes, chroma below luma */
    int64_t number;
    bool key;
};

struct packet {
    uint8_t *data; /* from malloc(), grown as needed */
    size_t size, room;
    bool key;
};

/* packet_set: packet's data becomes a copy; 0, -1: no memory. */
int packet_set(struct packet *packet, const uint8_t *data, size_t size);

struct coder {
    GUID guid;
    void *(*open)(const struct coder_params *p); /* NULL: refused */
    int (*headers)(void *coder, struct packet *to);
    int (*encode)(void *coder, const struct picture *from, struct packet *to);
    void (*close)(void *coder);
};

extern const struct coder coder_h264, coder_hevc;

#endif
