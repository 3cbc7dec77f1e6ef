/* What the loads share. */
#ifndef PERTURB_TESTS_BENCH_LOAD_PRIV_H
#define PERTURB_TESTS_BENCH_LOAD_PRIV_H

#include "tests/bench/peers/load.h"

#include <sys/epoll.h>

enum { EVENTS_MAX = 256 };

/* The measured time of a load: opens after the warm-up, closes after the phase. */
struct meter {
    const struct target *target;
    uint64_t begin_ns, end_ns; /* edges, as planned */
    uint64_t from_ns, to_ns;   /* as they were; 0 before */
    uint64_t cpu_ns, count;    /* between them */
};

void meter_start(struct meter *meter, const struct target *target);
bool meter_runs(struct meter *meter, uint64_t now_ns); /* looks at the edges; false when the phase is over */
void meter_tell(const struct meter *meter, struct outcome *outcome);

static inline bool meter_is_open(const struct meter *meter)
{
    return meter->from_ns != 0 && meter->to_ns == 0;
}

int load_open(uint16_t port); /* non-blocking from here on, connected, TCP_NODELAY */
void load_close_all(int *fds, unsigned count);
int load_watch_all(const int *fds, unsigned count); /* an epoll descriptor; data is the index */
int load_wait(int poller, struct epoll_event *events, uint64_t timeout_ns); /* how many */

void load_message(unsigned char *message, uint32_t connection, uint64_t value); /* MESSAGE_BYTES */
bool load_message_is(const unsigned char *message, uint32_t connection, uint64_t *ret_value);

#endif
