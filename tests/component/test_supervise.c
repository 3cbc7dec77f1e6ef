/* Call faults under the supervisor, on static programs: the victim saw each, counts and events of the page say so, and the count is
 * the one that the victim worked out by itself (tests/fixtures/victim_calls.c, the same as under the shim). */
#include "tests/component/supervised.h"

#include <inttypes.h>

struct oracle {
    unsigned long long calls, hits;
};

static struct oracle judge(struct bench *bench, struct supervised victim)
{
    struct page_event events[4];
    struct rule_status status;
    struct oracle oracle;
    char text[256];

    assert_int_equal(supervised_end(&victim, text, sizeof(text)), 0);
    if (sscanf(text, "calls=%llu hits=%llu", &oracle.calls, &oracle.hits) != 2)
        fail_msg("the victim said '%s'", text);
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
    return oracle;
}

static void expect_untouched(struct bench *bench, struct supervised victim)
{
    assert_int_equal(supervised_end(&victim, NULL, 0), 0);
    assert_int_equal(bench_status(bench, 0).counts.matched, 0);
}

static void fail_by_selectors(void **state)
{
    struct bench *bench = *state;

    bench_arm(bench, 1, "fail@write:ENOSPC,path=/dev/null,nth=3,name=x");
    assert_int_equal(judge(bench, supervised_start(bench, "victim_calls", "fail", "nth=3", "value=28")).hits, 33);
    bench_arm(bench, 1, "fail@write:EIO,fd=3,first=10,last=19,nth=2,name=x");
    assert_int_equal(judge(bench, supervised_start(bench, "victim_calls", "fail", "first=10", "last=19", "nth=2", "value=5")).hits, 5);
    bench_arm(bench, 1, "fail@write:EIO,path=/dev/null,size=8,thread=victim_*,budget=7,name=x");
    assert_int_equal(judge(bench, supervised_start(bench, "victim_calls", "fail", "budget=7", "value=5")).hits, 7);
    bench_arm(bench, 4711, "fail@write:EIO,path=/dev/null,probability=10%,name=mine");
    judge(bench, supervised_start(bench, "victim_calls", "fail", "seed=4711", "name=mine", "ppm=100000", "calls=5000", "value=5"));
}

static void selectors_that_do_not_match(void **state)
{
    struct bench *bench = *state;

    bench_arm(bench, 1, "fail@write:EIO,path=/dev/zero");
    expect_untouched(bench, supervised_start(bench, "victim_calls", "fail", "ppm=0"));
    bench_arm(bench, 1, "fail@write:EIO,caller=victim_calls"); /* unknown from outside: never hit */
    expect_untouched(bench, supervised_start(bench, "victim_calls", "fail", "ppm=0"));
    bench_arm(bench, 1, "fail@close:EIO,fd=3"); /* it could not close: never hit */
    expect_untouched(bench, supervised_start(bench, "victim_calls", "open", "ppm=0", "path=/etc/hostname"));
}

static void sockets_and_opens(void **state)
{
    struct bench *bench = *state;

    bench_arm(bench, 1, "fail@send:EIO,nth=2,name=x");
    judge(bench, supervised_start(bench, "victim_calls", "socket", "nth=2", "value=5"));
    bench_arm(bench, 1, "fail@open:EMFILE,path=/etc/host*,nth=4,name=x");
    judge(bench, supervised_start(bench, "victim_calls", "open", "nth=4", "path=/etc/hostname", "value=24"));
}

static void observe_counts_and_spares(void **state)
{
    struct bench *bench = *state;
    struct supervised victim;

    bench_arm(bench, 1, "fail@write:EIO,path=/dev/null,nth=2,observe=true,name=x");
    victim = supervised_start(bench, "victim_calls", "fail", "ppm=0", "value=5");
    assert_int_equal(supervised_end(&victim, NULL, 0), 0);
    assert_int_equal(bench_status(bench, 0).counts.fired, 50);
}

static void short_io(void **state)
{
    struct bench *bench = *state;

    bench_arm(bench, 1, "short_io@read:10,path=*victim_calls,nth=5,name=x");
    judge(bench, supervised_start(bench, "victim_calls", "short", "nth=5", "path=/proc/self/exe", "value=10"));
    bench_arm(bench, 1, "short_io@read:27,path=*victim_calls,nth=5,name=x");
    judge(bench, supervised_start(bench, "victim_calls", "vector", "nth=5", "path=/proc/self/exe", "value=27"));
}

/* The answer is not there yet when the call is intercepted: it is waited for, as the call would have. */
static void short_io_waits_as_the_call_does(void **state)
{
    struct bench *bench = *state;

    bench_arm(bench, 1, "short_io@recv:10,nth=3,name=x");
    judge(bench, supervised_start(bench, "victim_calls", "echo", "nth=3", "value=10", "calls=200"));
}

static void latency(void **state)
{
    bench_arm(*state, 1, "latency@write:40ms,path=/dev/null,nth=10,name=x");
    judge(*state, supervised_start(*state, "victim_calls", "latency", "nth=10", "value=40000000"));
}

static void thread_stall(void **state)
{
    struct bench *bench = *state;
    struct supervised victim;

    bench_arm(bench, 1, "thread_stall:60ms,path=/dev/null,name=x"); /* the writers' first calls; not what libc does at its start */
    victim = supervised_start(bench, "victim_calls", "latency", "budget=1", "threads=4", "calls=20", "value=60000000");
    assert_int_equal(supervised_end(&victim, NULL, 0), 0);
    assert_int_equal(bench_status(bench, 0).counts.fired, 5); /* main opens the file */
}

static void drop_connection(void **state)
{
    bench_arm(*state, 1, "drop_connection@send:EPIPE,peer=127.0.0.0/8,nth=3,name=x");
    judge(*state, supervised_start(*state, "victim_calls", "drop", "nth=3", "value=32"));
}

static void make_file(struct bench *bench, char *path, size_t size)
{
    int fd;

    snprintf(path, size, "path=%s/file", bench->folder);
    fd = open(path + 5, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void fake_success(void **state)
{
    struct bench *bench = *state;
    char path[256];

    make_file(bench, path, sizeof(path));
    bench_arm(bench, 1, "fake_success@write:path=*/file,nth=4,name=x");
    assert_int_equal(judge(bench, supervised_start(bench, "victim_calls", "lost", "nth=4", path)).hits, 25);
}

static void crash(void **state)
{
    struct bench *bench = *state;
    struct supervised victim;

    bench_arm(bench, 1, "crash@write:TERM,path=/dev/null,name=x");
    victim = supervised_start(bench, "victim_life", "sleeper");
    assert_int_equal(supervised_end(&victim, NULL, 0), 128 + SIGTERM);
    assert_int_equal(bench_status(bench, 0).counts.fired, 1);
    bench_arm(bench, 1, "crash@write:path=/dev/null,after=1,name=x"); /* and not one call earlier */
    victim = supervised_start(bench, "victim_life", "outlast");
    assert_int_equal(supervised_end(&victim, NULL, 0), 128 + SIGKILL);
    assert_int_equal(bench_status(bench, 0).counts.matched, 2);
}

/* Each thread has a stream of its own, by the order of creation, whoever comes first. */
static void threads_have_streams_of_their_own(void **state)
{
    struct bench *bench = *state;

    bench_arm(bench, 8, "fail@write:EIO,path=/dev/null,probability=30%,name=x");
    judge(bench, supervised_start(bench, "victim_calls", "fail", "seed=8", "ppm=300000", "threads=50", "calls=40", "value=5"));
}

static void children_have_streams_of_their_own(void **state)
{
    struct bench *bench = *state;
    struct supervised victim;

    bench_arm(bench, 9, "fail@write:EIO,path=/dev/null,probability=50%,name=x");
    victim = supervised_start(bench, "victim_life", "fork");
    assert_int_equal(supervised_end(&victim, NULL, 0), 0);
    assert_int_equal(bench_status(bench, 0).counts.matched, 50 * (1 + 2 + 4));
}

static void rules_add_up(void **state)
{
    struct bench *bench = *state;
    struct supervised victim;

    bench_arm(bench, 1, "fail@write:EIO,path=/dev/null,name=x", "fail@write:ENOSPC,path=/dev/null,name=y", "latency@write:1ms,path=/dev/null,name=z");
    victim = supervised_start(bench, "victim_calls", "fail", "value=5", "calls=10");
    assert_int_equal(supervised_end(&victim, NULL, 0), 0);
    assert_int_equal(bench_status(bench, 0).counts.fired, 10);
    assert_int_equal(bench_status(bench, 1).counts.skipped, 10);
    assert_int_equal(bench_status(bench, 2).counts.fired, 10);
}

/* ---- the new faults under the shim: the same rules, the same counts ----------------------------------------------------- */

static void fake_success_and_crash_in_the_shim(void **state)
{
    struct bench *bench = *state;
    struct victim victim;
    char path[256];

    if (VICTIMS_ARE_SANITISED)
        return;
    make_file(bench, path, sizeof(path));
    bench_arm(bench, 1, "fake_success@write:path=*/file,nth=4,name=x");
    victim = victim_start(bench, "victim_calls", "lost", "nth=4", path);
    assert_int_equal(victim_end(&victim, NULL, 0), 0);
    assert_int_equal(bench_status(bench, 0).counts.fired, 25);
    bench_arm(bench, 1, "crash@write:TERM,path=/dev/null,name=x");
    victim = victim_start(bench, "victim_life", "sleeper");
    assert_int_equal(victim_end(&victim, NULL, 0), 128 + SIGTERM);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(fail_by_selectors),
        CASE(selectors_that_do_not_match),
        CASE(sockets_and_opens),
        CASE(observe_counts_and_spares),
        CASE(short_io),
        CASE(short_io_waits_as_the_call_does),
        CASE(latency),
        CASE(drop_connection),
        CASE(thread_stall),
        CASE(fake_success),
        CASE(crash),
        CASE(threads_have_streams_of_their_own),
        CASE(children_have_streams_of_their_own),
        CASE(rules_add_up),
        CASE(fake_success_and_crash_in_the_shim),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
