/* Fault points in a program's own code (shims/include/perturb.h): the victim works out which of its hits must fail, the page's counts
 * say the same; without the library and in a static program nothing happens; objects that come later and attached programs have
 * theirs; `ps` and `doctor` list them. Victims: tests/fixtures/victim_code.c, tests/fixtures/code.
 * time-limit: 120 */
#include "tests/component/command.h"
#include "tests/component/shim_cost.h"

enum { IDLE_POINTS = 4, IDLE_POINT_MAX = 4 };

static char said[256];

static void expect_end(struct victim victim, int status, const char *text)
{
    assert_int_equal(victim_end(&victim, said, sizeof(said)), status);
    assert_string_equal(said, text);
}

/* The victim's own judgement is its status. Compares its counts with the page's first rule. */
static void judge(struct bench *bench, struct victim victim, unsigned long long hits)
{
    unsigned long long calls = 0, seen = 0;
    struct rule_status status;

    assert_int_equal(victim_end(&victim, said, sizeof(said)), 0);
    assert_int_equal(sscanf(said, "calls=%llu hits=%llu", &calls, &seen), 2);
    status = bench_status(bench, 0);
    assert_int_equal(status.counts.matched, calls);
    assert_int_equal(status.counts.fired, seen);
    assert_int_equal(status.in_flight, 0);
    if (hits)
        assert_int_equal(seen, hits);
}

static void hits_fail_by_the_rule(void **state)
{
    struct bench *bench = *state;
    struct page_event event;

    bench_arm(bench, 1, "fail@code:EROFS,label=wal.*,nth=3,name=x");
    judge(bench, victim_start(bench, "victim_code", "error", "nth=3", "value=30"), 33);
    assert_int_equal(page_events(bench->page, &event, 1), 1);
    bench_arm(bench, 1, "fail:EROFS,label=wal.fsync,first=10,last=19,nth=2,name=x");
    judge(bench, victim_start(bench, "victim_code", "error", "first=10", "last=19", "nth=2", "value=30"), 5);
    bench_arm(bench, 1, "fail@code:EIO,label!=net.*,budget=7,name=x");
    judge(bench, victim_start(bench, "victim_code", "error", "budget=7", "value=5"), 7);
    assert_int_equal(bench_status(bench, 0).counts.skipped, 93);
    bench_arm(bench, 4711, "fail@code:EIO,label=wal.?sync,p=10%,name=mine", "fail@code:EIO,label=wal,name=other");
    judge(bench, victim_start(bench, "victim_code", "error", "seed=4711", "name=mine", "ppm=100000", "calls=5000", "value=5"), 0);
    assert_int_equal(bench_status(bench, 1).counts.matched, 0);
}

static void threads_draw_apart(void **state)
{
    struct bench *bench = *state;

    bench_arm(bench, 7, "fail@code:EIO,label=wal.fsync,p=20%,name=mine");
    judge(bench, victim_start(bench, "victim_code", "error", "seed=7", "name=mine", "ppm=200000", "calls=500", "threads=8", "value=5"), 0);
}

static void observing_only_counts(void **state)
{
    struct bench *bench = *state;

    bench_arm(bench, 1, "fail@code:EIO,label=wal.fsync,observe=true");
    expect_end(victim_start(bench, "victim_code", "error", "ppm=0"), 0, "calls=100 hits=0\n");
    assert_int_equal(bench_status(bench, 0).counts.fired, 100);
    bench_arm(bench, 1, "fail@code:EIO,label=other.*", "fail@write:ENOSPC,path=/nowhere");
    expect_end(victim_start(bench, "victim_code", "error", "ppm=0"), 0, "calls=100 hits=0\n");
    assert_int_equal(bench_status(bench, 0).counts.matched, 0);
}

static void latency_and_crash_act_where_no_errno_can(void **state)
{
    struct bench *bench = *state;

    bench_arm(bench, 1, "latency@code:60ms,label=wal.fsync");
    expect_end(victim_start(bench, "victim_code", "latency", "value=60"), 0, "calls=1 hits=1\n");
    assert_int_equal(bench_status(bench, 0).counts.fired, 1);
    bench_arm(bench, 1, "fail@code:EIO,label=wal.rotate"); /* nothing that it could change: no match */
    expect_end(victim_start(bench, "victim_code", "error", "ppm=0"), 0, "calls=100 hits=0\n");
    assert_int_equal(bench_status(bench, 0).counts.matched, 0);
    bench_arm(bench, 1, "crash@code:ABRT,label=wal.rotate");
    expect_end(victim_start(bench, "victim_code", "crash"), 128 + SIGABRT, "");
    assert_int_equal(bench_status(bench, 0).counts.fired, 1);
}

/* No library, the library without a page, a static program under it: all armed, nothing acts. */
static void nothing_happens_without(void **state)
{
    struct bench *bench = *state;
    char path[PATH_MAX + 64], plugin[PATH_MAX + 64], library[PATH_MAX + 64];
    char *bare[] = { path, (char[]){ "error" }, (char[]){ "ppm=0" }, NULL };
    char *loading[] = { path, (char[]){ "plugin" }, plugin, NULL };
    char *environment[] = { library, NULL };

    bench_arm(bench, 1, "fail@code:EIO");
    snprintf(path, sizeof(path), "%s/tests/fixtures/victim_code", bench->build);
    snprintf(plugin, sizeof(plugin), "path=%s/tests/libcode_plugin.so", bench->build);
    snprintf(library, sizeof(library), "LD_PRELOAD=%s", bench->library);
    expect_end(victim_start_with(bench, bare, environ), 0, "calls=100 hits=0\n");
    expect_end(victim_start_with(bench, bare, environment), 0, "calls=100 hits=0\n");
    expect_end(victim_start_with(bench, loading, environ), 0, "calls=1 hits=0\n");
    expect_end(victim_start(bench, "victim_code_static", "error", "ppm=0"), 0, "calls=100 hits=0\n");
    assert_int_equal(bench_status(bench, 0).counts.matched, 0);
}

static void objects_that_come_later_are_found(void **state)
{
    struct bench *bench = *state;
    char plugin[PATH_MAX + 64];

    snprintf(plugin, sizeof(plugin), "path=%s/tests/libcode_plugin.so", bench->build);
    bench_arm(bench, 1, "fail@code:EIO,label=plugin.work,caller=libcode_plugin.so");
    expect_end(victim_start(bench, "victim_code", "plugin", plugin, "value=5"), 0, "calls=1 hits=1\n");
    assert_int_equal(bench_status(bench, 0).counts.fired, 1);
}

static void templates_and_inline_functions_have_them(void **state)
{
    struct bench *bench = *state;
    char path[PATH_MAX + 64];

    snprintf(path, sizeof(path), "%s/tests/fixtures/victim_code_cpp", bench->build);
    if (access(path, X_OK) < 0) {
        print_message("skipped: no C++ compiler\n");
        skip();
    }
    bench_arm(bench, 1, "fail@code:EIO,label=cpp.*,nth=1,thread=victim_code_cpp");
    expect_end(victim_start(bench, "victim_code_cpp"), 0, "failed=28\n"); /* 3 * 5 + 1 of the thread + 3 * 4 */
    assert_int_equal(bench_status(bench, 0).counts.fired, 28);
    bench_arm(bench, 1, "latency@code:0ms,label=cpp.template.enter");
    expect_end(victim_start(bench, "victim_code_cpp"), 0, "failed=0\n");
    assert_int_equal(bench_status(bench, 0).counts.fired, 12);
}

static void ps_and_doctor_list_them(void **state)
{
    struct bench *bench = *state;
    struct victim victim = victim_start(bench, "victim_code", "serve");

    victim_hear(&victim, "ready\n", said, sizeof(said));
    bench_arm(bench, 1, "fail@code:EIO,label=nothing");
    assert_int_equal(write(victim.in, "w", 1), 1);
    victim_hear(&victim, "0000000000\n", said, sizeof(said));
    assert_int_equal(perturb(bench, "ps"), 0);
    expect_heard("point wal.fsync  tests/fixtures/victim_code.c:");
    expect_heard("  10 hits while armed");
    expect_heard("(takes no errno)  0 hits while armed");
    (void)victim_end(&victim, NULL, 0);
    assert_int_equal(perturb(bench, "doctor", fixture(bench, "victim_code")), 0);
    expect_heard("points in its own code: 5, which can act (@code)");
    expect_heard("point net.send  tests/fixtures/victim_code.c:");
    assert_int_equal(perturb(bench, "doctor", "--format", "json", fixture(bench, "victim_code")), 0);
    expect_heard("{\"name\":\"net.send\",\"file\":\"tests/fixtures/victim_code.c\",\"line\":");
    expect_heard("{\"fault\":\"fail\",\"point\":\"code\",\"preload\":null,\"seccomp\":\"a point in the program's own code makes no system call\"}");
    assert_int_equal(perturb(bench, "doctor", fixture(bench, "victim_code_static")), 0);
    expect_heard("which cannot act: it is linked statically");
}

static char *number(pid_t pid)
{
    static char text[16];

    snprintf(text, sizeof(text), "%d", (int)pid);
    return text;
}

static void ask(struct victim *victim, const char *order, const char *answer)
{
    assert_int_equal(write(victim->in, order, 1), 1);
    victim_hear(victim, "\n", said, sizeof(said));
    assert_string_equal(said, answer);
}

/* After an attach an object loaded later is found at the program's next dlsym, as its calls are. */
static void attach_ties_and_detach_unties(void **state)
{
    struct bench *bench = *state;
    char plugin[PATH_MAX + 64], before[64];
    char *argv[] = { (char[]){ "victim_code" }, (char[]){ "serve" }, plugin, NULL };
    struct victim victim;

    snprintf(plugin, sizeof(plugin), "path=%s/tests/libcode_plugin.so", bench->build);
    victim = victim_start_with(bench, argv, environ);
    victim_hear(&victim, "ready\n", before, sizeof(before));
    for (int round = 0; round < 2; round++) {
        assert_int_equal(perturb(bench, "attach", number(victim.pid)), 0);
        ask(&victim, "w", "0000000000\n");
        assert_int_equal(perturb(bench, "arm", number(victim.pid), "fail@code:EIO,label=wal.fsync,first=3,last=5",
                                 "fail@code:EIO,label=plugin.*,name=later", "--for", "60s"), 0);
        ask(&victim, "w", "0011100000\n");
        ask(&victim, "l", "done\n");
        ask(&victim, "a", "done\n");
        ask(&victim, "p", "1\n");
        assert_int_equal(perturb(bench, "disarm", number(victim.pid)), 0);
        expect_heard("        10          3          3          0");
        assert_int_equal(perturb(bench, "detach", number(victim.pid)), 0);
        ask(&victim, "w", "0000000000\n");
        ask(&victim, "p", "0\n");
    }
    (void)victim_end(&victim, NULL, 0);
}

static void idle_point_costs_four_instructions(void **state)
{
    struct bench *bench = *state;
    double off, absent, idle;

    if (access(valgrind_path, X_OK) < 0) {
        print_message("skipped: no %s\n", valgrind_path);
        skip();
    }
    off = cost_per_time(bench, "code_idle_off", "", "");
    absent = cost_per_time(bench, "code_idle", "", "");
    bench_arm(bench, 1, "fail@write:EIO"); /* another point is armed */
    idle = cost_per_time(bench, "code_idle", bench->library, page_path(bench->page));
    print_message("instructions a point: no library %.2f, idle %.2f\n", (absent - off) / IDLE_POINTS, (idle - off) / IDLE_POINTS);
    assert_true(absent > off);
    assert_true(absent - off <= IDLE_POINT_MAX * IDLE_POINTS);
    assert_true(idle - off <= IDLE_POINT_MAX * IDLE_POINTS);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(hits_fail_by_the_rule),
        CASE(threads_draw_apart),
        CASE(observing_only_counts),
        CASE(latency_and_crash_act_where_no_errno_can),
        CASE(nothing_happens_without),
        CASE(objects_that_come_later_are_found),
        CASE(templates_and_inline_functions_have_them),
        CASE(ps_and_doctor_list_them),
        CASE(attach_ties_and_detach_unties),
        CASE(idle_point_costs_four_instructions),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    signal(SIGPIPE, SIG_IGN);
    if (skipped_whole())
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
