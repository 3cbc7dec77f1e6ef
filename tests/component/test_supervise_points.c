/* The points of test_shim_points.c under the supervisor, on a static program: what the kernel is asked for there, by number. */
#include "tests/component/supervised.h"

enum { CALLS = 120, NTH = 3 };

static void judge(struct bench *bench, const char *kind, const char *point, const char *error, const char *number)
{
    const struct supervise_spec spec = { POINTS_FILE | POINTS_SOCKET | POINTS_NAMED, true, false, page_path(bench->page) };
    unsigned long long calls, hits;
    struct supervised victim;
    struct rule_status status;
    char line[96], text[256];

    snprintf(line, sizeof(line), "fail@%s:%s,nth=%d,thread=counted,name=x", point, error, NTH);
    bench_arm(bench, 1, line);
    victim = supervised_start_with(bench, &spec, (char *[]){ (char *)(uintptr_t)"victim_points", (char *)(uintptr_t)kind, (char *)(uintptr_t)number, (char *)(uintptr_t)"3", NULL });
    assert_int_equal(supervised_end(&victim, text, sizeof(text)), 0);
    assert_int_equal(sscanf(text, "calls=%llu hits=%llu", &calls, &hits), 2);
    assert_int_equal(calls, CALLS);
    assert_int_equal(hits, CALLS / NTH);
    status = bench_status(bench, 0);
    assert_int_equal(status.counts.matched, calls);
    assert_int_equal(status.counts.fired, hits);
}

static void files_and_names(void **state)
{
    judge(*state, "stat", "stat", "EIO", "5");
    judge(*state, "truncate", "truncate", "ENOSPC", "28");
    judge(*state, "seek", "truncate", "EIO", "5");
    judge(*state, "sync", "fsync", "EIO", "5");
    judge(*state, "splice", "write", "EIO", "5");
    judge(*state, "dir", "dir", "EACCES", "13");
    judge(*state, "unlink", "unlink", "EBUSY", "16");
    judge(*state, "rename", "rename", "EXDEV", "18");
}

static void the_rest(void **state)
{
    judge(*state, "map", "map", "ENOMEM", "12");
    judge(*state, "socket", "socket", "ENOBUFS", "105");
    judge(*state, "poll", "poll", "EINTR", "4");
    judge(*state, "wait", "process", "EINTR", "4");
    judge(*state, "descriptor", "descriptor", "EMFILE", "24");
    judge(*state, "random", "random", "EIO", "5");
    judge(*state, "syscall", "write", "ENOSPC", "28");
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, bench_begin, bench_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(files_and_names),
        CASE(the_rest),
    };
    struct supervise_support support;

    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (supervise_probe(&support) < 0 || !support.notifies) {
        printf("1..0 # SKIP this kernel has no seccomp user notification\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
