/* Late attach: brings libperturb.so into a program that runs, and takes it out of action again. x86-64, glibc.
 *
 * 1. One thread is stopped, for as long as it takes to look at it and to set its registers once; the others run on. It then works
 *    by itself (attach_stub.h): whoever is killed, at whatever instant, the program goes on with every register as it was. At the
 *    worst that thread is late by ATTACH_PATIENCE_MS, when we die between its question and our answer.
 * 2. The thread is one that blocks in a system call which no allocator and no loader makes, with no signal handler below it; after
 *    a while without one, one that computes in code that neither is nor defines an allocator. So the locks that dlopen takes
 *    are not its own.
 * 3. An interrupted call is made again unless a signal is pending, which the thread is then left alone to take.
 * 4. Every wait has a deadline. What fails leaves the program as it was: nothing loaded, or loaded and not in action.
 * Control plane. */
#ifndef PERTURB_SHIMS_ATTACH_H
#define PERTURB_SHIMS_ATTACH_H

#include "shims/host/inspect.h"

enum { ATTACH_PATIENCE_MS = 250, ATTACH_WHY_MAX = 400 };

/* What /proc says about a process that matters to whoever wants into it. */
struct process_facts {
    char state; /* as in /proc/PID/status; 0 when it has gone */
    pid_t tracer;
    char tracer_name[16];
    int seccomp; /* 0 none, 1 strict, 2 filter */
    bool no_new_privs, secure; /* secure: AT_SECURE, it gained privilege when it was started */
    uid_t uid;
    bool other_mounts, other_pids, other_network; /* namespaces that are not ours */
    bool has_proc; /* in its mount namespace */
    bool may_trace; /* by us, says the kernel */
    int yama; /* kernel.yama.ptrace_scope, -1 when there is none */
    unsigned rings; /* io_uring instances among its descriptors */
    unsigned threads;
};

/* 0, or -ESRCH. What may not be read stays at 0 or false. */
int process_facts_read(pid_t pid, struct process_facts *ret_facts);

/* Why nothing can be attached to it, in words; NULL when it could be. `inspection` may be NULL: it could not be read. */
const char *attach_refusal(pid_t pid, const struct process_facts *facts, const struct inspection *inspection, char why[ATTACH_WHY_MAX]);

struct attach_order {
    pid_t pid;
    int library_fd, page_fd; /* borrowed */
    uint64_t way_out;        /* not 0: call this address (perturb_detach) and load nothing */
    int deadline_ms;         /* of the whole */
};

struct attach_outcome {
    pid_t thread;
    uint64_t stopped_ns; /* the thread stood still under ptrace */
    uint64_t held_ns;    /* from there until it was back at its own work */
    int64_t value;       /* slots changed */
};

/* 0; or a negative errno with the reason in `why`: -ETIMEDOUT no thread was at a safe place, or no answer; -EPERM, -ESRCH,
 * -EOPNOTSUPP, -EBUSY... */
int attach_run(const struct attach_order *order, struct attach_outcome *ret_outcome, char why[ATTACH_WHY_MAX]);

#endif
