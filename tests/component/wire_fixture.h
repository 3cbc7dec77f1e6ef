/* An executor with two proxies, one to an echo and one to a server that notes what it saw: for the tests of stream faults. */
#ifndef PERTURB_TESTS_WIRE_FIXTURE_H
#define PERTURB_TESTS_WIRE_FIXTURE_H

#include "scenarios/base/clock.h"
#include "tests/support/wire_peer.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LEASE_NS (20 * NS_PER_S)
#define MS NS_PER_MS

/* What the upstream saw of its last connection. */
struct seen {
    uint64_t bytes, hash; /* atomic */
    int end;              /* atomic: 0 open, 1 FIN, negative errno */
};

struct fixture {
    struct wire_executor executor;
    struct wire_server *echo, *watcher;
    struct seen seen;
    char echo_at[ADDRESS_TEXT_MAX], watcher_at[ADDRESS_TEXT_MAX];
};

/* Reads to the end and notes it. */
static inline void watch(int fd, void *context)
{
    struct seen *seen = context;
    char bytes[65536];
    ssize_t got;
    uint64_t hash = 0;

    __atomic_store_n(&seen->bytes, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&seen->end, 0, __ATOMIC_RELEASE);
    while ((got = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
        hash = wire_hash(hash, bytes, (size_t)got);
        __atomic_store_n(&seen->hash, hash, __ATOMIC_RELAXED);
        __atomic_fetch_add(&seen->bytes, (uint64_t)got, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&seen->end, got < 0 ? -errno : 1, __ATOMIC_RELEASE);
}

static inline int wait_end(struct seen *seen)
{
    uint64_t deadline_ns = clock_now_ns() + wire_timeout_ms() * MS;
    int end;

    while (!(end = __atomic_load_n(&seen->end, __ATOMIC_ACQUIRE)) && clock_now_ns() < deadline_ns)
        (void)poll(NULL, 0, 1);
    return end;
}

static inline int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    wire_executor_start(&fixture->executor, NULL);
    fixture->echo = wire_server_start(wire_echo, NULL);
    fixture->watcher = wire_server_start(watch, &fixture->seen);
    wire_open(&fixture->executor, "echo", wire_server_port(fixture->echo), fixture->echo_at, sizeof(fixture->echo_at));
    wire_open(&fixture->executor, "watcher", wire_server_port(fixture->watcher), fixture->watcher_at, sizeof(fixture->watcher_at));
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;
    int status;

    wire_server_stop(fixture->echo);
    wire_server_stop(fixture->watcher);
    status = wire_executor_end(&fixture->executor);
    free(fixture);
    return status;
}

/* An echo connection that has exchanged a byte: the proxy has dialled. */
static inline int open_echo(const struct fixture *fixture)
{
    int fd = wire_connect(fixture->echo_at);
    char byte = 'o';

    assert_true(fd >= 0);
    assert_int_equal(wire_send_all(fd, &byte, 1), 0);
    assert_int_equal(wire_recv_all(fd, &byte, 1), 1);
    return fd;
}

static inline uint64_t transfer_ns(int fd, uint64_t seed, size_t size)
{
    char *out = malloc(size), *in = malloc(size);
    uint64_t begun_ns = clock_now_ns(), took_ns;

    wire_fill(seed, 0, out, size);
    assert_int_equal(wire_send_all(fd, out, size), 0);
    assert_int_equal(wire_recv_all(fd, in, size), size);
    took_ns = clock_now_ns() - begun_ns;
    assert_memory_equal(in, out, size);
    free(out);
    free(in);
    return took_ns;
}

#endif
