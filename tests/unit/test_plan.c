/* plan_check(): an image that somebody else wrote is refused for each thing that can be wrong with it. */
#include "tests/unit/scenario_cases.h"

#include "scenarios/vocab/plan.h"

#include <errno.h>
#include <sys/socket.h>

enum { RULES = FAULT_COUNT };

/* A sound plan: every fault once, every parameter at its default or, where there is none, at its minimum. Returns new. */
static struct plan *sound_plan(void)
{
    struct plan *plan = calloc(1, PLAN_SIZE(RULES));

    assert_non_null(plan);
    *plan = (struct plan){ PLAN_MAGIC, PLAN_VERSION, sizeof(struct plan_rule), RULES, 1, 42 };
    for (size_t i = 0; i < RULES; i++) {
        const struct fault_desc *fault = &fault_descs[i];

        plan_rule_init(&plan->rules[i], fault, NULL);
        for (size_t p = 0; p < fault->param_count; p++)
            if (fault->params[p].required)
                plan->rules[i].params.slot[fault->params[p].slot] = fault->params[p].minimum;
    }
    return plan;
}

typedef void corruption(struct plan *plan);

static void bad_magic(struct plan *plan) { plan->magic ^= 1; }
static void bad_version(struct plan *plan) { plan->version++; }
static void bad_rule_size(struct plan *plan) { plan->rule_size -= 8; }
static void too_many_rules(struct plan *plan) { plan->rule_count = PLAN_RULES_MAX + 1; }
static void more_rules_than_bytes(struct plan *plan) { plan->rule_count++; }
static void count_that_overflows(struct plan *plan) { plan->rule_count = UINT32_MAX; }
static void unknown_fault(struct plan *plan) { plan->rules[1].fault = FAULT_COUNT; }
static void endless_name(struct plan *plan) { memset(plan->rules[1].name, 'x', RULE_NAME_MAX); }
static void endless_scope(struct plan *plan) { memset(plan->rules[1].scope, 'x', RULE_SCOPE_MAX); }
static void endless_path(struct plan *plan) { memset(plan->rules[1].selector.path, 'x', RULE_PATH_MAX); }
static void endless_thread(struct plan *plan) { memset(plan->rules[1].selector.thread, 'x', RULE_THREAD_MAX); }
static void endless_caller(struct plan *plan) { memset(plan->rules[1].selector.caller, 'x', RULE_CALLER_MAX); }
static void foreign_hash(struct plan *plan) { plan->rules[1].name_hash++; }
static void foreign_point(struct plan *plan) { plan->rules[FAULT_STREAM_latency].points = 1; }
static void another_faults_point(struct plan *plan) { plan->rules[FAULT_CALL_alloc_fail].points |= POINT_BIT(lock); }
static void nth_of_zero(struct plan *plan) { plan->rules[1].selector.nth = 0; }
static void first_of_zero(struct plan *plan) { plan->rules[1].selector.first = 0; }
static void more_than_always(struct plan *plan) { plan->rules[1].selector.probability_ppm = PPM + 1; }
static void word_that_is_none(struct plan *plan) { plan->rules[FAULT_STREAM_latency].params.STREAM_latency.distribution = 5; }
static void prefix_beyond_ipv4(struct plan *plan)
{
    plan->rules[1].selector.peer = (struct address_match){ .family = AF_INET, .prefix_bits = 33, .present = 1 };
}
static void prefix_beyond_ipv6(struct plan *plan)
{
    plan->rules[1].selector.client = (struct address_match){ .family = AF_INET6, .prefix_bits = 129, .present = 1 };
}
static void unknown_family(struct plan *plan)
{
    plan->rules[1].selector.peer = (struct address_match){ .family = AF_UNIX, .present = 1 };
}

static void each_corruption_is_refused(void **state)
{
#define ROW(name, error) { #name, name, error }
    static const struct {
        const char *name;
        corruption *corrupt;
        int error;
    } rows[] = {
        ROW(bad_magic, -EPROTO),          ROW(bad_version, -EPROTO),         ROW(bad_rule_size, -EPROTO),
        ROW(too_many_rules, -EINVAL),     ROW(more_rules_than_bytes, -EINVAL), ROW(count_that_overflows, -EINVAL),
        ROW(unknown_fault, -EINVAL),      ROW(endless_name, -EINVAL),        ROW(endless_scope, -EINVAL),
        ROW(endless_path, -EINVAL),       ROW(endless_thread, -EINVAL),      ROW(endless_caller, -EINVAL),
        ROW(foreign_hash, -EINVAL),       ROW(foreign_point, -EINVAL),       ROW(another_faults_point, -EINVAL),
        ROW(nth_of_zero, -EINVAL),        ROW(first_of_zero, -EINVAL),       ROW(more_than_always, -EINVAL),
        ROW(word_that_is_none, -EINVAL),  ROW(prefix_beyond_ipv4, -EINVAL),  ROW(prefix_beyond_ipv6, -EINVAL),
        ROW(unknown_family, -EINVAL),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct plan *plan = sound_plan();

        assert_int_equal(plan_check(plan, PLAN_SIZE(RULES)), 0);
        rows[i].corrupt(plan);
        if (plan_check(plan, PLAN_SIZE(RULES)) != rows[i].error)
            fail_msg("%s: %d", rows[i].name, plan_check(plan, PLAN_SIZE(RULES)));
        free(plan);
    }
}

static void every_cut_is_refused(void **state)
{
    struct plan *plan = sound_plan();

    (void)state;
    for (size_t size = 0; size < PLAN_SIZE(RULES); size++)
        assert_int_not_equal(plan_check(plan, size), 0);
    assert_int_equal(plan_check(plan, PLAN_SIZE(RULES)), 0);
    assert_int_equal(plan_check(plan, PLAN_SIZE(RULES) + 1000), 0);
    free(plan);
}

/* Every parameter of every fault: its bounds are taken, one beyond is not. */
static void each_parameter_has_its_bounds(void **state)
{
    struct plan *plan = sound_plan();

    (void)state;
    for (size_t i = 0; i < FAULT_COUNT; i++)
        for (size_t p = 0; p < fault_descs[i].param_count; p++) {
            const struct param_desc *param = &fault_descs[i].params[p];
            int64_t *slot = &plan->rules[i].params.slot[param->slot], sound = *slot, maximum = param_maximum(param);

            *slot = param->minimum;
            assert_int_equal(plan_check(plan, PLAN_SIZE(RULES)), 0);
            *slot = maximum;
            assert_int_equal(plan_check(plan, PLAN_SIZE(RULES)), 0);
            *slot = param->minimum - 1;
            assert_int_equal(plan_check(plan, PLAN_SIZE(RULES)), -EINVAL);
            *slot = maximum + 1;
            if (plan_check(plan, PLAN_SIZE(RULES)) != -EINVAL)
                fail_msg("%s.%s.%s may be %" PRId64, layer_names[fault_descs[i].layer], fault_descs[i].name, param->name, maximum + 1);
            *slot = sound;
        }
    free(plan);
}

/* Noise in any place never makes plan_check read out of bounds (under the sanitizers) nor take time without end. */
static void noise_is_survived(void **state)
{
    struct cases cases = cases_begin("noise");

    (void)state;
    for (int n = 0; n < 3000; n++) {
        struct plan *plan = sound_plan();
        size_t size = PLAN_SIZE(RULES);

        for (uint64_t flips = 1 + cases_below(&cases, 8); flips; flips--)
            ((unsigned char *)plan)[cases_below(&cases, size)] ^= (unsigned char)(1 + cases_below(&cases, 255));
        plan_check(plan, size);
        free(plan);
    }
}

static void a_rule_begins_at_any_and_always(void **state)
{
    struct plan_rule rule;

    (void)state;
    plan_rule_init(&rule, &fault_descs[FAULT_CALL_fail], "a-name-that-is-much-longer-than-the-forty-seven-bytes-there-are");
    assert_int_equal(strlen(rule.name), RULE_NAME_MAX - 1);
    assert_true(rule.name_hash == rng_hash(rule.name));
    assert_true(rule.points == (POINTS_FILE | POINTS_SOCKET));
    assert_int_equal(rule.selector.probability_ppm, PPM);
    assert_int_equal(rule.selector.fd, -1);
    assert_true(rule.selector.size_max == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_corruption_is_refused),    cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(each_parameter_has_its_bounds), cmocka_unit_test(noise_is_survived),
        cmocka_unit_test(a_rule_begins_at_any_and_always),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
