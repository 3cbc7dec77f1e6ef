/* What the proxy costs: throughput and round trips through it against none, bytes compared at the end; how late a held byte goes,
 * and how far the instant of a fault's first effect lies from its victim's own. Figures belong to the machine; read the ratios.
 * Client, server and proxy share the machine's cores. */
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "tests/support/wire_peer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 5, BLOCK = 65536, BLOCKS = 8192 /* 512 MiB */, TRIPS = 5000, FAULTS = 40 };

static char blocks[BLOCK];

static void source(int fd, void *context)
{
    (void)context;
    for (int i = 0; i < BLOCKS; i++)
        if (wire_send_all(fd, blocks, sizeof(blocks)) < 0)
            return;
    shutdown(fd, SHUT_WR);
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static double quantile(double *values, size_t count, double share)
{
    qsort(values, count, sizeof(*values), by_value);
    return values[(size_t)(share * (double)(count - 1))];
}

/* MB/s of one download; exits when a byte is wrong. */
static double bulk(const char *at)
{
    static char bytes[BLOCK];
    uint64_t begun_ns = clock_now_ns(), have = 0;
    int fd = wire_connect(at);
    ssize_t got;

    while ((got = recv(fd, bytes, sizeof(bytes), MSG_WAITALL)) > 0) {
        if (got != BLOCK || memcmp(bytes, blocks, BLOCK)) {
            puts("bytes differ");
            exit(1);
        }
        have += (uint64_t)got;
    }
    close(fd);
    if (have != (uint64_t)BLOCK * BLOCKS) {
        puts("bytes missing");
        exit(1);
    }
    return (double)have * 1e3 / (double)(clock_now_ns() - begun_ns);
}

/* Round trips of 64 bytes, us each, sorted. */
static void trips(const char *at, double *ret_us)
{
    int fd = wire_connect(at);
    char bytes[64];

    for (int i = 0; i < TRIPS; i++) {
        uint64_t begun_ns = clock_now_ns();

        if (wire_send_all(fd, blocks, sizeof(bytes)) < 0 || recv(fd, bytes, sizeof(bytes), MSG_WAITALL) != sizeof(bytes) ||
            memcmp(bytes, blocks, sizeof(bytes)))
            exit(1);
        ret_us[i] = (double)(clock_now_ns() - begun_ns) / 1e3;
    }
    close(fd);
}

static void compare(const char *what, const char *direct, const char *proxied, const char *echo, const char *echo_proxied)
{
    static double us[2][TRIPS];
    double rate[2][ROUNDS], p50[2][ROUNDS], p99[2][ROUNDS];

    for (int round = 0; round < ROUNDS; round++)
        for (int side = 0; side < 2; side++) {
            rate[side][round] = bulk(side ? proxied : direct);
            trips(side ? echo_proxied : echo, us[side]);
            p50[side][round] = quantile(us[side], TRIPS, 0.5);
            p99[side][round] = quantile(us[side], TRIPS, 0.99);
        }
    printf("%-10s bulk MB/s direct %8.0f proxied %8.0f   round trip us p50 %6.1f / %6.1f  p99 %6.1f / %6.1f\n", what,
           quantile(rate[0], ROUNDS, 0.5), quantile(rate[1], ROUNDS, 0.5), quantile(p50[0], ROUNDS, 0.5), quantile(p50[1], ROUNDS, 0.5),
           quantile(p99[0], ROUNDS, 0.5), quantile(p99[1], ROUNDS, 0.5));
}

/* Lateness of a held byte over the delay asked for, on top of the round trip without it. */
static void lateness(struct wire_executor *executor, const char *at)
{
    struct plan_rule rule = wire_rule("latency", "ten");
    static double us[TRIPS];
    double base, late[200];
    int fd = wire_connect(at);

    trips(at, us);
    base = quantile(us, TRIPS, 0.5);
    rule.params.STREAM_latency.latency = 10000000;
    rule.selector.direction = DIRECTION_TO_CLIENT;
    (void)wire_arm(executor, 1, 60 * NS_PER_S, &rule, 1);
    for (size_t i = 0; i < ARRAY_SIZE(late); i++) {
        uint64_t begun_ns = clock_now_ns();
        char byte = 0;

        if (wire_send_all(fd, &byte, 1) < 0 || wire_recv_all(fd, &byte, 1) != 1)
            exit(1);
        late[i] = (double)(clock_now_ns() - begun_ns) / 1e3 - 10000 - base;
    }
    (void)wire_release(executor, 1);
    printf("latency 10 ms: end to end late by us  p50 %.0f  p90 %.0f  p99 %.0f\n", quantile(late, ARRAY_SIZE(late), 0.5),
           quantile(late, ARRAY_SIZE(late), 0.9), quantile(late, ARRAY_SIZE(late), 0.99));
    close(fd);
}

/* The event's instant less the victim's: a blackhole is felt from the first byte sent into it, a reset when it is seen. */
static void instants(struct wire_executor *executor, const char *at)
{
    double hole_us[FAULTS], reset_us[FAULTS];

    for (uint64_t i = 0; i < FAULTS; i++) {
        struct plan_rule hole = wire_rule("blackhole", "hole"), reset = wire_rule("reset_peer", "reset");
        int fd = wire_connect(at);
        struct event event;
        uint64_t victim_ns;
        char byte = 0;

        if (wire_send_all(fd, &byte, 1) < 0 || wire_recv_all(fd, &byte, 1) != 1)
            exit(1);
        (void)wire_arm(executor, 2 * i + 2, 60 * NS_PER_S, &hole, 1);
        victim_ns = clock_now_ns();
        (void)wire_send_all(fd, &byte, 1);
        (void)wire_event(executor, EVENT_fault_acted, "hole", 2 * i + 2, &event);
        hole_us[i] = ((double)event.ns - (double)victim_ns) / 1e3;
        reset.params.STREAM_reset_peer.after = 3000000;
        (void)wire_arm(executor, 2 * i + 3, 60 * NS_PER_S, &reset, 1);
        while (wire_recv_some(fd, &byte, 1, 1000) > 0)
            continue;
        victim_ns = clock_now_ns();
        (void)wire_event(executor, EVENT_fault_acted, "reset", 2 * i + 3, &event);
        reset_us[i] = ((double)victim_ns - (double)event.ns) / 1e3;
        (void)wire_release(executor, 2 * i + 3);
        close(fd);
        executor->event_count = 0;
    }
    printf("instant of the first effect against the victim's, us: blackhole p50 %.0f max %.0f, reset p50 %.0f max %.0f\n",
           quantile(hole_us, FAULTS, 0.5), quantile(hole_us, FAULTS, 1), quantile(reset_us, FAULTS, 0.5), quantile(reset_us, FAULTS, 1));
}

int main(void)
{
    char direct[2][ADDRESS_TEXT_MAX], proxied[2][ADDRESS_TEXT_MAX];
    struct wire_server *servers[2];
    struct wire_executor executor;
    struct plan_rule rule = wire_rule("latency", "none");

    wire_fill(1, 0, blocks, sizeof(blocks));
    wire_executor_start(&executor, NULL);
    servers[0] = wire_server_start(source, NULL);
    servers[1] = wire_server_start(wire_echo, NULL);
    for (int i = 0; i < 2; i++) {
        snprintf(direct[i], sizeof(direct[i]), "127.0.0.1:%u", wire_server_port(servers[i]));
        wire_open(&executor, i ? "echo" : "source", wire_server_port(servers[i]), proxied[i], sizeof(proxied[i]));
    }
    compare("no fault", direct[0], proxied[0], direct[1], proxied[1]);
    lateness(&executor, proxied[1]);
    instants(&executor, proxied[1]);
    rule.params.STREAM_latency.latency = 0;
    (void)wire_arm(&executor, 1000, 60 * NS_PER_S, &rule, 1);
    compare("latency:0", direct[0], proxied[0], direct[1], proxied[1]);
    wire_server_stop(servers[0]);
    wire_server_stop(servers[1]);
    return wire_executor_end(&executor);
}
