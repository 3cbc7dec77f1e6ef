/* Debt, burn, drain, shedding load, and the laws of recovery: each against numbers worked out by hand or a schedule. */
#include "controller/estimate/effects.h"
#include "controller/estimate/relax.h"
#include "tests/unit/estimate_traces.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("got %.6f, want %.6f within %g", got, want, tolerance);
}

static void request_at(const void *context, size_t index, struct est_request *ret_request)
{
    const struct est_request *request = context;

    *ret_request = request[index];
}

static void debt_and_burn_add_up(void **state)
{
    static const struct est_request requests[] = {
        {.planned_s = 0.5, .latency_s = 0.1, .good = true},
        {.planned_s = 1.5, .latency_s = 0.3, .good = true},   /* 0.1 late */
        {.planned_s = 2.5, .latency_s = NAN, .good = false},  /* never: 0.8 of its deadline */
        {.planned_s = 3.5, .latency_s = 0.05, .good = false}, /* a fast failure */
        {.planned_s = 10.0, .latency_s = 9.0, .good = false}, /* outside */
    };
    struct effects_window window = {.from_s = 0.0, .to_s = 10.0, .slo_s = 0.2, .deadline_s = 1.0, .objective = 0.99, .period_s = 1000.0};
    struct effects effects;

    (void)state;
    assert_int_equal(effects_of_requests(request_at, requests, 5, &window, &effects), 0);
    assert_int_equal(effects.requests, 4);
    assert_int_equal(effects.bad, 2);
    assert_int_equal(effects.slow, 2);
    assert_near(effects.latency_debt_s, 0.9, 1e-12);
    assert_near(effects.debt_per_request_s, 0.225, 1e-12);
    assert_near(effects.burn, 50.0, 1e-9); /* half bad where one in a hundred is allowed */
    assert_near(effects.budget_share, 0.5, 1e-9);
    assert_int_equal(effects_of_requests(request_at, requests, 0, &window, &effects), 0);
    assert_true(isnan(effects.burn) && effects.latency_debt_s == 0.0);
    window.objective = 1.0;
    assert_int_equal(effects_of_requests(request_at, requests, 5, &window, &effects), -EINVAL);
}

/* A token bucket: 20 s of backlog at 100/s that arrive, served at 125/s, drain in Q / (mu - lambda) = 80 s. */
static void backlog_drains_in_its_closed_form(void **state)
{
    const struct est_pins pins = {.band = 0.05, .hold_s = 20.0, .rigour = EST_FULL, .seed = 1};
    const struct est_instants instants = {.baseline_end_s = NAN, .inject_s = 200.0, .release_s = 220.0, .end_s = 400.0};
    struct trace_draw draw = {.seed = 3};
    struct est_series *series;
    struct est_result backlog, service = {.first_return_s = 220.0};
    struct est_interval interval;

    (void)state;
    assert_int_equal(est_series_new(EST_GAUGE, EST_LOWER_BETTER, 0.0, 0.1, 4000, false, &series), 0);
    for (size_t i = 0; i < 4000; i++) {
        double at_s = 0.1 * (double)i + 0.05, queue = 100.0; /* a usual queue of 100, so that a band has a level */

        if (at_s >= 200.0)
            queue += at_s < 220.0 ? 100.0 * (at_s - 200.0) : fmax(2000.0 - 25.0 * (at_s - 220.0), 0.0);
        series->value[i] = queue * (1.0 + 0.01 * draw_normal(&draw));
    }
    assert_int_equal(est_judge(series, &pins, &instants, NULL, &backlog), 0);
    est_series_free(series);
    assert_near(effects_drain_s(&backlog, &service, &interval), 80.0 - 5.0 / 25.0, 0.1); /* 5 above 100 is the edge of the band */
    assert_true(interval.low <= 79.8 && interval.high >= 79.8 && interval.high - interval.low < 1.0);
    service.first_return_s = 310.0;
    assert_near(effects_drain_s(&backlog, &service, &interval), 0.0, 0.0);
    service.first_return_s = NAN;
    assert_true(isnan(effects_drain_s(&backlog, &service, &interval)));
}

static void loss_derived_time_is_that_of_a_full_outage(void **state)
{
    struct est_result result = {.loss_to_hold_s = 6.0, .loss_to_end_s = 7.0, .dip_depth = 0.8};

    (void)state;
    assert_near(effects_loss_derived_s(&result), 7.5, 1e-12);
    result.loss_to_hold_s = NAN;
    assert_near(effects_loss_derived_s(&result), 8.75, 1e-12);
    result.dip_depth = 0.0;
    assert_true(isnan(effects_loss_derived_s(&result)));
}

/* Down until 80 s, when the load is shed, then back 2 s later, or not. */
static void shedding_tells_metastable_from_broken(void **state)
{
    static const struct est_pins pins = {.band = 0.05, .hold_s = 5.0, .seed = 1};
    struct trace trace = {.shape = TRACE_STEP, .baseline_s = 25.0, .fault_s = 6.0, .after_s = 79.0, .depth = 0.3, .bin_s = 0.05,
                          .rate = 200.0, .errors = 0.002, .delay_s = 51.0, .seed = 4};
    struct est_instants instants = trace_instants(&trace);
    struct est_series *series = trace_series(&trace, EST_GOODPUT_RATIO, 0.0);
    struct effects_shedding shedding;

    (void)state;
    assert_non_null(series);
    assert_int_equal(effects_judge_shedding(series, &pins, &instants, 80.0, &shedding), 0);
    assert_int_equal(shedding.phase, PHASE_METASTABLE);
    assert_near(shedding.recovery_s, 2.0, 0.1);
    assert_int_equal(effects_judge_shedding(series, &pins, &instants, 20.0, &shedding), -EINVAL);
    assert_int_equal(effects_judge_shedding(series, &pins, &instants, 95.0, &shedding), 0);
    assert_int_equal(shedding.phase, PHASE_NOT_NEEDED);
    est_series_free(series);
    trace.shape = TRACE_NEVER;
    series = trace_series(&trace, EST_GOODPUT_RATIO, 0.0);
    assert_non_null(series);
    assert_int_equal(effects_judge_shedding(series, &pins, &instants, 80.0, &shedding), 0);
    assert_int_equal(shedding.phase, PHASE_BROKEN);
    assert_true(isnan(shedding.recovery_s));
    est_series_free(series);
    series = trace_series(&trace, EST_GOODPUT_RATE, 0.0);
    assert_non_null(series);
    assert_int_equal(effects_judge_shedding(series, &pins, &instants, 80.0, &shedding), -EINVAL);
    est_series_free(series);
}

/* Without noise each law is recognised and its parameters come back. */
static void laws_are_recognised(void **state)
{
    static const struct relax truths[] = {
        {.law = RELAX_LINE, .rest = 0.01, .height = 0.7, .length = 83.0, .crossing = 83.0 * (1.0 - 0.04 / 0.7)},
        {.law = RELAX_PARABOLA, .rest = 0.0, .height = 0.7, .length = 120.0, .crossing = 120.0 * (1.0 - 0.2672612)},
        {.law = RELAX_EXPONENTIAL, .rest = -0.01, .height = 0.7, .length = 37.0, .crossing = 37.0 * 2.4567358},
        {.law = RELAX_HYPERBOLA, .rest = 0.0, .height = 0.7, .length = 60.0, .crossing = 60.0 * 2.7416574},
        {.law = RELAX_SLOW, .rest = 0.0, .height = 0.7, .length = 20.0, .crossing = 20.0 * (0.7 / 0.05 - 1.0)},
    };
    double deviation[1000], gain;
    const struct relax_data data = {.deviation = deviation, .count = 1000};
    struct relax_work work;

    (void)state;
    assert_int_equal(relax_work_init(&work, 1000), 0);
    for (size_t k = 0; k < 5; k++) {
        struct relax relax;

        for (size_t i = 0; i < 1000; i++)
            deviation[i] = i % 17 == 3 ? NAN : relax_value(&truths[k], (double)i + 0.5);
        relax = relax_fit(&work, &data, 0.05, 0.0, &gain);
        assert_int_equal(relax.law, truths[k].law);
        assert_near(relax.length, truths[k].length, 0.005 * truths[k].length);
        assert_near(relax.crossing, truths[k].crossing, 0.5);
        assert_true(gain > 0.0);
    }
    for (size_t i = 0; i < 1000; i++)
        deviation[i] = 0.2; /* never in band */
    assert_int_equal(relax_fit(&work, &data, 0.05, 0.0, &gain).law, RELAX_NONE);
    for (size_t i = 0; i < 1000; i++)
        deviation[i] = NAN;
    assert_int_equal(relax_fit(&work, &data, 0.05, 0.0, &gain).law, RELAX_NONE);
    relax_work_done(&work);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(debt_and_burn_add_up),
        cmocka_unit_test(backlog_drains_in_its_closed_form),
        cmocka_unit_test(loss_derived_time_is_that_of_a_full_outage),
        cmocka_unit_test(shedding_tells_metastable_from_broken),
        cmocka_unit_test(laws_are_recognised),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
