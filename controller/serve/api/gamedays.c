/* Game days by the API: the documents of controller/gameday, and the runs that the service starts for them. */
#include "controller/gameday/gameday.h"
#include "controller/report/doc.h"
#include "controller/run/run.h"
#include "controller/serve/api/marks.h"
#include "controller/base/json.h"
#include "controller/serve/core/service.h"
#include "controller/store/store.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { DIRECTORY_TIMEOUT_MS = 3000 };

/* A document is read, changed and written by one worker at a time. */
static pthread_mutex_t documents = PTHREAD_MUTEX_INITIALIZER;

/* ---- what became of its run ------------------------------------------------------------------------------------------------------------ */

static bool has_result(const struct gameday *gameday)
{
    char path[4200];

    snprintf(path, sizeof(path), "%s/result.json", doc_text(gameday->document, "directory"));
    return access(path, F_OK) == 0;
}

/* A run that has its result ends the day. */
static void look_after(struct api_call *call, struct gameday *gameday)
{
    cJSON *result = NULL;

    if (!doc_is(gameday->document, "state", "running") || !has_result(gameday))
        return;
    if (store_read_result(doc_text(gameday->document, "directory"), &result, api_errs(call)) < 0)
        return;
    gameday_finish(gameday, (int)doc_number(doc_get(result, "verdict"), "status"), api_errs(call));
    cJSON_Delete(result);
}

static int reply_with(struct api_call *call, struct gameday *gameday, int status)
{
    cJSON *document = gameday->document;

    gameday->document = NULL;
    return api_reply(call, status, document);
}

/* Reads the day of the path's {id} under the mutex. False: answered, and the mutex is free. */
static bool begin(struct api_call *call, struct gameday *gameday)
{
    int result;

    pthread_mutex_lock(&documents);
    result = gameday_read(gameday, api_arg(call, "id"), api_errs(call));
    if (result == 0) {
        look_after(call, gameday);
        return true;
    }
    pthread_mutex_unlock(&documents);
    api_fail_errs(call, result);
    return false;
}

static int end(struct gameday *gameday)
{
    pthread_mutex_unlock(&documents);
    gameday_done(gameday);
    return 0;
}

/* ---- the handlers ------------------------------------------------------------------------------------------------------------------------ */

int gamedays_list(struct api_call *call)
{
    const char *after = NULL;
    AUTO_FREE char *next = NULL;
    cJSON *list = NULL, *items, *day;
    size_t limit = api_limit(call);
    int result;

    if (api_cursor(call, &after, 1) < 0)
        return 0;
    pthread_mutex_lock(&documents);
    result = gameday_list(&list, api_errs(call));
    pthread_mutex_unlock(&documents);
    if (result < 0)
        return api_fail_errs(call, result);
    items = cJSON_CreateArray();
    while ((day = cJSON_DetachItemFromArray(list, 0)) != NULL && (size_t)cJSON_GetArraySize(items) < limit) {
        if (after && strcmp(doc_text(day, "id"), after) >= 0)
            cJSON_Delete(day);
        else
            cJSON_AddItemToArray(items, day);
    }
    if (day && cJSON_GetArraySize(items)) {
        const char *last = doc_text(cJSON_GetArrayItem(items, cJSON_GetArraySize(items) - 1), "id");

        next = api_cursor_make(&last, 1);
    }
    cJSON_Delete(day);
    cJSON_Delete(list);
    return api_reply_list(call, items, next);
}

int gamedays_create(struct api_call *call)
{
    const char *name = api_text(call, "playbook");
    const struct playbook_options options = { .free_port = run_free_port };
    struct gameday gameday = { .document = NULL };
    char path[4096];
    struct playbook *playbook;
    int result = service_playbook_file(api_service(call), name, path, sizeof(path), api_errs(call));

    if (result < 0)
        return api_fail_errs(call, result);
    playbook = calloc(1, sizeof(*playbook));
    if (!playbook)
        return api_fail(call, 500, "out of memory");
    result = playbook_read(playbook, path, &options, api_errs(call));
    if (result == 0)
        result = gameday_open(&gameday, playbook, api_identity(call), api_errs(call));
    playbook_done(playbook);
    free(playbook);
    if (result == 0)
        result = gameday_note(&gameday, "name", name, api_errs(call));
    if (result < 0)
        api_fail_errs(call, result);
    else
        reply_with(call, &gameday, 201);
    gameday_done(&gameday);
    return 0;
}

int gamedays_show(struct api_call *call)
{
    struct gameday gameday;

    if (!begin(call, &gameday))
        return 0;
    reply_with(call, &gameday, 200);
    return end(&gameday);
}

int gamedays_check(struct api_call *call)
{
    struct gameday gameday;
    double item = api_number(call, "item", -1);
    int result;

    if (!begin(call, &gameday))
        return 0;
    result = gameday_tick(&gameday, item >= 0 && item <= 1000 ? (size_t)item : 1001, api_identity(call), api_errs(call));
    if (result == -ERANGE)
        api_fail(call, 404, "the checklist has no item %.0f", item);
    else if (result < 0)
        api_fail_errs(call, result);
    else
        reply_with(call, &gameday, 200);
    return end(&gameday);
}

/* Its ticks go to the run once that has its directory, in a moment. */
static void tell_run(const struct gameday *gameday)
{
    uint64_t deadline_ns = clock_now_ns() + DIRECTORY_TIMEOUT_MS * NS_PER_MS;

    while (gameday_tell_run(gameday) == -ENOENT && clock_now_ns() < deadline_ns)
        poll(NULL, 0, 20);
}

static int start(struct api_call *call, struct gameday *gameday)
{
    const struct run_order order = { .playbook = doc_text(gameday->document, "name"), .by_kind = "person", .by_name = api_identity(call) };
    char id[RUN_ID_MAX];
    enum run_state state;
    cJSON *run;
    int result;

    if (!gameday_is_ready(gameday))
        return api_fail(call, 409, "the checklist has items that nobody ticked");
    if (!order.playbook[0])
        return api_fail(call, 409, "this game day is held in a terminal");
    result = service_start_run(api_service(call), &order, id, &state, api_errs(call));
    if (result < 0)
        return api_fail_errs(call, result);
    run = service_run(api_service(call), id, api_errs(call));
    result = gameday_begin(gameday, id, doc_text(run, "directory"), api_errs(call));
    cJSON_Delete(run);
    if (result < 0)
        return api_fail_errs(call, result);
    tell_run(gameday);
    return reply_with(call, gameday, 202);
}

/* Begins the run; during it, ends a hold. */
int gamedays_go(struct api_call *call)
{
    uint64_t now_ns = clock_now_ns();
    struct gameday gameday;

    if (!begin(call, &gameday))
        return 0;
    if (doc_is(gameday.document, "state", "checklist"))
        start(call, &gameday);
    else
        api_put_mark(call, doc_text(gameday.document, "directory"), "go", NULL, now_ns);
    return end(&gameday);
}

int gamedays_mark(struct api_call *call)
{
    uint64_t now_ns = clock_now_ns();
    struct gameday gameday;

    if (!begin(call, &gameday))
        return 0;
    if (doc_is(gameday.document, "state", "checklist"))
        api_fail(call, 409, "the game day has not begun");
    else
        api_put_mark(call, doc_text(gameday.document, "directory"), api_text(call, "mark"), api_text(call, "text"), now_ns);
    return end(&gameday);
}

/* The run is told to abort where it goes on; the scorecard is there when it has ended. */
int gamedays_end(struct api_call *call)
{
    struct gameday gameday;
    int result = 0;

    if (!begin(call, &gameday))
        return 0;
    if (doc_is(gameday.document, "state", "checklist"))
        result = gameday_note(&gameday, "state", "ended", api_errs(call));
    else if (doc_is(gameday.document, "state", "running"))
        result = service_abort_run(api_service(call), doc_text(gameday.document, "run"), api_identity(call), "the game day was ended", false, api_errs(call));
    if (result < 0 && result != -EALREADY)
        api_fail_errs(call, result);
    else
        reply_with(call, &gameday, doc_is(gameday.document, "state", "ended") ? 200 : 202);
    return end(&gameday);
}
