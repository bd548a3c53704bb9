#include "untrusted.h"

#include <string.h>

void untrusted_text(char *s, size_t size)
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
    untrusted_text(e->code, sizeof e->code);
    untrusted_text(e->text, sizeof e->text);
    e->retry = !!e->retry;
    size_t length = strlen(e->code);
    return length >= 3 && strspn(e->code, "abcdefghijklmnopqrstuvwxyz0123456789_") == length ? 0
                                                                                             : -1;
}
