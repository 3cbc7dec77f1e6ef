/* Carries the model out: opens and closes proxies of the wire executor in this process, and keeps the toxics of open ones armed.
 *
 * 1. The toxics of all open proxies are one plan; each change publishes the whole of it under a new epoch. A toxic that has not
 *    changed is the same rule, byte for byte, and goes on undisturbed.
 * 2. The plan has a lease, renewed from engine_tick; a process that is stopped or stuck lets traffic pass.
 * 3. An upstream is not checked, as in the reference: one that is no address at all has its clients turned away. */
#ifndef PERTURB_TOXIPROXY_ENGINE_H
#define PERTURB_TOXIPROXY_ENGINE_H

#include "controller/toxiproxy/model.h"
#include "injector/injector.h"

enum { ENGINE_EVENTS_MAX = 1024 };

struct engine {
    struct injector *injector;
    struct model *model; /* borrowed */
    uint64_t seed, epoch;
    bool strict, armed;
    uint64_t renew_at_ns;
    struct plan *plan; /* owned: the last one published; NULL for none */
    struct event events[ENGINE_EVENTS_MAX]; /* a ring: the event numbered n is at n % ENGINE_EVENTS_MAX */
    uint64_t last_seq;
};

/* 0, or the error of injector_new. `limits` NULL: the defaults. */
int engine_init(struct engine *engine, struct model *model, const struct injector_limits *limits, uint64_t seed, bool strict);
void engine_done(struct engine *engine); /* cuts what is open */

/* Opens a proxy and sets its `listen` to the address that it listens on. 0; -errno with the words of Go's net.Listen in `why`. */
int engine_open(struct engine *engine, struct proxy_config *proxy, struct buf *why);

/* Connects are refused when this returns. No-op on a closed one. */
void engine_close(struct engine *engine, struct proxy_config *proxy);

/* Puts the toxics of the model in force. 0; -E2BIG: more than PLAN_RULES_MAX; -ETIMEDOUT, -ENOMEM. Nothing has changed then. */
int engine_publish(struct engine *engine);

/* Takes the executor's events; renews the lease, ends toxics whose duration is over (true: the model has changed). To be called when
 * engine_fd is readable or engine_next_ns has come. */
bool engine_tick(struct engine *engine);
int engine_fd(const struct engine *engine);
uint64_t engine_next_ns(const struct engine *engine);

/* The lease is renewed no more: what is in force ends by itself within seconds. */
void engine_let_lapse(struct engine *engine);

/* What a proxy did since it was created. */
struct proxy_status engine_status(const struct engine *engine, const struct proxy_config *proxy);

/* The open connections of a proxy, the oldest first: returns new (free), *ret_count of them. NULL when they cannot be told. */
struct connection_status *engine_connections(struct engine *engine, const struct proxy_config *proxy, size_t *ret_count);

/* The toxic whose rule has this place in the plan in force; NULL for none of the proxy's. */
const struct toxic *engine_toxic_at(const struct engine *engine, const struct proxy_config *proxy, size_t place);

/* The counts of a toxic's rule since it was last changed. False when it has none (closed proxy, nothing to carry out). */
bool engine_counts(const struct engine *engine, const struct proxy_config *proxy, const struct toxic *toxic,
                   struct rule_status *ret_status);

/* Note an event: of a toxic that was put in force, of one that is about to be taken out of force (its counts are read here). */
void engine_note_armed(struct engine *engine, const struct proxy_config *proxy, const struct toxic *toxic);
void engine_note_released(struct engine *engine, const struct proxy_config *proxy, const struct toxic *toxic);

#endif
