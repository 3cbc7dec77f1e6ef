/* The history: one row a run, several writers, damage, migration, and finding a run again. */
#include "controller/store/store.h"

#include "scenarios/base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WRITERS = 2, RUNS_A_WRITER = 15, SLEEPS_SEEN = 5 };

static char directory[64], path[96];
static struct errs errs;

static int set_up(void **state)
{
    (void)state;
    memset(&errs, 0, sizeof(errs));
    snprintf(directory, sizeof(directory), "/tmp/test-history.XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof(path), "%s/history.db", directory);
    return 0;
}

static int tear_down(void **state)
{
    static const char *const endings[] = { "", "-wal", "-shm" };
    char file[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
        snprintf(file, sizeof(file), "%s%s", path, endings[i]);
        unlink(file);
    }
    return rmdir(directory);
}

static struct store_history *open_history(void)
{
    struct store_history *history;

    if (store_history_open(path, &history, &errs) < 0)
        fail_msg("%s: %s", errs.list[0].where, errs.list[0].text);
    return history;
}

static struct store_run sample(const char *id, const char *started)
{
    return (struct store_run){ .id = id,
                               .title = "A title",
                               .rigour = "quick",
                               .seed = "18446744073709551615",
                               .started = started,
                               .directory = "/runs/x",
                               .verdict = "converged",
                               .status = 0,
                               .duration_s = 41.5,
                               .convergence_s = 0.4,
                               .convergence_low_s = 0.36,
                               .convergence_high_s = 0.46,
                               .loss_s = (double)NAN };
}

static void add(struct store_history *history, const char *id, const char *started)
{
    struct store_run run = sample(id, started);

    assert_int_equal(store_history_begin(history, &run, &errs), 0);
    assert_int_equal(store_history_end(history, &run, &errs), 0);
}

static void a_run_is_there_before_it_ends(void **state)
{
    struct store_history *history = open_history();
    struct store_run run = sample("r1", "2026-11-23T12:15:00Z"), found;
    struct stat status;

    (void)state;
    assert_int_equal(store_history_begin(history, &run, &errs), 0);
    assert_int_equal(store_history_begin(history, &run, &errs), -EEXIST);
    assert_int_equal(store_history_find(history, "r1", &found, &errs), 0);
    assert_string_equal(found.verdict, "running");
    assert_int_equal(found.status, -1);
    assert_true(isnan(found.convergence_s));
    store_run_done(&found);
    assert_int_equal(store_history_end(history, &run, &errs), 0);
    assert_int_equal(store_history_find(history, "r1", &found, &errs), 0);
    assert_string_equal(found.verdict, "converged");
    assert_string_equal(found.seed, "18446744073709551615");
    assert_null(found.service);
    assert_int_equal(found.status, 0);
    assert_true(found.convergence_low_s == 0.36 && found.duration_s == 41.5 && isnan(found.loss_s));
    store_run_done(&found);
    store_history_close(history);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

/* Of four runs two are live, the newest one of them: a page of two that ended holds two all the same. */
static void a_page_of_ended_runs_is_full_while_others_run(void **state)
{
    static const char *const ids[] = { "r1", "r2", "r3", "r4" }, *const stamps[] = { "2026-11-21", "2026-11-22", "2026-11-23", "2026-11-24" };
    struct store_filter filter = { .live = STORE_ENDED };
    struct store_history *history = open_history();
    struct store_run *runs;
    size_t count;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        struct store_run run = sample(ids[i], stamps[i]);

        assert_int_equal(store_history_begin(history, &run, &errs), 0);
        if (i % 2 == 0)
            assert_int_equal(store_history_end(history, &run, &errs), 0);
    }
    assert_int_equal(store_history_page(history, &filter, 2, &runs, &count, &errs), 0);
    assert_int_equal(count, 2);
    assert_string_equal(runs[0].id, "r3");
    assert_string_equal(runs[1].id, "r1");
    store_runs_free(runs, count);
    filter.live = STORE_LIVE;
    assert_int_equal(store_history_page(history, &filter, 1, &runs, &count, &errs), 0);
    assert_int_equal(count, 1);
    assert_string_equal(runs[0].id, "r4");
    store_runs_free(runs, count);
    filter = (struct store_filter){ .live = STORE_LIVE, .before_started = stamps[3], .before_id = ids[3] };
    assert_int_equal(store_history_page(history, &filter, 8, &runs, &count, &errs), 0);
    assert_int_equal(count, 1);
    assert_string_equal(runs[0].id, "r2");
    store_runs_free(runs, count);
    store_history_close(history);
}

static void a_run_cut_off_reads_as_interrupted(void **state)
{
    struct store_run run = sample("cut", "2026-11-23T12:15:00Z"), found;
    struct store_history *history;
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        history = open_history();
        _exit(store_history_begin(history, &run, &errs) == 0 ? 0 : 1); /* as a killed runner: nothing is closed */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    history = open_history();
    assert_int_equal(store_history_find(history, "cut", &found, &errs), 0);
    assert_string_equal(found.verdict, "interrupted");
    store_run_done(&found);
    assert_int_equal(store_history_end(history, &run, &errs), 0); /* recovery may still complete it */
    assert_int_equal(store_history_find(history, "cut", &found, &errs), 0);
    assert_string_equal(found.verdict, "converged");
    store_run_done(&found);
    store_history_close(history);
}

static int write_runs(int writer)
{
    struct store_history *history;
    char id[32];

    if (store_history_open(path, &history, &errs) < 0)
        return 1;
    for (int i = 0; i < RUNS_A_WRITER; i++) {
        struct store_run run = sample(id, "2026-11-23T12:15:00Z");

        snprintf(id, sizeof(id), "w%d-%02d", writer, i);
        if (store_history_begin(history, &run, &errs) < 0 || store_history_end(history, &run, &errs) < 0)
            return 1;
    }
    store_history_close(history);
    return 0;
}

static void two_writers_lose_nothing(void **state)
{
    struct store_history *history;
    struct store_run *runs;
    pid_t writers[WRITERS];
    size_t count;
    int status;

    (void)state;
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = fork();
        if (writers[i] == 0) {
            int result = write_runs(i);

            errs_print(&errs, stderr);
            _exit(result);
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(waitpid(writers[i], &status, 0), writers[i]);
        assert_int_equal(status, 0);
    }
    history = open_history();
    assert_int_equal(store_history_list(history, 0, &runs, &count, &errs), 0);
    assert_int_equal(count, WRITERS * RUNS_A_WRITER);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(runs[i].verdict, "converged");
    store_runs_free(runs, count);
    store_history_close(history);
}

/* How often a process has gone to sleep by itself (proc(5)); 0 when it is gone. */
static long sleeps_of(pid_t pid)
{
    char file[64];
    const char *found;
    struct buf text;
    long sleeps = 0;

    snprintf(file, sizeof(file), "/proc/%ld/status", (long)pid);
    buf_init(&text, 16384);
    if (buf_read_file(&text, file) == 0 && (found = strstr(text.data, "\nvoluntary_ctxt_switches:")) != NULL)
        sleeps = strtol(strchr(found, ':') + 1, NULL, 10);
    buf_done(&text);
    return sleeps;
}

/* Turning WAL on begins as a read; while another process writes, SQLite then answers BUSY without asking its busy handler. */
static void opening_waits_for_a_writer(void **state)
{
    sqlite3 *writer;
    pid_t child;
    int go[2], status, ended = 0;
    char byte = 0;

    (void)state;
    assert_int_equal(pipe(go), 0);
    child = fork(); /* before anything is opened: SQLite's locks do not survive a fork */
    if (child == 0) {
        struct store_history *history;

        close(go[1]); /* should the test fail before it says go, this ends too */
        _exit(read(go[0], &byte, 1) == 1 && store_history_open(path, &history, &errs) == 0 ? 0 : 1);
    }
    assert_int_equal(sqlite3_open(path, &writer), SQLITE_OK);
    assert_int_equal(sqlite3_exec(writer, "CREATE TABLE other (x); BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(write(go[1], &byte, 1), 1);
    while (ended == 0 && sleeps_of(child) < SLEEPS_SEEN) {
        ended = waitpid(child, &status, WNOHANG);
        sched_yield();
    }
    assert_int_equal(ended, 0); /* it gave up instead of waiting */
    sqlite3_close(writer);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(go[0]);
    close(go[1]);
}

static void lists_the_newest_first(void **state)
{
    struct store_history *history = open_history();
    struct store_run *runs;
    size_t count;

    (void)state;
    assert_int_equal(store_history_list(history, 0, &runs, &count, &errs), 0);
    assert_int_equal(count, 0);
    store_runs_free(runs, count);
    add(history, "middle", "2026-11-23T12:00:00Z");
    add(history, "newest", "2026-11-24T12:00:00Z");
    add(history, "oldest", "2026-11-22T12:00:00Z");
    add(history, "middle-2", "2026-11-23T12:00:00Z"); /* the same second: the one added later is newer */
    assert_int_equal(store_history_list(history, 3, &runs, &count, &errs), 0);
    assert_int_equal(count, 3);
    assert_string_equal(runs[0].id, "newest");
    assert_string_equal(runs[1].id, "middle-2");
    assert_string_equal(runs[2].id, "middle");
    store_runs_free(runs, count);
    store_history_close(history);
}

static void finds_by_id_prefix_and_last(void **state)
{
    static const struct {
        const char *key, *id;
        int result;
    } cases[] = {
        { "20261123-1215-aa", "20261123-1215-aa", 0 },
        { "20261123-1216", "20261123-1216-bb", 0 },
        { "2026", NULL, -ENOTUNIQ },
        { "last", "20261123-1216-bb", 0 },
        { "x", "x", 0 }, /* exact, though "xy" begins so too */
        { "nothing", NULL, -ENOENT },
        { "%", NULL, -ENOENT },
        { "", NULL, -ENOENT },
        { "' OR 1=1 --", NULL, -ENOENT },
    };
    struct store_history *history = open_history();
    struct store_run found;

    (void)state;
    assert_int_equal(store_history_find(history, "last", &found, &errs), -ENOENT);
    add(history, "x", "2026-11-20T12:00:00Z");
    add(history, "xy", "2026-11-20T12:00:01Z");
    add(history, "20261123-1215-aa", "2026-11-23T12:15:00Z");
    add(history, "20261123-1216-bb", "2026-11-23T12:16:00Z");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        memset(&errs, 0, sizeof(errs));
        assert_int_equal(store_history_find(history, cases[i].key, &found, &errs), cases[i].result);
        if (cases[i].result == 0) {
            assert_string_equal(found.id, cases[i].id);
            store_run_done(&found);
        } else {
            assert_int_equal(errs.count, 1);
        }
        if (cases[i].result == -ENOTUNIQ)
            assert_non_null(strstr(errs.list[0].text, "20261123-1216-bb, 20261123-1215-aa"));
    }
    store_history_close(history);
}

static void write_raw(const char *bytes, size_t length, long offset)
{
    FILE *out = fopen(path, offset < 0 ? "we" : "r+e");

    assert_non_null(out);
    if (offset > 0)
        assert_int_equal(fseek(out, offset, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, length, out), length);
    assert_int_equal(fclose(out), 0);
}

static void says_when_it_is_no_database(void **state)
{
    char junk[4096];
    struct store_history *history;

    (void)state;
    memset(junk, 'j', sizeof(junk));
    write_raw(junk, sizeof(junk), -1);
    assert_int_equal(store_history_open(path, &history, &errs), -EBADMSG);
    assert_string_equal(errs.list[0].where, path);
    assert_non_null(strstr(errs.list[0].text, "move it away"));
}

static void says_when_a_page_is_damaged(void **state)
{
    struct store_history *history = open_history();
    struct store_run *runs = NULL;
    char junk[3500], id[32];
    size_t count = 0;
    int result;

    (void)state;
    for (int i = 0; i < 60; i++) {
        snprintf(id, sizeof(id), "run-%03d", i);
        add(history, id, "2026-11-23T12:15:00Z");
    }
    store_history_close(history);
    memset(junk, 0xee, sizeof(junk));
    for (long page = 1; page < 4; page++)
        write_raw(junk, sizeof(junk), page * 4096);
    result = store_history_open(path, &history, &errs);
    if (result == 0) {
        result = store_history_list(history, 0, &runs, &count, &errs);
        store_history_close(history);
    }
    assert_int_equal(result, -EBADMSG);
    assert_non_null(strstr(errs.list[0].text, "damaged"));
}

static void execute_raw(const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void an_old_version_is_brought_forward(void **state)
{
    struct store_history *history;
    struct store_run found;

    (void)state;
    execute_raw(
        "CREATE TABLE run (id TEXT PRIMARY KEY NOT NULL, playbook TEXT, playbook_hash TEXT, title TEXT, service TEXT, rigour "
        "TEXT,"
        " seed TEXT, started TEXT, verdict TEXT, status INTEGER, duration_s REAL, convergence_s REAL, convergence_low_s REAL,"
        " convergence_high_s REAL, loss_s REAL, directory TEXT);"
        "CREATE INDEX run_started ON run (started);"
        "INSERT INTO run (id, title, verdict, status, started, convergence_s)"
        " VALUES ('old', 'Kept', 'converged', 0, '2025-01-01T00:00:00Z', 1.5), ('older', 'Cut off', 'running', NULL, '2024', "
        "NULL);"
        "PRAGMA user_version = 1;");
    for (int times = 0; times < 2; times++) {
        history = open_history();
        assert_int_equal(store_history_find(history, "old", &found, &errs), 0);
        assert_string_equal(found.title, "Kept");
        assert_true(found.convergence_s == 1.5);
        assert_null(found.pins_hash);
        store_run_done(&found);
        assert_int_equal(store_history_find(history, "older", &found, &errs), 0);
        assert_string_equal(found.verdict, "interrupted");
        store_run_done(&found);
        store_history_close(history);
    }
}

static void a_newer_version_is_refused(void **state)
{
    struct store_history *history;

    (void)state;
    execute_raw("PRAGMA user_version = 99;");
    assert_int_equal(store_history_open(path, &history, &errs), -EPROTONOSUPPORT);
    assert_non_null(strstr(errs.list[0].text, "newer perturb"));
}

static void pins_decide_what_may_be_compared(void **state)
{
    static const char *const documents[] = {
        "{\"run\":{\"id\":\"a\",\"rigour\":\"full\"},\"convergence\":{\"signal\":\"g\",\"band\":0.05,\"hold_s\":5,\"base_bin_s\":"
        "0.1,"
        "\"from_release_s\":2,\"low_s\":1,\"high_s\":3},\"loads\":[{\"name\":\"m\",\"rate_per_s\":200}],"
        "\"signals\":[{\"signal\":\"g\",\"deciding\":true,\"loss_to_end_s\":7}],\"verdict\":{\"verdict\":\"converged\","
        "\"status\":1}}",
        "{\"run\":{\"id\":\"b\",\"rigour\":\"full\"},\"convergence\":{\"signal\":\"g\",\"band\":0.05,\"hold_s\":5,\"base_bin_s\":"
        "0.1},"
        "\"loads\":[{\"name\":\"m\",\"rate_per_s\":200}],\"signals\":[{\"signal\":\"g\",\"deciding\":true},{\"signal\":\"p\"}]}",
        "{\"run\":{\"id\":\"c\",\"rigour\":\"full\"},\"convergence\":{\"signal\":\"g\",\"band\":0.06,\"hold_s\":5,\"base_bin_s\":"
        "0.1},"
        "\"loads\":[{\"name\":\"m\",\"rate_per_s\":200}],\"signals\":[{\"signal\":\"g\",\"deciding\":true}]}",
        "{\"run\":{\"id\":\"d\",\"rigour\":\"full\"},\"convergence\":{\"signal\":\"g\",\"band\":0.05,\"hold_s\":5,\"base_bin_s\":"
        "0.1},"
        "\"loads\":[{\"name\":\"m\",\"rate_per_s\":200,\"plan_hash\":\"00ff\"}],\"signals\":[{\"signal\":\"g\",\"deciding\":true}]}",
    };
    struct store_run rows[ARRAY_SIZE(documents)];
    cJSON *parsed[ARRAY_SIZE(documents)];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(documents); i++) {
        parsed[i] = cJSON_Parse(documents[i]);
        assert_non_null(parsed[i]);
        assert_int_equal(store_run_from_result(parsed[i], "/d", &rows[i]), 0);
    }
    assert_string_equal(rows[0].pins_hash, rows[1].pins_hash);
    assert_string_not_equal(rows[0].pins_hash, rows[2].pins_hash);
    assert_string_not_equal(rows[0].pins_hash, rows[3].pins_hash); /* another mix, or another recording */
    assert_string_equal(rows[0].verdict, "converged");
    assert_string_equal(rows[0].directory, "/d");
    assert_int_equal(rows[0].status, 1);
    assert_true(rows[0].convergence_s == 2 && rows[0].convergence_high_s == 3 && rows[0].loss_s == 7);
    assert_int_equal(rows[1].status, -1);
    assert_null(rows[1].verdict);
    for (size_t i = 0; i < ARRAY_SIZE(documents); i++) {
        store_run_done(&rows[i]);
        cJSON_Delete(parsed[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_run_is_there_before_it_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_page_of_ended_runs_is_full_while_others_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_run_cut_off_reads_as_interrupted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_writers_lose_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(opening_waits_for_a_writer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lists_the_newest_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(finds_by_id_prefix_and_last, set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_when_it_is_no_database, set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_when_a_page_is_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_old_version_is_brought_forward, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_newer_version_is_refused, set_up, tear_down),
        cmocka_unit_test(pins_decide_what_may_be_compared),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
