/* What a process that has touched a client's bytes says, made fit for the database, the log and clients. */
#ifndef MATTE_UNTRUSTED_H
#define MATTE_UNTRUSTED_H

#include <stddef.h>

#include "../error.h"

/* Ends a string within its array and turns what is not printable ASCII into '?'. */
void untrusted_text(char *s, size_t size);

/* The same with both strings of an error. -1 where the code is none. */
int untrusted_error(struct error *e);

#endif
