/* What -strict brings back on the data path, each beside what happens without it.
 * beside: others
 * also-on-backend: epoll */
#include "scenarios/base/bits.h"
#include "tests/component/toxiproxy_fixture.h"

#include <errno.h>
#include <sched.h>
#include <sys/socket.h>

/* Tries a connection in both modes: `play` is called with the fixture and whether it is strict. */
typedef void scene(struct fixture *fixture, bool strict);

static void in_both_modes(scene *play)
{
    for (int strict = 0; strict < 2; strict++) {
        void *state = NULL;

        assert_int_equal(set_up_with(&state, strict ? (const char *const[]){ "-strict", NULL } : NULL), 0);
        add_proxy(state);
        play(state, strict);
        assert_int_equal(tear_down(&state), 0);
    }
}

/* ---- ends -------------------------------------------------------------------------------------------------------------- */

/* Reads to the end, answers then. */
static void answer_at_the_end(int fd, void *context)
{
    char bytes[64];

    while (wire_recv_some(fd, bytes, sizeof(bytes), (int)wire_timeout_ms()) > 0)
        continue;
    (void)wire_send_all(fd, "late", 4);
    __atomic_add_fetch((unsigned *)context, 1, __ATOMIC_SEQ_CST);
}

static void wait_until(const unsigned *counter, unsigned value)
{
    uint64_t deadline_ns = clock_now_ns() + wire_timeout_ms() * NS_PER_MS;

    while (__atomic_load_n(counter, __ATOMIC_SEQ_CST) < value && clock_now_ns() < deadline_ns)
        sched_yield();
    assert_true(__atomic_load_n(counter, __ATOMIC_SEQ_CST) >= value);
}

static void play_half_close(struct fixture *fixture, bool strict)
{
    unsigned answered = 0;
    struct wire_server *server = wire_server_start(answer_at_the_end, &answered);
    char body[256], listen[128], bytes[8];
    int fd;

    snprintf(body, sizeof(body), "{\"name\":\"h\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:%u\"}", wire_server_port(server));
    assert_int_equal(toxi_do(&fixture->toxi, "POST", "/proxies", body), 201);
    toxi_get(&fixture->toxi, "/proxies/h", "listen", listen, sizeof(listen));
    fd = wire_connect(listen);
    assert_int_equal(wire_send_all(fd, "request", 7), 0);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_int_equal(wire_recv_all(fd, bytes, 4), strict ? 0 : 4);
    wait_until(&answered, 1); /* the upstream saw the end in either case */
    close(fd);
    wire_server_stop(server);
}

static void an_end_ends_both_directions(void **state)
{
    (void)state;
    in_both_modes(play_half_close);
}

/* What came before the end arrives, in both directions. */
static void play_bytes_before_the_end(struct fixture *fixture, bool strict)
{
    enum { SIZE = 300000 };
    char *out = malloc(SIZE), *in = malloc(SIZE);

    (void)strict;
    wire_fill(3, 0, out, SIZE);
    add_toxic(fixture, "{\"type\":\"latency\",\"attributes\":{\"latency\":50}}");
    for (int i = 0; i < 10; i++) {
        int fd = wire_connect(fixture->listen);

        assert_int_equal(wire_send_all(fd, out, 1000), 0);
        assert_int_equal(wire_recv_all(fd, in, 1000), 1000);
        assert_int_equal(wire_send_all(fd, out, SIZE), 0);
        assert_int_equal(wire_recv_all(fd, in, SIZE), SIZE);
        assert_memory_equal(in, out, SIZE);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        assert_int_equal(wire_recv_all(fd, in, 1), 0);
        close(fd);
    }
    free(out);
    free(in);
}

static void no_byte_before_an_end_is_lost(void **state)
{
    (void)state;
    in_both_modes(play_bytes_before_the_end);
}

static void play_slow_close(struct fixture *fixture, bool strict)
{
    unsigned answered = 0;
    struct wire_server *server = wire_server_start(answer_at_the_end, &answered);
    char body[256], listen[128], bytes[8];
    uint64_t begun_ns;
    int fd;

    snprintf(body, sizeof(body), "{\"name\":\"h\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:%u\",\"toxics\":[]}",
             wire_server_port(server));
    assert_int_equal(toxi_do(&fixture->toxi, "POST", "/proxies", body), 201);
    assert_int_equal(
        toxi_do(&fixture->toxi, "POST", "/proxies/h/toxics", "{\"type\":\"slow_close\",\"attributes\":{\"delay\":250}}"), 200);
    toxi_get(&fixture->toxi, "/proxies/h", "listen", listen, sizeof(listen));
    fd = wire_connect(listen);
    begun_ns = clock_now_ns();
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_int_equal(wire_recv_all(fd, bytes, 8), strict ? 0 : 4);
    assert_true(clock_now_ns() - begun_ns >= 250 * NS_PER_MS);
    close(fd);
    wire_server_stop(server);
}

static void slow_close_holds_the_other_end_as_well(void **state)
{
    (void)state;
    in_both_modes(play_slow_close);
}

static void play_refusal(struct fixture *fixture, bool strict)
{
    char listen[128], byte;
    int fd;

    assert_int_equal(toxi_do(&fixture->toxi, "POST", "/proxies",
                             "{\"name\":\"r\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:0\"}"), 201);
    toxi_get(&fixture->toxi, "/proxies/r", "listen", listen, sizeof(listen));
    fd = wire_connect(listen);
    assert_true(fd >= 0);
    assert_int_equal(wire_recv_all(fd, &byte, 1), strict ? 0 : -ECONNRESET);
    close(fd);
}

static void a_refused_upstream_gives_an_end(void **state)
{
    (void)state;
    in_both_modes(play_refusal);
}

/* ---- toxics ------------------------------------------------------------------------------------------------------------ */

static void play_reset_peer(struct fixture *fixture, bool strict)
{
    char bytes[4];
    int fd;

    add_toxic(fixture, "{\"type\":\"reset_peer\"}");
    fd = wire_connect(fixture->listen);
    if (strict) {
        assert_true(wire_is_silent(fd, 100)); /* idle */
        assert_int_equal(wire_send_all(fd, "x", 1), 0);
    }
    assert_int_equal(wire_recv_all(fd, bytes, 1), -ECONNRESET);
    close(fd);
    assert_int_equal(toxi_do(&fixture->toxi, "POST", "/proxies/p/toxics/reset_peer_downstream", "{\"attributes\":{\"timeout\":200}}"), 200);
    fd = wire_connect(fixture->listen);
    if (strict) {
        uint64_t begun_ns;

        assert_true(wire_is_silent(fd, 300));
        begun_ns = clock_now_ns();
        assert_int_equal(wire_send_all(fd, "x", 1), 0);
        assert_int_equal(wire_recv_all(fd, bytes, 1), -ECONNRESET); /* and nothing of the echo */
        assert_true(clock_now_ns() - begun_ns >= 200 * NS_PER_MS);
    } else {
        assert_int_equal(wire_recv_all(fd, bytes, 1), -ECONNRESET);
    }
    close(fd);
}

static void reset_peer_waits_for_data(void **state)
{
    (void)state;
    in_both_modes(play_reset_peer);
}

/* Sends a byte every 40 ms for so long; the milliseconds until the connection was closed, 0 when it was not. */
static uint64_t traffic_ms(int fd, uint64_t for_ms)
{
    uint64_t begun_ns = clock_now_ns();
    char byte;

    while (clock_now_ns() - begun_ns < for_ms * NS_PER_MS) {
        (void)wire_send_all(fd, "x", 1);
        if (wire_recv_some(fd, &byte, 1, 40) != -ETIMEDOUT)
            return (clock_now_ns() - begun_ns) / NS_PER_MS;
    }
    return 0;
}

static void play_timeout(struct fixture *fixture, bool strict)
{
    uint64_t begun_ns, closed_ms;
    char byte;
    int fd;

    add_toxic(fixture, "{\"type\":\"timeout\",\"attributes\":{\"timeout\":400}}");
    fd = wire_connect(fixture->listen);
    closed_ms = traffic_ms(fd, 1200);
    if (strict) {
        assert_int_equal(closed_ms, 0);
        begun_ns = clock_now_ns();
        assert_int_equal(wire_recv_all(fd, &byte, 1), 0); /* once it rests */
        assert_true(clock_now_ns() - begun_ns >= 300 * NS_PER_MS);
    } else {
        assert_true(closed_ms >= 400);
    }
    close(fd);
}

static void timeout_counts_from_the_last_byte(void **state)
{
    (void)state;
    in_both_modes(play_timeout);
}

static void play_limit_data(struct fixture *fixture, bool strict)
{
    int fd = wire_connect(fixture->listen);
    char bytes[32];

    for (int i = 0; i < 10; i++)
        exchange(fd, 'a');
    add_toxic(fixture, "{\"type\":\"limit_data\",\"attributes\":{\"bytes\":5}}");
    assert_int_equal(wire_send_all(fd, "0123456789", 10), 0);
    assert_int_equal(wire_recv_all(fd, bytes, sizeof(bytes)), strict ? 5 : 0);
    close(fd);
}

static void limit_data_counts_from_the_toxic(void **state)
{
    (void)state;
    in_both_modes(play_limit_data);
}

/* A parameter that is written out wins over the mode. */
static void what_is_given_wins(void **state)
{
    struct fixture *fixture = *state;
    char byte;
    int fd;

    add_proxy(fixture);
    add_toxic(fixture, "{\"type\":\"reset_peer\",\"attributes\":{\"since\":\"fault\"}}");
    fd = wire_connect(fixture->listen);
    assert_int_equal(wire_recv_all(fd, &byte, 1), -ECONNRESET);
    close(fd);
}

static int set_up_strict(void **state)
{
    return set_up_with(state, (const char *const[]){ "-strict", NULL });
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_end_ends_both_directions),
        cmocka_unit_test(no_byte_before_an_end_is_lost),
        cmocka_unit_test(slow_close_holds_the_other_end_as_well),
        cmocka_unit_test(a_refused_upstream_gives_an_end),
        cmocka_unit_test(reset_peer_waits_for_data),
        cmocka_unit_test(timeout_counts_from_the_last_byte),
        cmocka_unit_test(limit_data_counts_from_the_toxic),
        cmocka_unit_test_setup_teardown(what_is_given_wins, set_up_strict, tear_down),
    };

    return cmocka_run_group_tests_name("toxiproxy_strict", tests, NULL, NULL);
}
