/* Each call fault, three things each: the victim saw it, the page's counts and events say so, and the count is the one that the
 * victim worked out by itself (tests/fixtures/victim_calls.c). */
#include "tests/component/shim.h"

#include "scenarios/base/rng.h"

#include <inttypes.h>

struct oracle {
    unsigned long long calls, hits;
};

static struct oracle heard(const char *text)
{
    struct oracle oracle;

    if (sscanf(text, "calls=%llu hits=%llu", &oracle.calls, &oracle.hits) != 2)
        fail_msg("the victim said '%s'", text);
    return oracle;
}

/* Runs the victim to its end; its own judgement is its status. Compares its counts with the page's first rule. */
static struct oracle judge(struct bench *bench, struct victim victim)
{
    struct page_event events[4];
    struct rule_status status;
    struct oracle oracle;
    char text[256];

    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    oracle = heard(text);
    status = bench_status(bench, 0);
    assert_int_equal(status.counts.matched, oracle.calls);
    assert_int_equal(status.counts.fired, oracle.hits);
    assert_int_equal(status.in_flight, 0);
    if (oracle.hits) {
        assert_int_not_equal(page_events(bench->page, events, 4), 0);
        assert_string_equal(events[0].name, status.name);
        assert_int_equal(events[0].ns, status.counts.first_ns);
        assert_true(events[0].ns <= status.counts.last_ns && events[0].ns <= clock_now_ns());
    }
    assert_int_equal(page_events(bench->page, events, 4), 0); /* told once, or nothing to tell */
    return oracle;
}

static void fail_by_nth(void **state)
{
    bench_arm(*state, 1, "fail@write:ENOSPC,nth=3,name=x");
    assert_int_equal(judge(*state, victim_start(*state, "victim_calls", "fail", "nth=3", "value=28")).hits, 33);
}

static void fail_by_range(void **state)
{
    bench_arm(*state, 1, "fail@write:EIO,first=10,last=19,nth=2,name=x");
    assert_int_equal(judge(*state, victim_start(*state, "victim_calls", "fail", "first=10", "last=19", "nth=2", "value=5")).hits, 5);
}

static void fail_after(void **state)
{
    bench_arm(*state, 1, "fail@write:EIO,after=60,name=x");
    assert_int_equal(judge(*state, victim_start(*state, "victim_calls", "fail", "first=61", "value=5")).hits, 40);
}

static void fail_once_and_budget(void **state)
{
    struct bench *bench = *state;

    bench_arm(bench, 1, "fail@write:EIO,once=true,name=x");
    assert_int_equal(judge(bench, victim_start(bench, "victim_calls", "fail", "budget=1", "value=5")).hits, 1);
    assert_int_equal(bench_status(bench, 0).counts.skipped, 99);
    bench_arm(bench, 1, "fail@write:EIO,budget=7,name=x");
    assert_int_equal(judge(bench, victim_start(bench, "victim_calls", "fail", "budget=7", "value=5")).hits, 7);
    assert_int_equal(bench_status(bench, 0).counts.skipped, 93);
}

static void fail_by_probability(void **state)
{
    struct bench *bench = *state;
    struct oracle oracle;

    bench_arm(bench, 4711, "fail@write:EIO,probability=10%,name=mine");
    oracle = judge(bench, victim_start(bench, "victim_calls", "fail", "seed=4711", "name=mine", "ppm=100000", "calls=20000", "value=5"));
    assert_in_range(oracle.hits, 1800, 2200); /* mean 2000, sigma 42 */
}

/* Another rule before it changes neither its draws nor its counts. */
static void draws_are_its_own(void **state)
{
    struct bench *bench = *state;
    uint64_t alone;

    bench_arm(bench, 5, "fail@write:EIO,probability=10%,name=mine");
    alone = judge(bench, victim_start(bench, "victim_calls", "fail", "seed=5", "name=mine", "ppm=100000", "value=5")).hits;
    bench_arm(bench, 5, "fail@write:EIO,probability=10%,name=mine", "fail@write:EIO,probability=50%,observe=true,name=other");
    assert_int_equal(judge(bench, victim_start(bench, "victim_calls", "fail", "seed=5", "name=mine", "ppm=100000", "value=5")).hits, alone);
}

static void observe_counts_and_spares(void **state)
{
    struct bench *bench = *state;
    struct victim victim;
    char text[128];

    bench_arm(bench, 1, "fail@write:EIO,nth=2,observe=true,name=x");
    victim = victim_start(bench, "victim_calls", "fail", "ppm=0", "value=5");
    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    assert_int_equal(heard(text).hits, 0);
    assert_int_equal(bench_status(bench, 0).counts.fired, 50);
}

/* A rule that does not match leaves the calls alone and counts nothing. */
static void expect_untouched(struct bench *bench, struct victim victim)
{
    char text[128];

    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    assert_int_equal(heard(text).hits, 0);
    assert_int_equal(bench_status(bench, 0).counts.matched, 0);
    assert_int_equal(bench_status(bench, 0).counts.first_ns, 0);
}

static void fail_by_path(void **state)
{
    struct bench *bench = *state;

    bench_arm(bench, 1, "fail@write:EIO,path=/dev/nu*,nth=2,name=x");
    assert_int_equal(judge(bench, victim_start(bench, "victim_calls", "fail", "nth=2", "value=5")).hits, 50);
    bench_arm(bench, 1, "fail@write:EIO,path=/dev/zero,name=x");
    expect_untouched(bench, victim_start(bench, "victim_calls", "fail", "ppm=0"));
    bench_arm(bench, 1, "fail@write:EIO,path!=/dev/zero,name=x");
    judge(bench, victim_start(bench, "victim_calls", "fail", "value=5"));
}

static void fail_by_fd_size_thread_and_caller(void **state)
{
    struct bench *bench = *state;

    bench_arm(bench, 1, "fail@write:EIO,fd=3,size=8,thread=victim_*,caller=victim_calls,name=x");
    judge(bench, victim_start(bench, "victim_calls", "fail", "value=5"));
    bench_arm(bench, 1, "fail@write:EIO,size>=9,name=x");
    expect_untouched(bench, victim_start(bench, "victim_calls", "fail", "ppm=0"));
    bench_arm(bench, 1, "fail@write:EIO,fd=77,name=x");
    expect_untouched(bench, victim_start(bench, "victim_calls", "fail", "ppm=0"));
    bench_arm(bench, 1, "fail@write:EIO,caller=libc.so.6,name=x");
    expect_untouched(bench, victim_start(bench, "victim_calls", "fail", "ppm=0"));
    bench_arm(bench, 1, "fail@write:EIO,thread=nobody,name=x");
    expect_untouched(bench, victim_start(bench, "victim_calls", "fail", "ppm=0"));
}

/* write(2) is the point send too, on a socket and only there; a rule at both points counts the call once. */
static void writes_on_sockets_are_sends(void **state)
{
    struct bench *bench = *state;

    bench_arm(bench, 1, "fail@send:EIO,nth=2,name=x");
    judge(bench, victim_start(bench, "victim_calls", "socket", "nth=2", "value=5"));
    bench_arm(bench, 1, "fail@send:EIO,name=x");
    expect_untouched(bench, victim_start(bench, "victim_calls", "fail", "ppm=0"));
    bench_arm(bench, 1, "fail:EIO,nth=2,size=8,name=x"); /* everywhere */
    judge(bench, victim_start(bench, "victim_calls", "socket", "nth=2", "value=5"));
}

static void fail_open_by_path(void **state)
{
    struct bench *bench = *state;

    bench_arm(bench, 1, "fail@open:EMFILE,path=/etc/host*,nth=4,name=x");
    judge(bench, victim_start(bench, "victim_calls", "open", "nth=4", "path=/etc/hostname", "value=24"));
}

/* A window that has not begun yet: matched, not eligible. A ramp that has hardly begun: next to nothing fires. */
static void window_and_ramp(void **state)
{
    struct bench *bench = *state;
    struct victim victim;
    char text[128];

    bench_arm(bench, 1, "fail@write:EIO,from=1h,name=x");
    victim = victim_start(bench, "victim_calls", "fail", "ppm=0");
    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    assert_int_equal(bench_status(bench, 0).counts.matched, 100);
    assert_int_equal(bench_status(bench, 0).counts.eligible, 0);
    bench_arm(bench, 1, "fail@write:EIO,ramp=10h,name=x", "fail@write:EIO,until=1ns,name=y");
    victim = victim_start(bench, "victim_calls", "fail", "ppm=0", "calls=500");
    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    assert_int_equal(bench_status(bench, 0).counts.eligible, 500);
    assert_int_equal(bench_status(bench, 1).counts.matched, 500);
    assert_int_equal(bench_status(bench, 1).counts.eligible, 0);
}

static void alloc_fail(void **state)
{
    struct bench *bench = *state;

    bench_arm(bench, 3, "alloc_fail:20%,size>=1MiB,name=x");
    judge(bench, victim_start(bench, "victim_calls", "alloc", "seed=3", "ppm=200000", "calls=1000"));
    bench_arm(bench, 3, "alloc_fail:nth=3,size>=1MiB,name=x");
    judge(bench, victim_start(bench, "victim_calls", "alloc_family", "nth=3", "calls=240"));
}

static void short_io(void **state)
{
    struct bench *bench = *state;

    bench_arm(bench, 1, "short_io@read:10,path=/usr/bin/env,nth=5,name=x");
    judge(bench, victim_start(bench, "victim_calls", "short", "nth=5", "path=/usr/bin/env", "value=10"));
    bench_arm(bench, 1, "short_io@read:27,path=/usr/bin/env,nth=5,name=x");
    judge(bench, victim_start(bench, "victim_calls", "vector", "nth=5", "path=/usr/bin/env", "value=27"));
    bench_arm(bench, 1, "short_io@read:64,path=/usr/bin/env,name=x"); /* nothing to shorten: no match */
    expect_untouched(bench, victim_start(bench, "victim_calls", "short", "ppm=0", "path=/usr/bin/env"));
}

static void latency(void **state)
{
    bench_arm(*state, 1, "latency@write:40ms,nth=10,name=x");
    judge(*state, victim_start(*state, "victim_calls", "latency", "nth=10", "value=40000000"));
    /* the wave's first half hour adds its height */
    bench_arm(*state, 1, "latency@write:20ms,wave=square,amplitude=20ms,period=1h,nth=10,name=x");
    judge(*state, victim_start(*state, "victim_calls", "latency", "nth=10", "value=40000000"));
}

static void lock_stall(void **state)
{
    bench_arm(*state, 1, "lock_stall:40ms,nth=10,name=x");
    judge(*state, victim_start(*state, "victim_calls", "lock", "nth=10", "value=40000000"));
}

/* Each thread once, at the first call that it makes: four writers, and the main thread where it creates the first of them. */
static void thread_stall_once(void **state)
{
    struct bench *bench = *state;
    struct victim victim;
    char text[128];

    bench_arm(bench, 1, "thread_stall:60ms,name=x");
    victim = victim_start(bench, "victim_calls", "latency", "budget=1", "threads=4", "calls=20", "value=60000000");
    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    assert_int_equal(heard(text).hits, 4);
    assert_int_equal(bench_status(bench, 0).counts.matched, 5);
    assert_int_equal(bench_status(bench, 0).counts.fired, 5);
    bench_arm(bench, 1, "thread_stall:60ms,thread=nobody,name=x");
    expect_untouched(bench, victim_start(bench, "victim_calls", "fail", "ppm=0"));
}

/* Once a period: as many as the time it took has periods, and not fewer than half of them however busy the machine is. */
static void thread_stall_every_period(void **state)
{
    const uint64_t period_ns = 100 * NS_PER_MS, stall_ns = 30 * NS_PER_MS;
    struct bench *bench = *state;
    uint64_t begin_ns = clock_now_ns(), took_ns, fired;
    struct victim victim;

    bench_arm(bench, 1, "thread_stall:30ms,every=100ms,name=x");
    victim = victim_start(bench, "victim_calls", "fail", "ppm=0", "calls=1500000");
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
    took_ns = clock_now_ns() - begin_ns;
    fired = bench_status(bench, 0).counts.fired;
    assert_int_equal(bench_status(bench, 0).counts.matched, fired);
    assert_true(fired >= 2 && fired * stall_ns <= took_ns);
    assert_in_range(fired, took_ns / period_ns / 2, took_ns / period_ns + 1);
}

static void drop_connection(void **state)
{
    bench_arm(*state, 1, "drop_connection@send:nth=3,name=x");
    judge(*state, victim_start(*state, "victim_calls", "drop", "nth=3", "value=104"));
    bench_arm(*state, 1, "drop_connection@send:EPIPE,peer=127.0.0.0/8,name=x");
    judge(*state, victim_start(*state, "victim_calls", "drop", "value=32"));
    bench_arm(*state, 1, "drop_connection@send:peer=10.0.0.0/8,name=x");
    expect_untouched(*state, victim_start(*state, "victim_calls", "drop", "ppm=0"));
}

/* Each thread has a stream of its own, by the order of creation: what fails does not depend on how they interleave. */
static void thousands_of_threads(void **state)
{
    struct bench *bench = *state;

    bench_arm(bench, 8, "fail@write:EIO,probability=30%,name=x");
    judge(bench, victim_start(bench, "victim_calls", "fail", "seed=8", "ppm=300000", "threads=2000", "calls=20", "value=5"));
}

static void rules_add_up(void **state)
{
    struct bench *bench = *state;
    struct victim victim;
    char text[128];

    /* The first that ends the call wins; the second is told as skipped. A sleep comes before the end. */
    bench_arm(bench, 1, "fail@write:EIO,name=x", "fail@write:ENOSPC,name=y", "latency@write:1ms,name=z");
    victim = victim_start(bench, "victim_calls", "fail", "value=5", "calls=10");
    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    assert_int_equal(bench_status(bench, 0).counts.fired, 10);
    assert_int_equal(bench_status(bench, 1).counts.fired, 0);
    assert_int_equal(bench_status(bench, 1).counts.skipped, 10);
    assert_int_equal(bench_status(bench, 2).counts.fired, 10);
}

/* As many rules as there may be; only the last one matches. */
static void a_thousand_rules(void **state)
{
    static char lines[PLAN_RULES_MAX][64];
    const char *list[PLAN_RULES_MAX + 1];
    struct bench *bench = *state;
    struct victim victim;
    char text[128];

    for (int i = 0; i < PLAN_RULES_MAX; i++) {
        snprintf(lines[i], sizeof(lines[i]), "fail@write:EIO,%sname=r%d", i < PLAN_RULES_MAX - 1 ? "fd=999," : "nth=2,", i);
        list[i] = lines[i];
    }
    list[PLAN_RULES_MAX] = NULL;
    bench_arm_for(bench, 1, 60 * NS_PER_S, list);
    victim = victim_start(bench, "victim_calls", "fail", "nth=2", "value=5");
    assert_int_equal(victim_end(&victim, text, sizeof(text)), 0);
    assert_int_equal(heard(text).hits, 50);
    assert_int_equal(bench_status(bench, PLAN_RULES_MAX - 1).counts.fired, 50);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(fail_by_nth),         CASE(fail_by_range),
        CASE(fail_after),          CASE(fail_once_and_budget),
        CASE(fail_by_probability), CASE(draws_are_its_own),
        CASE(fail_by_path),        CASE(fail_by_fd_size_thread_and_caller),
        CASE(writes_on_sockets_are_sends), CASE(fail_open_by_path),   CASE(observe_counts_and_spares),
        CASE(window_and_ramp),     CASE(alloc_fail),
        CASE(short_io),            CASE(latency),
        CASE(lock_stall),          CASE(drop_connection),
        CASE(thread_stall_once),   CASE(thread_stall_every_period),
        CASE(rules_add_up),        CASE(thousands_of_threads),
        CASE(a_thousand_rules),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (skipped_whole())
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
