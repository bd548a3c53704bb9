/*
 * The log: one JSON object a line on file descriptor 2, written by one write(2) and so never torn between processes.
 * Every line has ts, level, svc and event; the caller adds fields:
 *
 *     log_event(LOG_INFO, "job_claimed", log_str("job_id", id), log_num("attempt", n));
 *
 * Never pass keys, secrets or the query string of a URL.
 */
#ifndef MATTE_LOG_H
#define MATTE_LOG_H

#include <stdint.h>

enum log_level { LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
    const char *name;
    const char *text; /* NULL: number */
    int64_t number;
};

/* A NULL text is written as "". */
static inline struct log_field log_str(const char *name, const char *text)
{
    return (struct log_field) { name, text ? text : "", 0 };
}

static inline struct log_field log_num(const char *name, int64_t number)
{
    return (struct log_field) { name, 0, number };
}

#define log_event(level, ...) log_write(level, LOG_FIELDS(__VA_ARGS__, { 0 }))
#define LOG_FIELDS(event, ...)        \
    event, (const struct log_field[]) \
    {                                 \
        __VA_ARGS__                   \
    }

/* fields ends with an entry whose name is NULL. A line above 4 KiB loses its last fields, never its form. */
void log_write(enum log_level level, const char *event, const struct log_field *fields);

/* Sends descriptor 2, and with it the log of every process forked from now on, to path: "stderr" leaves it alone. Call
 * it again to reopen a rotated file. -1 and errno. */
int log_open(const char *path);

#endif
