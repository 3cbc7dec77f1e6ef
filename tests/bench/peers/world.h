/* Where a measurement takes place: a network namespace with nothing but `lo`, two cores, and a CPU account a contender.
 * Every function ends the program with a sentence when the world refuses: a figure from another world is none. */
#ifndef PERTURB_TESTS_BENCH_WORLD_H
#define PERTURB_TESTS_BENCH_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { CORE_LOAD, CORE_PROXY }; /* client and back-end on the one, the proxy on the other */

/* A control group of processes: cpuacct of version 1, else the unified hierarchy. Zeroed is none, its CPU time 0. */
struct group {
    char path[128];
};

void fail(const char *what, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* New network namespace: lo up, reno, the whole port range, no TIME_WAIT. Descriptors up to the hard limit. Needs root. */
void world_enter(void);
/* What else runs here disturbs less; all contenders inherit it alike. `real_time`: nothing else runs while one of them can (SCHED_RR), for
 * a machine that is busy with other work. */
void world_go_first(bool real_time);
void world_run_on(unsigned core); /* this process and what it starts; on a machine with one core, nothing */

void group_new(struct group *group, const char *name);
void group_join(const struct group *group);                /* for the child itself, before it becomes the contender */
uint64_t group_cpu_ns(const struct group *group);          /* used so far by all its processes, ended ones too */
void group_move(const struct group *group, unsigned core); /* all its threads */
uint64_t group_pss_bytes(const struct group *group);       /* proportional set of all its processes */
void group_end(struct group *group);                       /* kills what is left in it, removes it */

void file_write(const char *path, const char *text); /* "" is not an error to write */

#endif
