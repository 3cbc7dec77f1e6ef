/* The client: loads of a given shape against one port of the loopback. One epoll loop; every function ends the program when a byte
 * is wrong, missing or too many.
 *
 * 1. Bytes of a stream are counted at both ends and must be as many; of every SAMPLE_EVERY reads one is compared with the pattern at
 *    its place in the stream, so that a byte lost, doubled or swapped is seen, and the check itself is not what is measured.
 *    A checked load compares every byte.
 * 2. Every message of an exchange is compared whole.
 * 3. CPU is the group's between the two edges of the measured time, which begins after a warm-up. */
#ifndef PERTURB_TESTS_BENCH_LOAD_H
#define PERTURB_TESTS_BENCH_LOAD_H

#include "tests/bench/peers/backend.h"
#include "tests/bench/peers/spread.h"
#include "tests/bench/peers/world.h"

#include <stdbool.h>

enum { SAMPLE_EVERY = 64, MESSAGE_BYTES = 64, CONNECTIONS_MAX = 16384 };

struct target {
    uint16_t port;
    const struct group *group; /* borrowed; zeroed for no proxy */
    struct backend_counts *counts;
    uint64_t warm_ns, phase_ns;
};

struct outcome {
    double per_s;     /* bytes, requests or connections */
    double cpu_each_s; /* CPU of the group for one of them */
    double mean_share; /* load_windows: bytes over what the rate allows */
    struct spread spread; /* round trips, ns; load_windows: bytes of a window, per mille of the target */
};

typedef void load_pause(void *context);

void load_bulk(const struct target *target, unsigned connections, bool copied, struct outcome *ret_outcome);
void load_checked(const struct target *target, bool copied, uint64_t bytes); /* compares each of so many bytes */
void load_exchanges(const struct target *target, unsigned connections, struct outcome *ret_outcome); /* one under way on each */
void load_openers(const struct target *target, unsigned openers, struct outcome *ret_outcome); /* connect, one exchange, close */
void load_paced(const struct target *target, unsigned connections, unsigned per_s, struct outcome *ret_outcome);

/* 10 ms windows of streams that a fault slows to `rate` bytes/s each; `lift` takes the fault away before the rest is drained. */
void load_windows(const struct target *target, unsigned connections, double rate, load_pause *lift, void *context,
                  struct outcome *ret_outcome);

/* Opens connections, one exchange on each, and rests: bytes of the group's own memory for one. */
double load_idle(const struct target *target, unsigned connections);

int load_connect(uint16_t port); /* blocking, within the deadline of the tests; ends the program when it cannot */

#endif
