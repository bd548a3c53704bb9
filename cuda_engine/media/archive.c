#include "archive.h"

#include <errno.h>
#include <limits.h>
#include <minizip/zip.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sink.h"

struct archive {
    struct sink sink;
    int failed; /* errno of the first write that did */
    zipFile zip;
};

/* ---- what the library calls to write ---- */

static void *open_file(void *opaque, const void *name, int mode)
{
    (void)name, (void)mode;
    return opaque;
}

static uLong read_file(void *opaque, void *stream, void *data, uLong size)
{
    (void)opaque, (void)stream, (void)data, (void)size;
    return 0;
}

static uLong write_file(void *opaque, void *stream, const void *data, uLong size)
{
    struct archive *a = opaque;
    (void)stream;
    int failed = sink_write(&a->sink, data, size);
    if (failed && !a->failed)
        a->failed = failed;
    return failed ? 0 : size;
}

static ZPOS64_T tell_file(void *opaque, void *stream)
{
    const struct archive *a = opaque;
    (void)stream;
    return (ZPOS64_T)a->sink.at;
}

static long seek_file(void *opaque, void *stream, ZPOS64_T offset, int origin)
{
    static const int whence[] = {
        [ZLIB_FILEFUNC_SEEK_SET] = SEEK_SET,
        [ZLIB_FILEFUNC_SEEK_CUR] = SEEK_CUR,
        [ZLIB_FILEFUNC_SEEK_END] = SEEK_END,
    };
    struct archive *a = opaque;
    (void)stream;
    return sink_seek(&a->sink, (int64_t)offset, whence[origin]) < 0 ? -1 : 0;
}

static int close_file(void *opaque, void *stream)
{
    (void)opaque, (void)stream;
    return 0;
}

static int test_error(void *opaque, void *stream)
{
    const struct archive *a = opaque;
    (void)stream;
    return a->failed;
}

/* ---- */

static int failure(const struct archive *a, struct error *e)
{
    if (a && a->failed)
        return error_retry(
            e, "storage_error", "The output could not be written: %s.", strerror(a->failed));
    return error_retry(
        e, "out_of_memory", "There is no memory for the list of the output's files.");
}

struct archive *archive_open(int fd, struct error *e)
{
    struct archive *a = calloc(1, sizeof *a);
    if (a) {
        zlib_filefunc64_def calls = { open_file, read_file, write_file, tell_file, seek_file,
            close_file, test_error, a };
        a->sink.fd = fd;
        a->zip = zipOpen2_64("", APPEND_STATUS_CREATE, NULL, &calls);
        if (a->zip)
            return a;
    }
    failure(a, e);
    free(a);
    return NULL;
}

int archive_add(
    struct archive *archive, const char *name, const void *data, size_t size, struct error *e)
{
    /* a fixed date: the same input makes the same file */
    static const zip_fileinfo info = { .tmz_date = { .tm_mday = 1, .tm_year = 1980 } };
    const int large = size >= UINT32_MAX;
    int result = zipOpenNewFileInZip64(
        archive->zip, name, &info, NULL, 0, NULL, 0, NULL, 0, Z_NO_COMPRESSION, large);
    for (size_t done = 0; result == ZIP_OK && done < size;) {
        unsigned part = size - done < INT_MAX ? (unsigned)(size - done) : INT_MAX;
        result = zipWriteInFileInZip(archive->zip, (const char *)data + done, part);
        done += part;
    }
    if (result == ZIP_OK)
        result = zipCloseFileInZip(archive->zip);
    return result == ZIP_OK && !archive->failed ? 0 : failure(archive, e);
}

int archive_finish(struct archive *archive, int64_t *bytes, struct error *e)
{
    int result = zipClose(archive->zip, NULL);
    archive->zip = NULL;
    *bytes = archive->sink.size;
    return result == ZIP_OK && !archive->failed ? 0 : failure(archive, e);
}

void archive_close(struct archive *archive)
{
    if (!archive)
        return;
    if (archive->zip)
        zipClose(archive->zip, NULL);
    free(archive);
}
