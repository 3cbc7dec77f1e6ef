/* UDP ends for tests. */
#include "tests/support/udp_peer.h"

#include "injector/resolve.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct udp_server {
    int fd, stop_fd;
    bool echoes;
    char address[ADDRESS_TEXT_MAX];
    pthread_t thread;
    size_t count; /* (atomic) */
    struct udp_note notes[UDP_NOTES_MAX];
};

static void note(struct udp_server *server, const uint8_t *bytes, size_t size)
{
    struct udp_note *at = &server->notes[server->count];

    assert_true(server->count < UDP_NOTES_MAX);
    *at = (struct udp_note){ .size = (uint32_t)size, .hash = wire_hash(0, bytes, size), .ns = clock_now_ns() };
    if (size >= sizeof(at->mark))
        memcpy(&at->mark, bytes, sizeof(at->mark));
    __atomic_store_n(&server->count, server->count + 1, __ATOMIC_RELEASE);
}

static void *serve(void *context)
{
    struct udp_server *server = context;
    struct pollfd polled[] = { { .fd = server->fd, .events = POLLIN }, { .fd = server->stop_fd, .events = POLLIN } };
    uint8_t *bytes = malloc(65536);

    while (poll(polled, 2, -1) >= 0 && !polled[1].revents) {
        struct sockaddr_storage from;
        socklen_t from_size = sizeof(from);
        ssize_t got = recvfrom(server->fd, bytes, 65536, MSG_DONTWAIT, (struct sockaddr *)&from, &from_size);

        if (got < 0)
            continue;
        note(server, bytes, (size_t)got);
        if (server->echoes)
            (void)sendto(server->fd, bytes, (size_t)got, 0, (struct sockaddr *)&from, from_size);
    }
    free(bytes);
    return NULL;
}

struct udp_server *udp_server_start(const char *address, bool echoes)
{
    struct udp_server *server = calloc(1, sizeof(*server));
    struct sockaddr_storage at;
    socklen_t size;

    assert_non_null(server);
    assert_int_equal(resolve_address(address, true, &at, &size), 0);
    server->echoes = echoes;
    server->stop_fd = eventfd(0, EFD_CLOEXEC);
    server->fd = socket(at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(server->fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int){ 8 << 20 }, sizeof(int));
    assert_int_equal(bind(server->fd, (struct sockaddr *)&at, size), 0);
    size = sizeof(at);
    assert_int_equal(getsockname(server->fd, (struct sockaddr *)&at, &size), 0);
    resolve_print((struct sockaddr *)&at, server->address, sizeof(server->address));
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
    return server;
}

const char *udp_server_address(const struct udp_server *server)
{
    return server->address;
}

size_t udp_server_count(const struct udp_server *server)
{
    return __atomic_load_n(&server->count, __ATOMIC_ACQUIRE);
}

size_t udp_server_wait(const struct udp_server *server, size_t count)
{
    uint64_t deadline_ns = clock_now_ns() + wire_timeout_ms() * NS_PER_MS;

    while (udp_server_count(server) < count && clock_now_ns() < deadline_ns)
        (void)poll(NULL, 0, 1);
    return udp_server_count(server);
}

const struct udp_note *udp_server_notes(const struct udp_server *server)
{
    return server->notes;
}

void udp_server_stop(struct udp_server *server)
{
    (void)!write(server->stop_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    pthread_join(server->thread, NULL);
    close(server->fd);
    close(server->stop_fd);
    free(server);
}

int udp_connect(const char *address)
{
    struct sockaddr_storage at;
    socklen_t size;
    int fd;

    assert_int_equal(resolve_address(address, false, &at, &size), 0);
    fd = socket(at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, size), 0);
    return fd;
}

int udp_send_mark(int fd, uint32_t client, uint32_t number, size_t size)
{
    const struct udp_mark mark = { client, number };
    uint8_t bytes[65536];

    assert_in_range(size, sizeof(mark), sizeof(bytes));
    memcpy(bytes, &mark, sizeof(mark));
    wire_fill(number, 0, bytes + sizeof(mark), size - sizeof(mark));
    return send(fd, bytes, size, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

ssize_t udp_receive(int fd, void *bytes, size_t size, int timeout_ms)
{
    ssize_t got;

    if (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, timeout_ms) == 0)
        return -ETIMEDOUT;
    got = recv(fd, bytes, size, 0);
    return got < 0 ? -errno : got;
}

bool udp_receive_mark(int fd, int timeout_ms, struct udp_mark *ret_mark)
{
    uint8_t bytes[65536];

    if (udp_receive(fd, bytes, sizeof(bytes), timeout_ms) < (ssize_t)sizeof(*ret_mark))
        return false;
    memcpy(ret_mark, bytes, sizeof(*ret_mark));
    return true;
}

void udp_open_proxy(struct wire_executor *executor, const char *name, const char *listen, const char *upstream, uint64_t idle_ns, char *ret_listen, size_t size)
{
    struct proxy_spec spec = { .protocol = PROTOCOL_UDP, .idle_ns = idle_ns };
    struct wire_answer answer;

    snprintf(spec.name, sizeof(spec.name), "%s", name);
    snprintf(spec.listen, sizeof(spec.listen), "%s", listen);
    snprintf(spec.upstream, sizeof(spec.upstream), "%s", upstream);
    assert_int_equal(wire_ask(executor, MESSAGE_OPEN, 0, 0, &spec, sizeof(spec), &answer), 0);
    snprintf(ret_listen, size, "%s", answer.payload.proxies[0].spec.listen);
}

static uint64_t missing(const struct datagram_counts *counts)
{
    return counts->came + counts->doubled - counts->passed - counts->dropped - counts->no_room - counts->failed;
}

void udp_assert_accounts(struct wire_executor *executor, const char *proxy)
{
    uint64_t deadline_ns = clock_now_ns() + wire_timeout_ms() * NS_PER_MS;
    struct proxy_status status;

    do
        status = wire_proxy(executor, proxy); /* a datagram is counted a moment after it was seen */
    while ((missing(&status.datagrams[0]) || missing(&status.datagrams[1]) || status.held_bytes) && clock_now_ns() < deadline_ns);
    assert_int_equal(missing(&status.datagrams[0]), 0);
    assert_int_equal(missing(&status.datagrams[1]), 0);
    assert_int_equal(status.held_bytes, 0);
}

struct plan_rule udp_rule(enum fault_id fault, const char *name)
{
    struct plan_rule rule;

    plan_rule_init(&rule, &fault_descs[fault], name);
    return rule;
}
