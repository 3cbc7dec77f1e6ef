/* The sample shop's breaker and retry rules, on virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* The sample programs are in no archive; their rules are small enough to compile in. */
#include "playbooks/sample/breaker.c" /* NOLINT */
#include "playbooks/sample/retry.c"   /* NOLINT */

enum { OPEN_NS = 1000 };

static enum breaker_state state_of(struct breaker *breaker)
{
    enum breaker_state state;
    uint64_t entered[3];

    breaker_read(breaker, &state, entered);
    return state;
}

static void call(struct breaker *breaker, bool good, uint64_t now_ns)
{
    assert_true(breaker_allows(breaker, now_ns));
    breaker_report(breaker, good, now_ns);
}

static void breaker_opens_at_half_failed(void **state)
{
    struct breaker breaker;

    (void)state;
    breaker_init(&breaker, OPEN_NS);
    for (int i = 0; i < BREAKER_CALLS_MIN - 1; i++)
        call(&breaker, false, 1);
    assert_int_equal(state_of(&breaker), BREAKER_CLOSED); /* too few calls to judge */
    call(&breaker, false, 1);
    assert_int_equal(state_of(&breaker), BREAKER_OPEN);
    assert_false(breaker_allows(&breaker, OPEN_NS)); /* one ns before its time is up */

    breaker_init(&breaker, OPEN_NS);
    for (int i = 0; i < 100; i++) /* two good, one bad: never half of any window */
        call(&breaker, i % 3 != 2, 1);
    assert_int_equal(state_of(&breaker), BREAKER_CLOSED);
    for (int i = 0; i < BREAKER_WINDOW / 2 && state_of(&breaker) == BREAKER_CLOSED; i++) /* the window forgets the good ones */
        call(&breaker, false, 1);
    assert_int_equal(state_of(&breaker), BREAKER_OPEN);
}

static void breaker_probes_one_at_a_time(void **state)
{
    struct breaker breaker;
    uint64_t entered[3];
    enum breaker_state now;

    (void)state;
    breaker_init(&breaker, OPEN_NS);
    for (int i = 0; i < BREAKER_CALLS_MIN; i++)
        call(&breaker, false, 0);
    assert_true(breaker_allows(&breaker, OPEN_NS));
    assert_false(breaker_allows(&breaker, OPEN_NS)); /* the probe is out */
    breaker_report(&breaker, false, OPEN_NS + 5);
    assert_int_equal(state_of(&breaker), BREAKER_OPEN);
    assert_false(breaker_allows(&breaker, OPEN_NS + 5 + OPEN_NS - 1)); /* counts from the failed probe */
    for (int i = 0; i < BREAKER_PROBES; i++)
        call(&breaker, true, OPEN_NS + 5 + OPEN_NS);
    breaker_read(&breaker, &now, entered);
    assert_int_equal(now, BREAKER_CLOSED);
    assert_int_equal(entered[BREAKER_OPEN], 2);
    assert_int_equal(entered[BREAKER_HALF_OPEN], 2);
    assert_int_equal(entered[BREAKER_CLOSED], 1);
}

static void late_reports_do_not_move_an_open_breaker(void **state)
{
    struct breaker breaker;

    (void)state;
    breaker_init(&breaker, OPEN_NS);
    assert_true(breaker_allows(&breaker, 0)); /* still out when the others open it */
    for (int i = 0; i < BREAKER_CALLS_MIN; i++)
        call(&breaker, false, 0);
    breaker_report(&breaker, true, 1);
    assert_int_equal(state_of(&breaker), BREAKER_OPEN);
}

static void retries_back_off_within_count_and_budget(void **state)
{
    struct retry_policy policy;
    uint64_t wait_ns;
    int allowed = 0;

    (void)state;
    retry_init(&policy, 2, 100);
    assert_true(retry_next(&policy, 0, &wait_ns) && wait_ns >= 1 && wait_ns <= 100);
    assert_true(retry_next(&policy, 1, &wait_ns) && wait_ns >= 1 && wait_ns <= 200);
    assert_false(retry_next(&policy, 2, &wait_ns));

    retry_init(&policy, 1000, 100);
    for (int64_t i = 0; i < 1000; i++)
        allowed += retry_next(&policy, 30 + i % 2, &wait_ns) && wait_ns <= 800; /* the cap is eight times the first */
    assert_int_equal(allowed, BUDGET_MAX); /* nobody earned any more */
    for (int i = 0; i < TENTHS; i++)
        retry_earn(&policy);
    assert_true(retry_next(&policy, 0, &wait_ns));
    assert_false(retry_next(&policy, 0, &wait_ns));
}

static void naive_retries_are_endless_and_immediate(void **state)
{
    struct retry_policy policy;
    uint64_t wait_ns = 1;

    (void)state;
    retry_init(&policy, -1, 0);
    for (int64_t i = 0; i < 1000; i++) {
        assert_true(retry_next(&policy, i, &wait_ns));
        assert_int_equal(wait_ns, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(breaker_opens_at_half_failed),
        cmocka_unit_test(breaker_probes_one_at_a_time),
        cmocka_unit_test(late_reports_do_not_move_an_open_breaker),
        cmocka_unit_test(retries_back_off_within_count_and_budget),
        cmocka_unit_test(naive_retries_are_endless_and_immediate),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
