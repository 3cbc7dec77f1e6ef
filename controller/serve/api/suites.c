/* Windows, suites and their runs. */
#include "controller/serve/http/api.h"
#include "controller/serve/timetable/timetable.h"

#include <errno.h>
#include <stdio.h>

static int reply_items(struct api_call *call, cJSON *items)
{
    return items ? api_reply_list(call, items, NULL) : api_fail_errs(call, -EIO);
}

int windows_list(struct api_call *call)
{
    return reply_items(call, timetable_windows(api_service(call), api_errs(call)));
}

int windows_add(struct api_call *call)
{
    cJSON *window = NULL;
    int result = timetable_add_window(api_service(call), api_body(call), &window, api_errs(call));

    return result < 0 ? api_fail_errs(call, result) : api_reply(call, 201, window);
}

int windows_delete(struct api_call *call)
{
    int result = timetable_delete_window(api_service(call), api_arg(call, "name"), api_errs(call));

    return result < 0 ? api_fail_errs(call, result) : api_reply(call, 204, NULL);
}

int suites_list(struct api_call *call)
{
    return reply_items(call, timetable_suites(api_service(call), api_errs(call)));
}

int suites_put(struct api_call *call)
{
    cJSON *suite = NULL;
    int result = timetable_put_suite(api_service(call), api_body(call), &suite, api_errs(call));

    return result < 0 ? api_fail_errs(call, result) : api_reply(call, 201, suite);
}

int suites_delete(struct api_call *call)
{
    int result = timetable_delete_suite(api_service(call), api_arg(call, "name"), api_errs(call));

    return result < 0 ? api_fail_errs(call, result) : api_reply(call, 204, NULL);
}

static int reply_suite_run(struct api_call *call, const char *id, const char *state)
{
    cJSON *object = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "id", id);
    cJSON_AddStringToObject(object, "state", state);
    return api_reply(call, 202, object);
}

int suites_start(struct api_call *call)
{
    char id[RUN_ID_MAX];
    int result = timetable_start_suite(api_service(call), api_arg(call, "name"), "person", api_identity(call), id, api_errs(call));

    return result < 0 ? api_fail_errs(call, result) : reply_suite_run(call, id, "running");
}

int suite_runs_list(struct api_call *call)
{
    return reply_items(call, timetable_suite_runs(api_service(call), api_limit(call), api_errs(call)));
}

int suite_runs_abort(struct api_call *call)
{
    const char *id = api_arg(call, "id");
    int result = timetable_abort_suite(api_service(call), id, api_identity(call), api_errs(call));

    return result < 0 ? api_fail_errs(call, result) : reply_suite_run(call, id, "ended");
}
