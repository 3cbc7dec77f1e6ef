/* Probes: what a window's samples come to, where a number lies in a JSON document, and a probe's life with a real command. */
#include "controller/probe/probe_priv.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SECOND_NS UINT64_C(1000000000)

static uint64_t deadline_ns(void)
{
    const char *text = getenv("PERTURB_TEST_TIMEOUT_MS");

    return clock_now_ns() + (text ? strtoull(text, NULL, 10) : 10000) * NS_PER_MS;
}

static void stats_are_of_what_is_known(void **state)
{
    const struct probe_sample samples[] = { { 1 * SECOND_NS, 4 }, { 2 * SECOND_NS, NAN }, { 3 * SECOND_NS, 10 }, { 5 * SECOND_NS, 1 } };

    (void)state;
    assert_float_equal(probe_stat_over(samples, 4, PROBE_MEAN, 0), 5, 1e-12);
    assert_float_equal(probe_stat_over(samples, 4, PROBE_MAX, 0), 10, 0);
    assert_float_equal(probe_stat_over(samples, 4, PROBE_MIN, 0), 1, 0);
    assert_float_equal(probe_stat_over(samples, 4, PROBE_LAST, 0), 1, 0);
    assert_float_equal(probe_stat_over(samples, 4, PROBE_UP, 0), 0.75, 1e-12);
    assert_float_equal(probe_stat_over(samples, 4, PROBE_CHANGE, 0), -0.75, 1e-12);
    assert_float_equal(probe_stat_over(samples, 4, PROBE_QUANTILE, 0.5), 4, 0);
    assert_float_equal(probe_stat_over(samples, 4, PROBE_QUANTILE, 0.99), 10, 0);
}

static void no_data_is_no_number(void **state)
{
    const struct probe_sample failed[] = { { SECOND_NS, NAN }, { 2 * SECOND_NS, NAN } };

    (void)state;
    for (enum probe_stat stat = PROBE_MEAN; stat <= PROBE_QUANTILE; stat++) {
        assert_true(isnan(probe_stat_over(NULL, 0, stat, 0.5)));
        if (stat != PROBE_UP)
            assert_true(isnan(probe_stat_over(failed, 2, stat, 0.5)));
    }
    assert_float_equal(probe_stat_over(failed, 2, PROBE_UP, 0), 0, 0);
    assert_true(isnan(probe_stat_over(&(struct probe_sample){ SECOND_NS, 3 }, 1, PROBE_CHANGE, 0)));
}

static void numbers_are_found_by_path(void **state)
{
    static const char text[] = "{\"a\":{\"b\":[1,{\"c\":2.5}],\"d.e\":\"7\"},\"t\":true,\"n\":null,\"s\":\"seven\"}";
    static const struct {
        const char *path;
        int result;
        double value;
    } cases[] = {
        { "a.b[0]", 0, 1 },        { "a.b[1].c", 0, 2.5 },   { "a[\"d.e\"]", 0, 7 },   { "t", 0, 1 },
        { "a.b[2]", -ENOENT, 0 },  { "a.x", -ENOENT, 0 },    { "a", -EDOM, 0 },        { "n", -EDOM, 0 },
        { "s", -EDOM, 0 },         { "a.b[x]", -EINVAL, 0 }, { "a.b[-1]", -EINVAL, 0 }, { "a..b", -EINVAL, 0 },
        { "a[\"d.e", -EINVAL, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double value = -1;

        assert_int_equal(json_number_at(text, cases[i].path, &value), cases[i].result);
        if (!cases[i].result)
            assert_float_equal(value, cases[i].value, 0);
    }
    assert_int_equal(json_number_at("{", "a", &(double){ 0 }), -EINVAL);
}

static pid_t own_pid(void *context, const char *target)
{
    (void)context;
    return !strcmp(target, "me") ? getpid() : 0;
}

/* Runs a probe until it has `want` samples; the caller frees them. */
static size_t watch(const struct probe *probe, size_t want, struct probe_sample **ret_samples, struct prober_counts *ret_counts)
{
    const struct probe_world world = { .target_pid = own_pid };
    uint64_t limit_ns = deadline_ns();
    struct prober *prober = NULL;
    size_t count = 0;
    struct errs errs = { 0 };

    *ret_samples = NULL;
    assert_int_equal(prober_new(probe, &world, &errs, &prober), 0);
    assert_int_equal(prober_start(prober, clock_now_ns()), 0);
    while (count < want && clock_now_ns() < limit_ns) {
        free(*ret_samples);
        *ret_samples = NULL;
        assert_int_equal(prober_window(prober, 0, UINT64_MAX, ret_samples, &count), 0);
        poll(NULL, 0, 5);
    }
    prober_stop(prober);
    prober_counts(prober, ret_counts);
    prober_free(prober);
    assert_true(count >= want);
    return count;
}

static void a_command_is_read(void **state)
{
    const char *words[] = { "printf", "load is -2.50 of 8\\n", NULL };
    const struct probe probe = { .name = "p", .kind = PROBE_COMMAND, .command.run = { words, 2 }, .every = 10000000, .timeout = 5000000000 };
    struct prober_counts counts;
    struct probe_sample *samples;
    size_t count = watch(&probe, 3, &samples, &counts);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        assert_float_equal(samples[i].value, -2.5, 0);
        assert_true(!i || samples[i].ns > samples[i - 1].ns);
    }
    assert_int_equal(counts.failed, 0);
    free(samples);
}

static void a_command_that_fails_or_hangs_is_no_data(void **state)
{
    const char *fails[] = { "sh", "-c", "echo 5; exit 3", NULL }, *hangs[] = { "sleep", "600", NULL };
    struct probe probe = { .name = "p", .kind = PROBE_COMMAND, .command.run = { fails, 3 }, .every = 10000000, .timeout = 5000000000 };
    struct prober_counts counts;
    struct probe_sample *samples;

    (void)state;
    watch(&probe, 2, &samples, &counts);
    assert_true(isnan(samples[0].value));
    assert_string_equal(counts.why, "'sh' ended with status 3");
    free(samples);
    probe.command.run = (struct text_list){ hangs, 2 };
    probe.timeout = 30000000;
    watch(&probe, 2, &samples, &counts);
    assert_true(isnan(samples[1].value));
    assert_string_equal(counts.why, "'sleep' took longer than its timeout");
    assert_true(counts.skipped > 0); /* 30 ms a reading, one planned every 10 */
    free(samples);
}

static void the_kernel_tells_of_a_target(void **state)
{
    struct probe probe = { .name = "p", .kind = PROBE_PROC, .proc = { "me", PROC_TASKS }, .every = 10000000, .timeout = 5000000000 };
    struct prober_counts counts;
    struct probe_sample *samples;

    (void)state;
    watch(&probe, 2, &samples, &counts);
    assert_float_equal(samples[0].value, 2, 0); /* this thread and the probe's own */
    free(samples);
    probe.proc.field = PROC_RSS;
    watch(&probe, 1, &samples, &counts);
    assert_true(samples[0].value > 100000);
    free(samples);
    probe.proc.target = "nobody";
    watch(&probe, 1, &samples, &counts);
    assert_true(isnan(samples[0].value));
    assert_string_equal(counts.why, "target 'nobody' does not run");
    free(samples);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stats_are_of_what_is_known),
        cmocka_unit_test(no_data_is_no_number),
        cmocka_unit_test(numbers_are_found_by_path),
        cmocka_unit_test(a_command_is_read),
        cmocka_unit_test(a_command_that_fails_or_hangs_is_no_data),
        cmocka_unit_test(the_kernel_tells_of_a_target),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
