/* The faults of a connection's beginning and end, of shared rates and of wrong bits, as their victim sees them: the effect, the
 * event, the count.
 * also-on-backend: epoll */
#include "scenarios/base/cleanup.h"
#include "tests/component/wire_fixture.h"

struct download {
    int fd;
    uint64_t seed;
    pthread_t thread;
};

static void *download(void *context)
{
    const struct download *download = context;

    (void)transfer_ns(download->fd, download->seed, 100000);
    return NULL;
}

/* Four connections that share the proxy's rate take four times as long as one alone would. */
static void test_bandwidth_is_shared_by_the_proxy(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("bandwidth", "narrow");
    struct download downloads[4];
    uint64_t begun_ns;

    for (uint64_t i = 0; i < ARRAY_SIZE(downloads); i++)
        downloads[i] = (struct download){ .fd = open_echo(fixture), .seed = i + 1 };
    rule.selector.direction = DIRECTION_TO_CLIENT;
    rule.params.STREAM_bandwidth.rate = 1000000;
    rule.params.STREAM_bandwidth.scope = 1;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    begun_ns = clock_now_ns();
    for (size_t i = 0; i < ARRAY_SIZE(downloads); i++)
        assert_int_equal(pthread_create(&downloads[i].thread, NULL, download, &downloads[i]), 0);
    for (size_t i = 0; i < ARRAY_SIZE(downloads); i++)
        pthread_join(downloads[i].thread, NULL);
    assert_true(clock_now_ns() - begun_ns >= 389 * MS); /* 400 kB less the burst of 10 ms, at 1 MB/s */
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "narrow", 1, NULL));
    assert_int_equal(wire_status(&fixture->executor, "narrow").counts.fired, 4);
    for (size_t i = 0; i < ARRAY_SIZE(downloads); i++)
        close(downloads[i].fd);
}

/* The client sends without a pause; the close comes all the same, with every byte before it in order. */
static void limit_time_once(struct fixture *fixture, uint64_t epoch, int64_t close_kind)
{
    struct plan_rule rule = wire_rule("limit_time", "over");
    uint64_t begun_ns = clock_now_ns(), sent = 0;
    char *out = malloc(100000);
    int fd = wire_connect(fixture->watcher_at);
    struct event event;

    wire_fill(5, 0, out, 100000);
    rule.params.STREAM_limit_time = (struct params_STREAM_limit_time){ 0, 80 * MS, close_kind };
    assert_int_equal(wire_send_all(fd, out, 1), 0);
    while (!__atomic_load_n(&fixture->seen.bytes, __ATOMIC_ACQUIRE))
        (void)poll(NULL, 0, 1);
    assert_int_equal(wire_arm(&fixture->executor, epoch, LEASE_NS, &rule, 1), 0);
    while (wire_send_all(fd, out, 100000) == 0 && clock_now_ns() - begun_ns < wire_timeout_ms() * MS)
        sent++;
    assert_int_equal(wait_end(&fixture->seen), close_kind ? -ECONNRESET : 1);
    assert_true(sent > 1);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "over", epoch, &event));
    assert_true(event.ns >= begun_ns + 80 * MS);
    assert_int_equal(wire_status(&fixture->executor, "over").counts.fired, 1);
    assert_int_equal(wire_release(&fixture->executor, epoch), 0);
    close(fd);
    free(out);
}

static void test_limit_time_closes_under_traffic(void **state)
{
    limit_time_once(*state, 1, 0);
    __atomic_store_n(&((struct fixture *)*state)->seen.bytes, 0, __ATOMIC_RELEASE);
    limit_time_once(*state, 2, 1);
}

static void test_slow_open_delays_the_dial_or_the_first_byte(void **state)
{
    struct fixture *fixture = *state;
    int open_fd = open_echo(fixture);

    for (int64_t hold = 0; hold < 2; hold++) {
        struct plan_rule rule = wire_rule("slow_open", "late");
        unsigned accepted = wire_server_accepted(fixture->echo);
        uint64_t begun_ns, epoch = (uint64_t)hold + 1;
        int fd;

        rule.params.STREAM_slow_open = (struct params_STREAM_slow_open){ 0, 80 * MS, hold };
        rule.selector.direction = DIRECTION_TO_UPSTREAM;
        assert_int_equal(wire_arm(&fixture->executor, epoch, LEASE_NS, &rule, 1), 0);
        begun_ns = clock_now_ns();
        fd = wire_connect(fixture->echo_at);
        assert_true(fd >= 0);
        assert_int_equal(wire_send_all(fd, "x", 1), 0);
        assert_true(wire_is_silent(fd, 40));
        assert_int_equal(wire_server_accepted(fixture->echo), hold ? accepted + 1 : accepted);
        assert_int_equal(wire_recv_all(fd, (char[1]){ 0 }, 1), 1);
        assert_true(clock_now_ns() - begun_ns >= 80 * MS);
        (void)transfer_ns(fd, 1, 100000); /* what comes later passes, and so does an open connection */
        (void)transfer_ns(open_fd, 1, 100000);
        assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "late", epoch, NULL));
        assert_int_equal(wire_status(&fixture->executor, "late").counts.fired, epoch); /* changed parameters: the counts go on */
        close(fd);
    }
    close(open_fd);
}

/* At release a dial that was put off goes at once. */
static void test_slow_open_ends_at_release(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("slow_open", "late");
    int fd;

    rule.params.STREAM_slow_open.delay = 500 * (int64_t)NS_PER_S;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    fd = wire_connect(fixture->echo_at);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "late", 1, NULL));
    assert_int_equal(wire_release(&fixture->executor, 1), 0);
    (void)transfer_ns(fd, 1, 1000);
    close(fd);
}

static void test_slow_close_holds_the_end_back(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("slow_close", "linger");
    int fd = wire_connect(fixture->watcher_at);
    uint64_t closed_ns;

    rule.params.STREAM_slow_close.delay = 80 * MS;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    closed_ns = clock_now_ns();
    assert_int_equal(wire_send_all(fd, "abc", 3), 0);
    shutdown(fd, SHUT_WR);
    while (__atomic_load_n(&fixture->seen.bytes, __ATOMIC_ACQUIRE) < 3)
        (void)poll(NULL, 0, 1);
    assert_int_equal(__atomic_load_n(&fixture->seen.end, __ATOMIC_ACQUIRE), 0); /* the bytes did not wait */
    assert_int_equal(wait_end(&fixture->seen), 1);
    assert_true(clock_now_ns() - closed_ns >= 80 * MS);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "linger", 1, NULL));
    assert_int_equal(wire_status(&fixture->executor, "linger").counts.fired, 1);
    close(fd);
}

/* Echoes, and notes how the client's stream ended. */
static void echo_and_note(int fd, void *context)
{
    struct seen *seen = context;
    char bytes[4096];
    ssize_t got;

    while ((got = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
        (void)wire_send_all(fd, bytes, (size_t)got);
        __atomic_fetch_add(&seen->bytes, (uint64_t)got, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&seen->end, got < 0 ? -errno : 1, __ATOMIC_RELEASE);
}

static void wait_bytes(const struct seen *seen, uint64_t bytes)
{
    while (__atomic_load_n(&seen->bytes, __ATOMIC_ACQUIRE) < bytes)
        (void)poll(NULL, 0, 1);
}

/* The client sees the end of its answers, and what it sends goes on arriving, after the release too; its own end ends the
 * connection in order. */
static void test_half_close_leaves_the_other_direction(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("half_close", "half");
    struct seen seen = { 0 };
    struct wire_server *server = wire_server_start(echo_and_note, &seen);
    char at[ADDRESS_TEXT_MAX], *out = malloc(300000), byte;
    int fd;

    wire_open(&fixture->executor, "noted", wire_server_port(server), at, sizeof(at));
    fd = wire_connect(at);
    wire_fill(3, 0, out, 300000);
    (void)transfer_ns(fd, 1, 10);
    rule.selector.direction = DIRECTION_TO_CLIENT;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    assert_int_equal(wire_recv_some(fd, &byte, 1, (int)wire_timeout_ms()), 0);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "half", 1, NULL));
    assert_int_equal(wire_status(&fixture->executor, "half").counts.fired, 1);
    assert_int_equal(wire_send_all(fd, out, 300000), 0); /* its answer vanishes */
    wait_bytes(&seen, 300010);
    assert_int_equal(wire_release(&fixture->executor, 1), 0); /* so it does after the release: the end was told */
    assert_int_equal(wire_send_all(fd, out, 1000), 0);
    wait_bytes(&seen, 301010);
    (void)wire_is_silent(-1, 30); /* an answer that was sent on would break the connection meanwhile */
    shutdown(fd, SHUT_WR);
    assert_int_equal(wait_end(&seen), 1);
    assert_int_equal(seen.bytes, 301010);
    while (wire_proxy(&fixture->executor, "noted").connections_open)
        (void)poll(NULL, 0, 1);
    close(fd);
    free(out);
    wire_server_stop(server);
}

/* Two connections at a time feel the fault; a third is left alone, and the place of one that ended is free again. */
static void test_active_faults_are_limited(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("blackhole", "two");
    int fds[4] = { open_echo(fixture), open_echo(fixture), open_echo(fixture), open_echo(fixture) };

    rule.selector.active_max = 2;
    rule.selector.direction = DIRECTION_TO_CLIENT;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    for (uint64_t i = 0; i < 2; i++) {
        assert_int_equal(wire_send_all(fds[i], "x", 1), 0);
        while (wire_status(&fixture->executor, "two").counts.fired < i + 1)
            (void)poll(NULL, 0, 1);
    }
    (void)transfer_ns(fds[2], 1, 1000);
    assert_true(wire_is_silent(fds[0], 20) && wire_is_silent(fds[1], 1));
    assert_int_equal(wire_status(&fixture->executor, "two").counts.skipped, 1);
    (void)setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
    close(fds[0]);
    assert_int_equal(wire_send_all(fds[1], "y", 1), 0);
    while (wire_proxy(&fixture->executor, "echo").connections_open > 3)
        (void)poll(NULL, 0, 1);
    assert_int_equal(wire_send_all(fds[3], "x", 1), 0);
    while (wire_status(&fixture->executor, "two").counts.fired < 3)
        (void)poll(NULL, 0, 1);
    assert_true(wire_is_silent(fds[3], 20));
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "two", 1, NULL));
    (void)transfer_ns(fds[2], 2, 1000);
    for (size_t i = 1; i < 4; i++)
        close(fds[i]);
}

static void test_corrupt_flips_single_bits(void **state)
{
    enum { SIZE = 400 * 1024, HEAD = 1 };
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("corrupt", "bits");
    int fd = open_echo(fixture), bits = 0;
    char *out = malloc(SIZE), *in = malloc(SIZE);
    struct event event;
    size_t first = SIZE;

    rule.selector.direction = DIRECTION_TO_UPSTREAM;
    rule.params.STREAM_corrupt.cells = 500000;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    wire_fill(3, 0, out, SIZE);
    for (size_t at = 0; at < SIZE; at += SIZE / 4) { /* in parts that both sides' socket buffers hold */
        assert_int_equal(wire_send_all(fd, out + at, SIZE / 4), 0);
        assert_int_equal(wire_recv_all(fd, in + at, SIZE / 4), SIZE / 4);
    }
    for (size_t i = SIZE; i > 0; i--) {
        int flipped = __builtin_popcount((unsigned char)(out[i - 1] ^ in[i - 1]));

        assert_in_range(flipped, 0, 1);
        bits += flipped;
        first = flipped ? i - 1 : first;
    }
    assert_in_range(bits, 140, 260);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "bits", 1, &event));
    assert_int_equal(event.number[1], first + HEAD); /* the byte of open_echo came before */
    assert_int_equal(wire_status(&fixture->executor, "bits").counts.fired, 1);
    close(fd);
    free(out);
    free(in);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_bandwidth_is_shared_by_the_proxy),
        CASE(test_limit_time_closes_under_traffic),
        CASE(test_slow_open_delays_the_dial_or_the_first_byte),
        CASE(test_slow_open_ends_at_release),
        CASE(test_slow_close_holds_the_end_back),
        CASE(test_half_close_leaves_the_other_direction),
        CASE(test_active_faults_are_limited),
        CASE(test_corrupt_flips_single_bits),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
