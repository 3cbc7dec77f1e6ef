/* The stored playbooks. */
#include "controller/serve/archive.h"
#include "controller/serve/json.h"
#include "controller/serve/library.h"
#include "controller/serve/service.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 4096 };

static cJSON *last_run(struct api_call *call, const char *path, const char *name)
{
    AUTO_FREE char *series = realpath(path, NULL);
    struct store_filter filter = { .playbook = name, .series = series };
    struct store_run *runs = NULL;
    cJSON *object = NULL;
    size_t count = 0;

    if (store_history_page(api_history_lock(call), &filter, 1, &runs, &count, api_errs(call)) == 0 && count) {
        object = cJSON_CreateObject();
        json_put_text(object, "id", runs->id);
        json_put_text(object, "verdict", runs->verdict);
        json_put_number(object, "status", runs->status >= 0 ? runs->status : (double)NAN);
        json_put_text(object, "started", runs->started);
        json_put_number(object, "convergence_s", runs->convergence_s);
    }
    api_history_unlock(call);
    store_runs_free(runs, count);
    return object ? object : cJSON_CreateNull();
}

static cJSON *describe(struct api_call *call, const char *name)
{
    char path[PATH_BYTES];
    cJSON *object = library_describe(service_playbooks(api_service(call)), name, false);

    snprintf(path, sizeof(path), "%s/%s", service_playbooks(api_service(call)), name);
    cJSON_AddItemToObject(object, "last_run", last_run(call, path, name));
    return object;
}

int playbooks_list(struct api_call *call)
{
    const char *after[1] = { "" };
    AUTO_FREE char *next = NULL;
    struct library_names names;
    size_t limit = api_limit(call), taken = 0;
    cJSON *items;
    int result;

    if (api_cursor(call, after, 1) < 0)
        return 0;
    result = library_list(service_playbooks(api_service(call)), &names);
    if (result < 0)
        return api_fail(call, 503, "the playbooks' directory cannot be read: %s", strerror(-result));
    items = cJSON_CreateArray();
    for (size_t i = 0; i < names.count && !next; i++) {
        if (strcmp(names.list[i], after[0]) <= 0)
            continue;
        cJSON_AddItemToArray(items, describe(call, names.list[i]));
        if (++taken == limit && i + 1 < names.count)
            next = api_cursor_make((const char *const[]){ names.list[i] }, 1);
    }
    library_names_done(&names);
    return api_reply_list(call, items, next);
}
