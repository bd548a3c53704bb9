#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NOBODY = 65534, DESCRIPTORS = 128 };
#define FILE_BYTES ((rlim_t)64 << 30)

static int failed(struct error *e, const char *what, int number)
{
    return error_set(
        e, "sandbox_failed", "The worker's sandbox was not made: %s: %s.", what, strerror(number));
}

static int limit(int resource, rlim_t n)
{
    struct rlimit now;
    if (getrlimit(resource, &now))
        return -1;
    struct rlimit r = { n < now.rlim_max ? n : now.rlim_max, n < now.rlim_max ? n : now.rlim_max };
    return setrlimit(resource, &r);
}

static int limits(int64_t memory_limit)
{
    signal(SIGXFSZ, SIG_IGN); /* EFBIG is an error that can be told */
    return limit(RLIMIT_CORE, 0) || limit(RLIMIT_NOFILE, DESCRIPTORS) ||
           limit(RLIMIT_FSIZE, FILE_BYTES) ||
           (memory_limit > 0 && limit(RLIMIT_AS, (rlim_t)memory_limit));
}

static int become_nobody(void)
{
    /* containers may refuse namespaces to their root: the filter holds without them */
    if (unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWNS | CLONE_NEWUTS))
        (void)unshare(CLONE_NEWNET);
    return setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
           setresuid(NOBODY, NOBODY, NOBODY);
}

/* No file at all. Rights that this kernel does not know yet are left out: it would refuse them. */
static int landlock(void)
{
    static const int rights[] = { 0, 13, 14, 15, 15, 16 }; /* by ABI: the lowest so many bits */
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi <= 0)
        return 0;
    struct landlock_ruleset_attr all = {
        .handled_access_fs = (1ull << rights[abi > 5 ? 5 : abi]) - 1,
    };
    int rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
    if (rules < 0)
        return -1;
    long result = syscall(SYS_landlock_restrict_self, rules, 0);
    close(rules);
    return result ? -1 : 0;
}

int sandbox_isolate(int64_t memory_limit, struct error *e)
{
    if (!geteuid() && become_nobody())
        return failed(e, "giving up root", errno);
    if (limits(memory_limit))
        return failed(e, "setrlimit", errno);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0) ||
        prctl(PR_SET_PDEATHSIG, SIGKILL)) /* after setresuid(), which clears it */
        return failed(e, "prctl", errno);
    if (landlock())
        return failed(e, "landlock", errno);
    return 0;
}

#define CALL(name) SCMP_SYS(name)

static const int allowed[] = {
    CALL(read),
    CALL(write),
    CALL(readv),
    CALL(writev),
    CALL(pread64),
    CALL(pwrite64),
    CALL(lseek),
    CALL(fstat),
    CALL(newfstatat), /* glibc's fstat */
    CALL(ftruncate),
    CALL(fsync),
    CALL(fdatasync),
    CALL(close),
    CALL(poll),
    CALL(ppoll),
    CALL(mmap),
    CALL(munmap),
    CALL(mprotect),
    CALL(mremap),
    CALL(madvise),
    CALL(brk),
    CALL(membarrier),
    CALL(futex),
    CALL(set_robust_list),
    CALL(rseq),
    CALL(gettid),
    CALL(getpid),
    CALL(sched_yield),
    CALL(sched_getaffinity),
    CALL(getcpu),
    CALL(sysinfo),
    CALL(getrusage),
    CALL(clock_gettime),
    CALL(clock_getres),
    CALL(gettimeofday),
    CALL(clock_nanosleep),
    CALL(nanosleep),
    CALL(restart_syscall),
    CALL(rt_sigaction),
    CALL(rt_sigprocmask),
    CALL(rt_sigreturn),
    CALL(sigaltstack),
    CALL(getrandom),
    CALL(exit),
    CALL(exit_group),
};

/* Libraries try these and go on without. */
static const struct {
    int call, error;
} refused[] = {
    { CALL(open), EACCES },
    { CALL(openat), EACCES },
    { CALL(openat2), EACCES },
    { CALL(creat), EACCES },
    { CALL(access), EACCES },
    { CALL(faccessat), EACCES },
    { CALL(faccessat2), EACCES },
    { CALL(stat), EACCES },
    { CALL(lstat), EACCES },
    { CALL(statx), ENOSYS },
    { CALL(readlink), EACCES },
    { CALL(readlinkat), EACCES },
    { CALL(clone3), ENOSYS },     /* its flags hide behind a pointer; glibc falls back to clone() */
    { CALL(arch_prctl), EINVAL }, /* oneDNN asks for the matrix unit */
    { CALL(sched_setaffinity), EPERM },
    { CALL(get_mempolicy), ENOSYS },
    { CALL(mbind), ENOSYS },
    { CALL(set_mempolicy), ENOSYS },
};

static int add_rules(scmp_filter_ctx filter, int control, enum sandbox_device device)
{
    static const int messages[] = { CALL(sendmsg), CALL(recvmsg), CALL(sendto), CALL(recvfrom) };
    int result = 0;
    for (size_t i = 0; !result && i < sizeof allowed / sizeof *allowed; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    for (size_t i = 0; !result && i < sizeof refused / sizeof *refused; i++)
        result = seccomp_rule_add(
            filter, SCMP_ACT_ERRNO((unsigned)refused[i].error), refused[i].call, 0);
    for (size_t i = 0; !result && i < sizeof messages / sizeof *messages; i++)
        result = seccomp_rule_add(
            filter, SCMP_ACT_ALLOW, messages[i], 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)control));
    if (!result)
        result = seccomp_rule_add(filter,
            device == SANDBOX_CARD ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(ENOTTY), CALL(ioctl), 0);
    if (!result) /* threads; without the flag it is fork() */
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(clone), 1,
            SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    if (!result) /* abort() */
        result = seccomp_rule_add(
            filter, SCMP_ACT_ALLOW, CALL(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    if (!result)
        result = seccomp_rule_add(
            filter, SCMP_ACT_ALLOW, CALL(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    if (!result)
        result =
            seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_GETFL));
    return result;
}

int sandbox_seal(int control, enum sandbox_device device, struct error *e)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return failed(e, "seccomp", ENOMEM);
    int result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (!result)
        result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (!result)
        result = add_rules(filter, control, device);
    if (!result)
        result = seccomp_load(filter);
    seccomp_release(filter);
    return result ? failed(e, "seccomp", -result) : 0;
}
