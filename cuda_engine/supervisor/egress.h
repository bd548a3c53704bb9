/*
 * How a client's URL is asked for anything: the one place that sets libcurl up for servers that nobody here knows, says
 * why they did not answer, and takes from the process that talks to them what such a server could want. For processes of
 * their own (fetch, sender): they have no database connection, no key, and no right to start a program.
 *
 * Only http and https; addresses are judged when they are connected to and again before the request is sent; nothing of
 * the environment (proxies, .netrc, cookies) counts; redirects are not followed; TLS is 1.2 or later, verified.
 */
#ifndef MATTE_EGRESS_H
#define MATTE_EGRESS_H

#include <curl/curl.h>
#include <stdint.h>

#include "../error.h"
#include "address.h"

enum {
    EGRESS_URL = 2048,
    EGRESS_HOST = 253,
    EGRESS_HEADERS = 65536
}; /* bytes at most, without a final NUL */

/* One request. Zero but for policy and error when it is begun; reused for the next hop after egress_begin. */
struct egress {
    const struct address_policy *policy;
    struct error *error; /* where a refusal is said */
    char host[EGRESS_HOST + 1];
    int64_t headers; /* bytes so far */
    int denied;      /* an address was refused */
    int answered;    /* the headers of the final answer are complete */
};

/* A part of the URL into buffer; -1 where it has none or does not fit. */
int egress_part(CURLU *url, CURLUPart which, unsigned flags, char *buffer, size_t size);

/* Judges what a URL says before the network is asked, makes its host ASCII, and keeps it. -1: url_denied. */
int egress_begin(struct egress *g, CURLU *url);

/* -1: url_denied, as an address of the host is. */
int egress_denied(struct egress *g);

/* Everything that does not depend on what is asked; g and url must outlive the request. Headers are counted: their
 * callback is taken. */
void egress_set_up(struct egress *g, CURL *curl, CURLU *url);

/* The error that a request without an answer ended with, unless a callback has said it. Returns -1. */
int egress_explain(const struct egress *g, CURL *curl, CURLcode rc);

/* Leaves this process no file but what names and certificates need (and open descriptors), no program to start, no other
 * process to look at, files of max_bytes at most, and max_files descriptors. Starts libcurl. */
int egress_confine(int64_t max_bytes, int max_files);

#endif
