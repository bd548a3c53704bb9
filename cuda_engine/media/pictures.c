#include "pictures.h"

#include <libavutil/pixdesc.h>
#include <stdio.h>
#include <stdlib.h>

#include "archive.h"

struct pictures {
    struct archive *archive;
    AVFormatContext *owner; /* of the stream */
    int64_t count;
    int64_t last, duration; /* of the last picture, as its packet has them */
    char *list;             /* the manifest's entries */
    size_t length;
    FILE *entries; /* writes list */
};

static int out_of_memory(struct error *e)
{
    return error_retry(e, "out_of_memory", "There is no memory for the list of pictures.");
}

struct pictures *pictures_open(int fd, struct error *e)
{
    struct pictures *p = calloc(1, sizeof *p);
    if (!p) {
        out_of_memory(e);
        return NULL;
    }
    p->owner = avformat_alloc_context();
    p->entries = open_memstream(&p->list, &p->length);
    if (!p->owner || !p->entries)
        out_of_memory(e);
    else if ((p->archive = archive_open(fd, e)))
        return p;
    pictures_close(p);
    return NULL;
}

AVStream *pictures_stream(struct pictures *pictures)
{
    return avformat_new_stream(pictures->owner, NULL);
}

static double seconds(const struct pictures *p, int64_t ticks)
{
    return (double)ticks * av_q2d(p->owner->streams[0]->time_base);
}

/* A picture is shown until the next one is. */
static void end_entry(const struct pictures *p, int64_t duration, const char *next)
{
    fprintf(p->entries, ", \"duration\": %.6f}%s", seconds(p, duration), next);
}

int pictures_add(struct pictures *pictures, const AVPacket *packet, struct error *e)
{
    struct pictures *p = pictures;
    char name[32];
    if (p->count)
        end_entry(p, packet->pts - p->last, ",");
    snprintf(name, sizeof name, "%06lld.png", (long long)++p->count);
    fprintf(p->entries, "\n    {\"file\": \"%s\", \"time\": %.6f", name, seconds(p, packet->pts));
    p->last = packet->pts;
    p->duration = packet->duration;
    return archive_add(p->archive, name, packet->data, (size_t)packet->size, e);
}

static int add_manifest(struct pictures *p, int has_sound, struct error *e)
{
    const AVCodecParameters *par = p->owner->streams[0]->codecpar;
    const AVPixFmtDescriptor *format = av_pix_fmt_desc_get(par->format);
    char *text = NULL;
    size_t length = 0;
    end_entry(p, p->duration, "");
    if (fflush(p->entries))
        return out_of_memory(e);
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return out_of_memory(e);
    fprintf(out,
        "{\n  \"width\": %d,\n  \"height\": %d,\n  \"alpha\": %s,\n  \"sound\": %s,\n"
        "  \"pictures\": [%s\n  ]\n}\n",
        par->width, par->height, format->flags & AV_PIX_FMT_FLAG_ALPHA ? "\"straight\"" : "null",
        has_sound ? "\"sound.m4a\"" : "null", p->list);
    int result =
        fclose(out) ? out_of_memory(e) : archive_add(p->archive, "manifest.json", text, length, e);
    free(text);
    return result;
}

int pictures_finish(
    struct pictures *pictures, const void *sound, size_t size, int64_t *bytes, struct error *e)
{
    struct pictures *p = pictures;
    if (size && archive_add(p->archive, "sound.m4a", sound, size, e))
        return -1;
    if (add_manifest(p, size > 0, e))
        return -1;
    return archive_finish(p->archive, bytes, e);
}

void pictures_close(struct pictures *pictures)
{
    if (!pictures)
        return;
    archive_close(pictures->archive);
    avformat_free_context(pictures->owner);
    if (pictures->entries)
        fclose(pictures->entries);
    free(pictures->list);
    free(pictures);
}
