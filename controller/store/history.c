/* The history: one table in one SQLite file.
 *
 * Schema versions (PRAGMA user_version), each a step applied inside one transaction:
 *   1  the table
 *   2  who runs it, so that a run that was cut off is told from one that still runs
 *   3  what two runs must share to be compared
 *   4  which playbook it is, whatever it was called by; which runs were made together; how long a run that never came back was watched
 *   5  the ledger of findings (findings.c)
 *   6  the live ones found without reading all
 * A step is never edited once released; a newer file than ours is refused.
 *
 * WAL keeps readers and the one writer apart; synchronous=FULL because WAL with NORMAL may lose the last commits on a power cut,
 * and a "running" row must outlive one (sqlite.org/wal.html, pragma.html#pragma_synchronous). */
#include "controller/store/store_priv.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BUSY_TIMEOUT_MS = 5000, BUSY_STEP_MS = 10, RUNNER_CHARS_MAX = 96, CANDIDATES_MAX = 5, ROWS_GROWTH = 64 };

static const char *const steps[] = {
    "CREATE TABLE run (id TEXT PRIMARY KEY NOT NULL, playbook TEXT, playbook_hash TEXT, title TEXT, service TEXT, rigour TEXT, "
    "seed TEXT,"
    " started TEXT, verdict TEXT, status INTEGER, duration_s REAL, convergence_s REAL, convergence_low_s REAL, "
    "convergence_high_s REAL,"
    " loss_s REAL, directory TEXT);"
    "CREATE INDEX run_started ON run (started);",
    "ALTER TABLE run ADD COLUMN runner TEXT;",
    "ALTER TABLE run ADD COLUMN pins_hash TEXT;",
    "ALTER TABLE run ADD COLUMN series TEXT; ALTER TABLE run ADD COLUMN batch TEXT; ALTER TABLE run ADD COLUMN observed_s REAL;"
    "CREATE INDEX run_series ON run (series); CREATE INDEX run_batch ON run (batch);",
    STORE_FINDINGS_SCHEMA,
    "CREATE INDEX run_live ON run (started) WHERE verdict = 'running';",
};

enum { VERSION = sizeof(steps) / sizeof(steps[0]) };

#define COLUMNS                                                                                                                  \
    "id, playbook, playbook_hash, pins_hash, title, service, rigour, seed, started, verdict, directory, series, batch, status,"  \
    " duration_s, convergence_s, convergence_low_s, convergence_high_s, loss_s, observed_s"
#define VALUES "?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20"

enum { TEXT_COLUMNS = 13, STATUS_COLUMN = 13, FIRST_NUMBER_COLUMN = 14, NUMBER_COLUMNS = 6, RUNNER_COLUMN = 20 };

/* The texts and numbers of a row in the order of COLUMNS. */
static void row_texts(struct store_run *run, const char **slots[TEXT_COLUMNS])
{
    const char **all[TEXT_COLUMNS] = { &run->id,      &run->playbook, &run->playbook_hash, &run->pins_hash,
                                       &run->title,   &run->service,  &run->rigour,        &run->seed,
                                       &run->started, &run->verdict,  &run->directory,     &run->series,
                                       &run->batch };

    memcpy(slots, all, sizeof(all));
}

static void row_numbers(struct store_run *run, double *slots[NUMBER_COLUMNS])
{
    double *all[NUMBER_COLUMNS] = { &run->duration_s, &run->convergence_s, &run->convergence_low_s, &run->convergence_high_s,
                                    &run->loss_s,     &run->observed_s };

    memcpy(slots, all, sizeof(all));
}

int store_fail(const struct store_history *history, const char *what, struct errs *errs)
{
    int code = sqlite3_errcode(history->db) & 0xff;

    switch (code) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        errs_add(
            errs, ERR_WORLD, history->path,
            "is damaged or no SQLite database (%s); move it away and the next run starts a new history: the run directories hold "
            "every result",
            sqlite3_errmsg(history->db));
        return -EBADMSG;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        errs_add(errs, ERR_WORLD, history->path, "cannot %s: another process has held it for %d s", what, BUSY_TIMEOUT_MS / 1000);
        return -EBUSY;
    case SQLITE_CONSTRAINT:
        errs_add(errs, ERR_INTERNAL, history->path, "cannot %s: a run of that id is there already", what);
        return -EEXIST;
    case SQLITE_NOMEM:
        errs_add(errs, ERR_INTERNAL, history->path, "cannot %s: out of memory", what);
        return -ENOMEM;
    default:
        errs_add(errs, ERR_WORLD, history->path, "cannot %s: %s", what, sqlite3_errmsg(history->db));
        return -EIO;
    }
}

static int execute(struct store_history *history, const char *sql, const char *what, struct errs *errs)
{
    return sqlite3_exec(history->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_fail(history, what, errs);
}

static int read_version(struct store_history *history, int *ret_version, struct errs *errs)
{
    sqlite3_stmt *statement;
    int result = sqlite3_prepare_v2(history->db, "PRAGMA user_version", -1, &statement, NULL);

    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        *ret_version = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return result == SQLITE_ROW ? 0 : store_fail(history, "read its version", errs);
}

/* Inside one immediate transaction, so that of two processes one migrates and the other finds it done. */
static int migrate(struct store_history *history, struct errs *errs)
{
    int version = 0, result;
    char sql[64];

    result = read_version(history, &version, errs);
    if (result < 0 || version == VERSION)
        return result;
    result = execute(history, "BEGIN IMMEDIATE", "be brought to this version", errs);
    if (result == 0)
        result = read_version(history, &version, errs);
    if (result == 0 && version > VERSION) {
        errs_add(errs, ERR_WORLD, history->path, "was written by a newer perturb (version %d, this program knows %d)", version,
                 VERSION);
        result = -EPROTONOSUPPORT;
    }
    for (int step = version; result == 0 && step < VERSION; step++)
        result = execute(history, steps[step], "be brought to this version", errs);
    snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", VERSION);
    if (result == 0)
        result = execute(history, sql, "be brought to this version", errs);
    if (result == 0)
        return execute(history, "COMMIT", "be brought to this version", errs);
    sqlite3_exec(history->db, "ROLLBACK", NULL, NULL, NULL);
    return result;
}

/* SQLite would make the file readable for others. O_EXCL, because closing a descriptor of a database that this process has open
 * elsewhere would drop its locks (sqlite.org/howtocorrupt.html 2.2). */
static void create_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
}

/* Turning WAL on begins as a read and goes on to write: while another process writes, SQLite then answers BUSY at once instead of
 * calling its busy handler (it might deadlock). Two processes that make the history at the same moment meet here. */
static int set_journal(struct store_history *history, struct errs *errs)
{
    static const char sql[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";
    int code = sqlite3_exec(history->db, sql, NULL, NULL, NULL);

    for (int waited_ms = 0; code == SQLITE_BUSY && waited_ms < BUSY_TIMEOUT_MS; waited_ms += BUSY_STEP_MS) {
        sqlite3_sleep(BUSY_STEP_MS);
        code = sqlite3_exec(history->db, sql, NULL, NULL, NULL);
    }
    return code == SQLITE_OK ? 0 : store_fail(history, "be opened", errs);
}

static int default_path(char **ret_path, struct errs *errs)
{
    AUTO_FREE char *state = NULL;
    int result = store_state_directory(&state, errs);

    if (result < 0)
        return result;
    if (asprintf(ret_path, "%s/history.db", state) >= 0)
        return 0;
    *ret_path = NULL;
    errs_add(errs, ERR_INTERNAL, state, "out of memory");
    return -ENOMEM;
}

int store_history_open(const char *path_or_null, struct store_history **ret_history, struct errs *errs)
{
    struct store_history *history = calloc(1, sizeof(*history));
    int result = 0;

    if (history && path_or_null)
        history->path = strdup(path_or_null);
    else if (history)
        result = default_path(&history->path, errs);
    if (result == 0 && (!history || !history->path)) {
        errs_add(errs, ERR_INTERNAL, path_or_null, "out of memory");
        result = -ENOMEM;
    }
    if (result == 0) {
        create_private(history->path);
        if (sqlite3_open_v2(history->path, &history->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
            result = store_fail(history, "be opened", errs);
    }
    if (result == 0) {
        sqlite3_busy_timeout(history->db, BUSY_TIMEOUT_MS);
        result = set_journal(history, errs);
    }
    if (result == 0)
        result = migrate(history, errs);
    if (result < 0) {
        store_history_close(history);
        return result;
    }
    *ret_history = history;
    return 0;
}

void store_history_close(struct store_history *history)
{
    if (!history)
        return;
    sqlite3_close(history->db);
    free(history->path);
    free(history);
}

/* A process as no later one can be mistaken for: boot id, pid, start time in clock ticks (proc(5), stat field 22). */
static void describe_process(pid_t pid, char text[RUNNER_CHARS_MAX])
{
    char path[64];
    const char *field;
    struct buf stat, boot;

    buf_init(&stat, 4096);
    buf_init(&boot, 64);
    text[0] = '\0';
    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    if (buf_read_file(&stat, path) == 0 && buf_read_file(&boot, "/proc/sys/kernel/random/boot_id") == 0 &&
        (field = strrchr(stat.data, ')')) != NULL) {
        for (int skipped = 0; field && skipped < 20; skipped++) /* from the end of field 2 to before field 22 */
            field = strchr(field + 1, ' ');
        if (field)
            snprintf(text, RUNNER_CHARS_MAX, "%.36s %ld %.*s", boot.data, (long)pid, (int)strcspn(field + 1, " "), field + 1);
    }
    buf_done(&stat);
    buf_done(&boot);
}

static bool still_runs(const char *runner)
{
    char now[RUNNER_CHARS_MAX];
    const char *pid = runner ? strchr(runner, ' ') : NULL;

    if (!pid)
        return false;
    describe_process((pid_t)strtol(pid + 1, NULL, 10), now);
    return now[0] && strcmp(now, runner) == 0;
}

static void bind_run(sqlite3_stmt *statement, const struct store_run *run)
{
    struct store_run copy = *run;
    const char **texts[TEXT_COLUMNS];
    double *numbers[NUMBER_COLUMNS];

    row_texts(&copy, texts);
    row_numbers(&copy, numbers);
    for (int i = 0; i < TEXT_COLUMNS; i++)
        sqlite3_bind_text(statement, i + 1, *texts[i], -1, SQLITE_TRANSIENT); /* NULL binds NULL */
    if (run->status >= 0)
        sqlite3_bind_int(statement, STATUS_COLUMN + 1, run->status);
    for (int i = 0; i < NUMBER_COLUMNS; i++)
        if (isfinite(*numbers[i]))
            sqlite3_bind_double(statement, FIRST_NUMBER_COLUMN + i + 1, *numbers[i]);
}

static int write_run(struct store_history *history, const char *sql, const struct store_run *run, const char *runner,
                     const char *what, struct errs *errs)
{
    sqlite3_stmt *statement;
    int result = sqlite3_prepare_v2(history->db, sql, -1, &statement, NULL);

    if (result == SQLITE_OK) {
        bind_run(statement, run);
        if (runner)
            sqlite3_bind_text(statement, RUNNER_COLUMN + 1, runner, -1, SQLITE_TRANSIENT);
        result = sqlite3_step(statement);
    }
    result = result == SQLITE_DONE ? 0 : store_fail(history, what, errs);
    sqlite3_finalize(statement);
    return result;
}

int store_history_begin(struct store_history *history, const struct store_run *run, struct errs *errs)
{
    struct store_run row = *run;
    char runner[RUNNER_CHARS_MAX];

    describe_process(getpid(), runner);
    row.verdict = "running";
    row.status = -1;
    row.duration_s = row.convergence_s = row.convergence_low_s = row.convergence_high_s = row.loss_s = row.observed_s = (double)NAN;
    return write_run(
        history, "INSERT INTO run (" COLUMNS ", runner) VALUES (" VALUES ",?21)",
        &row, runner, "record that the run begins", errs);
}

int store_history_end(struct store_history *history, const struct store_run *run, struct errs *errs)
{
    return write_run(
        history,
        "INSERT INTO run (" COLUMNS ") VALUES (" VALUES ")"
        " ON CONFLICT (id) DO UPDATE SET playbook = coalesce(?2, playbook), playbook_hash = coalesce(?3, playbook_hash),"
        " pins_hash = coalesce(?4, pins_hash), title = coalesce(?5, title), service = coalesce(?6, service),"
        " rigour = coalesce(?7, rigour), seed = coalesce(?8, seed), started = coalesce(?9, started), verdict = ?10,"
        " directory = coalesce(?11, directory), series = coalesce(?12, series), batch = coalesce(?13, batch), status = ?14,"
        " duration_s = ?15, convergence_s = ?16, convergence_low_s = ?17, convergence_high_s = ?18, loss_s = ?19,"
        " observed_s = ?20, runner = NULL",
        run, NULL, "record how the run ended", errs);
}

/* Copies the current row out of SQLite's hands: one allocation holds every text. */
static int take_row(sqlite3_stmt *statement, struct store_run *ret_run)
{
    struct store_run run = { .status = -1 };
    const char **texts[TEXT_COLUMNS];
    double *numbers[NUMBER_COLUMNS];
    size_t bytes = 1;
    char *at;

    row_texts(&run, texts);
    row_numbers(&run, numbers);
    for (int i = 0; i < TEXT_COLUMNS; i++)
        bytes += (size_t)sqlite3_column_bytes(statement, i) + 1;
    run.storage = at = malloc(bytes);
    if (!at)
        return -ENOMEM;
    for (int i = 0; i < TEXT_COLUMNS; i++) {
        const unsigned char *text = sqlite3_column_text(statement, i);
        size_t length = text ? strlen((const char *)text) : 0;

        if (!text)
            continue;
        *texts[i] = memcpy(at, text, length + 1);
        at += length + 1;
    }
    if (sqlite3_column_type(statement, STATUS_COLUMN) != SQLITE_NULL)
        run.status = sqlite3_column_int(statement, STATUS_COLUMN);
    for (int i = 0; i < NUMBER_COLUMNS; i++)
        *numbers[i] = sqlite3_column_type(statement, FIRST_NUMBER_COLUMN + i) == SQLITE_NULL
                          ? (double)NAN
                          : sqlite3_column_double(statement, FIRST_NUMBER_COLUMN + i);
    if (run.verdict && strcmp(run.verdict, "running") == 0 &&
        !still_runs((const char *)sqlite3_column_text(statement, RUNNER_COLUMN)))
        run.verdict = "interrupted";
    *ret_run = run;
    return 0;
}

/* What of the rows is kept: a run that was cut off is still "running" in its row, so the live ones are told apart only after reading. */
struct wanted {
    int live; /* of struct store_filter */
    size_t most;
};

static bool is_wanted(const struct store_run *run, const struct wanted *wanted)
{
    bool live = run->verdict && strcmp(run->verdict, "running") == 0;

    return wanted->live == STORE_ANY || live == (wanted->live == STORE_LIVE);
}

static int collect_rows(struct store_history *history, sqlite3_stmt *statement, const struct wanted *wanted, struct store_run **ret_runs,
                        size_t *ret_count, struct errs *errs)
{
    struct store_run *runs = NULL;
    size_t count = 0;
    int step = SQLITE_DONE, result = 0;

    while (result == 0 && count < wanted->most && (step = sqlite3_step(statement)) == SQLITE_ROW) {
        if (count % ROWS_GROWTH == 0) {
            struct store_run *grown = realloc(runs, (count + ROWS_GROWTH) * sizeof(*runs));

            if (!grown) {
                result = -ENOMEM;
                break;
            }
            runs = grown;
        }
        result = take_row(statement, &runs[count]);
        if (result == 0 && !is_wanted(&runs[count], wanted))
            store_run_done(&runs[count]);
        else
            count += result == 0;
    }
    if (result < 0)
        errs_add(errs, ERR_INTERNAL, history->path, "out of memory");
    else if (step != SQLITE_DONE && step != SQLITE_ROW)
        result = store_fail(history, "be read", errs);
    if (result < 0) {
        store_runs_free(runs, count);
        return result;
    }
    *ret_runs = runs;
    *ret_count = count;
    return 0;
}

/* Rows newest first; `where` may use ?1, bound to `key`. */
static int select_rows(struct store_history *history, const char *sql, const char *key, int64_t limit,
                       struct store_run **ret_runs, size_t *ret_count, struct errs *errs)
{
    sqlite3_stmt *statement;
    int result;

    if (sqlite3_prepare_v2(history->db, sql, -1, &statement, NULL) != SQLITE_OK)
        return store_fail(history, "be read", errs);
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int64(statement, 2, limit);
    result = collect_rows(history, statement, &(struct wanted){ .live = STORE_ANY, .most = SIZE_MAX }, ret_runs, ret_count, errs);
    sqlite3_finalize(statement);
    return result;
}

int store_history_list(struct store_history *history, size_t limit, struct store_run **ret_runs, size_t *ret_count,
                       struct errs *errs)
{
    return select_rows(history, "SELECT " COLUMNS ", runner FROM run WHERE ?1 = '' ORDER BY started DESC, rowid DESC LIMIT ?2",
                       "", limit > 0 && limit < INT64_MAX ? (int64_t)limit : -1, ret_runs, ret_count, errs);
}

int store_history_series(struct store_history *history, const char *series, struct store_run **ret_runs, size_t *ret_count,
                         struct errs *errs)
{
    return select_rows(history, "SELECT " COLUMNS ", runner FROM run WHERE series = ?1 ORDER BY started DESC, rowid DESC LIMIT ?2", series,
                       -1, ret_runs, ret_count, errs);
}

int store_history_batch(struct store_history *history, const char *batch, struct store_run **ret_runs, size_t *ret_count,
                        struct errs *errs)
{
    return select_rows(history, "SELECT " COLUMNS ", runner FROM run WHERE batch = ?1 ORDER BY started DESC, rowid DESC LIMIT ?2", batch,
                       -1, ret_runs, ret_count, errs);
}

static void filter_sql(const struct store_filter *filter, struct buf *sql)
{
    const struct {
        const char *value, *condition;
    } conditions[] = {
        { filter->series ? filter->series : filter->playbook, filter->series ? "series = ?1" : "playbook = ?2" },
        { filter->verdict, "verdict = ?3" },
        { filter->service, "service = ?4" },
        { filter->batch, "batch = ?5" },
        { filter->since, "started >= ?6" },
        { filter->before_started, "(started < ?7 OR (started = ?7 AND id < ?8))" },
        { filter->live == STORE_LIVE ? "" : NULL, "verdict = 'running'" },
    };

    buf_puts(sql, "SELECT " COLUMNS ", runner FROM run WHERE 1");
    for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++)
        if (conditions[i].value)
            buf_printf(sql, " AND %s", conditions[i].condition);
    buf_puts(sql, " ORDER BY started DESC, id DESC");
}

int store_history_page(struct store_history *history, const struct store_filter *filter, size_t limit, struct store_run **ret_runs,
                       size_t *ret_count, struct errs *errs)
{
    const char *const values[] = { filter->series, filter->playbook, filter->verdict, filter->service, filter->batch, filter->since,
                                   filter->before_started, filter->before_id };
    sqlite3_stmt *statement;
    struct buf sql;
    int result;

    buf_init(&sql, 4096);
    filter_sql(filter, &sql);
    result = sqlite3_prepare_v2(history->db, sql.data, -1, &statement, NULL);
    buf_done(&sql);
    if (result != SQLITE_OK)
        return store_fail(history, "be read", errs);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        sqlite3_bind_text(statement, (int)i + 1, values[i], -1, SQLITE_TRANSIENT);
    result = collect_rows(history, statement, &(struct wanted){ .live = (int)filter->live, .most = limit }, ret_runs, ret_count, errs);
    sqlite3_finalize(statement);
    return result;
}

int store_history_state(struct store_history *history, const char *series, char *text, size_t size, struct errs *errs)
{
    static const char sql[] = "SELECT count(*), count(duration_s), max(started) FROM run WHERE series = ?1";
    sqlite3_stmt *statement;
    const unsigned char *newest;
    int result = sqlite3_prepare_v2(history->db, sql, -1, &statement, NULL);

    if (result == SQLITE_OK) {
        sqlite3_bind_text(statement, 1, series, -1, SQLITE_TRANSIENT);
        result = sqlite3_step(statement);
    }
    if (result == SQLITE_ROW) {
        newest = sqlite3_column_text(statement, 2);
        snprintf(text, size, "%d %d %s", sqlite3_column_int(statement, 0), sqlite3_column_int(statement, 1), newest ? (const char *)newest : "");
    }
    sqlite3_finalize(statement);
    return result == SQLITE_ROW ? 0 : store_fail(history, "be read", errs);
}

struct store_run *store_runs_free(struct store_run *runs, size_t count)
{
    for (size_t i = 0; runs && i < count; i++)
        store_run_done(&runs[i]);
    free(runs);
    return NULL;
}

static int fail_ambiguous(const char *key, const struct store_run *runs, size_t count, struct errs *errs)
{
    struct buf names;

    buf_init(&names, ERR_TEXT_MAX);
    for (size_t i = 0; i < count && i < CANDIDATES_MAX; i++)
        buf_printf(&names, "%s%s", i ? ", " : "", runs[i].id);
    errs_add(errs, ERR_USAGE, key, "several runs begin so: %s%s", names.data, count > CANDIDATES_MAX ? " ..." : "");
    buf_done(&names);
    return -ENOTUNIQ;
}

int store_history_find(struct store_history *history, const char *key, struct store_run *ret_run, struct errs *errs)
{
    static const char newest[] = "SELECT " COLUMNS ", runner FROM run WHERE ?1 <> '' ORDER BY started DESC, rowid DESC LIMIT ?2";
    static const char exact[] = "SELECT " COLUMNS ", runner FROM run WHERE id = ?1 LIMIT ?2";
    static const char prefix[] = "SELECT " COLUMNS ", runner FROM run WHERE ?1 <> '' AND substr(id, 1, length(?1)) = ?1"
                                 " ORDER BY started DESC, rowid DESC LIMIT ?2";
    bool last = strcmp(key, "last") == 0;
    struct store_run *runs = NULL;
    size_t count = 0;
    int result = select_rows(history, last ? newest : exact, key, 1, &runs, &count, errs);

    if (result == 0 && count == 0 && !last) {
        runs = store_runs_free(runs, count);
        result = select_rows(history, prefix, key, CANDIDATES_MAX + 1, &runs, &count, errs);
    }
    if (result < 0)
        return result;
    if (count == 1) {
        *ret_run = runs[0];
        free(runs);
        return 0;
    }
    if (count > 1) {
        result = fail_ambiguous(key, runs, count, errs);
    } else {
        errs_add(errs, ERR_USAGE, key, last ? "no run has been made yet" : "no such run; `perturb runs` lists them");
        result = -ENOENT;
    }
    store_runs_free(runs, count);
    return result;
}

void store_run_done(struct store_run *run)
{
    free(run->storage);
    *run = (struct store_run){ .status = -1 };
}
