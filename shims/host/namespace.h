/* Processes of another pid namespace: their own numbers mean nothing here. */
#ifndef PERTURB_SHIMS_NAMESPACE_H
#define PERTURB_SHIMS_NAMESPACE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The inode of our own pid namespace, as /proc/self/ns/pid names it; 0 without /proc. */
uint64_t namespace_of_pids(void);

/* A process of another pid namespace than ours. */
struct namespace_process {
    uint64_t pid_namespace;
    uint64_t start_ticks;
    pid_t pid;   /* here */
    pid_t inner; /* in its own */
};

/* All living ones that we may look at, at most `max`. Returns how many. One walk through /proc, so that many can be looked up after it.
 * Source: pid_namespaces(7), proc(5) on NSpid. */
size_t namespace_list(struct namespace_process *list, size_t max);

#endif
