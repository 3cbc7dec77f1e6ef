/* More than there is: descriptors, connections, places in a backlog; upstreams that never answer; ports that others took; plans that
 * change a thousand times a second. What is lost is counted, what is not goes on, and afterwards all is as before.
 * also-on-backend: epoll */
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "tests/support/wire_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LEASE_NS (20 * NS_PER_S)
#define MS NS_PER_MS

struct fixture {
    struct wire_executor executor;
    struct wire_server *echo;
    char at[ADDRESS_TEXT_MAX];
};

static int set_up_with(void **state, uint32_t connections_max)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct injector_limits limits;

    injector_raise_descriptors();
    injector_limits_init(&limits);
    limits.loops = 2;
    if (connections_max)
        limits.connections_max = connections_max;
    wire_executor_start(&fixture->executor, &limits);
    fixture->echo = wire_server_start(wire_echo, NULL);
    wire_open(&fixture->executor, "echo", wire_server_port(fixture->echo), fixture->at, sizeof(fixture->at));
    *state = fixture;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, 0);
}

static int set_up_few(void **state)
{
    return set_up_with(state, 100);
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

static bool echoes(int fd, char byte)
{
    char back = 0;

    return fd >= 0 && wire_send_all(fd, &byte, 1) == 0 && wire_recv_all(fd, &back, 1) == 1 && back == byte;
}

/* It is seen once: the dead of a storm may lie in the listener's queue yet, and come and go after. */
static void wait_no_connections_but(struct fixture *fixture, uint64_t count)
{
    uint64_t deadline_ns = clock_now_ns() + wire_timeout_ms() * MS, open;

    while ((open = wire_proxy(&fixture->executor, "echo").connections_open) != count && clock_now_ns() < deadline_ns)
        (void)poll(NULL, 0, 2);
    assert_int_equal(open, count);
}

static void wait_no_connections(struct fixture *fixture)
{
    wait_no_connections_but(fixture, 0);
}

static int connect_later(const char *at)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    address.sin_port = htons((uint16_t)strtoul(strrchr(at, ':') + 1, NULL, 10));
    assert_true(fd >= 0);
    assert_true(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EINPROGRESS);
    return fd;
}

/* ---- upstreams -------------------------------------------------------------------------------------------------------- */

/* A listener whose queue is full drops SYNs: the dial neither succeeds nor fails. */
static void test_an_upstream_that_never_answers(void **state)
{
    enum { FILLERS = 4, CLIENTS = 40 };
    struct fixture *fixture = *state;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(address);
    int listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fillers[FILLERS], fds[CLIENTS], other;
    struct proxy_spec spec = { .name = "mute" };
    char at[ADDRESS_TEXT_MAX];

    assert_int_equal(bind(listen_fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(listen_fd, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(listen(listen_fd, 0), 0);
    snprintf(at, sizeof(at), "127.0.0.1:%u", ntohs(address.sin_port));
    for (size_t i = 0; i < FILLERS; i++)
        fillers[i] = connect_later(at);
    wire_open(&fixture->executor, "mute", ntohs(address.sin_port), at, sizeof(at));
    for (size_t i = 0; i < CLIENTS; i++) {
        fds[i] = wire_connect(at);
        assert_int_equal(wire_send_all(fds[i], "hello", 5), 0);
    }
    assert_true(wire_is_silent(fds[CLIENTS - 1], 50));
    other = wire_connect(fixture->at);
    assert_true(echoes(other, 'a')); /* nobody else waits for it */
    for (size_t i = 0; i < CLIENTS / 4; i++)
        close(fds[i]);
    assert_int_equal(wire_ask(&fixture->executor, MESSAGE_CLOSE, 0, 0, &spec, sizeof(spec), NULL), 0);
    for (size_t i = CLIENTS / 4; i < CLIENTS; i++) { /* an end, not a wait for the dial's */
        char byte;

        assert_true(wire_recv_some(fds[i], &byte, 1, (int)wire_timeout_ms()) != -ETIMEDOUT);
        close(fds[i]);
    }
    assert_true(echoes(other, 'b'));
    close(other);
    for (size_t i = 0; i < FILLERS; i++)
        close(fillers[i]);
    close(listen_fd);
}

/* ---- descriptors and connections -------------------------------------------------------------------------------------- */

/* Many connect at once, each says a byte; some hear it back, the others are turned away or wait. How many heard. */
static unsigned storm(struct fixture *fixture, int *fds, size_t count)
{
    unsigned heard = 0;

    for (size_t i = 0; i < count; i++)
        fds[i] = connect_later(fixture->at);
    for (size_t i = 0; i < count; i++) {
        struct pollfd polled = { .fd = fds[i], .events = POLLOUT };

        if (poll(&polled, 1, 20) > 0)
            (void)!send(fds[i], "s", 1, MSG_NOSIGNAL);
    }
    for (size_t i = 0; i < count; i++) {
        char byte;

        heard += wire_recv_some(fds[i], &byte, 1, heard < 20 ? 500 : 0) == 1;
    }
    return heard;
}

static void drop_all(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i % 2)
            (void)setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
        close(fds[i]);
    }
}

/* The dead of a storm may still lie in the listener's queue, and take descriptors on their way through: whoever comes in their midst may
 * be turned away yet. A connection that is served, or -1 when none is within the deadline. */
static int served_again(struct fixture *fixture, char byte)
{
    uint64_t deadline_ns = clock_now_ns() + wire_timeout_ms() * MS;
    int fd;

    do {
        fd = wire_connect(fixture->at);
        if (echoes(fd, byte))
            return fd;
        close(fd);
    } while (clock_now_ns() < deadline_ns);
    return -1;
}

static void test_out_of_descriptors(void **state)
{
    enum { CLIENTS = 600 };
    struct fixture *fixture = *state;
    struct rlimit before, few = { 100, 100 };
    static int fds[CLIENTS];
    int kept = wire_connect(fixture->at), fresh;
    unsigned heard;

    assert_true(echoes(kept, 'a'));
    assert_int_equal(prlimit(fixture->executor.pid, RLIMIT_NOFILE, NULL, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_int_equal(prlimit(fixture->executor.pid, RLIMIT_NOFILE, &few, NULL), 0);
    for (int round = 0; round < 3; round++) {
        heard = storm(fixture, fds, CLIENTS);
        assert_in_range(heard, 1, 99);
        assert_true(echoes(kept, 'b')); /* who is in stays in */
        drop_all(fds, CLIENTS);
    }
    wait_no_connections_but(fixture, 1);
    fresh = served_again(fixture, 'c'); /* and there is room again, without a word to us */
    assert_true(fresh >= 0);
    close(fresh);
    assert_int_equal(prlimit(fixture->executor.pid, RLIMIT_NOFILE, &before, NULL), 0);
    assert_true(echoes(kept, 'd'));
    close(kept);
    wait_no_connections(fixture);
}

static void test_more_connections_than_places(void **state)
{
    enum { CLIENTS = 3000 };
    struct fixture *fixture = *state;
    static int fds[CLIENTS];
    int kept = wire_connect(fixture->at), fresh;
    struct proxy_status status;
    unsigned heard;

    assert_true(echoes(kept, 'a'));
    for (int round = 0; round < 3; round++) {
        heard = storm(fixture, fds, CLIENTS);
        assert_in_range(heard, 1, 99);
        status = wire_proxy(&fixture->executor, "echo");
        assert_true(status.connections_open <= 100);
        assert_true(echoes(kept, 'b'));
        drop_all(fds, CLIENTS);
    }
    status = wire_proxy(&fixture->executor, "echo");
    assert_true(status.connects_failed > 0); /* turned away, and counted */
    wait_no_connections_but(fixture, 1);
    fresh = served_again(fixture, 'c');
    assert_true(fresh >= 0);
    close(fresh);
    close(kept);
    wait_no_connections(fixture);
}

/* ---- ports ------------------------------------------------------------------------------------------------------------ */

static void test_a_port_that_others_took(void **state)
{
    struct fixture *fixture = *state;
    struct proxy_spec spec = { .name = "echo" };
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct wire_answer answer;
    int thief = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

    snprintf(spec.listen, sizeof(spec.listen), "%s", fixture->at);
    snprintf(spec.upstream, sizeof(spec.upstream), "127.0.0.1:%u", wire_server_port(fixture->echo));
    address.sin_port = htons((uint16_t)strtoul(strrchr(fixture->at, ':') + 1, NULL, 10));
    assert_int_equal(wire_ask(&fixture->executor, MESSAGE_CLOSE, 0, 0, &spec, sizeof(spec), NULL), 0);
    assert_int_equal(setsockopt(thief, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)), 0);
    assert_int_equal(bind(thief, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(thief, 1), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(wire_ask(&fixture->executor, MESSAGE_OPEN, 0, 0, &spec, sizeof(spec), NULL), -EADDRINUSE);
    close(thief);
    assert_int_equal(wire_ask(&fixture->executor, MESSAGE_OPEN, 0, 0, &spec, sizeof(spec), &answer), 0);
    fd = wire_connect(fixture->at);
    assert_true(echoes(fd, 'a'));
    close(fd);
}

/* ---- plans ------------------------------------------------------------------------------------------------------------ */

struct load {
    const char *at;
    bool stop;     /* (atomic) */
    uint64_t done; /* (atomic) bytes echoed as they were sent */
    bool wrong;
};

static void *exchange_on(void *context)
{
    struct load *load = context;
    char out[3000], in[sizeof(out)];
    int fd = wire_connect(load->at);

    for (uint64_t offset = 0; !__atomic_load_n(&load->stop, __ATOMIC_RELAXED); offset += sizeof(out)) {
        wire_fill(11, offset, out, sizeof(out));
        if (wire_send_all(fd, out, sizeof(out)) < 0 || wire_recv_all(fd, in, sizeof(in)) != sizeof(in) || memcmp(in, out, sizeof(out)) != 0) {
            load->wrong = true;
            break;
        }
        __atomic_fetch_add(&load->done, sizeof(out), __ATOMIC_RELAXED);
    }
    close(fd);
    return NULL;
}

/* Plans are put in force and taken back as fast as they are acknowledged, under exchanges that compare every byte. */
static void test_a_thousand_plans_a_second(void **state)
{
    enum { CHANGES = 3000, LOADS = 4 };
    struct fixture *fixture = *state;
    struct plan_rule rules[3] = { wire_rule("latency", "a"), wire_rule("slicer", "b"), wire_rule("bandwidth", "c") };
    struct load loads[LOADS];
    pthread_t threads[LOADS];
    uint64_t begun_ns, least = UINT64_MAX, took_ns;

    rules[0].params.STREAM_latency.latency = MS / 2;
    rules[1].params.STREAM_slicer = (struct params_STREAM_slicer){ 0, 900, 800, 0 };
    rules[2].params.STREAM_bandwidth.rate = 50000000;
    for (size_t i = 0; i < LOADS; i++) {
        loads[i] = (struct load){ .at = fixture->at };
        assert_int_equal(pthread_create(&threads[i], NULL, exchange_on, &loads[i]), 0);
    }
    begun_ns = clock_now_ns();
    for (uint64_t epoch = 1; epoch <= CHANGES; epoch++) {
        assert_int_equal(wire_arm(&fixture->executor, epoch, LEASE_NS, &rules[epoch % 3], 1 + (uint32_t)(epoch % 3 == 0)), 0);
        if (epoch % 4 == 0)
            assert_int_equal(wire_release(&fixture->executor, epoch), 0);
    }
    took_ns = clock_now_ns() - begun_ns;
    assert_int_equal(wire_release(&fixture->executor, CHANGES), 0);
    for (size_t i = 0; i < LOADS; i++) {
        __atomic_store_n(&loads[i].stop, true, __ATOMIC_RELAXED);
        pthread_join(threads[i], NULL);
        assert_false(loads[i].wrong);
        least = MIN(least, loads[i].done);
    }
    print_message("# %.0f changes of plan a second over 2 loops\n", CHANGES / ((double)took_ns / 1e9));
    assert_true(least > 0);
    wait_no_connections(fixture);
    assert_int_equal(wire_ask(&fixture->executor, MESSAGE_VERIFY, 0, 0, NULL, 0, NULL), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_an_upstream_that_never_answers),
        CASE(test_out_of_descriptors),
        cmocka_unit_test_setup_teardown(test_more_connections_than_places, set_up_few, tear_down),
        CASE(test_a_port_that_others_took),
        CASE(test_a_thousand_plans_a_second),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
