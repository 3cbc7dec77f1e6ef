/* What probes read out of lines and answers, on lines as their programs document them; a file that is followed by name. */
#include "controller/probe/probe_priv.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- extractors ------------------------------------------------------------------------------------------------------------------ */

/* Feeds lines, separated by '\n', and expects exactly these numbers. */
static void expect_numbers(enum log_extract extract, const char *lines, const double *numbers, size_t count)
{
    struct extract_state state = { 0 };
    size_t found = 0;
    char line[512];

    while (*lines) {
        size_t length = strcspn(lines, "\n");
        double value;

        assert_true(length < sizeof(line));
        memcpy(line, lines, length);
        line[length] = '\0';
        if (extract_line(extract, &state, line, &value)) {
            assert_true(found < count);
            assert_true(fabs(value - numbers[found++]) < 1e-9 * fmax(1, fabs(value)));
        }
        lines += length + (lines[length] == '\n');
    }
    assert_int_equal(found, count);
}
#define EXPECT(extract, lines, ...) expect_numbers(extract, lines, (const double[]){ __VA_ARGS__ }, sizeof((const double[]){ __VA_ARGS__ }) / sizeof(double))

static void the_go_collector_is_read(void **state)
{
    static const char lines[] =
        "gc 1 @0.012s 2%: 0.015+0.98+0.025 ms clock, 0.12+0.21/0.85/0.32+0.20 ms cpu, 4->5->2 MB, 5 MB goal, 0 MB stacks, 0 MB globals, 8 P\n"
        "listening on :8080\n"
        "gc 2 @1.5s 12%: 0.5+1200+1.5 ms clock, 4.0+0.30/240/600+12 ms cpu, 800->900->700 MB, 820 MB goal, 8 P (forced)\n"
        "gc is a word here\n"
        "scvg: inuse: 7, idle: 56, sys: 63, released: 56, consumed: 7 (MB)\n";

    (void)state;
    EXPECT(EXTRACT_GCTRACE_PAUSE, lines, 0.00004, 0.002);
    EXPECT(EXTRACT_GCTRACE_LIVE, lines, 2.0 * 1048576, 700.0 * 1048576);
    EXPECT(EXTRACT_GCTRACE_CPU, lines, 0.02, 0.12);
}

static void the_go_scheduler_is_read(void **state)
{
    static const char brief[] =
        "SCHED 0ms: gomaxprocs=4 idleprocs=2 threads=5 spinningthreads=1 needspinning=0 idlethreads=0 runqueue=0 [1 0 0 0]\n"
        "SCHED 1004ms: gomaxprocs=4 idleprocs=0 threads=11 spinningthreads=0 needspinning=0 idlethreads=4 runqueue=3 [ 2 1 0 7 ] schedticks=[ 9 9 9 9 ]\n";
    static const char detail[] =
        "SCHED 0ms: gomaxprocs=2 idleprocs=1 threads=3 spinningthreads=1 needspinning=0 idlethreads=0 runqueue=1 gcwaiting=false nmidlelocked=0 stopwait=0 sysmonwait=false\n"
        "  P0: status=1 schedtick=2 syscalltick=0 m=0 runqsize=3 gfreecnt=0 timerslen=0\n"
        "  P1: status=0 schedtick=0 syscalltick=0 m=nil runqsize=2 gfreecnt=0 timerslen=0\n"
        "  M0: p=0 curg=1 mallocing=0 throwing=0 preemptoff= locks=1 dying=0 spinning=false blocked=false lockedg=1\n"
        "  G1: status=2(chan receive) m=0 lockedm=0\n"
        "  G2: status=4(force gc (idle)) m=nil lockedm=nil\n"
        "  G3: status=6() m=nil lockedm=nil\n"
        "SCHED 1000ms: gomaxprocs=2 idleprocs=0 threads=6 spinningthreads=0 needspinning=0 idlethreads=1 runqueue=0 gcwaiting=false nmidlelocked=0 stopwait=0 sysmonwait=false\n"
        "  P0: status=1 schedtick=2 syscalltick=0 m=0 runqsize=0 gfreecnt=0 timerslen=0\n"
        "  G1: status=1() m=0 lockedm=0\n"
        "SCHED 2000ms: gomaxprocs=2 idleprocs=0 threads=6 spinningthreads=0 needspinning=0 idlethreads=1 runqueue=0 gcwaiting=false\n";

    (void)state;
    EXPECT(EXTRACT_SCHEDTRACE_RUNQUEUE, brief, 1, 13);
    EXPECT(EXTRACT_SCHEDTRACE_THREADS, brief, 5, 11);
    EXPECT(EXTRACT_SCHEDTRACE_RUNQUEUE, detail, 6, 0);
    EXPECT(EXTRACT_SCHEDTRACE_TASKS, detail, 2, 1);
    EXPECT(EXTRACT_SCHEDTRACE_THREADS, detail, 3, 6, 6);
}

static void the_jvm_collectors_are_read(void **state)
{
    static const char lines[] =
        "[0.005s][info][gc] Using G1\n"
        "[0.123s][info][gc,start    ] GC(0) Pause Young (Normal) (G1 Evacuation Pause)\n"
        "[0.125s][info][gc,heap     ] GC(0) Eden regions: 3->0(2)\n"
        "[0.125s][info][gc,metaspace] GC(0) Metaspace: 100K(320K)->100K(320K) NonClass: 95K(192K)->95K(192K)\n"
        "[0.126s][info][gc          ] GC(0) Pause Young (Normal) (G1 Evacuation Pause) 24M->4M(254M) 3.150ms\n"
        "[0.300s][info][gc          ] GC(1) Concurrent Mark Cycle 5.100ms\n"
        "[2.000s][info][gc] GC(2) Pause Full (System.gc()) 1536K->512K(8M) 20.000ms\n"
        "[3.000s][info][gc,phases] GC(3) Pause Mark Start 0.010ms\n"
        "[3.100s][info][gc       ] GC(3) Garbage Collection (Warmup) 2G(10%)->1G(9%)\n"
        "[4.000s][info][safepoint] Total time for which application threads were stopped: 0.1 seconds\n";

    (void)state;
    EXPECT(EXTRACT_JVM_PAUSE, lines, 0.00315, 0.02, 0.00001);
    EXPECT(EXTRACT_JVM_AFTER, lines, 4.0 * 1048576, 512.0 * 1024, 1073741824.0);
}

static void redis_logs_are_read(void **state)
{
    static const char lines[] =
        "77:M 01 Jan 2024 10:00:00.000 * Background saving started by pid 99\n"
        "99:C 01 Jan 2024 10:00:00.100 * DB saved on disk\n"
        "99:C 01 Jan 2024 10:00:00.100 * Fork CoW for RDB: current 1 MB, peak 3 MB, average 2 MB\n"
        "77:M 01 Jan 2024 10:00:01.000 * Asynchronous AOF fsync is taking too long (disk is busy?). Writing the AOF buffer without waiting for fsync to complete, this may slow down Redis.\n"
        "77:S 01 Jan 2024 10:00:02.000 # Connection with master lost.\n"
        "77:M 01 Jan 2024 10:00:03.000 # Connection with replica 127.0.0.1:6380 lost.\n";

    (void)state;
    EXPECT(EXTRACT_REDIS_COW, lines, 3.0 * 1048576);
    EXPECT(EXTRACT_REDIS_AOF_DELAYS, lines, 1);
    EXPECT(EXTRACT_REDIS_SYNC_LOSSES, lines, 1, 2);
    EXPECT(EXTRACT_REDIS_COW, "9:C 01 Jan 2022 10:00:00.100 * RDB: 4 MB of memory used by copy-on-write\n", 4.0 * 1048576);
}

/* ---- patterns -------------------------------------------------------------------------------------------------------------------- */

static void a_pattern_finds_its_number(void **state)
{
    static const struct {
        const char *pattern, *text;
        int result;
        double value;
    } cases[] = {
        { "lag=([0-9.]+)", "a lag=2.5 b lag=9", 0, 2.5 },
        { "^load (-?\\S+)$", "x\nload -3e2\ny", 0, -300 },
        { "ERROR", "an ERROR", 0, 1 },
        { "ERROR", "all is well", -ENOENT, 0 },
        { "lag=(\\w+)", "lag=many", -EDOM, 0 },
        { "lag=(\\d*)", "lag=", -EDOM, 0 },
        { "(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", -E2BIG, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pattern *pattern = NULL;
        struct errs errs = { 0 };
        double value = 0;

        assert_int_equal(pattern_new(cases[i].pattern, "here", &errs, &pattern), 0);
        assert_int_equal(pattern_number(pattern, cases[i].text, strlen(cases[i].text), &value), cases[i].result);
        assert_true(fabs(value - cases[i].value) < 1e-12);
        pattern_free(pattern);
    }
}

static void what_cannot_be_read_is_refused_by_the_check(void **state)
{
    struct probe probe = { .name = "p", .kind = PROBE_LOG, .log = { .path = "x", .pattern = "lag=(", .extract = ABSENT } };
    struct errs errs = { 0 };

    (void)state;
    assert_true(prober_check(&probe, "book.yaml:3:5", &errs) < 0);
    assert_int_equal(errs.count, 1);
    probe.log.pattern = "lag=(.*)";
    assert_int_equal(prober_check(&probe, "book.yaml:3:5", &errs), 0);
    probe = (struct probe){ .name = "p", .kind = PROBE_FILE, .file = { .path = "x", .pattern = "lag" } };
    assert_true(prober_check(&probe, "book.yaml:3:5", &errs) < 0);
    assert_int_equal(errs.count, 2);
}

/* ---- following ------------------------------------------------------------------------------------------------------------------- */

static char directory[] = "/tmp/perturb-tail-XXXXXX";

struct seen {
    char text[256];
};

static void see(void *context, const char *line, size_t length)
{
    struct seen *seen = context;

    assert_int_equal(strlen(line), length);
    snprintf(seen->text + strlen(seen->text), sizeof(seen->text) - strlen(seen->text), "%.40s|", line);
}

static void write_to(const char *path, int flags, const char *text)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | flags, 0600);

    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, text, strlen(text)), 0);
}

static void expect_lines(struct tail *tail, const char *path, const char *lines)
{
    struct seen seen = { "" };

    assert_int_equal(tail_read(tail, path, see, &seen), 0);
    assert_string_equal(seen.text, lines);
}

static void a_log_is_followed_through_rotation_and_truncation(void **state)
{
    char path[64], old[64];
    struct tail *tail = tail_new();

    (void)state;
    snprintf(path, sizeof(path), "%s/log", directory);
    snprintf(old, sizeof(old), "%s/log.1", directory);
    write_to(path, O_TRUNC, "before\nhalf");
    tail_begin(tail, path);
    expect_lines(tail, path, "");
    write_to(path, O_APPEND, " a line\none\ntw");
    expect_lines(tail, path, "one|");
    write_to(path, O_APPEND, "o\r\n");
    expect_lines(tail, path, "two|");
    write_to(path, O_APPEND, "last\nunended");
    assert_int_equal(rename(path, old), 0);
    expect_lines(tail, path, "last|"); /* no new file yet */
    write_to(path, O_TRUNC, "new\n");
    write_to(old, O_APPEND, " end\nlate\n");
    expect_lines(tail, path, "unended end|late|new|");
    write_to(path, O_TRUNC, "t\n");
    expect_lines(tail, path, "t|");
    tail_free(tail);
}

static void a_log_that_comes_later_is_read_from_its_start(void **state)
{
    char path[64], *long_line = malloc(3 * LOG_LINE_MAX);
    struct tail *tail = tail_new();
    struct seen seen = { "" };

    (void)state;
    snprintf(path, sizeof(path), "%s/later", directory);
    tail_begin(tail, path);
    assert_int_equal(tail_read(tail, path, see, &seen), -ENOENT);
    memset(long_line, 'x', 3 * LOG_LINE_MAX);
    memcpy(long_line + 3 * LOG_LINE_MAX - 5, "\nend\n", 5);
    long_line[40] = '!';
    {
        AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT, 0600);

        assert_int_equal(file_write_all(fd, long_line, 3 * LOG_LINE_MAX), 0);
    }
    expect_lines(tail, path, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx|end|");
    tail_free(tail);
    free(long_line);
}

/* ---- answers --------------------------------------------------------------------------------------------------------------------- */

static void an_alert_manager_answers_with_a_list(void **state)
{
    static const struct {
        const char *answer, *why;
        double value;
    } cases[] = {
        { "[]\n", NULL, 0 },
        { "[{\"labels\":{}},{\"labels\":{}}]", NULL, 2 },
        { "\"bad matcher format\"", "bad matcher format", 0 },
        { "{\"code\":602,\"message\":\"filter in query\"}", "filter in query", 0 },
        { "<html>", "no answer of an alert manager", 0 },
        { "", "no answer of an alert manager", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char why[96] = "";
        double value = 0;

        assert_int_equal(alertmanager_count(cases[i].answer, &value, why, sizeof(why)), cases[i].why ? -EIO : 0);
        assert_string_equal(why, cases[i].why ? cases[i].why : "");
        assert_true(fabs(value - cases[i].value) < 1e-12);
    }
}

static void a_prometheus_answers_one_number_or_none(void **state)
{
    static const struct {
        const char *answer, *why;
        double value;
    } cases[] = {
        { "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{\"a\":\"b\"},\"value\":[1435781451.781,\"1.25\"]}]}}", NULL, 1.25 },
        { "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1435781451.781,\"7\"]}}", NULL, 7 },
        { "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[]}}", "the query yields no series", 0 },
        { "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"value\":[1,\"NaN\"]}]}}", "the query yields NaN", 0 },
        { "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"+Inf\"]}}", "the query yields +Inf", 0 },
        { "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"\"]}}", "the answer holds no number", 0 },
        { "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"value\":[1,\"1\"]},{\"value\":[1,\"2\"]}]}}", "the query yields 2 series, not one", 0 },
        { "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[]}}", "the query yields a matrix, not an instant vector or a scalar", 0 },
        { "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"parse error\"}", "parse error", 0 },
        { "<html>", "no answer of a Prometheus", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char why[96] = "";
        double value = 0;

        assert_int_equal(prometheus_number(cases[i].answer, &value, why, sizeof(why)), cases[i].why ? -EIO : 0);
        assert_string_equal(why, cases[i].why ? cases[i].why : "");
        assert_true(fabs(value - cases[i].value) < 1e-12);
    }
}

static void fields_of_info_are_found(void **state)
{
    static const char info[] = "$200\r\n# Memory\r\nused_memory:1048576\r\nused_memory_human:1.00M\r\nmem_fragmentation_ratio:1.25\r\n"
                               "# Keyspace\r\ndb0:keys=12,expires=3,avg_ttl=0\r\ncmdstat_config.get:calls=4,usec=7\r\nused_cpu:3.5%\r\n";
    static const struct {
        const char *field;
        int result;
        double value;
    } cases[] = {
        { "used_memory", 0, 1048576 }, { "mem_fragmentation_ratio", 0, 1.25 }, { "db0.keys", 0, 12 }, { "db0.avg_ttl", 0, 0 },
        { "cmdstat_config.get.calls", 0, 4 }, { "used_cpu", 0, 3.5 }, { "used_memory_human", -EDOM, 0 }, { "db0", -EDOM, 0 },
        { "db0.none", -ENOENT, 0 }, { "memory", -ENOENT, 0 }, { "db0.calls", -ENOENT, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double value = 0;

        assert_int_equal(redis_info_number(info, cases[i].field, &value), cases[i].result);
        assert_true(fabs(value - cases[i].value) < 1e-12);
    }
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    static const char *const names[] = { "log", "log.1", "later" };
    char path[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        unlink(path);
    }
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_go_collector_is_read),
        cmocka_unit_test(the_go_scheduler_is_read),
        cmocka_unit_test(the_jvm_collectors_are_read),
        cmocka_unit_test(redis_logs_are_read),
        cmocka_unit_test(a_pattern_finds_its_number),
        cmocka_unit_test(what_cannot_be_read_is_refused_by_the_check),
        cmocka_unit_test(a_log_is_followed_through_rotation_and_truncation),
        cmocka_unit_test(a_log_that_comes_later_is_read_from_its_start),
        cmocka_unit_test(a_prometheus_answers_one_number_or_none),
        cmocka_unit_test(an_alert_manager_answers_with_a_list),
        cmocka_unit_test(fields_of_info_are_found),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
