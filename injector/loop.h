/* A loop: one thread, one event backend, its connections. The control thread speaks to it through one command at a time.
 *
 * 1. Nothing here is locked. Shared with the control thread: the command slot (handed over by `command_asked`, given back by
 *    `command_done`, with eventfds to wake the other side), atomic counters, and the plan in force.
 * 2. Each turn: wait, handle completions, look at the lease, take a command, run due timers, advance what was touched. The lease
 *    is looked at before any byte is ruled on.
 * 3. A plan is taken up within one turn, by every connection, before it is acknowledged. */
#ifndef PERTURB_INJECTOR_LOOP_H
#define PERTURB_INJECTOR_LOOP_H

#include "injector/conn.h"
#include "injector/connections.h"
#include "injector/datagram/udp.h"
#include "injector/handoff.h"
#include "injector/injector.h"
#include "injector/resolve.h"

#include <pthread.h>

enum loop_verb { LOOP_NOTHING, LOOP_ADOPT, LOOP_OPEN, LOOP_CLOSE, LOOP_LIST, LOOP_STOP };

struct listener {
    struct proxy *proxy; /* one reference; NULL when free */
    uint32_t generation;
    bool accepting;
    bool closing;
};

struct loop {
    uint32_t index;
    struct injector_limits limits; /* connections_max: this loop's */
    struct loop *peers; /* all loops, this one among them at its index; limits.loops of them */
    const struct io_ops *ops;
    struct io *io;
    struct pool *pool;
    struct bulk_pool pipes;
    struct udp *udp;       /* owned */
    uint64_t datagram_ns;  /* (atomic) when the last datagram of any session came, 0 for never */
    struct resolver *resolver;
    struct timer_heap timers;
    uint64_t now_ns; /* of this turn */
    bool answers_may_wait; /* the wake-up came: perhaps from the resolver */
    bool woke;       /* the turn's first completion is to look at the clock and the lease */

    struct conn *conns; /* conns_max slots, touched as needed */
    uint32_t *slots_free, slots_free_count, slots_used; /* slots_used: high-water mark */
    struct conn *dirty, *starved;
    bool lacked_chunks;  /* some of those go on as soon as there are chunks again */
    uint64_t starved_ns; /* when those were last tried */
    uint64_t connections_open; /* (atomic) */

    struct listener *listeners; /* proxies_max */
    uint64_t accept_retry_ns;   /* 0 for none */
    struct handoff handoff;     /* what others accepted for this loop */
    uint64_t adoptions;         /* plans taken up: the same for all loops, less the one on its way */

    struct armed *armed; /* borrowed until the next LOOP_ADOPT is acknowledged; NULL when inert */
    uint64_t boundary_ns;

    pthread_t thread;
    bool started, stopping;
    int start_result;
    int wake_fd, ack_fd; /* own; borrowed */
    uint64_t command_asked, command_done; /* (atomic) */
    uint64_t command_taken; /* carried out, perhaps not acknowledged yet */
    enum loop_verb verb;
    struct armed *command_armed;
    struct proxy *command_proxy;
    struct connection_list *command_list; /* borrowed: where LOOP_LIST puts its answer */
    int command_result; /* of the last one carried out: 0, -errno */
};

/* Starts the thread and waits until it runs. `loop` is one of an array of limits->loops, at `index`. `budget` and `ack_fd`, an
 * eventfd written to after each command, are borrowed. 0, -errno. */
int loop_start(struct loop *loop, uint32_t index, const struct injector_limits *limits, struct pool_budget *budget,
               const struct io_ops *ops, int ack_fd);

/* Returns new (free), zeroed: `count` loops that are not started. NULL without memory. */
struct loop *loops_new(uint32_t count);

/* Cuts what is open, joins. Those of them that were never started (zeros) are passed over. */
void loops_stop(struct loop *loops, uint32_t count);

/* The same without a thread, for a test that turns the loop by hand; loop->io is then its own. */
int loop_prepare(struct loop *loop, uint32_t index, const struct injector_limits *limits, struct pool_budget *budget,
                 const struct io_ops *ops, int ack_fd);
int loop_turn(struct loop *loop);
void loop_release(struct loop *loop);

/* Hands a command over; `loop_is_done` turns true once it was carried out. One at a time. */
void loop_ask(struct loop *loop, enum loop_verb verb, struct armed *armed, struct proxy *proxy);
bool loop_is_done(const struct loop *loop);
void loop_wake(struct loop *loop);

/* For conn.c: slots. NULL when all are taken. */
struct conn *loop_take_slot(struct loop *loop);
void loop_give_slot(struct loop *loop, struct conn *conn);
void loop_touch_proxy(struct loop *loop, const struct proxy *proxy); /* every connection of it is looked at again this turn */

#endif
