/* Distributions against closed forms and tables, isotonic regression against its definition. */
#include "controller/estimate/isotonic.h"
#include "controller/estimate/stats.h"
#include "scenarios/base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void near_enough(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want)))
        fail_msg("got %.12g, want %.12g within %g", got, want, relative);
}

static void quantiles_match_printed_tables(void **state)
{
    (void)state;
    near_enough(stats_normal_upper(0.025), 1.959964, 1e-6);
    near_enough(stats_normal_upper(0.5 * erfc(5.0 / sqrt(2.0))), 5.0, 1e-9);
    near_enough(stats_student_upper(0.025, 10.0), 2.2281, 2e-3);
    near_enough(stats_student_upper(0.0005, 8.0), 5.0413, 2e-2);
    near_enough(stats_student_upper(0.0005, 1e6), stats_normal_upper(0.0005), 1e-4);
}

/* The oracle sums the binomial terms. */
static double tail_by_sum(int k, int n, double p)
{
    double tail = 0.0;

    for (int i = k; i <= n; i++)
        tail += exp(lgamma(n + 1.0) - lgamma(i + 1.0) - lgamma(n - i + 1.0) + i * log(p) + (n - i) * log1p(-p));
    return tail;
}

static void binomial_tails_match_their_sum(void **state)
{
    static const int sizes[] = {1, 2, 5, 20, 100, 1000};
    static const double shares[] = {0.0007, 0.01, 0.3, 0.9};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t j = 0; j < sizeof(shares) / sizeof(shares[0]); j++) {
            int n = sizes[i], step = n / 7 + 1;

            for (int k = 1; k <= n; k += step)
                near_enough(stats_binomial_tail(k, n, shares[j]), tail_by_sum(k, n, shares[j]), 1e-7);
        }
    }
    assert_true(stats_binomial_tail(0, 10, 0.1) == 1.0);
    assert_true(stats_binomial_tail(11, 10, 0.1) == 0.0);
}

static void critical_count_is_the_smallest_beyond_the_tail(void **state)
{
    (void)state;
    for (int n = 1; n <= 200; n += 13) {
        double k = stats_binomial_critical(n, 0.02, 1e-3);

        assert_true(k > n || stats_binomial_tail(k, n, 0.02) <= 1e-3);
        assert_true(stats_binomial_tail(k - 1.0, n, 0.02) > 1e-3);
    }
}

static void wilson_bounds_hold_at_the_edges(void **state)
{
    double low, high;

    (void)state;
    stats_wilson(0, 100, 1.96, &low, &high);
    assert_true(low == 0.0);
    near_enough(high, 0.0370, 2e-3); /* z^2 / (n + z^2) */
    stats_wilson(100, 100, 1.96, &low, &high);
    near_enough(low, 0.9630, 2e-3);
    assert_true(high > 0.999999);
    stats_wilson(0, 0, 1.96, &low, &high);
    assert_true(low == 0.0 && high == 1.0);
}

enum { FIT_MAX = 60 };

/* Least squares under a falling order has the min-max form: fit[i] = min over a <= i of max over b >= i of mean(a..b). */
static double fit_by_definition(const double *value, size_t count, size_t i)
{
    double least = INFINITY;

    for (size_t a = 0; a <= i; a++) {
        double most = -INFINITY;

        for (size_t b = i; b < count; b++) {
            double sum = 0.0, known = 0.0;

            for (size_t j = a; j <= b; j++) {
                sum += isnan(value[j]) ? 0.0 : value[j];
                known += isnan(value[j]) ? 0.0 : 1.0;
            }
            if (known > 0.0)
                most = fmax(most, sum / known);
        }
        if (most > -INFINITY)
            least = fmin(least, most);
    }
    return least;
}

static void isotonic_fit_and_crossing_match_the_definition(void **state)
{
    double value[FIT_MAX], fit[FIT_MAX], work[2 * FIT_MAX];

    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        size_t count = 1 + (size_t)rng_below(rng_draw(seed, 1, 0, 0), FIT_MAX), last = 0;

        for (size_t i = 0; i < count; i++) {
            value[i] = exp(-(double)i / 15.0) + 0.6 * (rng_unit(rng_draw(seed, 2, 0, i)) - 0.5);
            if (i > 0 && rng_unit(rng_draw(seed, 3, 0, i)) < 0.1)
                value[i] = NAN;
        }
        isotonic_falling(value, count, work, fit);
        for (size_t i = 0; i < count; i++) {
            if (!isnan(value[i]))
                near_enough(fit[i], fit_by_definition(value, count, i), 1e-9);
            if (!isnan(value[i]) && fit[i] > 0.3)
                last = i + 1;
        }
        assert_int_equal(isotonic_crossing(value, count, 0.3), last);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_match_printed_tables),
        cmocka_unit_test(binomial_tails_match_their_sum),
        cmocka_unit_test(critical_count_is_the_smallest_beyond_the_tail),
        cmocka_unit_test(wilson_bounds_hold_at_the_edges),
        cmocka_unit_test(isotonic_fit_and_crossing_match_the_definition),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
