/* Would the seccomp filters of a thread let pass what an attach needs? */
#ifndef PERTURB_SHIMS_ATTACH_FILTER_H
#define PERTURB_SHIMS_ATTACH_FILTER_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The action that a filter returns for a call. */
uint32_t attach_filter_run(const struct sock_filter *program, size_t count, const struct seccomp_data *data);

/* Looks at every filter of a thread that we have stopped. *ret_call is the first call that one refuses, NULL when all pass (static
 * text). 0; -EACCES without CAP_SYS_ADMIN: filters may not be read; -errno. */
int attach_filter_check(pid_t thread, const char **ret_call);

#endif
