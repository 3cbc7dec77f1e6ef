/* Schedules and their occurrences. */
#include "controller/serve/http/api.h"
#include "controller/serve/timetable/timetable.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number of the path; 0 for what is none. */
static int64_t schedule_id(const struct api_call *call)
{
    const char *text = api_arg(call, "id");
    char *end;
    long long id = strtoll(text, &end, 10);

    return *end || end == text || id < 0 ? 0 : (int64_t)id;
}

static int no_such(struct api_call *call)
{
    return api_fail(call, 404, "there is no schedule '%s'", api_arg(call, "id"));
}

int schedules_list(struct api_call *call)
{
    cJSON *items = timetable_schedules(api_service(call), api_errs(call));

    return items ? api_reply_list(call, items, NULL) : api_fail_errs(call, -EIO);
}

static int reply_one(struct api_call *call, int status, cJSON *schedule)
{
    if (!schedule)
        return api_errs(call)->count ? api_fail_errs(call, -EIO) : no_such(call);
    return api_reply(call, status, schedule);
}

int schedules_show(struct api_call *call)
{
    return reply_one(call, 200, timetable_schedule(api_service(call), schedule_id(call), api_errs(call)));
}

static int put(struct api_call *call, int64_t id, int status)
{
    cJSON *schedule = NULL;
    int result = timetable_put_schedule(api_service(call), id, api_body(call), &schedule, api_errs(call));

    return result < 0 ? api_fail_errs(call, result) : reply_one(call, status, schedule);
}

int schedules_add(struct api_call *call)
{
    return put(call, 0, 201);
}

int schedules_change(struct api_call *call)
{
    int64_t id = schedule_id(call);

    return id ? put(call, id, 200) : no_such(call);
}

int schedules_delete(struct api_call *call)
{
    int64_t id = schedule_id(call);
    int result = id ? timetable_delete_schedule(api_service(call), id, api_errs(call)) : -ENOENT;

    return result == -ENOENT ? no_such(call) : result < 0 ? api_fail_errs(call, result) : api_reply(call, 204, NULL);
}

int schedules_skip(struct api_call *call)
{
    cJSON *schedule = NULL;
    int64_t id = schedule_id(call);
    int result = id ? timetable_skip_next(api_service(call), id, api_identity(call), &schedule, api_errs(call)) : -ENOENT;

    return result == -ENOENT ? no_such(call) : result < 0 ? api_fail_errs(call, result) : reply_one(call, 200, schedule);
}

static int enable(struct api_call *call, bool enabled)
{
    int64_t id = schedule_id(call);
    int result = id ? timetable_enable_schedule(api_service(call), id, enabled, api_errs(call)) : -ENOENT;

    return result == -ENOENT ? no_such(call) : result < 0 ? api_fail_errs(call, result) : schedules_show(call);
}

int schedules_pause(struct api_call *call)
{
    return enable(call, false);
}

int schedules_resume(struct api_call *call)
{
    return enable(call, true);
}

static int pause_all(struct api_call *call, bool paused)
{
    int result = timetable_pause(api_service(call), paused, api_errs(call));
    cJSON *object;

    if (result < 0)
        return api_fail_errs(call, result);
    object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "scheduler", paused ? "paused" : "running");
    return api_reply(call, 200, object);
}

int scheduler_pause(struct api_call *call)
{
    return pause_all(call, true);
}

int scheduler_resume(struct api_call *call)
{
    return pause_all(call, false);
}

/* ---- occurrences ---------------------------------------------------------------------------------------------------------------- */

static const char *text_of(const cJSON *item, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, key));
}

/* One more than the page is asked for, which tells whether there is a next one. */
static int reply_occurrences(struct api_call *call, int64_t schedule)
{
    const char *parts[2] = { NULL, NULL };
    size_t limit = api_limit(call);
    cJSON *items, *last;
    char *next = NULL;
    int result;

    if (api_cursor(call, parts, 2) < 0)
        return 0;
    items = timetable_occurrences(api_service(call), schedule, parts[0], parts[1], limit + 1, api_errs(call));
    if (!items)
        return api_fail_errs(call, -EIO);
    if (cJSON_GetArraySize(items) > (int)limit) {
        cJSON_DeleteItemFromArray(items, (int)limit);
        last = cJSON_GetArrayItem(items, (int)limit - 1);
        next = api_cursor_make((const char *const[]){ text_of(last, "due"), text_of(last, "schedule") }, 2);
    }
    result = api_reply_list(call, items, next);
    free(next);
    return result;
}

int occurrences_list(struct api_call *call)
{
    return reply_occurrences(call, 0);
}

int schedules_occurrences(struct api_call *call)
{
    int64_t id = schedule_id(call);

    return id ? reply_occurrences(call, id) : no_such(call);
}
