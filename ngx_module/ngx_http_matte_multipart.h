
#ifndef _NGX_HTTP_MATTE_MULTIPART_H_INCLUDED_
#define _NGX_HTTP_MATTE_MULTIPART_H_INCLUDED_


/*
 * multipart/form-data (RFC 7578) as it arrives: hands out the content of the
 * part named "file" and nothing else.  Plain C without a pool or a log: it
 * runs in a thread, and ../t/unit tests it without nginx.
 */


#include <stddef.h>
#include <sys/types.h>


#define NGX_HTTP_MATTE_BOUNDARY_MAX   70        /* RFC 2046 */
#define NGX_HTTP_MATTE_FILENAME_MAX   255
#define NGX_HTTP_MATTE_PART_LINE_MAX  2048      /* of a part's header */


typedef enum {
    NGX_HTTP_MATTE_MULTIPART_AGAIN = 0,         /* all input was used */
    NGX_HTTP_MATTE_MULTIPART_DATA,              /* data, len: of the file */
    NGX_HTTP_MATTE_MULTIPART_DONE,              /* the last boundary was met */
    NGX_HTTP_MATTE_MULTIPART_ERROR              /* error: a sentence */
} ngx_http_matte_multipart_e;


typedef struct {
    u_char         delimiter[4 + NGX_HTTP_MATTE_BOUNDARY_MAX];  /* CRLF "--" */
    size_t         delimiter_len;
    size_t         matched;      /* of the delimiter, at the input's end */
    unsigned       state;
    unsigned       file;         /* this part is the file */
    unsigned       files;        /* such parts so far */

    u_char         line[NGX_HTTP_MATTE_PART_LINE_MAX];
    size_t         line_len;

    const u_char  *data;         /* in the input or in the delimiter */
    size_t         len;
    const char    *error;

    /* UTF-8 without control characters and folders; never empty */
    u_char         filename[NGX_HTTP_MATTE_FILENAME_MAX];
    size_t         filename_len;
} ngx_http_matte_multipart_t;


/*
 * From the value of a Content-Type: 0, or -1 if it is not multipart/form-data,
 * or 1 if its boundary is missing or not one.
 */
int ngx_http_matte_multipart_init(ngx_http_matte_multipart_t *mp,
    const u_char *type, size_t len);

/* again until _AGAIN, _DONE or _ERROR; what follows _DONE is not looked at */
ngx_http_matte_multipart_e ngx_http_matte_multipart_parse(
    ngx_http_matte_multipart_t *mp, const u_char **pos, const u_char *last);


#endif /* _NGX_HTTP_MATTE_MULTIPART_H_INCLUDED_ */
