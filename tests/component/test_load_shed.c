/* Load that is shed: which requests are left is a function of the index, the books still balance, and the server is the oracle of their number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "controller/load/load.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "tests/support/scheduled_server.h"

enum { URL_SIZE = 64, RATE = 1000 };

static struct load *start(const struct scheduled_server *server, char url[URL_SIZE], uint64_t timeout_ns)
{
    struct load_spec spec = { .name = "main", .seed = 1, .protocol = LOAD_HTTP, .url = url, .rate_per_s = RATE, .timeout_ns = timeout_ns,
                              .late_after_ns = 10 * NS_PER_S };
    struct errs errs = { 0 };
    struct load *load = NULL;

    snprintf(url, URL_SIZE, "http://127.0.0.1:%u/", (unsigned)server->port);
    assert_int_equal(load_new(&spec, &errs, &load), 0);
    return load;
}

/* Instants come first and the start last, so that a slow machine sheds the same requests. */
static void a_share_is_left_evenly(void **state)
{
    static const struct {
        unsigned at_ms;
        uint32_t keep_ppm;
    } sheds[] = { { 100, 500000 }, { 200, 0 }, { 300, 100000 }, { 400, 1000000 } };
    struct scheduled_server *server = scheduled_server_start(false, ANSWER);
    char url[URL_SIZE];
    struct load *load = start(server, url, 20 * NS_PER_S);
    uint64_t start_ns = clock_now_ns() + 200 * NS_PER_MS, counts[5] = { 0 };
    struct load_counters counters;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sheds); i++)
        assert_int_equal(load_shed(load, start_ns + sheds[i].at_ms * NS_PER_MS, sheds[i].keep_ppm), 0);
    assert_int_equal(load_start(load, start_ns), 0);
    assert_int_equal(load_stop_at(load, start_ns + 500 * NS_PER_MS - 1), 0);
    do
        (void)poll(NULL, 0, 1);
    while (clock_now_ns() < start_ns + 500 * NS_PER_MS);
    assert_int_equal(load_stop(load), 0);
    load_counters(load, &counters);
    for (uint64_t i = 0; i < load_records_count(load); i++) {
        const struct load_record *record = load_record_at(load, i);

        assert_int_equal(record->outcome, LOAD_OK);
        counts[(record->planned_ns - start_ns) / (100 * NS_PER_MS)]++;
    }
    assert_int_equal(counts[0], 100);
    assert_int_equal(counts[1], 50);
    assert_int_equal(counts[2], 0);
    assert_int_equal(counts[3], 10);
    assert_int_equal(counts[4], 100);
    assert_int_equal(counters.planned, 260);
    assert_int_equal(counters.waiting + counters.in_flight, 0);
    assert_int_equal(atomic_load(&server->requests), 260);
    load_free(load);
    scheduled_server_stop(server);
    free(server);
}

/* A service that hangs: what waits ages and is dropped, what is shed leaves no trace, and the end is bounded by the time limit. */
static void the_books_balance_while_it_hangs(void **state)
{
    struct scheduled_server *server = scheduled_server_start(false, HANG);
    char url[URL_SIZE];
    struct load *load = start(server, url, 100 * NS_PER_MS);
    uint64_t start_ns = clock_now_ns() + 100 * NS_PER_MS;
    struct load_counters counters;

    (void)state;
    assert_int_equal(load_shed(load, start_ns + 100 * NS_PER_MS, 100000), 0);
    assert_int_equal(load_start(load, start_ns), 0);
    assert_int_equal(load_stop_at(load, start_ns + 200 * NS_PER_MS - 1), 0);
    do
        (void)poll(NULL, 0, 1);
    while (clock_now_ns() < start_ns + 200 * NS_PER_MS);
    assert_int_equal(load_stop(load), 0);
    load_counters(load, &counters);
    assert_int_equal(counters.planned, 110);
    assert_int_equal(counters.failed, 110);
    assert_int_equal(load_records_count(load), 110);
    load_free(load);
    scheduled_server_stop(server);
    free(server);
}

static void the_past_cannot_be_shed(void **state)
{
    struct scheduled_server *server = scheduled_server_start(false, ANSWER);
    char url[URL_SIZE];
    struct load *load = start(server, url, NS_PER_S);
    uint64_t now_ns = clock_now_ns();

    (void)state;
    assert_int_equal(load_shed(load, now_ns, 500000), -EINVAL);
    assert_int_equal(load_shed(load, now_ns + 60 * NS_PER_S, 1000001), -EINVAL);
    assert_int_equal(load_shed(load, now_ns + 60 * NS_PER_S, 500000), 0);
    assert_int_equal(load_shed(load, now_ns + 59 * NS_PER_S, 500000), -EINVAL);
    for (int i = 1; i < LOAD_SHEDS_MAX; i++)
        assert_int_equal(load_shed(load, now_ns + 60 * NS_PER_S, 0), 0);
    assert_int_equal(load_shed(load, now_ns + 60 * NS_PER_S, 0), -ENOSPC);
    load_free(load);
    scheduled_server_stop(server);
    free(server);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_is_left_evenly),
        cmocka_unit_test(the_books_balance_while_it_hangs),
        cmocka_unit_test(the_past_cannot_be_shed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
