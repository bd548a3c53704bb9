/*
 * What a network really takes: opens it, runs it, and prints what nn_bytes() said beforehand (planned=) and by how much
 * this process grew at most (peak=), in bytes.
 *
 *   memory MODEL.onnx [STATE_IN=STATE_OUT | INPUT:SIZE[=|~VALUES] ...]
 *
 * The arguments are those of `ort`; values that are put in before a run are left zeros.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/nn.h"

enum { ARGUMENTS = 16, VALUES = 16, FRAMES = 2 };

static void give_up(const char *what)
{
    fprintf(stderr, "memory: %s\n", what);
    exit(1);
}

/* A line of /proc/self/status, in bytes. */
static long status(const char *field)
{
    char line[200];
    long kib = -1;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, field, strlen(field)) && line[strlen(field)] == ':')
            kib = strtol(line + strlen(field) + 1, NULL, 10);
    if (f)
        fclose(f);
    if (kib < 0)
        give_up(field);
    return kib * 1024;
}

int main(int argc, char **argv)
{
    const char *states[ARGUMENTS][2];
    struct nn_fixed fixed[ARGUMENTS] = { { 0 } };
    struct nn_params params = {
        .threads = 2, .states = (const char *const(*)[2])states, .fixed = fixed
    };
    float values[VALUES]; /* of one input */
    int count = 0;
    struct error e;
    nn_start(argv);
    if (argc < 2 || argc > ARGUMENTS)
        give_up("memory MODEL.onnx [STATE_IN=STATE_OUT | INPUT:SIZE ...]");
    for (int a = 2; a < argc; a++) {
        char *size = strchr(argv[a], ':');
        if (!size) {
            states[params.state_count][0] = strtok(argv[a], "=");
            states[params.state_count++][1] = strtok(NULL, "");
            continue;
        }
        struct nn_fixed *f = &fixed[params.fixed_count++];
        *size++ = 0;
        f->name = argv[a];
        char *given = size + strcspn(size, "=~");
        const int known = *given == '=';
        if (*given)
            *given++ = 0;
        for (char *d = strtok(size, "x"); d && f->rank < NN_RANK; d = strtok(NULL, "x"))
            f->dims[f->rank++] = atoi(d);
        for (char *v = known ? strtok(given, ",") : NULL; v && count < VALUES;
             v = strtok(NULL, ","))
            values[count++] = strtof(v, NULL);
        f->values = known ? values : NULL;
    }
    const int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    const long before = status("RssAnon");
    struct nn_net *net = nn_open(fd, argv[1], &params, &e);
    if (!net)
        give_up(e.text);
    const long held = status("RssAnon");
    for (int i = 0; i < FRAMES; i++)
        if (nn_run(net, &e))
            give_up(e.text);
    /* pages of files (programs, libraries) may be dropped and read again: they are no network's */
    printf("planned=%zu\nopened=%ld\npeak=%ld\n", nn_bytes(net), held - before,
        status("VmHWM") - status("RssFile") - before);
    nn_close(net);
    return 0;
}
