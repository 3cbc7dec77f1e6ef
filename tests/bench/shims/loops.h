/* The loops that are measured: each runs in a process of its own (`bench_shims loop NAME`), under whichever contender, and says what
 * one turn of it takes. */
#ifndef PERTURB_BENCH_SHIMS_LOOPS_H
#define PERTURB_BENCH_SHIMS_LOOPS_H

#include <stdint.h>

/* Descriptors that the loops find open: what lies at or above LOOP_FD_FIRST is theirs. */
enum { LOOP_FD_NULL = 9, LOOP_FD_ZERO, LOOP_FD_SOCKET, LOOP_FD_SINK, LOOP_FD_SHARED };

enum { INSTANTS = 40, DELAYS = 300 };

/* What the loops of instants share with the bench, in the file at LOOP_FD_SHARED. */
struct loop_shared {
    uint64_t turn; /* raised by the loop after each hit or wake */
    uint64_t at_ns;
    double late_us[DELAYS];
};

/* Runs it and writes what a turn takes, in ns, to stdout with writev(2): write may be made to fail. Returns an exit status. */
int loop_main(const char *name);

#endif
