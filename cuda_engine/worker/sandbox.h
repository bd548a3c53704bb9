/*
 * What a process that decodes a stranger's file may still do: read and write the descriptors it holds, talk on its control
 * socket, use memory and threads, and a card where it has one. The lock-down has steps, because kernel namespaces and
 * Landlock bind only the calling thread and those it starts later, while the networks need files and system calls to be
 * planned, and a card's driver for as long as it works.
 */
#ifndef MATTE_SANDBOX_H
#define MATTE_SANDBOX_H

#include <stdint.h>

#include "../error.h"

/* Who does the work: a card is its driver's, which talks to the kernel by ioctl() and by files in /dev. */
enum sandbox_device { SANDBOX_PROCESSOR, SANDBOX_CARD };

/*
 * Before a card is looked for, and so before a driver has threads: Landlock leaves of the file system the cards, and what
 * drivers and their libraries are made of, which is public. Where the kernel has no Landlock nothing is done, nothing can
 * be opened once the process is sealed, and the processor decodes, as a decoder of a card is made of files.
 */
int sandbox_confine(struct error *e);

/*
 * Then: no core file, no new privileges, no debugger, dies with its parent, bounded memory (memory_limit bytes of address
 * space, 0: no bound), file size and descriptors. As root also: own network, IPC, mount and UTS namespaces where the
 * kernel lets it, and the user nobody. Without a card Landlock, where the kernel has it, takes the whole file system away.
 * Threads that are there already keep the old namespaces until the last step.
 */
int sandbox_isolate(int64_t memory_limit, enum sandbox_device device, struct error *e);

/*
 * At last, with any number of threads, all of which it binds: seccomp. Messages go over control only. Without a card
 * system calls outside the list kill the process, and those that open or look for files fail with EACCES; with one those
 * outside the list fail with EPERM, and what sandbox_confine() left can be opened. Errors: sandbox_failed.
 */
int sandbox_seal(int control, enum sandbox_device device, struct error *e);

#endif
