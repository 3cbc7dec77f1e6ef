/* The wire executor as a process, between real sockets: forwarding, half-close, leases, the life of the process. Every transfer
 * is hashed at both ends.
 * also-on-backend: epoll */
#include "scenarios/base/clock.h"
#include "tests/support/wire_peer.h"

#include <errno.h>
#include <netinet/tcp.h>
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

struct fixture {
    struct wire_executor executor;
    struct wire_server *server;
    char listen[ADDRESS_TEXT_MAX];
};

static int set_up_loops(void **state, uint32_t loops)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct injector_limits limits;

    injector_limits_init(&limits);
    limits.loops = loops;
    wire_executor_start(&fixture->executor, &limits); /* forks: before any thread is started */
    fixture->server = wire_server_start(wire_echo, NULL);
    wire_open(&fixture->executor, "echo", wire_server_port(fixture->server), fixture->listen, sizeof(fixture->listen));
    *state = fixture;
    return 0;
}

static int set_up(void **state)
{
    return set_up_loops(state, 1);
}

static int set_up_two(void **state)
{
    return set_up_loops(state, 2);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    int status;

    wire_server_stop(fixture->server);
    status = wire_executor_end(&fixture->executor);
    free(fixture);
    return status;
}

/* ---- forwarding ------------------------------------------------------------------------------------------------------- */

struct sender {
    int fd;
    uint64_t seed;
    size_t size;
};

static void *send_stream(void *context)
{
    const struct sender *sender = context;
    char bytes[40000];
    uint64_t state = sender->seed;

    for (size_t sent = 0; sent < sender->size;) {
        size_t size;

        state = state * 6364136223846793005u + 1442695040888963407u;
        size = MIN(1 + (size_t)(state >> 33) % sizeof(bytes), sender->size - sent);
        wire_fill(sender->seed, sent, bytes, size);
        if (wire_send_all(sender->fd, bytes, size) < 0)
            break;
        sent += size;
    }
    shutdown(sender->fd, SHUT_WR);
    return NULL;
}

static uint64_t stream_hash(uint64_t seed, size_t size)
{
    char bytes[4096];
    uint64_t hash = 0;

    for (size_t done = 0; done < size; done += MIN(size - done, sizeof(bytes))) {
        wire_fill(seed, done, bytes, MIN(size - done, sizeof(bytes)));
        hash = wire_hash(hash, bytes, MIN(size - done, sizeof(bytes)));
    }
    return hash;
}

/* Sends a stream through the echo while reading it back; the answer comes whole although we shut down writing first. */
static void exchange(const char *listen, uint64_t seed, size_t size)
{
    struct sender sender = { .fd = wire_connect(listen), .seed = seed, .size = size };
    char bytes[50000];
    uint64_t hash = 0;
    size_t have = 0;
    pthread_t thread;
    ssize_t got;

    assert_true(sender.fd >= 0);
    assert_int_equal(pthread_create(&thread, NULL, send_stream, &sender), 0);
    while ((got = wire_recv_some(sender.fd, bytes, sizeof(bytes), (int)wire_timeout_ms())) > 0) {
        hash = wire_hash(hash, bytes, (size_t)got);
        have += (size_t)got;
    }
    pthread_join(thread, NULL);
    assert_int_equal(got, 0);
    assert_int_equal(have, size);
    assert_true(hash == stream_hash(seed, size));
    close(sender.fd);
}

static void test_streams_come_back_whole(void **state)
{
    struct fixture *fixture = *state;
    static const size_t sizes[] = { 0, 1, 63, 2047, 2048, 2049, 16384, 16385, 32768, 100001, 1 << 20, 9 << 20 };
    struct proxy_status status;
    uint64_t bytes = 0;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        exchange(fixture->listen, i + 1, sizes[i]);
        bytes += sizes[i];
    }
    status = wire_proxy(&fixture->executor, "echo");
    assert_int_equal(status.bytes_to_upstream, bytes);
    assert_int_equal(status.bytes_to_client, bytes);
    assert_int_equal(status.connections, sizeof(sizes) / sizeof(sizes[0]));
    assert_int_equal(status.held_bytes_peak, 0);
}

static void *exchange_thread(void *context)
{
    struct fixture *fixture = context;

    for (uint64_t i = 0; i < 3; i++)
        exchange(fixture->listen, (uint64_t)(uintptr_t)&i, 700000 + (size_t)i * 1000);
    return NULL;
}

static void test_streams_do_not_mix(void **state)
{
    pthread_t threads[8];

    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, exchange_thread, *state), 0);
    for (size_t i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
}

static void test_latency_and_blackhole(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("latency", "slow");
    int fd = wire_connect(fixture->listen);
    uint64_t begun_ns, direct_ns, slow_ns;
    struct event event;
    char byte;

    begun_ns = clock_now_ns();
    assert_int_equal(wire_send_all(fd, "a", 1), 0);
    assert_int_equal(wire_recv_all(fd, &byte, 1), 1);
    direct_ns = clock_now_ns() - begun_ns;
    rule.params.STREAM_latency.latency = 80 * 1000000;
    rule.selector.direction = DIRECTION_TO_CLIENT;
    assert_int_equal(wire_arm(&fixture->executor, 1, 5 * NS_PER_S, &rule, 1), 0);
    begun_ns = clock_now_ns();
    assert_int_equal(wire_send_all(fd, "b", 1), 0);
    assert_int_equal(wire_recv_all(fd, &byte, 1), 1);
    slow_ns = clock_now_ns() - begun_ns;
    assert_true(slow_ns >= 80 * NS_PER_MS && slow_ns > direct_ns);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "slow", 1, &event));
    assert_true(event.ns >= begun_ns && event.ns < begun_ns + slow_ns);
    assert_int_equal(wire_status(&fixture->executor, "slow").counts.fired, 1);
    assert_int_equal(wire_release(&fixture->executor, 1), 0);

    rule = wire_rule("blackhole", "hole");
    assert_int_equal(wire_arm(&fixture->executor, 2, 5 * NS_PER_S, &rule, 1), 0);
    assert_int_equal(wire_send_all(fd, "c", 1), 0);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "hole", 2, &event));
    assert_true(wire_is_silent(fd, 50));
    assert_int_equal(wire_release(&fixture->executor, 2), 0);
    assert_int_equal(wire_recv_all(fd, &byte, 1), 1);
    assert_int_equal(byte, 'c');
    close(fd);
}

/* Connections land on whichever loop accepts them; a plan acts on all of them, and release lets all go. */
static void test_plans_reach_every_loop(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("blackhole", "hole");
    int fds[40];
    char byte;

    for (size_t i = 0; i < 40; i++) {
        fds[i] = wire_connect(fixture->listen);
        assert_int_equal(wire_send_all(fds[i], "a", 1), 0);
        assert_int_equal(wire_recv_all(fds[i], &byte, 1), 1);
    }
    assert_int_equal(wire_arm(&fixture->executor, 1, 20 * NS_PER_S, &rule, 1), 0);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(wire_send_all(fds[i], "b", 1), 0);
    while (wire_status(&fixture->executor, "hole").counts.fired < 40)
        (void)poll(NULL, 0, 1);
    for (size_t i = 0; i < 40; i++)
        assert_true(wire_is_silent(fds[i], 1));
    assert_int_equal(wire_release(&fixture->executor, 1), 0);
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(wire_recv_all(fds[i], &byte, 1), 1);
        close(fds[i]);
    }
    assert_int_equal(wire_event_count(&fixture->executor, EVENT_fault_acted, "hole"), 1);
}

/* The handle without a process: opened, used and freed with a connection open and a fault in force. */
static void test_handle_in_process(void **state)
{
    struct wire_server *server = wire_server_start(wire_echo, NULL);
    struct proxy_spec spec = { .name = "here", .listen = "127.0.0.1:0" };
    struct plan *plan = calloc(1, PLAN_SIZE(1));
    struct injector *injector = NULL;
    struct injector_limits limits;
    struct proxy_status status;
    struct event event;
    int fd;

    (void)state;
    snprintf(spec.upstream, sizeof(spec.upstream), "127.0.0.1:%u", wire_server_port(server));
    injector_limits_init(&limits);
    limits.backend = wire_backend_wanted();
    assert_int_equal(injector_new(&limits, &injector), 0);
    assert_int_equal(injector_open_proxy(injector, &spec, &status), 0);
    exchange(status.spec.listen, 1, 500000);
    *plan = (struct plan){ .magic = PLAN_MAGIC, .version = PLAN_VERSION, .rule_size = sizeof(struct plan_rule), .rule_count = 1,
                           .epoch = 1 };
    plan->rules[0] = wire_rule("latency", "slow");
    assert_int_equal(injector_publish(injector, plan, PLAN_SIZE(1), NS_PER_S), 0);
    assert_true(injector_is_armed(injector));
    fd = wire_connect(status.spec.listen);
    assert_int_equal(wire_send_all(fd, "x", 1), 0);
    while (!injector_next_event(injector, &event))
        assert_true(poll(&(struct pollfd){ .fd = injector_event_fd(injector), .events = POLLIN }, 1, (int)wire_timeout_ms()) > 0);
    assert_int_equal(event.kind, EVENT_fault_acted);
    injector_free(injector);
    assert_true(wire_recv_some(fd, &(char){ 0 }, 1, (int)wire_timeout_ms()) <= 0);
    close(fd);
    wire_server_stop(server);
    free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_streams_come_back_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_streams_do_not_mix, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_latency_and_blackhole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_streams_do_not_mix, set_up_two, tear_down),
        cmocka_unit_test_setup_teardown(test_latency_and_blackhole, set_up_two, tear_down),
        cmocka_unit_test_setup_teardown(test_plans_reach_every_loop, set_up_two, tear_down),
        cmocka_unit_test(test_handle_in_process),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
