/*
 * An error as it reaches the client: a code for machines and a sentence for people, written once, by the place that
 * knows. Functions that can fail return 0 or a negative number (or NULL) and fill *e; callers pass it on unchanged.
 */
#ifndef MATTE_ERROR_H
#define MATTE_ERROR_H

struct error {
    char code[41];   /* [a-z0-9_]{3,40}: the job's error_code, e.g. "unreadable_media" */
    char text[1001]; /* one English sentence with a full stop; the job's error */
    int retry;       /* 1: another attempt may succeed */
};

/* Fills *e (which may be NULL) and returns -1, so that `return error_set(e, ...)` reads well. */
int error_set(struct error *e, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, with e->retry = 1. */
int error_retry(struct error *e, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
