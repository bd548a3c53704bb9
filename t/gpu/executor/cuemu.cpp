/*
 * What a card does with a launch, on one CPU thread: blocks run one after another, and a CUDA thread is a fiber, so
 * that it can wait for the others of its block. One that never waits costs no fiber: that which ran it takes the next
 * thread. A block is run in two steps: all threads are started, until each has returned or waits; then those that all
 * others have joined at a barrier or in a warp are let go on, until all have returned.
 *
 * CUEMU_ORDER=reverse|random<seed>: the order of blocks, and of threads where they start and go on. CUEMU_SHARED=KiB:
 * of shared memory that a block of the card can have. CUEMU_TRAFFIC=file: bytes moved, a line a kernel, are written
 * there when the process ends.
 */
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>
#include <unordered_map>
#include <vector>

#include <sys/mman.h>

#include "device_language.h"

/* Of sanitizers that the process may run under; NULL where it does not. */
extern "C" {
__attribute__((weak)) void __sanitizer_start_switch_fiber(void **, const void *, size_t);
__attribute__((weak)) void __sanitizer_finish_switch_fiber(void *, const void **, size_t *);
__attribute__((weak)) void *__tsan_get_current_fiber(void);
__attribute__((weak)) void *__tsan_create_fiber(unsigned);
__attribute__((weak)) void __tsan_switch_to_fiber(void *, unsigned);
__attribute__((weak)) void __tsan_acquire(void *);
__attribute__((weak)) void __tsan_release(void *);

struct cuemu_thread *cuemu_now;

/* Saves what a call must keep, stores the stack pointer to *from and goes on where `to` was stored. */
__attribute__((visibility("hidden"))) void cuemu_switch(void **from, void *to);
}
asm(R"(
    .text
    .globl cuemu_switch
    .hidden cuemu_switch
    .type cuemu_switch,@function
cuemu_switch:
    pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
    movq %rsp,(%rdi)
    movq %rsi,%rsp
    popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
    ret
    .size cuemu_switch,.-cuemu_switch
)");

namespace
{
constexpr size_t STACK = 256 << 10, PAGE = 4096;
constexpr unsigned WARP = 32, THREADS_MAX = 1024;
constexpr size_t SECTOR = 32;

enum State { READY, RUNNING, AT_BARRIER, IN_WARP, DONE };

struct Thread {
    cuemu_thread known;
    State state;
    size_t fiber;
    const char *file; /* where it waits */
    int line;
    unsigned waits; /* how often it has */
    int predicate, count;
    unsigned mask, source;
    cuemu_warp kind;
    unsigned long long given, got;
};

struct Fiber {
    char *stack;
    void *pointer; /* of the stack, while it does not run */
    size_t thread;
    void *asan, *tsan;
};

/* What a launch has read and written, by sector; marks are of the block that was the last to do so. */
struct Sector {
    bool read, written;
    size_t block;
};

struct Order {
    enum { FORWARD, REVERSE, RANDOM } kind = FORWARD;
    std::mt19937 random;

    void read_environment()
    {
        const char *order = getenv("CUEMU_ORDER");
        kind = FORWARD;
        if (order && !strcmp(order, "reverse"))
            kind = REVERSE;
        if (order && !strncmp(order, "random", 6)) {
            kind = RANDOM;
            random.seed(strtoul(order + 6, nullptr, 10));
        }
    }

    void arrange(std::vector<size_t> &items, size_t count)
    {
        items.resize(count);
        for (size_t i = 0; i < count; i++)
            items[i] = kind == REVERSE ? count - 1 - i : i;
        if (kind == RANDOM)
            std::shuffle(items.begin(), items.end(), random);
    }
};

/* TSan learns of an order between threads where there is one on a card: launch, barrier, __syncwarp(). */
struct Edges {
    char start, end, barrier[2], warp[WARP][2];
};

struct Executor {
    cuemu_kernel *kernel;
    void *const *args;
    std::vector<Thread> threads;
    std::vector<Fiber> fibers;
    std::vector<size_t> idle, used; /* fibers; used once in this block */
    std::vector<size_t> order, blocks;
    size_t started; /* of order */
    size_t fiber;   /* that runs */
    Order by;
    char *dynamic;
    size_t dynamic_size;
    Edges edges;
    void *home, *home_tsan; /* the scheduler's stack */
    const void *home_bottom;
    size_t home_size;
    size_t block;
    std::unordered_map<size_t, Sector> sectors;

    Executor()
    {
        /* or they would grow, and memory change hands, between fibers that TSan holds for threads */
        idle.reserve(THREADS_MAX);
        used.reserve(THREADS_MAX);
    }
};

Executor *now;
cuemu_kernel *kernels;
std::mutex one_launch;

size_t shared_limit()
{
    const char *limit = getenv("CUEMU_SHARED");
    return (limit ? strtoul(limit, nullptr, 10) : 99) << 10;
}

/* ---- fibers ---- */

void leave_fiber()
{
    const size_t me = now->fiber;
    if (__tsan_switch_to_fiber)
        __tsan_switch_to_fiber(now->home_tsan, 1);
    if (__sanitizer_start_switch_fiber)
        __sanitizer_start_switch_fiber(&now->fibers[me].asan, now->home_bottom, now->home_size);
    cuemu_switch(&now->fibers[me].pointer, now->home);
    if (__sanitizer_finish_switch_fiber)
        __sanitizer_finish_switch_fiber(now->fibers[me].asan, &now->home_bottom, &now->home_size);
}

void enter_fiber(size_t index)
{
    Fiber &f = now->fibers[index];
    void *asan = nullptr;
    now->fiber = index;
    cuemu_now = &now->threads[f.thread].known;
    if (__tsan_switch_to_fiber) {
        now->home_tsan = __tsan_get_current_fiber();
        __tsan_switch_to_fiber(f.tsan, 1);
    }
    if (__sanitizer_start_switch_fiber)
        __sanitizer_start_switch_fiber(&asan, f.stack, STACK);
    cuemu_switch(&now->home, f.pointer);
    if (__sanitizer_finish_switch_fiber)
        __sanitizer_finish_switch_fiber(asan, nullptr, nullptr);
}

void run_thread(size_t index)
{
    Thread &t = now->threads[index];
    t.state = RUNNING;
    t.fiber = now->fiber;
    now->fibers[now->fiber].thread = index;
    cuemu_now = &t.known;
    if (__tsan_acquire)
        __tsan_acquire(&now->edges.start);
    now->kernel->invoke(now->args);
    if (__tsan_release)
        __tsan_release(&now->edges.end);
    now->threads[index].state = DONE;
}

/* Under TSan a fiber is one CUDA thread, as what two of them do must not look like one thread's work. */
void fiber_main()
{
    if (__sanitizer_finish_switch_fiber)
        __sanitizer_finish_switch_fiber(nullptr, &now->home_bottom, &now->home_size);
    for (;;) {
        do
            run_thread(now->order[now->started++]);
        while (now->started < now->order.size() && !__tsan_create_fiber);
        (__tsan_create_fiber ? now->used : now->idle).push_back(now->fiber);
        leave_fiber();
    }
}

size_t take_fiber()
{
    if (!now->idle.empty()) {
        const size_t index = now->idle.back();
        now->idle.pop_back();
        return index;
    }
    Fiber f = {};
    f.stack = (char *)mmap(
        nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (f.stack == MAP_FAILED || mprotect(f.stack, PAGE, PROT_NONE)) {
        perror("cuemu: no memory for a thread's stack");
        abort();
    }
    /* as cuemu_switch() leaves it: six registers, the address to return to; and fiber_main() has none to return to */
    void **top = (void **)(f.stack + STACK - 16);
    *--top = nullptr;
    *--top = (void *)fiber_main;
    for (int i = 0; i < 6; i++)
        *--top = nullptr;
    f.pointer = top;
    f.tsan = __tsan_create_fiber ? __tsan_create_fiber(0) : nullptr;
    now->fibers.push_back(f);
    return now->fibers.size() - 1;
}

/* ---- waiting ---- */

Thread &running()
{
    return now->threads[now->fibers[now->fiber].thread];
}

/* edge: of two, taken in turn, so that who comes late to one does not meet who is early at the next; NULL: none. */
void wait_as(State state, char *edge, const char *file, int line)
{
    Thread &t = running();
    t.state = state;
    t.file = file;
    t.line = line;
    if (edge)
        edge += t.waits++ & 1;
    if (edge && __tsan_release)
        __tsan_release(edge);
    leave_fiber();
    if (edge && __tsan_acquire)
        __tsan_acquire(edge);
}

/* The threads of t's warp that its mask names and that exist, and those of them that wait at the same place. */
unsigned members(const Thread *warp, size_t size, const Thread &t, unsigned *here)
{
    unsigned exist = 0;
    *here = 0;
    for (unsigned i = 0; i < size; i++) {
        const Thread &u = warp[i];
        exist |= 1u << i;
        if (u.state == IN_WARP && u.mask == t.mask && u.kind == t.kind && u.file == t.file &&
            u.line == t.line)
            *here |= 1u << i;
    }
    return t.mask & exist;
}

void exchange(Thread *warp, unsigned who, cuemu_warp kind)
{
    unsigned long long ballot = 0;
    for (unsigned i = 0; i < WARP; i++)
        if (who >> i & 1)
            ballot |= (warp[i].given & 1) << i;
    for (unsigned i = 0; i < WARP; i++)
        if (who >> i & 1) {
            /* what a lane gives that does not take part is undefined on a card */
            const bool defined = who >> warp[i].source & 1;
            warp[i].got = kind != CUEMU_SHUFFLE ? ballot
                          : defined             ? warp[warp[i].source].given
                                                : 0xdeadbeefdeadbeefull;
            warp[i].state = READY;
        }
}

/* Lets those go on whom all that their mask names have joined. */
bool release_warps()
{
    bool any = false;
    for (size_t first = 0; first < now->threads.size(); first += WARP) {
        Thread *warp = &now->threads[first];
        const size_t size = std::min<size_t>(WARP, now->threads.size() - first);
        for (unsigned i = 0; i < size; i++) {
            unsigned here;
            if (warp[i].state != IN_WARP)
                continue;
            const unsigned who = members(warp, size, warp[i], &here);
            if ((who & ~here) || !(who >> i & 1))
                continue;
            exchange(warp, who, warp[i].kind);
            any = true;
        }
    }
    return any;
}

int refuse_barrier(const Thread &a, const Thread &b)
{
    fprintf(stderr, "cuemu: %s: threads of one block wait at different barriers: %s:%d and %s:%d\n",
        now->kernel->name, a.file, a.line, b.file, b.line);
    return -1;
}

int refuse_wait(const Thread &waiting, size_t done)
{
    const uint3 &at = waiting.known.thread;
    fprintf(stderr,
        "cuemu: %s: divergent barrier: thread %u,%u,%u waits at %s:%d for ever; %zu of %zu threads "
        "have returned\n",
        now->kernel->name, at.x, at.y, at.z, waiting.file, waiting.line, done, now->threads.size());
    return -1;
}

/* Lets threads go on. 0: all have returned; 1: some go on; -1: none can. */
int release()
{
    size_t done = 0, waiting = 0;
    int count = 0;
    const Thread *first = nullptr;
    for (const Thread &t : now->threads) {
        done += t.state == DONE;
        if (t.state == DONE)
            continue;
        if (!first)
            first = &t;
        if (t.state != AT_BARRIER)
            continue;
        waiting++;
        count += t.predicate;
    }
    if (!first)
        return 0;
    if (waiting < now->threads.size())
        return release_warps() ? 1 : refuse_wait(*first, done);
    for (Thread &t : now->threads) {
        if (t.line != first->line || t.file != first->file)
            return refuse_barrier(*first, t);
        t.count = count;
    }
    for (Thread &t : now->threads)
        t.state = READY;
    return 1;
}

/* ---- blocks ---- */

/* Not by memset(): AddressSanitizer would see it in the gaps that it keeps between variables. */
void spoil(char *from, size_t bytes)
{
    asm volatile("rep stosb" : "+D"(from), "+c"(bytes) : "a"(0xff) : "memory");
}

/* Shared memory is undefined when a block begins: NaN, so that who reads it first is seen. */
void poison()
{
    spoil(now->kernel->shared_from, (size_t)(now->kernel->shared_to - now->kernel->shared_from));
    spoil(now->dynamic, now->dynamic_size);
}

int run_block(uint3 place)
{
    poison();
    for (Thread &t : now->threads) {
        t.known.block = place;
        t.state = READY;
        t.waits = 0;
    }
    now->by.arrange(now->order, now->threads.size());
    now->started = 0;
    now->idle.insert(now->idle.end(), now->used.begin(), now->used.end());
    now->used.clear();
    if (__tsan_release)
        __tsan_release(&now->edges.start);
    while (now->started < now->order.size()) {
        const size_t fiber = take_fiber();
        now->fibers[fiber].thread = now->order[now->started];
        enter_fiber(fiber);
    }
    int more;
    while ((more = release()) > 0) {
        now->by.arrange(now->order, now->threads.size());
        for (const size_t i : now->order)
            if (now->threads[i].state == READY) {
                now->threads[i].state = RUNNING;
                enter_fiber(now->threads[i].fiber);
            }
    }
    if (__tsan_acquire)
        __tsan_acquire(&now->edges.end);
    return more;
}

void make_threads(cuemu_extent grid, cuemu_extent block)
{
    now->threads.assign((size_t)block.x * block.y * block.z, Thread {});
    for (size_t i = 0; i < now->threads.size(); i++) {
        cuemu_thread &t = now->threads[i].known;
        t.thread = make_uint3(i % block.x, i / block.x % block.y, i / block.x / block.y);
        t.block_size = dim3(block.x, block.y, block.z);
        t.grid_size = dim3(grid.x, grid.y, grid.z);
        t.lane = i % WARP;
        t.dynamic = now->dynamic;
    }
}

bool is_refused(const cuemu_kernel *k, cuemu_extent grid, cuemu_extent block, size_t dynamic)
{
    const size_t threads = (size_t)block.x * block.y * block.z;
    const char *why = nullptr;
    if (!threads || threads > THREADS_MAX || block.z > 64)
        why = "no such block";
    else if (threads > k->threads_max)
        why = "more threads than its launch bounds";
    else if (!grid.x || !grid.y || !grid.z || grid.x > 0x7fffffff || grid.y > 65535 ||
             grid.z > 65535)
        why = "no such grid";
    else if (dynamic > k->dynamic_max)
        why = "more shared memory than it may have";
    if (why)
        fprintf(stderr, "cuemu: %s: %s: grid %u,%u,%u, block %u,%u,%u, %zu bytes shared\n", k->name,
            why, grid.x, grid.y, grid.z, block.x, block.y, block.z, dynamic);
    return why;
}

void count_traffic()
{
    cuemu_traffic &t = now->kernel->traffic;
    t.launches++;
    for (const auto &s : now->sectors) {
        t.read += s.second.read * SECTOR;
        t.written += s.second.written * SECTOR;
    }
    now->sectors.clear();
}

bool is_within(const void *address, const void *from, size_t size)
{
    return (uintptr_t)address - (uintptr_t)from < size;
}

struct Report {
    ~Report()
    {
        const char *path = getenv("CUEMU_TRAFFIC");
        FILE *to = path ? fopen(path, "w") : nullptr;
        if (!to)
            return;
        for (const cuemu_kernel *k = kernels; k; k = k->next)
            if (k->traffic.launches)
                fprintf(to, "%s launches=%llu read=%llu written=%llu fetched=%llu\n", k->name,
                    k->traffic.launches, k->traffic.read, k->traffic.written, k->traffic.fetched);
        fclose(to);
    }
} report;
} // namespace

/* ---- what kernels call ---- */

int cuemu_barrier(int predicate, const char *file, int line)
{
    running().predicate = predicate != 0;
    wait_as(AT_BARRIER, now->edges.barrier, file, line);
    return running().count;
}

/* A shuffle or a ballot orders no memory, as on a card; __syncwarp() does. */
unsigned long long cuemu_exchange(unsigned mask, enum cuemu_warp kind, unsigned long long value,
    unsigned source, const char *file, int line)
{
    Thread &t = running();
    const size_t warp = (size_t)(&t - now->threads.data()) / WARP;
    t.mask = mask;
    t.kind = kind;
    t.given = value;
    t.source = source;
    wait_as(IN_WARP, kind == CUEMU_SYNC ? now->edges.warp[warp] : nullptr, file, line);
    return running().got;
}

void cuemu_touch(const void *address, size_t size, int writes)
{
    if (!cuemu_now || is_within(address, now->fibers[now->fiber].stack, STACK) ||
        is_within(address, now->dynamic, now->dynamic_size) ||
        is_within(address, now->threads.data(), now->threads.size() * sizeof(Thread)) ||
        is_within(
            address, now->kernel->shared_from, now->kernel->shared_to - now->kernel->shared_from) ||
        is_within(address, now->args[0], *now->kernel->parameter_bytes) || address == &cuemu_now)
        return;
    for (size_t s = (size_t)address / SECTOR; s <= ((size_t)address + size - 1) / SECTOR; s++) {
        Sector &sector = now->sectors.emplace(s, Sector { false, false, SIZE_MAX }).first->second;
        if (!writes && sector.block != now->block) {
            sector.block = now->block;
            now->kernel->traffic.fetched += SECTOR;
        }
        (writes ? sector.written : sector.read) = true;
    }
}

/* ---- what drivers call ---- */

void cuemu_register(struct cuemu_kernel *kernel)
{
    kernel->next = kernels;
    kernels = kernel;
}

const struct cuemu_kernel *cuemu_find(const char *name)
{
    const struct cuemu_kernel *k = kernels;
    while (k && strcmp(k->name, name) != 0)
        k = k->next;
    return k;
}

int cuemu_allow_dynamic(const struct cuemu_kernel *kernel, size_t bytes)
{
    if (bytes > shared_limit())
        return -1;
    ((struct cuemu_kernel *)kernel)->dynamic_max = bytes;
    return 0;
}

int cuemu_launch(const struct cuemu_kernel *kernel, struct cuemu_extent grid,
    struct cuemu_extent block, size_t shared_bytes, void *const *args)
{
    const std::lock_guard<std::mutex> lock(one_launch);
    static Executor *kept;
    if (is_refused(kernel, grid, block, shared_bytes))
        return -1;
    if (!kept)
        kept = new Executor;
    now = kept;
    now->kernel = (struct cuemu_kernel *)kernel;
    now->args = args;
    now->by.read_environment();
    now->dynamic_size = shared_bytes;
    now->dynamic = nullptr;
    if (shared_bytes && posix_memalign((void **)&now->dynamic, 128, shared_bytes)) {
        fprintf(stderr, "cuemu: no memory for %zu shared bytes\n", shared_bytes);
        abort();
    }
    make_threads(grid, block);
    now->by.arrange(now->blocks, (size_t)grid.x * grid.y * grid.z);
    int failed = 0;
    for (now->block = 0; now->block < now->blocks.size() && !failed; now->block++) {
        const size_t i = now->blocks[now->block];
        failed = run_block(make_uint3(i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y));
    }
    count_traffic();
    free(now->dynamic);
    if (failed)
        kept = nullptr; /* with the fibers that wait for ever in the middle of a kernel */
    cuemu_now = nullptr;
    return failed;
}
