/* What the loads share: meter, sockets, messages; and the loads of small messages. */
#include "tests/bench/peers/load_priv.h"

#include "scenarios/base/clock.h"
#include "tests/support/wire_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTION_AT = 1, VALUE_AT = 8, FILLED_AT = 16, IDLE_WARM = 100 };

#define STUCK_NS (20 * NS_PER_S)

/* ---- the meter -------------------------------------------------------------------------------------------------------- */

void meter_start(struct meter *meter, const struct target *target)
{
    uint64_t now_ns = clock_now_ns();

    *meter = (struct meter){ .target = target, .begin_ns = now_ns + target->warm_ns, .end_ns = now_ns + target->warm_ns + target->phase_ns };
}

bool meter_runs(struct meter *meter, uint64_t now_ns)
{
    if (!meter->from_ns && now_ns >= meter->begin_ns) {
        meter->cpu_ns = group_cpu_ns(meter->target->group);
        meter->from_ns = clock_now_ns();
        meter->end_ns = meter->from_ns + meter->target->phase_ns;
    }
    if (meter_is_open(meter) && now_ns >= meter->end_ns) {
        meter->to_ns = clock_now_ns();
        meter->cpu_ns = group_cpu_ns(meter->target->group) - meter->cpu_ns;
    }
    return meter->to_ns == 0;
}

void meter_tell(const struct meter *meter, struct outcome *outcome)
{
    if (!meter->count)
        fail("nothing came through port %u", meter->target->port);
    outcome->per_s = (double)meter->count * 1e9 / (double)(meter->to_ns - meter->from_ns);
    outcome->cpu_each_s = (double)meter->cpu_ns / 1e9 / (double)meter->count;
}

/* ---- sockets ---------------------------------------------------------------------------------------------------------- */

int load_connect(uint16_t port)
{
    char address[32];
    int fd;

    snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    fd = wire_connect(address);
    if (fd < 0)
        fail("cannot connect to %s: %s", address, strerror(-fd));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    return fd;
}

int load_open(uint16_t port)
{
    int fd = load_connect(port);

    if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
        fail("fcntl: %s", strerror(errno));
    return fd;
}

void load_close_all(int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
}

int load_watch_all(const int *fds, unsigned count)
{
    int poller = epoll_create1(EPOLL_CLOEXEC);

    for (unsigned i = 0; i < count; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

        if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, fds[i], &event) < 0)
            fail("epoll: %s", strerror(errno));
    }
    return poller;
}

int load_wait(int poller, struct epoll_event *events, uint64_t timeout_ns)
{
    struct timespec timeout = ns_timespec(MIN(timeout_ns, STUCK_NS));
    int count = epoll_pwait2(poller, events, EVENTS_MAX, &timeout, NULL);

    if (count == 0 && timeout_ns >= STUCK_NS)
        fail("nothing has moved for %u s", (unsigned)(STUCK_NS / NS_PER_S));
    return MAX(count, 0);
}

/* ---- messages --------------------------------------------------------------------------------------------------------- */

void load_message(unsigned char *message, uint32_t connection, uint64_t value)
{
    memcpy(message + FILLED_AT, pattern + (connection * MESSAGE_BYTES + value) % (PATTERN_BYTES - MESSAGE_BYTES), MESSAGE_BYTES - FILLED_AT);
    memset(message, 'E', FILLED_AT);
    memcpy(message + CONNECTION_AT, &connection, sizeof(connection));
    memcpy(message + VALUE_AT, &value, sizeof(value));
}

bool load_message_is(const unsigned char *message, uint32_t connection, uint64_t *ret_value)
{
    unsigned char expected[MESSAGE_BYTES];

    memcpy(ret_value, message + VALUE_AT, sizeof(*ret_value));
    load_message(expected, connection, *ret_value);
    return !memcmp(message, expected, MESSAGE_BYTES);
}

static void send_message(int fd, uint32_t connection, uint64_t value)
{
    unsigned char message[MESSAGE_BYTES];

    load_message(message, connection, value);
    if (send(fd, message, MESSAGE_BYTES, MSG_NOSIGNAL) != MESSAGE_BYTES)
        fail("a message found no room: %s", strerror(errno));
}

/* Reads one message: the value it carries. False when none is there. */
static bool read_message(int fd, uint32_t connection, uint64_t *ret_value)
{
    unsigned char message[MESSAGE_BYTES];
    ssize_t got = recv(fd, message, MESSAGE_BYTES, 0);

    if (got < 0 && errno == EAGAIN)
        return false;
    if (got != MESSAGE_BYTES || !load_message_is(message, connection, ret_value))
        fail("an answer is wrong (%zd bytes)", got);
    return true;
}

/* ---- exchanges -------------------------------------------------------------------------------------------------------- */

void load_exchanges(const struct target *target, unsigned connections, struct outcome *ret_outcome)
{
    static int fds[CONNECTIONS_MAX];
    static uint64_t sent_ns[CONNECTIONS_MAX];
    static struct epoll_event events[EVENTS_MAX];
    struct meter meter;
    uint64_t now_ns = clock_now_ns(), value;
    int poller;

    *ret_outcome = (struct outcome){ .per_s = 0 };
    for (unsigned i = 0; i < connections; i++)
        fds[i] = load_open(target->port);
    poller = load_watch_all(fds, connections);
    for (unsigned i = 0; i < connections; i++)
        send_message(fds[i], i, sent_ns[i] = clock_now_ns());
    meter_start(&meter, target);
    while (meter_runs(&meter, now_ns)) {
        int count = load_wait(poller, events, STUCK_NS);

        for (int i = 0; i < count; i++) {
            unsigned at = events[i].data.u32;

            if (!read_message(fds[at], at, &value))
                continue;
            if (value != sent_ns[at])
                fail("an answer came twice");
            now_ns = clock_now_ns();
            if (meter_is_open(&meter)) {
                spread_add(&ret_outcome->spread, now_ns - sent_ns[at]);
                meter.count++;
            }
            send_message(fds[at], at, sent_ns[at] = now_ns);
        }
    }
    close(poller);
    load_close_all(fds, connections);
    meter_tell(&meter, ret_outcome);
}

/* Messages at fixed instants, whatever has come back meanwhile: a late answer delays no later message. */
void load_paced(const struct target *target, unsigned connections, unsigned per_s, struct outcome *ret_outcome)
{
    static int fds[CONNECTIONS_MAX];
    static struct epoll_event events[EVENTS_MAX];
    uint64_t begun_ns, sent = 0, back = 0, now_ns, value;
    struct meter meter;
    int poller;
    bool runs;

    *ret_outcome = (struct outcome){ .per_s = 0 };
    for (unsigned i = 0; i < connections; i++)
        fds[i] = load_open(target->port);
    poller = load_watch_all(fds, connections);
    meter_start(&meter, target);
    begun_ns = now_ns = clock_now_ns();
    while ((runs = meter_runs(&meter, now_ns)) || back < sent) {
        uint64_t due_ns = begun_ns + sent * NS_PER_S / per_s;
        int count;

        for (now_ns = clock_now_ns(); runs && due_ns <= now_ns; due_ns = begun_ns + ++sent * NS_PER_S / per_s)
            send_message(fds[sent % connections], (uint32_t)(sent % connections), clock_now_ns());
        count = load_wait(poller, events, runs ? due_ns - now_ns : STUCK_NS);
        for (int i = 0; i < count; i++)
            while (read_message(fds[events[i].data.u32], events[i].data.u32, &value)) {
                now_ns = clock_now_ns();
                back++;
                if (meter_is_open(&meter)) {
                    spread_add(&ret_outcome->spread, now_ns - value);
                    meter.count++;
                }
            }
        now_ns = clock_now_ns();
    }
    close(poller);
    load_close_all(fds, connections);
    meter_tell(&meter, ret_outcome);
}

/* ---- openers ---------------------------------------------------------------------------------------------------------- */

struct opener {
    int fd;
    bool sent;
    uint64_t begun_ns;
};

static void opener_begin(struct opener *opener, uint32_t index, int poller, uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct epoll_event event = { .events = EPOLLOUT, .data.u32 = index };

    *opener = (struct opener){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), .begun_ns = clock_now_ns() };
    (void)setsockopt(opener->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    if (opener->fd < 0 || (connect(opener->fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS) ||
        epoll_ctl(poller, EPOLL_CTL_ADD, opener->fd, &event) < 0)
        fail("cannot connect to port %u: %s", port, strerror(errno));
}

/* True when the exchange is complete and the connection closed. */
static bool opener_advance(struct opener *opener, uint32_t index, int poller)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = index };
    uint64_t value;

    if (!opener->sent) {
        send_message(opener->fd, index, opener->begun_ns);
        opener->sent = true;
        if (epoll_ctl(poller, EPOLL_CTL_MOD, opener->fd, &event) < 0)
            fail("epoll: %s", strerror(errno));
        return false;
    }
    if (!read_message(opener->fd, index, &value))
        return false;
    if (value != opener->begun_ns)
        fail("an answer of another connection");
    close(opener->fd);
    return true;
}

void load_openers(const struct target *target, unsigned openers, struct outcome *ret_outcome)
{
    static struct opener list[CONNECTIONS_MAX];
    static struct epoll_event events[EVENTS_MAX];
    uint64_t now_ns = clock_now_ns();
    struct meter meter;
    int poller = epoll_create1(EPOLL_CLOEXEC);

    *ret_outcome = (struct outcome){ .per_s = 0 };
    for (uint32_t i = 0; i < openers; i++)
        opener_begin(&list[i], i, poller, target->port);
    meter_start(&meter, target);
    while (meter_runs(&meter, now_ns)) {
        int count = load_wait(poller, events, STUCK_NS);

        for (int i = 0; i < count; i++) {
            uint32_t at = events[i].data.u32;

            if (!opener_advance(&list[at], at, poller))
                continue;
            now_ns = clock_now_ns();
            if (meter_is_open(&meter)) {
                spread_add(&ret_outcome->spread, now_ns - list[at].begun_ns);
                meter.count++;
            }
            opener_begin(&list[at], at, poller, target->port);
        }
    }
    for (uint32_t i = 0; i < openers; i++)
        close(list[i].fd);
    close(poller);
    meter_tell(&meter, ret_outcome);
}

/* ---- at rest ---------------------------------------------------------------------------------------------------------- */

double load_idle(const struct target *target, unsigned connections)
{
    static int fds[CONNECTIONS_MAX];
    uint64_t before_bytes = 0, after_bytes, value;
    unsigned char message[MESSAGE_BYTES];

    for (unsigned i = 0; i < connections; i++) {
        if (i == IDLE_WARM) /* what is touched once is no cost of a connection */
            before_bytes = group_pss_bytes(target->group);
        fds[i] = load_connect(target->port);
        send_message(fds[i], i, i);
        if (wire_recv_all(fds[i], message, sizeof(message)) != MESSAGE_BYTES || !load_message_is(message, i, &value) || value != i)
            fail("an answer is wrong");
    }
    after_bytes = group_pss_bytes(target->group);
    load_close_all(fds, connections);
    return (double)(after_bytes - before_bytes) / (connections - IDLE_WARM);
}
