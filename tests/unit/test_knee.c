/* The search for the knee against servers whose capacity is known: sharp ones, noisy ones, and ones that have none. */
#include "controller/estimate/knee.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <cmocka.h>

enum { STEPS_MAX = 200 };

struct server {
    double capacity, spread; /* a step of rate r is good with a chance that falls from 1 to 0 between capacity -/+ spread */
    uint64_t seed;
};

static bool serves(const struct server *server, double rate, size_t step)
{
    double chance = server->spread > 0 ? fmin(fmax((server->capacity + server->spread - rate) / (2 * server->spread), 0), 1) : rate <= server->capacity;

    return (double)(rng_draw(server->seed, 1, 0, step) >> 11) * 0x1p-53 < chance;
}

static size_t climb(const struct knee_plan *plan, const struct server *server, struct knee_step steps[STEPS_MAX], struct knee *ret_knee)
{
    size_t count = 0;

    for (double rate = knee_next(plan, steps, count); rate > 0; rate = knee_next(plan, steps, count)) {
        assert_true(count < plan->coarse + plan->bisect + plan->repeat * (plan->coarse + plan->bisect));
        assert_true(rate >= plan->from * (1 - 1e-9) && rate <= plan->to * (1 + 1e-9));
        steps[count] = (struct knee_step){ rate, serves(server, rate, count) };
        count++;
    }
    knee_estimate(steps, count, ret_knee);
    return count;
}

static const struct knee_plan plan = { .from = 50, .to = 800, .coarse = 5, .bisect = 4, .repeat = 3 };

/* One that serves up to 320/s and not a request more. Halving [200, 400] four times leaves 12.5. */
static void a_sharp_knee_is_bracketed(void **state)
{
    const struct server server = { .capacity = 320 };
    struct knee_step steps[STEPS_MAX];
    struct knee knee;
    size_t count = climb(&plan, &server, steps, &knee);

    (void)state;
    assert_int_equal(knee.end, KNEE_FOUND);
    assert_true(knee.rate <= 320 && knee.rate > 320 - 12.5 - 1e-6);
    assert_true(knee.low == knee.rate && knee.high > 320 && knee.high <= knee.rate + 12.5 + 1e-6);
    assert_int_equal(count, 4 + 4 + 2 + 2); /* up to 400/s, halvings, two more of each */
}

static void no_knee_says_on_which_side(void **state)
{
    const struct server strong = { .capacity = 1e6 }, weak = { .capacity = 1 };
    struct knee_step steps[STEPS_MAX];
    struct knee knee;

    (void)state;
    assert_int_equal(climb(&plan, &strong, steps, &knee), 5 + 2);
    assert_int_equal(knee.end, KNEE_ABOVE);
    assert_true(knee.rate == 800 && knee.low == 800 && isinf(knee.high));
    assert_int_equal(climb(&plan, &weak, steps, &knee), 3);
    assert_int_equal(knee.end, KNEE_BELOW);
    assert_true(knee.rate == 0 && knee.low == 0 && knee.high == 50);
    knee_estimate(steps, 0, &knee);
    assert_int_equal(knee.end, KNEE_NONE);
}

/* Near the knee a step is chance: the interval holds it in nearly every search, and what lies far from it never misleads. */
static void a_noisy_knee_is_within_its_interval(void **state)
{
    size_t held = 0, near = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 400; seed++) {
        const struct server server = { .capacity = 320, .spread = 30, .seed = seed };
        struct knee_step steps[STEPS_MAX];
        struct knee knee;

        climb(&plan, &server, steps, &knee);
        assert_int_equal(knee.end, KNEE_FOUND);
        assert_true(knee.low <= knee.rate && knee.rate < knee.high);
        held += knee.low <= 320 + 30 && knee.high >= 320 - 30;
        near += fabs(knee.rate - 320) <= 45;
    }
    assert_int_equal(held, 400);
    assert_true(near >= 380);
}

/* A step that fails by accident low down is outvoted by its repetitions; the interval still tells of it. */
static void one_accident_does_not_move_the_knee(void **state)
{
    static const struct knee_step steps[] = { { 100, true }, { 200, false }, { 150, true }, { 200, true }, { 200, true }, { 400, false }, { 400, false } };
    struct knee knee;

    (void)state;
    knee_estimate(steps, ARRAY_SIZE(steps), &knee);
    assert_int_equal(knee.end, KNEE_FOUND);
    assert_true(knee.rate == 200 && knee.low == 150 && knee.high == 400);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sharp_knee_is_bracketed),
        cmocka_unit_test(no_knee_says_on_which_side),
        cmocka_unit_test(a_noisy_knee_is_within_its_interval),
        cmocka_unit_test(one_accident_does_not_move_the_knee),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
