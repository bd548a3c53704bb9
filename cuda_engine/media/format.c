#include "format.h"

#include <string.h>

static const struct format *const formats[] = { &format_webm, &format_mov, &format_mp4, &format_gif,
    &format_webp, &format_png_sequence, NULL };

const struct format *format_find(const char *name, struct error *e)
{
    for (const struct format *const *f = formats; *f; f++)
        if (strcmp((*f)->name, name) == 0)
            return *f;
    error_set(e, "unsupported_format", "This engine does not make %s files.", name);
    return NULL;
}

const struct format *format_of_file(const char *path, struct error *e)
{
    const char *dot = strrchr(path, '.');
    for (const struct format *const *f = formats; dot && *f; f++)
        if (strcmp((*f)->extension, dot + 1) == 0)
            return *f;
    error_set(e, "unsupported_format", "No output format has the extension of %s.", path);
    return NULL;
}

int format_tracks(
    const struct format *format, int transparent, const struct track **tracks, struct error *e)
{
    *tracks = transparent ? format->transparent : &format->opaque;
    if (!(*tracks)[0].encoder) {
        error_set(e, "unsupported_combination",
            "A %s file has no transparency: background must be a color or an image.", format->name);
        return 0;
    }
    return transparent && format->transparent[1].encoder ? 2 : 1;
}
