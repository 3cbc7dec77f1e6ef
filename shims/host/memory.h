/* The memory of a control group, version 1 or 2: where it is, what it holds, what it may hold, and what the kernel did about it.
 *
 * The names of the files stand beside each other in one table; everything else goes through the names of this header.
 *
 *   value            version 1 (cgroup-v1/memory.rst)   version 2 (cgroup-v2.rst, "Memory Interface Files")
 *   MEMORY_LIMIT       memory.limit_in_bytes              memory.max
 *   MEMORY_SWAP_LIMIT  memory.memsw.limit_in_bytes (both) memory.swap.max (swap alone)
 *   MEMORY_USED        memory.usage_in_bytes              memory.current
 *   MEMORY_PEAK        memory.max_usage_in_bytes          memory.peak (Linux 5.19)
 *   MEMORY_LIMIT_HITS  memory.failcnt, memsw.failcnt      memory.events: max
 *   MEMORY_OOM_KILLS   memory.oom_control: oom_kill       memory.events: oom_kill
 *
 * 1. Version 1 does not kill when a limit below the use is written: it answers EBUSY. memory_set_limit then sets the lowest limit
 *    that it takes, so that the next growth is refused, and says which one is in force.
 * 2. A group that holds the calling process, or the root of the hierarchy, is never to be limited: memory_is_protected. */
#ifndef PERTURB_SHIMS_MEMORY_H
#define PERTURB_SHIMS_MEMORY_H

#include "scenarios/base/buf.h"
#include "shims/host/group.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum memory_version { MEMORY_NONE, MEMORY_V1, MEMORY_V2, MEMORY_VERSIONS };

enum memory_value { MEMORY_LIMIT, MEMORY_SWAP_LIMIT, MEMORY_USED, MEMORY_PEAK, MEMORY_LIMIT_HITS, MEMORY_OOM_KILLS, MEMORY_VALUES };

#define MEMORY_UNLIMITED UINT64_MAX

struct memory_group {
    enum memory_version version;
    char path[GROUP_PATH_MAX];
};

enum { MEMORY_RECORD_MAX = GROUP_PATH_MAX + 128 };

/* The memory group out of the texts of /proc/PID/mountinfo and /proc/PID/cgroup. 0 or -ENOTSUP. */
int memory_group_parse(const char *mountinfo, const char *cgroup, struct memory_group *ret_group);

/* The one that a process lives in (0: we). 0; -ENOTSUP: no memory controller; -ESRCH. */
int memory_group_of(pid_t pid, struct memory_group *ret_group);

/* A path as it is given: which version its files are. 0; -ENOTSUP: it has no memory files; -ENOENT. */
int memory_group_at(const char *path, struct memory_group *ret_group);

/* Where a new group beside `own` can stand so that it has a memory controller: version 1, `own` itself; version 2, the nearest
 * ancestor that hands the controller down. 0; -ENOTSUP. */
int memory_parent(const struct memory_group *own, struct memory_group *ret_parent);

/* The group `name` below `parent`: its path (nothing is made), and the making of it. 0, -errno. */
int memory_group_below(const struct memory_group *parent, const char *name, struct memory_group *ret_group);
int memory_group_make(const struct memory_group *group);

/* "PATH BACK": removes a group that the run made ("perturb-..."); what is still in it goes to the group BACK. 0; 1 when it had
 * gone; -EINVAL for what is no such record; -EBUSY; -errno. */
int memory_group_remove(const char *record);

/* True for a root, and for a group that holds the process `self` (0: we), directly or below. */
bool memory_is_protected(const struct memory_group *group, pid_t self);

int memory_read(const struct memory_group *group, enum memory_value value, uint64_t *ret_number); /* MEMORY_UNLIMITED: no limit */

/* 0, -ENOENT when this kernel has no such file, -errno. */
int memory_write(const struct memory_group *group, enum memory_value value, uint64_t number);

/* Limit and swap; see 1. `ret_in_force`: the limit that is. 0 or -errno. */
int memory_set_limit(const struct memory_group *group, uint64_t limit, uint64_t swap, uint64_t *ret_in_force);

/* "FILE VALUE": what has to be written to put a limit back. 0; -ENOENT when there is no such file; -errno. */
int memory_record(const struct memory_group *group, enum memory_value value, char record[MEMORY_RECORD_MAX]);

/* Puts it back and looks. 0; 1 when the group has gone; -EINVAL for what is no record; -errno. */
int memory_restore(const char *record);

/* Of the machine: /proc/meminfo. 0 or -errno. */
int memory_of_machine(uint64_t *ret_total, uint64_t *ret_available);

#endif
