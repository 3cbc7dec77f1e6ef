/* Deadlines with spinning: held bytes are never early and not later than without; the loop spins only while a deadline is near; and it
 * counts by itself how late each was. */
#include "scenarios/base/cleanup.h"
#include "tests/component/wire_fixture.h"

#include <sys/param.h>
#include <time.h>

enum { TRIPS = 60 };

static uint64_t cpu_ns(pid_t pid)
{
    struct timespec used;
    clockid_t clock;

    assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
    assert_int_equal(clock_gettime(clock, &used), 0);
    return timespec_ns(used);
}

/* The least of many round trips under 5 ms of latency, less the 5 ms. */
static uint64_t least_late_ns(struct fixture *fixture, uint64_t epoch)
{
    struct plan_rule rule = wire_rule("latency", "five");
    uint64_t least_ns = UINT64_MAX;
    int fd = open_echo(fixture);
    struct histogram lateness;

    (void)transfer_ns(fd, 0, 8); /* not held: no lateness */
    lateness = wire_proxy(&fixture->executor, "echo").lateness;
    assert_int_equal(histogram_count(&lateness), 0);
    rule.params.STREAM_latency.latency = 5 * MS;
    rule.selector.direction = DIRECTION_TO_CLIENT;
    assert_int_equal(wire_arm(&fixture->executor, epoch, LEASE_NS, &rule, 1), 0);
    for (int i = 0; i < TRIPS; i++) {
        uint64_t took_ns = transfer_ns(fd, (uint64_t)i, 8);

        assert_true(took_ns >= 5 * MS);
        least_ns = MIN(least_ns, took_ns - 5 * MS);
    }
    assert_int_equal(wire_status(&fixture->executor, "five").counts.fired, 1);
    lateness = wire_proxy(&fixture->executor, "echo").lateness;
    assert_int_equal(histogram_count(&lateness), TRIPS); /* each answer was held once */
    assert_true(histogram_quantile(&lateness, 1.0 / TRIPS) <= least_ns); /* the proxy's own part of what the client saw */
    close(fd);
    return least_ns;
}

static int set_up_spinning(void **state)
{
    struct fixture *fixture;
    struct injector_limits limits;

    if (set_up(state) < 0)
        return -1;
    fixture = *state;
    if (wire_executor_end(&fixture->executor) != 0)
        return -1;
    injector_limits_init(&limits);
    limits.spin_ns = NS_PER_MS;
    wire_executor_start(&fixture->executor, &limits);
    wire_open(&fixture->executor, "echo", wire_server_port(fixture->echo), fixture->echo_at, sizeof(fixture->echo_at));
    return 0;
}

static void test_spinning_is_not_early_and_ends(void **state)
{
    struct fixture *fixture = *state;
    uint64_t used_ns, begun_ns;

    used_ns = cpu_ns(fixture->executor.pid);
    print_message("# least lateness with the round trip: %u us\n", (unsigned)(least_late_ns(fixture, 1) / NS_PER_US));
    used_ns = cpu_ns(fixture->executor.pid) - used_ns;
    assert_true(used_ns >= TRIPS * MS / 4); /* it did spin: a millisecond before each, less what others took of the core */

    used_ns = cpu_ns(fixture->executor.pid); /* armed, and nothing held: it sleeps */
    begun_ns = clock_now_ns();
    while (clock_now_ns() - begun_ns < 300 * MS)
        (void)poll(NULL, 0, 50);
    assert_true(cpu_ns(fixture->executor.pid) - used_ns < 100 * MS);
}

static void test_without_spinning_it_sleeps(void **state)
{
    struct fixture *fixture = *state;
    uint64_t used_ns = cpu_ns(fixture->executor.pid);

    (void)least_late_ns(fixture, 1);
    assert_true(cpu_ns(fixture->executor.pid) - used_ns < TRIPS * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_spinning_is_not_early_and_ends, set_up_spinning, tear_down),
        cmocka_unit_test_setup_teardown(test_without_spinning_it_sleeps, set_up, tear_down),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
