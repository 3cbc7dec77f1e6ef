/* Hard moments of the wire executor: leases that lapse, stale and foreign plans, peers that vanish at every stage, slow readers,
 * thousands of connections, and the life of the process.
 * also-on-backend: epoll */
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "tests/support/wire_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LEASE_NS (20 * NS_PER_S)
#define MS NS_PER_MS
#define MIB (1 << 20)

struct fixture {
    struct wire_executor executor;
    struct wire_server *echo;
    char echo_at[ADDRESS_TEXT_MAX];
};

static int set_up_with(void **state, const struct injector_limits *limits)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    wire_executor_start(&fixture->executor, limits);
    fixture->echo = wire_server_start(wire_echo, NULL);
    wire_open(&fixture->executor, "echo", wire_server_port(fixture->echo), fixture->echo_at, sizeof(fixture->echo_at));
    *state = fixture;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, NULL);
}

/* Small bounds, so that a test reaches them. */
static int set_up_small(void **state)
{
    struct injector_limits limits;

    injector_limits_init(&limits);
    limits.hold_connection_bytes_max = MIB;
    limits.hold_proxy_bytes_max = 4 * MIB;
    limits.pool_bytes_max = 32 * MIB;
    return set_up_with(state, &limits);
}

/* Less memory than the bounds would allow to hold. */
static int set_up_starved(void **state)
{
    struct injector_limits limits;

    injector_limits_init(&limits);
    limits.pool_bytes_max = 3 * MIB;
    return set_up_with(state, &limits);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    int status;

    wire_server_stop(fixture->echo);
    status = wire_executor_end(&fixture->executor);
    free(fixture);
    return status;
}

static void set_linger_reset(int fd)
{
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
}

static bool echoes(int fd, char byte)
{
    char back = 0;

    return wire_send_all(fd, &byte, 1) == 0 && wire_recv_all(fd, &back, 1) == 1 && back == byte;
}

static uint64_t deadline_after_timeout(void)
{
    return clock_now_ns() + wire_timeout_ms() * MS;
}

static void wait_no_connections(struct fixture *fixture, const char *proxy)
{
    uint64_t deadline_ns = deadline_after_timeout();
    struct proxy_status status;

    do {
        status = wire_proxy(&fixture->executor, proxy);
        (void)poll(NULL, 0, 2);
    } while (status.connections_open && clock_now_ns() < deadline_ns);
    assert_int_equal(status.connections_open, 0);
    assert_int_equal(status.held_bytes, 0);
}

/* ---- leases and plans ------------------------------------------------------------------------------------------------- */

static void test_a_lapsed_lease_passes_through(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("blackhole", "hole");
    int fd = wire_connect(fixture->echo_at);
    uint64_t armed_ns;
    struct event event;
    char byte;

    assert_true(echoes(fd, 'a'));
    armed_ns = clock_now_ns();
    assert_int_equal(wire_arm(&fixture->executor, 1, 150 * MS, &rule, 1), 0);
    assert_int_equal(wire_send_all(fd, "b", 1), 0);
    assert_int_equal(wire_recv_all(fd, &byte, 1), 1); /* flows on at the end of the lease */
    assert_true(clock_now_ns() - armed_ns >= 150 * MS);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "hole", 1, NULL));
    assert_true(wire_event(&fixture->executor, EVENT_fault_expired, "wire", 1, &event));
    assert_true(event.ns >= armed_ns + 150 * MS);
    assert_int_equal(wire_ask(&fixture->executor, MESSAGE_RENEW, 1, LEASE_NS, NULL, 0, NULL), -ESTALE);
    assert_true(echoes(fd, 'c'));
    assert_int_equal(wire_status(&fixture->executor, "hole").counts.fired, 1);
    assert_int_equal(wire_ask(&fixture->executor, MESSAGE_VERIFY, 0, 0, NULL, 0, NULL), 0);
    close(fd);
}

static void test_renewal_prolongs(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("blackhole", "hole");
    int fd = wire_connect(fixture->echo_at);
    uint64_t armed_ns;

    assert_true(echoes(fd, 'a'));
    armed_ns = clock_now_ns();
    assert_int_equal(wire_arm(&fixture->executor, 1, 2000 * MS, &rule, 1), 0);
    assert_int_equal(wire_send_all(fd, "b", 1), 0);
    while (clock_now_ns() < armed_ns + 2300 * MS) {
        assert_int_equal(wire_ask(&fixture->executor, MESSAGE_RENEW, 1, 2000 * MS, NULL, 0, NULL), 0);
        assert_true(wire_is_silent(fd, 100));
    }
    assert_int_equal(wire_ask(&fixture->executor, MESSAGE_RENEW, 2, LEASE_NS, NULL, 0, NULL), -ESTALE);
    assert_int_equal(wire_ask(&fixture->executor, MESSAGE_VERIFY, 0, 0, NULL, 0, NULL), -EBUSY);
    assert_int_equal(wire_event_count(&fixture->executor, EVENT_fault_expired, NULL), 0);
    close(fd);
    assert_int_equal(wire_release(&fixture->executor, 1), 0);
}

static int arm_raw(struct fixture *fixture, enum message_verb verb, const struct plan *plan, size_t size)
{
    return wire_ask(&fixture->executor, verb, plan->epoch, LEASE_NS, plan, size, NULL);
}

static void test_wrong_plans_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("latency", "slow");
    struct plan *plan = calloc(1, PLAN_SIZE(1)), *broken = calloc(1, PLAN_SIZE(1));
    const struct fault_desc *call_fault = fault_find("alloc_fail", BIT(LAYER_CALL), NULL);

    *plan = (struct plan){ .magic = PLAN_MAGIC, .version = PLAN_VERSION, .rule_size = sizeof(rule), .rule_count = 1,
                           .epoch = 5, .seed = 1 };
    plan->rules[0] = rule;
    assert_int_equal(arm_raw(fixture, MESSAGE_PREPARE, plan, PLAN_SIZE(1)), 0);
    assert_int_equal(arm_raw(fixture, MESSAGE_ARM, plan, PLAN_SIZE(1)), 0);
    assert_int_equal(arm_raw(fixture, MESSAGE_ARM, plan, PLAN_SIZE(1)), -ESTALE);
    assert_int_equal(arm_raw(fixture, MESSAGE_PREPARE, plan, PLAN_SIZE(1)), -ESTALE);
    plan->epoch = 6;
    assert_int_equal(arm_raw(fixture, MESSAGE_ARM, broken, PLAN_SIZE(1)), -EPROTO);
    assert_int_equal(arm_raw(fixture, MESSAGE_ARM, plan, PLAN_SIZE(1) - 1), -EINVAL);
    assert_int_equal(wire_ask(&fixture->executor, MESSAGE_ARM, 6, LEASE_NS, NULL, 0, NULL), -EPROTO);
    plan->rules[0].params.STREAM_latency.latency = -1;
    assert_int_equal(arm_raw(fixture, MESSAGE_ARM, plan, PLAN_SIZE(1)), -EINVAL);
    plan->rules[0] = rule;
    snprintf(plan->rules[0].scope, sizeof(plan->rules[0].scope), "nowhere");
    assert_int_equal(arm_raw(fixture, MESSAGE_ARM, plan, PLAN_SIZE(1)), -ENOENT);
    plan_rule_init(&plan->rules[0], call_fault, NULL);
    assert_int_equal(arm_raw(fixture, MESSAGE_PREPARE, plan, PLAN_SIZE(1)), -ENOTSUP);
    assert_int_equal(wire_status(&fixture->executor, "slow").counts.fired, 0); /* epoch 5 is in force still */
    assert_int_equal(wire_release(&fixture->executor, 9), 0);
    plan->rules[0] = rule;
    assert_int_equal(arm_raw(fixture, MESSAGE_ARM, plan, PLAN_SIZE(1)), -ESTALE); /* 6 is not above the released 9 */
    assert_int_equal(wire_ask(&fixture->executor, MESSAGE_VERIFY, 0, 0, NULL, 0, NULL), 0);
    free(plan);
    free(broken);
}

static int open_spec(struct fixture *fixture, const char *name, const char *listen, const char *upstream)
{
    struct proxy_spec spec = { .name = "" };

    snprintf(spec.name, sizeof(spec.name), "%s", name);
    snprintf(spec.listen, sizeof(spec.listen), "%s", listen);
    snprintf(spec.upstream, sizeof(spec.upstream), "%s", upstream);
    return wire_ask(&fixture->executor, MESSAGE_OPEN, 0, 0, &spec, sizeof(spec), NULL);
}

static void test_wrong_proxies_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct proxy_spec spec = { .name = "echo" };
    int fd = wire_connect(fixture->echo_at);
    char byte;

    assert_int_equal(open_spec(fixture, "busy", fixture->echo_at, "127.0.0.1:1"), -EADDRINUSE);
    assert_int_equal(open_spec(fixture, "echo", "127.0.0.1:0", "127.0.0.1:1"), -EEXIST);
    assert_int_equal(open_spec(fixture, "", "127.0.0.1:0", "127.0.0.1:1"), -EINVAL);
    assert_int_equal(open_spec(fixture, "x", "127.0.0.1", "127.0.0.1:1"), -EINVAL);
    assert_int_equal(open_spec(fixture, "x", "127.0.0.1:0", ":1"), -EINVAL);
    assert_int_equal(open_spec(fixture, "x", "::1:0", "127.0.0.1:1"), -EINVAL);
    assert_int_equal(open_spec(fixture, "x", "127.0.0.1:0", "127.0.0.1:no-such-service"), -ENOENT);
    assert_int_equal(open_spec(fixture, "x", "203.0.113.1:0", "127.0.0.1:1"), -EADDRNOTAVAIL);
    assert_int_equal(open_spec(fixture, "x", "[::1]:0", "localhost:1"), 0);
    assert_int_equal(wire_ask(&fixture->executor, MESSAGE_OPEN, 0, 0, "short", 5, NULL), -EINVAL);
    assert_true(echoes(fd, 'a'));
    assert_int_equal(wire_ask(&fixture->executor, MESSAGE_CLOSE, 0, 0, &spec, sizeof(spec), NULL), 0);
    assert_int_equal(wire_connect(fixture->echo_at), -ECONNREFUSED);
    assert_int_equal(wire_recv_some(fd, &byte, 1, (int)wire_timeout_ms()), 0);
    assert_int_equal(wire_ask(&fixture->executor, MESSAGE_CLOSE, 0, 0, &spec, sizeof(spec), NULL), -ENOENT);
    close(fd);
    assert_int_equal(open_spec(fixture, "echo", fixture->echo_at, "127.0.0.1:1"), 0); /* the port is free again at once */
}

/* ---- the process ------------------------------------------------------------------------------------------------------ */

static bool is_alive(pid_t pid)
{
    return waitpid(pid, NULL, WNOHANG) == 0;
}

static void test_traffic_outlives_control(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("latency", "slow");
    int fd = wire_connect(fixture->echo_at), second_fd;
    uint64_t armed_ns;

    assert_true(echoes(fd, 'a'));
    rule.params.STREAM_latency.latency = 50 * MS;
    rule.selector.direction = DIRECTION_TO_CLIENT;
    armed_ns = clock_now_ns();
    assert_int_equal(wire_arm(&fixture->executor, 1, 1500 * MS, &rule, 1), 0);
    close(fixture->executor.fd);
    fixture->executor.fd = -1;
    kill(fixture->executor.pid, SIGINT);
    kill(fixture->executor.pid, SIGHUP);
    while (clock_now_ns() < armed_ns + 1200 * MS) {
        uint64_t begun_ns = clock_now_ns();

        assert_true(echoes(fd, 'b')); /* the plan acts on, its lease not being over */
        assert_true(clock_now_ns() - begun_ns >= 50 * MS || clock_now_ns() > armed_ns + 1500 * MS);
    }
    (void)wire_is_silent(fd, 600); /* past the lease and the grace: the open connection keeps it alive */
    assert_true(is_alive(fixture->executor.pid));
    assert_true(echoes(fd, 'c'));
    second_fd = wire_connect(fixture->echo_at); /* and it still accepts */
    assert_true(echoes(second_fd, 'd'));
    close(fd);
    close(second_fd);
    /* tear_down waits for its end */
}

static void test_termination_drains(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("blackhole", "hole");
    int fd = wire_connect(fixture->echo_at);
    char byte;

    assert_true(echoes(fd, 'a'));
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    assert_int_equal(wire_send_all(fd, "b", 1), 0);
    kill(fixture->executor.pid, SIGTERM);
    assert_int_equal(wire_recv_all(fd, &byte, 1), 1); /* released */
    (void)wire_is_silent(fd, 500);
    assert_true(is_alive(fixture->executor.pid));
    assert_true(echoes(fd, 'c'));
    close(fd);
}

static void test_a_foreign_message_ends_control_not_traffic(void **state)
{
    struct fixture *fixture = *state;
    int fd = wire_connect(fixture->echo_at);
    char junk[64], byte;

    memset(junk, 0x5a, sizeof(junk));
    assert_true(echoes(fd, 'a'));
    assert_int_equal(wire_send_all(fixture->executor.fd, junk, sizeof(junk)), 0);
    assert_int_equal(wire_recv_some(fixture->executor.fd, &byte, 1, (int)wire_timeout_ms()) > 0, 0);
    assert_true(echoes(fd, 'b'));
    close(fd);
}

/* ---- peers ------------------------------------------------------------------------------------------------------------ */

static void test_upstream_down_is_a_reset(void **state)
{
    struct fixture *fixture = *state;
    char at[ADDRESS_TEXT_MAX], byte;
    int unused = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(address);

    assert_int_equal(bind(unused, (struct sockaddr *)&address, size), 0); /* bound, not listening: refused */
    assert_int_equal(getsockname(unused, (struct sockaddr *)&address, &size), 0);
    wire_open(&fixture->executor, "down", ntohs(address.sin_port), at, sizeof(at));
    for (int i = 0; i < 20; i++) {
        int fd = wire_connect(at);

        assert_true(fd >= 0 || fd == -ECONNRESET);
        if (fd >= 0)
            assert_int_equal(wire_recv_some(fd, &byte, 1, (int)wire_timeout_ms()), -ECONNRESET);
        close(fd);
    }
    assert_int_equal(wire_proxy(&fixture->executor, "down").connects_failed, 20);
    assert_int_equal(wire_proxy(&fixture->executor, "down").connections, 20);
    wait_no_connections(fixture, "down");
    close(unused);
}

/* An upstream that resets after so many bytes, 0 at once. */
static void reset_after(int fd, void *context)
{
    const size_t *after = context;
    char bytes[65536];
    size_t have = 0;

    while (have < *after) {
        ssize_t got = recv(fd, bytes, MIN(sizeof(bytes), *after - have), 0);

        if (got <= 0)
            break;
        have += (size_t)got;
    }
    set_linger_reset(fd);
}

static void reset_clients(struct fixture *fixture, const char *at, const char *bytes, size_t size)
{
    for (size_t stage = 0; stage < 6; stage++)
        for (int i = 0; i < 10; i++) {
            int fd = wire_connect(at);
            char back[4096];

            if (fd < 0) /* the upstream's reset may come first */
                continue;
            if (stage >= 1)
                (void)wire_send_all(fd, bytes, stage >= 3 ? size : 10);
            if (stage >= 2)
                (void)wire_recv_some(fd, back, sizeof(back), stage >= 4 ? 3 : 0);
            if (stage == 5)
                shutdown(fd, SHUT_WR);
            else if (i % 2)
                set_linger_reset(fd);
            close(fd);
        }
    (void)fixture;
}

static void test_peers_reset_at_every_stage(void **state)
{
    static const char *const faults[] = { NULL, "latency", "bandwidth", "slicer", "blackhole", "timeout", "limit_data", "reset_peer" };
    struct fixture *fixture = *state;
    size_t after[2] = { 0, 5000 };
    struct wire_server *resetting[2];
    char at[3][ADDRESS_TEXT_MAX], *bytes = calloc(1, 300000);
    uint64_t epoch = 0;
    int fd;

    snprintf(at[2], sizeof(at[2]), "%s", fixture->echo_at);
    for (size_t i = 0; i < 2; i++) {
        resetting[i] = wire_server_start(reset_after, &after[i]);
        wire_open(&fixture->executor, i ? "later" : "now", wire_server_port(resetting[i]), at[i], sizeof(at[i]));
    }
    for (size_t f = 0; f < ARRAY_SIZE(faults); f++) {
        if (faults[f]) {
            struct plan_rule rule = wire_rule(faults[f], "f");

            if (!strcmp(faults[f], "bandwidth"))
                rule.params.STREAM_bandwidth.rate = 10000000;
            if (!strcmp(faults[f], "limit_data"))
                rule.params.STREAM_limit_data.bytes = 20000;
            if (!strcmp(faults[f], "latency"))
                rule.params.STREAM_latency.latency = 5 * MS;
            if (!strcmp(faults[f], "reset_peer"))
                rule.params.STREAM_reset_peer.after = 2 * MS;
            assert_int_equal(wire_arm(&fixture->executor, ++epoch, LEASE_NS, &rule, 1), 0);
        }
        for (size_t i = 0; i < 3; i++)
            reset_clients(fixture, at[i], bytes, 300000);
        assert_int_equal(wire_release(&fixture->executor, epoch), 0);
        wait_no_connections(fixture, "now");
        wait_no_connections(fixture, "later");
        wait_no_connections(fixture, "echo");
    }
    fd = wire_connect(fixture->echo_at);
    assert_true(echoes(fd, 'z'));
    close(fd);
    wire_server_stop(resetting[0]);
    wire_server_stop(resetting[1]);
    free(bytes);
}

/* A peer's reset reaches the other peer as a reset, behind the bytes sent before it. */
static void test_a_reset_travels_behind_bytes(void **state)
{
    struct fixture *fixture = *state;
    size_t after = 4;
    struct wire_server *server = wire_server_start(reset_after, &after);
    char at[ADDRESS_TEXT_MAX], byte;
    int fd;

    wire_open(&fixture->executor, "reset", wire_server_port(server), at, sizeof(at));
    fd = wire_connect(at);
    assert_int_equal(wire_send_all(fd, "1234", 4), 0);
    assert_int_equal(wire_recv_some(fd, &byte, 1, (int)wire_timeout_ms()), -ECONNRESET);
    close(fd);
    wire_server_stop(server);
}

/* ---- pressure --------------------------------------------------------------------------------------------------------- */

static void test_thousands_of_connections(void **state)
{
    struct fixture *fixture = *state;
    enum { ROUNDS = 15, AT_ONCE = 200 };
    int fds[AT_ONCE];

    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < AT_ONCE; i++) {
            fds[i] = wire_connect(fixture->echo_at);
            assert_true(fds[i] >= 0);
            assert_int_equal(wire_send_all(fds[i], &i, sizeof(i)), 0);
        }
        for (int i = 0; i < AT_ONCE; i++) {
            int back = -1;

            assert_int_equal(wire_recv_all(fds[i], &back, sizeof(back)), sizeof(back));
            assert_int_equal(back, i);
            close(fds[i]);
        }
    }
    wait_no_connections(fixture, "echo");
    assert_int_equal(wire_proxy(&fixture->executor, "echo").connections, ROUNDS * AT_ONCE);
    assert_int_equal(wire_proxy(&fixture->executor, "echo").bytes_to_client, ROUNDS * AT_ONCE * sizeof(int));
}

/* Sends the test stream until it is cut; counts. */
static void source(int fd, void *context)
{
    uint64_t *sent = context;
    char bytes[65536];

    for (size_t offset = 0; offset < 24 * MIB; offset += sizeof(bytes)) {
        wire_fill(3, offset, bytes, sizeof(bytes));
        if (wire_send_all(fd, bytes, sizeof(bytes)) < 0)
            return;
        __atomic_fetch_add(sent, sizeof(bytes), __ATOMIC_RELAXED);
    }
    shutdown(fd, SHUT_WR);
}

static void read_whole(int fd)
{
    char bytes[65536], expected[65536];
    size_t have = 0;
    ssize_t got;

    while ((got = wire_recv_some(fd, bytes, sizeof(bytes), (int)wire_timeout_ms())) > 0) {
        wire_fill(3, have, expected, (size_t)got);
        assert_memory_equal(bytes, expected, (size_t)got);
        have += (size_t)got;
    }
    assert_int_equal(got, 0);
    assert_int_equal(have, 24 * MIB);
}

/* Waits until the source is stuck; returns what it has sent by then. */
static uint64_t stuck_at(const uint64_t *sent)
{
    uint64_t before, now = 0;

    do {
        before = now;
        (void)poll(NULL, 0, 150);
        now = __atomic_load_n(sent, __ATOMIC_RELAXED);
    } while (now != before || !now);
    return now;
}

static void test_a_slow_reader_pushes_back(void **state)
{
    struct fixture *fixture = *state;
    uint64_t sent = 0;
    struct wire_server *server = wire_server_start(source, &sent);
    char at[ADDRESS_TEXT_MAX];
    int fd;

    wire_open(&fixture->executor, "source", wire_server_port(server), at, sizeof(at));
    fd = wire_connect(at);
    assert_true(stuck_at(&sent) < 20 * MIB); /* kernel buffers on two sockets, our window, one ring of buffers */
    assert_int_equal(wire_proxy(&fixture->executor, "source").hold_full, 0); /* no fault holds anything */
    read_whole(fd);
    close(fd);
    wire_server_stop(server);
}

static void test_held_bytes_are_bounded_and_reported(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("latency", "slow");
    uint64_t sent = 0;
    struct wire_server *server = wire_server_start(source, &sent);
    struct proxy_status status;
    struct event event;
    char at[ADDRESS_TEXT_MAX];
    int fds[8];

    wire_open(&fixture->executor, "source", wire_server_port(server), at, sizeof(at));
    rule.params.STREAM_latency.latency = 600 * (int64_t)NS_PER_S;
    rule.selector.direction = DIRECTION_TO_CLIENT;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    fds[0] = wire_connect(at);
    assert_true(wire_event(&fixture->executor, EVENT_hold_full, "source", 1, &event));
    assert_true(event.number[0] > MIB / 2);
    (void)stuck_at(&sent);
    status = wire_proxy(&fixture->executor, "source");
    assert_in_range(status.held_bytes_peak, MIB / 2, 2 * MIB + 64 * 1024); /* the bound, and one ring of receive buffers */
    assert_int_equal(status.held_bytes_max, 4 * MIB);
    for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
        fds[i] = wire_connect(at);
    (void)stuck_at(&sent);
    status = wire_proxy(&fixture->executor, "source");
    assert_in_range(status.held_bytes_peak, 3 * MIB, 5 * MIB + 64 * 1024); /* and the proxy's, though there are eight */
    assert_true(status.hold_full >= 2);
    assert_int_equal(wire_event_count(&fixture->executor, EVENT_hold_full, NULL), 1);
    assert_int_equal(wire_release(&fixture->executor, 1), 0);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        read_whole(fds[i]);
        close(fds[i]);
    }
    wait_no_connections(fixture, "source");
    wire_server_stop(server);
}

/* More connections held than the pool has chunks: all of them come through in the end. */
static void test_an_exhausted_pool_loses_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("latency", "slow");
    uint64_t sent = 0;
    struct wire_server *server = wire_server_start(source, &sent);
    char at[ADDRESS_TEXT_MAX];
    int fds[10];

    wire_open(&fixture->executor, "source", wire_server_port(server), at, sizeof(at));
    rule.params.STREAM_latency.latency = 20 * MS;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fds[i] = wire_connect(at);
    (void)stuck_at(&sent);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        if (i == ARRAY_SIZE(fds) / 2)
            assert_int_equal(wire_release(&fixture->executor, 1), 0);
        read_whole(fds[i]);
        close(fds[i]);
    }
    wait_no_connections(fixture, "source");
    wire_server_stop(server);
}

static void *read_in_thread(void *context)
{
    read_whole(*(int *)context);
    return NULL;
}

/* Plans change hundreds of times while a stream runs. */
static void test_faults_come_and_go_under_load(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rules[3] = { wire_rule("latency", "a"), wire_rule("slicer", "b"), wire_rule("bandwidth", "c") };
    uint64_t sent = 0;
    struct wire_server *server = wire_server_start(source, &sent);
    char at[ADDRESS_TEXT_MAX];
    pthread_t threads[2];
    int fds[2];

    rules[0].params.STREAM_latency = (struct params_STREAM_latency){ .latency = MS, .jitter = MS, .distribution = 2, .period = NS_PER_S };
    rules[1].params.STREAM_slicer = (struct params_STREAM_slicer){ 0, 900, 800, 0 };
    rules[2].params.STREAM_bandwidth.rate = 200000000;
    wire_open(&fixture->executor, "source", wire_server_port(server), at, sizeof(at));
    for (size_t i = 0; i < 2; i++) {
        fds[i] = wire_connect(at);
        assert_int_equal(pthread_create(&threads[i], NULL, read_in_thread, &fds[i]), 0);
    }
    for (uint64_t epoch = 1; epoch <= 300; epoch++) {
        assert_int_equal(wire_arm(&fixture->executor, epoch, LEASE_NS, &rules[epoch % 3], 1 + (uint32_t)(epoch % 3 == 0)), 0);
        if (epoch % 5 == 0)
            assert_int_equal(wire_release(&fixture->executor, epoch), 0);
    }
    assert_int_equal(wire_release(&fixture->executor, 300), 0);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        close(fds[i]);
    }
    wire_server_stop(server);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_a_lapsed_lease_passes_through),
        CASE(test_renewal_prolongs),
        CASE(test_wrong_plans_are_refused),
        CASE(test_wrong_proxies_are_refused),
        CASE(test_traffic_outlives_control),
        CASE(test_termination_drains),
        CASE(test_a_foreign_message_ends_control_not_traffic),
        CASE(test_upstream_down_is_a_reset),
        CASE(test_peers_reset_at_every_stage),
        CASE(test_a_reset_travels_behind_bytes),
        CASE(test_thousands_of_connections),
        CASE(test_a_slow_reader_pushes_back),
        cmocka_unit_test_setup_teardown(test_held_bytes_are_bounded_and_reported, set_up_small, tear_down),
        cmocka_unit_test_setup_teardown(test_an_exhausted_pool_loses_nothing, set_up_starved, tear_down),
        CASE(test_faults_come_and_go_under_load),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
