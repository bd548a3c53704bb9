/* What code that has taken a worker over gets: every attempt is made in a child of its own behind the whole sandbox. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/sandbox.h"

static int control[2], other[2];

static void *nothing(void *data)
{
    return data;
}

static int denied(long result)
{
    return result < 0 && errno == EACCES ? 0 : 2;
}

static int open_file(void)
{
    return denied(open("/etc/passwd", O_RDONLY));
}

static int create_file(void)
{
    return denied(open("/tmp/matte-sandbox-was-here", O_CREAT | O_RDWR, 0600));
}

static int read_link(void)
{
    char text[64];
    return denied(readlink("/proc/self/exe", text, sizeof text));
}

static int make_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static int make_pair(void)
{
    int pair[2];
    return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0;
}

static int connect_out(void)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "/run/x" };
    return connect(control[0], (struct sockaddr *)&a, sizeof a) == 0;
}

static int send_elsewhere(void)
{
    return send(other[0], "x", 1, 0) == 1;
}

static int execute(void)
{
    char *argv[] = { "/bin/true", NULL };
    return execv(argv[0], argv) == 0;
}

static int fork_glibc(void)
{
    return fork() >= 0;
}

static int fork_raw(void)
{
    return (int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) >= 0;
}

static int kill_parent(void)
{
    return kill(getppid(), 0) == 0;
}

static int trace_parent(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), 0, 0) == 0;
}

static int read_parent(void)
{
    char byte;
    struct iovec v = { &byte, 1 };
    return process_vm_readv(getppid(), &v, 1, &v, 1, 0) == 1;
}

static int remove_file(void)
{
    return unlink("/tmp/matte-sandbox-was-here") == 0;
}

static int change_root(void)
{
    return chroot("/") == 0;
}

static int mount_something(void)
{
    return (int)syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL) == 0;
}

static int become_root(void)
{
    return setuid(0) == 0;
}

static int undo(void)
{
    return prctl(PR_SET_DUMPABLE, 1) == 0;
}

static int thread(void)
{
    pthread_t t;
    return pthread_create(&t, NULL, nothing, NULL) || pthread_join(t, NULL);
}

static int memory(void)
{
    size_t n = 64 << 20;
    char *block = malloc(n);
    if (!block)
        return 1;
    memset(block, 1, n);
    free(block);
    return 0;
}

static int talk(void)
{
    return send(control[0], "x", 1, MSG_NOSIGNAL) != 1;
}

static const struct attempt {
    const char *name;
    int (*make)(void);
    int killed; /* 1: ends with SIGSYS, but where a card's driver may try it too; 0: exits 0 */
} attempts[] = {
    { "open a file", open_file, 0 },
    { "create a file", create_file, 0 },
    { "read a link", read_link, 0 },
    { "socket", make_socket, 1 },
    { "socketpair", make_pair, 1 },
    { "connect", connect_out, 1 },
    { "send on another socket", send_elsewhere, 1 },
    { "execve", execute, 1 },
    { "fork", fork_glibc, 1 },
    { "clone without a thread", fork_raw, 1 },
    { "kill the parent", kill_parent, 1 },
    { "ptrace the parent", trace_parent, 1 },
    { "read the parent's memory", read_parent, 1 },
    { "unlink", remove_file, 1 },
    { "chroot", change_root, 1 },
    { "mount", mount_something, 1 },
    { "setuid", become_root, 1 },
    { "become dumpable", undo, 1 },
    { "a thread", thread, 0 },
    { "memory", memory, 0 },
    { "the control socket", talk, 0 },
};

static void shut(enum sandbox_device device)
{
    struct error e;
    if ((device == SANDBOX_CARD && sandbox_confine(&e)) || sandbox_isolate(0, device, &e) ||
        sandbox_seal(control[0], device, &e)) {
        fprintf(stderr, "# %s\n", e.text);
        _exit(77);
    }
}

static int status_of(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void try_all(enum sandbox_device device)
{
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        pid_t pid = fork();
        if (!pid) {
            shut(device);
            _exit(attempts[i].make());
        }
        int status = status_of(pid);
        int good = attempts[i].killed && device == SANDBOX_PROCESSOR
                       ? WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS
                       : WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (!good)
            fail_msg("%s: wait status %#x", attempts[i].name, (unsigned)status);
    }
}

static void every_attempt_ends_as_it_should(void **state)
{
    (void)state;
    try_all(SANDBOX_PROCESSOR);
    try_all(SANDBOX_CARD);
}

static void only_a_cards_driver_has_ioctl(void **state)
{
    (void)state;
    for (int card = 0; card < 2; card++) {
        pid_t pid = fork();
        if (!pid) {
            int bytes;
            shut(card ? SANDBOX_CARD : SANDBOX_PROCESSOR);
            int result = ioctl(control[0], FIONREAD, &bytes);
            _exit(card ? result != 0 : result != -1 || errno != ENOTTY);
        }
        assert_int_equal(status_of(pid), 0);
    }
}

static sem_t sealed;

static int has_landlock; /* without it nothing can be opened */

/* 0, or why not. */
static int opened(const char *path, int flags)
{
    int fd = open(path, flags, 0600);
    return fd < 0 ? -errno : close(fd);
}

static int left_to_drivers(void)
{
    static const struct {
        const char *path;
        int flags, result;
    } files[] = {
        { "/usr/bin/env", O_RDONLY, 0 },
        { "/usr/bin/env", O_WRONLY, -EACCES },
        { "/proc/cpuinfo", O_RDONLY, 0 },
        { "/proc/1/status", O_RDONLY, -EACCES },
        { "/etc/passwd", O_RDONLY, -EACCES },
        { "/etc/group", O_RDONLY, -EACCES },
        { "/dev/zero", O_RDONLY, -EACCES },
        { "/tmp", O_RDONLY, -EACCES },
        { "/usr/bin/matte-was-here", O_CREAT | O_WRONLY, -EACCES },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (opened(files[i].path, files[i].flags) != (has_landlock ? files[i].result : -EACCES))
            return (int)i + 1;
    return 0;
}

static void *late_files(void *data)
{
    int *result = data;
    sem_wait(&sealed);
    *result = left_to_drivers();
    return NULL;
}

/* The driver's threads are there before the namespaces and the filter are. */
static void a_driver_finds_its_files_and_no_others(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (!pid) {
        pthread_t t;
        struct error e;
        int late;
        sem_init(&sealed, 0, 0);
        if (sandbox_confine(&e) || opened("/proc/self/comm", O_CREAT | O_TRUNC | O_WRONLY) ||
            pthread_create(&t, NULL, late_files, &late) || sandbox_isolate(0, SANDBOX_CARD, &e) ||
            sandbox_seal(control[0], SANDBOX_CARD, &e))
            _exit(77);
        sem_post(&sealed);
        pthread_join(t, NULL);
        _exit(late ? late : left_to_drivers());
    }
    assert_int_equal(status_of(pid), 0);
}

static void *late_socket(void *data)
{
    sem_wait(&sealed);
    socket(AF_INET, SOCK_STREAM, 0);
    return data;
}

static void threads_from_before_are_bound(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (!pid) {
        pthread_t t;
        struct error e;
        sem_init(&sealed, 0, 0);
        if (sandbox_isolate(0, SANDBOX_PROCESSOR, &e) ||
            pthread_create(&t, NULL, late_socket, NULL) ||
            sandbox_seal(control[0], SANDBOX_PROCESSOR, &e))
            _exit(77);
        sem_post(&sealed);
        pthread_join(t, NULL);
        _exit(0);
    }
    int status = status_of(pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

static void it_dies_with_its_parent(void **state)
{
    (void)state;
    int alive[2];
    assert_int_equal(pipe(alive), 0);
    pid_t parent = fork();
    if (!parent) {
        if (!fork()) {
            char byte;
            close(alive[0]);
            shut(SANDBOX_PROCESSOR);
            if (write(alive[1], "x", 1) == 1)
                while (read(other[0], &byte, 1) != 0)
                    continue; /* for ever: nobody writes */
            _exit(0);
        }
        pause();
    }
    char byte;
    close(alive[1]);
    assert_int_equal(read(alive[0], &byte, 1), 1); /* the grandchild is shut in */
    kill(parent, SIGKILL);
    status_of(parent);
    assert_int_equal(read(alive[0], &byte, 1), 0); /* its end of the pipe closed: it is gone */
    close(alive[0]);
}

#ifndef __SANITIZE_ADDRESS__ /* which reserves more addresses than any limit */
static void memory_is_bounded(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (!pid) {
        struct error e;
        if (sandbox_isolate(256 << 20, SANDBOX_PROCESSOR, &e) ||
            sandbox_seal(control[0], SANDBOX_PROCESSOR, &e))
            _exit(77);
        void *volatile block = malloc(512 << 20);
        _exit(block != NULL);
    }
    assert_int_equal(status_of(pid), 0);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_attempt_ends_as_it_should),
        cmocka_unit_test(only_a_cards_driver_has_ioctl),
        cmocka_unit_test(a_driver_finds_its_files_and_no_others),
        cmocka_unit_test(threads_from_before_are_bound),
        cmocka_unit_test(it_dies_with_its_parent),
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test(memory_is_bounded),
#endif
    };
    has_landlock =
        syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control) ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, other))
        return 1;
    alarm(60);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
