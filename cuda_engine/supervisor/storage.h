/*
 * The files of the state folder. Outputs are written aside under tmp/, locked by who writes them, and appear under
 * outputs/ whole or not at all, under a name that holds the number of the lease.
 */
#ifndef MATTE_STORAGE_H
#define MATTE_STORAGE_H

#include "../error.h"
#include "database.h"

enum { STORAGE_KEY = 160 }; /* "<tenant>/<job>/<lease_no>.<extension>" */

/* Makes tmp/ and outputs/ where they are missing, and sweeps. */
int storage_open(const char *path, struct error *e);
void storage_close(void);

/* Removes from tmp/ what dead processes have left there. */
void storage_sweep(void);

/* What a child must keep open to call any of these; the first is the state folder. */
enum { STORAGE_FOLDERS = 3 };
void storage_folders(int fds[STORAGE_FOLDERS]);

/* Removes a file of outputs/ or uploads/ and the folder of its job, if that is empty then. 0: there is no such file
 * any more. path is relative to the state folder and passes over no symbolic link; -1 and errno. */
int storage_remove(const char *path);

/* A descriptor of an empty file without a name (read, write), for a video to be fetched into; -1. */
int storage_input(const struct claim *c, struct error *e);

/* The client's upload (read); -1. */
int storage_upload(const struct claim *c, struct error *e);

/* New files tmp/<job>.<lease_no>.out and, where the claim has it, .alpha (read, write) into files; -1.
 * unsupported_format where no extension is known. */
int storage_output(const struct claim *c, struct job_files *files, struct error *e);

/* Moves those files to their places, durably, and writes the output's key; alpha's is "<lease_no>.alpha.mp4" beside it.
 * Never replaces a file. */
int storage_publish(const struct claim *c, char key[STORAGE_KEY], struct error *e);

/* Removes those files, if they are there. */
void storage_discard(const struct claim *c);

#endif
