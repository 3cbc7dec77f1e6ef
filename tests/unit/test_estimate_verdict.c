/* Each verdict that a series can lead to, and what the result says beside it. */
#include "tests/unit/estimate_traces.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct est_pins quick = {.band = 0.05, .hold_s = 5.0, .rigour = EST_QUICK, .seed = 7};

/* 200 requests/s in bins of 50 ms, 20 s of baseline, 6 s of fault, 30 s after; recovery starts 1.237 s after the release. */
static struct trace requests_of(enum trace_shape shape)
{
    return (struct trace){.shape = shape,
                          .baseline_s = 25.0,
                          .fault_s = 6.0,
                          .after_s = 45.0,
                          .delay_s = 1.237,
                          .bin_s = 0.05,
                          .rate = 200.0,
                          .errors = 0.002,
                          .seed = 11};
}

static struct est_result judge(const struct trace *trace, const struct est_pins *pins, const struct est_context *context)
{
    struct est_series *series = trace_series(trace, EST_GOODPUT_RATIO, 0.0);
    struct est_instants instants = trace_instants(trace);
    struct est_result result;

    assert_non_null(series);
    assert_int_equal(est_judge(series, pins, &instants, context, &result), 0);
    est_series_free(series);
    return result;
}

static void assert_verdict(const struct est_result *result, enum est_verdict verdict)
{
    if (result->verdict != verdict)
        fail_msg("got %s (%s), want %s", est_verdict_name(result->verdict), result->reason, est_verdict_name(verdict));
}

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("got %.6f, want %.6f within %g", got, want, tolerance);
}

static void step_converges_within_two_bins(void **state)
{
    struct trace trace = requests_of(TRACE_STEP);
    struct est_result result = judge(&trace, &quick, NULL);

    (void)state;
    assert_verdict(&result, EST_CONVERGED);
    assert_near(result.converged_s, 32.237, 0.1);
    assert_near(result.convergence_from_release_s, 1.237, 0.1);
    assert_near(result.convergence_from_inject_s, 7.237, 0.1);
    assert_near(result.validated_s, result.converged_s + 5.0, 1e-9);
    assert_near(result.deviated_s, 25.0, 0.1);
    assert_near(result.first_return_s, result.converged_s, 1e-9);
    assert_near(result.loss_to_hold_s, 7.237, 0.1);
    assert_near(result.loss_to_end_s, 7.237, 0.2);
    assert_near(result.dip_depth, 1.0, 0.02);
    assert_true(result.converged_interval.low <= result.converged_s - trace.bin_s);
    assert_true(result.converged_interval.high >= result.converged_s + trace.bin_s);
    assert_true(result.smallest_outage_s <= 0.2);
    assert_int_equal(result.flaps, 0);
    assert_near(result.baseline.level, 0.998, 0.002);
}

static void no_effect_is_absorbed_and_says_what_it_could_have_seen(void **state)
{
    struct trace trace = requests_of(TRACE_NONE);
    struct est_result result = judge(&trace, &quick, NULL);

    (void)state;
    assert_verdict(&result, EST_ABSORBED);
    assert_true(isnan(result.deviated_s) && isnan(result.converged_s));
    assert_true(result.smallest_dip >= 0.05 && result.smallest_dip < 0.1);
    assert_true(result.resolvable_band <= 0.05);
}

static void failover_recovers_under_the_fault(void **state)
{
    struct trace trace = requests_of(TRACE_STEP);
    struct est_result result;

    (void)state;
    trace.fault_s = 15.0;
    trace.delay_s = -11.0; /* back 4 s after the injection */
    result = judge(&trace, &quick, NULL);
    assert_verdict(&result, EST_RECOVERED_UNDER_FAULT);
    assert_near(result.converged_s, 29.0, 0.1);
    assert_near(result.convergence_from_release_s, -11.0, 0.1);
}

/* A kill is never released: the same recovery is plainly `converged`, and only the injection is a reference. */
static void without_a_release_there_is_no_under_fault(void **state)
{
    struct trace trace = requests_of(TRACE_STEP);
    struct est_series *series = trace_series(&trace, EST_GOODPUT_RATIO, 0.0);
    struct est_instants instants = trace_instants(&trace);
    struct est_result result;

    (void)state;
    instants.release_s = NAN;
    assert_int_equal(est_judge(series, &quick, &instants, NULL, &result), 0);
    assert_verdict(&result, EST_CONVERGED);
    assert_true(isnan(result.convergence_from_release_s));
    assert_near(result.convergence_from_inject_s, 7.237, 0.1);
    est_series_free(series);
}

static void partial_recovery_is_a_new_level(void **state)
{
    struct trace trace = requests_of(TRACE_NEW_LEVEL);
    struct est_result result = judge(&trace, &quick, NULL);

    (void)state;
    assert_verdict(&result, EST_CONVERGED_TO_NEW_LEVEL);
    assert_near(result.converged_s, 32.237, 0.7);
    assert_near(result.residual, 0.15, 0.02);
}

static void second_outage_after_the_hold_is_a_redegradation(void **state)
{
    struct trace trace = requests_of(TRACE_REDEGRADED);
    struct est_result result = judge(&trace, &quick, NULL);

    (void)state;
    assert_verdict(&result, EST_CONVERGED_THEN_REDEGRADED);
    assert_near(result.converged_s, 32.237, 0.1);
    assert_int_equal(result.redegradations, 1);
    assert_true(result.longest_exit_s > 10.0);
}

static void alternating_is_flapping(void **state)
{
    struct trace trace = requests_of(TRACE_FLAPPING);
    struct est_result result = judge(&trace, &quick, NULL);

    (void)state;
    assert_verdict(&result, EST_FLAPPING);
    assert_true(result.flaps >= 9);
    assert_near(result.longest_exit_s, 2.0, 0.1);
    assert_near(result.longest_good_s, 2.0, 0.1);
    assert_near(result.first_return_s, 32.237, 0.1);
}

static void flap_before_the_hold_moves_convergence(void **state)
{
    struct trace trace = requests_of(TRACE_FLAP);
    struct est_pins pins = quick;
    struct est_result result;

    (void)state;
    trace.baseline_s = 110.0;
    trace.after_s = 70.0;
    pins.hold_s = 26.0;
    result = judge(&trace, &pins, NULL);
    assert_verdict(&result, EST_CONVERGED);
    assert_near(result.converged_s, trace_truth_s(&trace, 0.05), 0.1);
    assert_near(result.first_return_s, result.converged_s - 27.0, 0.1);
    assert_int_equal(result.flaps, 1);
}

static void never_back_is_not_converged_or_metastable(void **state)
{
    static const struct est_context retries = {.offered_ratio = 1.0, .amplification_ratio = 2.5};
    static const struct est_context overload = {.offered_ratio = 1.4, .amplification_ratio = 2.5};
    static const struct est_context unknown = {.offered_ratio = NAN, .amplification_ratio = NAN};
    struct trace trace = requests_of(TRACE_NEVER);
    struct est_result result;

    (void)state;
    trace.depth = 0.4;
    result = judge(&trace, &quick, NULL);
    assert_verdict(&result, EST_NOT_CONVERGED);
    assert_true(isnan(result.converged_s) && isnan(result.first_return_s));
    assert_near(result.residual, 0.6, 0.05);
    result = judge(&trace, &quick, &retries);
    assert_verdict(&result, EST_METASTABLE);
    result = judge(&trace, &quick, &overload);
    assert_verdict(&result, EST_NOT_CONVERGED);
    result = judge(&trace, &quick, &unknown);
    assert_verdict(&result, EST_NOT_CONVERGED);
}

static void back_but_not_held_is_censored(void **state)
{
    struct trace trace = requests_of(TRACE_STEP);
    struct est_result result;

    (void)state;
    trace.after_s = 4.5; /* 3.3 s good */
    result = judge(&trace, &quick, NULL);
    assert_verdict(&result, EST_CENSORED);
    assert_near(result.first_return_s, 32.237, 0.1);
    assert_true(isnan(result.converged_s));
}

static void noise_that_hides_the_band_is_indeterminate(void **state)
{
    struct trace trace = requests_of(TRACE_STEP);
    struct est_result result;

    (void)state;
    trace.rate = 5.0;
    trace.errors = 0.01;
    result = judge(&trace, &quick, NULL);
    assert_verdict(&result, EST_INDETERMINATE);
    assert_true(result.resolvable_band > 0.05 && result.resolvable_band < 0.2);
    trace.errors = 0.0;
    result = judge(&trace, &(struct est_pins){.band = 0.2, .hold_s = 5.0}, NULL);
    assert_verdict(&result, EST_CONVERGED); /* a band it can resolve */
}

static void missing_data_is_never_good(void **state)
{
    struct trace trace = requests_of(TRACE_STEP);
    struct est_result result;

    (void)state;
    trace.gap_from_s = 31.5; /* across the recovery at 32.237 */
    trace.gap_to_s = 34.0;
    result = judge(&trace, &quick, NULL);
    assert_verdict(&result, EST_CONVERGED);
    assert_near(result.converged_s, 34.0, 0.1);
    assert_true(result.converged_interval.low <= 31.5 && result.converged_interval.high >= 34.0);
    trace.gap_to_s = 45.0;
    result = judge(&trace, &quick, NULL);
    assert_verdict(&result, EST_INDETERMINATE);
    trace.gap_from_s = 25.0;
    trace.gap_to_s = 1000.0;
    result = judge(&trace, &quick, NULL);
    assert_verdict(&result, EST_INDETERMINATE);
}

static void unfit_baselines_are_refused(void **state)
{
    struct trace trace = requests_of(TRACE_STEP);
    struct trace value = {.shape = TRACE_STEP, .baseline_s = 40.0, .fault_s = 6.0, .after_s = 30.0, .bin_s = 0.05, .cv = 0.01};
    struct est_instants instants;
    struct est_series *series;
    struct est_result result;
    struct est_baseline baseline;
    const char *reason = NULL;

    (void)state;
    trace.baseline_s = 12.0;
    result = judge(&trace, &quick, NULL);
    assert_verdict(&result, EST_BASELINE_UNFIT);
    assert_non_null(strstr(result.reason, "too short"));
    trace = requests_of(TRACE_STEP);
    trace.gap_from_s = 5.0;
    trace.gap_to_s = 10.0;
    result = judge(&trace, &quick, NULL);
    assert_verdict(&result, EST_BASELINE_UNFIT);
    assert_non_null(strstr(result.reason, "holes"));

    trace = requests_of(TRACE_STEP); /* its outage from 25 s now lies inside the baseline: across the middle, then before it */
    trace.after_s = 75.0;
    series = trace_series(&trace, EST_GOODPUT_RATIO, 0.0);
    for (double inject_s = 60.0; inject_s <= 90.0; inject_s += 30.0) {
        instants = (struct est_instants){.baseline_end_s = NAN, .inject_s = inject_s, .release_s = inject_s + 1.0, .end_s = 105.0};
        assert_int_equal(est_judge(series, &quick, &instants, NULL, &result), 0);
        assert_verdict(&result, EST_BASELINE_UNFIT);
        assert_non_null(strstr(result.reason, "its own band"));
        assert_true(result.resolvable_band > 0.0 && result.smallest_dip >= quick.band); /* told in any case */
    }
    est_series_free(series);

    value.drift = 0.4;
    series = trace_values(&value, EST_GAUGE, EST_HIGHER_BETTER);
    instants = trace_instants(&value);
    assert_false(est_baseline_fit(series, &quick, &instants, &baseline, &reason));
    assert_non_null(strstr(reason, "drifts"));
    est_series_free(series);
    value.drift = 0.0;
    series = trace_values(&value, EST_GAUGE, EST_HIGHER_BETTER);
    assert_true(est_baseline_fit(series, &quick, &instants, &baseline, &reason));
    assert_near(baseline.level, 100.0, 0.5);
    for (size_t i = 300; i < 330; i++)
        series->value[i] *= 0.7;
    assert_false(est_baseline_fit(series, &quick, &instants, &baseline, &reason));
    assert_non_null(strstr(reason, "its own band"));
    est_series_free(series);
}

static void gauges_of_either_direction_agree(void **state)
{
    struct trace trace = {.shape = TRACE_OVERSHOOT,
                          .baseline_s = 60.0,
                          .fault_s = 20.0,
                          .after_s = 40.0,
                          .depth = 0.3,
                          .bin_s = 0.05,
                          .cv = 0.01,
                          .seed = 5};
    struct est_instants instants = trace_instants(&trace);
    static const enum est_direction directions[] = {EST_HIGHER_BETTER, EST_LOWER_BETTER};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct est_series *series = trace_values(&trace, EST_GAUGE, directions[i]);
        struct est_result result;

        assert_int_equal(est_judge(series, &quick, &instants, NULL, &result), 0);
        assert_verdict(&result, EST_CONVERGED);
        assert_near(result.converged_s, 80.0, 0.05);
        assert_near(result.dip_depth, 0.7, 0.08); /* the worst window, noise and all */
        assert_near(result.overshoot, 0.3, 0.05);
        assert_near(result.loss_to_end_s, 0.7 * 20.0 - 0.3 * 2.0, 0.4);
        est_series_free(series);
    }
}

static void latency_quantile_is_judged_by_its_requests(void **state)
{
    struct trace trace = requests_of(TRACE_STEP);
    struct est_pins pins = {.band = 0.3, .hold_s = 5.0};
    struct est_series *series;
    struct est_instants instants = trace_instants(&trace);
    struct est_result result;

    (void)state;
    trace.depth = 0.25; /* four times slower, and three quarters unanswered */
    series = trace_series(&trace, EST_LATENCY_QUANTILE, 0.95);
    assert_int_equal(est_judge(series, &pins, &instants, NULL, &result), 0);
    assert_verdict(&result, EST_CONVERGED);
    assert_near(result.converged_s, 32.237, 0.1);
    assert_near(result.baseline.level, 0.010 * exp(0.3 * 1.645), 0.001);
    pins.band = 0.001;
    assert_int_equal(est_judge(series, &pins, &instants, NULL, &result), 0);
    assert_verdict(&result, EST_INDETERMINATE);
    assert_true(result.resolvable_band > 0.001 && result.resolvable_band < 0.3);
    est_series_free(series);
}

static void bad_pins_and_instants_are_refused(void **state)
{
    struct trace trace = requests_of(TRACE_STEP);
    struct est_series *series = trace_series(&trace, EST_GOODPUT_RATIO, 0.0);
    struct est_result result = {.flaps = 77};
    struct est_instants good = trace_instants(&trace), bad;
    struct est_pins pins;

    (void)state;
    pins = quick, pins.band = 0.0;
    assert_int_equal(est_judge(series, &pins, &good, NULL, &result), -EINVAL);
    pins = quick, pins.band = NAN;
    assert_int_equal(est_judge(series, &pins, &good, NULL, &result), -EINVAL);
    pins = quick, pins.hold_s = 0.0;
    assert_int_equal(est_judge(series, &pins, &good, NULL, &result), -EINVAL);
    bad = good, bad.inject_s = bad.end_s;
    assert_int_equal(est_judge(series, &quick, &bad, NULL, &result), -EINVAL);
    bad = good, bad.release_s = bad.inject_s - 1.0;
    assert_int_equal(est_judge(series, &quick, &bad, NULL, &result), -EINVAL);
    bad = good, bad.baseline_start_s = NAN;
    assert_int_equal(est_judge(series, &quick, &bad, NULL, &result), -EINVAL);
    bad = good, bad.baseline_end_s = bad.inject_s + 1.0;
    assert_int_equal(est_judge(series, &quick, &bad, NULL, &result), -EINVAL);
    assert_int_equal(result.flaps, 77);
    est_series_free(series);
}

static void same_input_gives_the_same_bits(void **state)
{
    struct trace trace = requests_of(TRACE_EXPONENTIAL);
    struct est_result a, b;
    struct est_pins other = quick;

    (void)state;
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    a = judge(&trace, &quick, NULL);
    b = judge(&trace, &quick, NULL);
    assert_true(a.converged_s == b.converged_s);
    assert_true(a.converged_interval.low == b.converged_interval.low && a.converged_interval.high == b.converged_interval.high);
    assert_true(a.loss_to_end_s == b.loss_to_end_s);
    other.seed = 8;
    b = judge(&trace, &other, NULL);
    assert_true(a.converged_s == b.converged_s); /* the seed only moves the interval */
}

static void last_signal_decides(void **state)
{
    struct est_result result[4], all;
    size_t last;

    (void)state;
    for (size_t i = 0; i < 4; i++)
        result[i] = (struct est_result){.verdict = EST_CONVERGED, .deviated_s = 5.0 - (double)i, .converged_s = 10.0 + (double)i};
    result[1].converged_s = 99.0;
    result[3].verdict = EST_ABSORBED;
    result[3].converged_s = result[3].deviated_s = NAN;
    est_combine(result, 4, &all, &last);
    assert_int_equal(last, 1);
    assert_true(all.converged_s == 99.0 && all.deviated_s == 3.0);
    result[0].verdict = EST_INDETERMINATE;
    est_combine(result, 4, &all, &last);
    assert_int_equal(all.verdict, EST_INDETERMINATE);
    result[2].verdict = EST_NOT_CONVERGED;
    est_combine(result, 4, &all, NULL);
    assert_int_equal(all.verdict, EST_NOT_CONVERGED);
    est_combine(&result[3], 1, &all, &last);
    assert_int_equal(all.verdict, EST_ABSORBED);
}

static void verdicts_have_the_words_and_statuses_of_the_design(void **state)
{
    static const struct {
        enum est_verdict verdict;
        const char *name;
        int status;
    } rows[] = {
        {EST_CONVERGED, "converged", 0},
        {EST_ABSORBED, "absorbed", 0},
        {EST_RECOVERED_UNDER_FAULT, "recovered_under_fault", 0},
        {EST_CONVERGED_TO_NEW_LEVEL, "converged_to_new_level", 1},
        {EST_CONVERGED_THEN_REDEGRADED, "converged_then_redegraded", 1},
        {EST_FLAPPING, "flapping", 1},
        {EST_NOT_CONVERGED, "not_converged", 1},
        {EST_METASTABLE, "metastable", 1},
        {EST_CENSORED, "censored", 2},
        {EST_BASELINE_UNFIT, "baseline_unfit", 2},
        {EST_INDETERMINATE, "indeterminate", 2},
    };

    (void)state;
    assert_int_equal(sizeof(rows) / sizeof(rows[0]), EST_VERDICTS);
    for (size_t i = 0; i < EST_VERDICTS; i++) {
        assert_string_equal(est_verdict_name(rows[i].verdict), rows[i].name);
        assert_int_equal(est_verdict_status(rows[i].verdict), rows[i].status);
    }
}

static void amplification_is_a_ratio_with_its_interval(void **state)
{
    struct est_interval interval;

    (void)state;
    assert_near(est_amplification(250, 100, &interval), 2.5, 1e-12);
    assert_true(interval.low > 2.1 && interval.low < 2.5 && interval.high > 2.5 && interval.high < 2.9);
    assert_true(isnan(est_amplification(3, 0, &interval)) && isnan(interval.low) && isnan(interval.high));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(step_converges_within_two_bins),
        cmocka_unit_test(no_effect_is_absorbed_and_says_what_it_could_have_seen),
        cmocka_unit_test(failover_recovers_under_the_fault),
        cmocka_unit_test(without_a_release_there_is_no_under_fault),
        cmocka_unit_test(partial_recovery_is_a_new_level),
        cmocka_unit_test(second_outage_after_the_hold_is_a_redegradation),
        cmocka_unit_test(alternating_is_flapping),
        cmocka_unit_test(flap_before_the_hold_moves_convergence),
        cmocka_unit_test(never_back_is_not_converged_or_metastable),
        cmocka_unit_test(back_but_not_held_is_censored),
        cmocka_unit_test(noise_that_hides_the_band_is_indeterminate),
        cmocka_unit_test(missing_data_is_never_good),
        cmocka_unit_test(unfit_baselines_are_refused),
        cmocka_unit_test(gauges_of_either_direction_agree),
        cmocka_unit_test(latency_quantile_is_judged_by_its_requests),
        cmocka_unit_test(bad_pins_and_instants_are_refused),
        cmocka_unit_test(same_input_gives_the_same_bits),
        cmocka_unit_test(last_signal_decides),
        cmocka_unit_test(verdicts_have_the_words_and_statuses_of_the_design),
        cmocka_unit_test(amplification_is_a_ratio_with_its_interval),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
