/* Every stream fault as its victim sees it. Each test asserts three things: the victim saw it, the event says so, the count is what
 * the test's own tally says.
 * also-on-backend: epoll */
#include "scenarios/base/cleanup.h"
#include "tests/component/wire_fixture.h"

#include <sys/param.h>

static void test_latency_adds_up_and_keeps_order(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rules[2] = { wire_rule("latency", "one"), wire_rule("latency", "two") };
    int fd = open_echo(fixture);
    uint64_t took_ns;
    struct event event;

    rules[0].params.STREAM_latency = (struct params_STREAM_latency){ .latency = 40 * MS, .jitter = 10 * MS, .distribution = 1, .period = NS_PER_S };
    rules[0].selector.direction = DIRECTION_TO_CLIENT;
    rules[1].params.STREAM_latency.latency = 30 * MS;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, rules, 2), 0);
    took_ns = transfer_ns(fd, 1, 200000);
    assert_true(took_ns >= 90 * MS); /* 30 up, 30 + at least one of many draws around 40 down */
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "one", 1, &event));
    assert_int_equal(event.number[0], 1);
    assert_int_equal(event.number[1], 1); /* after the first byte of open_echo */
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "two", 1, NULL));
    assert_int_equal(wire_status(&fixture->executor, "one").counts.fired, 1);
    assert_int_equal(wire_status(&fixture->executor, "two").counts.matched, 1);
    close(fd);
}

static void test_released_latency_lets_held_bytes_go(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("latency", "long");
    int fd = open_echo(fixture);
    uint64_t begun_ns = clock_now_ns();
    char bytes[3];

    rule.params.STREAM_latency.latency = 300 * (int64_t)NS_PER_S;
    rule.selector.direction = DIRECTION_TO_CLIENT;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    assert_int_equal(wire_send_all(fd, "abc", 3), 0);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "long", 1, NULL));
    while (!wire_status(&fixture->executor, "long").in_flight) /* counted a moment after the event is told */
        (void)poll(NULL, 0, 1);
    assert_int_equal(wire_release(&fixture->executor, 1), 0);
    assert_int_equal(wire_recv_all(fd, bytes, 3), 3);
    assert_memory_equal(bytes, "abc", 3);
    assert_true(clock_now_ns() - begun_ns < 300 * NS_PER_S);
    assert_int_equal(wire_status(&fixture->executor, "long").in_flight, 0);
    close(fd);
}

static void test_bandwidth_sets_the_rate(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("bandwidth", "narrow");
    int fd = open_echo(fixture);
    uint64_t slow_ns, fast_ns;

    rule.selector.direction = DIRECTION_TO_CLIENT;
    rule.params.STREAM_bandwidth.rate = 1000000;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    slow_ns = transfer_ns(fd, 1, 300000);
    assert_true(slow_ns >= 289 * MS); /* 300 kB less the burst of 10 ms, at 1 MB/s */
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "narrow", 1, NULL));
    assert_int_equal(wire_status(&fixture->executor, "narrow").counts.fired, 1);
    rule.params.STREAM_bandwidth.rate = 4000000;
    assert_int_equal(wire_arm(&fixture->executor, 2, LEASE_NS, &rule, 1), 0);
    fast_ns = transfer_ns(fd, 2, 300000);
    assert_true(fast_ns >= 64 * MS && fast_ns < slow_ns);
    close(fd);
}

static void test_slicer_cuts(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("slicer", "slices");
    int fd = open_echo(fixture), reads = 0;
    char out[1000], in[1000];
    ssize_t got;

    rule.selector.direction = DIRECTION_TO_CLIENT;
    rule.params.STREAM_slicer = (struct params_STREAM_slicer){ 0, 100, 0, 5 * MS };
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    wire_fill(1, 0, out, sizeof(out));
    assert_int_equal(wire_send_all(fd, out, sizeof(out)), 0);
    for (size_t have = 0; have < sizeof(in); have += (size_t)got, reads++) {
        got = wire_recv_some(fd, in + have, sizeof(in) - have, (int)wire_timeout_ms());
        assert_true(got > 0 && got % 100 == 0);
    }
    assert_memory_equal(in, out, sizeof(in));
    assert_in_range(reads, 2, 10); /* ten pieces; a late reader may see several at once */
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "slices", 1, NULL));
    assert_int_equal(wire_status(&fixture->executor, "slices").counts.fired, 1);
    close(fd);
}

static void limit_once(struct fixture *fixture, uint64_t epoch, int64_t limit, int64_t close_kind)
{
    struct plan_rule rule = wire_rule("limit_data", "limit");
    char *out = malloc(500000), *in = malloc(500000);
    struct event event;
    int fd;
    ssize_t got;

    rule.selector.direction = DIRECTION_TO_UPSTREAM;
    rule.params.STREAM_limit_data = (struct params_STREAM_limit_data){ 0, limit, close_kind, 0 };
    assert_int_equal(wire_arm(&fixture->executor, epoch, LEASE_NS, &rule, 1), 0);
    wire_fill(5, 0, out, 500000);
    fd = wire_connect(fixture->watcher_at);
    __atomic_store_n(&fixture->seen.end, 0, __ATOMIC_RELEASE);
    (void)wire_send_all(fd, out, 500000); /* it may be cut short */
    got = wire_recv_some(fd, in, 1, (int)wire_timeout_ms());
    assert_true(got == 0 || got == -ECONNRESET);
    assert_int_equal(wait_end(&fixture->seen), close_kind ? -ECONNRESET : 1);
    assert_int_equal(fixture->seen.bytes, limit);
    assert_true(!limit || fixture->seen.hash == wire_hash(0, out, (size_t)limit));
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "limit", epoch, &event));
    assert_int_equal(wire_status(&fixture->executor, "limit").counts.fired, epoch); /* changed parameters: the counts go on */
    close(fd);
    free(out);
    free(in);
}

static void test_limit_data_is_exact(void **state)
{
    static const int64_t limits[] = { 1, 1000, 32768, 100001, 333333 };

    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        limit_once(*state, 2 * i + 1, limits[i], 0);
        limit_once(*state, 2 * i + 2, limits[i], 1);
    }
}

/* The client is still sending when the answer is cut: it gets every byte up to the limit and a clean end, no reset that would
 * destroy what it has not read yet. */
static void test_limit_data_ends_cleanly_while_the_client_sends(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("limit_data", "limit");
    char *out = malloc(400000), *in = malloc(400000);
    int fd = wire_connect(fixture->echo_at);

    rule.selector.direction = DIRECTION_TO_CLIENT;
    rule.params.STREAM_limit_data.bytes = 50001;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    wire_fill(5, 0, out, 400000);
    assert_int_equal(wire_send_all(fd, out, 400000), 0);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "limit", 1, NULL));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wire_send_all(fd, out, 1000), 0); /* to a proxy that has closed its writing side, and reads on */
        (void)wire_is_silent(-1, 20); /* a wrong reset in answer comes meanwhile */
    }
    assert_int_equal(wire_recv_all(fd, in, 400000), 50001);
    assert_memory_equal(in, out, 50001);
    assert_int_equal(wire_recv_some(fd, in, 1, (int)wire_timeout_ms()), 0);
    assert_int_equal(wire_status(&fixture->executor, "limit").counts.fired, 1);
    close(fd);
    free(out);
    free(in);
}

static void test_blackhole_swallows_and_gives_back(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("blackhole", "hole");
    int open_fd = open_echo(fixture), idle_fd = open_echo(fixture), new_fd;
    char *out = malloc(2000000), *in = malloc(2000000);
    unsigned accepted = wire_server_accepted(fixture->echo);
    uint64_t sent_ns;
    struct event event;

    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    wire_fill(9, 0, out, 2000000);
    sent_ns = clock_now_ns();
    assert_int_equal(wire_send_all(open_fd, out, 5000), 0);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "hole", 1, &event));
    assert_true(event.ns >= sent_ns && event.ns <= clock_now_ns());
    new_fd = wire_connect(fixture->echo_at);
    assert_true(new_fd >= 0);
    assert_int_equal(wire_send_all(new_fd, out, 100), 0);
    assert_true(wire_is_silent(open_fd, 60) && wire_is_silent(new_fd, 1) && wire_is_silent(idle_fd, 1));
    assert_int_equal(wire_server_accepted(fixture->echo), accepted); /* the new one was not dialled on */
    while (wire_status(&fixture->executor, "hole").counts.fired < 2)
        (void)poll(NULL, 0, 1);
    assert_int_equal(wire_release(&fixture->executor, 1), 0);
    assert_int_equal(wire_recv_all(open_fd, in, 5000), 5000);
    assert_memory_equal(in, out, 5000);
    assert_int_equal(wire_recv_all(new_fd, in, 100), 100);
    assert_memory_equal(in, out, 100);
    assert_int_equal(wire_status(&fixture->executor, "hole").counts.fired, 2); /* the idle one never felt it */
    assert_int_equal(wire_status(&fixture->executor, "hole").counts.matched, 3);
    (void)transfer_ns(idle_fd, 3, 100000);
    close(open_fd);
    close(idle_fd);
    close(new_fd);
    free(out);
    free(in);
}

/* What is sent into the hole stops the sender; all of it arrives after release. */
static void test_blackhole_loses_no_byte_of_a_stream(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("blackhole", "hole");
    int fd = wire_connect(fixture->watcher_at);
    size_t size = 12 << 20, sent = 0;
    char *out = malloc(size);

    wire_fill(11, 0, out, size);
    rule.selector.direction = DIRECTION_TO_UPSTREAM;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    while (sent < size) {
        ssize_t more = send(fd, out + sent, MIN(size - sent, (size_t)100000), MSG_DONTWAIT | MSG_NOSIGNAL);
        struct pollfd polled = { .fd = fd, .events = POLLOUT };

        if (more > 0)
            sent += (size_t)more;
        else if (poll(&polled, 1, 100) == 0)
            break;
    }
    assert_in_range(sent, 5000, size - 1); /* pushed back */
    assert_int_equal(__atomic_load_n(&fixture->seen.bytes, __ATOMIC_ACQUIRE), 0);
    assert_int_equal(wire_release(&fixture->executor, 1), 0);
    assert_int_equal(wire_send_all(fd, out + sent, size - sent), 0);
    shutdown(fd, SHUT_WR);
    assert_int_equal(wait_end(&fixture->seen), 1);
    assert_int_equal(fixture->seen.bytes, size);
    assert_true(fixture->seen.hash == wire_hash(0, out, size));
    close(fd);
    free(out);
}

static void test_reset_peer_resets_idle_and_open(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("reset_peer", "rst");
    int idle_fd = open_echo(fixture), watched_fd = wire_connect(fixture->watcher_at), late_fd;
    uint64_t armed_ns, seen_ns;
    struct event event;
    char byte;

    assert_int_equal(wire_send_all(watched_fd, "ab", 2), 0);
    while (__atomic_load_n(&fixture->seen.bytes, __ATOMIC_ACQUIRE) < 2)
        (void)poll(NULL, 0, 1);
    armed_ns = clock_now_ns();
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    assert_int_equal(wire_recv_some(idle_fd, &byte, 1, (int)wire_timeout_ms()), -ECONNRESET);
    seen_ns = clock_now_ns();
    assert_int_equal(wire_recv_some(watched_fd, &byte, 1, (int)wire_timeout_ms()), -ECONNRESET);
    assert_int_equal(wait_end(&fixture->seen), -ECONNRESET); /* both ends */
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "rst", 1, &event));
    assert_true(event.ns >= armed_ns && event.ns <= seen_ns);
    late_fd = wire_connect(fixture->echo_at);
    if (late_fd >= 0) /* else the reset was there before connect() returned */
        assert_int_equal(wire_recv_some(late_fd, &byte, 1, (int)wire_timeout_ms()), -ECONNRESET);
    assert_int_equal(wire_status(&fixture->executor, "rst").counts.fired, 3);
    close(idle_fd);
    close(watched_fd);
    close(late_fd);
}

static void test_reset_peer_waits(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("reset_peer", "rst");
    int fd = open_echo(fixture);
    uint64_t armed_ns = clock_now_ns();
    char byte;

    rule.params.STREAM_reset_peer.after = 60 * MS;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    (void)transfer_ns(fd, 1, 1000); /* until then it forwards */
    assert_int_equal(wire_status(&fixture->executor, "rst").counts.fired, 0);
    assert_int_equal(wire_recv_some(fd, &byte, 1, (int)wire_timeout_ms()), -ECONNRESET);
    assert_true(clock_now_ns() - armed_ns >= 60 * MS);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "rst", 1, NULL));
    assert_int_equal(wire_status(&fixture->executor, "rst").counts.fired, 1);
    close(fd);
}

static void test_refuse_turns_new_ones_away(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("refuse", "no");
    int open_fd = open_echo(fixture), fd;
    unsigned accepted = wire_server_accepted(fixture->echo);
    char byte;

    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    for (int i = 0; i < 5; i++) {
        fd = wire_connect(fixture->echo_at);
        assert_true(fd >= 0 || fd == -ECONNRESET);
        if (fd >= 0)
            assert_int_equal(wire_recv_some(fd, &byte, 1, (int)wire_timeout_ms()), -ECONNRESET);
        close(fd);
    }
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "no", 1, NULL));
    assert_int_equal(wire_status(&fixture->executor, "no").counts.fired, 5);
    assert_int_equal(wire_server_accepted(fixture->echo), accepted);
    (void)transfer_ns(open_fd, 1, 1000);
    rule.params.STREAM_refuse.close_open = 1;
    assert_int_equal(wire_arm(&fixture->executor, 2, LEASE_NS, &rule, 1), 0);
    assert_int_equal(wire_recv_some(open_fd, &byte, 1, (int)wire_timeout_ms()), -ECONNRESET);
    close(open_fd);
}

static void test_timeout_discards_then_closes(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("timeout", "gone");
    int fd = open_echo(fixture), kept_fd = open_echo(fixture), idle_fd = open_echo(fixture);
    uint64_t begun_ns;
    char byte;

    rule.selector.direction = DIRECTION_TO_CLIENT;
    rule.params.STREAM_timeout.after = 70 * MS;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    begun_ns = clock_now_ns();
    assert_int_equal(wire_send_all(fd, "x", 1), 0);
    assert_int_equal(wire_recv_some(fd, &byte, 1, (int)wire_timeout_ms()), 0); /* an end, and not the echo */
    assert_true(clock_now_ns() - begun_ns >= 70 * MS);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "gone", 1, NULL));
    assert_int_equal(wire_recv_some(idle_fd, &byte, 1, (int)wire_timeout_ms()), 0);
    assert_int_equal(wire_recv_some(kept_fd, &byte, 1, (int)wire_timeout_ms()), 0);
    assert_int_equal(wire_status(&fixture->executor, "gone").counts.fired, 3);
    close(fd);
    close(kept_fd);
    close(idle_fd);

    assert_int_equal(wire_release(&fixture->executor, 1), 0);
    rule.params.STREAM_timeout.after = 0;
    fd = open_echo(fixture);
    idle_fd = open_echo(fixture);
    assert_int_equal(wire_arm(&fixture->executor, 2, LEASE_NS, &rule, 1), 0);
    assert_int_equal(wire_send_all(fd, "x", 1), 0);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "gone", 2, NULL));
    assert_true(wire_is_silent(fd, 50));
    assert_int_equal(wire_release(&fixture->executor, 2), 0);
    assert_int_equal(wire_recv_some(fd, &byte, 1, (int)wire_timeout_ms()), 0);
    (void)transfer_ns(idle_fd, 1, 1000); /* it lost nothing and lives */
    close(fd);
    close(idle_fd);
}

/* Which of 60 connections a probability of one half hits: as many as counted, and the same ones in another process. */
static void hit_connections(struct fixture *fixture, char *hits)
{
    struct plan_rule rule = wire_rule("reset_peer", "half");
    size_t count = 0;

    rule.selector.probability_ppm = 500000;
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    for (int i = 0; i < 60; i++) {
        int fd = wire_connect(fixture->echo_at);
        char byte = 'x';

        hits[i] = '1';
        if (fd >= 0 && wire_send_all(fd, &byte, 1) == 0 && wire_recv_all(fd, &byte, 1) == 1)
            hits[i] = '0';
        count += hits[i] == '1';
        close(fd);
    }
    assert_in_range(count, 10, 50);
    assert_int_equal(wire_status(&fixture->executor, "half").counts.fired, count);
    assert_int_equal(wire_status(&fixture->executor, "half").counts.eligible, 60);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "half", 1, NULL));
}

static void test_probability_is_replayed(void **state)
{
    char first[61] = "", second[61] = "";

    hit_connections(*state, first);
    tear_down(state);
    set_up(state);
    hit_connections(*state, second);
    assert_string_equal(first, second);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_latency_adds_up_and_keeps_order),
        CASE(test_released_latency_lets_held_bytes_go),
        CASE(test_bandwidth_sets_the_rate),
        CASE(test_slicer_cuts),
        CASE(test_limit_data_is_exact),
        CASE(test_limit_data_ends_cleanly_while_the_client_sends),
        CASE(test_blackhole_swallows_and_gives_back),
        CASE(test_blackhole_loses_no_byte_of_a_stream),
        CASE(test_reset_peer_resets_idle_and_open),
        CASE(test_reset_peer_waits),
        CASE(test_refuse_turns_new_ones_away),
        CASE(test_timeout_discards_then_closes),
        CASE(test_probability_is_replayed),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
