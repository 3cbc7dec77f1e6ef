/* What toxics do to traffic, seen by both ends; what is kept across restarts; the control of a data path that is busy.
 * beside: others
 * also-on-backend: epoll */
#include "scenarios/base/bits.h"
#include "tests/component/toxiproxy_fixture.h"

#include <errno.h>
#include <sys/param.h>
#include <sys/socket.h>

enum { TEXT_MAX = 4096, SEEDED = 64 };

/* ---- the data path ----------------------------------------------------------------------------------------------------- */

static void enabled_is_a_switch(void **state)
{
    struct fixture *fixture = *state;
    char byte;
    int fd;

    add_proxy(fixture);
    for (int i = 0; i < 30; i++) {
        fd = wire_connect(fixture->listen);
        assert_true(fd >= 0);
        exchange(fd, (char)('a' + i % 26));
        assert_int_equal(toxi_do(&fixture->toxi, "POST", "/proxies/p", "{\"enabled\":false}"), 200);
        assert_int_equal(wire_connect(fixture->listen), -ECONNREFUSED);
        assert_true(wire_recv_all(fd, &byte, 1) <= 0);
        close(fd);
        assert_int_equal(toxi_do(&fixture->toxi, "POST", "/proxies/p", "{\"enabled\":true}"), 200);
    }
    fd = wire_connect(fixture->listen);
    exchange(fd, 'z');
    assert_int_equal(toxi_do(&fixture->toxi, "DELETE", "/proxies/p", NULL), 204);
    assert_int_equal(wire_connect(fixture->listen), -ECONNREFUSED);
    close(fd);
}

static void half_close_is_kept(void **state)
{
    struct fixture *fixture = *state;
    char bytes[8];
    int fd;

    add_proxy(fixture);
    fd = wire_connect(fixture->listen);
    assert_int_equal(wire_send_all(fd, "request", 7), 0);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_int_equal(wire_recv_all(fd, bytes, 8), 7);
    assert_memory_equal(bytes, "request", 7);
    close(fd);
}

static void latency_holds_both_ways(void **state)
{
    struct fixture *fixture = *state;
    uint64_t begun_ns, plain_ns, delayed_ns;
    int fd;

    add_proxy(fixture);
    fd = wire_connect(fixture->listen);
    begun_ns = clock_now_ns();
    exchange(fd, 'a');
    plain_ns = clock_now_ns() - begun_ns;
    add_toxic(fixture, "{\"type\":\"latency\",\"stream\":\"upstream\",\"attributes\":{\"latency\":100}}");
    add_toxic(fixture, "{\"type\":\"latency\",\"stream\":\"downstream\",\"attributes\":{\"latency\":100}}");
    begun_ns = clock_now_ns();
    exchange(fd, 'b');
    delayed_ns = clock_now_ns() - begun_ns;
    printf("# without %.1f ms, with 100 ms in each direction %.1f ms\n", (double)plain_ns / 1e6, (double)delayed_ns / 1e6);
    assert_true(delayed_ns >= 200 * NS_PER_MS);
    assert_int_equal(toxi_do(&fixture->toxi, "POST", "/reset", NULL), 204);
    exchange(fd, 'c');
    close(fd);
}

static void reset_peer_resets_idle_and_open_connections(void **state)
{
    struct fixture *fixture = *state;
    char byte;
    int open, fresh;

    add_proxy(fixture);
    open = wire_connect(fixture->listen);
    exchange(open, 'a');
    add_toxic(fixture, "{\"type\":\"reset_peer\"}");
    assert_int_equal(wire_recv_all(open, &byte, 1), -ECONNRESET);
    fresh = wire_connect(fixture->listen);
    assert_int_equal(wire_recv_all(fresh, &byte, 1), -ECONNRESET);
    close(open);
    close(fresh);
    assert_int_equal(toxi_do(&fixture->toxi, "DELETE", "/proxies/p/toxics/reset_peer_downstream", NULL), 204);
    fresh = wire_connect(fixture->listen);
    exchange(fresh, 'b');
    close(fresh);
}

static void deleting_a_timeout_closes_what_lost_bytes(void **state)
{
    struct fixture *fixture = *state;
    int fd, idle;
    char byte;

    add_proxy(fixture);
    fd = wire_connect(fixture->listen);
    exchange(fd, 'a');
    idle = wire_connect(fixture->listen);
    exchange(idle, 'a');
    add_toxic(fixture, "{\"type\":\"timeout\",\"stream\":\"upstream\"}");
    assert_int_equal(wire_send_all(fd, "x", 1), 0);
    assert_true(wire_is_silent(fd, 100));
    assert_int_equal(toxi_do(&fixture->toxi, "DELETE", "/proxies/p/toxics/timeout_upstream", NULL), 204);
    assert_int_equal(wire_recv_all(fd, &byte, 1), 0);
    exchange(idle, 'b');
    close(fd);
    close(idle);
}

/* Connections live through it, with what they have: a hole, held bytes, counts. */
static void changing_a_toxic_keeps_connections(void **state)
{
    struct fixture *fixture = *state;
    char byte, text[TEXT_MAX];
    uint64_t begun_ns;
    int fd;

    add_proxy(fixture);
    fd = wire_connect(fixture->listen);
    exchange(fd, 'a');
    add_toxic(fixture, "{\"type\":\"latency\",\"attributes\":{\"latency\":60000}}");
    assert_int_equal(wire_send_all(fd, "b", 1), 0);
    assert_true(wire_is_silent(fd, 50));
    assert_int_equal(toxi_do(&fixture->toxi, "PATCH", "/proxies/p/toxics/latency_downstream", "{\"attributes\":{\"latency\":60001}}"), 200);
    assert_true(wire_is_silent(fd, 50));
    toxi_get(&fixture->toxi, "/proxies/p/stats", "toxics", text, sizeof(text));
    assert_non_null(strstr(text, "\"matched\":1,\"eligible\":1,\"fired\":1,\"skipped\":0,\"held_bytes\":1,"));
    assert_int_equal(toxi_do(&fixture->toxi, "POST", "/proxies/p/toxics/latency_downstream", "{\"attributes\":{\"latency\":1}}"), 200);
    assert_int_equal(wire_recv_all(fd, &byte, 1), 1);
    assert_int_equal(byte, 'b');
    add_toxic(fixture, "{\"type\":\"timeout\",\"stream\":\"upstream\"}");
    assert_int_equal(wire_send_all(fd, "c", 1), 0);
    assert_true(wire_is_silent(fd, 50));
    begun_ns = clock_now_ns();
    assert_int_equal(toxi_do(&fixture->toxi, "POST", "/proxies/p/toxics/timeout_upstream", "{\"attributes\":{\"timeout\":300}}"), 200);
    assert_int_equal(wire_recv_all(fd, &byte, 1), 0);
    assert_true(clock_now_ns() - begun_ns >= 300 * NS_PER_MS);
    close(fd);
}

static void slow_close_holds_the_end_back(void **state)
{
    struct fixture *fixture = *state;
    uint64_t begun_ns;
    char byte;
    int fd;

    add_proxy(fixture);
    fd = wire_connect(fixture->listen);
    exchange(fd, 'a');
    add_toxic(fixture, "{\"type\":\"slow_close\",\"attributes\":{\"delay\":250}}");
    exchange(fd, 'b');
    begun_ns = clock_now_ns();
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_int_equal(wire_recv_all(fd, &byte, 1), 0);
    assert_true(clock_now_ns() - begun_ns >= 250 * NS_PER_MS);
    close(fd);
}

static void limit_data_passes_so_many_bytes(void **state)
{
    struct fixture *fixture = *state;
    char bytes[64];
    int fd;

    add_proxy(fixture);
    add_toxic(fixture, "{\"type\":\"limit_data\",\"attributes\":{\"bytes\":7}}");
    fd = wire_connect(fixture->listen);
    assert_int_equal(wire_send_all(fd, "0123456789", 10), 0);
    assert_int_equal(wire_recv_all(fd, bytes, sizeof(bytes)), 7);
    assert_memory_equal(bytes, "0123456", 7);
    close(fd);
}

static void a_bandwidth_of_zero_lets_nothing_pass(void **state)
{
    struct fixture *fixture = *state;
    char byte;
    int fd;

    add_proxy(fixture);
    fd = wire_connect(fixture->listen);
    exchange(fd, 'a');
    add_toxic(fixture, "{\"type\":\"bandwidth\"}");
    assert_int_equal(wire_send_all(fd, "b", 1), 0);
    assert_true(wire_is_silent(fd, 150));
    assert_int_equal(toxi_do(&fixture->toxi, "DELETE", "/proxies/p/toxics/bandwidth_downstream", NULL), 204);
    assert_int_equal(wire_recv_all(fd, &byte, 1), 1);
    assert_int_equal(byte, 'b');
    close(fd);
}

/* The executor ends a plan after five seconds without renewal. */
static void a_toxic_outlives_its_lease(void **state)
{
    struct fixture *fixture = *state;
    char byte;
    int fd;

    add_proxy(fixture);
    fd = wire_connect(fixture->listen);
    exchange(fd, 'a');
    add_toxic(fixture, "{\"type\":\"blackhole\"}");
    assert_int_equal(wire_send_all(fd, "b", 1), 0);
    assert_true(wire_is_silent(fd, 6000));
    assert_int_equal(toxi_do(&fixture->toxi, "POST", "/reset", NULL), 204);
    assert_int_equal(wire_recv_all(fd, &byte, 1), 1);
    assert_int_equal(byte, 'b');
    close(fd);
}

static void a_duration_ends_a_toxic(void **state)
{
    struct fixture *fixture = *state;
    char text[TEXT_MAX] = "?";
    uint64_t deadline_ns;
    char byte;
    int fd;

    add_proxy(fixture);
    fd = wire_connect(fixture->listen);
    exchange(fd, 'a');
    add_toxic(fixture, "{\"type\":\"blackhole\",\"duration\":\"300ms\"}");
    assert_int_equal(wire_send_all(fd, "b", 1), 0);
    assert_true(wire_is_silent(fd, 50));
    assert_int_equal(wire_recv_all(fd, &byte, 1), 1);
    deadline_ns = clock_now_ns() + wire_timeout_ms() * NS_PER_MS;
    while (strcmp(text, "[]") != 0 && clock_now_ns() < deadline_ns)
        toxi_get(&fixture->toxi, "/proxies/p", "toxics", text, sizeof(text));
    assert_string_equal(text, "[]");
    close(fd);
}

static void tells_what_it_did(void **state)
{
    struct fixture *fixture = *state;
    struct toxi_answer answer;
    char text[TEXT_MAX];
    int fd;

    add_proxy(fixture);
    add_toxic(fixture, "{\"type\":\"latency\",\"name\":\"slow\",\"attributes\":{\"latency\":1}}");
    fd = wire_connect(fixture->listen);
    exchange(fd, 'a');
    exchange(fd, 'b');
    toxi_get(&fixture->toxi, "/proxies/p/stats", "bytes_to_client", text, sizeof(text));
    assert_string_equal(text, "2");
    toxi_get(&fixture->toxi, "/proxies/p/stats", "toxics", text, sizeof(text));
    assert_non_null(strstr(text, "\"name\":\"slow\",\"type\":\"latency\",\"matched\":1,\"eligible\":1,\"fired\":1,"));
    answer = toxi_ask(&fixture->toxi, "GET", "/events", NULL);
    assert_non_null(strstr(answer.head, "application/x-ndjson"));
    assert_non_null(strstr(answer.body, "\"kind\":\"proxy_opened\",\"fields\":{\"proxy\":\"p\""));
    assert_non_null(strstr(answer.body, "\"kind\":\"fault_armed\",\"fields\":{\"fault\":\"p/slow\""));
    assert_non_null(strstr(answer.body, "\"kind\":\"fault_acted\",\"fields\":{\"fault\":\"p/slow\",\"stream\":1,\"position\":0}"));
    toxi_answer_done(&answer);
    answer = toxi_ask(&fixture->toxi, "GET", "/events?since=2", NULL);
    assert_int_equal(strncmp(answer.body, "{\"seq\":3,", 9), 0);
    toxi_answer_done(&answer);
    close(fd);
}

static void turns_clients_away_while_the_upstream_has_no_name(void **state)
{
    struct fixture *fixture = *state;
    char listen[128], byte;
    int fd;

    assert_int_equal(
        toxi_do(&fixture->toxi, "POST", "/proxies", "{\"name\":\"u\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"no-port\"}"), 201);
    toxi_get(&fixture->toxi, "/proxies/u", "listen", listen, sizeof(listen));
    fd = wire_connect(listen);
    assert_true(fd >= 0);
    assert_true(wire_recv_all(fd, &byte, 1) <= 0);
    close(fd);
    toxi_get(&fixture->toxi, "/proxies/u", "upstream", listen, sizeof(listen));
    assert_string_equal(listen, "no-port");
}

/* ---- files, seeds ------------------------------------------------------------------------------------------------------ */

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void keeps_its_state(void **state)
{
    char config[512], saved[512];
    const char *directory = getenv("TMPDIR");
    char before[TEXT_MAX], after[TEXT_MAX];
    struct toxi toxi;

    (void)state;
    snprintf(config, sizeof(config), "%s/config-%d.json", directory ? directory : "/tmp", (int)getpid());
    snprintf(saved, sizeof(saved), "%s/state-%d.json", directory ? directory : "/tmp", (int)getpid());
    write_text(config, "[{\"name\":\"c\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:1\",\"toxics\":["
                       "{\"type\":\"slicer\",\"name\":\"zeros\"},{\"type\":\"latency\",\"duration\":\"1h\",\"toxicity\":0.25,"
                       "\"attributes\":{\"latency\":\"1500us\"}}]},"
                       "{\"name\":\"d\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:1\",\"enabled\":false}]");
    toxi_start(&toxi, (const char *const[]){ "-config", config, "-state", saved, NULL });
    toxi_get(&toxi, "/proxies", "c", before, sizeof(before));
    assert_non_null(strstr(before, "\"latency\":\"1.5ms\""));
    assert_int_equal(toxi_do(&toxi, "POST", "/proxies/c/toxics", "{\"type\":\"noop\"}"), 200);
    toxi_get(&toxi, "/proxies", "c", before, sizeof(before));
    assert_int_equal(toxi_stop(&toxi), 0);
    toxi_start(&toxi, (const char *const[]){ "-state", saved, NULL });
    toxi_get(&toxi, "/proxies", "c", after, sizeof(after));
    *strstr(before, "\"duration\"") = *strstr(after, "\"duration\"") = '\0'; /* what is left of it is less */
    assert_string_equal(before, after);
    toxi_get(&toxi, "/proxies/d", "enabled", after, sizeof(after));
    assert_string_equal(after, "false");
    assert_int_equal(toxi_stop(&toxi), 0);
    unlink(config);
    unlink(saved);
}

/* Which of the connections a toxic of toxicity 0.5 took, one after the other. */
static uint64_t picked(const char *seed)
{
    struct wire_server *server;
    struct toxi toxi;
    uint64_t picks = 0;
    char body[512], listen[128], byte;

    toxi_start(&toxi, (const char *const[]){ "-seed", seed, NULL });
    server = wire_server_start(wire_echo, NULL);
    snprintf(body, sizeof(body),
             "{\"name\":\"p\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:%u\",\"toxics\":[{\"type\":\"reset_peer\","
             "\"toxicity\":0.5}]}",
             wire_server_port(server));
    assert_int_equal(toxi_do(&toxi, "POST", "/proxies", body), 201);
    toxi_get(&toxi, "/proxies/p", "listen", listen, sizeof(listen));
    for (int i = 0; i < SEEDED; i++) {
        int fd = wire_connect(listen);

        (void)wire_send_all(fd, "x", 1);
        if (wire_recv_all(fd, &byte, 1) != 1)
            picks |= BIT(i);
        close(fd);
    }
    assert_int_equal(toxi_stop(&toxi), 0);
    wire_server_stop(server);
    return picks;
}

static void a_seed_repeats_the_choice(void **state)
{
    uint64_t first = picked("7"), again = picked("7"), other = picked("8");

    (void)state;
    printf("# of %d connections %d, %d and %d\n", SEEDED, __builtin_popcountll(first), __builtin_popcountll(again),
           __builtin_popcountll(other));
    assert_true(first == again);
    assert_true(first != other);
    assert_true(__builtin_popcountll(first) > SEEDED / 8 && __builtin_popcountll(first) < SEEDED * 7 / 8);
}

/* ---- under load -------------------------------------------------------------------------------------------------------- */

struct flood {
    const char *listen;
    bool stop; /* (atomic) */
    uint64_t bytes, wrong;
};

static void *send_flood(void *context)
{
    char bytes[65536];
    struct flood *flood = context;
    int fd = wire_connect(flood->listen);
    uint64_t offset = 0;

    while (!__atomic_load_n(&flood->stop, __ATOMIC_ACQUIRE)) {
        wire_fill(1, offset, bytes, sizeof(bytes));
        if (wire_send_all(fd, bytes, sizeof(bytes)) < 0)
            break;
        offset += sizeof(bytes);
        for (size_t got = 0; got < sizeof(bytes);) {
            ssize_t some = wire_recv_some(fd, bytes + got, sizeof(bytes) - got, (int)wire_timeout_ms());

            if (some <= 0) {
                flood->wrong++;
                goto out;
            }
            got += (size_t)some;
        }
        {
            char expected[sizeof(bytes)];

            wire_fill(1, offset - sizeof(bytes), expected, sizeof(expected));
            flood->wrong += memcmp(bytes, expected, sizeof(bytes)) != 0;
        }
        flood->bytes += sizeof(bytes);
    }
out:
    close(fd);
    return NULL;
}

/* Toxics come, change and go while connections carry all they can: no byte is lost, and no control call waits for the data path. */
static void control_calls_are_quick_under_load(void **state)
{
    struct fixture *fixture = *state;
    struct flood floods[4];
    pthread_t threads[4];
    uint64_t worst_ns = 0, calls = 0, until_ns, total = 0;
    static const char *const bodies[] = {
        "{\"type\":\"latency\",\"name\":\"t\",\"attributes\":{\"latency\":5,\"jitter\":3}}",
        "{\"type\":\"bandwidth\",\"name\":\"t\",\"stream\":\"upstream\",\"attributes\":{\"rate\":20000}}",
        "{\"type\":\"slicer\",\"name\":\"t\",\"attributes\":{\"average_size\":500,\"size_variation\":100}}",
        "{\"type\":\"noop\",\"name\":\"t\"}",
    };
    static const char *const changes[] = {
        "{\"attributes\":{\"latency\":2}}",
        "{\"attributes\":{\"rate\":40000}}",
        "{\"attributes\":{\"average_size\":900}}",
        "{\"toxicity\":0.5}",
    };

    add_proxy(fixture);
    for (size_t i = 0; i < ARRAY_SIZE(floods); i++) {
        floods[i] = (struct flood){ .listen = fixture->listen };
        assert_int_equal(pthread_create(&threads[i], NULL, send_flood, &floods[i]), 0);
    }
    until_ns = clock_now_ns() + 2 * NS_PER_S;
    for (size_t i = 0; clock_now_ns() < until_ns; i++)
        for (int step = 0; step < 3; step++) {
            uint64_t begun_ns = clock_now_ns(), took_ns;
            size_t kind = i % ARRAY_SIZE(bodies);
            int status;

            if (step == 0)
                status = toxi_do(&fixture->toxi, "POST", "/proxies/p/toxics", bodies[kind]);
            else if (step == 1)
                status = toxi_do(&fixture->toxi, "POST", "/proxies/p/toxics/t", changes[kind]);
            else
                status = toxi_do(&fixture->toxi, "DELETE", "/proxies/p/toxics/t", NULL);
            assert_in_range(status, 200, 204);
            took_ns = clock_now_ns() - begun_ns;
            worst_ns = MAX(worst_ns, took_ns);
            calls++;
        }
    for (size_t i = 0; i < ARRAY_SIZE(floods); i++) {
        __atomic_store_n(&floods[i].stop, true, __ATOMIC_RELEASE);
        pthread_join(threads[i], NULL);
        assert_int_equal(floods[i].wrong, 0);
        total += floods[i].bytes;
    }
    printf("# %llu calls, the slowest %.1f ms, beside %llu MB\n", (unsigned long long)calls, (double)worst_ns / 1e6,
           (unsigned long long)(total / 1000000));
    assert_true(total > 0);
    assert_true(worst_ns < NS_PER_S);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(enabled_is_a_switch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(half_close_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(latency_holds_both_ways, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reset_peer_resets_idle_and_open_connections, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deleting_a_timeout_closes_what_lost_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(changing_a_toxic_keeps_connections, set_up, tear_down),
        cmocka_unit_test_setup_teardown(slow_close_holds_the_end_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limit_data_passes_so_many_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bandwidth_of_zero_lets_nothing_pass, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_toxic_outlives_its_lease, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_duration_ends_a_toxic, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tells_what_it_did, set_up, tear_down),
        cmocka_unit_test_setup_teardown(turns_clients_away_while_the_upstream_has_no_name, set_up, tear_down),
        cmocka_unit_test(keeps_its_state),
        cmocka_unit_test(a_seed_repeats_the_choice),
        cmocka_unit_test_setup_teardown(control_calls_are_quick_under_load, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("toxiproxy_wire", tests, NULL, NULL);
}
