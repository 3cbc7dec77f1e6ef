/* The processes and threads under one filter, as far as they have been seen, and their streams.
 *
 * 1. A task is known from its first intercepted call on; exit and exit_group are intercepted, so none ends unknown unless it is
 *    killed.
 * 2. Streams are the shim's: the first process's main thread is 1; further threads of a process count on from its base; a child's
 *    base is rng_mix(parent's base, ordinal among the parent's children). The order is that of the task numbers, all unknown
 *    ones of a process (or children of a parent) being entered at once: so it is the order of creation, whoever calls first,
 *    except that the numbers may wrap around, and that children who were killed before they made a call are not counted.
 * 3. A child whose parent has gone unseen counts as a child of the first process, from ORPHANS on.
 * 4. exec changes neither a stream nor the ordinals counted in it.
 * Not thread-safe: the caller holds the supervisor's lock. */
#ifndef PERTURB_SHIMS_SECCOMP_TASKS_H
#define PERTURB_SHIMS_SECCOMP_TASKS_H

#include "shims/include/control.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct process {
    pid_t pid;
    int pidfd;
    uint64_t base, threads, forks;
    struct control_process *slot; /* of the page; NULL when the table is full */
    struct process *next;
};

struct thread {
    pid_t tid;
    struct process *process;
    uint64_t stream;
    int held; /* index of its held call, -1: none (held.h) */
    struct thread *next;
};

enum { TASK_BUCKETS = 4096, ORDINALS = 1 << 16 };

struct ordinal {
    uint64_t key, count;
};

struct tasks {
    struct control_counters *counters;
    struct process *processes[TASK_BUCKETS];
    struct thread *threads[TASK_BUCKETS];
    uint64_t first_base, orphans;
    size_t watched; /* processes that have a pidfd */
    struct ordinal *ordinals; /* ORDINALS of them, open addressing */
    uint64_t ordinal_epoch;
    size_t ordinal_count;
    /* Called with each process that is new: to watch its end. */
    void (*on_process)(void *context, const struct process *process);
    /* Called with each thread that is dropped. */
    void (*on_gone)(void *context, struct thread *thread);
    void *context;
};

/* 0 or -ENOMEM. `first` is entered at once, so that it is listed before it makes a call. */
int tasks_begin(struct tasks *tasks, pid_t first);

/* The thread of a number, entered when it is new. NULL when it has gone, or there is no memory. */
struct thread *tasks_thread(struct tasks *tasks, pid_t tid);

void tasks_thread_gone(struct tasks *tasks, pid_t tid);
void tasks_process_gone(struct tasks *tasks, pid_t pid);
bool tasks_any(const struct tasks *tasks); /* is a process known whose end will be told? */
void tasks_all_gone(struct tasks *tasks); /* every process of the page has ended; at the end */
void tasks_enter_children(struct tasks *tasks, pid_t pid); /* of a process that is about to end */

/* How many matches of the rule the stream has seen in this epoch, this one included; 0 when the table is full. */
uint64_t tasks_ordinal(struct tasks *tasks, uint64_t stream, uint32_t rule, uint64_t epoch);

/* True once for each turn (from 1) of a stream; false when the table is full. */
bool tasks_turn(struct tasks *tasks, uint64_t stream, uint32_t rule, uint64_t epoch, uint64_t turn);

#endif
