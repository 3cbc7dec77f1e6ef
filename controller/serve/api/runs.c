/* Runs that were made and that live: the history's rows, with what the service knows beyond them. */
#include "controller/report/report.h"
#include "controller/serve/http/archive.h"
#include "controller/base/json.h"
#include "controller/serve/core/service.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { EVENTS_BYTES_MAX = 64 << 20, SEED_CHARS = 24 };

/* ---- the list ---- */

static bool is_live(const struct store_run *run)
{
    return run->verdict && !strcmp(run->verdict, "running");
}

/* Who had it run, and what became of it: the service knows of its own, everybody else's came from a command line. */
static void put_origin(struct api_call *call, cJSON *object, const char *id)
{
    cJSON *by = cJSON_AddObjectToObject(object, "by");
    struct service_db *db = service_lock(api_service(call));
    sqlite3_stmt *row;
    bool own = false;

    if (db_query(db, api_errs(call), &row, "SELECT by_kind, by_name, outcome, reason FROM run_order WHERE id = ?1", "t", id) == 0) {
        own = db_step(db, row, api_errs(call)) > 0;
        json_put_text(by, "kind", own ? db_text(row, 0) : "cli");
        json_put_text(by, "name", own ? db_text(row, 1) : NULL);
        json_put_text(object, "outcome", own ? db_text(row, 2) : NULL);
        json_put_text(object, "reason", own ? db_text(row, 3) : NULL);
        sqlite3_finalize(row);
    }
    service_unlock(api_service(call));
}

static cJSON *describe(struct api_call *call, const struct store_run *run)
{
    cJSON *object = cJSON_CreateObject();
    bool live = is_live(run);

    json_put_text(object, "id", run->id);
    json_put_text(object, "playbook", api_playbook_name(call, run));
    json_put_text(object, "title", run->title);
    json_put_text(object, "service", run->service);
    json_put_text(object, "state", live ? "running" : "ended");
    json_put_text(object, "verdict", live ? NULL : run->verdict);
    json_put_number(object, "status", run->status >= 0 ? run->status : (double)NAN);
    json_put_text(object, "started", run->started);
    json_put_number(object, "duration_s", run->duration_s);
    json_put_number(object, "convergence_s", run->convergence_s);
    json_put_number(object, "convergence_low_s", run->convergence_low_s);
    json_put_number(object, "convergence_high_s", run->convergence_high_s);
    json_put_number(object, "loss_s", run->loss_s);
    json_put_text(object, "rigour", run->rigour);
    json_put_text(object, "seed", run->seed);
    json_put_text(object, "batch", run->batch);
    put_origin(call, object, run->id);
    return object;
}

/* One that waits for its turn has no row in the history yet. */
static cJSON *describe_queued(const cJSON *own)
{
    static const char *const unknown[] = { "title", "service", "verdict", "status", "started", "duration_s", "convergence_s",
                                           "convergence_low_s", "convergence_high_s", "loss_s", "rigour", "seed" };
    static const char *const known[] = { "id", "playbook", "state", "batch", "by", "outcome", "reason" };
    cJSON *object = cJSON_CreateObject();

    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        json_copy(object, known[i], own, known[i]);
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
        cJSON_AddNullToObject(object, unknown[i]);
    return object;
}

/* Queued runs stand at the top of the first page; they are few (the service bounds its queue). */
static int add_queued(struct api_call *call, cJSON *items)
{
    const char *playbook = api_query(call, "playbook"), *state = api_query(call, "state");
    cJSON *queued, *one;

    if (api_query(call, "cursor") || api_query(call, "verdict") || api_query(call, "service") || (state && strcmp(state, "queued") != 0))
        return 0;
    queued = service_runs(api_service(call), "queued", 0, api_limit(call), api_errs(call));
    if (!queued)
        return -EIO;
    cJSON_ArrayForEach(one, queued)
    {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(one, "playbook"));

        if (!playbook || (name && !strcmp(name, playbook)))
            cJSON_AddItemToArray(items, describe_queued(one));
    }
    cJSON_Delete(queued);
    return 0;
}

/* The series of a playbook is the real path of its file. */
static void find_series(struct api_call *call, const char *name, char **ret_series)
{
    char path[4096];
    struct errs *errs = calloc(1, sizeof(*errs)); /* a name that is no playbook any more has a history all the same */

    *ret_series = NULL;
    if (errs && service_playbook_file(api_service(call), name, path, sizeof(path), errs) == 0)
        *ret_series = realpath(path, NULL);
    free(errs);
}

static int add_page(struct api_call *call, const struct store_filter *filter, cJSON *items, char **ret_next)
{
    struct store_run *runs = NULL;
    size_t count = 0, limit = api_limit(call);
    int result = store_history_page(api_history_lock(call), filter, limit + 1, &runs, &count, api_errs(call));

    api_history_unlock(call);
    if (result < 0)
        return result;
    for (size_t i = 0; i < count && i < limit; i++)
        cJSON_AddItemToArray(items, describe(call, &runs[i]));
    if (count > limit)
        *ret_next = api_cursor_make((const char *const[]){ runs[limit - 1].started ? runs[limit - 1].started : "", runs[limit - 1].id }, 2);
    store_runs_free(runs, count);
    return 0;
}

int runs_list(struct api_call *call)
{
    const char *after[2] = { NULL, NULL }, *playbook = api_query(call, "playbook"), *state = api_query(call, "state");
    AUTO_FREE char *series = NULL;
    AUTO_FREE char *next = NULL;
    struct store_filter filter = { .playbook = playbook, .verdict = api_query(call, "verdict"), .service = api_query(call, "service"),
                                   .since = api_query(call, "since") };
    cJSON *items;
    int result;

    if (api_cursor(call, after, 2) < 0)
        return 0;
    filter.before_started = after[0];
    filter.before_id = after[1];
    filter.live = !state ? STORE_ANY : !strcmp(state, "running") ? STORE_LIVE : STORE_ENDED;
    if (playbook)
        find_series(call, playbook, &series);
    filter.series = series;
    items = cJSON_CreateArray();
    result = add_queued(call, items);
    if (result == 0 && (!state || strcmp(state, "queued") != 0))
        result = add_page(call, &filter, items, &next);
    if (result == 0)
        return api_reply_list(call, items, next);
    cJSON_Delete(items);
    return api_fail_errs(call, result);
}

/* ---- one ---- */

static cJSON *read_result(const struct store_run *run)
{
    struct errs *errs = calloc(1, sizeof(*errs)); /* a run that lives or was cut off has none, and that is no error */
    cJSON *result = NULL;

    if (errs && run->directory)
        store_read_result(run->directory, &result, errs);
    free(errs);
    return result;
}

/* A run of ours that waits, was refused or has only just begun: no row of the history tells of it. */
static int show_unwritten(struct api_call *call)
{
    cJSON *own = service_run(api_service(call), api_arg(call, "id"), api_errs(call)), *object;

    if (!own)
        return api_fail(call, 404, "there is no run '%s'", api_arg(call, "id"));
    object = describe_queued(own);
    cJSON_AddNullToObject(object, "why");
    cJSON_AddItemToObject(object, "next", cJSON_CreateArray());
    json_copy(object, "directory", own, "directory");
    cJSON_Delete(own);
    return api_reply(call, 200, object);
}

int runs_show(struct api_call *call)
{
    struct store_run run;
    const cJSON *verdict;
    cJSON *object, *result;
    int found = api_look_up(call, api_arg(call, "id"), &run);

    if (found == -ENOENT)
        return show_unwritten(call);
    if (found < 0)
        return api_fail_errs(call, found);
    object = describe(call, &run);
    result = read_result(&run);
    verdict = cJSON_GetObjectItemCaseSensitive(result, "verdict");
    json_copy(object, "why", verdict, "why");
    json_copy(object, "next", verdict, "next");
    json_put_text(object, "directory", run.directory);
    json_copy(object, "instants_s", result, "instants_s");
    json_copy(object, "faults", result, "faults");
    json_copy(object, "expect", result, "expect");
    json_copy(object, "guards", result, "guards");
    json_copy(object, "undo", result, "undo");
    json_copy(object, "verify", result, "verify");
    json_copy(object, "marks", result, "marks");
    cJSON_Delete(result);
    store_run_done(&run);
    return api_reply(call, 200, object);
}

/* ---- its documents ---- */

/* Finds the run and its result, which is there a moment before its row says so. 0, or negative and the call is answered. */
static int find_result(struct api_call *call, char **ret_directory, cJSON **ret_result)
{
    struct store_run run;
    int result = api_find_run(call, &run);

    if (result < 0)
        return result;
    *ret_result = read_result(&run);
    if (*ret_result)
        *ret_directory = strdup(run.directory);
    else if (is_live(&run))
        api_fail(call, 409, "the run has not ended yet");
    else
        api_fail(call, 404, "the run left no result: it was %s", run.verdict ? run.verdict : "cut off");
    store_run_done(&run);
    return *ret_result ? 0 : -ENOENT;
}

static int render(struct api_call *call, const char *format, const char *type)
{
    AUTO_FREE char *directory = NULL;
    cJSON *document = NULL;
    struct buf events, text;
    char path[4200];
    int result;

    if (find_result(call, &directory, &document) < 0)
        return 0;
    buf_init(&events, EVENTS_BYTES_MAX);
    snprintf(path, sizeof(path), "%s/events.jsonl", directory ? directory : "");
    if (buf_read_file(&events, path) < 0)
        buf_done(&events);
    result = report_render(report_format_find(format, strlen(format)), document, events.length ? &events : NULL, &text);
    buf_done(&events);
    cJSON_Delete(document);
    if (result < 0) {
        buf_done(&text);
        return api_fail(call, 500, "the report cannot be made: %s", strerror(-result));
    }
    result = (int)text.length;
    return api_reply_bytes(call, 200, type, buf_take(&text), (size_t)result);
}

int runs_result(struct api_call *call)
{
    AUTO_FREE char *directory = NULL;
    cJSON *document = NULL;

    if (find_result(call, &directory, &document) < 0)
        return 0;
    return api_reply(call, 200, document);
}

/* The page brings its own policy by hashes; the sandbox keeps its scripts away from this origin's session. */
int runs_report(struct api_call *call)
{
    render(call, "html", "text/html; charset=utf-8");
    api_header(call, "Content-Security-Policy", "sandbox allow-scripts allow-popups; frame-ancestors 'self'");
    return 0;
}

int runs_markdown(struct api_call *call)
{
    return render(call, "markdown", "text/markdown; charset=utf-8");
}

int runs_journal(struct api_call *call)
{
    return render(call, "journal", "application/json");
}

int runs_junit(struct api_call *call)
{
    return render(call, "junit", "application/xml; charset=utf-8");
}
