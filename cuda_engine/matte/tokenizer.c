#include "tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <yajl/yajl_tree.h>

/* CLIP has 49,408 tokens and 48,894 merges, in files of 0.9 and 0.5 MB. */
enum { FILE_BYTES = 16 << 20, TOKENS = 1 << 20, WORD_BYTES = 1 << 10, CHARACTER = 3 };

#define START    "<|startoftext|>"
#define END      "<|endoftext|>"
#define WORD_END "</w>"

struct token {
    const char *text;
    int id;
};

/* Two tokens that become one, by the numbers of the vocabulary. */
struct merge {
    int first, second, merged;
    int rank; /* lower ones are done first */
};

struct tokenizer {
    yajl_val vocabulary;  /* it holds the tokens' texts */
    struct token *tokens; /* sorted by text */
    int token_count;
    struct merge *merges; /* sorted by their pairs */
    int merge_count;
    int start, end;
    char bytes
        [256]
        [CHARACTER]; /* each as a character that can be seen, which is what vocabularies have */
};

/* ---- files ---- */

static char *read_file(const struct manifest_file *f, struct error *e)
{
    struct stat st;
    char *text = NULL;
    if (f->fd < 0) {
        error_set(e, "model_not_installed", "%s is not installed.", f->file);
        return NULL;
    }
    if (manifest_verify(f, e))
        return NULL;
    if (fstat(f->fd, &st) || st.st_size > FILE_BYTES || !(text = malloc((size_t)st.st_size + 1)) ||
        pread(f->fd, text, (size_t)st.st_size, 0) != st.st_size) {
        free(text);
        error_set(
            e, "bad_model", "%s cannot be read or has more than %d bytes.", f->file, FILE_BYTES);
        return NULL;
    }
    text[st.st_size] = 0;
    return text;
}

static int compare_tokens(const void *a, const void *b)
{
    return strcmp(((const struct token *)a)->text, ((const struct token *)b)->text);
}

/* A token's number; -1: it is none. */
static int find_token(const struct tokenizer *t, const char *text)
{
    const struct token wanted = { .text = text };
    const struct token *found =
        bsearch(&wanted, t->tokens, (size_t)t->token_count, sizeof *t->tokens, compare_tokens);
    return found ? found->id : -1;
}

static int read_vocabulary(struct tokenizer *t, const struct manifest_file *f, struct error *e)
{
    char reason[200];
    char *text = read_file(f, e);
    if (!text)
        return -1;
    t->vocabulary = yajl_tree_parse(text, reason, sizeof reason);
    free(text);
    if (!YAJL_IS_OBJECT(t->vocabulary) || t->vocabulary->u.object.len > TOKENS)
        return error_set(e, "bad_model", "%s is no JSON object of tokens.", f->file);
    const size_t count = t->vocabulary->u.object.len;
    t->tokens = calloc(count + 1, sizeof *t->tokens);
    if (!t->tokens)
        return error_retry(e, "out_of_memory", "There is no memory for a vocabulary.");
    for (size_t i = 0; i < count; i++) {
        const yajl_val number = t->vocabulary->u.object.values[i];
        if (!YAJL_IS_INTEGER(number) || number->u.number.i < 0 || number->u.number.i >= TOKENS)
            return error_set(e, "bad_model", "%s: %.64s has no number of a token.", f->file,
                t->vocabulary->u.object.keys[i]);
        t->tokens[i] = (struct token) { t->vocabulary->u.object.keys[i], (int)number->u.number.i };
    }
    t->token_count = (int)count;
    qsort(t->tokens, count, sizeof *t->tokens, compare_tokens);
    t->start = find_token(t, START);
    t->end = find_token(t, END);
    return t->start < 0 || t->end < 0
               ? error_set(e, "bad_model", "%s has no " START " or no " END ".", f->file)
               : 0;
}

static int compare_merges(const void *a, const void *b)
{
    const struct merge *x = a, *y = b;
    return x->first != y->first ? (x->first > y->first) - (x->first < y->first)
                                : (x->second > y->second) - (x->second < y->second);
}

static const struct merge *find_merge(const struct tokenizer *t, int first, int second)
{
    const struct merge wanted = { .first = first, .second = second };
    return bsearch(&wanted, t->merges, (size_t)t->merge_count, sizeof *t->merges, compare_merges);
}

/* A line "first second". */
static int read_merge(struct tokenizer *t, char *line)
{
    char merged[2 * WORD_BYTES];
    char *second = strchr(line, ' ');
    if (!second)
        return -1;
    *second++ = 0;
    snprintf(merged, sizeof merged, "%s%s", line, second);
    struct merge *m = &t->merges[t->merge_count];
    *m = (struct merge) { find_token(t, line), find_token(t, second), find_token(t, merged),
        t->merge_count };
    t->merge_count++;
    return m->first < 0 || m->second < 0 || m->merged < 0 ? -1 : 0;
}

static int read_merges(struct tokenizer *t, const struct manifest_file *f, struct error *e)
{
    char *text = read_file(f, e), *next = text;
    int lines = 1, line = 0, result = text ? 0 : -1;
    for (const char *c = text; c && *c; c++)
        lines += *c == '\n';
    if (text && !(t->merges = calloc((size_t)lines, sizeof *t->merges)))
        result = error_retry(e, "out_of_memory", "There is no memory for a vocabulary.");
    for (char *at; !result && (at = strsep(&next, "\n"));) {
        at[strcspn(at, "\r")] = 0;
        line++;
        if (*at && !(line == 1 && !strncmp(at, "#version", 8)) && read_merge(t, at))
            result = error_set(e, "bad_model",
                "%s: line %d does not make a token of two that the vocabulary has.", f->file, line);
    }
    free(text);
    if (!result)
        qsort(t->merges, (size_t)t->merge_count, sizeof *t->merges, compare_merges);
    return result;
}

/* GPT-2's bytes_to_unicode(): those that can be seen are themselves, the others U+0100 and on, in their order. */
static void name_bytes(struct tokenizer *t)
{
    int others = 0;
    for (int b = 0; b < 256; b++) {
        const int seen = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        const int code = seen ? b : 256 + others++;
        char *c = t->bytes[b];
        if (code < 0x80)
            c[0] = (char)code;
        else {
            c[0] = (char)(0xc0 | code >> 6);
            c[1] = (char)(0x80 | (code & 0x3f));
        }
    }
}

struct tokenizer *tokenizer_open(
    const struct manifest_file *vocabulary, const struct manifest_file *merges, struct error *e)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    if (!t) {
        error_retry(e, "out_of_memory", "There is no memory for a vocabulary.");
        return NULL;
    }
    name_bytes(t);
    if (read_vocabulary(t, vocabulary, e) || read_merges(t, merges, e)) {
        tokenizer_close(t);
        return NULL;
    }
    return t;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    yajl_tree_free(t->vocabulary);
    free(t->tokens);
    free(t->merges);
    free(t);
}

/* ---- words ---- */

enum kind { SPACE, LETTER, DIGIT, SIGN };

/* A character of UTF-8 and how many bytes it has. */
static int decode(const char *s, int *bytes)
{
    static const unsigned char masks[] = { 0x7f, 0x1f, 0x0f, 0x07 };
    const unsigned char lead = (unsigned char)s[0];
    const int more = lead < 0xc0 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    int code = lead & masks[more];
    *bytes = 1;
    for (; *bytes <= more && (s[*bytes] & 0xc0) == 0x80; ++*bytes)
        code = code << 6 | (s[*bytes] & 0x3f);
    return code;
}

static enum kind kind_of(int code)
{
    static const struct {
        int first, last;
        enum kind kind;
    } ranges[] = {
        { 0x09, 0x0d, SPACE },
        { ' ', ' ', SPACE },
        { '0', '9', DIGIT },
        { 'A', 'Z', LETTER },
        { 'a', 'z', LETTER },
        { 0, 0x7f, SIGN },
        { 0xa0, 0xa0, SPACE },
        { 0xaa, 0xaa, LETTER },
        { 0xb2, 0xb3, DIGIT },
        { 0xb5, 0xb5, LETTER },
        { 0xb9, 0xb9, DIGIT },
        { 0xba, 0xba, LETTER },
        { 0xbc, 0xbe, DIGIT },
        { 0x80, 0xbf, SIGN },
        { 0xd7, 0xd7, SIGN },
        { 0xf7, 0xf7, SIGN },
        { 0x2000, 0x200a, SPACE },
        { 0x2010, 0x206f, SIGN },
        { 0x20a0, 0x20cf, SIGN },
        { 0x2190, 0x2bff, SIGN },
        { 0x3000, 0x3000, SPACE },
        { 0x3001, 0x3003, SIGN },
        { 0x3008, 0x3020, SIGN },
        { 0xff01, 0xff0f, SIGN },
        { 0x1f000, 0x1faff, SIGN },
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return ranges[i].kind;
    return LETTER;
}

/* Letters whose lower case is as many bytes long. */
static int lower_case(int code)
{
    static const struct {
        int first, last, to;
    } ranges[] = { { 'A', 'Z', 'a' }, { 0xc0, 0xd6, 0xe0 }, { 0xd8, 0xde, 0xf8 },
        { 0x391, 0x3a9, 0x3b1 }, { 0x400, 0x40f, 0x450 }, { 0x410, 0x42f, 0x430 } };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return code - ranges[i].first + ranges[i].to;
    return code;
}

/* How long the word at s is: an English ending after its apostrophe, letters, one digit, or signs. */
static int word_length(const char *s)
{
    static const char *const endings[] = { "'s", "'t", "'re", "'ve", "'m", "'ll", "'d" };
    int length, bytes;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (!strncasecmp(s, endings[i], strlen(endings[i])))
            return (int)strlen(endings[i]);
    const enum kind kind = kind_of(decode(s, &length));
    if (kind == LETTER || kind == SIGN)
        while (
            s[length] && kind_of(decode(s + length, &bytes)) == kind && length + bytes < WORD_BYTES)
            length += bytes;
    return length;
}

static void lower_word(const char *s, int length, char *word)
{
    for (int at = 0, bytes; at < length; at += bytes) {
        const int code = decode(s + at, &bytes), lower = lower_case(code);
        memcpy(word + at, s + at, (size_t)bytes);
        if (bytes == 1)
            word[at] = (char)lower;
        else if (bytes == 2) {
            word[at] = (char)(0xc0 | lower >> 6);
            word[at + 1] = (char)(0x80 | (lower & 0x3f));
        }
    }
}

/* The pair that is merged before all others; NULL: no two of them are. */
static const struct merge *next_merge(const struct tokenizer *t, const int *symbols, int count)
{
    const struct merge *next = NULL;
    for (int i = 0; i + 1 < count; i++) {
        const struct merge *m = find_merge(t, symbols[i], symbols[i + 1]);
        if (m && (!next || m->rank < next->rank))
            next = m;
    }
    return next;
}

/* The tokens of a word, at most as many as it has bytes. How many. */
static int encode_word(const struct tokenizer *t, const char *word, int length, int *symbols)
{
    char last[CHARACTER + sizeof WORD_END];
    const struct merge *m;
    int count = length;
    for (int i = 0; i < length; i++)
        symbols[i] = find_token(t, t->bytes[(unsigned char)word[i]]);
    snprintf(last, sizeof last, "%s" WORD_END, t->bytes[(unsigned char)word[length - 1]]);
    symbols[length - 1] = find_token(t, last);
    while ((m = next_merge(t, symbols, count))) {
        int kept = 0;
        for (int i = 0; i < count; i++) {
            const int merges =
                i + 1 < count && symbols[i] == m->first && symbols[i + 1] == m->second;
            symbols[kept++] = merges ? m->merged : symbols[i];
            i += merges;
        }
        count = kept;
    }
    return count;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, int *tokens, int length)
{
    char word[WORD_BYTES];
    int symbols[WORD_BYTES], count = 0, bytes;
    tokens[count++] = t->start;
    for (; *text; text += bytes) {
        if (kind_of(decode(text, &bytes)) == SPACE)
            continue;
        bytes = word_length(text);
        lower_word(text, bytes, word);
        const int made = encode_word(t, word, bytes, symbols);
        for (int i = 0; i < made && count < length - 1; i++)
            tokens[count++] = symbols[i] < 0 ? t->end : symbols[i];
    }
    for (int i = count; i < length; i++)
        tokens[i] = t->end;
    return count + 1;
}
