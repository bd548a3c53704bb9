/* Every call of the emulated libraries: counted, logged, made to fail; and what is left when the process ends. */
#include "driver.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CALLS = 256, LINE = 256, STATUS_LEAKED = 86 };

static struct {
    pthread_mutex_t lock;
    struct {
        const char *name;
        long count;
    } calls[CALLS];
    long alive[KINDS];
    CUresult lost;
    bool log;
    int trace;
    char fail[64]; /* the call that is to fail */
    long fail_at;
    CUresult fail_with; /* 0: what suits the call */
} emulation = { .trace = -1 };

static const char *const kinds[KINDS] = {
    [DEVICE_MEMORY] = "bytes of device memory",
    [PINNED_MEMORY] = "bytes of pinned memory",
    [STREAMS] = "streams",
    [EVENTS] = "events",
    [MODULES] = "modules",
    [CONTEXTS] = "contexts",
    [DECODERS] = "decoders",
    [MAPPED_PICTURES] = "mapped pictures",
    [ENCODE_SESSIONS] = "encode sessions",
    [ENCODE_BUFFERS] = "encode buffers",
    [ENCODE_RESOURCES] = "registered encode resources",
    [CUDNN_HANDLES] = "cuDNN handles",
    [CUDNN_DESCRIPTORS] = "cuDNN descriptors",
};

/* CUEMU_FAIL=call[:n[:result]] */
static void read_fault(const char *fault)
{
    size_t length = strcspn(fault, ":");
    snprintf(emulation.fail, sizeof emulation.fail, "%.*s", (int)length, fault);
    emulation.fail_at = 1;
    if (!fault[length])
        return;
    char *end;
    emulation.fail_at = strtol(fault + length + 1, &end, 10);
    if (*end == ':')
        emulation.fail_with = (CUresult)strtol(end + 1, NULL, 10);
}

/* CUEMU_KERNELS=a.so:b.so */
static void load_kernels(const char *list)
{
    char *paths = strdup(list), *rest = paths;
    for (char *path; paths && (path = strtok_r(rest, ":", &rest));)
        if (!dlopen(path, RTLD_NOW | RTLD_LOCAL))
            cuemu_say("%s", dlerror());
    free(paths);
}

static void start(void)
{
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&emulation.lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    const char *fault = getenv("CUEMU_FAIL"), *kernels = getenv("CUEMU_KERNELS");
    const char *trace = getenv("CUEMU_TRACE");
    emulation.log = getenv("CUEMU_LOG") != NULL;
    if (fault)
        read_fault(fault);
    if (trace)
        emulation.trace = open(trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (kernels)
        load_kernels(kernels);
}

static void started(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
}

void lock(void)
{
    started();
    pthread_mutex_lock(&emulation.lock);
}

void unlock(void)
{
    pthread_mutex_unlock(&emulation.lock);
}

static long count(const char *call)
{
    int i = 0;
    while (emulation.calls[i].name && strcmp(emulation.calls[i].name, call) != 0)
        if (++i == CALLS)
            abort();
    emulation.calls[i].name = call;
    return ++emulation.calls[i].count;
}

bool call_is_fatal(CUresult result)
{
    return result == CUDA_ERROR_ECC_UNCORRECTABLE || result == CUDA_ERROR_DEVICE_UNAVAILABLE ||
           (result >= CUDA_ERROR_ILLEGAL_ADDRESS && result <= CUDA_ERROR_LAUNCH_FAILED);
}

void call_lose_context(CUresult result)
{
    lock();
    emulation.lost = result;
    unlock();
}

int cuemu_enter(const char *call)
{
    lock();
    CUresult result = emulation.lost;
    long n = count(call);
    if (emulation.log)
        cuemu_say("%s %ld", call, n);
    if (n == emulation.fail_at && strcmp(call, emulation.fail) == 0) {
        result = emulation.fail_with     ? emulation.fail_with
                 : strstr(call, "Alloc") ? CUDA_ERROR_OUT_OF_MEMORY
                                         : CUDA_ERROR_UNKNOWN;
        if (call_is_fatal(result))
            emulation.lost = result;
    }
    unlock();
    return result;
}

void cuemu_alive(enum cuemu_kind kind, long by)
{
    lock();
    emulation.alive[kind] += by;
    unlock();
}

/* One write(2), so that lines of several processes stay whole. */
static void put_line(int fd, const char *before, const char *format, va_list args)
{
    char line[LINE];
    int n = snprintf(line, sizeof line, "%s", before);
    n += vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
    if (n > LINE - 2)
        n = LINE - 2;
    line[n++] = '\n';
    if (write(fd, line, (size_t)n) < 0)
        return; /* nobody listens */
}

void cuemu_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put_line(STDERR_FILENO, "cuemu: ", format, args);
    va_end(args);
}

void cuemu_trace(const char *format, ...)
{
    if (emulation.trace < 0)
        return;
    va_list args;
    va_start(args, format);
    put_line(emulation.trace, "", format, args);
    va_end(args);
}

long cuemu_setting(const char *name, long otherwise)
{
    const char *value = getenv(name);
    return value ? strtol(value, NULL, 0) : otherwise;
}

static void write_counts(const char *path)
{
    FILE *file = path ? fopen(path, "we") : NULL;
    for (int i = 0; file && i < CALLS && emulation.calls[i].name; i++)
        fprintf(file, "%s %ld\n", emulation.calls[i].name, emulation.calls[i].count);
    if (file)
        fclose(file);
}

__attribute__((destructor)) static void finish(void)
{
    bool leaked = false;
    write_counts(getenv("CUEMU_COUNTS"));
    for (int i = 0; i < KINDS && !emulation.lost; i++) /* a lost context takes all with it */
        if (emulation.alive[i]) {
            leaked = true;
            cuemu_say("leak: %ld %s", emulation.alive[i], kinds[i]);
        }
    if (leaked)
        _exit(STATUS_LEAKED);
}
