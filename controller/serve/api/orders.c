/* Runs that are asked for, and aborted. */
#include "controller/serve/http/api.h"
#include "controller/serve/core/service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int reply_started(struct api_call *call, const char *id, const char *state)
{
    cJSON *object = cJSON_CreateObject();
    char href[RUN_ID_MAX + 32];

    snprintf(href, sizeof(href), "/api/v1/runs/%s", id);
    cJSON_AddStringToObject(object, "id", id);
    cJSON_AddStringToObject(object, "state", state);
    cJSON_AddStringToObject(object, "href", href);
    api_header(call, "Location", href);
    return api_reply(call, 202, object);
}

/* It waits for its turn where something stands in its way. */
int runs_start(struct api_call *call)
{
    const struct run_order order = { .playbook = api_text(call, "playbook"), .vars = cJSON_GetObjectItemCaseSensitive(api_body(call), "vars"),
                                     .seed = api_text(call, "seed"), .by_kind = "person", .by_name = api_identity(call), .waits = true };
    enum run_state state;
    char id[RUN_ID_MAX];
    int result = service_start_runs(api_service(call), &order, (int64_t)api_number(call, "repeat", 1), id, &state, api_errs(call));

    return result < 0 ? api_fail_errs(call, result) : reply_started(call, id, run_state_names[state]);
}

int runs_abort(struct api_call *call)
{
    const char *id = api_arg(call, "id");
    int result = service_abort_run(api_service(call), id, api_identity(call), api_text(call, "reason"), api_flag(call, "force", false), api_errs(call));

    if (result == -EALREADY)
        return api_fail(call, 409, "the run '%s' has ended", id);
    return result < 0 ? api_fail_errs(call, result) : reply_started(call, id, "ending");
}
