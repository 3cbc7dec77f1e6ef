/* Builders of series: bins, counts, gaps, and what a request that was never answered does to each measure. */
#include "controller/estimate/series.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Two bins of 0.1 s, the second empty, the third with one unanswered request planned in it but sent much later. */
static const struct est_request requests[] = {
    {.planned_s = 10.25, .latency_s = NAN, .good = false}, /* out of order on purpose */
    {.planned_s = 10.05, .latency_s = 0.030, .good = true},
    {.planned_s = 10.01, .latency_s = 0.010, .good = true},
    {.planned_s = 10.09, .latency_s = 0.020, .good = false},
    {.planned_s = 10.02, .latency_s = 0.040, .good = true},
    {.planned_s = 9.99, .latency_s = 0.001, .good = true},  /* before the window */
    {.planned_s = 10.30, .latency_s = 0.001, .good = true}, /* at its end: outside */
};

static struct est_series *build(enum est_measure measure, double quantile)
{
    struct est_build plan = {.measure = measure, .quantile = quantile, .start_s = 10.0, .end_s = 10.3, .bin_s = 0.1};
    struct est_series *series = NULL;

    assert_int_equal(est_series_from_requests(requests, sizeof(requests) / sizeof(requests[0]), &plan, &series), 0);
    assert_int_equal(series->bins, 3);
    return series;
}

static void goodput_ratio_counts_good_over_planned(void **state)
{
    struct est_series *series = build(EST_GOODPUT_RATIO, 0.0);

    (void)state;
    assert_int_equal(series->planned[0], 4);
    assert_int_equal(series->good[0], 3);
    assert_true(fabs(series->value[0] - 0.75) < 1e-12);
    assert_true(isnan(series->value[1]));
    assert_true(series->value[2] == 0.0);
    assert_int_equal(series->events, 5);
    for (size_t i = 1; i < series->events; i++)
        assert_true(i == series->first[2] || (series->event[i - 1].tick & 0xfff) <= (series->event[i].tick & 0xfff));
    est_series_free(series);
}

static void error_ratio_is_its_complement(void **state)
{
    struct est_series *series = build(EST_ERROR_RATIO, 0.0);

    (void)state;
    assert_int_equal(series->direction, EST_LOWER_BETTER);
    assert_true(fabs(series->value[0] - 0.25) < 1e-12);
    assert_true(isnan(series->value[1]));
    assert_true(series->value[2] == 1.0);
    est_series_free(series);
}

static void assert_same(const double *a, const double *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_true(isnan(a[i]) ? isnan(b[i]) : fabs(a[i] - b[i]) < 1e-12);
}

/* 400 requests of 0.5 s, every seventh unanswered, latencies in no order. */
static struct est_series *build_many(enum est_measure measure, double quantile, double bin_s)
{
    struct est_build plan = {.measure = measure, .quantile = quantile, .start_s = 0.0, .end_s = 0.5, .bin_s = bin_s};
    struct est_request many[400];
    struct est_series *series = NULL;

    for (size_t i = 0; i < 400; i++)
        many[i] = (struct est_request){.planned_s = (double)i * 0.00125, .latency_s = i % 7 ? 1e-4 * (double)(i * 7919 % 1009) : NAN, .good = i % 7};
    assert_int_equal(est_series_from_requests(many, 400, &plan, &series), 0);
    return series;
}

/* Measured again, and drawn in wider bins, a series says what one made for it says. */
static void another_measure_and_wider_bins_say_what_a_new_series_says(void **state)
{
    static const struct {
        enum est_measure measure;
        double quantile;
    } measures[] = {{EST_GOODPUT_RATIO, 0.0}, {EST_LATENCY_QUANTILE, 0.5}, {EST_ERROR_RATIO, 0.0}, {EST_LATENCY_QUANTILE, 0.9}, {EST_LATENCY_QUANTILE, 0.01}};
    struct est_series *series = build_many(EST_GOODPUT_RATIO, 0.0, 0.02), *rate = build_many(EST_GOODPUT_RATE, 0.0, 0.02);
    double wider[9];

    (void)state;
    for (size_t i = 0; i < sizeof(measures) / sizeof(measures[0]); i++) {
        struct est_series *fresh = build_many(measures[i].measure, measures[i].quantile, 0.02);
        struct est_series *coarse = build_many(measures[i].measure, measures[i].quantile, 0.06);

        assert_int_equal(est_series_measure(series, measures[i].measure, measures[i].quantile), 0);
        assert_int_equal(series->kind, fresh->kind);
        assert_int_equal(series->direction, fresh->direction);
        assert_true(fabs(series->quantile - fresh->quantile) < 1e-12);
        assert_same(series->value, fresh->value, 25);
        assert_int_equal(est_series_values(series, 3, wider), 0);
        assert_int_equal(coarse->bins, 9); /* the last is short */
        assert_same(wider, coarse->value, 9);
        est_series_free(fresh);
        est_series_free(coarse);
    }
    assert_int_equal(est_series_measure(rate, EST_GOODPUT_RATIO, 0.0), -EINVAL);
    assert_int_equal(est_series_measure(series, EST_GOODPUT_RATE, 0.0), -EINVAL);
    assert_int_equal(est_series_measure(series, EST_LATENCY_QUANTILE, 1.0), -EINVAL);
    assert_int_equal(est_series_values(series, 0, wider), -EINVAL);
    est_series_free(series);
    est_series_free(rate);
}

static void goodput_rate_of_a_silent_generator_is_unknown(void **state)
{
    struct est_series *series = build(EST_GOODPUT_RATE, 0.0);

    (void)state;
    assert_true(fabs(series->value[0] - 30.0) < 1e-9);
    assert_true(isnan(series->value[1]));
    assert_true(series->value[2] == 0.0);
    assert_null(series->planned);
    est_series_free(series);
}

static void quantile_is_nearest_rank_and_unanswered_is_slowest(void **state)
{
    struct est_series *median = build(EST_LATENCY_QUANTILE, 0.5), *p99 = build(EST_LATENCY_QUANTILE, 0.99);

    (void)state;
    assert_true(fabs(median->value[0] - 0.020) < 0.020 / 4000);
    assert_true(fabs(p99->value[0] - 0.040) < 0.040 / 4000);
    assert_true(isnan(p99->value[1]));
    assert_true(fabs(p99->value[2] - 0.040) < 0.040 / 4000); /* shown as the largest answered */
    assert_int_equal(p99->event[4].latency, EST_LATENCY_NEVER);
    est_series_free(median);
    est_series_free(p99);
}

static void latencies_keep_one_part_in_four_thousand(void **state)
{
    (void)state;
    for (double latency_s = 1.1e-6; latency_s < 4000.0; latency_s *= 1.037) {
        assert_true(fabs(est_latency_of(est_latency_code(latency_s)) / latency_s - 1.0) < 1.0 / 4000);
        assert_true(est_latency_code(latency_s) <= est_latency_code(latency_s * 1.001));
    }
    assert_int_equal(est_latency_code(0.0), 0);
    assert_int_equal(est_latency_code(-1.0), 0);
    assert_int_equal(est_latency_code(5000.0), EST_LATENCY_NEVER);
    assert_int_equal(est_latency_code(INFINITY), EST_LATENCY_NEVER);
    assert_int_equal(est_latency_code(NAN), EST_LATENCY_NEVER);
    assert_true(isinf(est_latency_of(EST_LATENCY_NEVER)));
}

static void samples_are_averaged_and_short_gaps_bridged(void **state)
{
    static const double at_s[] = {0.0, 0.4, 1.0, 2.0, 7.0}, value[] = {1.0, 3.0, 5.0, NAN, 9.0};
    struct est_series *series = NULL;

    (void)state;
    assert_int_equal(est_series_from_samples(at_s, value, 5, EST_GAUGE, EST_LOWER_BETTER, 1.0, 0.0, &series), 0);
    assert_int_equal(series->bins, 8);
    assert_true(series->value[0] == 2.0 && series->value[1] == 5.0 && series->value[7] == 9.0);
    for (size_t i = 2; i < 7; i++)
        assert_true(isnan(series->value[i]));
    est_series_free(series);
    assert_int_equal(est_series_from_samples(at_s, value, 5, EST_GAUGE, EST_LOWER_BETTER, 1.0, 5.0, &series), 0);
    assert_true(series->value[6] == 5.0);
    est_series_free(series);
    assert_int_equal(est_series_from_samples(at_s, value, 5, EST_GAUGE, EST_LOWER_BETTER, 1.0, 4.0, &series), 0);
    assert_true(isnan(series->value[2])); /* a gap longer than allowed stays unknown from its start */
    est_series_free(series);
}

static void bad_windows_are_refused(void **state)
{
    static const struct {
        struct est_build build;
        int rc;
    } cases[] = {
        {{.start_s = 0.0, .end_s = 0.0, .bin_s = 0.1}, -EINVAL},
        {{.start_s = 1.0, .end_s = 0.0, .bin_s = 0.1}, -EINVAL},
        {{.start_s = 0.0, .end_s = 1.0, .bin_s = 0.0}, -EINVAL},
        {{.start_s = 0.0, .end_s = 1.0, .bin_s = -0.1}, -EINVAL},
        {{.start_s = 0.0, .end_s = 1e6, .bin_s = 0.01}, -E2BIG},
        {{.measure = EST_LATENCY_QUANTILE, .quantile = 0.0, .start_s = 0.0, .end_s = 1.0, .bin_s = 0.1}, -EINVAL},
        {{.measure = EST_LATENCY_QUANTILE, .quantile = 1.0, .start_s = 0.0, .end_s = 1.0, .bin_s = 0.1}, -EINVAL},
    };
    static const double infinite = INFINITY, one = 1.0;
    struct est_build nan_end = {.start_s = 0.0, .end_s = NAN, .bin_s = 0.1};
    struct est_series *series = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(est_series_from_requests(requests, 1, &cases[i].build, &series), cases[i].rc);
    assert_int_equal(est_series_from_requests(requests, 1, &nan_end, &series), -EINVAL);
    assert_int_equal(est_series_from_samples(&infinite, &one, 1, EST_GAUGE, EST_LOWER_BETTER, 1.0, 0.0, &series), -EINVAL);
    assert_int_equal(est_series_from_samples(&one, &one, 0, EST_GAUGE, EST_LOWER_BETTER, 1.0, 0.0, &series), -EINVAL);
    assert_null(series);
    assert_null(est_series_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goodput_ratio_counts_good_over_planned),
        cmocka_unit_test(error_ratio_is_its_complement),
        cmocka_unit_test(goodput_rate_of_a_silent_generator_is_unknown),
        cmocka_unit_test(quantile_is_nearest_rank_and_unanswered_is_slowest),
        cmocka_unit_test(another_measure_and_wider_bins_say_what_a_new_series_says),
        cmocka_unit_test(latencies_keep_one_part_in_four_thousand),
        cmocka_unit_test(samples_are_averaged_and_short_gaps_bridged),
        cmocka_unit_test(bad_windows_are_refused),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
