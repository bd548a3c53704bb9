#include "format.h"

#include <string.h>

static const struct format *const formats[] = { &format_webm };

const struct format *format_find(const char *name, struct error *e)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i]->name, name) == 0)
            return formats[i];
    error_set(e, "unsupported_format", "This engine does not make %s files.", name);
    return NULL;
}

const struct format *format_of_file(const char *path, struct error *e)
{
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i]->extension, dot + 1) == 0)
            return formats[i];
    error_set(e, "unsupported_format", "No output format has the extension of %s.", path);
    return NULL;
}
