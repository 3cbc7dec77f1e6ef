/* call.clock from the victim's side: what it is shown beside what is true, how long it really waits, and that its monotonic clock
 * never runs backwards. Time is asserted as a ratio of what the victim measured by system call. */
#include "tests/component/shim.h"


#include <inttypes.h>

enum { READINGS = 5, WAIT_READINGS = 3 };

struct clocks {
    uint64_t true_mono, true_real, mono, real, boot, day, time;
};

struct waited {
    uint64_t true_ns, shown_ns;
    int result;
};

static void say(struct victim *victim, const char *line)
{
    assert_int_equal(write(victim->in, line, strlen(line)), (ssize_t)strlen(line));
}

static struct clocks read_clocks(struct victim *victim)
{
    struct clocks clocks;
    char text[256];

    say(victim, "read\n");
    victim_hear(victim, "\n", text, sizeof(text));
    assert_int_equal(sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &clocks.true_mono,
                            &clocks.true_real, &clocks.mono, &clocks.real, &clocks.boot, &clocks.day, &clocks.time),
                     7);
    return clocks;
}

static void begin_wait(struct victim *victim, const char *kind, int ms)
{
    char line[64];

    snprintf(line, sizeof(line), "wait %s %d\n", kind, ms);
    say(victim, line);
}

static struct waited end_wait(struct victim *victim)
{
    struct waited waited;
    char text[256];

    victim_hear(victim, "\n", text, sizeof(text));
    assert_int_equal(sscanf(text, "waited %" SCNu64 " %" SCNu64 " %d", &waited.true_ns, &waited.shown_ns, &waited.result), 3);
    return waited;
}

static struct waited wait_for(struct victim *victim, const char *kind, int ms)
{
    begin_wait(victim, kind, ms);
    return end_wait(victim);
}

/* Within a second: what a loaded machine may put between two readings. */
static bool about(uint64_t a, uint64_t b)
{
    return a > b ? a - b < NS_PER_S : b - a < NS_PER_S;
}

static void offset_moves_the_wall_clock(void **state)
{
    struct bench *bench = *state;
    struct victim victim = victim_start(bench, "victim_time");
    struct clocks clocks = read_clocks(&victim);

    assert_true(about(clocks.real, clocks.true_real) && about(clocks.mono, clocks.true_mono));
    bench_arm(bench, 1, "clock:1h");
    (void)wait_for(&victim, "nanosleep", 20); /* time() goes by the kernel's last tick, which was before */
    clocks = read_clocks(&victim);
    assert_true(about(clocks.real, clocks.true_real + 3600 * NS_PER_S));
    assert_true(about(clocks.day, clocks.real) && about(clocks.time + NS_PER_S / 2, clocks.real));
    assert_true(about(clocks.mono, clocks.true_mono)); /* not its own to move */
    assert_int_equal(bench_status(bench, 0).counts.fired, READINGS - 2);
    assert_int_equal(bench_status(bench, 0).counts.matched, READINGS - 2);
    assert_true(bench_status(bench, 0).counts.first_ns >= clocks.true_mono);
    bench_arm(bench, 1, "clock:-400d,name=back");
    clocks = read_clocks(&victim);
    assert_true(about(clocks.real + 400 * 86400 * NS_PER_S, clocks.true_real));
    assert_int_equal(page_release(bench->page), 0);
    clocks = read_clocks(&victim);
    assert_true(about(clocks.real, clocks.true_real) && about(clocks.mono, clocks.true_mono));
    assert_int_equal(bench_status(bench, 0).counts.fired, READINGS - 2); /* nothing is counted that is true */
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
}

static void monotonic_goes_forward_and_keeps_its_lead(void **state)
{
    struct bench *bench = *state;
    struct victim victim = victim_start(bench, "victim_time");
    struct clocks clocks;

    bench_arm(bench, 1, "clock:-1h,clock=monotonic"); /* it does not go back */
    (void)wait_for(&victim, "nanosleep", 5);
    clocks = read_clocks(&victim);
    assert_true(about(clocks.mono, clocks.true_mono) && about(clocks.real, clocks.true_real));
    bench_arm(bench, 1, "clock:1h,clock=monotonic");
    (void)wait_for(&victim, "nanosleep", 5); /* a change begins within a millisecond */
    clocks = read_clocks(&victim);
    assert_true(about(clocks.mono, clocks.true_mono + 3600 * NS_PER_S) && about(clocks.real, clocks.true_real));
    assert_true(clocks.boot >= clocks.mono); /* its relative moves with it */
    bench_arm(bench, 1, "clock:1h,clock=monotonic", "fail@write:EIO,fd=99"); /* another plan with the same rule: no second jump */
    (void)wait_for(&victim, "nanosleep", 5);
    clocks = read_clocks(&victim);
    assert_true(about(clocks.mono, clocks.true_mono + 3600 * NS_PER_S));
    assert_int_equal(page_release(bench->page), 0);
    (void)wait_for(&victim, "nanosleep", 5);
    clocks = read_clocks(&victim);
    assert_true(about(clocks.mono, clocks.true_mono + 3600 * NS_PER_S)); /* for good, at the true rate */
    assert_true(wait_for(&victim, "sleep_until_mono", 100).true_ns >= 100 * NS_PER_MS);
    assert_true(wait_for(&victim, "rwlock", 100).true_ns >= 100 * NS_PER_MS);
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
}

/* A rate of 8: what is shown as 800 ms really takes 100; of 0.25: 40 ms take 160. Timers of the kernel go by the true rate. */
static void every_wait_keeps_to_the_rate(void **state)
{
    static const char *const kinds[] = { "nanosleep", "sleep_until_real", "sleep_until_mono", "usleep",   "poll", "ppoll",    "select", "pselect",
                                         "epoll",     "cond_real",        "cond_mono",        "cond_clock", "sem",  "sem_mono", "mutex",  "rwlock" };
    struct bench *bench = *state;
    struct victim victim = victim_start(bench, "victim_time");
    uint64_t waits = 0;

    bench_arm(bench, 1, "clock:rate=8,clock=both,name=fast");
    (void)wait_for(&victim, "nanosleep", 10);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct waited waited = wait_for(&victim, kinds[i], 800);

        if (waited.result || waited.shown_ns < 799 * NS_PER_MS || waited.true_ns < 99 * NS_PER_MS || waited.true_ns > 600 * NS_PER_MS)
            fail_msg("%s: %d, shown %" PRIu64 " ns, true %" PRIu64 " ns", kinds[i], waited.result, waited.shown_ns, waited.true_ns);
        assert_true((double)waited.shown_ns / (double)waited.true_ns > 7.8 && (double)waited.shown_ns / (double)waited.true_ns < 8.2);
        waits++;
    }
    assert_true(bench_status(bench, 0).counts.fired >= (waits + 1) * (WAIT_READINGS + 1)); /* a condition may be waited for anew */
    bench_arm(bench, 1, "clock:rate=0.25,clock=both,name=slow");
    (void)wait_for(&victim, "nanosleep", 10);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct waited waited = wait_for(&victim, kinds[i], 40);

        if (waited.result || waited.shown_ns < 39 * NS_PER_MS || waited.true_ns < 159 * NS_PER_MS)
            fail_msg("%s: %d, shown %" PRIu64 " ns, true %" PRIu64 " ns", kinds[i], waited.result, waited.shown_ns, waited.true_ns);
    }
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
}

/* Instants of a clock that is an hour ahead: they come when it shows them, neither at once nor in an hour. */
static void deadlines_are_of_the_clock_that_is_shown(void **state)
{
    static const char *const kinds[] = { "sleep_until_real", "cond_real", "sem", "mutex", "timerfd" };
    static const char *const lines[] = { "clock:1h,name=ahead", "clock:-1h,name=behind" };
    struct bench *bench = *state;
    struct victim victim = victim_start(bench, "victim_time");

    for (size_t line = 0; line < ARRAY_SIZE(lines); line++) {
        bench_arm(bench, 1, lines[line]);
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
            struct waited waited = wait_for(&victim, kinds[i], 50);

            if (waited.result || waited.true_ns < 49 * NS_PER_MS || waited.true_ns > 5 * NS_PER_S)
                fail_msg("%s: %d, true %" PRIu64 " ns", kinds[i], waited.result, waited.true_ns);
        }
    }
    assert_int_equal(bench_status(bench, 0).counts.matched, ARRAY_SIZE(kinds) * (WAIT_READINGS + 1));
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
}

/* The clock stands still, so the wait would last for ever: its end is the fault's. */
static void a_frozen_wait_ends_with_the_fault(void **state)
{
    static const char *const kinds[] = { "nanosleep", "poll", "epoll", "cond_mono", "sem", "mutex", "sleep_until_real" };
    struct bench *bench = *state;
    struct victim victim = victim_start(bench, "victim_time");
    struct waited waited;

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct clocks before, after;
        uint64_t fired;

        bench_arm(bench, 1, "clock:freeze=true,clock=both");
        (void)read_clocks(&victim);
        do /* it stands still within a millisecond */
            before = read_clocks(&victim), after = read_clocks(&victim);
        while (after.mono != before.mono || after.real != before.real);
        assert_true(after.true_mono > before.true_mono);
        fired = bench_status(bench, 0).counts.fired;
        begin_wait(&victim, kinds[i], 1);
        while (bench_status(bench, 0).counts.fired < fired + WAIT_READINGS) /* it waits: its readings before are done */
            sched_yield();
        assert_int_equal(page_release(bench->page), 0);
        waited = end_wait(&victim);
        assert_int_equal(waited.result, 0);
        after = read_clocks(&victim);
        assert_true(after.mono >= before.mono && about(after.mono, after.true_mono) && about(after.real, after.true_real));
    }
    bench_arm_for(bench, 1, 400 * NS_PER_MS, (const char *const[]){ "clock:freeze=true,clock=both", NULL });
    waited = wait_for(&victim, "nanosleep", 1); /* the lease ends it */
    assert_int_equal(waited.result, 0);
    assert_true(waited.true_ns < (uint64_t)deadline_ms() * NS_PER_MS / 2);
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
}

static void a_jump_comes_at_its_time(void **state)
{
    struct bench *bench = *state;
    struct victim victim = victim_start(bench, "victim_time");
    struct clocks clocks;
    uint64_t armed_ns, steps = 0;

    bench_arm(bench, 1, "clock:1d,from=200ms,until=400ms");
    armed_ns = clock_now_ns();
    do { /* true, then a day ahead, then true again */
        bool ahead;

        clocks = read_clocks(&victim);
        ahead = !about(clocks.real, clocks.true_real);
        if (ahead)
            assert_true(about(clocks.real, clocks.true_real + 86400 * NS_PER_S));
        if (clocks.true_mono + NS_PER_MS < armed_ns + 150 * NS_PER_MS)
            assert_false(ahead);
        if (clocks.true_mono > armed_ns + 450 * NS_PER_MS)
            assert_false(ahead);
        steps += ahead;
    } while (clocks.true_mono < armed_ns + 600 * NS_PER_MS);
    assert_int_equal(bench_status(bench, 0).counts.fired > 0, steps > 0);
    bench_arm(bench, 1, "clock:1h,observe=true");
    clocks = read_clocks(&victim);
    assert_true(about(clocks.real, clocks.true_real));
    assert_int_equal(bench_status(bench, 0).counts.fired, READINGS - 2);
    bench_arm(bench, 1, "clock:1h,name=a", "clock:2h,name=b"); /* the first of the plan */
    clocks = read_clocks(&victim);
    assert_true(about(clocks.real, clocks.true_real + 3600 * NS_PER_S));
    assert_int_equal(bench_status(bench, 0).counts.fired, READINGS - 2);
    assert_int_equal(bench_status(bench, 1).counts.fired, 0);
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
}

/* Threads that read all the time while the clock is made fast, slow, frozen, moved and let go: never backwards, every one counted. */
static void never_backwards(void **state)
{
    static const char *const lines[] = { "clock:rate=0,clock=monotonic",    "clock:rate=3,clock=both",  "clock:10s,clock=monotonic",
                                         "clock:-10s,clock=monotonic",      "clock:rate=0.1,clock=both", "clock:5s,rate=0.5,clock=both",
                                         "clock:rate=2,clock=monotonic,until=2ms" };
    struct bench *bench = *state;
    struct victim victim = victim_start(bench, "victim_time");
    unsigned long long readings, backwards;
    uint64_t seen = 0;
    char text[256];

    say(&victim, "watch 3\n");
    victim_hear(&victim, "watching", text, sizeof(text));
    for (int round = 0; round < 6; round++)
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
            bench_arm(bench, 1, lines[i]);
            while (bench_status(bench, 0).counts.fired < 2000 && i + 1 < ARRAY_SIZE(lines))
                sched_yield();
            while (i + 1 == ARRAY_SIZE(lines) && clock_now_ns() < bench_status(bench, 0).counts.first_ns + 4 * NS_PER_MS)
                sched_yield();
            if ((round + (int)i) % 2)
                assert_int_equal(page_release(bench->page), 0);
            seen += bench_status(bench, 0).counts.fired;
        }
    say(&victim, "rest\n");
    victim_hear(&victim, "\n", text, sizeof(text));
    assert_int_equal(sscanf(text, "watched %llu %llu", &readings, &backwards), 2);
    assert_int_equal(backwards, 0);
    assert_true(readings >= seen && seen >= 6 * 2000 * (ARRAY_SIZE(lines) - 1));
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(offset_moves_the_wall_clock),
        CASE(monotonic_goes_forward_and_keeps_its_lead),
        CASE(every_wait_keeps_to_the_rate),
        CASE(deadlines_are_of_the_clock_that_is_shown),
        CASE(a_frozen_wait_ends_with_the_fault),
        CASE(a_jump_comes_at_its_time),
        CASE(never_backwards),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (skipped_whole())
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
