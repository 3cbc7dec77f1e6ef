/* Both ends of a proxied connection, and the wire executor as a child process, for the tests of injector/.
 * Waits have a deadline of PERTURB_TEST_TIMEOUT_MS (10,000 by default); nothing sleeps to be in step. */
#ifndef PERTURB_TESTS_WIRE_PEER_H
#define PERTURB_TESTS_WIRE_PEER_H

#include "injector/injector.h"

#include <pthread.h>
#include <sys/types.h>

uint64_t wire_timeout_ms(void);

/* ---- a server: one thread a connection ---- */
struct wire_server;
typedef void wire_handler(int fd, void *context); /* borrows fd; it is closed after it returns */

struct wire_server *wire_server_start(wire_handler *handler, void *context); /* on 127.0.0.1, a free port; NULL on failure */
uint16_t wire_server_port(const struct wire_server *server);
unsigned wire_server_accepted(const struct wire_server *server);
void wire_server_stop(struct wire_server *server); /* shuts its connections down, joins its threads */

void wire_echo(int fd, void *context); /* sends back what comes, then its end */

/* ---- a client ---- */
int wire_connect(const char *address); /* "127.0.0.1:PORT": a blocking socket, -errno */
int wire_send_all(int fd, const void *bytes, size_t size);
ssize_t wire_recv_all(int fd, void *bytes, size_t size); /* until full or the end; -errno; -ETIMEDOUT */
ssize_t wire_recv_some(int fd, void *bytes, size_t size, int timeout_ms);
bool wire_is_silent(int fd, int for_ms); /* nothing to read, no end, for so long */
uint64_t wire_hash(uint64_t hash, const void *bytes, size_t size); /* start with 0 */
void wire_fill(uint64_t seed, uint64_t offset, void *bytes, size_t size); /* the test stream of a seed, any part of it */

/* ---- the executor ---- */
struct wire_executor {
    pid_t pid;
    int fd;
    uint64_t seq;
    struct event events[256];
    size_t event_count;
};

struct wire_answer {
    int result;
    size_t size;
    union {
        struct proxy_status proxies[8];
        struct rule_status rules[16];
        char text[1024];
    } payload;
};

enum wire_backend wire_backend_wanted(void); /* of PERTURB_TEST_BACKEND, which tests/run sets; else auto */
void wire_executor_start(struct wire_executor *executor, const struct injector_limits *limits); /* asserts */
int wire_executor_end(struct wire_executor *executor); /* QUIT, waits: exit status; kills it at the deadline (-1) */
int wire_ask(struct wire_executor *executor, enum message_verb verb, uint64_t epoch, uint64_t ttl_ns, const void *payload, size_t size,
             struct wire_answer *ret_answer); /* the answer's result */
void wire_open(struct wire_executor *executor, const char *name, uint16_t upstream_port, char *ret_listen, size_t size);
int wire_arm(struct wire_executor *executor, uint64_t epoch, uint64_t ttl_ns, const struct plan_rule *rules, uint32_t count);
int wire_release(struct wire_executor *executor, uint64_t epoch);
struct rule_status wire_status(struct wire_executor *executor, const char *rule);
struct proxy_status wire_proxy(struct wire_executor *executor, const char *name);

/* The first event of a kind (and text, NULL for any) in the epoch; waits for it. False at the deadline. */
bool wire_event(struct wire_executor *executor, enum event_kind kind, const char *text, uint64_t epoch, struct event *ret_event);
size_t wire_event_count(const struct wire_executor *executor, enum event_kind kind, const char *text);

/* A rule of a stream fault by name; parameters are set by the caller. */
struct plan_rule wire_rule(const char *fault, const char *name);

#endif
