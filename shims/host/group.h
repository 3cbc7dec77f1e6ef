/* Control groups (version 2) of a run: what holds every process that the run spawned, also those that left their parent.
 * Where there is no writable group (an ordinary user without delegation), functions answer -ENOTSUP and the callers fall back to
 * process trees and the PERTURB_RUN mark. The pause of a group is its freezer: nothing of it runs, nobody sees a signal.
 * Source: kernel documentation, cgroup-v2.rst, "Core Interface Files". */
#ifndef PERTURB_SHIMS_GROUP_H
#define PERTURB_SHIMS_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { GROUP_PATH_MAX = 320 };

/* Writes the path of the group `name` below our own, or below `parent` when not NULL, and makes nothing: so that it can be
 * journalled before it exists. 0, -ENOTSUP, -ENAMETOOLONG. */
int group_locate(const char *parent, const char *name, char path[GROUP_PATH_MAX]);

/* Makes that group and writes its path. 0, -ENOTSUP, -errno. */
int group_create(const char *parent, const char *name, char path[GROUP_PATH_MAX]);

int group_enter(const char *path, pid_t pid); /* 0 is the calling process */

/* Stops or continues all of it and waits until the kernel says so. 0, -ETIMEDOUT, -errno. */
int group_freeze(const char *path, bool frozen);

int group_kill(const char *path);         /* SIGKILL to all of it. 0 or -errno; -ENOENT when it has gone */
bool group_is_empty(const char *path);    /* true also when it has gone */
int group_wait_empty(const char *path, int timeout_ms);
int group_remove(const char *path);       /* and the groups below it; it has to be empty. 0 (also when gone) or -errno */

/* How deep below the root of the hierarchy a path lies: 1 is a child of the root. 0; -ENOTSUP: it is no path of version 2. */
int group_level(const char *path, unsigned *ret_level);

/* The path of a group as systemd names them ("/system.slice/x.service"). 0, -ENOTSUP, -ENAMETOOLONG. */
int group_path(const char *name, char path[GROUP_PATH_MAX]);

/* Process numbers in the group and below, at most `max`. Returns how many. */
size_t group_pids(const char *path, pid_t *list, size_t max);

#endif
