/* Ground truth on synthetic traces, in seeded replicates: how far the convergence instant lies from the schedule's, how often the
 * interval covers it, and how often a verdict is false. The bounds are promises of the product; figures are printed. */
#include "tests/support/slice.h"
#include "tests/unit/estimate_traces.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

struct family {
    const char *name;
    struct trace trace;
    struct est_pins pins;
    bool requests; /* else a gauge */
    enum est_verdict want;
    size_t replicates;
    /* bounds; 0 is unchecked */
    double bias_max_s;
    double p95_max_s;
    double covered_min;
    double wrong_max; /* share of replicates with another verdict */
};

struct score {
    double bias_s, p95_s, covered, wrong, loss_bias_s;
};

static int by_size(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

static double true_loss_s(const struct trace *trace)
{
    const double step_s = 2e-3;
    double sum = 0.0;

    for (double at_s = trace_inject_s(trace); at_s < trace_end_s(trace); at_s += step_s)
        sum += (1.0 - trace_level(trace, at_s + 0.5 * step_s)) * step_s;
    return sum;
}

static struct score run(const struct family *family)
{
    double *error = malloc(family->replicates * sizeof(*error));
    double loss_s = true_loss_s(&family->trace);
    struct score score = {0};
    size_t wrong = 0, told = 0, covered = 0;

    assert_non_null(error);
    for (size_t i = 0; i < family->replicates; i++) {
        struct trace trace = family->trace;
        struct est_pins pins = family->pins;
        struct est_instants instants = trace_instants(&trace);
        struct est_series *series;
        struct est_result result;
        double truth_s = trace_truth_s(&trace, pins.band);

        trace.seed = pins.seed = 1000 + i;
        series = family->requests ? trace_series(&trace, EST_GOODPUT_RATIO, 0.0)
                                  : trace_values(&trace, EST_GAUGE, EST_HIGHER_BETTER);
        assert_non_null(series);
        assert_int_equal(est_judge(series, &pins, &instants, NULL, &result), 0);
        est_series_free(series);
        wrong += result.verdict != family->want;
        if (!isnan(result.loss_to_end_s)) /* a chance baseline_unfit has none, and is counted above */
            score.loss_bias_s += (result.loss_to_end_s - loss_s) / (double)family->replicates;
        if (isnan(result.converged_s))
            continue;
        error[told++] = fabs(result.converged_s - truth_s);
        score.bias_s += result.converged_s - truth_s;
        covered += truth_s >= result.converged_interval.low && truth_s <= result.converged_interval.high;
    }
    qsort(error, told, sizeof(*error), by_size);
    score.wrong = (double)wrong / (double)family->replicates;
    if (told > 0) {
        score.bias_s /= (double)told;
        score.p95_s = error[told * 95 / 100 < told ? told * 95 / 100 : told - 1];
        score.covered = (double)covered / (double)told;
    }
    free(error);
    return score;
}

static void hold_to(const struct family *family)
{
    struct family played = *family;
    struct score score;

    played.replicates = slice_of(family->replicates);
    score = run(&played);
    print_message("# %-34s bias %+.3f s, p95 %.3f s, covered %.0f %%, other verdicts %.1f %%, loss bias %+.3f s\n", family->name,
                  score.bias_s, score.p95_s, 100.0 * score.covered, 100.0 * score.wrong, score.loss_bias_s);
    if (score.wrong > family->wrong_max)
        fail_msg("%s: %.2f %% other verdicts", family->name, 100.0 * score.wrong);
    if (family->bias_max_s > 0.0 && fabs(score.bias_s) > family->bias_max_s)
        fail_msg("%s: bias %.3f s", family->name, score.bias_s);
    if (family->p95_max_s > 0.0 && score.p95_s > family->p95_max_s)
        fail_msg("%s: p95 error %.3f s", family->name, score.p95_s);
    if (score.covered < family->covered_min)
        fail_msg("%s: covered %.1f %%", family->name, 100.0 * score.covered);
}

/* The product's main claim: a dependency black-holed behind a client with a fixed reconnect delay, within two base bins. */
static void sudden_recovery_is_told_within_two_base_bins(void **state)
{
    static const double rates[] = {100.0, 200.0, 500.0}, bins_s[] = {0.02, 0.05}, errors[] = {0.0, 0.01};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 2; j++) {
            for (size_t k = 0; k < 4; k++) {
                char name[64];
                struct family family = {
                    .name = name,
                    .trace = {.shape = TRACE_STEP,
                              .baseline_s = 20.0,
                              .fault_s = 6.0,
                              .after_s = 15.0,
                              .delay_s = 1.237,
                              .bin_s = bins_s[j],
                              .rate = rates[i],
                              .errors = errors[k % 2],
                              .poisson = k >= 2},
                    .pins = {.band = 0.05, .hold_s = 5.0},
                    .requests = true,
                    .want = EST_CONVERGED,
                    .replicates = 30,
                    .bias_max_s = 0.25 * bins_s[j],
                    .p95_max_s = 2.0 * bins_s[j],
                    .covered_min = 0.95,
                    .wrong_max = 0.0,
                };

                (void)snprintf(name, sizeof(name), "sudden, %.0f/s, bin %.2f, errors %.2f%s", rates[i], bins_s[j], errors[k % 2],
                               k >= 2 ? ", Poisson" : "");
                hold_to(&family);
            }
        }
    }
}

static void rare_requests_neither_flag_nothing_nor_lose_a_recovery(void **state)
{
    static const double rates[] = {5.0, 10.0, 20.0, 50.0, 200.0}, bands[] = {0.25, 0.2, 0.1, 0.05, 0.05};

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = 0; k < 3; k++) {
            char name[64];
            struct family family = {
                .name = name,
                .trace = {.shape = TRACE_NONE,
                          .baseline_s = 20.0,
                          .fault_s = 10.0,
                          .after_s = 30.0,
                          .bin_s = 0.05,
                          .rate = rates[i],
                          .errors = 0.005 * (double)k,
                          .poisson = true},
                .pins = {.band = bands[i], .hold_s = 5.0},
                .requests = true,
                .want = EST_ABSORBED,
                .replicates = 200,
                .wrong_max = 0.01,
            };

            (void)snprintf(name, sizeof(name), "%.0f/s, errors %.3f, null", rates[i], 0.005 * (double)k);
            hold_to(&family);
            (void)snprintf(name, sizeof(name), "%.0f/s, errors %.3f, recovery", rates[i], 0.005 * (double)k);
            family.trace.shape = TRACE_STEP;
            family.trace.fault_s = 8.0;
            family.trace.delay_s = 1.5;
            family.want = EST_CONVERGED;
            family.replicates = 60;
            family.covered_min = 0.92;
            family.bias_max_s = 0.5 / rates[i];
            hold_to(&family);
        }
    }
}

static struct family gauge(const char *name, enum trace_shape shape, double cv, double correlation_s)
{
    return (struct family){
        .name = name,
        .trace = {.shape = shape,
                  .baseline_s = 200.0,
                  .fault_s = 30.0,
                  .after_s = 100.0,
                  .depth = 0.2,
                  .bin_s = 0.1,
                  .cv = cv,
                  .correlation_s = correlation_s},
        .pins = {.band = 0.05, .hold_s = 20.0, .rigour = EST_FULL},
        .want = EST_CONVERGED,
        .replicates = 60,
        .covered_min = 0.9,
        .wrong_max = 0.01,
    };
}

static void continuous_recoveries_meet_their_bounds(void **state)
{
    struct family families[] = {
        gauge("sudden, cv 2 %, correlated", TRACE_STEP, 0.02, 1.0),
        gauge("overshoot, cv 2 %, correlated", TRACE_OVERSHOOT, 0.02, 1.0),
        gauge("exponential, cv 0.5 %, correlated", TRACE_EXPONENTIAL, 0.005, 1.0),
        gauge("exponential, cv 2 %, correlated", TRACE_EXPONENTIAL, 0.02, 1.0),
        gauge("ramp, cv 0.5 %, correlated", TRACE_RAMP, 0.005, 1.0),
        gauge("ramp, cv 2 %, correlated", TRACE_RAMP, 0.02, 1.0),
        gauge("sudden, cv 6 %, white", TRACE_STEP, 0.06, 0.0),
        gauge("flap after 25 s, cv 2 %, correlated", TRACE_FLAP, 0.02, 1.0),
    };
    static const double p95_max_s[] = {0.1, 0.1, 0.4, 1.8, 0.15, 0.5, 0.1, 0.1};

    (void)state;
    families[7].trace.baseline_s = 300.0;
    families[7].pins.hold_s = 30.0;
    for (size_t i = 0; i < 8; i++) {
        families[i].bias_max_s = fmax(0.1, 0.25 * p95_max_s[i]);
        families[i].p95_max_s = p95_max_s[i] + 1e-9;
        hold_to(&families[i]);
    }
}

/* The bin in which it came back was out for a part of it: 40 % here, five times the noise. That is the return, and no tail behind it. */
static void a_return_inside_a_bin_leaves_no_tail(void **state)
{
    struct family family = gauge("sudden inside a bin, cv 6 %, white", TRACE_STEP, 0.06, 0.0);

    (void)state;
    family.trace.delay_s = 0.4 * family.trace.bin_s;
    family.bias_max_s = 0.01;
    family.p95_max_s = 0.05;
    hold_to(&family);
}

/* Its exponent lies between those of the two slowest laws: where noise makes the last of the family the best, it is read between them too. */
static void a_recovery_between_the_slowest_laws_is_unbiased(void **state)
{
    struct family family = gauge("power law, cv 2 %, white", TRACE_POWER, 0.02, 0.0);

    (void)state;
    family.bias_max_s = 0.05;
    family.p95_max_s = 0.7;
    hold_to(&family);
}

/* Two outliers in a sudden return, and two laws that hardly differ about it: the parabola between them met the band 13,000 years before. */
static void a_crossing_between_laws_stays_inside_what_was_fitted(void **state)
{
    struct family family = gauge("sudden, cv 2 %, heavy tails", TRACE_STEP, 0.02, 0.0);
    struct est_instants instants;
    struct est_series *series;
    struct est_result result;

    (void)state;
    family.trace.noise = NOISE_STUDENT3;
    family.trace.seed = family.pins.seed = 77001231252;
    family.trace.delay_s = family.trace.bin_s * rng_unit(rng_draw(family.trace.seed, rng_hash("truth.phase"), 0, 0));
    instants = trace_instants(&family.trace);
    series = trace_values(&family.trace, EST_GAUGE, EST_HIGHER_BETTER);
    assert_non_null(series);
    assert_int_equal(est_judge(series, &family.pins, &instants, NULL, &result), 0);
    est_series_free(series);
    assert_int_equal(result.verdict, EST_CONVERGED);
    assert_true(result.converged_s > instants.release_s && result.converged_s < instants.release_s + 1.0);
    assert_true(result.converged_interval.low > instants.inject_s && result.converged_interval.high < instants.end_s);
}

/* A signal that comes back slowly passes through "a few failures more than the spotless baseline": in band, so no excursion. */
static void gradual_recovery_of_requests_is_one_excursion(void **state)
{
    struct family family = {
        .name = "exponential, 200/s, no errors",
        .trace = {.shape = TRACE_EXPONENTIAL,
                  .baseline_s = 40.0,
                  .fault_s = 10.0,
                  .after_s = 60.0,
                  .depth = 0.2,
                  .delay_s = 1.237,
                  .bin_s = 0.05,
                  .rate = 200.0,
                  .poisson = true},
        .pins = {.band = 0.05, .hold_s = 5.0},
        .requests = true,
        .want = EST_CONVERGED,
        .replicates = 60,
        .bias_max_s = 0.3,
        .p95_max_s = 1.2, /* the isotonic crossing alone: 2 s */
        .covered_min = 0.88,
        .wrong_max = 0.0,
    };

    (void)state;
    hold_to(&family);
    family.name = "new level, 200/s";
    family.trace.shape = TRACE_NEW_LEVEL;
    family.trace.depth = 0.0;
    family.want = EST_CONVERGED_TO_NEW_LEVEL;
    family.bias_max_s = 0.02;
    family.p95_max_s = 0.05;
    family.covered_min = 0.92;
    hold_to(&family);
}

/* A token bucket of `burst` tokens, filled at `fill` a second, serves a queue of even arrivals in order; for `outage_s` it serves none. By
 * arithmetic, a request planned u after the end waits (rate (outage + u) - burst) / fill - u, so it is in time again from
 * u = (rate outage - burst - fill deadline) / (fill - rate) on. The queue here is served token by token. */
static void a_drained_token_bucket_is_told_at_its_closed_form(void **state)
{
    enum { REQUESTS = 12000 };
    static struct est_request request[REQUESTS];
    const double rate = 200.0, inject_s = 20.0, deadline_s = 0.25;
    static const double outages_s[] = {2.0, 3.37, 5.0}, fills[] = {260.0, 400.0}, bursts[] = {0.0, 100.0};

    (void)state;
    for (size_t i = 0; i < 12; i++) {
        double outage_s = outages_s[i % 3], fill = fills[i / 3 % 2], burst = bursts[i / 6], release_s = inject_s + outage_s;
        double token_s = -INFINITY, truth_s = release_s + (rate * outage_s - burst - fill * deadline_s) / (fill - rate);
        const struct est_build build = {.measure = EST_GOODPUT_RATIO, .end_s = REQUESTS / rate, .bin_s = 0.05};
        const struct est_pins pins = {.band = 0.05, .hold_s = 5.0, .seed = i};
        const struct est_instants instants = {.baseline_end_s = NAN, .inject_s = inject_s, .release_s = release_s, .end_s = build.end_s};
        struct est_series *series;
        struct est_result result;

        for (size_t k = 0; k < REQUESTS; k++) {
            double planned_s = (double)k / rate, served_s = planned_s;

            if (planned_s >= inject_s && served_s < release_s)
                served_s = release_s;
            token_s = fmax(token_s, served_s - burst / fill); /* the virtual instant at which its token came in */
            served_s = fmax(served_s, token_s);
            token_s += 1.0 / fill;
            request[k] = (struct est_request){planned_s, served_s - planned_s, served_s - planned_s <= deadline_s};
        }
        assert_int_equal(est_series_from_requests(request, REQUESTS, &build, &series), 0);
        assert_int_equal(est_judge(series, &pins, &instants, NULL, &result), 0);
        est_series_free(series);
        printf("# bucket: outage %.2f s, fill %.0f/s, burst %.0f: truly %.3f s after the release, %+.1f ms off\n", outage_s, fill, burst,
               truth_s - release_s, 1e3 * (result.converged_s - truth_s));
        assert_int_equal(result.verdict, EST_CONVERGED);
        assert_true(fabs(result.converged_s - truth_s) <= build.bin_s);
        assert_true(truth_s >= result.converged_interval.low && truth_s <= result.converged_interval.high);
    }
}

static void null_gauges_are_not_flagged(void **state)
{
    struct family families[] = {
        gauge("null, cv 0.5 %, white", TRACE_NONE, 0.005, 0.0), gauge("null, cv 2 %, white", TRACE_NONE, 0.02, 0.0),
        gauge("null, cv 6 %, white", TRACE_NONE, 0.06, 0.0),    gauge("null, cv 2 %, correlated", TRACE_NONE, 0.02, 1.0),
        gauge("null, cv 2 %, heavy tails", TRACE_NONE, 0.02, 0.0),
    };

    (void)state;
    families[4].trace.noise = NOISE_STUDENT3;
    for (size_t i = 0; i < 5; i++) {
        families[i].want = EST_ABSORBED;
        families[i].covered_min = 0.0;
        families[i].replicates = 200;
        hold_to(&families[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sudden_recovery_is_told_within_two_base_bins),
        cmocka_unit_test(rare_requests_neither_flag_nothing_nor_lose_a_recovery),
        cmocka_unit_test(continuous_recoveries_meet_their_bounds),
        cmocka_unit_test(a_return_inside_a_bin_leaves_no_tail),
        cmocka_unit_test(a_recovery_between_the_slowest_laws_is_unbiased),
        cmocka_unit_test(a_crossing_between_laws_stays_inside_what_was_fitted),
        cmocka_unit_test(gradual_recovery_of_requests_is_one_excursion),
        cmocka_unit_test(a_drained_token_bucket_is_told_at_its_closed_form),
        cmocka_unit_test(null_gauges_are_not_flagged),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
