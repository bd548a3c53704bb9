/* Giving up root, once what needs it has been opened. */
#ifndef MATTE_PRIVILEGE_H
#define MATTE_PRIVILEGE_H

#include <sys/types.h>

#include "../error.h"

/* Who matted will run as: user and group are names, "" keeps what is (user) or takes the user's own (group). */
struct privilege {
    uid_t uid;
    gid_t gid;
    int drop; /* started as root, and a user is named */
};
int privilege_find(const char *user, const char *group, struct privilege *p, struct error *e);

/* Makes the folder of path where it is missing, and gives it to them. */
int privilege_folder(const struct privilege *p, const char *path, struct error *e);

/* For good: real, effective and saved ids, no other groups. */
int privilege_drop(const struct privilege *p, struct error *e);

#endif
