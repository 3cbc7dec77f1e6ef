/* The wire executor: TCP proxies whose traffic can be disturbed. The only header of this folder that others may include.
 *
 * Either as a process: injector_serve() speaks the executor messages (scenarios/vocab/message.h); or in a process of one's own
 * through the handle below, on which the former is built. A handle is used by one thread at a time. */
#ifndef PERTURB_INJECTOR_H
#define PERTURB_INJECTOR_H

#include "scenarios/base/buf.h"
#include "scenarios/vocab/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the loops ask the kernel through. `auto` takes io_uring where the kernel does all that is needed, else epoll. */
enum wire_backend { WIRE_BACKEND_AUTO, WIRE_BACKEND_IO_URING, WIRE_BACKEND_EPOLL };

enum { INJECTOR_PRECISE_NS = 150000 }; /* of spin_ns, where precision is asked for: it covers a sleeper's lateness */

struct injector_limits {
    enum wire_backend backend;
    uint32_t loops;                  /* threads, 1..64 */
    uint32_t connections_max;        /* in all; more are reset as they come */
    uint32_t proxies_max;
    uint64_t window_bytes;           /* a direction, on its way with no fault holding it: a slow reader pushes back at that */
    uint64_t hold_connection_bytes_max; /* a direction, held by faults: reaching it stops reading and is reported */
    uint64_t hold_proxy_bytes_max;   /* a proxy, held by faults */
    uint64_t pool_bytes_max;         /* in all: receive memory; 2 MiB a loop at least */
    uint64_t spin_ns; /* how long before a held byte's deadline the loop stops sleeping and spins for it, up to 1 ms; 0 never: a
                       * sleeper wakes some tens of us late (tests/bench/README.md). 100 us make a deadline precise */
};

/* The defaults: a loop for each processor that the process may run on, at most 8, as many connections as descriptors allow, 256 proxies, 256 KiB, 16 MiB, 32 MiB, 96 MiB, no
 * spinning. */
void injector_limits_init(struct injector_limits *limits);

struct injector;

/* Returns new, its loops running. `limits` is copied, NULL for the defaults. 0, -ENOMEM, -EINVAL for limits of 0,
 * -EPERM, -ENOSYS and the like where the kernel refuses the backend asked for. */
int injector_new(const struct injector_limits *limits, struct injector **ret_injector);

/* Cuts what is still open. Accepts NULL. */
void injector_free(struct injector *injector);

/* Listens; the status tells the address chosen. 0; -EINVAL for a malformed spec; -EEXIST for a name in use; -EADDRINUSE and
 * other errors of bind(2); -ENOENT when the name to listen on or a service cannot be resolved; -EMFILE above proxies_max.
 * Either address may be "unix:PATH". The upstream's name is looked up at each dial: one that does not exist yet is accepted, and its
 * connections are reset and counted as failed until it does. */
int injector_open_proxy(struct injector *injector, const struct proxy_spec *spec, struct proxy_status *ret_status);

/* Stops listening (connects are refused when this returns) and closes the connections in order. 0, -ENOENT. */
int injector_close_proxy(struct injector *injector, const char *name);

/* Is the plan one that can be armed? 0; -ESTALE: its epoch is not above the last; -EPROTO, -EINVAL of plan_check; -ENOTSUP: a
 * fault of another layer; -ENOENT: a scope names no proxy. On an error `ret_why` says it in words. */
int injector_check(const struct injector *injector, const struct plan *plan, size_t size, struct buf *ret_why);

/* Puts the plan in force for ttl_ns; returns once every loop acknowledged. Errors of injector_check, -ENOMEM, -ETIMEDOUT. */
int injector_publish(struct injector *injector, const struct plan *plan, size_t size, uint64_t ttl_ns);

/* Moves the end of the lease to ttl_ns from now. 0; -ESTALE for another epoch than the one in force, or when it is over. */
int injector_renew(struct injector *injector, uint64_t epoch, uint64_t ttl_ns);

/* No fault: returns once every loop acknowledged. The counts stay until the next plan. Always allowed; an `epoch` above the last
 * becomes the last. 0, -ETIMEDOUT. */
int injector_release(struct injector *injector, uint64_t epoch);

/* Counters. Fill at most `max` entries, return how many there are. */
size_t injector_rule_status(const struct injector *injector, struct rule_status *ret_list, size_t max);
size_t injector_proxy_status(const struct injector *injector, struct proxy_status *ret_list, size_t max);

/* The open connections of a proxy, the oldest first, at most `max` of them and CONNECTIONS_LISTED_MAX a loop: a snapshot that each
 * loop took within its turn. 0 and *ret_count; -ENOENT, -ENOMEM, -ETIMEDOUT. */
int injector_connections_list(struct injector *injector, const char *name, struct connection_status *ret_list, size_t max,
                              size_t *ret_count);

/* Events. The descriptor (borrowed) is readable when there may be some; injector_next_event hands out one at a time. */
int injector_event_fd(const struct injector *injector);
bool injector_next_event(struct injector *injector, struct event *ret_event);

bool injector_is_armed(const struct injector *injector); /* a lease runs */
uint64_t injector_connections(const struct injector *injector); /* of streams, open */
uint64_t injector_sessions(const struct injector *injector);    /* of UDP: those not idle for long enough to have ended */
bool injector_is_quiet(const struct injector *injector);        /* no datagram came for 250 ms */
uint64_t injector_spin_ns(const struct injector *injector);
const char *injector_backend(const struct injector *injector); /* "io_uring", "epoll" */
uint64_t injector_loop_connections(const struct injector *injector, uint32_t loop); /* open ones that it serves */
uint32_t injector_loops(const struct injector *injector);
int injector_refusal(const struct injector *injector); /* -errno by which `auto` found io_uring refused; 0 when it was not */

/* Why no loop started: `result` of injector_new in words. */
void injector_explain(enum wire_backend backend, int result, char *text, size_t size);

/* "auto", "io_uring", "epoll". 0, -EINVAL. */
int injector_backend_parse(const char *text, enum wire_backend *ret_backend);

/* What would be chosen here: its name, and why not io_uring (0, -errno). */
const char *injector_backend_here(int *ret_refusal);

/* Proves that nothing acts: 0, or -EBUSY and what was found in words. */
int injector_verify(const struct injector *injector, struct buf *ret_found);

/* Raises the soft limit of descriptors to the hard one: for a process that is a proxy and little else. */
void injector_raise_descriptors(void);

/* The body of the wire executor's process: serves the executor messages on `control_fd` (a connected Unix stream socket; taken)
 * until QUIT, SIGTERM or the end of that stream, and then goes on forwarding until every connection has ended by itself.
 * Leaves the terminal's session and ignores SIGINT and SIGHUP, so that Ctrl-C and the end of its parent do not cut traffic.
 * Returns 0, or -errno when it could not start (which HELLO is answered with). */
int injector_serve(int control_fd, const struct injector_limits *limits);

/* What is done once, on the control thread, when serving has ended for whatever reason (QUIT, SIGTERM, the end of the stream), and
 * before the draining begins: whoever led connections to the proxies by other means ends that here, since nobody may be left who
 * could, and a listener must not go while connects are led to it. */
struct injector_parting {
    void (*act)(void *context);
    void *context;
};

/* As injector_serve; `parting` is copied. */
int injector_serve_parting(int control_fd, const struct injector_limits *limits, const struct injector_parting *parting);

#endif
