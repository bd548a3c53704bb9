#include "sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

/* ---- files ---- */

/* Landlock's rights that this kernel knows: it would refuse a ruleset with others. 0: it has no Landlock. */
static uint64_t rights_known(void)
{
    static const int rights[] = { 0, 13, 14, 15, 15, 16 }; /* by ABI: the lowest so many bits */
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi <= 0 ? 0 : (1ull << rights[abi > 5 ? 5 : abi]) - 1;
}

static int rules_open(uint64_t known)
{
    struct landlock_ruleset_attr all = { .handled_access_fs = known };
    return (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
}

/* Binds the calling thread, and those that it starts. */
static int rules_apply(int rules)
{
    long result = syscall(SYS_landlock_restrict_self, rules, 0);
    close(rules);
    return result ? -1 : 0;
}

/* No file at all. */
static int leave_no_file(void)
{
    uint64_t known = rights_known();
    if (!known)
        return 0;
    int rules = rules_open(known);
    return rules < 0 ? -1 : rules_apply(rules);
}

#define TRUNCATE  (1ull << 14) /* of ABI 3 */
#define IOCTL_DEV (1ull << 15) /* of ABI 5 */
#define READ      (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE     (READ | LANDLOCK_ACCESS_FS_WRITE_FILE | TRUNCATE)
#define MAKE      (WRITE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)
#define OF_FILES \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | TRUNCATE | IOCTL_DEV)

/* What is not there needs no rule. */
static void let(int rules, uint64_t known, int folder, const char *path, uint64_t rights)
{
    struct stat st;
    int fd = openat(folder, path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return;
    if (!fstat(fd, &st)) {
        struct landlock_path_beneath_attr rule = {
            .allowed_access = rights & known & (S_ISDIR(st.st_mode) ? ~0ull : OF_FILES),
            .parent_fd = fd,
        };
        syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    }
    close(fd);
}

/* The cards, what manages them, and the folder of their parts. */
static void let_cards(int rules, uint64_t known)
{
    static const char cards[] = "nvidia";
    DIR *devices = opendir("/dev");
    if (!devices)
        return;
    for (const struct dirent *d; (d = readdir(devices));)
        if (!strncmp(d->d_name, cards, strlen(cards)))
            let(rules, known, dirfd(devices), d->d_name, WRITE | IOCTL_DEV);
    closedir(devices);
}

/* Where the loader looks for libraries beside its own folders. */
static void let_libraries(int rules, uint64_t known)
{
    const char *path = getenv("LD_LIBRARY_PATH");
    char *folders = path ? strdup(path) : NULL, *rest = folders;
    for (const char *folder; (folder = strsep(&rest, ":"));)
        if (*folder)
            let(rules, known, AT_FDCWD, folder, READ);
    free(folders);
}

/* What a driver and its libraries read, and what is shared where several processes share a card (MPS). */
static const struct {
    const char *path;
    uint64_t rights;
} of_drivers[] = {
    { "/usr", READ },
    { "/lib", READ },
    { "/lib64", READ },
    { "/opt", READ },
    { "/etc/ld.so.cache", READ },
    { "/etc/nvidia", READ },
    { "/sys", READ },
    { "/proc/driver/nvidia", READ },
    { "/proc/self", WRITE }, /* it names its threads */
    { "/proc/sys/vm", READ },
    { "/proc/cpuinfo", READ },
    { "/proc/devices", READ },
    { "/proc/meminfo", READ },
    { "/proc/modules", READ },
    { "/proc/stat", READ },
    { "/dev/shm", MAKE },
};

/* The driver may still open its files behind the filter, as every one of its threads is bound. */
static int drivers_bound;

int sandbox_confine(struct error *e)
{
    uint64_t known = rights_known();
    if (!known)
        return 0;
    int rules = rules_open(known);
    if (rules < 0)
        return failed(e, "landlock", errno);
    for (size_t i = 0; i < sizeof of_drivers / sizeof *of_drivers; i++)
        let(rules, known, AT_FDCWD, of_drivers[i].path, of_drivers[i].rights);
    let_cards(rules, known);
    let_libraries(rules, known);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || rules_apply(rules))
        return failed(e, "landlock", errno);
    drivers_bound = 1;
    return 0;
}

/* ---- the process ---- */

int sandbox_isolate(int64_t memory_limit, enum sandbox_device device, struct error *e)
{
    if (!geteuid() && become_nobody())
        return failed(e, "giving up root", errno);
    if (limits(memory_limit))
        return failed(e, "setrlimit", errno);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0) ||
        prctl(PR_SET_PDEATHSIG, SIGKILL)) /* after setresuid(), which clears it */
        return failed(e, "prctl", errno);
    if (device == SANDBOX_PROCESSOR && leave_no_file())
        return failed(e, "landlock", errno);
    return 0;
}

/* ---- system calls ---- */

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

/* What a driver asks for besides, whatever it works for. */
static const int of_cards[] = {
    CALL(ioctl),
    CALL(fcntl),
    CALL(geteuid),
    CALL(getpriority),
    CALL(sched_getparam),
    CALL(sched_getscheduler),
    CALL(sched_get_priority_max),
    CALL(sched_get_priority_min),
};

/* Libraries try these and go on without. */
static const struct {
    int call, error;
    int opens; /* 1: a driver does not, where sandbox_confine() has said what there is to open */
} refused[] = {
    { CALL(open), EACCES, 1 },
    { CALL(openat), EACCES, 1 },
    { CALL(openat2), EACCES, 0 },
    { CALL(creat), EACCES, 0 },
    { CALL(access), EACCES, 1 },
    { CALL(faccessat), EACCES, 1 },
    { CALL(faccessat2), EACCES, 1 },
    { CALL(stat), EACCES, 1 },
    { CALL(lstat), EACCES, 1 },
    { CALL(statx), ENOSYS, 0 },
    { CALL(readlink), EACCES, 0 },
    { CALL(readlinkat), EACCES, 0 },
    { CALL(clone3), ENOSYS, 0 }, /* its flags hide behind a pointer; glibc falls back to clone() */
    { CALL(arch_prctl), EINVAL, 0 }, /* oneDNN asks for the matrix unit */
    { CALL(sched_setaffinity), ENOSYS, 0 },
    { CALL(get_mempolicy), ENOSYS, 0 },
    { CALL(mbind), ENOSYS, 0 },
    { CALL(set_mempolicy), ENOSYS, 0 },
};

static int add_rules(scmp_filter_ctx filter, int control, enum sandbox_device device)
{
    static const int messages[] = { CALL(sendmsg), CALL(recvmsg), CALL(sendto), CALL(recvfrom) };
    const int card = device == SANDBOX_CARD;
    int result = 0;
    for (size_t i = 0; !result && i < sizeof allowed / sizeof *allowed; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    for (size_t i = 0; !result && card && i < sizeof of_cards / sizeof *of_cards; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, of_cards[i], 0);
    for (size_t i = 0; !result && i < sizeof refused / sizeof *refused; i++)
        result = seccomp_rule_add(filter,
            card && drivers_bound && refused[i].opens ? SCMP_ACT_ALLOW
                                                      : SCMP_ACT_ERRNO((unsigned)refused[i].error),
            refused[i].call, 0);
    for (size_t i = 0; !result && i < sizeof messages / sizeof *messages; i++)
        result = seccomp_rule_add(
            filter, SCMP_ACT_ALLOW, messages[i], 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)control));
    if (!result && !card)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOTTY), CALL(ioctl), 0);
    if (!result && !card)
        result =
            seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_GETFL));
    if (!result) /* threads; without the flag it is fork() */
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(clone), 1,
            SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    if (!result) /* abort() */
        result = seccomp_rule_add(
            filter, SCMP_ACT_ALLOW, CALL(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    if (!result)
        result = seccomp_rule_add(
            filter, SCMP_ACT_ALLOW, CALL(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    return result;
}

int sandbox_seal(int control, enum sandbox_device device, struct error *e)
{
    /* what a driver asks for differs from version to version, and what it is refused it can do without */
    scmp_filter_ctx filter =
        seccomp_init(device == SANDBOX_CARD ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS);
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
