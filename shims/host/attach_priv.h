/* Between the files of late attach. */
#ifndef PERTURB_SHIMS_ATTACH_PRIV_H
#define PERTURB_SHIMS_ATTACH_PRIV_H

#include "shims/host/attach.h"
#include "shims/host/attach_stub.h"

enum { ATTACH_RANGES_MAX = 16, ATTACH_STUB_MAX = 2048 };

struct address_range {
    uint64_t first, last; /* last is past the end */
};

/* What is known of the program before any thread of it is touched. */
struct attach_target {
    pid_t pid;
    int memory_fd; /* /proc/PID/mem */
    uint64_t cave; /* where the stub goes: the unused rest of a page of code */
    uint64_t restorer; /* libc's return from a signal handler; 0 when it was not found */
    struct address_range loader;
    struct address_range unsafe[ATTACH_RANGES_MAX]; /* code in which a lock of loader or allocator may be held, the loader's too */
    size_t unsafe_count;
    struct address_range files[256]; /* code that comes from files */
    size_t file_count;
    unsigned char stub[ATTACH_STUB_MAX];
    size_t stub_size, stub_entry;
};

/* A thread that was set going. */
struct attach_started {
    pid_t thread;
    uint64_t note; /* address of its struct attach_note */
    uint64_t stopped_ns, let_go_ns; /* CLOCK_MONOTONIC */
};

/* Chooses a thread, sets it going in the stub and lets go of it. 0, -ETIMEDOUT, -ESRCH, -EPERM, -EOPNOTSUPP (a seccomp filter),
 * the reason in `why`; nothing has changed then. */
int attach_start(struct attach_target *target, int deadline_ms, struct attach_started *ret_started, char why[ATTACH_WHY_MAX]);

/* Has the thread left the stub for certain? */
bool attach_has_left(const struct attach_target *target, pid_t thread);

#endif
