/* Datagrams through several rules on virtual time, without a socket: what goes when, and that none is ever unaccounted for. */
#include "injector/datagram/flow.h"

#include "scenarios/base/cleanup.h"
#include "tests/unit/scenario_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SESSIONS = 6, STEPS = 4000, RUNS = 20, LOG_MAX = 64 };

struct bench {
    struct flow flow;
    struct datagram_counts counts[2];
    struct flow_session sessions[SESSIONS];
    bool open[SESSIONS];
    struct armed *armed;
    uint64_t emitted, hash, epoch;
    uint8_t log[LOG_MAX]; /* first byte of what was emitted */
    size_t log_count;
};

static void emitted(void *context, struct flow_session *session, int direction, uint8_t *bytes, uint32_t size, struct packet *packet)
{
    struct bench *bench = context;

    assert_true(!packet || (packet->bytes == bytes && packet->size == size && packet->direction == direction));
    bench->emitted++;
    bench->hash = rng_mix(bench->hash, rng_mix(session->sequence, size ? bytes[0] : 0) + size);
    if (bench->log_count < LOG_MAX && size)
        bench->log[bench->log_count++] = bytes[0];
    free(packet);
}

static void bench_init(struct bench *bench)
{
    memset(bench, 0, sizeof(*bench));
    bench->flow = (struct flow){ .held_cost_max = 200000, .session_cost_max = 100000, .counts = bench->counts, .emit = emitted, .context = bench };
    flow_init(&bench->flow, rng_hash("proxy"));
}

static void begin_session(struct bench *bench, size_t index)
{
    bench->sessions[index] = (struct flow_session){ .sequence = index + 1 };
    flow_begin(&bench->flow, &bench->sessions[index]);
    bench->open[index] = true;
}

static void adopt(struct bench *bench, const struct plan_rule *rules, uint32_t count, uint64_t now_ns)
{
    static const struct stream_ops *const no_streams[FAULT_COUNT];
    struct plan *plan = calloc(1, PLAN_SIZE(count + 1));
    struct armed *armed = NULL;

    assert_non_null(plan);
    *plan = (struct plan){ .magic = PLAN_MAGIC, .version = PLAN_VERSION, .rule_size = sizeof(struct plan_rule), .rule_count = count,
                           .epoch = ++bench->epoch, .seed = 5 };
    if (count) {
        memcpy(plan->rules, rules, count * sizeof(*rules));
        assert_int_equal(plan_check(plan, PLAN_SIZE(count)), 0);
        assert_int_equal(armed_new(plan, bench->armed, no_streams, now_ns, UINT64_MAX, -1, &armed), 0);
    }
    assert_int_equal(flow_adopt(&bench->flow, armed, now_ns), 0);
    armed_free(bench->armed);
    bench->armed = armed;
    free(plan);
}

static void bench_done(struct bench *bench, uint64_t now_ns)
{
    adopt(bench, NULL, 0, now_ns);
    assert_int_equal(bench->flow.heap_count, 0);
    assert_int_equal(bench->flow.held_cost, 0);
    assert_int_equal(bench->flow.held_bytes, 0);
    for (size_t i = 0; i < SESSIONS; i++)
        if (bench->open[i])
            flow_end(&bench->flow, &bench->sessions[i]);
    flow_done(&bench->flow);
}

static struct plan_rule rule_of(enum fault_id fault, const char *name)
{
    struct plan_rule rule;

    plan_rule_init(&rule, &fault_descs[fault], name);
    return rule;
}

static void push(struct bench *bench, size_t session, uint8_t first, uint32_t size, uint64_t now_ns)
{
    uint8_t bytes[4096] = { first };

    flow_push(&bench->flow, &bench->sessions[session], 0, bytes, size, now_ns);
}

/* ---- cases ------------------------------------------------------------------------------------------------------------ */

/* Delays add up from when it came, however late the loop looks. */
static void test_chained_holds_do_not_drift(void **state)
{
    struct plan_rule rules[2] = { rule_of(FAULT_DATAGRAM_latency, "a"), rule_of(FAULT_DATAGRAM_latency, "b") };
    struct bench bench;

    (void)state;
    bench_init(&bench);
    rules[0].params.DATAGRAM_latency.latency = 100;
    rules[1].params.DATAGRAM_latency.latency = 50;
    begin_session(&bench, 0);
    adopt(&bench, rules, 2, 0);
    push(&bench, 0, 'a', 10, 1000);
    assert_int_equal(flow_next_ns(&bench.flow), 1100);
    flow_run(&bench.flow, 1099);
    assert_int_equal(bench.emitted, 0);
    flow_run(&bench.flow, 1130); /* 30 late */
    assert_int_equal(flow_next_ns(&bench.flow), 1150);
    flow_run(&bench.flow, 1150);
    assert_int_equal(bench.emitted, 1);
    push(&bench, 0, 'b', 10, 2000);
    flow_run(&bench.flow, 9000); /* later than both */
    assert_int_equal(bench.emitted, 2);
    bench_done(&bench, 9000);
}

/* A latency beside a reorder delays alike those that overtake and those that do not. */
static void test_reorder_composes_with_latency(void **state)
{
    struct plan_rule rules[2] = { rule_of(FAULT_DATAGRAM_latency, "a"), rule_of(FAULT_DATAGRAM_reorder, "b") };
    struct bench bench;

    (void)state;
    bench_init(&bench);
    rules[0].params.DATAGRAM_latency.latency = 5000000;
    rules[1].params.DATAGRAM_reorder = (struct params_DATAGRAM_reorder){ .p = PPM, .gap = 3, .delay = 1000000 };
    begin_session(&bench, 0);
    adopt(&bench, rules, 2, 0);
    for (uint8_t i = 1; i <= 6; i++)
        push(&bench, 0, i, 10, i);
    flow_run(&bench.flow, 5000006);
    assert_memory_equal(bench.log, ((uint8_t[]){ 3, 6 }), 2);
    assert_int_equal(bench.emitted, 2);
    flow_run(&bench.flow, 6000006);
    assert_memory_equal(bench.log, ((uint8_t[]){ 3, 6, 1, 2, 4, 5 }), 6);
    bench_done(&bench, 7000000);
}

/* The end of a rule lets go in the order of coming, whatever the instants; a rule behind it that lives on rules on them. */
static void test_an_ended_rule_lets_go_in_order(void **state)
{
    struct plan_rule rules[2] = { rule_of(FAULT_DATAGRAM_latency, "a"), rule_of(FAULT_DATAGRAM_corrupt, "b") };
    struct bench bench;

    (void)state;
    bench_init(&bench);
    rules[0].params.DATAGRAM_latency.latency = 1000000;
    rules[0].params.DATAGRAM_latency.jitter = 900000;
    rules[1].params.DATAGRAM_corrupt.p = PPM;
    begin_session(&bench, 0);
    adopt(&bench, rules, 2, 0);
    for (uint8_t i = 1; i <= 40; i++)
        push(&bench, 0, i, 1000, 1);
    adopt(&bench, &rules[1], 1, 2);
    assert_int_equal(bench.emitted, 40);
    assert_int_equal(bench.armed->rules[0].live->counts.fired, 40);
    for (uint8_t i = 1; i <= 40; i++)
        assert_true(bench.log[i - 1] == i || __builtin_popcount(bench.log[i - 1] ^ i) == 1);
    bench_done(&bench, 3);
}

/* A bandwidth's queue is empty again once what waited has gone, be it by time or with its session. */
static void test_what_leaves_makes_room(void **state)
{
    struct plan_rule rule = rule_of(FAULT_DATAGRAM_bandwidth, "a");
    struct bench bench;

    (void)state;
    bench_init(&bench);
    rule.params.DATAGRAM_bandwidth.rate = 1000;
    rule.params.DATAGRAM_bandwidth.burst = 1;
    rule.params.DATAGRAM_bandwidth.limit = 3;
    begin_session(&bench, 0);
    begin_session(&bench, 1);
    adopt(&bench, &rule, 1, 0);
    for (uint8_t i = 1; i <= 5; i++)
        push(&bench, i % 2, i, 1000, 0);
    assert_int_equal(bench.counts[0].dropped, 2);
    flow_end(&bench.flow, &bench.sessions[1]); /* the first and the third */
    bench.open[1] = false;
    assert_int_equal(bench.counts[0].failed, 2);
    push(&bench, 0, 6, 1000, 0);
    push(&bench, 0, 7, 1000, 0);
    assert_int_equal(bench.counts[0].dropped, 2);
    push(&bench, 0, 8, 1000, 0);
    assert_int_equal(bench.counts[0].dropped, 3);
    flow_run(&bench.flow, UINT64_C(100000000000));
    assert_memory_equal(bench.log, ((uint8_t[]){ 2, 6, 7 }), 3);
    push(&bench, 0, 9, 1000, UINT64_C(100000000000));
    assert_int_equal(bench.counts[0].dropped, 3);
    bench_done(&bench, UINT64_C(100000000000));
}

/* ---- nothing is unaccounted for --------------------------------------------------------------------------------------- */

static uint32_t random_rules(struct cases *cases, struct plan_rule *rules)
{
    static const enum fault_id faults[] = { FAULT_DATAGRAM_latency, FAULT_DATAGRAM_loss,    FAULT_DATAGRAM_duplicate, FAULT_DATAGRAM_reorder,
                                            FAULT_DATAGRAM_corrupt, FAULT_DATAGRAM_bandwidth };
    uint32_t count = 0;

    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        char name[16];

        if (cases_below(cases, 2))
            continue;
        snprintf(name, sizeof(name), "rule-%zu", i); /* the same name and values: it is carried over */
        rules[count] = rule_of(faults[i], name);
        if (faults[i] == FAULT_DATAGRAM_bandwidth) {
            rules[count].params.DATAGRAM_bandwidth.rate = 100000000;
            rules[count].params.DATAGRAM_bandwidth.limit = 20;
            rules[count].params.DATAGRAM_bandwidth.scope = 1;
        } else if (faults[i] == FAULT_DATAGRAM_latency) {
            rules[count].params.DATAGRAM_latency = (struct params_DATAGRAM_latency){ .latency = 300000, .jitter = 200000, .correlation = 300000 };
            rules[count].selector.until_ns = 50000000;
        } else if (faults[i] != FAULT_DATAGRAM_reorder) {
            rules[count].params.slot[fault_param(&fault_descs[faults[i]], "p")->slot] = 300000;
        }
        count++;
    }
    return count;
}

static void assert_accounts(const struct bench *bench)
{
    const struct datagram_counts *counts = bench->counts;
    uint64_t came = 0, gone = 0, passed = bench->emitted;

    for (int i = 0; i < 2; i++) {
        came += counts[i].came + counts[i].doubled;
        gone += counts[i].dropped + counts[i].no_room + counts[i].failed;
    }
    assert_int_equal(came, passed + gone + bench->flow.heap_count);
}

static void one_step(struct cases *cases, struct bench *bench, uint64_t *now_ns)
{
    size_t session = cases_below(cases, SESSIONS);
    struct plan_rule rules[8];
    uint8_t bytes[2048] = { 0 };
    uint64_t kind = cases_below(cases, 1000);

    *now_ns += cases_below(cases, 20000);
    if (kind < 5) {
        uint32_t count = random_rules(cases, rules);

        adopt(bench, rules, count, *now_ns);
    } else if (kind < 15 && bench->open[session]) {
        flow_end(&bench->flow, &bench->sessions[session]);
        bench->open[session] = false;
    } else if (kind < 60) {
        flow_consider(&bench->flow, *now_ns);
        flow_run(&bench->flow, *now_ns);
    } else {
        if (!bench->open[session])
            begin_session(bench, session);
        flow_touch(&bench->flow, &bench->sessions[session]);
        flow_push(&bench->flow, &bench->sessions[session], (int)cases_below(cases, 2), bytes, (uint32_t)cases_below(cases, sizeof(bytes)), *now_ns);
    }
    assert_accounts(bench);
}

static uint64_t run_random(struct cases *cases, struct bench *bench)
{
    uint64_t now_ns = 1;

    bench_init(bench);
    for (int i = 0; i < STEPS; i++)
        one_step(cases, bench, &now_ns);
    bench_done(bench, now_ns);
    assert_accounts(bench);
    assert_true(bench->counts[0].doubled && bench->counts[0].dropped && bench->counts[0].failed);
    return bench->hash;
}

/* And the same script gives the same datagrams. */
static void test_every_datagram_is_accounted_for(void **state)
{
    struct cases cases = cases_begin("flows");
    struct bench *bench = malloc(sizeof(*bench));

    assert_non_null(bench);
    (void)state;
    for (int i = 0; i < RUNS; i++) {
        struct cases same = cases;
        uint64_t hash = run_random(&cases, bench);

        assert_int_equal(run_random(&same, bench), hash);
    }
    free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chained_holds_do_not_drift),
        cmocka_unit_test(test_reorder_composes_with_latency),
        cmocka_unit_test(test_an_ended_rule_lets_go_in_order),
        cmocka_unit_test(test_what_leaves_makes_room),
        cmocka_unit_test(test_every_datagram_is_accounted_for),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
