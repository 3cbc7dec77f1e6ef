/* Rules whose parameters change while they act: what they hold, owe and remember. */
#include "tests/unit/wire_chain_fixture.h"

/* A chain under one rule whose parameters change on the way. */
struct changing {
    struct chain chain;
    struct armed *armed;
    struct plan_rule rule;
    struct buf bytes;
};

static void changing_begin(struct changing *changing, struct plan_rule rule)
{
    *changing = (struct changing){ .rule = rule, .armed = arm(NULL, 1, 0, &rule, 1) };
    chain_init(&changing->chain, pool, 99, 1);
    chain_adopt(&changing->chain, changing->armed, 0, true);
    buf_init(&changing->bytes, 1 << 20);
}

static void changing_change(struct changing *changing, uint64_t now_ns)
{
    struct armed *next = arm(changing->armed, changing->armed->plan->epoch + 1, now_ns, &changing->rule, 1);

    assert_int_equal(chain_adopt(&changing->chain, next, now_ns, false), 0);
    armed_free(changing->armed);
    changing->armed = next;
}

static size_t changing_run(struct changing *changing, uint64_t now_ns, uint64_t until_ns)
{
    run(&changing->chain, now_ns, until_ns, &changing->bytes, NULL);
    return changing->bytes.length;
}

static void changing_end(struct changing *changing)
{
    chain_done(&changing->chain);
    armed_free(changing->armed);
    buf_done(&changing->bytes);
}

static void test_a_changed_latency_holds_for_what_it_holds(void **state)
{
    struct changing changing;

    (void)state;
    changing_begin(&changing, rule_of("latency", "l")); /* 100 ms */
    push(&changing.chain, TO_CLIENT, 0, "a", 1);
    push(&changing.chain, TO_CLIENT, 10 * MS, "b", 1);
    assert_int_equal(changing_run(&changing, 10 * MS, 15 * MS), 0);
    changing.rule.params.STREAM_latency.latency = 20 * (int64_t)MS;
    changing_change(&changing, 15 * MS);
    assert_int_equal(changing_run(&changing, 15 * MS, 19 * MS), 0);
    assert_int_equal(changing_run(&changing, 20 * MS, 29 * MS), 1);
    changing.rule.params.STREAM_latency.latency = 500 * (int64_t)MS;
    changing_change(&changing, 29 * MS);
    assert_int_equal(changing_run(&changing, 29 * MS, 509 * MS), 1);
    assert_int_equal(changing_run(&changing, 510 * MS, 510 * MS), 2);
    assert_memory_equal(changing.bytes.data, "ab", 2);
    assert_int_equal(changing.armed->rules[0].live->counts.matched, 1);
    assert_int_equal(changing.armed->rules[0].live->counts.fired, 1);
    changing_end(&changing);
}

static void changed_rate_counts_from_what_has_passed(int64_t scope)
{
    struct plan_rule rule = rule_of("bandwidth", "b");
    char bytes[1000] = { 0 };
    struct changing changing;
    size_t half;

    rule.params.STREAM_bandwidth.rate = 1000;
    rule.params.STREAM_bandwidth.scope = scope;
    changing_begin(&changing, rule);
    push(&changing.chain, TO_CLIENT, 0, bytes, sizeof(bytes));
    half = changing_run(&changing, 0, 500 * MS);
    assert_in_range(half, 500, 511);
    changing.rule.params.STREAM_bandwidth.rate = 10000;
    changing_change(&changing, 500 * MS);
    assert_in_range(changing_run(&changing, 500 * MS, 520 * MS), half + 190, half + 211); /* no burst for the change */
    assert_int_equal(changing_run(&changing, 521 * MS, 550 * MS), sizeof(bytes));
    changing.rule.params.STREAM_bandwidth.rate = 100;
    changing_change(&changing, 550 * MS);
    push(&changing.chain, TO_CLIENT, 550 * MS, bytes, 100);
    assert_in_range(changing_run(&changing, 550 * MS, 1050 * MS) - sizeof(bytes), 40, 51);
    changing_end(&changing);
}

static void test_a_changed_rate_counts_from_what_has_passed(void **state)
{
    (void)state;
    changed_rate_counts_from_what_has_passed(0);
    changed_rate_counts_from_what_has_passed(1);
}

static void test_a_changed_timeout_keeps_the_connection(void **state)
{
    struct changing changing;

    (void)state;
    changing_begin(&changing, rule_of("timeout", "t")); /* never closes */
    push(&changing.chain, TO_CLIENT, 0, "lost", 4);
    assert_int_equal(changing_run(&changing, 0, 10 * MS), 0);
    changing.rule.params.STREAM_timeout.after = 50 * (int64_t)MS;
    changing_change(&changing, 10 * MS);
    (void)changing_run(&changing, 10 * MS, 59 * MS);
    assert_int_equal(changing.chain.close_rule, RULE_NONE);
    changing.rule.params.STREAM_timeout.after = 0;
    changing_change(&changing, 59 * MS);
    (void)changing_run(&changing, 59 * MS, 900 * MS);
    assert_int_equal(changing.chain.close_rule, RULE_NONE);
    changing.rule.params.STREAM_timeout.after = 50 * (int64_t)MS;
    changing_change(&changing, 900 * MS);
    (void)changing_run(&changing, 900 * MS, 950 * MS);
    assert_int_equal(changing.chain.close_rule, 0);
    changing_end(&changing);
}

/* What lost bytes is closed at release, whatever was changed in between. */
static void test_a_changed_timeout_remembers_what_was_lost(void **state)
{
    struct changing changing;

    (void)state;
    changing_begin(&changing, rule_of("timeout", "t"));
    push(&changing.chain, TO_CLIENT, 0, "lost", 4);
    (void)changing_run(&changing, 0, 10 * MS);
    changing.rule.params.STREAM_timeout.after = 3600 * (int64_t)NS_PER_S;
    changing_change(&changing, 10 * MS);
    chain_adopt(&changing.chain, NULL, 20 * MS, false);
    assert_int_equal(changing.chain.out[TO_CLIENT].count, 1);
    assert_int_equal(changing.chain.out[TO_CLIENT].first->flags, SEGMENT_CLOSE);
    changing_end(&changing);
}

static void test_a_changed_limit_keeps_its_count(void **state)
{
    struct plan_rule rule = rule_of("limit_data", "d");
    struct changing changing;

    (void)state;
    rule.params.STREAM_limit_data.bytes = 100;
    changing_begin(&changing, rule);
    push(&changing.chain, TO_CLIENT, 0, "0123456789", 10);
    assert_int_equal(changing_run(&changing, 0, 1), 10);
    changing.rule.params.STREAM_limit_data.bytes = 12;
    changing_change(&changing, 2);
    assert_int_equal(changing.chain.close_rule, RULE_NONE);
    push(&changing.chain, TO_CLIENT, 3, "abcdef", 6);
    assert_int_equal(changing_run(&changing, 3, 4), 12);
    assert_int_equal(changing.chain.close_rule, 0);
    changing_end(&changing);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_changed_latency_holds_for_what_it_holds),
        cmocka_unit_test(test_a_changed_rate_counts_from_what_has_passed),
        cmocka_unit_test(test_a_changed_timeout_keeps_the_connection),
        cmocka_unit_test(test_a_changed_timeout_remembers_what_was_lost),
        cmocka_unit_test(test_a_changed_limit_keeps_its_count),
    };

    return cmocka_run_group_tests(tests, make_pool, drop_pool);
}
