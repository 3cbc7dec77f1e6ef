/* perturb compare, trend and findings over histories whose truth is known because the test wrote them. */
#include "controller/cmd/cmd.h"
#include "controller/store/store.h"
#include "scenarios/base/buf.h"

#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char state_home[64], output[128], complaints[128];

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(state_home, sizeof(state_home), "/tmp/test-history.XXXXXX");
    if (!mkdtemp(state_home) || setenv("XDG_STATE_HOME", state_home, 1) < 0)
        return -1;
    snprintf(output, sizeof(output), "%s/output", state_home);
    snprintf(complaints, sizeof(complaints), "%s/complaints", state_home);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(state_home, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void day(int days_ago, char text[32])
{
    time_t when = time(NULL) - (time_t)days_ago * 86400;
    struct tm broken_down;

    gmtime_r(&when, &broken_down);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &broken_down);
}

struct past {
    const char *id, *batch, *series, *pins, *rigour, *verdict;
    double convergence_s, observed_s, loss_s;
    int days_ago, status;
};

/* Writes a run that ended; returns what the ledger made of it. */
static int64_t remember(const struct past *past)
{
    struct errs errs = { 0 };
    struct store_history *history;
    char started[32];
    struct store_run row = { .id = past->id, .batch = past->batch, .series = past->series, .pins_hash = past->pins, .rigour = past->rigour,
                             .verdict = past->verdict, .playbook = "p.yaml", .title = "A title", .started = started, .status = past->status,
                             .duration_s = 1, .convergence_s = past->convergence_s, .convergence_low_s = NAN, .convergence_high_s = NAN,
                             .loss_s = past->loss_s, .observed_s = past->observed_s };
    int64_t id;

    day(past->days_ago, started);
    assert_int_equal(store_history_open(NULL, &history, &errs), 0);
    assert_int_equal(store_history_end(history, &row, &errs), 0);
    assert_int_equal(store_findings_note(history, &row, "because", &id, &errs), 0);
    store_history_close(history);
    return id;
}

/* `count` runs of a batch around `level_s`, a spread of a tenth; `never` of them never came back. */
static void remember_batch(const char *batch, const char *series, const char *pins, double level_s, int count, int never, int days_ago)
{
    for (int i = 0; i < count; i++) {
        char id[64];
        struct past past = { .id = id, .batch = batch, .series = series, .pins = pins, .rigour = "full", .verdict = "converged",
                             .convergence_s = level_s * (1 + 0.02 * ((i * 7) % 11 - 5)), .observed_s = 30, .loss_s = level_s / 2 + 0.01 * i,
                             .days_ago = days_ago - i };

        snprintf(id, sizeof(id), "%s%s%02d", batch, i ? "-" : "", i);
        if (!i)
            snprintf(id, sizeof(id), "%s", batch);
        if (i < never) {
            past.verdict = "not_converged";
            past.convergence_s = NAN;
            past.status = 1;
        }
        remember(&past);
    }
}

static int run_command(const struct command *command, int argc, const char *const *arguments)
{
    char *argv[10] = { NULL };
    pid_t child;
    int status;

    for (int i = 0; i < argc; i++)
        argv[i] = strdup(arguments[i]);
    fflush(NULL);
    child = fork();
    if (child == 0) {
        if (!freopen(output, "w", stdout) || !freopen(complaints, "w", stderr))
            _exit(99);
        status = command->run(argc, argv);
        fflush(NULL);
        _exit(status);
    }
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_said(const char *file, const char *wanted)
{
    struct buf text;

    buf_init(&text, 4 << 20);
    assert_int_equal(buf_read_file(&text, file), 0);
    if (!strstr(text.data, wanted))
        fail_msg("\"%s\" is not in: %.900s", wanted, text.data);
    buf_done(&text);
}

static int compare(const char *a, const char *b)
{
    const char *const words[] = { "compare", a, b };

    return run_command(&command_compare, 3, words);
}

static void a_slower_group_has_regressed(void **state)
{
    (void)state;
    remember_batch("slow-a", "/cmp", "p1", 2.0, 6, 0, 40);
    remember_batch("slow-b", "/cmp", "p1", 4.0, 6, 0, 20);
    assert_int_equal(compare("slow-a", "slow-b"), 1);
    assert_said(output, "convergence  +1.96 s");
    assert_said(output, "REGRESSED");
    assert_int_equal(compare("slow-b", "slow-a-03"), 0); /* any run stands for its batch */
    assert_said(output, "improved");
}

static void the_same_is_no_regression(void **state)
{
    (void)state;
    remember_batch("same-a", "/cmp", "p1", 3.0, 8, 0, 40);
    remember_batch("same-b", "/cmp", "p1", 3.0, 8, 0, 20);
    assert_int_equal(compare("same-a", "same-b"), 0);
    assert_said(output, "no difference beyond chance");
    assert_said(output, "would be found four times in five");
}

static void runs_that_never_came_back_count(void **state)
{
    (void)state;
    remember_batch("cens-a", "/cmp", "p1", 2.0, 8, 0, 40);
    remember_batch("cens-b", "/cmp", "p1", 2.0, 8, 6, 20);
    assert_int_equal(compare("cens-a", "cens-b"), 1);
    assert_said(output, "by log-rank, as some never came back");
    assert_said(output, "6 never came back");
}

static void too_few_and_other_pins_are_not_judged(void **state)
{
    (void)state;
    remember_batch("few-a", "/cmp", "p1", 1.0, 4, 0, 40);
    remember_batch("few-b", "/cmp", "p1", 9.0, 4, 0, 20);
    assert_int_equal(compare("few-a", "few-b"), 2);
    assert_said(output, "Fewer than five runs");
    remember_batch("pins-b", "/cmp", "p2", 9.0, 6, 0, 20);
    assert_int_equal(compare("slow-a", "pins-b"), 65);
    assert_said(complaints, "other pins");
    assert_int_equal(compare("slow-a", "nobody"), 64);
    assert_int_equal(compare("slow-a-01,slow-a-02,slow-a-03,slow-a-04,slow-a-05", "slow-b"), 1);
}

static int trend(const char *playbook)
{
    const char *const words[] = { "trend", playbook };

    return run_command(&command_trend, 2, words);
}

static void a_change_of_level_is_named_by_its_first_run(void **state)
{
    (void)state;
    remember_batch("old", "/weekly", "p1", 2.0, 12, 0, 60);
    remember_batch("new", "/weekly", "p1", 3.2, 10, 0, 30);
    assert_int_equal(trend("/weekly"), 1);
    assert_said(output, "SLOWER   from new on");
    assert_said(output, "<- slower from here");
    assert_said(output, "half were back after 3.");
    remember_batch("mended", "/weekly", "p1", 1.0, 10, 0, 15);
    assert_int_equal(trend("/weekly"), 0);
    assert_said(output, "Faster   from mended on");
}

static void quick_runs_and_other_pins_stay_out(void **state)
{
    (void)state;
    remember_batch("then", "/mixed", "p0", 9.0, 3, 0, 60);
    remember_batch("now", "/mixed", "p1", 2.0, 6, 0, 10);
    remember(&(struct past){ .id = "quick", .batch = "quick", .series = "/mixed", .pins = "p1", .rigour = "quick", .verdict = "converged",
                             .convergence_s = 50, .observed_s = 60, .loss_s = 1 });
    remember(&(struct past){ .id = "aborted", .batch = "aborted", .series = "/mixed", .pins = "p1", .rigour = "full", .verdict = "aborted",
                             .convergence_s = NAN, .observed_s = 60, .loss_s = NAN, .status = 3 });
    assert_int_equal(trend("/mixed"), 0);
    assert_said(output, "Left out 1 of quick rigour, 3 with other pins, 1 that gave no number");
    assert_said(output, "Steady");
    assert_int_equal(trend("/never-run"), 2);
}

/* 2 s of 30 s watched: recovery 0.93; the last run 30 days ago: worth half. */
static void the_score_shows_its_parts(void **state)
{
    const char *const words[] = { "trend", "--format", "json", "/score" };

    (void)state;
    for (int i = 0; i < 5; i++) {
        char id[16];

        snprintf(id, sizeof(id), "score%d", i);
        remember(&(struct past){ .id = id, .batch = id, .series = "/score", .pins = "p", .rigour = "full", .verdict = "converged", .convergence_s = 3,
                                 .observed_s = 30, .loss_s = 1, .days_ago = 34 - i });
    }
    assert_int_equal(run_command(&command_trend, 4, words), 0);
    assert_said(output, "\"recovery\":0.9");
    assert_said(output, "\"freshness\":0.5");
    assert_said(output, "\"score\":0.45");
}

static int64_t end_run(const char *id, int status)
{
    return remember(&(struct past){ .id = id, .batch = id, .series = "/found", .pins = "p", .rigour = "quick",
                                    .verdict = status == 0 ? "converged" : status == 2 ? "indeterminate" : "not_converged",
                                    .convergence_s = status ? NAN : 1, .observed_s = 10, .loss_s = 1, .status = status });
}

static void only_a_passing_run_closes_a_finding(void **state)
{
    const char *const list[] = { "findings" }, *const all[] = { "findings", "--all" }, *const json[] = { "findings", "--format", "json" };
    int64_t id;
    char number[24];

    (void)state;
    assert_int_equal(end_run("f0", 0), 0); /* nothing was open */
    id = end_run("f1", 1);
    assert_true(id > 0);
    assert_int_equal(end_run("f2", 4), id);
    assert_int_equal(end_run("f3", 2), 0); /* not decided: neither */
    assert_int_equal(run_command(&command_findings, 1, list), 0);
    assert_said(output, "failed 2 times");
    snprintf(number, sizeof(number), "%lld", (long long)id);
    assert_int_equal(run_command(&command_findings, 6, (const char *const[]){ "findings", number, "--owner", "ada", "--due", "2026-12-01" }), 0);
    assert_said(output, "owner ada, to be tested again by 2026-12-01");
    assert_int_equal(end_run("f4", 0), id);
    assert_int_equal(end_run("f5", 0), 0);
    assert_int_equal(run_command(&command_findings, 2, all), 0);
    assert_said(output, "by f4");
    assert_int_not_equal(end_run("f6", 1), id);
    assert_int_equal(run_command(&command_findings, 3, json), 0);
    assert_said(output, "\"opened_run\":\"f6\"");
    assert_int_equal(run_command(&command_findings, 6, (const char *const[]){ "findings", number, "--owner", "ada", "--due", "soon" }), 64);
    assert_int_equal(run_command(&command_findings, 2, (const char *const[]){ "findings", "999" }), 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slower_group_has_regressed),
        cmocka_unit_test(the_same_is_no_regression),
        cmocka_unit_test(runs_that_never_came_back_count),
        cmocka_unit_test(too_few_and_other_pins_are_not_judged),
        cmocka_unit_test(a_change_of_level_is_named_by_its_first_run),
        cmocka_unit_test(quick_runs_and_other_pins_stay_out),
        cmocka_unit_test(the_score_shows_its_parts),
        cmocka_unit_test(only_a_passing_run_closes_a_finding),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
