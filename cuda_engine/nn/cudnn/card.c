#include "card.h"

#include <string.h>

#include <yajl/yajl_tree.h>

/* The compute capability as cuDNN writes it, 860 for 8.6; -1: there is none. */
static int find_sm(const char *json)
{
    char error[1];
    yajl_val root = yajl_tree_parse(json, error, sizeof error);
    yajl_val version = yajl_tree_get(root, (const char *[]) { "deviceVer", NULL }, yajl_t_number);
    const int sm = YAJL_IS_INTEGER(version) ? (int)(YAJL_GET_INTEGER(version) / 10) : -1;
    yajl_tree_free(root);
    return sm;
}

int card_open(struct card *card, const struct cudnn *cudnn, const char *json, const char *label,
    struct error *e)
{
    *card = (struct card) { .descriptors.cudnn = cudnn, .sm = find_sm(json) };
    if (card->sm < 0)
        return error_set(e, "bad_card", "%s has no deviceVer.", label);
    struct descriptors *d = &card->descriptors;
    cudnnBackendDescriptor_t properties = card->properties = MAKE(d, DEVICEPROP);
    SET(d, properties, DEVICEPROP_JSON_REPRESENTATION, CHAR, (int64_t)strlen(json), json);
    FINALIZE(d, properties);
    if (d->failed)
        return error_set(e, "bad_card", "%s: %s", label, d->error.text);
    return 0;
}

void card_close(struct card *card)
{
    descriptors_free(&card->descriptors, 0);
}
