#include "log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct line {
    char text[4096];
    size_t length;
};

/* Appends a JSON string. What is not printable ASCII is escaped byte by byte, so that no input can break the line. */
static int quote(struct line *line, const char *s)
{
    size_t at = line->length;
    line->text[at++] = '"';
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (at + 16 > sizeof line->text) {
            return -1;
        }
        if (c == '"' || c == '\\') {
            line->text[at++] = '\\';
            line->text[at++] = (char)c;
        } else if (c < 0x20 || c >= 0x7f) {
            at += (size_t)snprintf(line->text + at, 7, "\\u%04x", c);
        } else {
            line->text[at++] = (char)c;
        }
    }
    line->text[at++] = '"';
    line->length = at;
    return 0;
}

/* Appends one member or, where it does not fit, nothing. */
static void member(struct line *line, const struct log_field *f)
{
    size_t start = line->length;
    if (start + strlen(f->name) + 40 > sizeof line->text) {
        return;
    }
    line->length += (size_t)sprintf(line->text + start, ",\"%s\":", f->name);
    if (!f->text) {
        line->length += (size_t)sprintf(line->text + line->length, "%lld", (long long)f->number);
    } else if (quote(line, f->text)) {
        line->length = start;
    }
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    static const char *const names[] = { "info", "warn", "error" };
    struct line line;
    struct timespec now;
    struct tm utc;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    line.length = strftime(line.text, sizeof line.text, "{\"ts\":\"%Y-%m-%dT%H:%M:%S", &utc);
    line.length += (size_t)sprintf(line.text + line.length,
        ".%03ldZ\",\"level\":\"%s\",\"svc\":\"matted\"", now.tv_nsec / 1000000, names[level]);
    member(&line, &(struct log_field) { "event", event, 0 });
    for (; fields->name; fields++) {
        member(&line, fields);
    }
    line.text[line.length++] = '}';
    line.text[line.length++] = '\n';
    if (write(STDERR_FILENO, line.text, line.length) < 0) {
        return; /* a log that cannot be written has nowhere to say so */
    }
}

int log_open(const char *path)
{
    if (!strcmp(path, "stderr")) {
        return 0;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) {
        return -1;
    }
    int rc = dup2(fd, STDERR_FILENO);
    close(fd);
    return rc < 0 ? -1 : 0;
}
