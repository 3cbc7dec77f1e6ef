/* What the service does now. */
#include "controller/serve/archive.h"
#include "controller/serve/json.h"
#include "controller/serve/service.h"

#include <time.h>

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

int status_show(struct api_call *call)
{
    cJSON *status = service_status(api_service(call));
    char now[24];

    if (!status)
        return api_reply(call, 200, NULL);
    cJSON_AddStringToObject(status, "version", PERTURB_VERSION);
    cJSON_AddStringToObject(status, "now", service_instant((int64_t)time(NULL), now, sizeof(now)));
    cJSON_AddStringToObject(status, "role", api_role_name(api_role_of(call)));
    json_put_text(status, "identity", api_identity(call));
    return api_reply(call, 200, status);
}
