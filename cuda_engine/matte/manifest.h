/*
 * A network's manifest, conf/models/NAME.json: which API models it serves, its licence, its ONNX files (one a size),
 * how pixels become its input and how its tensors are called. Opening one also opens its files, so that a process which
 * has given up its rights (another user, a sandbox) can still plan them.
 */
#ifndef MATTE_MANIFEST_H
#define MATTE_MANIFEST_H

#include "../device/device.h"

enum {
    MANIFEST_SERVES = 8,
    MANIFEST_FILES = 16,
    MANIFEST_STATES = 8,
    MANIFEST_NAME = 64,
    MANIFEST_TOKENS = 1024
};

/* How a picture becomes as large as the input: each side by itself, or both alike and then zeros right or below. */
enum manifest_fit { FIT_STRETCH, FIT_PAD };

/* What a picture's values are divided by, so that they are of 0..1: 255, or its own largest value (of all channels). */
enum manifest_range { RANGE_FULL, RANGE_PICTURE };

enum manifest_channels { CHANNELS_RGB, CHANNELS_BGR };

/*
 * A network that makes alpha of a picture, or is a part of something; what makes alpha of a prompt and a picture, by
 * networks that are its parts; or a network that is given any words and answers where they are.
 */
enum manifest_kind { KIND_MATTE, KIND_PROMPTED, KIND_DESCRIBED, KINDS };

struct manifest {
    enum manifest_kind kind;
    char name[MANIFEST_NAME];
    char licence[MANIFEST_NAME];
    char source[2 * MANIFEST_NAME]; /* where the weights come from, for people */
    /* API model names, the first being what it was made for; none: it is installed, but no job runs it */
    char serves[MANIFEST_SERVES][MANIFEST_NAME];
    int serve_count;
    struct manifest_file {
        char file[128];
        char sha256[65];
        int width, height; /* of the network's input */
        int fd;            /* read only, close-on-exec; -1 where the file is not installed */
    } files[MANIFEST_FILES];
    int file_count;
    char input[MANIFEST_NAME];
    enum manifest_fit fit;
    enum manifest_range range;
    enum manifest_channels channels;
    float mean[3],
        std[3]; /* input = (value of 0..1 - mean) / std, of R, G, B; a file's are as channels says */
    /* Names; empty: the network has none. */
    struct manifest_outputs {
        char alpha[MANIFEST_NAME]; /* of a matting network; whoever serves a model has it */
        char foreground[MANIFEST_NAME];
        char scores[3][MANIFEST_NAME]; /* of a detector, at strides 8, 16 and 32 */
        char boxes[3][MANIFEST_NAME];
        char embedding[MANIFEST_NAME]; /* of an encoder of pictures */
        char masks[MANIFEST_NAME];     /* of its decoder; of what is described: logits */
    } outputs;
    unsigned
        refine; /* what betters its alpha, of enum refinement; all where the file says nothing */
    char states[MANIFEST_STATES][2][MANIFEST_NAME]; /* recurrent {input, output} pairs */
    int state_count;
    /* Of KIND_PROMPTED, which has no files of its own; mean and std are the encoder's. NULL: of another kind. */
    struct manifest_parts {
        struct manifest *detector, *encoder, *decoder;
    } parts;
    /* Of KIND_DESCRIBED: how words reach the network. Their encoder's file is "" where the network takes tokens itself. */
    struct manifest_text {
        struct manifest_file encoder, vocabulary, merges;
        int length;                    /* tokens of a phrase */
        char tokens[MANIFEST_NAME];    /* inputs of the encoder, or else of the network; ... */
        char attention[MANIFEST_NAME]; /* ... 1 for tokens, 0 for what fills up; it may have none */
        char embedding[MANIFEST_NAME]; /* the encoder's output, and ... */
        char condition[MANIFEST_NAME]; /* ... the network's input that it becomes */
    } text;
};

/*
 * Reads path and opens its files in folder; parts are manifests beside it. NULL and *e naming the file and the field. The
 * caller closes.
 */
struct manifest *manifest_open(const char *path, const char *folder, struct error *e);
void manifest_close(struct manifest *m);

/* 1 if m serves the API model called name. */
int manifest_serves(const struct manifest *m, const char *name);

/* The descriptors that m needs, its parts' too, at most `most` of them; how many. */
int manifest_descriptors(const struct manifest *m, int *to, int most);

/*
 * Compares an installed file's SHA-256 with the manifest's: another network under its name would give a wrong matte
 * without a word. 0; -1 and *e with bad_model.
 */
int manifest_verify(const struct manifest_file *f, struct error *e);

#endif
