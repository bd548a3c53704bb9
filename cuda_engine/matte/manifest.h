/*
 * A model's manifest, conf/models/NAME.json: which API models it serves, its licence, its ONNX files (one a size) and
 * how their tensors are called. Opening one also opens its files, so that a process which has given up its rights
 * (another user, a sandbox) can still plan them.
 */
#ifndef MATTE_MANIFEST_H
#define MATTE_MANIFEST_H

#include "../error.h"

enum { MANIFEST_SERVES = 8, MANIFEST_FILES = 16, MANIFEST_STATES = 8, MANIFEST_NAME = 64 };

struct manifest {
    char name[MANIFEST_NAME];
    char licence[MANIFEST_NAME];
    char serves[MANIFEST_SERVES]
               [MANIFEST_NAME]; /* API model names; the first is what it was made for */
    int serve_count;
    struct manifest_file {
        char file[128];
        char sha256[65];
        int width, height; /* of the network's input */
        int fd;            /* read only, close-on-exec; -1 where the file is not installed */
    } files[MANIFEST_FILES];
    int file_count;
    char input[MANIFEST_NAME];
    float mean[3], std[3];                          /* input = (rgb/255 - mean) / std */
    char alpha[MANIFEST_NAME];                      /* output names */
    char foreground[MANIFEST_NAME];                 /* empty: the network predicts none */
    char states[MANIFEST_STATES][2][MANIFEST_NAME]; /* recurrent {input, output} pairs */
    int state_count;
};

/* Reads path and opens its files in folder. NULL and *e naming the file and the field. The caller frees. */
struct manifest *manifest_open(const char *path, const char *folder, struct error *e);
void manifest_close(struct manifest *m);

/* 1 if m serves the API model called name. */
int manifest_serves(const struct manifest *m, const char *name);

#endif
