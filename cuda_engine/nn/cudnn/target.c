#include "target.h"

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

struct target target_of(const struct cudnn *cudnn, cudnnHandle_t handle, int sm)
{
    return (struct target) { .descriptors.cudnn = cudnn, .handle = handle, .sm = sm };
}

int target_open(struct target *target, const struct cudnn *cudnn, const char *json,
    const char *label, struct error *e)
{
    *target = (struct target) { .descriptors.cudnn = cudnn, .sm = find_sm(json) };
    if (target->sm < 0)
        return error_set(e, "bad_card", "%s has no deviceVer.", label);
    struct descriptors *d = &target->descriptors;
    cudnnBackendDescriptor_t properties = target->properties = MAKE(d, DEVICEPROP);
    SET(d, properties, DEVICEPROP_JSON_REPRESENTATION, CHAR, (int64_t)strlen(json), json);
    FINALIZE(d, properties);
    if (d->failed)
        return error_set(e, "bad_card", "%s: %s", label, d->error.text);
    return 0;
}

void target_close(struct target *target)
{
    descriptors_free(&target->descriptors, 0);
}

void target_of_graph(
    const struct target *target, struct descriptors *d, cudnnBackendDescriptor_t graph)
{
    if (!target->properties)
        SET_ONE(d, graph, OPERATIONGRAPH_HANDLE, HANDLE, target->handle);
}

/* With a handle it knows the card from the graph. */
void target_of_heuristic(
    const struct target *target, struct descriptors *d, cudnnBackendDescriptor_t heuristic)
{
    if (target->properties)
        SET_ONE(d, heuristic, ENGINEHEUR_DEVICEPROP, BACKEND_DESCRIPTOR, target->properties);
}

void target_of_plan(
    const struct target *target, struct descriptors *d, cudnnBackendDescriptor_t plan)
{
    if (target->properties)
        SET_ONE(d, plan, EXECUTION_PLAN_DEVICEPROP, BACKEND_DESCRIPTOR, target->properties);
    else
        SET_ONE(d, plan, EXECUTION_PLAN_HANDLE, HANDLE, target->handle);
}
