/* The control arm: what both arms suffer cancels, what one suffers stays, whatever the machine does meanwhile. */
#include "controller/estimate/control.h"
#include "controller/estimate/estimate.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/rng.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { RATE = 200, SECONDS = 60, COUNT = RATE * SECONDS };

/* A request every 5 ms; the machine hiccups in [from, to) of both arms, the fault acts on the treatment in [inject, release). */
struct world {
    double hiccup_from_s, hiccup_to_s, inject_s, release_s, slow;
    uint64_t arm;
    bool half; /* the hiccup takes every other request */
};

static void request_at(const void *context, size_t index, struct est_request *ret_request)
{
    const struct world *world = context;
    double at_s = (double)index / RATE, noise = (double)(rng_draw(7, world->arm, 0, index) >> 11) * 0x1p-53;
    bool hiccup = at_s >= world->hiccup_from_s && at_s < world->hiccup_to_s && !(world->half && index % 2), fault = at_s >= world->inject_s && at_s < world->release_s;

    *ret_request = (struct est_request){ .planned_s = at_s, .latency_s = (0.01 + 0.001 * noise) * (hiccup ? 3 : 1) * (fault ? world->slow : 1),
                                         .good = !(hiccup && world->slow == 0) && !(fault && world->slow == 0) };
    if (!ret_request->good)
        ret_request->latency_s = INFINITY;
}

static const struct est_pins pins = { .band = 0.1, .hold_s = 2, .rigour = EST_QUICK, .seed = 1 };
static const struct est_instants instants = { .baseline_end_s = NAN, .inject_s = 30, .release_s = 35, .end_s = SECONDS };

static struct est_result judge(const struct world *treatment, const struct world *control, enum est_measure measure, size_t *ret_excused)
{
    const struct control_arm arms[2] = { { request_at, treatment, COUNT }, { request_at, control, COUNT } };
    const struct est_build build = { .measure = measure, .quantile = 0.5, .end_s = SECONDS, .bin_s = 0.02 };
    struct est_series *series = NULL;
    struct est_result result;

    assert_int_equal(control_series(&arms[0], &arms[1], &build, &series, ret_excused), 0);
    assert_int_equal(est_judge(series, &pins, &instants, NULL, &result), 0);
    est_series_free(series);
    return result;
}

/* Both arms fail for five seconds: nothing is left to judge. Only the treatment does: all of it is. */
static void failures_of_both_arms_are_excused(void **state)
{
    const struct world both = { .hiccup_from_s = 30, .hiccup_to_s = 35, .arm = 1 }, one = { .inject_s = 30, .release_s = 35, .arm = 1 },
                       still = { .arm = 2, .slow = 1 }, same = { .hiccup_from_s = 30, .hiccup_to_s = 35, .arm = 2 };
    size_t excused = 0;
    struct est_result result = judge(&both, &same, EST_GOODPUT_RATIO, &excused);

    (void)state;
    assert_int_equal(result.verdict, EST_ABSORBED);
    assert_int_equal(excused, 5 * RATE);
    result = judge(&one, &still, EST_GOODPUT_RATIO, &excused);
    assert_int_equal(result.verdict, EST_CONVERGED);
    assert_int_equal(excused, 0);
    assert_true(fabs(result.convergence_from_release_s) < 0.1);
    assert_true(fabs(result.loss_to_hold_s - 5) < 0.1);
}

/* More fail in the treatment than in the control: the difference is judged. The error rate says the same from the other side. */
static void the_difference_is_judged(void **state)
{
    const struct world treatment = { .hiccup_from_s = 40, .hiccup_to_s = 42, .inject_s = 30, .release_s = 35, .arm = 1 },
                       control = { .hiccup_from_s = 40, .hiccup_to_s = 42, .arm = 2 };
    size_t excused = 0;
    struct est_result result = judge(&treatment, &control, EST_GOODPUT_RATIO, &excused);

    (void)state;
    assert_int_equal(excused, 2 * RATE);
    assert_int_equal(result.verdict, EST_CONVERGED);
    assert_int_equal(result.redegradations, 0);
    const struct world all = { .hiccup_from_s = 30, .hiccup_to_s = 35, .arm = 1 }, half = { .hiccup_from_s = 30, .hiccup_to_s = 35, .half = true, .arm = 2 };
    result = judge(&all, &half, EST_GOODPUT_RATIO, &excused);
    assert_int_equal(excused, 5 * RATE / 2);
    assert_true(fabs(result.loss_to_hold_s - 2.5) < 0.1 && fabs(result.dip_depth - 0.5) < 0.1);
    result = judge(&treatment, &control, EST_ERROR_RATIO, NULL);
    assert_int_equal(result.verdict, EST_CONVERGED);
    assert_true(fabs(result.convergence_from_release_s) < 0.1);
}

/* The machine is three times as slow in both arms after the recovery; without the control that would be a second dip. */
static void latency_is_a_ratio(void **state)
{
    const struct world treatment = { .hiccup_from_s = 45, .hiccup_to_s = 50, .inject_s = 30, .release_s = 35, .slow = 4, .arm = 1 },
                       control = { .hiccup_from_s = 45, .hiccup_to_s = 50, .slow = 1, .arm = 2 }, calm = { .slow = 1, .arm = 2 };
    struct est_result result = judge(&treatment, &control, EST_LATENCY_QUANTILE, NULL);

    (void)state;
    assert_true(fabs(result.baseline.level - 1) < 0.05);
    assert_int_equal(result.verdict, EST_CONVERGED);
    assert_true(fabs(result.convergence_from_release_s) < 0.2);
    assert_true(fabs(result.dip_depth - 3) < 0.5);
    result = judge(&treatment, &calm, EST_LATENCY_QUANTILE, NULL);
    assert_int_equal(result.verdict, EST_CONVERGED_THEN_REDEGRADED);
}

static void an_empty_control_is_no_control(void **state)
{
    const struct world world = { .slow = 1 };
    const struct control_arm arms[2] = { { request_at, &world, COUNT }, { request_at, &world, 0 } };
    const struct est_build build = { .measure = EST_GOODPUT_RATIO, .end_s = SECONDS, .bin_s = 0.02 }, bad = { .measure = EST_GOODPUT_RATIO, .end_s = 0, .bin_s = 1 };
    struct est_series *series = NULL;

    (void)state;
    assert_int_equal(control_series(&arms[0], &arms[1], &build, &series, NULL), -ENODATA);
    assert_int_equal(control_series(&arms[0], &arms[0], &bad, &series, NULL), -EINVAL);
    assert_null(series);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_of_both_arms_are_excused),
        cmocka_unit_test(the_difference_is_judged),
        cmocka_unit_test(latency_is_a_ratio),
        cmocka_unit_test(an_empty_control_is_no_control),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
