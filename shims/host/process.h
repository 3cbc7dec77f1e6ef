/* Processes by identity, never by a bare number: pid, start time and boot (DESIGN section 5.2). A signal goes through a pidfd that
 * was opened before the identity was checked, so a recycled pid is never hit. */
#ifndef PERTURB_SHIMS_PROCESS_H
#define PERTURB_SHIMS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PROCESS_TEXT_MAX = 96, PROCESS_LIST_MAX = 1024 };

struct process_id {
    pid_t pid;
    uint64_t start_ticks; /* field 22 of /proc/PID/stat */
    uint64_t boot;        /* hash of /proc/sys/kernel/random/boot_id */
};

/* 0; -ESRCH when there is none; -EMFILE and the like when it cannot be told. */
int process_identify(pid_t pid, struct process_id *ret_id);

pid_t process_parent(pid_t pid);                        /* 0 when it has gone, or has none here */
uint64_t process_age_ns(const struct process_id *id);   /* since its start; to a clock tick */

/* True while that very process exists; a zombie does not count. What cannot be told counts as alive: nothing of a process that may
 * live is undone or swept away. */
bool process_is_alive(const struct process_id *id);

/* True while that very process exists and is stopped by a signal or held by a debugger (a tracer holds it for moments, too). */
bool process_is_stopped(const struct process_id *id);

/* Sends a signal to that very process. 0, -ESRCH when it has gone, -EPERM, or another error: then none was sent. */
int process_signal(const struct process_id *id, int signal);

/* The same with a value that the receiver reads, as sigqueue(3) sends it. */
int process_signal_value(const struct process_id *id, int signal, int value);

/* "PID:START:BOOT" and back. process_parse: 0 or -EINVAL. */
char *process_print(const struct process_id *id, char *text, size_t size);
int process_parse(const char *text, struct process_id *ret_id);

/* Every living process of ours whose environment holds "PERTURB_RUN=run_id", at most `max`. Returns how many; -errno when
 * they could not be looked through. It finds what has left its parent and its group; a process that cleared its environment is not
 * found. */
int process_find_marked(const char *run_id, struct process_id *list, size_t max);

/* `pid` and its descendants, parents first, at most `max`. Returns how many, 0 when it has gone; -errno when that could not be told. */
int process_tree(pid_t pid, struct process_id *list, size_t max);

/* Waits until the process has gone; 0, -ETIMEDOUT, or -errno when that could not be told. It need not be our child. A zombie has gone,
 * also one that its debugger keeps, of which no pidfd tells. */
int process_wait_gone(const struct process_id *id, int timeout_ms);

#endif
