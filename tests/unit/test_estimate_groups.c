/* Several runs together: survival with censored runs against published worked examples, comparison of groups against exact tables and
 * its own false alarms, change points against histories with known ones. */
#include "controller/estimate/change.h"
#include "controller/estimate/compare.h"
#include "controller/estimate/survival.h"
#include "scenarios/base/rng.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("got %.6f, want %.6f within %g", got, want, tolerance);
}

/* Weeks of remission under 6-mercaptopurine and under placebo (Freireich and others, 1963), the textbooks' example. */
static const struct survival_run drug[] = {
    {6, true},   {6, true},   {6, true},   {6, false},  {7, true},   {9, false},  {10, true},  {10, false}, {11, false}, {13, true},  {16, true},
    {17, false}, {19, false}, {20, false}, {22, true},  {23, true},  {25, false}, {32, false}, {32, false}, {34, false}, {35, false},
};
static const struct survival_run placebo[] = {
    {1, true}, {1, true},  {2, true},  {2, true},  {3, true},  {4, true},  {4, true},  {5, true},  {5, true},  {8, true},  {8, true},
    {8, true}, {8, true},  {11, true}, {11, true}, {12, true}, {12, true}, {15, true}, {17, true}, {22, true}, {23, true},
};

static void survival_agrees_with_the_textbook(void **state)
{
    static const double shares[] = {0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448};
    struct est_interval interval;
    struct survival survival;

    (void)state;
    assert_int_equal(survival_estimate(drug, 21, &survival), 0);
    assert_int_equal(survival.points, 7);
    assert_int_equal(survival.censored, 12);
    for (size_t i = 0; i < 7; i++)
        assert_near(survival.point[i].share, shares[i], 0.0005);
    assert_near(survival.point[0].low, 0.620, 0.002); /* log-log interval at 6 weeks */
    assert_near(survival.point[0].high, 0.952, 0.002);
    assert_near(survival_quantile(&survival, 0.5, &interval), 23.0, 0.0);
    assert_near(interval.low, 13.0, 0.0);
    assert_true(isinf(interval.high));
    assert_true(isnan(survival_quantile(&survival, 0.95, &interval)));
    survival_done(&survival);
    assert_int_equal(survival_estimate(placebo, 21, &survival), 0);
    assert_near(survival_quantile(&survival, 0.5, &interval), 8.0, 0.0);
    assert_near(interval.low, 4.0, 0.0);
    assert_near(interval.high, 11.0, 0.0);
    assert_near(survival_restricted_mean(&survival, 23.0, &interval), 182.0 / 21.0, 1e-9); /* nobody censored: the plain mean */
    assert_true(interval.low > 5.0 && interval.low < 8.0 && interval.high > 9.5 && interval.high < 12.5);
    survival_done(&survival);
}

static void log_rank_agrees_with_the_textbook(void **state)
{
    double chi2, p;

    (void)state;
    assert_int_equal(survival_log_rank(drug, 21, placebo, 21, &chi2, &p), 0);
    assert_near(chi2, 16.793, 0.001);
    assert_near(p, 4.17e-5, 1e-7);
    assert_int_equal(survival_log_rank(drug, 21, drug, 21, &chi2, &p), 0);
    assert_near(chi2, 0.0, 1e-12);
    assert_int_equal(survival_log_rank(drug, 0, placebo, 21, &chi2, &p), -EINVAL);
}

static void runs_that_never_converged_are_no_pass(void **state)
{
    static const struct survival_run never[] = {{60, false}, {60, false}, {60, false}};
    static const struct survival_run bad = {NAN, true};
    struct est_interval interval;
    struct survival survival;

    (void)state;
    assert_int_equal(survival_estimate(never, 3, &survival), 0);
    assert_true(isnan(survival_quantile(&survival, 0.5, &interval)) && isinf(interval.high));
    assert_near(survival_restricted_mean(&survival, 60.0, &interval), 60.0, 1e-12);
    survival_done(&survival);
    assert_int_equal(survival_estimate(never, 0, &survival), -EINVAL);
    assert_int_equal(survival_estimate(&bad, 1, &survival), -EINVAL);
}

static void comparison_is_exact_for_few_runs(void **state)
{
    static const double low[] = {1, 2, 3, 4, 5}, high[] = {6, 7, 8, 9, 10};
    struct comparison comparison;

    (void)state;
    assert_int_equal(compare_groups(low, 5, high, 5, 0.05, &comparison), 0);
    assert_int_equal(comparison.outcome, COMPARE_HIGHER);
    assert_near(comparison.p, 2.0 / 252.0, 1e-12);
    assert_near(comparison.shift, 5.0, 0.0);
    assert_near(comparison.shift_interval.low, 2.0, 0.0);
    assert_near(comparison.shift_interval.high, 8.0, 0.0);
    assert_near(comparison.effect, 1.0, 0.0);
    assert_int_equal(compare_groups(high, 5, low, 5, 0.05, &comparison), 0);
    assert_int_equal(comparison.outcome, COMPARE_LOWER);
    assert_int_equal(compare_groups(low, 4, high, 5, 0.05, &comparison), 0);
    assert_int_equal(comparison.outcome, COMPARE_TOO_FEW);
    assert_int_equal(compare_groups(low, 3, high, 3, 0.05, &comparison), 0);
    assert_near(comparison.p, 0.1, 1e-12); /* three a side can never reject */
    assert_true(isnan(comparison.shift_interval.low));
    assert_int_equal(compare_groups(low, 0, high, 5, 0.05, &comparison), -EINVAL);
}

static void equal_values_are_no_difference(void **state)
{
    static const double same[] = {3, 3, 3, 3, 3, 3};
    struct comparison comparison;

    (void)state;
    assert_int_equal(compare_groups(same, 6, same, 6, 0.05, &comparison), 0);
    assert_int_equal(comparison.outcome, COMPARE_SAME);
    assert_near(comparison.p, 1.0, 0.0);
    assert_near(comparison.effect, 0.5, 0.0);
    assert_near(comparison.detectable, 0.0, 0.0);
}

/* Convergence times as runs give them: lognormal, spread 0.25. */
static void draw_times(double *time_s, size_t count, double factor, uint64_t seed)
{
    for (size_t i = 0; i < count; i++) {
        double radius = sqrt(-2.0 * log1p(-rng_unit(rng_draw(seed, 1, i, 0))));

        time_s[i] = factor * exp(0.25 * radius * cos(6.283185307179586 * rng_unit(rng_draw(seed, 1, i, 1))));
    }
}

static void false_alarms_and_power_are_as_told(void **state)
{
    size_t alarms = 0, found = 0, covered = 0;
    enum { ROUNDS = 1000 };

    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        double a[10], b[10];
        struct comparison comparison;

        draw_times(a, 10, 1.0, 2 * round);
        draw_times(b, 10, 1.0, 2 * round + 1);
        assert_int_equal(compare_groups(a, 10, b, 10, 0.05, &comparison), 0);
        alarms += comparison.outcome != COMPARE_SAME;
        covered += comparison.shift_interval.low <= 0.0 && comparison.shift_interval.high >= 0.0;
        draw_times(b, 10, 1.5, 2 * round + 1);
        assert_int_equal(compare_groups(a, 10, b, 10, 0.05, &comparison), 0);
        found += comparison.outcome == COMPARE_HIGHER;
    }
    print_message("# ten runs a side: %.1f %% false alarms, 1.5 times slower found in %.1f %%, interval covers %.1f %%\n",
                  100.0 * (double)alarms / ROUNDS, 100.0 * (double)found / ROUNDS, 100.0 * (double)covered / ROUNDS);
    assert_true(alarms <= 65 && found >= 860 && covered >= 935);
}

static void holm_keeps_the_order_and_the_worst(void **state)
{
    double p[] = {0.04, 0.01, 0.03, 0.01};

    (void)state;
    assert_int_equal(compare_holm(p, 4), 0);
    assert_near(p[1], 0.04, 1e-12);
    assert_near(p[3], 0.04, 1e-12);
    assert_near(p[2], 0.06, 1e-12);
    assert_near(p[0], 0.06, 1e-12);
}

static void change_points_are_found_where_they_are(void **state)
{
    struct changes changes;
    double value[60];

    (void)state;
    draw_times(value, 60, 1.0, 9);
    for (size_t i = 25; i < 60; i++)
        value[i] *= i < 45 ? 2.0 : 0.6;
    assert_int_equal(changes_find(value, 60, 0.05, 1, &changes), 0);
    assert_int_equal(changes.count, 2);
    assert_in_range(changes.item[0].first, 24, 26);
    assert_in_range(changes.item[1].first, 44, 46);
    assert_true(changes.item[0].after > 1.6 * changes.item[0].before);
    assert_true(changes.item[1].after < 0.5 * changes.item[1].before);
    assert_true(changes.item[0].p <= 0.05);
    changes_done(&changes);
    value[7] = NAN;
    assert_int_equal(changes_find(value, 60, 0.05, 1, &changes), -EINVAL);
    assert_int_equal(changes_find(value, 0, 0.05, 1, &changes), 0);
    assert_int_equal(changes.count, 0);
    changes_done(&changes);
}

static void steady_histories_have_no_change_points(void **state)
{
    size_t alarms = 0;

    (void)state;
    for (uint64_t round = 0; round < 200; round++) {
        struct changes changes;
        double value[40];

        draw_times(value, 40, 1.0, 5000 + round);
        assert_int_equal(changes_find(value, 40, 0.05, round, &changes), 0);
        alarms += changes.count > 0;
        changes_done(&changes);
    }
    print_message("# steady histories of 40 runs: %.1f %% with a change point\n", 100.0 * (double)alarms / 200);
    assert_true(alarms <= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survival_agrees_with_the_textbook),
        cmocka_unit_test(log_rank_agrees_with_the_textbook),
        cmocka_unit_test(runs_that_never_converged_are_no_pass),
        cmocka_unit_test(comparison_is_exact_for_few_runs),
        cmocka_unit_test(equal_values_are_no_difference),
        cmocka_unit_test(false_alarms_and_power_are_as_told),
        cmocka_unit_test(holm_keeps_the_order_and_the_worst),
        cmocka_unit_test(change_points_are_found_where_they_are),
        cmocka_unit_test(steady_histories_have_no_change_points),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
