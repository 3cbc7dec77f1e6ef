/* A TCP server in the test's own process whose answers follow a schedule: the oracle of what was asked, and of when it could
 * have been answered at the earliest. It takes any HTTP/1.1 request without a body, or RESP's PING, one at a time a connection. */
#ifndef PERTURB_TESTS_SUPPORT_SCHEDULED_SERVER_H
#define PERTURB_TESTS_SUPPORT_SCHEDULED_SERVER_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCHEDULED_CONNECTIONS_MAX = 256, SCHEDULED_REQUEST_MAX = 2048 };

/* What it does with a request. ANSWER_ERROR is RESP's "-ERR", ANSWER_500 is HTTP's; ANSWER_THEN_RESET answers the first request
 * of each connection and resets it on the second. */
enum scheduled_mode {
    ANSWER,
    ANSWER_500,
    ANSWER_ERROR,
    ANSWER_AND_CLOSE,
    ANSWER_THEN_RESET,
    HALF_ANSWER,
    GARBAGE,
    HANG,
    RESET_THEM
};

/* Answers each request, at once or, during [stall_from_ns, stall_until_ns), at its end; counts what it was asked.
 * The atomics may be read, mode and stall also written, at any time. */
struct scheduled_server {
    bool resp;
    int listen_fd;
    uint16_t port;
    pthread_t thread;
    atomic_bool stopping;
    _Atomic enum scheduled_mode mode;
    atomic_uint_least64_t stall_from_ns, stall_until_ns, requests;
    char last_request[SCHEDULED_REQUEST_MAX]; /* read after scheduled_server_stop */
    struct pollfd fds[SCHEDULED_CONNECTIONS_MAX + 1];
    char in[SCHEDULED_CONNECTIONS_MAX + 1][SCHEDULED_REQUEST_MAX];
    size_t in_length[SCHEDULED_CONNECTIONS_MAX + 1];
    bool owed[SCHEDULED_CONNECTIONS_MAX + 1]; /* a request is read and not answered */
    bool answered[SCHEDULED_CONNECTIONS_MAX + 1]; /* one before was */
    size_t count;
};

/* Listens on a free port of 127.0.0.1 and serves from a thread of its own. Returns new; fails the test when it cannot. */
struct scheduled_server *scheduled_server_start(bool resp, enum scheduled_mode mode);

/* Ends the thread and all connections; what it saw may be read until it is freed with free(). */
void scheduled_server_stop(struct scheduled_server *server);

/* A listening socket on a free port of 127.0.0.1, in the caller's hands. */
int scheduled_listen(uint16_t *ret_port, int backlog);

#endif
