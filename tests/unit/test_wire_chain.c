/* The chain on virtual time: order and conservation of bytes, replay, which connections a rule takes, budgets, windows, plans that
 * change while bytes are held. */
#include "tests/unit/wire_chain_fixture.h"

static uint64_t next_random(uint64_t *random)
{
    return rng_draw(++*random, 1, 2, 3);
}

/* ---- conservation ----------------------------------------------------------------------------------------------------- */

/* A random plan of faults that destroy nothing. */
static uint32_t random_rules(uint64_t *random, struct plan_rule *rules)
{
    static const char *const faults[] = { "latency", "bandwidth", "slicer", "blackhole" };
    uint32_t count = (uint32_t)(next_random(random) % 5);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t kind = (uint32_t)(next_random(random) % 4);
        char name[16];

        snprintf(name, sizeof(name), "%s-%" PRIu32, faults[kind], i);
        rules[i] = rule_of(faults[kind], name);
        if (kind == 0) {
            rules[i].params.STREAM_latency.latency = (int64_t)(next_random(random) % (20 * MS));
            rules[i].params.STREAM_latency.jitter = (int64_t)(next_random(random) % (20 * MS));
            rules[i].params.STREAM_latency.distribution = (int64_t)(next_random(random) % 4);
        } else if (kind == 1) {
            rules[i].params.STREAM_bandwidth.rate = (int64_t)(100000 + next_random(random) % 100000000);
        } else if (kind == 2) {
            rules[i].params.STREAM_slicer.size = (int64_t)(1 + next_random(random) % 3000);
            rules[i].params.STREAM_slicer.variation = (int64_t)(next_random(random) % 5000);
            rules[i].params.STREAM_slicer.delay = (int64_t)(next_random(random) % 200000);
        }
    }
    return count;
}

static void conserve_once(uint64_t random)
{
    struct plan_rule rules[5];
    struct armed *armed = NULL;
    struct chain chain;
    struct buf in, out;
    uint64_t now_ns = NS_PER_S;

    buf_init(&in, 8 << 20);
    buf_init(&out, 8 << 20);
    chain_init(&chain, pool, 99, 1);
    for (uint64_t step = 1; step <= 40; step++) {
        char bytes[CHUNK_BYTES];
        uint32_t size = 1 + (uint32_t)(next_random(&random) % sizeof(bytes));

        for (uint32_t i = 0; i < size; i++)
            bytes[i] = (char)next_random(&random);
        push(&chain, TO_CLIENT, now_ns, bytes, size);
        buf_append(&in, bytes, size);
        now_ns = run(&chain, now_ns, now_ns + next_random(&random) % (10 * MS), &out, NULL);
        if (next_random(&random) % 4 == 0) {
            uint32_t count = random_rules(&random, rules);
            struct armed *next = arm(armed, step, now_ns, rules, count);

            assert_int_equal(chain_adopt(&chain, next, now_ns, step == 1), 0);
            armed_free(armed);
            armed = next;
        }
        assert_true(out.length <= in.length && !memcmp(out.data, in.data, out.length));
    }
    push_end(&chain, TO_CLIENT, now_ns, SEGMENT_FIN);
    chain_adopt(&chain, NULL, now_ns, false);
    chain_pump(&chain, TO_CLIENT, now_ns);
    assert_true(chain.out[TO_CLIENT].last->flags & SEGMENT_FIN);
    take(&chain, TO_CLIENT, now_ns, &out, NULL);
    assert_int_equal(out.length, in.length);
    assert_memory_equal(out.data, in.data, in.length);
    chain_done(&chain);
    armed_free(armed);
    buf_done(&in);
    buf_done(&out);
    assert_int_equal(pool_chunks_used(pool), 0);
}

static void test_bytes_are_conserved_in_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        conserve_once(seed * 1000);
}

/* ---- replay ----------------------------------------------------------------------------------------------------------- */

static void scripted_run(uint64_t seed, const struct plan_rule *rules, uint32_t count, struct buf *log)
{
    static char bytes[CHUNK_BYTES];
    struct armed *armed = arm(NULL, 1, 0, rules, count);

    armed->plan->seed = seed;
    for (uint64_t connection = 1; connection <= 8; connection++) {
        struct chain chain;
        uint64_t now_ns = 0;

        chain_init(&chain, pool, 99, connection);
        chain_adopt(&chain, armed, now_ns, true);
        for (int i = 0; i < 6; i++) {
            push(&chain, i % 2, now_ns, bytes, 5000);
            now_ns = run(&chain, now_ns, now_ns + 3 * MS, NULL, log);
        }
        run(&chain, now_ns, 2 * NS_PER_S, NULL, log);
        chain_done(&chain);
    }
    armed_free(armed);
}

static void test_the_same_seed_gives_the_same_log(void **state)
{
    struct plan_rule rules[2] = { rule_of("latency", "a"), rule_of("slicer", "b") };
    struct buf logs[3];

    (void)state;
    rules[0].params.STREAM_latency.jitter = 50 * MS;
    rules[0].selector.probability_ppm = 500000;
    rules[1].params.STREAM_slicer = (struct params_STREAM_slicer){ 0, 700, 300, 1000 };
    for (size_t i = 0; i < ARRAY_SIZE(logs); i++) {
        buf_init(&logs[i], 16 << 20);
        scripted_run(i == 2 ? 43 : 42, rules, 2, &logs[i]);
    }
    assert_true(logs[0].length > 1000);
    assert_string_equal(logs[0].data, logs[1].data);
    assert_string_not_equal(logs[0].data, logs[2].data);
    for (size_t i = 0; i < ARRAY_SIZE(logs); i++)
        buf_done(&logs[i]);
}

/* Which of many connections a rule takes, as a string of '0' and '1'. */
static void taken(const struct plan_rule *rules, uint32_t count, const char *name, struct buf *ret_taken)
{
    struct armed *armed = arm(NULL, 1, 0, rules, count);

    for (uint64_t connection = 1; connection <= 1000; connection++) {
        struct chain chain;

        chain_init(&chain, pool, 99, connection);
        chain_adopt(&chain, armed, 0, true);
        for (uint32_t i = 0; i < chain.count; i++)
            if (!strcmp(armed->rules[chain.grips[i].rule].plan->name, name))
                buf_puts(ret_taken, chain.grips[i].flags & GRIP_ACTIVE ? "1" : "0");
        chain_done(&chain);
    }
    armed_free(armed);
}

static void test_another_fault_changes_no_draw(void **state)
{
    struct plan_rule rules[3] = { rule_of("latency", "other"), rule_of("latency", "mine"), rule_of("reset_peer", "third") };
    struct buf alone, amid;
    size_t ones = 0;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        rules[i].selector.probability_ppm = 300000;
    rules[2].params.STREAM_reset_peer.after = 1;
    buf_init(&alone, 4096);
    buf_init(&amid, 4096);
    taken(&rules[1], 1, "mine", &alone);
    taken(rules, 3, "mine", &amid);
    assert_string_equal(alone.data, amid.data);
    for (size_t i = 0; i < alone.length; i++)
        ones += alone.data[i] == '1';
    assert_in_range(ones, 230, 370); /* 300 +- 5 standard deviations */
    buf_done(&alone);
    buf_done(&amid);
}

/* ---- which connections ------------------------------------------------------------------------------------------------ */

struct choice_case {
    const char *what;
    uint64_t first, last, nth, budget;
    const char *taken; /* of 12 connections, each sending one byte */
    uint64_t matched, eligible, fired, skipped;
};

static void test_ordinals_and_budgets_count_connections(void **state)
{
    static const struct choice_case cases[] = {
        { "all", 1, 0, 1, 0, "111111111111", 12, 12, 12, 0 },       { "first", 4, 0, 1, 0, "000111111111", 12, 9, 9, 0 },
        { "range", 4, 6, 1, 0, "000111000000", 12, 3, 3, 0 },       { "nth", 1, 0, 3, 0, "001001001001", 12, 4, 4, 0 },
        { "budget", 1, 0, 1, 2, "110000000000", 12, 12, 2, 10 },    { "once", 1, 0, 1, 1, "100000000000", 12, 12, 1, 11 },
        { "nth in budget", 2, 0, 2, 2, "001010000000", 12, 5, 2, 3 },
    };

    (void)state;
    for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
        struct plan_rule rule = rule_of("latency", "slow");
        const struct rule_counts *counts;
        struct armed *armed;
        char held[13] = "";

        rule.selector.first = cases[c].first;
        rule.selector.last = cases[c].last;
        rule.selector.nth = cases[c].nth;
        rule.selector.budget = cases[c].budget;
        armed = arm(NULL, 1, 0, &rule, 1);
        for (uint64_t connection = 1; connection <= 12; connection++) {
            struct chain chain;

            chain_init(&chain, pool, 99, connection);
            chain_adopt(&chain, armed, 0, true);
            push(&chain, TO_CLIENT, 0, "x", 1);
            chain_pump(&chain, TO_CLIENT, 0);
            held[connection - 1] = chain.out[TO_CLIENT].count ? '0' : '1';
            chain_done(&chain);
        }
        counts = &armed->rules[0].live->counts;
        if (strcmp(held, cases[c].taken))
            print_message("# %s\n", cases[c].what);
        assert_string_equal(held, cases[c].taken);
        assert_int_equal(counts->matched, cases[c].matched);
        assert_int_equal(counts->eligible, cases[c].eligible);
        assert_int_equal(counts->fired, cases[c].fired);
        assert_int_equal(counts->skipped, cases[c].skipped);
        assert_int_equal(armed->rules[0].live->held_bytes, 0);
        armed_free(armed);
    }
}

static void test_predicates(void **state)
{
    struct sockaddr_in client = { .sin_family = AF_INET, .sin_port = htons(7000), .sin_addr.s_addr = htonl(0x0a010203) };
    struct plan_rule rules[4] = { rule_of("latency", "near"), rule_of("latency", "far"), rule_of("latency", "other-proxy"),
                                  rule_of("latency", "upward") };
    struct armed *armed;
    struct chain chain;

    (void)state;
    assert_int_equal(address_match_parse("10.0.0.0/8", &rules[0].selector.client), 0);
    assert_int_equal(address_match_parse("11.0.0.0/8", &rules[1].selector.client), 0);
    snprintf(rules[2].scope, sizeof(rules[2].scope), "elsewhere");
    rules[3].selector.direction = DIRECTION_TO_UPSTREAM;
    armed = arm(NULL, 1, 0, rules, 4);
    chain_init(&chain, pool, rng_hash("here"), 1);
    chain.client = (struct sockaddr *)&client;
    chain_adopt(&chain, armed, 0, true);
    assert_int_equal(chain.count, 3);
    assert_true(chain.grips[0].flags & GRIP_ACTIVE);
    assert_false(chain.grips[1].flags & GRIP_MATCHED);
    assert_true(chain.grips[2].stages[TO_UPSTREAM].active);
    assert_false(chain.grips[2].stages[TO_CLIENT].active);
    chain_done(&chain);
    armed_free(armed);
}

static void test_windows_open_close_and_ramp(void **state)
{
    struct plan_rule rules[2] = { rule_of("blackhole", "window"), rule_of("latency", "ramp") };
    struct chain chains[400];
    struct armed *armed;
    size_t taken_half = 0, taken_full = 0;

    (void)state;
    rules[0].selector.from_ns = 10 * MS;
    rules[0].selector.until_ns = 20 * MS;
    rules[0].selector.direction = DIRECTION_TO_CLIENT;
    rules[1].selector.ramp_ns = 100 * MS;
    rules[1].selector.probability_ppm = 800000;
    armed = arm(NULL, 1, 5, rules, 2);
    assert_int_equal(armed_next_boundary(armed, 5), 5 + MS);
    for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
        chain_init(&chains[i], pool, 99, i + 1);
        chain_adopt(&chains[i], armed, 5, true);
        assert_int_equal(chains[i].grips[1].flags & GRIP_ACTIVE, 0);
    }
    push(&chains[0], TO_CLIENT, 6, "a", 1);
    chain_pump(&chains[0], TO_CLIENT, 6);
    assert_int_equal(chains[0].out[TO_CLIENT].count, 1);
    chain_consider(&chains[0], 5 + 10 * MS, false);
    push(&chains[0], TO_CLIENT, 5 + 11 * MS, "b", 1);
    chain_pump(&chains[0], TO_CLIENT, 5 + 11 * MS);
    assert_true(chain_stalled(&chains[0], TO_CLIENT));
    assert_int_equal(chains[0].out[TO_CLIENT].count, 1);
    chain_consider(&chains[0], 5 + 20 * MS, false);
    chain_pump(&chains[0], TO_CLIENT, NS_PER_S);
    assert_int_equal(chains[0].out[TO_CLIENT].count, 2);
    for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
        chain_consider(&chains[i], 5 + 50 * MS, false);
        taken_half += (chains[i].grips[1].flags & GRIP_ACTIVE) != 0;
        chain_consider(&chains[i], 5 + 100 * MS, false);
        taken_full += (chains[i].grips[1].flags & GRIP_ACTIVE) != 0;
        chain_done(&chains[i]);
    }
    assert_in_range(taken_half, 110, 210); /* 160 +- 5 deviations */
    assert_in_range(taken_full, 280, 360); /* 320 */
    armed_free(armed);
}

static void test_observe_counts_and_passes(void **state)
{
    static const char *const faults[] = { "latency", "bandwidth", "slicer", "limit_data", "timeout", "blackhole", "reset_peer", "refuse" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        struct plan_rule rule = rule_of(faults[i], "seen");
        struct armed *armed;
        struct chain chain;
        struct buf out;

        rule.selector.observe = 1;
        if (!strcmp(faults[i], "bandwidth"))
            rule.params.STREAM_bandwidth = (struct params_STREAM_bandwidth){ .rate = 10, .burst = 1 };
        armed = arm(NULL, 1, 0, &rule, 1);
        buf_init(&out, 4096);
        chain_init(&chain, pool, 99, 1);
        chain_adopt(&chain, armed, 1, true);
        push(&chain, TO_CLIENT, 1, "hello, this is long enough to be cut into slices by the slicer's default of 64 bytes", 80);
        chain_pump(&chain, TO_CLIENT, 1);
        take(&chain, TO_CLIENT, 1, &out, NULL);
        assert_int_equal(out.length, 80);
        assert_false(chain.reset || chain_open_stalled(&chain) || chain_stalled(&chain, TO_CLIENT));
        assert_int_equal(armed->rules[0].live->counts.fired, 1);
        assert_int_equal(armed->rules[0].acted.ns, 1);
        chain_done(&chain);
        armed_free(armed);
        buf_done(&out);
    }
}

/* ---- plans that change ------------------------------------------------------------------------------------------------ */

static void test_a_rule_carried_over_keeps_what_it_holds(void **state)
{
    struct plan_rule rules[2] = { rule_of("latency", "stays"), rule_of("slicer", "added") };
    struct armed *first, *second, *third;
    struct chain chain;

    (void)state;
    first = arm(NULL, 1, 0, rules, 1);
    chain_init(&chain, pool, 99, 1);
    chain_adopt(&chain, first, 0, true);
    push(&chain, TO_CLIENT, 0, "x", 1);
    chain_pump(&chain, TO_CLIENT, 0);
    second = arm(first, 2, 10 * MS, rules, 2);
    chain_adopt(&chain, second, 10 * MS, false);
    armed_free(first);
    chain_pump(&chain, TO_CLIENT, 99 * MS);
    assert_int_equal(chain.out[TO_CLIENT].count, 0);
    assert_int_equal(second->rules[0].live->held_bytes, 1);
    assert_int_equal(second->rules[0].live->counts.fired, 1);
    rules[0].selector.nth = 3; /* another rule now: what it held goes at once */
    third = arm(second, 3, 99 * MS, rules, 2);
    chain_adopt(&chain, third, 99 * MS, false);
    armed_free(second);
    chain_pump(&chain, TO_CLIENT, 99 * MS);
    assert_int_equal(chain.out[TO_CLIENT].count, 1);
    assert_int_equal(third->rules[0].live->counts.fired, 0);
    chain_done(&chain);
    armed_free(third);
}

static void test_released_timeout_closes_what_lost_bytes(void **state)
{
    struct plan_rule rule = rule_of("timeout", "t");
    struct armed *armed = arm(NULL, 1, 0, &rule, 1);
    struct chain chain;

    (void)state;
    chain_init(&chain, pool, 99, 1);
    chain_adopt(&chain, armed, 0, true);
    push(&chain, TO_CLIENT, 0, "x", 1);
    chain_pump(&chain, TO_CLIENT, 0);
    chain_adopt(&chain, NULL, 5, false);
    assert_int_equal(chain.out[TO_CLIENT].count, 1);
    assert_int_equal(chain.out[TO_CLIENT].bytes, 0);
    assert_true(chain.out[TO_CLIENT].first->flags & SEGMENT_CLOSE);
    assert_int_equal(chain.out[TO_UPSTREAM].count, 0);
    chain_done(&chain);
    armed_free(armed);
}

/* A close travels behind the bytes that a later stage still holds. */
static void test_a_close_keeps_its_place(void **state)
{
    struct plan_rule rules[2] = { rule_of("limit_data", "limit"), rule_of("latency", "slow") };
    struct armed *armed;
    struct chain chain;
    struct buf log;

    (void)state;
    rules[0].params.STREAM_limit_data.bytes = 3;
    rules[1].params.STREAM_latency.latency = 100;
    armed = arm(NULL, 1, 0, rules, 2);
    buf_init(&log, 4096);
    chain_init(&chain, pool, 99, 1);
    chain_adopt(&chain, armed, 0, true);
    push(&chain, TO_CLIENT, 7, "abcdef", 6);
    run(&chain, 7, 1000, NULL, &log);
    assert_string_equal(log.data, "107 dir=1 offset=0 size=3 flags=16\n107 dir=1 offset=0 size=0 flags=8\n");
    chain_done(&chain);
    armed_free(armed);
    buf_done(&log);
}

static void test_slices_bound_the_segments_that_wait(void **state)
{
    static char bytes[CHUNK_BYTES];
    struct plan_rule rule = rule_of("slicer", "s");
    struct armed *armed;
    struct chain chain;
    struct buf out;

    (void)state;
    rule.params.STREAM_slicer = (struct params_STREAM_slicer){ 0, 1, 0, 1000 };
    armed = arm(NULL, 1, 0, &rule, 1);
    buf_init(&out, 1 << 20);
    chain_init(&chain, pool, 99, 1);
    chain_adopt(&chain, armed, 0, true);
    push(&chain, TO_CLIENT, 0, bytes, sizeof(bytes));
    chain_pump(&chain, TO_CLIENT, 0);
    assert_true(chain.grips[0].stages[TO_CLIENT].held.count <= STAGE_HELD_MAX + RULINGS_MAX);
    run(&chain, 0, (uint64_t)sizeof(bytes) * 1000, &out, NULL);
    assert_int_equal(out.length, sizeof(bytes));
    chain_done(&chain);
    armed_free(armed);
    buf_done(&out);
}

/* ---- replacement, by a fault of the test's own -------------------------------------------------------------------------- */

static void answer_other_way(const struct stream_view *view, const struct range *range, struct rulings *rulings)
{
    int *asked = view->other; /* the other direction sees what this one did */

    ++*asked;
    rulings->list[rulings->count++] = (struct ruling){
        .kind = RULING_REPLACE, .direction = DIRECTION_TO_CLIENT, .size = 4, .bytes = "-ERR", .bytes_size = 4
    };
    if (range->size > 4)
        rulings->list[rulings->count++] = (struct ruling){
            .kind = RULING_REPLACE, .size = range->size - 4, .bytes = "~", .bytes_size = 1
        };
}

static void test_a_ruling_can_replace_and_answer_the_other_way(void **state)
{
    static const struct stream_ops ops = { .state_size = sizeof(int), .on_bytes = answer_other_way };
    const struct stream_ops *registry[FAULT_COUNT] = { [FAULT_STREAM_latency] = &ops };
    struct plan_rule rule = rule_of("latency", "r");
    struct armed *armed;
    struct chain chain;
    struct buf up, down;

    (void)state;
    rule.selector.direction = DIRECTION_TO_UPSTREAM;
    armed = arm_with(registry, NULL, 1, 0, &rule, 1);
    buf_init(&up, 64);
    buf_init(&down, 64);
    chain_init(&chain, pool, 99, 1);
    chain_adopt(&chain, armed, 0, true);
    push(&chain, TO_UPSTREAM, 0, "PINGREST", 8);
    chain_pump(&chain, TO_UPSTREAM, 0);
    take(&chain, TO_UPSTREAM, 0, &up, NULL);
    take(&chain, TO_CLIENT, 0, &down, NULL);
    assert_string_equal(up.data, "~");
    assert_string_equal(down.data, "-ERR");
    assert_int_equal(*(int *)chain.grips[0].stages[TO_CLIENT].state, 1);
    chain_done(&chain);
    armed_free(armed);
    buf_done(&up);
    buf_done(&down);
}

/* ---- the lease -------------------------------------------------------------------------------------------------------- */

static void test_the_lease_ends_once_and_for_all(void **state)
{
    struct plan_rule rule = rule_of("latency", "l");
    struct armed *armed = arm(NULL, 1, 0, &rule, 1);

    (void)state;
    assert_int_equal(armed_renew(armed, 0, 100), 0);
    assert_true(armed_is_live(armed, 99));
    assert_int_equal(armed_renew(armed, 99, 100), 0);
    assert_true(armed_is_live(armed, 198));
    assert_int_equal(armed_renew(armed, 199, 100), -ESTALE);
    assert_false(armed_is_live(armed, 199));
    assert_false(armed_is_live(armed, 5));
    assert_int_equal(armed_renew(armed, 5, 100), -ESTALE);
    assert_int_equal(armed->expired_ns, 199);
    armed_free(armed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_conserved_in_order),
        cmocka_unit_test(test_the_same_seed_gives_the_same_log),
        cmocka_unit_test(test_another_fault_changes_no_draw),
        cmocka_unit_test(test_ordinals_and_budgets_count_connections),
        cmocka_unit_test(test_predicates),
        cmocka_unit_test(test_windows_open_close_and_ramp),
        cmocka_unit_test(test_observe_counts_and_passes),
        cmocka_unit_test(test_a_rule_carried_over_keeps_what_it_holds),
        cmocka_unit_test(test_released_timeout_closes_what_lost_bytes),
        cmocka_unit_test(test_a_close_keeps_its_place),
        cmocka_unit_test(test_slices_bound_the_segments_that_wait),
        cmocka_unit_test(test_a_ruling_can_replace_and_answer_the_other_way),
        cmocka_unit_test(test_the_lease_ends_once_and_for_all),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_pool, drop_pool);
}
