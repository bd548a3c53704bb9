/*
 * What a process that decodes a stranger's file may still do: read and write the descriptors it holds, talk on its control
 * socket, use memory and threads. The lock-down has two steps, because kernel namespaces and Landlock bind only the
 * calling thread and those it starts later, while the networks need files and system calls to be planned.
 */
#ifndef MATTE_SANDBOX_H
#define MATTE_SANDBOX_H

#include <stdint.h>

#include "../error.h"

/*
 * First: no core file, no new privileges, no debugger, dies with its parent, bounded memory (memory_limit bytes of address
 * space, 0: no bound), file size and descriptors. As root also: own network, IPC, mount and UTS namespaces where the
 * kernel lets it, and the user nobody. Landlock, where the kernel has it, takes the whole file system away. Threads that
 * are there already keep the old namespaces and files until the second step.
 */
int sandbox_isolate(int64_t memory_limit, struct error *e);

/* Who works beside the process: a card is its driver's, and that talks to the kernel by ioctl(). */
enum sandbox_device { SANDBOX_PROCESSOR, SANDBOX_CARD };

/*
 * Then, with any number of threads, all of which it binds: seccomp. System calls outside the list kill the process, those
 * that open or look for files fail with EACCES; messages go over control only. Errors: sandbox_failed.
 */
int sandbox_seal(int control, enum sandbox_device device, struct error *e);

#endif
