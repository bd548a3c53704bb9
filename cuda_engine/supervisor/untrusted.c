#include "untrusted.h"

#include <string.h>

static void clean(char *s, size_t size)
{
    s[size - 1] = 0;
    for (; *s; s++) {
        if (*s < ' ' || *s > '~') {
            *s = '?';
        }
    }
}

int untrusted_error(struct error *e)
{
    clean(e->code, sizeof e->code);
    clean(e->text, sizeof e->text);
    e->retry = !!e->retry;
    size_t length = strlen(e->code);
    return length >= 3 && strspn(e->code, "abcdefghijklmnopqrstuvwxyz0123456789_") == length ? 0
                                                                                             : -1;
}
