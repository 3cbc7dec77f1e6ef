/* Plans of arrival against the rates that they were made of: how many requests are due by an instant is counted, not computed back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/load/arrival.h"
#include "controller/load/load.h"

#define S UINT64_C(1000000000)

/* How many are due before an instant; they must come in order. */
static uint64_t due_before(const struct arrival *arrival, uint64_t ns)
{
    uint64_t last = 0, count = 0;

    for (uint64_t at; (at = arrival_at_ns(arrival, count)) < ns; count++) {
        assert_true(at >= last);
        last = at;
    }
    return count;
}

static void near(uint64_t count, double expected, double within)
{
    if (fabs((double)count - expected) > within)
        fail_msg("%llu due, expected %g within %g", (unsigned long long)count, expected, within);
}

static void a_constant_rate_is_even(void **state)
{
    struct arrival *arrival;

    (void)state;
    assert_int_equal(arrival_new_constant(250, false, 1, "a", &arrival), 0);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(arrival_at_ns(arrival, i), i * 4000000);
    assert_true(arrival_rate_max_per_s(arrival) > 249.9);
    assert_null(arrival_free(arrival));
}

/* 100/s for 2 s, to 300/s within 4 s, then 300/s: by t there are 200, 200 + 100 u + 25 u^2, 1,000 + 300 w. */
static void a_ramp_climbs(void **state)
{
    struct arrival *arrival;

    (void)state;
    assert_int_equal(arrival_new_ramp(100, 300, 2, 4, false, 1, "a", &arrival), 0);
    near(due_before(arrival, 2 * S), 200, 1);
    for (int half = 1; half <= 8; half++) {
        double u = half / 2.0;
        near(due_before(arrival, 2 * S + (uint64_t)half * S / 2), 200 + 100 * u + 25 * u * u, 1);
    }
    near(due_before(arrival, 10 * S), 1000 + 4 * 300, 1);
    arrival_free(arrival);
}

static void a_ramp_may_fall_to_nothing_and_begin_at_nothing(void **state)
{
    struct arrival *arrival;

    (void)state;
    assert_int_equal(arrival_new_ramp(200, 0, 0, 10, false, 1, "a", &arrival), 0);
    near(due_before(arrival, 5 * S), 750, 1);
    near(due_before(arrival, UINT64_MAX), 1000, 1); /* and ends */
    arrival_free(arrival);
    assert_int_equal(arrival_new_ramp(0, 200, 0, 10, false, 1, "a", &arrival), 0);
    near(due_before(arrival, 5 * S), 250, 1);
    near(due_before(arrival, 11 * S), 1200, 1);
    arrival_free(arrival);
}

static void a_step_steps_and_a_spike_goes_again(void **state)
{
    struct arrival *arrival;

    (void)state;
    assert_int_equal(arrival_new_ramp(100, 400, 3, 0, false, 1, "a", &arrival), 0);
    near(due_before(arrival, 3 * S), 300, 1);
    near(due_before(arrival, 5 * S), 1100, 1);
    arrival_free(arrival);
    assert_int_equal(arrival_new_spike(100, 1000, 3, 2, false, 1, "a", &arrival), 0);
    near(due_before(arrival, 3 * S), 300, 1);
    near(due_before(arrival, 5 * S), 2300, 1);
    near(due_before(arrival, 8 * S), 2600, 1);
    arrival_free(arrival);
}

/* Mean and variance of counts a second are the rate; gaps above their mean are a share of 1/e. */
static void poisson_is_poisson(void **state)
{
    enum { SECONDS = 400, RATE = 100 };
    static uint64_t counts[SECONDS];
    struct arrival *arrival;
    double sum = 0, squares = 0;
    uint64_t n = 0, long_gaps = 0, last = 0;

    (void)state;
    memset(counts, 0, sizeof(counts));
    assert_int_equal(arrival_new_constant(RATE, true, 7, "a", &arrival), 0);
    for (uint64_t at; (at = arrival_at_ns(arrival, n)) < SECONDS * S; n++) {
        counts[at / S]++;
        long_gaps += at - last > S / RATE;
        last = at;
    }
    for (int i = 0; i < SECONDS; i++) {
        sum += (double)counts[i];
        squares += (double)(counts[i] * counts[i]);
    }
    double mean = sum / SECONDS, variance = squares / SECONDS - mean * mean;
    assert_true(fabs(mean - RATE) < 4 * sqrt(RATE / (double)SECONDS));
    assert_true(variance > 0.75 * RATE && variance < 1.3 * RATE); /* the spread of a variance of 400: 7 % */
    assert_true(fabs((double)long_gaps / (double)n - exp(-1)) < 0.01);
    arrival_free(arrival);
}

/* Whatever was asked before: an index has one instant. Seeds and names tell plans apart. */
static void poisson_is_a_function_of_the_index(void **state)
{
    static const uint64_t order[] = { 5000, 3, 70000, 1023, 1024, 1025, 0, 69999, 2048, 4999, 70001, 1 };
    struct arrival *asked, *fresh, *other;

    (void)state;
    assert_int_equal(arrival_new_constant(1000, true, 7, "a", &asked), 0);
    assert_int_equal(arrival_new_constant(1000, true, 8, "a", &other), 0);
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        assert_int_equal(arrival_new_constant(1000, true, 7, "a", &fresh), 0);
        assert_int_equal(arrival_at_ns(asked, order[i]), arrival_at_ns(fresh, order[i]));
        assert_int_not_equal(arrival_at_ns(asked, order[i]), arrival_at_ns(other, order[i]));
        arrival_free(fresh);
    }
    arrival_free(asked);
    arrival_free(other);
}

static const char *write_file(const char *text)
{
    static char path[256];
    const char *directory = getenv("TMPDIR");

    snprintf(path, sizeof(path), "%s/arrival.txt", directory ? directory : "/tmp");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return path;
}

static void recordings_are_read(void **state)
{
    struct errs errs = { 0 };
    struct arrival *arrival;

    (void)state;
    assert_int_equal(arrival_read_rates(write_file("# a day\n10\n0\n 20 # busy\n\n"), false, 1, "a", &errs, &arrival), 0);
    near(due_before(arrival, 1 * S), 10, 1);
    near(due_before(arrival, 2 * S), 10, 1);
    near(due_before(arrival, UINT64_MAX), 30, 1);
    assert_true(arrival_rate_max_per_s(arrival) > 19.9);
    arrival_free(arrival);
    assert_int_equal(arrival_read_instants(write_file("0\n0.5\n0.5\r\n2.25\n"), &errs, &arrival), 0);
    assert_int_equal(arrival_at_ns(arrival, 1), S / 2);
    assert_int_equal(arrival_at_ns(arrival, 2), S / 2);
    assert_int_equal(arrival_at_ns(arrival, 3), 9 * S / 4);
    assert_true(arrival_at_ns(arrival, 4) == UINT64_MAX);
    arrival_free(arrival);
    unlink(write_file(""));
}

static void bad_plans_are_refused(void **state)
{
    static const char *const texts[] = { "", "# only\n", "abc\n", "1 2\n", "-1\n", "nan\n", "2000000000\n", "0\n0\n" };
    struct arrival *arrival = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct errs errs = { 0 };
        assert_int_equal(arrival_read_rates(write_file(texts[i]), false, 1, "a", &errs, &arrival), -EINVAL);
        assert_true(errs.count > 0);
    }
    struct errs errs = { 0 };
    assert_int_equal(arrival_read_instants(write_file("2\n1\n"), &errs, &arrival), -EINVAL);
    assert_int_equal(arrival_read_rates("/nowhere/at/all", false, 1, "a", &errs, &arrival), -ENOENT);
    assert_int_equal(arrival_new_constant(0, false, 1, "a", &arrival), -EINVAL);
    assert_int_equal(arrival_new_constant(1e9, false, 1, "a", &arrival), -EINVAL);
    assert_int_equal(arrival_new_spike(1, 2, 0, 0, false, 1, "a", &arrival), -EINVAL);
    assert_null(arrival);
    unlink(write_file(""));
}

static uint64_t hash_of(const char *text, bool instants)
{
    struct arrival *arrival = NULL;
    struct errs errs = { 0 };
    int rc = instants ? arrival_read_instants(write_file(text), &errs, &arrival) : arrival_read_rates(write_file(text), false, 1, "a", &errs, &arrival);
    uint64_t hash;

    assert_int_equal(rc, 0);
    hash = arrival_hash(arrival);
    arrival_free(arrival);
    return hash;
}

static void a_changed_recording_is_another_plan(void **state)
{
    (void)state;
    assert_true(hash_of("10\n0\n20\n", false) == hash_of("# a day\n10\n0\n 20 # busy\n", false));
    assert_true(hash_of("10\n0\n20\n", false) != hash_of("10\n0\n21\n", false));
    assert_true(hash_of("10\n0\n20\n", false) != hash_of("10\n20\n0\n", false));
    assert_true(hash_of("10\n0\n20\n", false) != hash_of("10\n0\n20\n20\n", false));
    assert_true(hash_of("0\n0.5\n", true) == hash_of("0\n0.50\n", true));
    assert_true(hash_of("0\n0.5\n", true) != hash_of("0\n0.51\n", true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_constant_rate_is_even),
        cmocka_unit_test(a_ramp_climbs),
        cmocka_unit_test(a_ramp_may_fall_to_nothing_and_begin_at_nothing),
        cmocka_unit_test(a_step_steps_and_a_spike_goes_again),
        cmocka_unit_test(poisson_is_poisson),
        cmocka_unit_test(poisson_is_a_function_of_the_index),
        cmocka_unit_test(recordings_are_read),
        cmocka_unit_test(bad_plans_are_refused),
        cmocka_unit_test(a_changed_recording_is_another_plan),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
