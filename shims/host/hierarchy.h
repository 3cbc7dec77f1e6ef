/* Where a process lives in the hierarchies of control groups: version 1 has one for each controller, version 2 one for all.
 * Source: proc(5) /proc/PID/cgroup and mountinfo; cgroups(7). */
#ifndef PERTURB_SHIMS_HIERARCHY_H
#define PERTURB_SHIMS_HIERARCHY_H

#include "shims/host/group.h"

#include <sys/types.h>

/* The path of the group of the process whose /proc/PID/cgroup is `cgroup`, by the mounts of `mountinfo`: in the hierarchy of a
 * version 1 controller, or of version 2 when `controller` is NULL. 0 or -ENOTSUP. */
int hierarchy_parse(const char *mountinfo, const char *cgroup, const char *controller, char path[GROUP_PATH_MAX]);

/* The same of a living process (0: we). 0; -ENOTSUP: there is no such hierarchy; -ESRCH. */
int hierarchy_of(pid_t pid, const char *controller, char path[GROUP_PATH_MAX]);

#endif
