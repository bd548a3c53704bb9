#include "privilege.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int privilege_find(const char *user, const char *group, struct privilege *p, struct error *e)
{
    *p = (struct privilege) { geteuid(), getegid(), 0 };
    if (geteuid() || !*user) {
        return 0;
    }
    const struct passwd *pw = getpwnam(user);
    if (!pw) {
        return error_set(e, "config", "user: there is no user %s.", user);
    }
    p->uid = pw->pw_uid;
    p->gid = pw->pw_gid;
    p->drop = 1;
    if (*group) {
        const struct group *gr = getgrnam(group);
        if (!gr) {
            return error_set(e, "config", "group: there is no group %s.", group);
        }
        p->gid = gr->gr_gid;
    }
    return 0;
}

int privilege_folder(const struct privilege *p, const char *path, struct error *e)
{
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    const char *folder = dirname(copy);
    if (!mkdir(folder, 0755)) {
        if (!p->drop || !chown(folder, p->uid, p->gid)) {
            return 0;
        }
    } else if (errno == EEXIST) {
        return 0;
    }
    return error_set(e, "config", "%s: %s.", folder, strerror(errno));
}

int privilege_drop(const struct privilege *p, struct error *e)
{
    umask(027);
    if (!p->drop) {
        return 0;
    }
    if (setgroups(1, &p->gid) || setresgid(p->gid, p->gid, p->gid) ||
        setresuid(p->uid, p->uid, p->uid)) {
        return error_set(
            e, "config", "user: the rights of root cannot be given up: %s.", strerror(errno));
    }
    return 0;
}
