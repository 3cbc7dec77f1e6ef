/* /metrics, and the outlets as the API shows them. */
#include "controller/outlet/history.h"
#include "controller/outlet/outbox.h"
#include "controller/report/doc.h"
#include "controller/serve/http/archive.h"
#include "controller/serve/http/call.h"
#include "controller/serve/http/counts.h"
#include "controller/serve/http/dispatch.h"
#include "controller/serve/http/hub.h"
#include "controller/base/json.h"
#include "controller/serve/core/service.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LIVE_MAX = 32, LIVE_LOADS_MAX = 8, TAIL_BYTES = 1 << 16, SCHEDULES_MAX = 256 };

/* What the snapshot borrows from. */
struct scrape {
    struct api_call *call;
    struct metrics_snapshot snapshot;
    cJSON *status;
    struct store_run *runs;
    size_t run_count;
    struct metrics_history history;
    struct metrics_run live[LIVE_MAX];
    struct metrics_load loads[LIVE_MAX][LIVE_LOADS_MAX];
    cJSON *samples[LIVE_MAX];
    struct metrics_schedule schedules[SCHEDULES_MAX];
    struct metrics_api api[COUNTS_CLASSES];
    struct outlet_config *config;
    struct metrics_outlet outlets[OUTLETS_MAX];
};

static const char *name_of(void *context, const struct store_run *run)
{
    return api_playbook_name(context, run);
}

static double seconds_of(const char *instant)
{
    struct tm broken_down = { .tm_year = 0 };

    return instant && strptime(instant, "%Y-%m-%dT%H:%M:%SZ", &broken_down) ? (double)timegm(&broken_down) : (double)NAN;
}

/* ---- live runs ---------------------------------------------------------------------------------------------------------------------- */

/* The last whole line of live.jsonl; NULL where there is none. New. */
static cJSON *last_sample(const char *directory)
{
    char path[4096 + 16], *text = malloc(TAIL_BYTES + 1), *end, *begin;
    int fd = -1;
    struct stat found;
    ssize_t size = 0;
    cJSON *sample = NULL;

    snprintf(path, sizeof(path), "%s/live.jsonl", directory ? directory : "");
    fd = directory && text ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd >= 0 && fstat(fd, &found) == 0)
        size = pread(fd, text, TAIL_BYTES, found.st_size > TAIL_BYTES ? found.st_size - TAIL_BYTES : 0);
    if (fd >= 0)
        close(fd);
    end = size > 0 ? memrchr(text, '\n', (size_t)size) : NULL;
    if (end) {
        *end = '\0';
        begin = strrchr(text, '\n');
        sample = cJSON_Parse(begin ? begin + 1 : text);
    }
    free(text);
    return sample;
}

static void take_live(struct scrape *scrape)
{
    for (size_t i = 0; i < scrape->run_count && scrape->snapshot.run_count < LIVE_MAX; i++) {
        const struct store_run *run = &scrape->runs[i];
        size_t at = scrape->snapshot.run_count;

        if (!run->verdict || strcmp(run->verdict, "running") != 0)
            continue;
        scrape->samples[at] = last_sample(run->directory);
        scrape->live[at] = (struct metrics_run){ .run = run->id, .playbook = api_playbook_name(scrape->call, run), .service = run->service,
                                                 .elapsed_s = (double)time(NULL) - seconds_of(run->started) };
        metrics_take_sample(scrape->samples[at], &scrape->live[at], scrape->loads[at], LIVE_LOADS_MAX);
        scrape->snapshot.run_count++;
    }
    scrape->snapshot.runs = scrape->live;
}

/* ---- the service ------------------------------------------------------------------------------------------------------------------------ */

static void take_status(struct scrape *scrape)
{
    const cJSON *next;
    size_t count = 0;

    scrape->status = service_status(api_service(scrape->call));
    scrape->snapshot.lever_engaged = doc_is(scrape->status, "lever", "engaged");
    scrape->snapshot.scheduler_paused = doc_get(scrape->status, "scheduler") ? doc_is(scrape->status, "scheduler", "paused") : -1;
    scrape->snapshot.problems = (double)doc_count(doc_list(scrape->status, "problems"));
    cJSON_ArrayForEach(next, doc_list(scrape->status, "next"))
    {
        bool told = !doc_text(next, "schedule")[0] || count == SCHEDULES_MAX;

        for (size_t i = 0; i < count; i++)
            told |= !strcmp(scrape->schedules[i].schedule, doc_text(next, "schedule"));
        if (!told) /* the nearest comes first */
            scrape->schedules[count++] = (struct metrics_schedule){ .schedule = doc_text(next, "schedule"), .next_due_s = seconds_of(doc_text(next, "due")) };
    }
    scrape->snapshot.schedules = scrape->schedules;
    scrape->snapshot.schedule_count = count;
}

/* How often each was passed over. The names of schedules that are due no more are not told. */
static void take_skipped(struct scrape *scrape)
{
    struct service_db *db = service_lock(api_service(scrape->call));
    sqlite3_stmt *row;

    for (size_t i = 0; i < scrape->snapshot.schedule_count; i++) {
        if (db_query(db, api_errs(scrape->call), &row, "SELECT count(*) FROM occurrence JOIN schedule ON schedule.id = occurrence.schedule"
                     " WHERE occurrence.state = 'skipped' AND schedule.name = ?1", "t", scrape->schedules[i].schedule) < 0)
            break;
        if (db_step(db, row, api_errs(scrape->call)) > 0)
            scrape->schedules[i].skipped = strtoull(db_text(row, 0), NULL, 10);
        sqlite3_finalize(row);
    }
    service_unlock(api_service(scrape->call));
}

static int take_history(struct scrape *scrape)
{
    struct store_history *history = api_history_lock(scrape->call);
    struct store_finding *findings = NULL;
    size_t count = 0;
    int result = store_history_list(history, 0, &scrape->runs, &scrape->run_count, api_errs(scrape->call));

    if (result == 0)
        result = store_findings_list(history, false, &findings, &count, api_errs(scrape->call));
    api_history_unlock(scrape->call);
    store_findings_free(findings, count);
    scrape->snapshot.findings_open = (double)count;
    if (result == 0)
        result = metrics_history_take(scrape->runs, scrape->run_count, name_of, scrape->call, &scrape->history);
    scrape->snapshot.playbooks = scrape->history.playbooks;
    scrape->snapshot.playbook_count = scrape->history.count;
    return result;
}

static void take_api(struct scrape *scrape)
{
    static const char *const codes[COUNTS_CLASSES] = { "1xx", "2xx", "3xx", "4xx", "5xx" };
    uint64_t requests, ns;

    for (size_t i = 0; i < COUNTS_CLASSES; i++) {
        counts_read(i, &requests, &ns);
        scrape->api[i] = (struct metrics_api){ codes[i], requests, (double)ns / 1e9 };
    }
    scrape->snapshot.api = scrape->api + 1; /* no handler answers 1xx */
    scrape->snapshot.api_count = COUNTS_CLASSES - 1;
    scrape->snapshot.watchers = (double)hub_watchers(scrape->call->server->hub);
}

/* ---- outlets ------------------------------------------------------------------------------------------------------------------------------ */

/* Those of serve.yaml as it is now. 0 with NULL where it has none; negative with errors added. */
static int read_outlets(struct api_call *call, struct outlet_config **ret_config)
{
    char file[4096 + 16];

    *ret_config = NULL;
    return service_outlets_file(api_service(call), file, sizeof(file)) ? outlet_config_read(file, api_errs(call), ret_config) : 0;
}

static void take_outlets(struct scrape *scrape)
{
    char root[OUTBOX_PATH_MAX];
    const struct outlet *outlets;

    if (read_outlets(scrape->call, &scrape->config) < 0 || !scrape->config || outbox_root(root, api_errs(scrape->call)) < 0)
        return; /* a problem of serve.yaml is for its status */
    outlets = scrape->config->outlets.items;
    for (size_t i = 0; i < scrape->config->outlets.count; i++) {
        struct outbox_counts counts;

        outbox_counts(root, outlets[i].name, &counts);
        scrape->outlets[i] = (struct metrics_outlet){ .outlet = outlets[i].name, .kind = outlet_kind_name((enum outlet_kind)outlets[i].kind), .sent = counts.sent,
                                                      .retried = counts.retried, .dropped = counts.dropped, .queue = outbox_waiting(root, outlets[i].name),
                                                      .last_success_s = counts.last_success_s };
    }
    scrape->snapshot.outlets = scrape->outlets;
    scrape->snapshot.outlet_count = scrape->config->outlets.count;
}

static void scrape_done(struct scrape *scrape)
{
    metrics_history_done(&scrape->history);
    for (size_t i = 0; i < scrape->snapshot.run_count; i++)
        cJSON_Delete(scrape->samples[i]);
    store_runs_free(scrape->runs, scrape->run_count);
    cJSON_Delete(scrape->status);
    outlet_config_free(scrape->config);
    free(scrape);
}

int metrics_show(struct api_call *call)
{
    struct scrape *scrape = calloc(1, sizeof(*scrape));
    struct buf text;
    size_t length;
    int result;

    if (!scrape)
        return api_reply(call, 200, NULL);
    scrape->call = call;
    scrape->snapshot = (struct metrics_snapshot){ .version = PERTURB_VERSION, .findings_open = NAN };
    take_status(scrape);
    take_skipped(scrape);
    result = take_history(scrape);
    take_live(scrape);
    take_api(scrape);
    take_outlets(scrape);
    buf_init(&text, METRICS_TEXT_MAX);
    if (result == 0)
        result = metrics_print(&scrape->snapshot, &text);
    scrape_done(scrape);
    length = text.length;
    if (result < 0)
        api_fail_errs(call, result);
    else
        api_reply_bytes(call, 200, METRICS_CONTENT_TYPE, buf_take(&text), length);
    buf_done(&text);
    return 0;
}

static cJSON *describe(const char *root, const struct outlet *outlet)
{
    cJSON *object = cJSON_CreateObject(), *on = NULL;
    struct outbox_counts counts;
    char shown[256], at[24];

    outbox_counts(root, outlet->name, &counts);
    json_put_text(object, "name", outlet->name);
    json_put_text(object, "kind", outlet_kind_name((enum outlet_kind)outlet->kind));
    json_put_text(object, "origin", outlet_shown(outlet, shown, sizeof(shown)));
    cJSON_AddBoolToObject(object, "signed", outlet->secret[0] != '\0');
    on = cJSON_AddArrayToObject(object, "on");
    for (int i = 0; outlet->kind <= OUTLET_SLACK && i < MOMENTS; i++)
        if (outlet->moments & (1U << i))
            cJSON_AddItemToArray(on, cJSON_CreateString(moment_name((enum outlet_moment)i)));
    json_put_integer(object, "sent", (int64_t)counts.sent);
    json_put_integer(object, "retried", (int64_t)counts.retried);
    json_put_integer(object, "dropped", (int64_t)counts.dropped);
    json_put_number(object, "waiting", (double)outbox_waiting(root, outlet->name));
    json_put_text(object, "last_success", counts.last_success_s > 0 ? service_instant((int64_t)counts.last_success_s, at, sizeof(at)) : NULL);
    json_put_text(object, "last_error", counts.last_error[0] ? counts.last_error : NULL);
    return object;
}

int outlets_list(struct api_call *call)
{
    struct outlet_config *config = NULL;
    char root[OUTBOX_PATH_MAX];
    cJSON *items;
    int result = read_outlets(call, &config);

    if (result == 0)
        result = outbox_root(root, api_errs(call));
    if (result < 0) {
        outlet_config_free(config);
        return api_fail_errs(call, result);
    }
    items = cJSON_CreateArray();
    for (size_t i = 0; config && i < config->outlets.count; i++)
        cJSON_AddItemToArray(items, describe(root, (const struct outlet *)config->outlets.items + i));
    outlet_config_free(config);
    return api_reply_list(call, items, NULL);
}
