/* The BPF program that chooses what the supervisor sees. */
#ifndef PERTURB_SHIMS_SECCOMP_FILTER_H
#define PERTURB_SHIMS_SECCOMP_FILTER_H

#include "shims/seccomp/supervise.h"

#include <linux/filter.h>
#include <stddef.h>

enum { FILTER_MAX = 512 };

struct filter {
    struct sock_filter code[FILTER_MAX];
    size_t length;
};

/* Calls of the points, connect when there are redirects, io_uring_setup when it is refused; exit and exit_group always, so
 * that a thread is known before it has gone (streams). 0; -E2BIG. */
int filter_build(const struct supervise_spec *spec, struct filter *ret_filter);

/* These calls by number, and no others. 0; -E2BIG. */
int filter_watch(const long *numbers, size_t count, struct filter *ret_filter);

#endif
