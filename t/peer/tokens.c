/*
 * tokens VOCABULARY SHA256 MERGES SHA256 LENGTH: the tokens of each line of the standard input, as matte/tokenizer.h has
 * them, how many there are first; for ../models_tokens.t.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "matte/tokenizer.h"

static struct manifest_file file(const char *path, const char *sha256)
{
    struct manifest_file f = { .fd = open(path, O_RDONLY | O_CLOEXEC) };
    snprintf(f.file, sizeof f.file, "%s", strrchr(path, '/') + 1);
    snprintf(f.sha256, sizeof f.sha256, "%s", sha256);
    return f;
}

int main(int argc, char **argv)
{
    char line[4096];
    struct error e;
    if (argc != 6)
        return 2;
    const struct manifest_file vocabulary = file(argv[1], argv[2]), merges = file(argv[3], argv[4]);
    const int length = atoi(argv[5]);
    int *tokens = calloc((size_t)length, sizeof *tokens);
    struct tokenizer *t = tokens ? tokenizer_open(&vocabulary, &merges, &e) : NULL;
    if (!t) {
        fprintf(stderr, "%s: %s\n", e.code, e.text);
        return 1;
    }
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        printf("%d:", tokenizer_encode(t, line, tokens, length));
        for (int i = 0; i < length; i++)
            printf(" %d", tokens[i]);
        printf("\n");
    }
    tokenizer_close(t);
    free(tokens);
    return 0;
}
