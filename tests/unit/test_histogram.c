/* The histogram: where values go, what quantiles are read from it. */
#include "scenarios/base/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_cells_tile_the_range(void **state)
{
    (void)state;
    for (uint32_t cell = 0; cell < HISTOGRAM_CELLS; cell++) {
        struct histogram one = { .most = 0 };
        uint64_t floor = histogram_floor(cell), end = histogram_floor(cell + 1);

        assert_true(end > floor);
        histogram_add(&one, floor);
        histogram_add(&one, end - 1);
        assert_int_equal(one.cells[cell], 2);
        assert_int_equal(one.most, end - 1);
    }
    assert_int_equal(histogram_floor(1), 256);
    assert_int_equal(histogram_floor(HISTOGRAM_CELLS), UINT64_C(1) << 36);
}

static void test_what_is_beyond_counts_at_the_edges(void **state)
{
    struct histogram histogram = { .most = 0 };

    (void)state;
    histogram_add(&histogram, 0);
    histogram_add(&histogram, UINT64_MAX);
    assert_int_equal(histogram.cells[0], 1);
    assert_int_equal(histogram.cells[HISTOGRAM_CELLS - 1], 1);
    assert_int_equal(histogram_count(&histogram), 2);
    assert_int_equal(histogram.most, UINT64_MAX);
}

static void test_quantiles_are_near(void **state)
{
    static const double shares[] = { 0.01, 0.5, 0.9, 0.99, 0.999 };
    struct histogram histogram = { .most = 0 };

    (void)state;
    assert_int_equal(histogram_quantile(&histogram, 0.5), 0);
    for (uint64_t value = 1; value <= 1000000; value++)
        histogram_add(&histogram, value);
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
        assert_float_equal((float)histogram_quantile(&histogram, shares[i]) / 1e6F, (float)shares[i], (float)shares[i] * 0.03F);
    assert_int_equal(histogram_quantile(&histogram, 1), 1000000);
}

static void test_merging_adds(void **state)
{
    struct histogram one = { .most = 0 }, two = { .most = 0 };

    (void)state;
    histogram_add(&one, 1000);
    histogram_add(&two, 1000);
    histogram_add(&two, 5000);
    histogram_merge(&one, &two);
    assert_int_equal(histogram_count(&one), 3);
    assert_int_equal(one.most, 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells_tile_the_range),
        cmocka_unit_test(test_what_is_beyond_counts_at_the_edges),
        cmocka_unit_test(test_quantiles_are_near),
        cmocka_unit_test(test_merging_adds),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
