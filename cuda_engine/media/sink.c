#include "sink.h"

#include <errno.h>
#include <unistd.h>

int sink_write(struct sink *sink, const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(sink->fd, (const char *)data + done, size - done, sink->at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        done += (size_t)n;
        sink->at += n;
        if (sink->at > sink->size)
            sink->size = sink->at;
    }
    return 0;
}

int64_t sink_seek(struct sink *sink, int64_t offset, int whence)
{
    int64_t from = whence == SEEK_CUR ? sink->at : whence == SEEK_END ? sink->size : 0;
    if (from + offset < 0)
        return -1;
    return sink->at = from + offset;
}
