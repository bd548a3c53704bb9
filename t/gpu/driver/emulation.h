/*
 * What libnvcuvid, libnvidia-encode and libcudnn use of the emulated driver. Without <cuda.h>, beside which FFmpeg's headers of
 * those libraries cannot stand: results are a CUresult's number, addresses a CUdeviceptr's.
 */
#ifndef CUEMU_EMULATION_H
#define CUEMU_EMULATION_H

#include <stdbool.h>
#include <stddef.h>

struct CUstream_st;

#define API __attribute__((visibility("default")))

/* What a program makes and has to give back. */
enum cuemu_kind {
    DEVICE_MEMORY,
    PINNED_MEMORY,
    STREAMS,
    EVENTS,
    MODULES,
    CONTEXTS,
    DECODERS,
    MAPPED_PICTURES,
    ENCODE_SESSIONS,
    ENCODE_BUFFERS,
    ENCODE_RESOURCES,
    CUDNN_HANDLES,
    CUDNN_DESCRIPTORS,
    KINDS,
};

/*
 * Every call of the emulated libraries begins here: it is counted, logged, and fails if CUEMU_FAIL says so or the context
 * is lost. 0, or what it has to return.
 */
API int cuemu_enter(const char *call);

/* So many more of a kind, or less. */
API void cuemu_alive(enum cuemu_kind kind, long by);

/* A line on stderr, and one in the file of CUEMU_TRACE. */
API void cuemu_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
API void cuemu_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The value of an environment variable that is a number. */
API long cuemu_setting(const char *name, long otherwise);

/* Device memory on the current context's card. Releasing waits for all work. */
API int cuemu_allocate(unsigned long long *at, size_t bytes);
API void cuemu_release(unsigned long long at);

/* All of it in one allocation? If not, says so: what names the use. */
API bool cuemu_is_device_memory(unsigned long long at, size_t bytes, const char *what);

/*
 * Queues run(data), which may touch device memory, as a piece of work; drop(data) follows in any case, drop may be NULL.
 * What an earlier piece of the stream failed with, or 0.
 */
API int cuemu_work(
    struct CUstream_st *stream, int (*run)(void *data), void (*drop)(void *data), void *data);

/* Runs all that is queued on stream. */
API int cuemu_wait(struct CUstream_st *stream);

#endif
