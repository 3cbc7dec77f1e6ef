/* Every datagram fault as its victim sees it. Each test asserts three things: the victim saw it, the event says so, the count is what an
 * oracle of the test's own says: the draws are computed here from seed, rule, session and number, and the models written once more.
 * also-on-backend: epoll */
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"
#include "scenarios/vocab/decide.h"
#include "tests/support/udp_peer.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LEASE_NS (20 * NS_PER_S)
#define MS ((int64_t)NS_PER_MS)
#define SEED 42 /* of wire_arm */

enum { TO_UPSTREAM, TO_CLIENT };

struct fixture {
    struct wire_executor executor;
    struct udp_server *echo, *sink;
    char echo_at[ADDRESS_TEXT_MAX], sink_at[ADDRESS_TEXT_MAX];
    int fd; /* a client of the sink */
};

static int set_up_with(void **state, const struct injector_limits *limits)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    wire_executor_start(&fixture->executor, limits);
    fixture->echo = udp_server_start("127.0.0.1:0", true);
    fixture->sink = udp_server_start("127.0.0.1:0", false);
    udp_open_proxy(&fixture->executor, "echo", "127.0.0.1:0", udp_server_address(fixture->echo), 0, fixture->echo_at, sizeof(fixture->echo_at));
    udp_open_proxy(&fixture->executor, "sink", "127.0.0.1:0", udp_server_address(fixture->sink), 0, fixture->sink_at, sizeof(fixture->sink_at));
    fixture->fd = udp_connect(fixture->sink_at);
    *state = fixture;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, NULL);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    int status;

    close(fixture->fd);
    udp_server_stop(fixture->echo);
    udp_server_stop(fixture->sink);
    status = wire_executor_end(&fixture->executor);
    free(fixture);
    return status;
}

static void send_marks(int fd, uint32_t client, uint32_t first, uint32_t count, size_t size)
{
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(udp_send_mark(fd, client, first + i, size), 0);
}

/* The draw of the n-th match of a rule in a session's direction. */
static uint64_t draw_of(const struct plan_rule *rule, const char *proxy, uint64_t session, int direction, uint64_t number)
{
    uint64_t stream = rng_mix(rng_mix(rng_hash(proxy), session), UINT64_C(1) << direction);

    return rng_draw(SEED, rule->name_hash, stream, 2 * number + 1);
}

static void wait_in_flight(struct fixture *fixture, const char *rule, uint64_t bytes)
{
    uint64_t deadline_ns = clock_now_ns() + wire_timeout_ms() * NS_PER_MS;

    while (wire_status(&fixture->executor, rule).in_flight != bytes && clock_now_ns() < deadline_ns)
        (void)poll(NULL, 0, 1);
    assert_int_equal(wire_status(&fixture->executor, rule).in_flight, bytes);
}

/* ---- loss ------------------------------------------------------------------------------------------------------------- */

enum { LOSS_DATAGRAMS = 2000 };

/* The chain of the model, moved on by one datagram: is it lost? */
static bool model_loses(const struct params_DATAGRAM_loss *params, uint64_t draw, int *at)
{
    int64_t first = (int64_t)rng_below(draw, PPM), second = (int64_t)rng_below(rng_mix(draw, 1), PPM);
    bool lost;

    switch (params->model) {
    case 0:
        return first < params->p;
    case 1:
        lost = first < (*at ? params->h1 : params->k1);
        *at = *at ? second >= params->r : second < params->p;
        return lost;
    default:
        if (*at == 4)
            *at = 1;
        else if (*at == 3)
            *at = first < params->p31 ? 1 : first < params->p31 + params->p32 ? 2 : 3;
        else if (*at == 2)
            *at = first < params->p23 ? 3 : 2;
        else
            *at = first < params->p13 ? 3 : first < params->p13 + params->p14 ? 4 : 1;
        return *at >= 3;
    }
}

static void lose_by(struct fixture *fixture, uint64_t epoch, int64_t model, struct plan_rule *rule)
{
    uint32_t wanted[LOSS_DATAGRAMS], kept = 0, first_lost = 0;
    size_t before = udp_server_count(fixture->sink);
    struct event event;
    int at = model == 2;

    rule->params.DATAGRAM_loss.model = model;
    rule->selector.direction = DIRECTION_TO_UPSTREAM;
    snprintf(rule->scope, sizeof(rule->scope), "sink");
    assert_int_equal(wire_arm(&fixture->executor, epoch, LEASE_NS, rule, 1), 0);
    for (uint32_t i = 1; i <= LOSS_DATAGRAMS; i++) {
        bool lost = model_loses(&rule->params.DATAGRAM_loss, draw_of(rule, "sink", 1, TO_UPSTREAM, i), &at);

        if (!lost)
            wanted[kept++] = i;
        else if (!first_lost)
            first_lost = i;
    }
    for (uint32_t i = 0; i < LOSS_DATAGRAMS; i += 100) {
        send_marks(fixture->fd, 1, i + 1, 100, 64);
        while (wire_status(&fixture->executor, rule->name).counts.matched < i + 100) /* no buffer overflows: loss is ours alone */
            (void)poll(NULL, 0, 1);
    }
    assert_int_equal(udp_server_wait(fixture->sink, before + kept), before + kept);
    for (uint32_t i = 0; i < kept; i++)
        assert_int_equal(udp_server_notes(fixture->sink)[before + i].mark.number, wanted[i]);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, rule->name, epoch, &event));
    assert_int_equal(event.number[0], 1);
    assert_int_equal(event.number[1], first_lost);
    assert_int_equal(wire_status(&fixture->executor, rule->name).counts.fired, LOSS_DATAGRAMS - kept);
    assert_int_equal(wire_release(&fixture->executor, epoch), 0);
    udp_assert_accounts(&fixture->executor, "sink");
}

static void test_loss_is_the_models(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rules[3] = { udp_rule(FAULT_DATAGRAM_loss, "random"), udp_rule(FAULT_DATAGRAM_loss, "bursts"), udp_rule(FAULT_DATAGRAM_loss, "states") };

    rules[0].params.DATAGRAM_loss.p = 100000;
    rules[1].params.DATAGRAM_loss.p = 50000;
    rules[1].params.DATAGRAM_loss.r = 300000;
    rules[1].params.DATAGRAM_loss.h1 = 900000;
    rules[1].params.DATAGRAM_loss.k1 = 10000;
    rules[2].params.DATAGRAM_loss = (struct params_DATAGRAM_loss){ .p13 = 30000, .p31 = 300000, .p32 = 200000, .p23 = 400000, .p14 = 20000 };
    for (int64_t model = 0; model < 3; model++)
        lose_by(fixture, (uint64_t)model + 1, model, &rules[model]);
    assert_int_equal(wire_proxy(&fixture->executor, "sink").overrun, 0);
}

/* A burst of the link hits whoever sends while it lasts; with scope session each has bursts of its own. */
static void test_a_burst_is_the_links(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = udp_rule(FAULT_DATAGRAM_loss, "burst");
    int fds[8];

    rule.params.DATAGRAM_loss.model = 1;
    rule.params.DATAGRAM_loss.p = PPM; /* the second datagram finds it bad, for good */
    rule.params.DATAGRAM_loss.r = 0;
    rule.selector.direction = DIRECTION_TO_UPSTREAM;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    for (uint32_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = udp_connect(fixture->sink_at);
        send_marks(fds[i], i, 1, 1, 64);
    }
    while (wire_status(&fixture->executor, "burst").counts.matched < ARRAY_SIZE(fds))
        (void)poll(NULL, 0, 1);
    assert_int_equal(wire_status(&fixture->executor, "burst").counts.fired, ARRAY_SIZE(fds) - 1);
    assert_int_equal(udp_server_wait(fixture->sink, 1), 1);
    rule.params.DATAGRAM_loss.scope = 1;
    assert_int_equal(wire_arm(&fixture->executor, 2, LEASE_NS, &rule, 1), 0);
    for (uint32_t i = 0; i < ARRAY_SIZE(fds); i++)
        send_marks(fds[i], i, 2, 2, 64);
    assert_int_equal(udp_server_wait(fixture->sink, 1 + ARRAY_SIZE(fds)), 1 + ARRAY_SIZE(fds));
    udp_assert_accounts(&fixture->executor, "sink");
    assert_int_equal(wire_status(&fixture->executor, "burst").counts.fired, ARRAY_SIZE(fds));
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
}

/* ---- latency ---------------------------------------------------------------------------------------------------------- */

static void test_latency_adds_up_both_ways(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rules[2] = { udp_rule(FAULT_DATAGRAM_latency, "one"), udp_rule(FAULT_DATAGRAM_latency, "two") };
    int fd = udp_connect(fixture->echo_at);
    uint64_t begun_ns, took_ns;
    struct udp_mark mark;
    struct event event;

    rules[0].params.DATAGRAM_latency.latency = 30 * MS;
    rules[1].params.DATAGRAM_latency.latency = 25 * MS;
    rules[1].selector.direction = DIRECTION_TO_CLIENT;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, rules, 2), 0);
    begun_ns = clock_now_ns();
    send_marks(fd, 1, 1, 1, 100);
    assert_true(udp_receive_mark(fd, (int)wire_timeout_ms(), &mark));
    took_ns = clock_now_ns() - begun_ns;
    assert_true(took_ns >= 85 * NS_PER_MS);
    assert_true(took_ns < 85 * NS_PER_MS + wire_timeout_ms() * NS_PER_MS / 4);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "one", 1, &event));
    assert_true(event.ns >= begun_ns && event.ns < begun_ns + 85 * NS_PER_MS);
    assert_int_equal(event.number[0], 1); /* session */
    assert_int_equal(event.number[1], 1); /* its first datagram */
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "two", 1, NULL));
    assert_int_equal(wire_status(&fixture->executor, "one").counts.fired, 2);
    assert_int_equal(wire_status(&fixture->executor, "two").counts.fired, 1);
    udp_assert_accounts(&fixture->executor, "echo");
    close(fd);
}

static uint32_t count_overtaken(const struct udp_server *server, size_t begin, size_t end)
{
    uint32_t overtaken = 0;

    for (size_t i = begin + 1; i < end; i++)
        overtaken += udp_server_notes(server)[i].mark.number < udp_server_notes(server)[i - 1].mark.number;
    return overtaken;
}

static void test_jitter_reorders_unless_order_is_kept(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = udp_rule(FAULT_DATAGRAM_latency, "jitter");
    uint64_t due_ns[101], begun_ns;

    rule.params.DATAGRAM_latency.latency = 200 * MS;
    rule.params.DATAGRAM_latency.jitter = 100 * MS;
    rule.selector.direction = DIRECTION_TO_UPSTREAM;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    begun_ns = clock_now_ns();
    send_marks(fixture->fd, 1, 1, 100, 64);
    assert_int_equal(udp_server_wait(fixture->sink, 100), 100);
    assert_in_range(count_overtaken(fixture->sink, 0, 100), 20, 80);
    for (uint32_t i = 1; i <= 100; i++) /* uniform: each has its own instant by its own draw */
        due_ns[i] = begun_ns + (uint64_t)(200e6 + 100e6 * (2 * rng_unit(draw_of(&rule, "sink", 1, TO_UPSTREAM, i)) - 1));
    for (size_t i = 0; i < 100; i++)
        assert_true(udp_server_notes(fixture->sink)[i].ns >= due_ns[udp_server_notes(fixture->sink)[i].mark.number]);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "jitter", 1, NULL));
    assert_int_equal(wire_status(&fixture->executor, "jitter").counts.fired, 100);
    rule.params.DATAGRAM_latency.order = 1;
    assert_int_equal(wire_arm(&fixture->executor, 2, LEASE_NS, &rule, 1), 0);
    send_marks(fixture->fd, 1, 1, 100, 64);
    assert_int_equal(udp_server_wait(fixture->sink, 200), 200);
    assert_int_equal(count_overtaken(fixture->sink, 100, 200), 0);
}

static void assert_in_order(const struct udp_server *server, size_t begin, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(udp_server_notes(server)[begin + i].mark.number, first + i);
}

static void test_release_lets_held_datagrams_go(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = udp_rule(FAULT_DATAGRAM_latency, "long");
    uint64_t begun_ns = clock_now_ns();

    rule.params.DATAGRAM_latency.latency = 300 * (int64_t)NS_PER_S;
    rule.params.DATAGRAM_latency.jitter = 100 * (int64_t)NS_PER_S;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    send_marks(fixture->fd, 1, 1, 50, 64);
    wait_in_flight(fixture, "long", 50 * 64);
    assert_int_equal(udp_server_count(fixture->sink), 0);
    assert_int_equal(wire_proxy(&fixture->executor, "sink").held_bytes, 50 * 64);
    assert_int_equal(wire_ask(&fixture->executor, MESSAGE_VERIFY, 0, 0, NULL, 0, NULL), -EBUSY);
    assert_int_equal(wire_release(&fixture->executor, 1), 0);
    assert_int_equal(wire_ask(&fixture->executor, MESSAGE_VERIFY, 0, 0, NULL, 0, NULL), 0);
    assert_int_equal(udp_server_wait(fixture->sink, 50), 50);
    assert_in_order(fixture->sink, 0, 1, 50);
    assert_true(clock_now_ns() - begun_ns < 200 * NS_PER_S);
    assert_int_equal(wire_status(&fixture->executor, "long").in_flight, 0);
    assert_int_equal(wire_proxy(&fixture->executor, "sink").held_bytes_peak, 50 * 64);
    udp_assert_accounts(&fixture->executor, "sink");
}

static void test_the_lease_and_the_window_let_them_go_too(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = udp_rule(FAULT_DATAGRAM_latency, "leased");
    uint64_t begun_ns;

    rule.params.DATAGRAM_latency.latency = 300 * (int64_t)NS_PER_S;
    begun_ns = clock_now_ns();
    assert_int_equal(wire_arm(&fixture->executor, 1, 300 * NS_PER_MS, &rule, 1), 0);
    send_marks(fixture->fd, 1, 1, 10, 64);
    assert_int_equal(udp_server_wait(fixture->sink, 10), 10);
    assert_true(clock_now_ns() - begun_ns >= 300 * NS_PER_MS);
    assert_true(wire_event(&fixture->executor, EVENT_fault_expired, NULL, 1, NULL));
    assert_in_order(fixture->sink, 0, 1, 10);
    send_marks(fixture->fd, 1, 11, 1, 64); /* and nothing acts any more */
    assert_int_equal(udp_server_wait(fixture->sink, 11), 11);
    rule.selector.until_ns = 200 * NS_PER_MS;
    begun_ns = clock_now_ns();
    assert_int_equal(wire_arm(&fixture->executor, 2, LEASE_NS, &rule, 1), 0);
    send_marks(fixture->fd, 1, 12, 10, 64);
    assert_int_equal(udp_server_wait(fixture->sink, 21), 21);
    assert_true(clock_now_ns() - begun_ns >= 200 * NS_PER_MS);
    assert_int_equal(wire_status(&fixture->executor, "leased").counts.fired, 10);
}

/* A rule that goes on in the next plan keeps its counts and what it holds; one that does not lets go. */
static void test_rules_are_carried_over(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rules[2] = { udp_rule(FAULT_DATAGRAM_latency, "ends"), udp_rule(FAULT_DATAGRAM_latency, "goes-on") };

    rules[0].params.DATAGRAM_latency.latency = rules[1].params.DATAGRAM_latency.latency = 300 * (int64_t)NS_PER_S;
    rules[0].selector.last = 5;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, rules, 2), 0);
    send_marks(fixture->fd, 1, 1, 8, 64);
    wait_in_flight(fixture, "ends", 5 * 64);
    wait_in_flight(fixture, "goes-on", 3 * 64);
    assert_int_equal(wire_arm(&fixture->executor, 2, LEASE_NS, &rules[1], 1), 0);
    wait_in_flight(fixture, "goes-on", 8 * 64); /* what the other let go came to this one */
    assert_int_equal(wire_status(&fixture->executor, "goes-on").counts.matched, 8);
    assert_int_equal(udp_server_count(fixture->sink), 0);
    assert_int_equal(wire_release(&fixture->executor, 2), 0);
    assert_int_equal(udp_server_wait(fixture->sink, 8), 8);
    udp_assert_accounts(&fixture->executor, "sink");
}

/* ---- the others ------------------------------------------------------------------------------------------------------- */

static void test_duplicate(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rules[2] = { udp_rule(FAULT_DATAGRAM_duplicate, "twice"), udp_rule(FAULT_DATAGRAM_duplicate, "again") };
    uint32_t seen[201] = { 0 }, wanted = 0;

    rules[0].params.DATAGRAM_duplicate.p = 300000;
    rules[0].selector.direction = rules[1].selector.direction = DIRECTION_TO_UPSTREAM;
    rules[1].params.DATAGRAM_duplicate.p = PPM;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, rules, 1), 0);
    for (uint32_t i = 1; i <= 200; i++)
        wanted += rng_below(draw_of(&rules[0], "sink", 1, TO_UPSTREAM, i), PPM) < 300000;
    send_marks(fixture->fd, 1, 1, 200, 64);
    assert_int_equal(udp_server_wait(fixture->sink, 200 + wanted), 200 + wanted);
    for (uint32_t i = 0; i < 200 + wanted; i++)
        seen[udp_server_notes(fixture->sink)[i].mark.number]++;
    for (uint32_t i = 1; i <= 200; i++)
        assert_int_equal(seen[i], 1 + (rng_below(draw_of(&rules[0], "sink", 1, TO_UPSTREAM, i), PPM) < 300000));
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "twice", 1, NULL));
    assert_int_equal(wire_status(&fixture->executor, "twice").counts.fired, wanted);
    assert_int_equal(wire_proxy(&fixture->executor, "sink").datagrams[0].doubled, wanted);
    rules[0].params.DATAGRAM_duplicate.p = PPM;
    assert_int_equal(wire_arm(&fixture->executor, 2, LEASE_NS, rules, 2), 0);
    send_marks(fixture->fd, 1, 1, 1, 64); /* the copy is not doubled again: three, not four */
    assert_int_equal(udp_server_wait(fixture->sink, 203 + wanted), 203 + wanted);
    assert_int_equal(wire_release(&fixture->executor, 2), 0);
    assert_int_equal(udp_server_count(fixture->sink), 203 + wanted);
    udp_assert_accounts(&fixture->executor, "sink");
}

static void test_reorder_with_gap(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = udp_rule(FAULT_DATAGRAM_reorder, "swap");
    const struct udp_note *notes = udp_server_notes(fixture->sink);
    uint32_t next = 0;

    rule.params.DATAGRAM_reorder = (struct params_DATAGRAM_reorder){ .p = PPM, .gap = 5, .delay = 500 * MS };
    rule.selector.direction = DIRECTION_TO_UPSTREAM;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    send_marks(fixture->fd, 1, 1, 20, 64);
    assert_int_equal(udp_server_wait(fixture->sink, 20), 20);
    for (uint32_t number = 5; number <= 20; number += 5) /* those that overtook, then the others, in order */
        assert_int_equal(notes[next++].mark.number, number);
    for (uint32_t number = 1; number <= 20; number++)
        if (number % 5)
            assert_int_equal(notes[next++].mark.number, number);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "swap", 1, NULL));
    assert_int_equal(wire_status(&fixture->executor, "swap").counts.matched, 20);
    assert_int_equal(wire_status(&fixture->executor, "swap").counts.fired, 16);
}

static uint32_t bits_that_differ(const uint8_t *a, const uint8_t *b, size_t size)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < size; i++)
        bits += (uint32_t)__builtin_popcount(a[i] ^ b[i]);
    return bits;
}

static void test_corrupt_flips_one_bit(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = udp_rule(FAULT_DATAGRAM_corrupt, "flip");
    int fd = udp_connect(fixture->echo_at);
    uint8_t bytes[500], back[65536];
    uint32_t hit = 0, wanted = 0;

    rule.params.DATAGRAM_corrupt.p = 400000;
    rule.selector.direction = DIRECTION_TO_CLIENT;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    for (uint32_t i = 1; i <= 100; i++) {
        uint32_t bits;

        wire_fill(i, 0, bytes, sizeof(bytes));
        assert_int_equal(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
        assert_int_equal(udp_receive(fd, back, sizeof(back), (int)wire_timeout_ms()), sizeof(bytes));
        bits = bits_that_differ(back, bytes, sizeof(bytes));
        assert_int_equal(bits, rng_below(draw_of(&rule, "echo", 1, TO_CLIENT, i), PPM) < 400000);
        hit += bits;
        wanted += rng_below(draw_of(&rule, "echo", 1, TO_CLIENT, i), PPM) < 400000;
    }
    assert_true(wanted > 20 && hit == wanted);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "flip", 1, NULL));
    assert_int_equal(wire_status(&fixture->executor, "flip").counts.fired, wanted);
    close(fd);
}

static void test_bandwidth_sets_the_rate_and_drops_its_tail(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = udp_rule(FAULT_DATAGRAM_bandwidth, "narrow");
    uint64_t begun_ns;

    rule.params.DATAGRAM_bandwidth.rate = 100000;
    rule.params.DATAGRAM_bandwidth.burst = 1000;
    rule.selector.direction = DIRECTION_TO_UPSTREAM;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    begun_ns = clock_now_ns();
    send_marks(fixture->fd, 1, 1, 50, 1000); /* 50 kB less the burst, at 100 kB/s */
    assert_int_equal(udp_server_wait(fixture->sink, 50), 50);
    assert_true(udp_server_notes(fixture->sink)[49].ns - begun_ns >= 490 * NS_PER_MS);
    assert_in_order(fixture->sink, 0, 1, 50);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "narrow", 1, NULL));
    assert_true(wire_status(&fixture->executor, "narrow").counts.fired >= 45);
    rule.params.DATAGRAM_bandwidth.rate = 100; /* ten seconds a datagram: none leaves the queue meanwhile */
    rule.params.DATAGRAM_bandwidth.limit = 10;
    assert_int_equal(wire_arm(&fixture->executor, 2, LEASE_NS, &rule, 1), 0);
    send_marks(fixture->fd, 1, 1, 50, 1000);
    wait_in_flight(fixture, "narrow", 10 * 1000);
    assert_int_equal(udp_server_wait(fixture->sink, 51), 51);
    while (wire_status(&fixture->executor, "narrow").counts.matched < 50)
        (void)poll(NULL, 0, 1);
    assert_int_equal(wire_status(&fixture->executor, "narrow").counts.fired, 49); /* ten wait, 39 found the queue full */
    assert_int_equal(wire_proxy(&fixture->executor, "sink").datagrams[0].dropped, 39);
    assert_int_equal(wire_release(&fixture->executor, 2), 0);
    assert_int_equal(udp_server_wait(fixture->sink, 61), 61);
    assert_in_order(fixture->sink, 50, 1, 11);
    udp_assert_accounts(&fixture->executor, "sink");
}

static void test_blackhole_keeps_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = udp_rule(FAULT_DATAGRAM_blackhole, "hole");
    int fd = udp_connect(fixture->echo_at);
    struct udp_mark mark;

    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    send_marks(fd, 1, 1, 20, 64);
    while (wire_status(&fixture->executor, "hole").counts.fired < 20)
        (void)poll(NULL, 0, 1);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "hole", 1, NULL));
    assert_int_equal(udp_server_count(fixture->echo), 0);
    assert_int_equal(wire_release(&fixture->executor, 1), 0);
    send_marks(fd, 1, 21, 1, 64);
    assert_true(udp_receive_mark(fd, (int)wire_timeout_ms(), &mark));
    assert_int_equal(mark.number, 21);
    assert_int_equal(udp_server_count(fixture->echo), 1);
    assert_int_equal(wire_status(&fixture->executor, "hole").counts.fired, 20);
    udp_assert_accounts(&fixture->executor, "echo");
    close(fd);
}

/* ---- selectors, bounds ------------------------------------------------------------------------------------------------ */

/* Numbers of those of 1 .. `count` that were dropped, as a text. */
static void lost_numbers(const struct udp_server *server, size_t begin, uint32_t client, uint32_t count, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (uint32_t number = 1; number <= count; number++) {
        bool found = false;

        for (size_t i = begin; i < udp_server_count(server); i++)
            found |= udp_server_notes(server)[i].mark.client == client && udp_server_notes(server)[i].mark.number == number;
        if (!found)
            used += (size_t)snprintf(text + used, size - used, "%s%u", used ? " " : "", number);
    }
}

struct selector_case {
    uint64_t first, last, nth, budget, size_min, size_max;
    const char *lost[2]; /* of two clients that send 1 .. 10 in turns; number n is 100 n bytes long */
    uint64_t fired;
};

static void test_selectors_count_datagrams_of_a_session(void **state)
{
    static const struct selector_case cases[] = {
        { 1, 0, 1, 0, 0, UINT64_MAX, { "1 2 3 4 5 6 7 8 9 10", "1 2 3 4 5 6 7 8 9 10" }, 20 },
        { 4, 0, 1, 0, 0, UINT64_MAX, { "4 5 6 7 8 9 10", "4 5 6 7 8 9 10" }, 14 },
        { 2, 3, 1, 0, 0, UINT64_MAX, { "2 3", "2 3" }, 4 },
        { 1, 0, 3, 0, 0, UINT64_MAX, { "3 6 9", "3 6 9" }, 6 },
        { 2, 9, 4, 0, 0, UINT64_MAX, { "5 9", "5 9" }, 4 },
        { 1, 0, 1, 3, 0, UINT64_MAX, { "1 2", "1" }, 3 },
        { 1, 0, 1, 0, 300, 500, { "3 4 5", "3 4 5" }, 6 },
        { 2, 0, 1, 0, 300, 500, { "4 5", "4 5" }, 4 },
    };
    struct fixture *fixture = *state;
    int other = udp_connect(fixture->sink_at);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct plan_rule rule = udp_rule(FAULT_DATAGRAM_blackhole, "some");
        size_t begin = udp_server_count(fixture->sink), kept = 20 - cases[i].fired;
        char lost[128];

        rule.selector.first = cases[i].first;
        rule.selector.last = cases[i].last;
        rule.selector.nth = cases[i].nth;
        rule.selector.budget = cases[i].budget;
        rule.selector.size_min = cases[i].size_min;
        rule.selector.size_max = cases[i].size_max;
        assert_int_equal(wire_arm(&fixture->executor, i + 1, LEASE_NS, &rule, 1), 0);
        for (uint32_t number = 1; number <= 10; number++) {
            send_marks(fixture->fd, 0, number, 1, 100 * number);
            send_marks(other, 1, number, 1, 100 * number);
        }
        while (wire_proxy(&fixture->executor, "sink").datagrams[TO_UPSTREAM].came < 20 * (i + 1))
            (void)poll(NULL, 0, 1);
        assert_int_equal(udp_server_wait(fixture->sink, begin + kept), begin + kept);
        udp_assert_accounts(&fixture->executor, "sink");
        for (uint32_t client = 0; client < 2; client++) {
            lost_numbers(fixture->sink, begin, client, 10, lost, sizeof(lost));
            assert_string_equal(lost, cases[i].lost[client]);
        }
        assert_int_equal(wire_status(&fixture->executor, "some").counts.fired, cases[i].fired);
    }
    close(other);
}

static void test_probability_client_and_observe(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rules[3] = { udp_rule(FAULT_DATAGRAM_blackhole, "half"), udp_rule(FAULT_DATAGRAM_blackhole, "others"), udp_rule(FAULT_DATAGRAM_blackhole, "watched") };
    uint32_t wanted = 0;

    rules[0].selector.probability_ppm = 500000;
    assert_int_equal(address_match_parse("127.0.0.0/8", &rules[1].selector.client), 0);
    rules[1].selector.client.negate = 1;
    rules[2].selector.observe = 1;
    for (uint32_t i = 1; i <= 200; i++) {
        uint64_t stream = rng_mix(rng_mix(rng_hash("sink"), 1), 1);

        wanted += rng_chance(rng_draw(SEED, rules[0].name_hash, stream, UINT64_C(2) * i), 500000);
    }
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, rules, 3), 0);
    send_marks(fixture->fd, 1, 1, 200, 64);
    assert_int_equal(udp_server_wait(fixture->sink, 200 - wanted), 200 - wanted);
    udp_assert_accounts(&fixture->executor, "sink");
    assert_true(wanted > 50 && wanted < 150);
    assert_int_equal(wire_status(&fixture->executor, "half").counts.fired, wanted);
    assert_int_equal(wire_status(&fixture->executor, "half").counts.eligible, 200);
    assert_int_equal(wire_status(&fixture->executor, "others").counts.matched, 0);
    assert_int_equal(wire_status(&fixture->executor, "watched").counts.fired, 200 - wanted);
    assert_int_equal(udp_server_count(fixture->sink), 200 - wanted);
}

/* Held bytes have a bound: what comes on top is lost, counted and told. */
static void test_hold_bound_is_told(void **state)
{
    struct injector_limits limits;
    struct fixture *fixture;
    struct plan_rule rule = udp_rule(FAULT_DATAGRAM_latency, "long");
    struct proxy_status status;
    struct event event;
    uint64_t kept;

    injector_limits_init(&limits);
    limits.hold_proxy_bytes_max = 100000;
    set_up_with(state, &limits);
    fixture = *state;
    rule.params.DATAGRAM_latency.latency = 300 * (int64_t)NS_PER_S;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    send_marks(fixture->fd, 1, 1, 200, 1000);
    assert_true(wire_event(&fixture->executor, EVENT_hold_full, "sink", 1, &event));
    assert_true(event.number[0] > 80000 && event.number[0] <= 100000);
    while (wire_status(&fixture->executor, "long").counts.matched < 200)
        (void)poll(NULL, 0, 1);
    wait_in_flight(fixture, "long", (uint64_t)event.number[0]);
    kept = (uint64_t)event.number[0] / 1000;
    status = wire_proxy(&fixture->executor, "sink");
    assert_int_equal(status.datagrams[0].no_room, 200 - kept);
    assert_int_equal(status.hold_full, 200 - kept);
    assert_int_equal(wire_event_count(&fixture->executor, EVENT_hold_full, "sink"), 1);
    assert_int_equal(wire_release(&fixture->executor, 1), 0);
    assert_int_equal(udp_server_wait(fixture->sink, kept), kept);
    assert_in_order(fixture->sink, 0, 1, (uint32_t)kept);
    udp_assert_accounts(&fixture->executor, "sink");
    assert_int_equal(tear_down(state), 0);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_loss_is_the_models),
        WITH(test_a_burst_is_the_links),
        WITH(test_latency_adds_up_both_ways),
        WITH(test_jitter_reorders_unless_order_is_kept),
        WITH(test_release_lets_held_datagrams_go),
        WITH(test_the_lease_and_the_window_let_them_go_too),
        WITH(test_rules_are_carried_over),
        WITH(test_duplicate),
        WITH(test_reorder_with_gap),
        WITH(test_corrupt_flips_one_bit),
        WITH(test_bandwidth_sets_the_rate_and_drops_its_tail),
        WITH(test_blackhole_keeps_nothing),
        WITH(test_selectors_count_datagrams_of_a_session),
        WITH(test_probability_client_and_observe),
        cmocka_unit_test(test_hold_bound_is_told),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
