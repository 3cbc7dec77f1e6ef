/* Starts a target: own session, its run's control group, its output in a file, gone when its starter dies. */
#ifndef PERTURB_SHIMS_SPAWN_H
#define PERTURB_SHIMS_SPAWN_H

#include <sys/types.h>

struct spawn_spec {
    char *const *argv;        /* NULL-terminated; argv[0] is looked up in PATH */
    char *const *environment; /* whole, NULL-terminated */
    const char *directory;    /* NULL: as is */
    const char *log;          /* stdout and stderr are appended to it; NULL: /dev/null */
    const char *group;        /* control group to enter; NULL or "": none */
    const char *memory_group; /* and one of version 1's memory hierarchy; NULL: none */
    /* Two hooks, NULL: none. `in_child` runs last before exec, where only async-signal-safe calls are allowed, and `in_parent`
     * meanwhile; each 0 or a negative errno, upon which nothing is started. */
    int (*in_child)(void *context);
    int (*in_parent)(void *context, pid_t pid);
    void *context;
};

/* Starts it. Returns 0 once exec succeeded; else the negative errno of the step that failed, named in *ret_step (static text),
 * with nothing left behind. The child is killed when the calling thread's process ends (PR_SET_PDEATHSIG). */
int spawn_start(const struct spawn_spec *spec, pid_t *ret_pid, const char **ret_step);

#endif
