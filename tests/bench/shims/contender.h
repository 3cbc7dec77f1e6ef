/* Who is compared: the same loop, in a process of its own, bare or under one of these. */
#ifndef PERTURB_BENCH_SHIMS_CONTENDER_H
#define PERTURB_BENCH_SHIMS_CONTENDER_H

#include "tests/component/supervised.h"

enum who {
    NOBODY,
    BARE,
    HOP,        /* hooks of malloc and free that do nothing but pass on (tests/fixtures/preload/passthrough.c) */
    SHIM,       /* ours in the process */
    FIU,        /* fiu-run -x, nothing enabled */
    FAKETIME,   /* faketime -f +1s */
    SUPERVISED, /* ours beside the process */
    FLOOR,      /* a supervisor that only receives and answers: what the kernel's user notification costs by itself */
    FILTER,     /* a seccomp filter that allows everything */
    STRACE,     /* strace -f that fails every write */
    STRACE_BPF, /* the same with --seccomp-bpf */
    WHO_COUNT
};

const char *who_name(enum who who);
bool who_is_here(enum who who); /* false: its package is not installed */

/* Runs a loop and hears what a turn takes, in ns; a negative number when it could not. */
double run_loop(struct bench *bench, enum who who, const char *loop);

/* Starts a loop that shares `memory` (a descriptor) under SHIM or SUPERVISED, or ends it: 0 when it went well. */
struct started {
    pid_t pid;
    int out;
    struct supervise *supervise; /* NULL: none */
};
struct started contender_start(struct bench *bench, enum who who, const char *loop, int memory);
int contender_end(struct started *started);

#endif
