#include "storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../log.h"

/* Files of a run in tmp/. */
#define IN    "in"
#define OUT   "out"
#define ALPHA "alpha"

static int state = -1, tmp = -1, outputs = -1;

static const char *extension(const char *format)
{
    static const char *const extensions[][2] = {
        { "webm", "webm" },
        { "mov", "mov" },
        { "mp4", "mp4" },
        { "gif", "gif" },
        { "webp", "webp" },
        { "png_sequence", "zip" },
    };
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
        if (!strcmp(extensions[i][0], format)) {
            return extensions[i][1];
        }
    }
    return 0;
}

static int failed(struct error *e, const char *what)
{
    int reason = errno;
    return error_retry(e, "storage_error", "%s: %s.", what, strerror(reason));
}

static int folder(int at, const char *name)
{
    if (mkdirat(at, name, 0750) && errno != EEXIST) {
        return -1;
    }
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* A process holds a lock on its file for as long as it or its worker lives. */
void storage_sweep(void)
{
    DIR *list = fdopendir(openat(tmp, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (struct dirent *d; list && (d = readdir(list));) {
        if (d->d_name[0] == '.') {
            continue;
        }
        int fd = openat(tmp, d->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB) && !unlinkat(tmp, d->d_name, 0)) {
            log_event(LOG_INFO, "stale_file_removed", log_str("file", d->d_name));
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    if (list) {
        closedir(list);
    }
}

int storage_open(const char *path, struct error *e)
{
    state = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (state < 0) {
        return error_set(e, "config", "state: %s: %s.", path, strerror(errno));
    }
    tmp = folder(state, "tmp");
    outputs = folder(state, "outputs");
    if (tmp < 0 || outputs < 0 || faccessat(tmp, ".", W_OK, AT_EACCESS) ||
        faccessat(outputs, ".", W_OK, AT_EACCESS)) {
        return error_set(
            e, "config", "state: %s/tmp and %s/outputs: %s.", path, path, strerror(errno));
    }
    storage_sweep();
    return 0;
}

void storage_close(void)
{
    close(outputs);
    close(tmp);
    close(state);
    state = tmp = outputs = -1;
}

static void temporary_name(char name[96], const struct claim *c, const char *suffix)
{
    snprintf(name, 96, "%s.%lld.%s", c->id, (long long)c->lease_no, suffix);
}

/* A new locked file in tmp/. */
static int temporary(const char *name)
{
    struct stat st;
    int fd = openat(tmp, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0) {
        return -1;
    }
    /* an engine that starts on another host may sweep between the two calls */
    if (flock(fd, LOCK_EX | LOCK_NB) || fstat(fd, &st) || !st.st_nlink) {
        close(fd);
        errno = EAGAIN;
        return -1;
    }
    return fd;
}

int storage_input(const struct claim *c, struct error *e)
{
    char name[96];
    temporary_name(name, c, IN);
    int fd = temporary(name);
    if (fd < 0 || unlinkat(tmp, name, 0)) {
        failed(e, "The file for the input cannot be made");
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

/* Opens what lies under the state folder, without passing over a link. */
static int open_beneath(const char *path, uint64_t flags)
{
    struct open_how how = { .flags = flags | O_CLOEXEC | O_NOFOLLOW,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
    return (int)syscall(SYS_openat2, state, path, &how, sizeof how);
}

void storage_folders(int fds[STORAGE_FOLDERS])
{
    fds[0] = state, fds[1] = tmp, fds[2] = outputs;
}

int storage_remove(const char *path)
{
    char folder_name[STORAGE_KEY];
    const char *slash = strrchr(path, '/');
    if (!slash || (size_t)(slash - path) >= sizeof folder_name) {
        errno = EINVAL;
        return -1;
    }
    snprintf(folder_name, sizeof folder_name, "%.*s", (int)(slash - path), path);
    int at = open_beneath(folder_name, O_RDONLY | O_DIRECTORY);
    int rc = at < 0 ? -1 : unlinkat(at, slash + 1, 0);
    if (rc && errno == ENOENT) {
        rc = 0;
    }
    if (!rc && !strncmp(path, "outputs/", 8)) {
        unlinkat(state, folder_name, AT_REMOVEDIR); /* refused while it is not empty */
    }
    if (at >= 0) {
        int saved = errno;
        close(at);
        errno = saved;
    }
    return rc;
}

int storage_upload(const struct claim *c, struct error *e)
{
    struct stat st;
    int fd = open_beneath(c->input_path, O_RDONLY);
    if (fd < 0) {
        return failed(e, "The uploaded file cannot be opened");
    }
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return error_set(e, "storage_error", "The upload is not a file.");
    }
    return fd;
}

int storage_output(const struct claim *c, struct job_files *files, struct error *e)
{
    char name[96];
    if (!extension(c->format)) {
        return error_set(e, "unsupported_format", "This engine cannot write %s.", c->format);
    }
    temporary_name(name, c, OUT);
    files->output = temporary(name);
    if (c->alpha && files->output >= 0) {
        temporary_name(name, c, ALPHA);
        files->alpha = temporary(name);
    }
    return files->output < 0 || (c->alpha && files->alpha < 0)
               ? failed(e, "The file for the output cannot be made")
               : 0;
}

/* rename(2) that refuses an existing name, also where the file system (NFS) does not know how. */
static int move(int to, const char *from_name, const char *to_name)
{
    if (!renameat2(tmp, from_name, to, to_name, RENAME_NOREPLACE)) {
        return 0;
    }
    if (errno != EINVAL || linkat(tmp, from_name, to, to_name, 0)) {
        return -1;
    }
    return unlinkat(tmp, from_name, 0);
}

/* The output last: with it the alpha is there. */
static int move_all(int job, const struct claim *c, const char *output_name)
{
    char from[96], to[48];
    if (c->alpha) {
        temporary_name(from, c, ALPHA);
        snprintf(to, sizeof to, "%lld.alpha.mp4", (long long)c->lease_no);
        if (move(job, from, to)) {
            return -1;
        }
    }
    temporary_name(from, c, OUT);
    return move(job, from, output_name);
}

int storage_publish(const struct claim *c, char key[STORAGE_KEY], struct error *e)
{
    char to[32];
    snprintf(to, sizeof to, "%lld.%s", (long long)c->lease_no, extension(c->format));
    snprintf(key, STORAGE_KEY, "%s/%s/%s", c->tenant_id, c->id, to);

    int tenant = folder(outputs, c->tenant_id);
    int job = tenant < 0 ? -1 : folder(tenant, c->id);
    int rc = job < 0 || move_all(job, c, to) || fsync(job) || fsync(tenant) || fsync(outputs);
    if (rc) {
        failed(e, "The output cannot be stored");
    }
    if (job >= 0) {
        close(job);
    }
    if (tenant >= 0) {
        close(tenant);
    }
    return rc ? -1 : 0;
}

void storage_discard(const struct claim *c)
{
    static const char *const suffixes[] = { OUT, ALPHA };
    char name[96];
    for (int i = 0; i < 2; i++) {
        temporary_name(name, c, suffixes[i]);
        unlinkat(tmp, name, 0);
    }
}
