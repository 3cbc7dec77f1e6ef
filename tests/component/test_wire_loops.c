/* Several loops: connections spread evenly, every count and bound holds over all of them, a plan acts on each connection once, and
 * proxies come and go. With one loop, two and four, whatever the processors.
 * also-on-backend: epoll */
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "tests/support/wire_peer.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define LEASE_NS (20 * NS_PER_S)
#define MS NS_PER_MS
#define MIB (1 << 20)

static const uint32_t loop_counts[] = { 1, 2, 4 };

struct fixture {
    struct wire_executor executor;
    struct wire_server *echo;
    char at[ADDRESS_TEXT_MAX];
};

static struct injector_limits limits_of(uint32_t loops)
{
    struct injector_limits limits;

    injector_raise_descriptors();
    injector_limits_init(&limits);
    limits.backend = wire_backend_wanted();
    limits.loops = loops;
    return limits;
}

static void begin(struct fixture *fixture, const struct injector_limits *limits)
{
    wire_executor_start(&fixture->executor, limits); /* forks: before any thread is started */
    fixture->echo = wire_server_start(wire_echo, NULL);
    wire_open(&fixture->executor, "echo", wire_server_port(fixture->echo), fixture->at, sizeof(fixture->at));
}

static void end(struct fixture *fixture)
{
    wire_server_stop(fixture->echo);
    assert_int_equal(wire_executor_end(&fixture->executor), 0);
}

static bool echoes(int fd, char byte)
{
    char back = 0;

    return wire_send_all(fd, &byte, 1) == 0 && wire_recv_all(fd, &back, 1) == 1 && back == byte;
}

/* ---- spread ----------------------------------------------------------------------------------------------------------- */

static int connect_unix(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void spread_at(struct injector *injector, uint32_t loops, const char *listen, uint16_t port)
{
    enum { CONNECTIONS = 40 };
    struct proxy_spec spec = { .name = "spread" };
    struct proxy_status status;
    int fds[CONNECTIONS];

    snprintf(spec.listen, sizeof(spec.listen), "%s", listen);
    snprintf(spec.upstream, sizeof(spec.upstream), "127.0.0.1:%u", port);
    assert_int_equal(injector_open_proxy(injector, &spec, &status), 0);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        fds[i] = strncmp(listen, "unix:", 5) ? wire_connect(status.spec.listen) : connect_unix(listen + 5);
        assert_true(echoes(fds[i], 'a'));
    }
    for (uint32_t i = 0; i < loops; i++)
        assert_int_equal(injector_loop_connections(injector, i), CONNECTIONS / loops);
    for (size_t i = 0; i < CONNECTIONS; i++)
        assert_true(echoes(fds[i], 'b'));
    assert_int_equal(injector_close_proxy(injector, "spread"), 0); /* and none is left, whichever loop serves it */
    for (size_t i = 0; i < CONNECTIONS; i++) {
        assert_int_equal(wire_recv_some(fds[i], &(char){ 0 }, 1, (int)wire_timeout_ms()), 0);
        close(fds[i]);
    }
}

static void test_connections_spread_evenly(void **state)
{
    const char *directory = getenv("TMPDIR");
    char path[ADDRESS_TEXT_MAX];

    (void)state;
    snprintf(path, sizeof(path), "unix:%s/loops-%d", directory ? directory : "/tmp", (int)getpid());
    for (size_t i = 0; i < ARRAY_SIZE(loop_counts); i++) {
        struct injector_limits limits = limits_of(loop_counts[i]);
        struct wire_server *server = wire_server_start(wire_echo, NULL);
        struct injector *injector;

        assert_int_equal(injector_new(&limits, &injector), 0);
        assert_int_equal(injector_loops(injector), loop_counts[i]);
        spread_at(injector, loop_counts[i], "127.0.0.1:0", wire_server_port(server));
        spread_at(injector, loop_counts[i], path, wire_server_port(server));
        injector_free(injector);
        wire_server_stop(server);
    }
}

/* A port that is taken is taken, by ours too; nobody else can listen on ours beside it. */
static void test_the_port_is_ours_alone(void **state)
{
    struct injector_limits limits = limits_of(4);
    struct proxy_spec spec = { .name = "one", .listen = "127.0.0.1:0", .upstream = "127.0.0.1:1" };
    struct injector *injectors[2];
    struct proxy_status status;

    (void)state;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(injector_new(&limits, &injectors[i]), 0);
    assert_int_equal(injector_open_proxy(injectors[0], &spec, &status), 0);
    spec = status.spec;
    assert_int_equal(injector_open_proxy(injectors[1], &spec, &status), -EADDRINUSE);
    assert_int_equal(injector_close_proxy(injectors[0], "one"), 0);
    assert_int_equal(injector_open_proxy(injectors[1], &spec, &status), 0);
    for (size_t i = 0; i < 2; i++)
        injector_free(injectors[i]);
}

/* ---- counts over all loops -------------------------------------------------------------------------------------------- */

static void wait_all_closed(struct fixture *fixture)
{
    uint64_t deadline_ns = clock_now_ns() + wire_timeout_ms() * MS;

    while (wire_proxy(&fixture->executor, "echo").connections_open && clock_now_ns() < deadline_ns)
        (void)poll(NULL, 0, 1);
}

/* A burst of connects, and the one of them that is meant, by its number in the order of accept. */
static void burst(struct fixture *fixture, uint64_t epoch)
{
    enum { BURST = 12, MEANT = 5 };
    struct plan_rule rule = wire_rule("reset_peer", "fifth");
    int fds[BURST];

    rule.selector.first = rule.selector.last = MEANT;
    assert_int_equal(wire_arm(&fixture->executor, epoch, LEASE_NS, &rule, 1), 0);
    for (size_t i = 0; i < BURST; i++)
        fds[i] = wire_connect(fixture->at);
    for (size_t i = 0; i < BURST; i++) {
        assert_int_equal(echoes(fds[i], 'x'), i != MEANT - 1);
        close(fds[i]);
    }
    assert_int_equal(wire_status(&fixture->executor, "fifth").counts.matched, BURST);
    assert_int_equal(wire_status(&fixture->executor, "fifth").counts.fired, 1);
    assert_int_equal(wire_release(&fixture->executor, epoch), 0);
    wait_all_closed(fixture); /* the next plan would count them first */
}

static void test_ordinals_follow_the_order_of_accept(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(loop_counts); i++) {
        struct injector_limits limits = limits_of(loop_counts[i]);
        struct fixture fixture;

        begin(&fixture, &limits);
        for (uint64_t epoch = 1; epoch <= 25; epoch++)
            burst(&fixture, epoch);
        end(&fixture);
    }
}

/* Connections come while the plan changes around a rule that stays: it counts each of them once. */
static void test_a_rule_that_is_carried_counts_once(void **state)
{
    enum { CONNECTIONS = 200 };
    struct injector_limits limits = limits_of(4);
    struct plan_rule rules[2] = { wire_rule("latency", "stays"), wire_rule("slicer", "goes") };
    struct fixture fixture;

    (void)state;
    begin(&fixture, &limits);
    rules[0].params.STREAM_latency.latency = MS;
    rules[1].params.STREAM_slicer = (struct params_STREAM_slicer){ 0, 900, 800, 0 };
    for (uint64_t i = 0; i < CONNECTIONS; i++) {
        int fd;

        assert_int_equal(wire_arm(&fixture.executor, 2 * i + 1, LEASE_NS, rules, 1), 0);
        fd = wire_connect(fixture.at); /* accepted before, at or after the change */
        assert_int_equal(wire_arm(&fixture.executor, 2 * i + 2, LEASE_NS, rules, 2), 0);
        assert_true(echoes(fd, 'x'));
        close(fd);
    }
    assert_int_equal(wire_status(&fixture.executor, "stays").counts.matched, CONNECTIONS);
    end(&fixture);
}

static void test_budgets_and_places_are_of_all_loops(void **state)
{
    enum { CONNECTIONS = 24 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(loop_counts); i++) {
        struct injector_limits limits = limits_of(loop_counts[i]);
        struct plan_rule budget = wire_rule("latency", "budget"), active = wire_rule("latency", "active");
        struct fixture fixture;
        int fds[CONNECTIONS];

        begin(&fixture, &limits);
        budget.selector.budget = 7;
        budget.params.STREAM_latency.latency = MS;
        active.selector.active_max = 3;
        active.params.STREAM_latency.latency = MS;
        for (size_t n = 0; n < CONNECTIONS; n++)
            fds[n] = wire_connect(fixture.at);
        assert_int_equal(wire_arm(&fixture.executor, 1, LEASE_NS, &budget, 1), 0);
        for (size_t n = 0; n < CONNECTIONS; n++)
            assert_true(echoes(fds[n], 'x'));
        assert_int_equal(wire_status(&fixture.executor, "budget").counts.fired, 7);
        assert_int_equal(wire_status(&fixture.executor, "budget").counts.skipped, CONNECTIONS - 7);
        assert_int_equal(wire_arm(&fixture.executor, 2, LEASE_NS, &active, 1), 0);
        for (size_t n = 0; n < CONNECTIONS; n++)
            assert_true(echoes(fds[n], 'y'));
        assert_int_equal(wire_status(&fixture.executor, "active").counts.fired, 3);
        for (size_t n = 0; n < CONNECTIONS; n++)
            close(fds[n]);
        end(&fixture);
    }
}

/* ---- rates and bounds over all loops ---------------------------------------------------------------------------------- */

/* Sends so much of the test stream. */
static void source(int fd, void *context)
{
    const size_t *size = context;
    char bytes[32768];

    for (size_t offset = 0; offset < *size; offset += sizeof(bytes)) {
        wire_fill(5, offset, bytes, sizeof(bytes));
        if (wire_send_all(fd, bytes, MIN(sizeof(bytes), *size - offset)) < 0)
            return;
    }
    shutdown(fd, SHUT_WR);
}

static void *read_whole(void *context)
{
    const int *fd = context;
    char bytes[32768], expected[32768];
    size_t have = 0;
    ssize_t got;

    while ((got = wire_recv_some(*fd, bytes, sizeof(bytes), (int)wire_timeout_ms())) > 0) {
        wire_fill(5, have, expected, (size_t)got);
        if (memcmp(bytes, expected, (size_t)got) != 0)
            break;
        have += (size_t)got;
    }
    return (void *)(uintptr_t)(got ? 0 : have);
}

/* All of them at once, through the proxy: each comes whole. */
static void read_all(const int *fds, size_t count, size_t size)
{
    pthread_t threads[16];
    void *have;

    assert_true(count <= ARRAY_SIZE(threads));
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_whole, (void *)(uintptr_t)&fds[i]), 0);
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], &have);
        assert_int_equal((uintptr_t)have, size);
        close(fds[i]);
    }
}

static void test_a_shared_rate_is_of_all_loops(void **state)
{
    enum { CONNECTIONS = 8, RATE = 4000000 };
    size_t size = 400000;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(loop_counts); i++) {
        struct injector_limits limits = limits_of(loop_counts[i]);
        struct plan_rule rule = wire_rule("bandwidth", "shared");
        struct wire_server *server;
        struct fixture fixture;
        char at[ADDRESS_TEXT_MAX];
        int fds[CONNECTIONS];
        double took_s, wanted_s = (double)(CONNECTIONS * size) / RATE;
        uint64_t begun_ns;

        begin(&fixture, &limits);
        server = wire_server_start(source, &size);
        wire_open(&fixture.executor, "source", wire_server_port(server), at, sizeof(at));
        rule.params.STREAM_bandwidth.rate = RATE;
        rule.params.STREAM_bandwidth.scope = 1;
        rule.selector.direction = DIRECTION_TO_CLIENT;
        assert_int_equal(wire_arm(&fixture.executor, 1, LEASE_NS, &rule, 1), 0);
        begun_ns = clock_now_ns();
        for (size_t n = 0; n < CONNECTIONS; n++)
            fds[n] = wire_connect(at);
        read_all(fds, CONNECTIONS, size);
        took_s = (double)(clock_now_ns() - begun_ns) / 1e9;
        print_message("# %u loops: %.2f s at the shared rate, %.2f expected\n", loop_counts[i], took_s, wanted_s);
        assert_true(took_s > 0.95 * wanted_s);
        assert_true(took_s < 1.5 * wanted_s + 0.5);
        wire_server_stop(server);
        end(&fixture);
    }
}

/* Waits until the proxy holds `least` and then no more for a tenth of a second, or for the deadline. */
static struct proxy_status settled(struct fixture *fixture, const char *proxy, uint64_t least)
{
    uint64_t deadline_ns = clock_now_ns() + wire_timeout_ms() * NS_PER_MS;
    struct proxy_status before, now = wire_proxy(&fixture->executor, proxy);

    do {
        before = now;
        (void)poll(NULL, 0, 100);
        now = wire_proxy(&fixture->executor, proxy);
    } while ((now.held_bytes != before.held_bytes || now.held_bytes < least) && clock_now_ns() < deadline_ns);
    return now;
}

/* The proxy's bound is one for all loops, and so is the memory behind it. */
static void test_held_bytes_are_bounded_over_all_loops(void **state)
{
    enum { CONNECTIONS = 16, BOUND = 4 * MIB };
    size_t size = 3 * MIB;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(loop_counts); i++) {
        struct injector_limits limits = limits_of(loop_counts[i]);
        struct plan_rule rule = wire_rule("latency", "slow");
        struct proxy_status status;
        struct wire_server *server;
        struct fixture fixture;
        char at[ADDRESS_TEXT_MAX];
        int fds[CONNECTIONS];

        limits.hold_proxy_bytes_max = BOUND;
        limits.pool_bytes_max = 24 * MIB;
        begin(&fixture, &limits);
        server = wire_server_start(source, &size);
        wire_open(&fixture.executor, "source", wire_server_port(server), at, sizeof(at));
        rule.params.STREAM_latency.latency = 600 * (int64_t)NS_PER_S;
        rule.selector.direction = DIRECTION_TO_CLIENT;
        assert_int_equal(wire_arm(&fixture.executor, 1, LEASE_NS, &rule, 1), 0);
        for (size_t n = 0; n < CONNECTIONS; n++)
            fds[n] = wire_connect(at);
        status = settled(&fixture, "source", 3 * BOUND / 4);
        print_message("# %u loops: %.2f MiB held at most\n", loop_counts[i], (double)status.held_bytes_peak / MIB);
        assert_true(status.held_bytes_peak > 3 * BOUND / 4);
        assert_true(status.held_bytes_peak <= BOUND + loop_counts[i] * MIB); /* a cancelled receive takes a turn, in each loop */
        assert_true(status.hold_full > 0);
        assert_int_equal(wire_release(&fixture.executor, 1), 0);
        read_all(fds, CONNECTIONS, size);
        assert_int_equal(wire_proxy(&fixture.executor, "source").held_bytes, 0);
        wire_server_stop(server);
        end(&fixture);
    }
}

/* One connection may hold what the memory of all loops allows, though it lives in one. */
static void test_one_loop_may_use_the_memory_of_all(void **state)
{
    struct injector_limits limits = limits_of(4);
    struct plan_rule rule = wire_rule("latency", "slow");
    size_t size = 12 * MIB;
    struct wire_server *server;
    struct proxy_status status;
    struct fixture fixture;
    char at[ADDRESS_TEXT_MAX];
    int fd;

    (void)state;
    limits.pool_bytes_max = 32 * MIB;
    begin(&fixture, &limits);
    server = wire_server_start(source, &size);
    wire_open(&fixture.executor, "source", wire_server_port(server), at, sizeof(at));
    rule.params.STREAM_latency.latency = 600 * (int64_t)NS_PER_S;
    for (uint64_t round = 0; round < 5; round++) { /* each loop in turn: what one gave back another takes */
        assert_int_equal(wire_arm(&fixture.executor, 2 * round + 1, LEASE_NS, &rule, 1), 0);
        fd = wire_connect(at);
        status = settled(&fixture, "source", 5 * MIB);
        assert_true(status.held_bytes >= 5 * MIB); /* a link may hold half of what is free; of a quarter that would be 2.3 */
        assert_int_equal(wire_release(&fixture.executor, 2 * round + 1), 0);
        read_all(&fd, 1, size);
    }
    wire_server_stop(server);
    end(&fixture);
}

/* ---- coming and going ------------------------------------------------------------------------------------------------- */

static void *connect_on(void *context)
{
    const char *at = context;
    for (int i = 0; i < 1000; i++) {
        int fd = wire_connect(at);

        if (fd >= 0)
            (void)wire_send_all(fd, "x", 1);
        close(fd);
    }
    return NULL;
}

/* A proxy is closed and opened again, at the same address and place, while clients connect to it all the time. */
static void test_proxies_come_and_go_under_connects(void **state)
{
    enum { ROUNDS = 100 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(loop_counts); i++) {
        struct injector_limits limits = limits_of(loop_counts[i]);
        struct proxy_spec spec = { .name = "echo" };
        struct wire_answer answer;
        struct fixture fixture;
        pthread_t thread;
        int fd;

        begin(&fixture, &limits);
        snprintf(spec.listen, sizeof(spec.listen), "%s", fixture.at);
        snprintf(spec.upstream, sizeof(spec.upstream), "127.0.0.1:%u", wire_server_port(fixture.echo));
        assert_int_equal(pthread_create(&thread, NULL, connect_on, fixture.at), 0);
        for (int round = 0; round < ROUNDS; round++) {
            assert_int_equal(wire_ask(&fixture.executor, MESSAGE_CLOSE, 0, 0, &spec, sizeof(spec), NULL), 0);
            assert_int_equal(wire_ask(&fixture.executor, MESSAGE_OPEN, 0, 0, &spec, sizeof(spec), &answer), 0);
        }
        pthread_join(thread, NULL);
        fd = wire_connect(fixture.at);
        assert_true(echoes(fd, 'z'));
        close(fd);
        end(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_spread_evenly),
        cmocka_unit_test(test_the_port_is_ours_alone),
        cmocka_unit_test(test_ordinals_follow_the_order_of_accept),
        cmocka_unit_test(test_a_rule_that_is_carried_counts_once),
        cmocka_unit_test(test_budgets_and_places_are_of_all_loops),
        cmocka_unit_test(test_a_shared_rate_is_of_all_loops),
        cmocka_unit_test(test_held_bytes_are_bounded_over_all_loops),
        cmocka_unit_test(test_one_loop_may_use_the_memory_of_all),
        cmocka_unit_test(test_proxies_come_and_go_under_connects),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
