/* What the service does now. */
#include "controller/serve/http/archive.h"
#include "controller/base/json.h"
#include "controller/serve/core/service.h"

#include <string.h>
#include <time.h>

enum { LIVE_MAX = 50 };

int health_show(struct api_call *call)
{
    cJSON *object = cJSON_CreateObject();
    struct store_run *runs = NULL;
    size_t count = 0;
    int result = store_history_list(api_history_lock(call), 1, &runs, &count, api_errs(call));

    api_history_unlock(call);
    store_runs_free(runs, count);
    if (result < 0) {
        cJSON_Delete(object);
        return api_fail(call, 503, "the history of runs cannot be read");
    }
    cJSON_AddStringToObject(object, "status", "ok");
    return api_reply(call, 200, object);
}

/* Runs of others that live now (a command line's): the service supervises its own, the page shows all. */
static void add_others(struct api_call *call, cJSON *live)
{
    struct store_filter filter = { .live = STORE_LIVE };
    struct store_run *runs = NULL;
    const cJSON *one;
    size_t count = 0;

    if (store_history_page(api_history_lock(call), &filter, LIVE_MAX, &runs, &count, api_errs(call)) < 0)
        count = 0;
    api_history_unlock(call);
    for (size_t i = 0; i < count; i++) {
        bool known = false;

        cJSON_ArrayForEach(one, live)
            known = known || !strcmp(one->valuestring, runs[i].id);
        if (!known)
            cJSON_AddItemToArray(live, cJSON_CreateString(runs[i].id));
    }
    store_runs_free(runs, count);
}

int status_show(struct api_call *call)
{
    cJSON *status = service_status(api_service(call));
    char now[24];

    if (!status)
        return api_reply(call, 200, NULL);
    add_others(call, cJSON_GetObjectItemCaseSensitive(status, "runs_live"));
    cJSON_AddStringToObject(status, "version", PERTURB_VERSION);
    cJSON_AddStringToObject(status, "now", service_instant((int64_t)time(NULL), now, sizeof(now)));
    cJSON_AddStringToObject(status, "role", api_role_name(api_role_of(call)));
    json_put_text(status, "identity", api_identity(call));
    return api_reply(call, 200, status);
}
