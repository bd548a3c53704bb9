
#ifndef _NGX_HTTP_MATTE_REQUEST_H_INCLUDED_
#define _NGX_HTTP_MATTE_REQUEST_H_INCLUDED_


#include "ngx_http_matte.h"
#include <yajl/yajl_parse.h>


#define NGX_HTTP_MATTE_STRING          0x01
#define NGX_HTTP_MATTE_NUMBER          0x02
#define NGX_HTTP_MATTE_BOOL            0x04
#define NGX_HTTP_MATTE_OBJECT          0x08
#define NGX_HTTP_MATTE_COLOR           0x10  /* three numbers */
#define NGX_HTTP_MATTE_NULL            0x20
#define NGX_HTTP_MATTE_WHOLE           0x40  /* beside a number */

#define NGX_HTTP_MATTE_ON_CREATE       0x01
#define NGX_HTTP_MATTE_ON_START        0x02
#define NGX_HTTP_MATTE_ON_BOTH         0x03
#define NGX_HTTP_MATTE_ON_KEY          0x04  /* the making of a key */
#define NGX_HTTP_MATTE_ON_ENABLE       0x08  /* or disabling of one */

#define NGX_HTTP_MATTE_PRO             0x04
#define NGX_HTTP_MATTE_MP4             0x04

#define NGX_HTTP_MATTE_BG_TRANSPARENT  0x01
#define NGX_HTTP_MATTE_BG_GREEN        0x02
#define NGX_HTTP_MATTE_BG_WHITE        0x04
#define NGX_HTTP_MATTE_BG_BLACK        0x08
#define NGX_HTTP_MATTE_BG_BLUE         0x10
#define NGX_HTTP_MATTE_BG_COLOR        0x20  /* the one that is given */
#define NGX_HTTP_MATTE_BG_IMAGE        0x40


typedef enum {
    NGX_HTTP_MATTE_TOP = 0,                  /* the body itself */
    NGX_HTTP_MATTE_VIDEO_URL,
    NGX_HTTP_MATTE_MODEL,
    NGX_HTTP_MATTE_FORMAT,
    NGX_HTTP_MATTE_BG_TYPE,
    NGX_HTTP_MATTE_BG_RGB,
    NGX_HTTP_MATTE_BG_URL,
    NGX_HTTP_MATTE_BACKGROUND,
    NGX_HTTP_MATTE_BACKGROUND_TYPE,
    NGX_HTTP_MATTE_BACKGROUND_RGB,
    NGX_HTTP_MATTE_BACKGROUND_URL,
    NGX_HTTP_MATTE_COMPOSITION,
    NGX_HTTP_MATTE_CANVAS,
    NGX_HTTP_MATTE_CANVAS_WIDTH,
    NGX_HTTP_MATTE_CANVAS_HEIGHT,
    NGX_HTTP_MATTE_FOREGROUND,
    NGX_HTTP_MATTE_ANCHOR,
    NGX_HTTP_MATTE_SCALE,
    NGX_HTTP_MATTE_SHIFT,
    NGX_HTTP_MATTE_SHIFT_X,
    NGX_HTTP_MATTE_SHIFT_Y,
    NGX_HTTP_MATTE_PROMPT,
    NGX_HTTP_MATTE_WEBHOOK_URL,
    NGX_HTTP_MATTE_AUTO_START,
    NGX_HTTP_MATTE_PREVIEW,
    NGX_HTTP_MATTE_ALPHA,
    NGX_HTTP_MATTE_METADATA,
    NGX_HTTP_MATTE_CLIENT_ID,
    NGX_HTTP_MATTE_NOTE,
    NGX_HTTP_MATTE_SCOPE,
    NGX_HTTP_MATTE_EXPIRES,
    NGX_HTTP_MATTE_FINGERPRINT,
    NGX_HTTP_MATTE_FIELDS
} ngx_http_matte_field_e;


typedef struct {
    ngx_uint_t                  type;        /* 0: not given */
    ngx_str_t                   text;        /* of an object: as sent */
    double                      list[3];     /* the first: of a number */
    ngx_uint_t                  nlist;
    ngx_uint_t                  choice;      /* mask */
    u_char                      rgb[3];
} ngx_http_matte_value_t;


typedef struct {
    ngx_http_request_t         *r;
    ngx_http_matte_ctx_t       *ctx;
    ngx_http_matte_main_conf_t *mcf;
    yajl_handle                 yajl;
    u_char                     *body;
    ngx_uint_t                  on;          /* NGX_HTTP_MATTE_ON_* */
    ngx_uint_t                  depth;
    ngx_uint_t                  skip;        /* depth of what is ignored */
    ngx_uint_t                  object;      /* the field that we are inside */
    ngx_uint_t                  list;
    ngx_uint_t                  field;       /* whose value comes, 0: none */
    uint64_t                    seen;
    ngx_http_matte_value_t      values[NGX_HTTP_MATTE_FIELDS];
} ngx_http_matte_parser_t;


typedef ngx_int_t (*ngx_http_matte_check_pt)(ngx_http_matte_parser_t *p,
    ngx_uint_t field);


typedef struct {
    ngx_str_t                   name;        /* "parent.key" */
    ngx_uint_t                  parent;
    ngx_uint_t                  types;
    ngx_uint_t                  on;
    ngx_uint_t                  required;    /* on these */
    double                      min;         /* of a number; bytes of others */
    double                      max;         /* 0: no limit */
    ngx_http_matte_check_pt     check;
    ngx_conf_bitmask_t         *choices;
    size_t                      offered;     /* offset of a mask, 0: all are */
} ngx_http_matte_field_t;


/* ngx_http_matte_fields.c: the table, in the order of the enumeration */

extern ngx_http_matte_field_t  ngx_http_matte_fields[];

/* values of the body's fields, by type only; NGX_DECLINED: ctx->problem */
ngx_int_t ngx_http_matte_parse(ngx_http_matte_parser_t *p, ngx_str_t *body);

/* the first problem counts; NGX_DECLINED, so that `return` reads well */
ngx_int_t ngx_http_matte_problem(ngx_http_matte_parser_t *p, ngx_uint_t code,
    ngx_uint_t field, const char *fmt, ...);

/* "original, light or pro": the names of the mask's bits, NULL: no memory */
ngx_str_t *ngx_http_matte_names(ngx_http_matte_parser_t *p,
    ngx_conf_bitmask_t *list, ngx_uint_t mask);


/* what a field's value must be beside its type: ngx_http_matte_request.c */

ngx_int_t ngx_http_matte_check_url(ngx_http_matte_parser_t *p,
    ngx_uint_t field);
ngx_int_t ngx_http_matte_check_video_url(ngx_http_matte_parser_t *p,
    ngx_uint_t field);
ngx_int_t ngx_http_matte_check_choice(ngx_http_matte_parser_t *p,
    ngx_uint_t field);
ngx_int_t ngx_http_matte_check_color(ngx_http_matte_parser_t *p,
    ngx_uint_t field);
ngx_int_t ngx_http_matte_check_time(ngx_http_matte_parser_t *p,
    ngx_uint_t field);
ngx_int_t ngx_http_matte_check_prompt(ngx_http_matte_parser_t *p,
    ngx_uint_t field);


#endif /* _NGX_HTTP_MATTE_REQUEST_H_INCLUDED_ */
