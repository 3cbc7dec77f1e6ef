/* The function that a clock is shown by, and its inverse: exact to the nanosecond at ordinary rates, monotone, and continuous where a
 * clock must not run backwards, however often it is changed. */
#include "tests/unit/scenario_cases.h"

#include "scenarios/base/clock.h"
#include "shims/judge/clock_map.h"

#define YEAR_NS (UINT64_C(31536000) * NS_PER_S)

static void values_by_hand(void **state)
{
    struct clock_map map = clock_map_next(&clock_map_true, 1000, 0, 2000, true, false);

    (void)state;
    assert_int_equal(clock_map_shown(&clock_map_true, 12345), 12345);
    assert_int_equal(clock_map_instant(&clock_map_true, 12345, 7), 12345);
    assert_int_equal(clock_map_shown(&map, 900), 900); /* before it begins */
    assert_int_equal(clock_map_shown(&map, 1000), 1000);
    assert_int_equal(clock_map_shown(&map, 1500), 2000); /* twice as fast */
    assert_int_equal(clock_map_instant(&map, 2000, 1000), 1500);
    assert_int_equal(clock_map_instant(&map, 950, 900), 950);
    assert_int_equal(clock_map_instant(&map, 500, 1200), 1200); /* due already */
    map = clock_map_next(&clock_map_true, 1000, 5000, 500, true, false);
    assert_int_equal(clock_map_shown(&map, 999), 999);
    assert_int_equal(clock_map_shown(&map, 1000), 6000); /* the jump */
    assert_int_equal(clock_map_shown(&map, 3000), 7000); /* half as fast */
    assert_int_equal(clock_map_instant(&map, 3000, 900), 1000); /* jumped over */
    assert_int_equal(clock_map_instant(&map, 7000, 1000), 3000);
    map = clock_map_next(&clock_map_true, 10000, -4000, 1000, true, false);
    assert_int_equal(clock_map_shown(&map, 10000), 6000); /* a wall clock goes back */
    assert_int_equal(clock_map_instant(&map, 9000, 10000), 13000);
    assert_int_equal(clock_map_instant(&map, 9000, 500), 9000);
    map = clock_map_next(&clock_map_true, 10000, -4000, 1000, true, true);
    assert_int_equal(clock_map_shown(&map, 10000), 10000); /* a steady one does not */
}

static void frozen_and_released(void **state)
{
    struct clock_map frozen = clock_map_next(&clock_map_true, 1000, 0, 0, false, true);
    struct clock_map back = clock_map_next(&frozen, 5000, 0, CLOCK_MAP_UNIT, true, true);
    struct clock_map ahead = clock_map_next(&clock_map_true, 1000, 9000, CLOCK_MAP_UNIT, false, true);
    struct clock_map kept = clock_map_next(&ahead, 5000, 0, CLOCK_MAP_UNIT, true, true);

    (void)state;
    assert_int_equal(clock_map_shown(&frozen, 1000 * NS_PER_S), 1000);
    assert_int_equal(clock_map_instant(&frozen, 1001, 2000), UINT64_MAX); /* never */
    assert_int_equal(clock_map_instant(&frozen, 1000, 2000), 2000);
    assert_int_equal(clock_map_shown(&back, 4999), 1000);
    assert_int_equal(clock_map_shown(&back, 5000), 5000); /* leaps to the truth */
    assert_int_equal(clock_map_instant(&back, 3000, 2000), 5000);
    assert_int_equal(clock_map_shown(&kept, 4999), 13999); /* keeps its lead */
    assert_int_equal(clock_map_shown(&kept, 5000), 14000);
    assert_int_equal(clock_map_shown(&kept, 6000), 15000);
}

static void extremes_do_not_wrap(void **state)
{
    struct clock_map far = clock_map_next(&clock_map_true, 50 * YEAR_NS, -(int64_t)(100 * YEAR_NS), 1000, true, false);
    struct clock_map fast = clock_map_next(&clock_map_true, 0, (int64_t)(100 * YEAR_NS), 1000000, true, false);
    struct clock_map slow = clock_map_next(&clock_map_true, 0, 0, 1, true, false);

    (void)state;
    assert_int_equal(clock_map_shown(&far, 50 * YEAR_NS), 0);
    assert_int_equal(clock_map_shown(&fast, 500 * YEAR_NS), UINT64_MAX);
    assert_int_equal(clock_map_shown(&fast, 3), 100 * YEAR_NS + 3000);
    assert_int_equal(clock_map_instant(&slow, 500 * YEAR_NS, 0), UINT64_MAX);
    assert_int_equal(clock_map_shown(&slow, 999), 0);
    assert_int_equal(clock_map_shown(&slow, 1000), 1);
}

static void instant_is_the_inverse_of_shown(void **state)
{
    struct cases cases = cases_begin("clock_map");

    (void)state;
    for (int n = 0; n < 20000; n++) {
        uint64_t begin_ns = cases_below(&cases, 60 * YEAR_NS);
        int64_t offset_ns = (int64_t)cases_below(&cases, 2 * YEAR_NS) - (int64_t)YEAR_NS;
        uint32_t rate = 1 + (uint32_t)cases_below(&cases, n % 2 ? 3000 : 1000000);
        uint64_t at_ns = begin_ns + cases_below(&cases, YEAR_NS / (1 + rate / CLOCK_MAP_UNIT));
        struct clock_map map = clock_map_next(&clock_map_true, begin_ns, offset_ns, rate, true, false);
        uint64_t shown_ns = clock_map_shown(&map, at_ns), back_ns = clock_map_instant(&map, shown_ns, begin_ns);

        /* The first instant that shows it: none before does, and it is the one asked for up to what one ns of it spans. */
        assert_int_equal(clock_map_shown(&map, back_ns) >= shown_ns, 1);
        assert_true(back_ns <= at_ns && at_ns - back_ns <= CLOCK_MAP_UNIT / rate);
        if (back_ns > begin_ns)
            assert_true(clock_map_shown(&map, back_ns - 1) < shown_ns);
        if (rate >= CLOCK_MAP_UNIT)
            assert_true(at_ns - back_ns <= 1); /* within 1 ns */
        shown_ns += cases_below(&cases, YEAR_NS);
        back_ns = clock_map_instant(&map, shown_ns, at_ns);
        assert_true(back_ns >= at_ns);
        if (back_ns != UINT64_MAX)
            assert_true(clock_map_shown(&map, back_ns) - shown_ns <= rate / CLOCK_MAP_UNIT);
    }
}

/* Changed again and again: where it may not run backwards it does not, at and around each change, read by the old or the new. */
static void steady_clocks_never_run_backwards(void **state)
{
    struct cases cases = cases_begin("steady");

    (void)state;
    for (int n = 0; n < 500; n++) {
        struct clock_map map = clock_map_true;
        uint64_t now_ns = 1000 * NS_PER_S + cases_below(&cases, YEAR_NS), last_ns = 0;

        for (int change = 0; change < 20; change++) {
            static const uint32_t rates[] = { 0, 1, 500, 1000, 1001, 2000, 1000000 };
            bool release = !cases_below(&cases, 3);
            uint64_t begin_ns = now_ns + CLOCK_MAP_GRACE_NS;
            struct clock_map next = clock_map_next(&map, begin_ns, release ? 0 : (int64_t)cases_below(&cases, NS_PER_S) - (int64_t)NS_PER_S / 2,
                                                   release ? CLOCK_MAP_UNIT : rates[cases_below(&cases, ARRAY_SIZE(rates))], release, true);

            for (uint64_t t = now_ns; t < begin_ns; t += CLOCK_MAP_GRACE_NS / 7) { /* both agree until it begins */
                uint64_t old_ns = clock_map_shown(&map, t), new_ns = clock_map_shown(&next, t);

                assert_true(old_ns >= last_ns);
                assert_int_equal(old_ns, new_ns);
            }
            assert_true(clock_map_shown(&next, begin_ns) >= clock_map_shown(&map, begin_ns));
            now_ns = begin_ns;
            map = next;
            for (int step = 0; step < 8; step++) {
                uint64_t shown_ns = clock_map_shown(&map, now_ns);

                assert_true(shown_ns >= last_ns);
                last_ns = shown_ns;
                now_ns += cases_below(&cases, NS_PER_S);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_by_hand),
        cmocka_unit_test(frozen_and_released),
        cmocka_unit_test(extremes_do_not_wrap),
        cmocka_unit_test(instant_is_the_inverse_of_shown),
        cmocka_unit_test(steady_clocks_never_run_backwards),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
