/* Unix sockets on either side, IPv6, and upstreams known by name. Proxies stand in a row, so that each kind of address is both
 * listened on and dialled.
 * beside: others
 * also-on-backend: epoll */
#include "injector/resolve.h"
#include "scenarios/base/cleanup.h"
#include "tests/component/wire_fixture.h"

#include <sys/stat.h>
#include <sys/un.h>

static int open_at(struct fixture *fixture, const char *name, const char *listen, const char *upstream, struct proxy_status *ret_status)
{
    struct proxy_spec spec = { .name = "" };
    struct wire_answer answer;
    int result;

    snprintf(spec.name, sizeof(spec.name), "%s", name);
    snprintf(spec.listen, sizeof(spec.listen), "%s", listen);
    snprintf(spec.upstream, sizeof(spec.upstream), "%s", upstream);
    result = wire_ask(&fixture->executor, MESSAGE_OPEN, 0, 0, &spec, sizeof(spec), &answer);
    if (result >= 0)
        *ret_status = answer.payload.proxies[0];
    return result;
}

static int close_named(struct fixture *fixture, const char *name)
{
    struct proxy_spec spec = { .name = "" };

    snprintf(spec.name, sizeof(spec.name), "%s", name);
    return wire_ask(&fixture->executor, MESSAGE_CLOSE, 0, 0, &spec, sizeof(spec), NULL);
}

/* An address of a Unix socket in this test's own directory, and its path. */
static const char *unix_at(char *address, size_t size)
{
    const char *directory = getenv("TMPDIR");

    snprintf(address, size, "unix:%s/wire-%d.sock", directory && strlen(directory) < 60 ? directory : "/tmp", (int)getpid());
    return address + strlen("unix:");
}

static void check_row(struct fixture *fixture, const char *middle)
{
    struct plan_rule rules[2] = { wire_rule("latency", "slow"), wire_rule("limit_data", "limit") };
    struct proxy_status inner, outer;
    static uint64_t epoch;
    char byte;
    int fd;

    assert_int_equal(open_at(fixture, "inner", middle, fixture->echo_at, &inner), 0);
    assert_int_equal(open_at(fixture, "outer", "127.0.0.1:0", inner.spec.listen, &outer), 0);
    fd = wire_connect(outer.spec.listen);
    assert_true(fd >= 0);
    (void)transfer_ns(fd, 3, 1);
    (void)transfer_ns(fd, 4, 150000);
    rules[0].params.STREAM_latency.latency = 20 * MS;
    snprintf(rules[0].scope, sizeof(rules[0].scope), "inner");
    snprintf(rules[1].scope, sizeof(rules[1].scope), "inner");
    assert_int_equal(wire_arm(&fixture->executor, ++epoch, LEASE_NS, rules, 1), 0);
    assert_true(transfer_ns(fd, 5, 1000) >= 40 * MS);
    rules[1].selector.direction = DIRECTION_TO_CLIENT;
    rules[1].params.STREAM_limit_data.bytes = 151011;
    assert_int_equal(wire_arm(&fixture->executor, ++epoch, LEASE_NS, &rules[1], 1), 0);
    (void)transfer_ns(fd, 6, 10);
    assert_int_equal(wire_recv_some(fd, &byte, 1, (int)wire_timeout_ms()), 0); /* exactly at the limit: 1 + 150000 + 1000 + 10 */
    close(fd);
    assert_int_equal(wire_release(&fixture->executor, epoch), 0);
    assert_int_equal(close_named(fixture, "inner"), 0);
    fd = wire_connect(outer.spec.listen); /* nobody listens behind it any more: a reset */
    assert_true(fd < 0 || wire_recv_some(fd, &byte, 1, (int)wire_timeout_ms()) == -ECONNRESET);
    close(fd);
    assert_int_equal(close_named(fixture, "outer"), 0);
}

static void test_unix_sockets(void **state)
{
    char address[ADDRESS_TEXT_MAX];
    const char *path = unix_at(address, sizeof(address));
    struct proxy_status status;
    struct stat found;

    check_row(*state, address);
    assert_int_equal(lstat(path, &found), -1); /* removed with its listener */
    check_row(*state, "unix:@perturb-wire-test");
    assert_int_equal(open_at(*state, "a", address, "127.0.0.1:1", &status), 0);
    assert_string_equal(status.spec.listen, address);
    assert_int_equal(open_at(*state, "b", address, "127.0.0.1:1", &status), -EADDRINUSE);
    assert_int_equal(close_named(*state, "a"), 0);
    assert_int_equal(open_at(*state, "c", "unix:relative", "127.0.0.1:1", &status), -EINVAL);
    assert_int_equal(open_at(*state, "c", "unix:", "127.0.0.1:1", &status), -EINVAL);
}

/* What a process that died left behind is taken over; a file that is no socket is not touched. */
static void test_a_dead_socket_is_taken_over(void **state)
{
    char address[ADDRESS_TEXT_MAX];
    const char *path = unix_at(address, sizeof(address));
    struct sockaddr_storage bound;
    struct proxy_status status;
    socklen_t size;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_int_equal(resolve_address(address, true, &bound, &size), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&bound, size), 0);
    close(fd);
    check_row(*state, address);
    fclose(fopen(path, "w"));
    assert_int_equal(open_at(*state, "a", address, "127.0.0.1:1", &status), -EADDRINUSE);
    assert_int_equal(unlink(path), 0);
}

static void test_ipv6(void **state)
{
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    struct proxy_status status;

    if (fd < 0 || open_at(*state, "probe", "[::1]:0", "127.0.0.1:1", &status) < 0) {
        print_message("# skip: no IPv6 loopback here\n");
        skip();
    }
    close(fd);
    check_row(*state, "[::1]:0");
}

/* A name is looked up at each dial; one that does not exist turns its clients away and delays nobody else. */
static void test_names(void **state)
{
    struct fixture *fixture = *state;
    struct proxy_status known, unknown;
    char upstream[ADDRESS_TEXT_MAX], byte;
    int fd;

    snprintf(upstream, sizeof(upstream), "localhost:%u", wire_server_port(fixture->echo));
    assert_int_equal(open_at(fixture, "known", "127.0.0.1:0", upstream, &known), 0);
    assert_int_equal(open_at(fixture, "unknown", "127.0.0.1:0", "does-not-exist.invalid:80", &unknown), 0);
    for (int i = 0; i < 20; i++) {
        int lost_fd = wire_connect(unknown.spec.listen);

        fd = wire_connect(known.spec.listen);
        (void)transfer_ns(fd, 1, 20000);
        close(fd);
        close(lost_fd); /* gone before its answer, for some */
    }
    fd = wire_connect(unknown.spec.listen);
    assert_int_equal(wire_recv_some(fd, &byte, 1, 3 * (int)wire_timeout_ms()), -ECONNRESET);
    assert_true(wire_proxy(&fixture->executor, "unknown").connects_failed >= 1);
    assert_int_equal(wire_proxy(&fixture->executor, "known").connects_failed, 0);
    close(fd);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_unix_sockets),
        CASE(test_a_dead_socket_is_taken_over),
        CASE(test_ipv6),
        CASE(test_names),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
