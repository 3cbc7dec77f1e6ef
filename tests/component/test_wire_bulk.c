/* Bulk mode: a direction that nobody watches is spliced. Every byte is compared, also where the mode is begun and left, and every
 * test asserts that the mode was really on.
 * also-on-backend: epoll */
#include "scenarios/base/cleanup.h"
#include "tests/component/wire_fixture.h"

#include <sys/param.h>
#include <sys/wait.h>

enum { PART = 1 << 20, STREAM_PARTS = 96 };

static uint64_t bulks(struct fixture *fixture, const char *proxy)
{
    return wire_proxy(&fixture->executor, proxy).bulks;
}

/* Sends parts of the test stream of seed 7 until the other side has gone, or STREAM_PARTS of them. */
static void pour(int fd, void *context)
{
    uint64_t *parts = context;
    char *out = malloc(PART);

    for (uint64_t i = 0; i < __atomic_load_n(parts, __ATOMIC_ACQUIRE); i++) {
        wire_fill(7, i * PART, out, PART);
        if (wire_send_all(fd, out, PART) < 0)
            break;
    }
    shutdown(fd, SHUT_WR);
    free(out);
}

/* Reads the stream of seed 7 from `offset` to its end, comparing; returns how many bytes came. */
static uint64_t drink(int fd, uint64_t offset)
{
    char *in = malloc(PART), *expected = malloc(PART);
    ssize_t got;

    while ((got = wire_recv_some(fd, in, PART, (int)wire_timeout_ms())) > 0) {
        wire_fill(7, offset, expected, (size_t)got);
        assert_memory_equal(in, expected, (size_t)got);
        offset += (uint64_t)got;
    }
    assert_int_equal(got, 0);
    free(in);
    free(expected);
    return offset;
}

static void test_a_download_is_spliced_and_ends_in_order(void **state)
{
    struct fixture *fixture = *state;
    uint64_t parts = STREAM_PARTS;
    struct wire_server *server = wire_server_start(pour, &parts);
    char at[ADDRESS_TEXT_MAX];
    int fd;

    wire_open(&fixture->executor, "pour", wire_server_port(server), at, sizeof(at));
    fd = wire_connect(at);
    assert_int_equal(drink(fd, 0), (uint64_t)STREAM_PARTS * PART);
    assert_in_range(bulks(fixture, "pour"), 1, STREAM_PARTS);
    assert_int_equal(wire_proxy(&fixture->executor, "pour").bytes_to_client, (uint64_t)STREAM_PARTS * PART);
    close(fd);
    wire_server_stop(server);
}

/* Both directions at once, then messages again, then the end of one direction with the answer behind it. */
static void test_both_directions_and_back_to_messages(void **state)
{
    struct fixture *fixture = *state;
    int fd = open_echo(fixture);
    uint64_t before, exchanges;
    pid_t sender;

    sender = fork();
    if (!sender) {
        uint64_t parts = STREAM_PARTS / 2;

        pour(fd, &parts);
        _exit(0);
    }
    assert_int_equal(drink(fd, 0), (uint64_t)STREAM_PARTS / 2 * PART); /* the echo's end follows the client's: half-close */
    assert_true(bulks(fixture, "echo") >= 2);
    assert_int_equal(waitpid(sender, NULL, 0), sender);
    close(fd);

    fd = open_echo(fixture);
    before = bulks(fixture, "echo");
    exchanges = wire_proxy(&fixture->executor, "echo").exchanges;
    for (uint64_t i = 0; i < 300; i++)
        (void)transfer_ns(fd, i, 700);
    assert_int_equal(bulks(fixture, "echo"), before); /* messages are received, not spliced */
    assert_int_equal(wire_proxy(&fixture->executor, "echo").exchanges, exchanges + 300);
    close(fd);
}

/* A blackhole armed while the bytes are spliced swallows from there on, and gives them back. */
static void test_a_fault_armed_in_bulk_acts(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rule = wire_rule("blackhole", "hole");
    uint64_t parts = STREAM_PARTS, have = 0;
    struct wire_server *server = wire_server_start(pour, &parts);
    char at[ADDRESS_TEXT_MAX], *in = malloc(PART), *expected = malloc(PART);
    int fd;

    wire_open(&fixture->executor, "pour", wire_server_port(server), at, sizeof(at));
    fd = wire_connect(at);
    while (!bulks(fixture, "pour")) {
        assert_int_equal(wire_recv_all(fd, in, PART), PART);
        wire_fill(7, have, expected, PART);
        assert_memory_equal(in, expected, PART);
        have += PART;
        assert_true(have < (uint64_t)STREAM_PARTS * PART);
    }
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    while (!wire_is_silent(fd, 100)) { /* what was on its way arrives, then nothing */
        ssize_t got = wire_recv_some(fd, in, PART, 0);

        assert_true(got > 0);
        wire_fill(7, have, expected, (size_t)got);
        assert_memory_equal(in, expected, (size_t)got);
        have += (uint64_t)got;
    }
    assert_true(have < (uint64_t)STREAM_PARTS * PART);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "hole", 1, NULL));
    assert_int_equal(wire_status(&fixture->executor, "hole").counts.fired, 1);
    assert_int_equal(wire_release(&fixture->executor, 1), 0);
    assert_int_equal(drink(fd, have), (uint64_t)STREAM_PARTS * PART);
    close(fd);
    free(in);
    free(expected);
    wire_server_stop(server);
}

struct reader {
    int fd;
    uint64_t bytes;
    bool done; /* atomic */
    pthread_t thread;
};

static void *read_stream(void *context)
{
    struct reader *reader = context;

    reader->bytes = drink(reader->fd, 0);
    __atomic_store_n(&reader->done, true, __ATOMIC_RELEASE);
    return NULL;
}

/* Plans change as fast as they can be armed, one of two without any rule, while the stream flows. */
static void test_no_byte_is_lost_while_plans_change(void **state)
{
    struct fixture *fixture = *state;
    struct plan_rule rules[3] = { wire_rule("latency", "a"), wire_rule("slicer", "b"), wire_rule("bandwidth", "c") };
    uint64_t parts = 4 * STREAM_PARTS, epoch = 0, begun_ns, took_ns;
    struct wire_server *server = wire_server_start(pour, &parts);
    struct reader readers[2] = { { .fd = -1 } };
    char at[ADDRESS_TEXT_MAX];

    rules[0].params.STREAM_latency.latency = MS;
    rules[1].params.STREAM_slicer.size = 20000;
    rules[2].params.STREAM_bandwidth.rate = 400000000;
    wire_open(&fixture->executor, "pour", wire_server_port(server), at, sizeof(at));
    begun_ns = clock_now_ns();
    for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
        readers[i] = (struct reader){ .fd = wire_connect(at) };
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_stream, &readers[i]), 0);
    }
    while (!__atomic_load_n(&readers[0].done, __ATOMIC_ACQUIRE) || !__atomic_load_n(&readers[1].done, __ATOMIC_ACQUIRE)) {
        epoch++;
        if (epoch % 4)
            assert_int_equal(wire_release(&fixture->executor, epoch), 0);
        else
            assert_int_equal(wire_arm(&fixture->executor, epoch, LEASE_NS, &rules[epoch / 4 % 3], 1), 0);
        fixture->executor.event_count = 0;
    }
    took_ns = clock_now_ns() - begun_ns;
    for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
        pthread_join(readers[i].thread, NULL);
        assert_int_equal(readers[i].bytes, parts * PART);
        close(readers[i].fd);
    }
    print_message("# %.0f changes of plan a second, %u times into bulk mode\n", (double)epoch * 1e9 / (double)took_ns,
                  (unsigned)bulks(fixture, "pour"));
    assert_true(epoch >= 100 && bulks(fixture, "pour") >= 10);
    wire_server_stop(server);
}

/* The reader stands still with the pipe full: the proxy holds no more than the pipe and what sockets hold, a fault's close and the
 * reader's reset find their way. */
static void test_a_reader_stands_still(void **state)
{
    struct fixture *fixture = *state;
    uint64_t parts = STREAM_PARTS;
    struct wire_server *server = wire_server_start(pour, &parts);
    struct plan_rule rule = wire_rule("reset_peer", "rst");
    char at[ADDRESS_TEXT_MAX], *in = malloc(PART);
    int fds[3];

    wire_open(&fixture->executor, "pour", wire_server_port(server), at, sizeof(at));
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        uint64_t before = bulks(fixture, "pour");

        fds[i] = wire_connect(at);
        for (uint64_t part = 0; part < STREAM_PARTS / 2 && bulks(fixture, "pour") == before; part++)
            assert_int_equal(wire_recv_all(fds[i], in, PART), PART);
        assert_true(bulks(fixture, "pour") > before);
    }
    while (wire_proxy(&fixture->executor, "pour").connections_open < 3)
        (void)poll(NULL, 0, 1);
    (void)setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
    close(fds[0]); /* the pipe cannot be emptied any more */
    while (wire_proxy(&fixture->executor, "pour").connections_open > 2)
        (void)poll(NULL, 0, 1);
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, &rule, 1), 0);
    while (wire_proxy(&fixture->executor, "pour").connections_open)
        (void)poll(NULL, 0, 1);
    assert_true(wire_event(&fixture->executor, EVENT_fault_acted, "rst", 1, NULL));
    assert_int_equal(wire_status(&fixture->executor, "rst").counts.fired, 2);
    close(fds[1]);
    close(fds[2]);
    free(in);
    wire_server_stop(server);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_a_download_is_spliced_and_ends_in_order),
        CASE(test_both_directions_and_back_to_messages),
        CASE(test_a_fault_armed_in_bulk_acts),
        CASE(test_no_byte_is_lost_while_plans_change),
        CASE(test_a_reader_stands_still),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
