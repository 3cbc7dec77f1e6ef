/* The idle cost, in instructions: under the idle shim a malloc/free pair may cost at most 6 more than under hooks that do nothing
 * but pass on (tests/fixtures/preload/passthrough.c), a mutex locked and unlocked at most 5 more than bare. */
#include "tests/component/shim_cost.h"

enum { EXTRA_MAX = 6, LOCK_EXTRA_MAX = 5, EXTRA_READING_MAX = 24 };

static void idle_pair_costs_next_to_nothing(void **state)
{
    struct bench *bench = *state;
    char passthrough[PATH_MAX + 64];
    double bare, hop, idle, unarmed;

    if (access(valgrind_path, X_OK) < 0) {
        print_message("skipped: no %s\n", valgrind_path);
        skip();
    }
    snprintf(passthrough, sizeof(passthrough), "%s/tests/libpassthrough.so", bench->build);
    bare = cost_per_pair(bench, "", "");
    hop = cost_per_pair(bench, passthrough, "");
    unarmed = cost_per_pair(bench, bench->library, "");
    bench_arm(bench, 1, "fail@write:EIO"); /* another point is armed: allocation still is idle */
    idle = cost_per_pair(bench, bench->library, page_path(bench->page));
    print_message("instructions a malloc/free pair: bare %.2f, passed through %.2f, no page %.2f, idle %.2f\n", bare, hop, unarmed, idle);
    assert_true(hop > bare);
    assert_true(unarmed > bare);
    assert_true(unarmed <= hop + EXTRA_MAX);
    assert_true(idle <= hop + EXTRA_MAX);
}

/* An unlock is not even wrapped; by the library that watches it is, and its hop costs as much again. */
static void idle_mutex_costs_next_to_nothing(void **state)
{
    struct bench *bench = *state;
    double bare, idle, watching;

    if (access(valgrind_path, X_OK) < 0) {
        print_message("skipped: no %s\n", valgrind_path);
        skip();
    }
    bench_arm(bench, 1, "fail@write:EIO");
    bare = cost_per_time(bench, "lock_pairs", "", "");
    idle = cost_per_time(bench, "lock_pairs", bench->library, page_path(bench->page));
    assert_int_equal(preload_watching(bench->library, sizeof(bench->library)), 0);
    watching = cost_per_time(bench, "lock_pairs", bench->library, page_path(bench->page));
    print_message("instructions a lock/unlock pair: bare %.2f, idle %.2f, idle under the library that watches %.2f\n", bare, idle, watching);
    assert_true(idle > bare);
    assert_true(idle < bare + LOCK_EXTRA_MAX + 0.5);
    assert_true(watching < bare + 2 * LOCK_EXTRA_MAX + 0.5);
}

/* A reading is seen to have ended before anything was armed, so it cannot be a plain jump. */
static void idle_clock_costs_a_nanosecond(void **state)
{
    struct bench *bench = *state;
    double bare, idle;

    if (access(valgrind_path, X_OK) < 0) {
        print_message("skipped: no %s\n", valgrind_path);
        skip();
    }
    bare = cost_per_time(bench, "clock_reads", "", "");
    bench_arm(bench, 1, "fail@write:EIO");
    idle = cost_per_time(bench, "clock_reads", bench->library, page_path(bench->page));
    print_message("instructions a reading of the clock: bare %.2f, idle %.2f\n", bare, idle);
    assert_true(idle > bare);
    assert_true(idle <= bare + EXTRA_READING_MAX);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(idle_pair_costs_next_to_nothing),
        CASE(idle_mutex_costs_next_to_nothing),
        CASE(idle_clock_costs_a_nanosecond),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (skipped_whole())
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
