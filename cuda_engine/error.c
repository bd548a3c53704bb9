#include "error.h"

#include <stdarg.h>
#include <stdio.h>

static int fill(struct error *e, int retry, const char *code, const char *format, va_list args)
{
    if (e) {
        snprintf(e->code, sizeof e->code, "%s", code);
        vsnprintf(e->text, sizeof e->text, format, args);
        e->retry = retry;
    }
    return -1;
}

int error_set(struct error *e, const char *code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(e, 0, code, format, args);
    va_end(args);
    return -1;
}

int error_retry(struct error *e, const char *code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(e, 1, code, format, args);
    va_end(args);
    return -1;
}
