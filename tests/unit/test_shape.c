/* Shapes of a delay against libm and closed forms: the module itself may call none of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scenarios/base/rng.h"
#include "scenarios/base/shape.h"

#include <math.h>

enum { DRAWS = 20000 };

static double clipped(double value)
{
    return fmax(-4.0, fmin(4.0, value));
}

static double normal_by_libm(uint64_t draw)
{
    return sqrt(-2.0 * log(((double)(draw >> 32) + 1.0) * 0x1p-32)) * cos(2.0 * M_PI * (double)(draw & UINT32_MAX) * 0x1p-32);
}

static double pareto_by_libm(uint64_t draw)
{
    return (pow(1.0 - rng_unit(draw), -1.0 / 3.0) - 1.5) * (4.0 / 3.0);
}

static void spreads_are_those_of_libm(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < DRAWS + 4; i++) {
        static const uint64_t ends[] = { 0, UINT64_MAX, UINT32_MAX, UINT64_C(1) << 63 };
        uint64_t draw = i < DRAWS ? rng_draw(1, 2, 3, i) : ends[i - DRAWS];
        double mixed = 0.25 * normal_by_libm(draw) + 0.75 * pareto_by_libm(rng_mix(draw, 1));

        assert_true(fabs(shape_spreads(SHAPE_UNIFORM, draw) - (2.0 * rng_unit(draw) - 1.0)) < 1e-12);
        assert_true(fabs(shape_spreads(SHAPE_NORMAL, draw) - clipped(normal_by_libm(draw))) < 1e-11);
        assert_true(fabs(shape_spreads(SHAPE_PARETO, draw) - clipped(pareto_by_libm(draw))) < 1e-11);
        assert_true(fabs(shape_spreads(SHAPE_PARETONORMAL, draw) - clipped(mixed)) < 1e-11);
    }
}

static void waves_have_their_heights(void **state)
{
    (void)state;
    for (int64_t at = 1; at < 2000; at++) {
        double phase = (double)(at % 1000) / 1000, expected[] = { 0, sin(2 * M_PI * phase), phase < 0.5 ? 1 : -1, asin(sin(2 * M_PI * phase)) * M_2_PI, 2 * phase - 1 };

        for (int64_t wave = WAVE_NONE; wave <= WAVE_SAW; wave++) {
            const struct shape shape = { .mean_ns = 2000000000, .wave = wave, .amplitude_ns = 1000000000, .period_ns = 1000 };

            assert_true(fabs((double)shape_delay_ns(&shape, 0, (uint64_t)at) - 2e9 - 1e9 * expected[wave]) < 2);
        }
    }
}

static void tables_have_their_percentiles(void **state)
{
    const struct shape shape = { .mean_ns = 7, .distribution = SHAPE_TABLE, .points_ns = { 100, 0, 1000, 0, 5000 } };
    int below_p50 = 0, below_p99 = 0;

    (void)state;
    for (uint64_t i = 0; i < DRAWS; i++) {
        uint64_t delay_ns = shape_delay_ns(&shape, rng_draw(1, 2, 3, i), 0);

        below_p50 += delay_ns < 100;
        below_p99 += delay_ns < 1000;
        assert_true(delay_ns <= 5000);
    }
    assert_in_range(below_p50, DRAWS / 2 - 400, DRAWS / 2 + 400);
    assert_in_range(below_p99, DRAWS / 100 * 99 - 80, DRAWS / 100 * 99 + 80);
}

static void delays_are_never_negative_nor_wild(void **state)
{
    const struct shape below = { .mean_ns = 5, .spread_ns = 1000, .wave = WAVE_SAW, .amplitude_ns = 1000, .period_ns = 0 };
    const struct shape hostile = { .mean_ns = INT64_MAX, .spread_ns = INT64_MAX, .distribution = 77, .wave = -3, .amplitude_ns = INT64_MAX, .period_ns = -1 };

    (void)state;
    assert_int_equal(shape_delay_ns(&below, 0, 0), 0);
    assert_true(shape_delay_ns(&hostile, UINT64_MAX, 1) <= UINT64_C(1) << 62);
    assert_int_equal(shape_delay_ns(&(struct shape){ .mean_ns = -5 }, 0, 0), 0);
}

static uint64_t draw_of(const void *context, uint64_t at)
{
    (void)context;
    return rng_draw(9, 9, 9, at);
}

/* With a memory or without one a run begins at the same place; as many begin one as the chance says. */
static void runs_are_found_again(void **state)
{
    struct shape_memory memory = { 0 };
    int begins = 0;

    (void)state;
    for (uint64_t at = 0; at < DRAWS; at++) {
        uint64_t origin = shape_origin(draw_of, NULL, 800000, at, &memory);

        assert_int_equal(shape_origin(draw_of, NULL, 800000, at, NULL), origin);
        assert_true(origin <= at);
        begins += origin == at;
    }
    assert_in_range(begins, DRAWS / 5 - 250, DRAWS / 5 + 250);
    assert_int_equal(shape_origin(draw_of, NULL, 0, 12, NULL), 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spreads_are_those_of_libm),
        cmocka_unit_test(waves_have_their_heights),
        cmocka_unit_test(tables_have_their_percentiles),
        cmocka_unit_test(delays_are_never_negative_nor_wild),
        cmocka_unit_test(runs_are_found_again),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
