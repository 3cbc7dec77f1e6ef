/* UDP proxies as both ends see them: sessions, addresses, sizes, ends, bounds.
 * also-on-backend: epoll */
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "tests/support/udp_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define LEASE_NS (20 * NS_PER_S)
#define PAYLOAD_MAX 65507

static int timeout_ms(void)
{
    return (int)wire_timeout_ms();
}

/* An echo and a proxy before it. */
struct setting {
    struct wire_executor executor;
    struct udp_server *server;
    char at[ADDRESS_TEXT_MAX];
};

static void begin(struct setting *setting, const struct injector_limits *limits, const char *listen, const char *server_at, uint64_t idle_ns)
{
    memset(setting, 0, sizeof(*setting));
    wire_executor_start(&setting->executor, limits);
    setting->server = udp_server_start(server_at, true);
    udp_open_proxy(&setting->executor, "udp", listen, udp_server_address(setting->server), idle_ns, setting->at, sizeof(setting->at));
}

static void end(struct setting *setting)
{
    udp_server_stop(setting->server);
    assert_int_equal(wire_executor_end(&setting->executor), 0);
}

static void assert_echo(int fd, uint32_t client, uint32_t number, size_t size)
{
    struct udp_mark mark;

    assert_int_equal(udp_send_mark(fd, client, number, size), 0);
    assert_true(udp_receive_mark(fd, timeout_ms(), &mark));
    assert_int_equal(mark.client, client);
    assert_int_equal(mark.number, number);
}

static void test_datagrams_pass_whole(void **state)
{
    static const size_t sizes[] = { 8, 9, 512, 1472, 1473, 9000, 60000, PAYLOAD_MAX };
    struct setting setting;
    struct proxy_status status;
    uint8_t bytes[65536], back[65536];
    int fd;

    (void)state;
    begin(&setting, NULL, "127.0.0.1:0", "127.0.0.1:0", 0);
    fd = udp_connect(setting.at);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        wire_fill(i, 0, bytes, sizes[i]);
        assert_int_equal(send(fd, bytes, sizes[i], 0), sizes[i]);
        assert_int_equal(udp_receive(fd, back, sizeof(back), timeout_ms()), sizes[i]);
        assert_memory_equal(back, bytes, sizes[i]);
    }
    assert_int_equal(send(fd, bytes, 0, 0), 0); /* an empty datagram is one */
    assert_int_equal(udp_receive(fd, back, sizeof(back), timeout_ms()), 0);
    udp_assert_accounts(&setting.executor, "udp");
    status = wire_proxy(&setting.executor, "udp");
    assert_int_equal(status.connections, 1);
    assert_int_equal(status.connections_open, 1);
    assert_int_equal(status.datagrams[0].passed, ARRAY_SIZE(sizes) + 1);
    assert_int_equal(status.datagrams[1].passed, ARRAY_SIZE(sizes) + 1);
    assert_int_equal(status.bytes_to_client, status.bytes_to_upstream);
    close(fd);
    end(&setting);
}

/* Answers come from the address that the client spoke to: a connected client takes no others. */
static void test_answers_come_from_the_address_spoken_to(void **state)
{
    struct setting setting;
    char at[ADDRESS_TEXT_MAX];
    const char *port;

    (void)state;
    begin(&setting, NULL, "0.0.0.0:0", "127.0.0.1:0", 0);
    port = strrchr(setting.at, ':');
    for (int i = 1; i <= 3; i++) {
        int fd;

        snprintf(at, sizeof(at), "127.0.0.%d%s", i, port);
        fd = udp_connect(at);
        assert_echo(fd, (uint32_t)i, 1, 100);
        close(fd);
    }
    assert_int_equal(wire_proxy(&setting.executor, "udp").connections, 3);
    end(&setting);
}

static void test_ipv6(void **state)
{
    struct setting setting;
    char at[ADDRESS_TEXT_MAX];
    int fd;

    (void)state;
    begin(&setting, NULL, "[::]:0", "[::1]:0", 0); /* of both families */
    snprintf(at, sizeof(at), "[::1]%s", strrchr(setting.at, ':'));
    fd = udp_connect(at);
    assert_echo(fd, 1, 1, 2000);
    close(fd);
    snprintf(at, sizeof(at), "127.0.0.2%s", strrchr(setting.at, ':'));
    fd = udp_connect(at);
    assert_echo(fd, 2, 1, 2000);
    close(fd);
    end(&setting);
    begin(&setting, NULL, "[::1]:0", "127.0.0.1:0", 0); /* from one to the other */
    fd = udp_connect(setting.at);
    assert_echo(fd, 3, 1, 2000);
    close(fd);
    end(&setting);
}

static void wait_for_sessions(struct setting *setting, uint64_t open)
{
    uint64_t deadline_ns = clock_now_ns() + wire_timeout_ms() * NS_PER_MS;

    while (wire_proxy(&setting->executor, "udp").connections_open != open && clock_now_ns() < deadline_ns)
        (void)poll(NULL, 0, 5);
    assert_int_equal(wire_proxy(&setting->executor, "udp").connections_open, open);
}

static void test_an_idle_session_ends(void **state)
{
    struct setting setting;
    struct proxy_status status;
    uint64_t begun_ns;
    int fd;

    (void)state;
    begin(&setting, NULL, "127.0.0.1:0", "127.0.0.1:0", 50 * NS_PER_MS);
    fd = udp_connect(setting.at);
    begun_ns = clock_now_ns();
    assert_echo(fd, 1, 1, 100);
    wait_for_sessions(&setting, 0);
    assert_true(clock_now_ns() - begun_ns >= 50 * NS_PER_MS);
    assert_echo(fd, 1, 2, 100); /* the client notices nothing: it has a new one */
    status = wire_proxy(&setting.executor, "udp");
    assert_int_equal(status.connections, 2);
    assert_int_equal(status.sessions_expired, 1);
    assert_int_equal(status.sessions_evicted, 0);
    udp_assert_accounts(&setting.executor, "udp");
    close(fd);
    end(&setting);
}

static void raise_descriptors(void)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = MIN(limit.rlim_max, (rlim_t)8192);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Each client is answered by its own words only. */
static void test_thousands_of_sessions(void **state)
{
    enum { CLIENTS = 1500 };
    static int fds[CLIENTS];
    struct injector_limits limits;
    struct setting setting;
    struct proxy_status status;

    (void)state;
    raise_descriptors();
    injector_limits_init(&limits);
    limits.connections_max = 2000;
    begin(&setting, &limits, "127.0.0.1:0", "127.0.0.1:0", 0);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        fds[i] = udp_connect(setting.at);
        assert_int_equal(udp_send_mark(fds[i], i, 1, 64), 0);
        if (i % 100 == 99)
            assert_int_equal(udp_server_wait(setting.server, i + 1), i + 1);
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct udp_mark mark;

        assert_true(udp_receive_mark(fds[i], timeout_ms(), &mark));
        assert_int_equal(mark.client, i);
    }
    for (uint32_t i = 0; i < CLIENTS; i += 7)
        assert_echo(fds[i], i, 2, 64);
    status = wire_proxy(&setting.executor, "udp");
    assert_int_equal(status.connections, CLIENTS);
    assert_int_equal(status.connections_open, CLIENTS);
    assert_int_equal(status.sessions_evicted, 0);
    udp_assert_accounts(&setting.executor, "udp");
    for (uint32_t i = 0; i < CLIENTS; i++)
        close(fds[i]);
    end(&setting);
}

/* At the bound the one that was not used for the longest time gives way, and is counted. */
static void test_the_oldest_session_gives_way(void **state)
{
    struct injector_limits limits;
    struct setting setting;
    struct proxy_status status;
    int fds[5];

    (void)state;
    injector_limits_init(&limits);
    limits.connections_max = 4;
    begin(&setting, &limits, "127.0.0.1:0", "127.0.0.1:0", 0);
    for (uint32_t i = 0; i < 4; i++) {
        fds[i] = udp_connect(setting.at);
        assert_echo(fds[i], i, 1, 64);
    }
    assert_echo(fds[0], 0, 2, 64); /* now the second is the oldest */
    fds[4] = udp_connect(setting.at);
    assert_echo(fds[4], 4, 1, 64);
    status = wire_proxy(&setting.executor, "udp");
    assert_int_equal(status.connections, 5);
    assert_int_equal(status.connections_open, 4);
    assert_int_equal(status.sessions_evicted, 1);
    assert_echo(fds[0], 0, 3, 64);
    assert_int_equal(wire_proxy(&setting.executor, "udp").connections, 5); /* it had kept its own */
    assert_echo(fds[1], 1, 2, 64);
    assert_int_equal(wire_proxy(&setting.executor, "udp").connections, 6); /* that one had not */
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    end(&setting);
}

/* Nobody listens upstream: its ICMP errors are counted, and the session serves as soon as somebody does. */
static void test_upstream_refuses_then_serves(void **state)
{
    struct setting setting;
    struct udp_server *server;
    struct proxy_status status;
    char upstream[ADDRESS_TEXT_MAX], at[ADDRESS_TEXT_MAX];
    uint64_t deadline_ns = clock_now_ns() + wire_timeout_ms() * NS_PER_MS;
    uint32_t sent = 0;
    int fd;

    (void)state;
    begin(&setting, NULL, "127.0.0.1:0", "127.0.0.1:0", 0);
    server = udp_server_start("127.0.0.1:0", true);
    snprintf(upstream, sizeof(upstream), "%s", udp_server_address(server));
    udp_server_stop(server);
    udp_open_proxy(&setting.executor, "dead", "127.0.0.1:0", upstream, 0, at, sizeof(at));
    fd = udp_connect(at);
    do {
        assert_int_equal(udp_send_mark(fd, 1, ++sent, 64), 0);
        (void)poll(NULL, 0, 5);
        status = wire_proxy(&setting.executor, "dead");
    } while (status.upstream_refused < 3 && clock_now_ns() < deadline_ns);
    assert_true(status.upstream_refused >= 3 && status.upstream_refused <= sent);
    assert_int_equal(status.connections_open, 1);
    server = udp_server_start(upstream, true);
    assert_echo(fd, 1, ++sent, 64);
    close(fd);
    udp_server_stop(server);
    end(&setting);
}

/* A name is looked up by helpers; what comes meanwhile waits. One that does not exist costs its datagrams and nothing else. */
static void test_upstream_by_name(void **state)
{
    struct setting setting;
    struct proxy_status status;
    char upstream[ADDRESS_TEXT_MAX], at[ADDRESS_TEXT_MAX], dead_at[ADDRESS_TEXT_MAX];
    uint64_t deadline_ns = clock_now_ns() + wire_timeout_ms() * NS_PER_MS;
    int fd, dead;

    (void)state;
    begin(&setting, NULL, "127.0.0.1:0", "127.0.0.1:0", 0);
    snprintf(upstream, sizeof(upstream), "localhost%s", strrchr(udp_server_address(setting.server), ':'));
    udp_open_proxy(&setting.executor, "named", "127.0.0.1:0", upstream, 0, at, sizeof(at));
    udp_open_proxy(&setting.executor, "nobody", "127.0.0.1:0", "no-such-host.invalid:53", 0, dead_at, sizeof(dead_at));
    fd = udp_connect(at);
    assert_int_equal(udp_send_mark(fd, 1, 1, 64), 0);
    assert_int_equal(udp_send_mark(fd, 1, 2, 64), 0);
    for (uint32_t i = 1; i <= 2; i++) {
        struct udp_mark mark;

        assert_true(udp_receive_mark(fd, timeout_ms(), &mark));
        assert_int_equal(mark.number, i);
    }
    dead = udp_connect(dead_at);
    assert_int_equal(udp_send_mark(dead, 1, 1, 64), 0);
    do
        status = wire_proxy(&setting.executor, "nobody");
    while ((!status.connects_failed || status.connections_open) && clock_now_ns() < deadline_ns);
    assert_int_equal(status.connects_failed, 1);
    assert_int_equal(status.connections_open, 0);
    assert_int_equal(status.datagrams[0].failed, 1);
    assert_echo(fd, 1, 3, 64);
    close(fd);
    close(dead);
    end(&setting);
}

/* Of several loops each proxy has one; a closed one serves no more, and its name and address are free again. */
static void test_several_loops_and_closing(void **state)
{
    enum { PROXIES = 5 };
    struct injector_limits limits;
    struct setting setting;
    char at[PROXIES][ADDRESS_TEXT_MAX], name[16];
    struct proxy_spec spec = { .name = "p1" };
    int fds[PROXIES];

    (void)state;
    injector_limits_init(&limits);
    limits.loops = 3;
    begin(&setting, &limits, "127.0.0.1:0", "127.0.0.1:0", 0);
    for (uint32_t i = 0; i < PROXIES; i++) {
        snprintf(name, sizeof(name), "p%u", i);
        udp_open_proxy(&setting.executor, name, "127.0.0.1:0", udp_server_address(setting.server), 0, at[i], sizeof(at[i]));
        fds[i] = udp_connect(at[i]);
        assert_echo(fds[i], i, 1, 64);
    }
    assert_int_equal(wire_ask(&setting.executor, MESSAGE_CLOSE, 0, 0, &spec, sizeof(spec), NULL), 0);
    (void)udp_send_mark(fds[1], 1, 2, 64);
    assert_int_equal(udp_receive(fds[1], name, sizeof(name), timeout_ms()), -ECONNREFUSED);
    udp_open_proxy(&setting.executor, "p1", at[1], udp_server_address(setting.server), 0, at[1], sizeof(at[1]));
    for (uint32_t i = 0; i < PROXIES; i++) {
        assert_echo(fds[i], i, 3, 64);
        close(fds[i]);
    }
    end(&setting);
}

static void test_what_cannot_be_opened(void **state)
{
    struct proxy_spec spec = { .name = "x", .listen = "127.0.0.1:0", .upstream = "unix:/x", .protocol = PROTOCOL_UDP };
    struct setting setting;

    (void)state;
    begin(&setting, NULL, "127.0.0.1:0", "127.0.0.1:0", 0);
    assert_int_equal(wire_ask(&setting.executor, MESSAGE_OPEN, 0, 0, &spec, sizeof(spec), NULL), -EINVAL);
    snprintf(spec.upstream, sizeof(spec.upstream), "127.0.0.1:1");
    snprintf(spec.listen, sizeof(spec.listen), "unix:/x");
    assert_int_equal(wire_ask(&setting.executor, MESSAGE_OPEN, 0, 0, &spec, sizeof(spec), NULL), -EINVAL);
    snprintf(spec.listen, sizeof(spec.listen), "%s", setting.at);
    assert_int_equal(wire_ask(&setting.executor, MESSAGE_OPEN, 0, 0, &spec, sizeof(spec), NULL), -EADDRINUSE);
    spec.protocol = 2;
    assert_int_equal(wire_ask(&setting.executor, MESSAGE_OPEN, 0, 0, &spec, sizeof(spec), NULL), -EINVAL);
    end(&setting);
}

/* A fault of the other kind of proxy is refused by name, and one for every proxy leaves those of the other kind alone. */
static void test_stream_faults_do_not_fit(void **state)
{
    struct plan_rule rules[2] = { wire_rule("reset_peer", "stream"), udp_rule(FAULT_DATAGRAM_loss, "loss") };
    struct setting setting;
    int fd;

    (void)state;
    begin(&setting, NULL, "127.0.0.1:0", "127.0.0.1:0", 0);
    snprintf(rules[0].scope, sizeof(rules[0].scope), "udp");
    assert_int_equal(wire_arm(&setting.executor, 1, LEASE_NS, rules, 1), -ENOTSUP);
    rules[0].scope[0] = '\0';
    assert_int_equal(wire_arm(&setting.executor, 2, LEASE_NS, rules, 1), 0);
    fd = udp_connect(setting.at);
    assert_echo(fd, 1, 1, 64);
    assert_int_equal(wire_status(&setting.executor, "stream").counts.matched, 0);
    close(fd);
    end(&setting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_datagrams_pass_whole),
        cmocka_unit_test(test_answers_come_from_the_address_spoken_to),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_an_idle_session_ends),
        cmocka_unit_test(test_thousands_of_sessions),
        cmocka_unit_test(test_the_oldest_session_gives_way),
        cmocka_unit_test(test_upstream_refuses_then_serves),
        cmocka_unit_test(test_upstream_by_name),
        cmocka_unit_test(test_several_loops_and_closing),
        cmocka_unit_test(test_what_cannot_be_opened),
        cmocka_unit_test(test_stream_faults_do_not_fit),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
