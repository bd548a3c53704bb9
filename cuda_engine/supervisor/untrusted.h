/* What a process that has touched a client's bytes says, made fit for the database, the log and clients. */
#ifndef MATTE_UNTRUSTED_H
#define MATTE_UNTRUSTED_H

#include "../error.h"

/* Ends both strings within their arrays and turns what is not printable ASCII into '?'. -1 where the code is none. */
int untrusted_error(struct error *e);

#endif
