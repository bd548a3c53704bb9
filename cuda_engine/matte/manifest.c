#include "manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <yajl/yajl_tree.h>

enum { MANIFEST_BYTES = 64 << 10, SIDE = 1 << 14 };

/* A manifest while it is read. */
struct reader {
    struct manifest *manifest;
    const char *path;
    const char *folder;
    struct error *error;
    int is_part; /* of another, which is being read: it has no parts itself */
};

static struct manifest *open_manifest(struct reader *r);

/* A field of an object: read() gets its value, and at as what errors call it. */
struct field {
    const char *name;
    int required;
    int (*read)(struct reader *r, const char *at, yajl_val v, void *to);
    size_t offset; /* of what is read, in the object */
};

static int bad(struct reader *r, const char *at, const char *wanted)
{
    return error_set(r->error, "bad_manifest", "%s: %s must be %s.", r->path, at, wanted);
}

/* Reads the members of object v into the struct at to, each by its field. */
static int read_object(
    struct reader *r, const char *at, yajl_val v, const struct field *fields, int count, void *to)
{
    char path[200];
    if (!YAJL_IS_OBJECT(v))
        return bad(r, *at ? at : "the manifest", "an object");
    for (size_t i = 0; i < v->u.object.len; i++) {
        int known = 0;
        for (int f = 0; f < count; f++)
            known |= !strcmp(fields[f].name, v->u.object.keys[i]);
        if (!known)
            return error_set(r->error, "bad_manifest",
                "%s: %s%s%.64s is not a field of a manifest.", r->path, at, *at ? "." : "",
                v->u.object.keys[i]);
    }
    for (int f = 0; f < count; f++) {
        const char *const key[] = { fields[f].name, NULL };
        yajl_val member = yajl_tree_get(v, (const char **)key, yajl_t_any);
        snprintf(path, sizeof path, "%s%s%s", at, *at ? "." : "", fields[f].name);
        if (!member && fields[f].required)
            return error_set(r->error, "bad_manifest", "%s: %s is missing.", r->path, path);
        if (member && fields[f].read(r, path, member, (char *)to + fields[f].offset))
            return -1;
    }
    return 0;
}

/* Reads a string of 1 to size - 1 bytes. */
static int read_string(struct reader *r, const char *at, yajl_val v, char *to, size_t size)
{
    char wanted[60];
    const size_t length = YAJL_IS_STRING(v) ? strlen(v->u.string) : 0;
    snprintf(wanted, sizeof wanted, "a string of 1 to %zu bytes", size - 1);
    if (!length || length >= size)
        return bad(r, at, wanted);
    memcpy(to, v->u.string, length + 1);
    return 0;
}

static int read_name(struct reader *r, const char *at, yajl_val v, void *to)
{
    return read_string(r, at, v, to, MANIFEST_NAME);
}

static int read_source(struct reader *r, const char *at, yajl_val v, void *to)
{
    return read_string(r, at, v, to, sizeof((struct manifest *)0)->source);
}

/* Which of some words it is; -1: none. */
static int read_word(
    struct reader *r, const char *at, yajl_val v, const char *const *words, int count)
{
    char wanted[100];
    int length = 0;
    for (int i = 0; i < count; i++) {
        if (YAJL_IS_STRING(v) && !strcmp(v->u.string, words[i]))
            return i;
        length += snprintf(
            wanted + length, sizeof wanted - (size_t)length, "%s\"%s\"", i ? " or " : "", words[i]);
    }
    return bad(r, at, wanted);
}

static int read_fit(struct reader *r, const char *at, yajl_val v, void *to)
{
    static const char *const words[] = { [FIT_STRETCH] = "stretch", [FIT_PAD] = "pad" };
    const int word = read_word(r, at, v, words, 2);
    *(enum manifest_fit *)to = word;
    return word < 0 ? -1 : 0;
}

static int read_range(struct reader *r, const char *at, yajl_val v, void *to)
{
    static const char *const words[] = { [RANGE_FULL] = "full", [RANGE_PICTURE] = "picture" };
    const int word = read_word(r, at, v, words, 2);
    *(enum manifest_range *)to = word;
    return word < 0 ? -1 : 0;
}

static int read_channels(struct reader *r, const char *at, yajl_val v, void *to)
{
    static const char *const words[] = { [CHANNELS_RGB] = "rgb", [CHANNELS_BGR] = "bgr" };
    const int word = read_word(r, at, v, words, 2);
    *(enum manifest_channels *)to = word;
    return word < 0 ? -1 : 0;
}

static int read_side(struct reader *r, const char *at, yajl_val v, void *to)
{
    if (!YAJL_IS_INTEGER(v) || v->u.number.i < 1 || v->u.number.i > SIDE)
        return bad(r, at, "a number of pixels from 1 to 16384");
    *(int *)to = (int)v->u.number.i;
    return 0;
}

static int read_file_name(struct reader *r, const char *at, yajl_val v, void *to)
{
    if (read_string(r, at, v, to, sizeof((struct manifest_file *)0)->file))
        return -1;
    if (strchr(to, '/'))
        return bad(r, at, "the name of a file, without a folder");
    return 0;
}

static int read_sha256(struct reader *r, const char *at, yajl_val v, void *to)
{
    if (!YAJL_IS_STRING(v) || strlen(v->u.string) != 64 ||
        strspn(v->u.string, "0123456789abcdef") != 64)
        return bad(r, at, "64 lower-case hexadecimal digits");
    memcpy(to, v->u.string, 65);
    return 0;
}

static int read_rgb(struct reader *r, const char *at, yajl_val v, void *to)
{
    float *values = to;
    if (!YAJL_IS_ARRAY(v) || v->u.array.len != 3)
        return bad(r, at, "three numbers");
    for (int i = 0; i < 3; i++) {
        if (!YAJL_IS_DOUBLE(v->u.array.values[i]))
            return bad(r, at, "three numbers");
        values[i] = (float)v->u.array.values[i]->u.number.d;
    }
    return 0;
}

static int read_std(struct reader *r, const char *at, yajl_val v, void *to)
{
    const float *values = to;
    if (read_rgb(r, at, v, to))
        return -1;
    for (int i = 0; i < 3; i++)
        if (!(values[i] > 0))
            return bad(r, at, "three numbers above 0");
    return 0;
}

static int read_serves(struct reader *r, const char *at, yajl_val v, void *to)
{
    struct manifest *m = r->manifest;
    char(*names)[MANIFEST_NAME] = to;
    if (!YAJL_IS_ARRAY(v) || v->u.array.len > MANIFEST_SERVES)
        return bad(r, at, "a list of at most 8 models");
    for (size_t i = 0; i < v->u.array.len; i++)
        if (read_name(r, at, v->u.array.values[i], names[m->serve_count++]))
            return -1;
    return 0;
}

static int read_refine(struct reader *r, const char *at, yajl_val v, void *to)
{
    unsigned *steps = to;
    *steps = 0;
    for (size_t i = 0; YAJL_IS_ARRAY(v) && i < v->u.array.len; i++) {
        const char *name = YAJL_GET_STRING(v->u.array.values[i]);
        unsigned step = name ? refinement(name) : 0;
        if (!step)
            return bad(r, at, "a list of calm, edges, colors and guide");
        *steps |= step;
    }
    return YAJL_IS_ARRAY(v) ? 0 : bad(r, at, "a list of calm, edges, colors and guide");
}

static int read_state(struct reader *r, const char *at, yajl_val v, char names[2][MANIFEST_NAME])
{
    if (!YAJL_IS_ARRAY(v) || v->u.array.len != 2)
        return bad(r, at, "a list of an input's and an output's name");
    return read_name(r, at, v->u.array.values[0], names[0]) ||
           read_name(r, at, v->u.array.values[1], names[1]);
}

static int read_states(struct reader *r, const char *at, yajl_val v, void *to)
{
    struct manifest *m = r->manifest;
    char(*states)[2][MANIFEST_NAME] = to, path[100];
    if (!YAJL_IS_ARRAY(v) || v->u.array.len > MANIFEST_STATES)
        return bad(r, at, "a list of at most 8 pairs");
    for (size_t i = 0; i < v->u.array.len; i++) {
        snprintf(path, sizeof path, "%s[%zu]", at, i);
        if (read_state(r, path, v->u.array.values[i], states[m->state_count++]))
            return -1;
    }
    return 0;
}

#define MEMBER(type, name, required, read)          \
    {                                               \
#name, required, read, offsetof(type, name) \
    }

/* The outputs of a detector's three strides. */
static int read_strides(struct reader *r, const char *at, yajl_val v, void *to)
{
    char(*names)[MANIFEST_NAME] = to;
    if (!YAJL_IS_ARRAY(v) || v->u.array.len != 3)
        return bad(r, at, "a list of three outputs");
    for (int i = 0; i < 3; i++)
        if (read_name(r, at, v->u.array.values[i], names[i]))
            return -1;
    return 0;
}

static int read_outputs(struct reader *r, const char *at, yajl_val v, void *to)
{
    static const struct field fields[] = {
        MEMBER(struct manifest_outputs, alpha, 0, read_name),
        MEMBER(struct manifest_outputs, foreground, 0, read_name),
        MEMBER(struct manifest_outputs, scores, 0, read_strides),
        MEMBER(struct manifest_outputs, boxes, 0, read_strides),
        MEMBER(struct manifest_outputs, embedding, 0, read_name),
        MEMBER(struct manifest_outputs, masks, 0, read_name),
    };
    return read_object(r, at, v, fields, sizeof fields / sizeof *fields, to);
}

static int read_files(struct reader *r, const char *at, yajl_val v, void *to)
{
    static const struct field fields[] = {
        MEMBER(struct manifest_file, file, 1, read_file_name),
        MEMBER(struct manifest_file, sha256, 1, read_sha256),
        MEMBER(struct manifest_file, width, 1, read_side),
        MEMBER(struct manifest_file, height, 1, read_side),
    };
    struct manifest *m = r->manifest;
    struct manifest_file *files = to;
    char path[100];
    if (!YAJL_IS_ARRAY(v) || v->u.array.len < 1 || v->u.array.len > MANIFEST_FILES)
        return bad(r, at, "a list of 1 to 16 files");
    for (size_t i = 0; i < v->u.array.len; i++) {
        struct manifest_file *f = &files[m->file_count++];
        f->fd = -1;
        snprintf(path, sizeof path, "%s[%zu]", at, i);
        if (read_object(r, path, v->u.array.values[i], fields, 4, f))
            return -1;
    }
    return 0;
}

/* A manifest of one network, from beside the one that is read. */
static int read_part(struct reader *r, const char *at, yajl_val v, void *to)
{
    char name[MANIFEST_NAME], path[PATH_MAX];
    const char *slash = strrchr(r->path, '/');
    if (read_string(r, at, v, name, sizeof name))
        return -1;
    if (strchr(name, '/'))
        return bad(r, at, "the name of a manifest, without a folder");
    snprintf(
        path, sizeof path, "%.*s%s.json", slash ? (int)(slash - r->path + 1) : 0, r->path, name);
    struct reader part = { .path = path, .folder = r->folder, .error = r->error, .is_part = 1 };
    *(struct manifest **)to = open_manifest(&part);
    return *(struct manifest **)to ? 0 : -1;
}

static int read_parts(struct reader *r, const char *at, yajl_val v, void *to)
{
    static const struct field fields[] = {
        MEMBER(struct manifest_parts, detector, 1, read_part),
        MEMBER(struct manifest_parts, encoder, 1, read_part),
        MEMBER(struct manifest_parts, decoder, 1, read_part),
    };
    struct manifest_parts *parts = to;
    if (read_object(r, at, v, fields, sizeof fields / sizeof *fields, parts))
        return -1;
    const struct manifest_outputs *seen = &parts->detector->outputs;
    for (int i = 0; i < 3; i++)
        if (!*seen->scores[i] || !*seen->boxes[i])
            return bad(r, "parts.detector", "a network with scores and boxes");
    if (!*parts->encoder->outputs.embedding || parts->encoder->fit != FIT_PAD ||
        parts->encoder->channels != CHANNELS_RGB || parts->encoder->range != RANGE_FULL)
        return bad(r, "parts.encoder", "a network with an embedding of a padded picture");
    if (!*parts->decoder->outputs.masks)
        return bad(r, "parts.decoder", "a network with masks");
    memcpy(r->manifest->mean, parts->encoder->mean, sizeof r->manifest->mean);
    memcpy(r->manifest->std, parts->encoder->std, sizeof r->manifest->std);
    return 0;
}

static int read_length(struct reader *r, const char *at, yajl_val v, void *to)
{
    if (!YAJL_IS_INTEGER(v) || v->u.number.i < 2 || v->u.number.i > MANIFEST_TOKENS)
        return bad(r, at, "a number of tokens from 2 to 1024");
    *(int *)to = (int)v->u.number.i;
    return 0;
}

/* A file that is no network of its own size. */
static int read_file(struct reader *r, const char *at, yajl_val v, void *to)
{
    static const struct field fields[] = {
        MEMBER(struct manifest_file, file, 1, read_file_name),
        MEMBER(struct manifest_file, sha256, 1, read_sha256),
    };
    ((struct manifest_file *)to)->fd = -1;
    return read_object(r, at, v, fields, sizeof fields / sizeof *fields, to);
}

static int read_words(struct reader *r, const char *at, yajl_val v, void *to)
{
    static const struct field fields[] = {
        MEMBER(struct manifest_text, encoder, 0, read_file),
        MEMBER(struct manifest_text, vocabulary, 1, read_file),
        MEMBER(struct manifest_text, merges, 1, read_file),
        MEMBER(struct manifest_text, length, 1, read_length),
        MEMBER(struct manifest_text, tokens, 1, read_name),
        MEMBER(struct manifest_text, attention, 0, read_name),
        MEMBER(struct manifest_text, embedding, 0, read_name),
        MEMBER(struct manifest_text, condition, 0, read_name),
    };
    const struct manifest_text *text = to;
    if (read_object(r, at, v, fields, sizeof fields / sizeof *fields, to))
        return -1;
    if (!*text->encoder.file != !*text->embedding || !*text->encoder.file != !*text->condition)
        return bad(r, at, "with encoder, embedding and condition, or with none of them");
    return 0;
}

static const char *const kinds[KINDS] = {
    [KIND_MATTE] = "matte", [KIND_PROMPTED] = "prompted", [KIND_DESCRIBED] = "described"
};

static int read_kind(struct reader *r, const char *at, yajl_val v, void *to)
{
    const int word = read_word(r, at, v, kinds, KINDS);
    *(enum manifest_kind *)to = word;
    return word < 0 ? -1 : 0;
}

static const struct field prompted_fields[] = {
    MEMBER(struct manifest, kind, 1, read_kind),
    MEMBER(struct manifest, name, 1, read_name),
    MEMBER(struct manifest, licence, 1, read_name),
    MEMBER(struct manifest, source, 1, read_source),
    MEMBER(struct manifest, serves, 1, read_serves),
    MEMBER(struct manifest, parts, 1, read_parts),
    MEMBER(struct manifest, refine, 0, read_refine),
};

static const struct field manifest_fields[] = {
    MEMBER(struct manifest, kind, 0, read_kind),
    MEMBER(struct manifest, name, 1, read_name),
    MEMBER(struct manifest, licence, 1, read_name),
    MEMBER(struct manifest, source, 1, read_source),
    MEMBER(struct manifest, serves, 1, read_serves),
    MEMBER(struct manifest, files, 1, read_files),
    MEMBER(struct manifest, input, 1, read_name),
    MEMBER(struct manifest, fit, 0, read_fit),
    MEMBER(struct manifest, range, 0, read_range),
    MEMBER(struct manifest, channels, 0, read_channels),
    MEMBER(struct manifest, mean, 1, read_rgb),
    MEMBER(struct manifest, std, 1, read_std),
    MEMBER(struct manifest, outputs, 1, read_outputs),
    MEMBER(struct manifest, states, 0, read_states),
    MEMBER(struct manifest, refine, 0, read_refine),
};

static const struct field described_fields[] = {
    MEMBER(struct manifest, kind, 1, read_kind),
    MEMBER(struct manifest, name, 1, read_name),
    MEMBER(struct manifest, licence, 1, read_name),
    MEMBER(struct manifest, source, 1, read_source),
    MEMBER(struct manifest, serves, 1, read_serves),
    MEMBER(struct manifest, files, 1, read_files),
    MEMBER(struct manifest, input, 1, read_name),
    MEMBER(struct manifest, mean, 1, read_rgb),
    MEMBER(struct manifest, std, 1, read_std),
    MEMBER(struct manifest, outputs, 1, read_outputs),
    MEMBER(struct manifest, text, 1, read_words),
    MEMBER(struct manifest, refine, 0, read_refine),
};

static const struct {
    const struct field *fields;
    int count;
} fields_of[KINDS] = {
    [KIND_MATTE] = { manifest_fields, sizeof manifest_fields / sizeof *manifest_fields },
    [KIND_PROMPTED] = { prompted_fields, sizeof prompted_fields / sizeof *prompted_fields },
    [KIND_DESCRIBED] = { described_fields, sizeof described_fields / sizeof *described_fields },
};

static int read_text(struct reader *r, char *text, size_t size)
{
    FILE *in = fopen(r->path, "re");
    if (!in)
        return error_set(
            r->error, "bad_manifest", "%s cannot be opened: %s.", r->path, strerror(errno));
    size_t length = fread(text, 1, size, in);
    int failed = ferror(in);
    fclose(in);
    if (failed || length == size)
        return error_set(r->error, "bad_manifest", "%s cannot be read or has more than %d bytes.",
            r->path, MANIFEST_BYTES);
    text[length] = 0;
    return 0;
}

static void reverse(float values[3])
{
    const float first = values[0];
    values[0] = values[2];
    values[2] = first;
}

/* The fields of the kind that it says to be. */
static int read_manifest(struct reader *r, yajl_val v)
{
    static const char *const key[] = { "kind", NULL };
    const yajl_val kind = yajl_tree_get(v, (const char **)key, yajl_t_any);
    if (kind && read_kind(r, "kind", kind, &r->manifest->kind))
        return -1;
    if (r->is_part && r->manifest->kind != KIND_MATTE)
        return bad(r, "kind", "that of a network in what is a part of another");
    return read_object(r, "", v, fields_of[r->manifest->kind].fields,
        fields_of[r->manifest->kind].count, r->manifest);
}

static int parse(struct reader *r)
{
    char text[MANIFEST_BYTES + 1], reason[200];
    if (read_text(r, text, sizeof text))
        return -1;
    yajl_val tree = yajl_tree_parse(text, reason, sizeof reason);
    if (!tree) {
        reason[strcspn(reason, "\n")] = 0;
        return error_set(r->error, "bad_manifest", "%s is not JSON: %s.", r->path, reason);
    }
    int result = read_manifest(r, tree);
    yajl_tree_free(tree);
    if (r->manifest->channels == CHANNELS_BGR) {
        reverse(r->manifest->mean);
        reverse(r->manifest->std);
    }
    if (!result && r->manifest->kind == KIND_MATTE && r->manifest->serve_count &&
        !*r->manifest->outputs.alpha)
        return error_set(r->error, "bad_manifest",
            "%s: outputs.alpha is missing, and what serves a model must have it.", r->path);
    if (!result && r->manifest->kind == KIND_DESCRIBED && !*r->manifest->outputs.masks)
        return error_set(r->error, "bad_manifest",
            "%s: outputs.masks is missing, and what takes words must have it.", r->path);
    return result;
}

/* The i-th of all files that a manifest names; NULL after the last. */
static struct manifest_file *file_of(struct manifest *m, int i)
{
    struct manifest_file *const words[] = { &m->text.vocabulary, &m->text.merges,
        &m->text.encoder };
    const int more = i - m->file_count;
    if (more < 0)
        return &m->files[i];
    return more < 3 && *words[more]->file ? words[more] : NULL;
}

/* A file that is not there is one that is not installed. */
static int open_files(struct reader *r)
{
    int folder = open(r->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = 0;
    struct manifest_file *f;
    if (folder < 0)
        return error_set(r->error, "bad_manifest", "The folder %s cannot be opened: %s.", r->folder,
            strerror(errno));
    for (int i = 0; !result && (f = file_of(r->manifest, i)); i++) {
        f->fd = openat(folder, f->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (f->fd < 0 && errno != ENOENT)
            result = error_set(r->error, "bad_manifest", "%s/%s cannot be opened: %s.", r->folder,
                f->file, strerror(errno));
    }
    close(folder);
    return result;
}

static struct manifest *open_manifest(struct reader *r)
{
    r->manifest = calloc(1, sizeof *r->manifest);
    if (!r->manifest) {
        error_retry(r->error, "out_of_memory", "There is no memory for the manifest %s.", r->path);
        return NULL;
    }
    r->manifest->refine = REFINE_ALL;
    if (parse(r) || open_files(r)) {
        manifest_close(r->manifest);
        return NULL;
    }
    return r->manifest;
}

struct manifest *manifest_open(const char *path, const char *folder, struct error *e)
{
    struct reader r = { .path = path, .folder = folder, .error = e };
    return open_manifest(&r);
}

void manifest_close(struct manifest *m)
{
    if (!m)
        return;
    struct manifest_file *f;
    for (int i = 0; (f = file_of(m, i)); i++)
        if (f->fd >= 0)
            close(f->fd);
    manifest_close(m->parts.detector);
    manifest_close(m->parts.encoder);
    manifest_close(m->parts.decoder);
    free(m);
}

int manifest_descriptors(const struct manifest *m, int *to, int most)
{
    const struct manifest *const parts[] = { m->parts.detector, m->parts.encoder,
        m->parts.decoder };
    int count = 0;
    const struct manifest_file *f;
    for (int i = 0; count < most && (f = file_of((struct manifest *)m, i)); i++)
        if (f->fd >= 0)
            to[count++] = f->fd;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i])
            count += manifest_descriptors(parts[i], to + count, most - count);
    return count;
}

int manifest_serves(const struct manifest *m, const char *name)
{
    for (int i = 0; i < m->serve_count; i++)
        if (!strcmp(m->serves[i], name))
            return 1;
    return 0;
}

int manifest_verify(const struct manifest_file *f, struct error *e)
{
    unsigned char block[1 << 16], digest[EVP_MAX_MD_SIZE];
    char hex[65] = "";
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    int ok = sha && EVP_DigestInit_ex(sha, EVP_sha256(), NULL);
    ssize_t n = 0;
    for (off_t at = 0; ok && (n = pread(f->fd, block, sizeof block, at)) > 0; at += n)
        ok = EVP_DigestUpdate(sha, block, n);
    ok = ok && !n && EVP_DigestFinal_ex(sha, digest, NULL);
    EVP_MD_CTX_free(sha);
    if (!ok)
        return error_set(e, "bad_model", "%s cannot be read.", f->file);
    for (int i = 0; i < 32; i++)
        snprintf(&hex[2 * i], 3, "%02x", digest[i]);
    if (strcmp(hex, f->sha256))
        return error_set(e, "bad_model",
            "%s is not the file that its manifest names: its SHA-256 is %s.", f->file, hex);
    return 0;
}
