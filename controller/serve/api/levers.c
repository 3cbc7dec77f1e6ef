/* The stop and its end. They go through the registry alone: no lock of the service, no database, no run has to answer first. */
#include "controller/look/proxies.h"
#include "controller/run/recover.h"
#include "controller/serve/http/dispatch.h"
#include "controller/serve/http/hub.h"
#include "controller/base/json.h"
#include "shims/host/registry.h"

#include <string.h>

/* So long the answer waits for faults to be gone, so that it can say whether they are; they go on being released afterwards. */
enum { RUNS_WAIT_MS = 1500, PROXIES_WAIT_MS = 500 };

static int set_lever(struct api_call *call, bool halted)
{
    struct registry registry;
    int result = registry_open(&registry);

    if (result == 0) {
        result = lever_set(&registry, halted);
        registry_close(&registry);
    }
    if (result < 0)
        return errs_add(api_errs(call), ERR_WORLD, "lever", "the safety lever cannot be set: %s", strerror(-result));
    return 0;
}

static void tell_watchers(struct api_call *call, bool halted)
{
    cJSON *word = cJSON_CreateString(halted ? "engaged" : "released");

    hub_post(call->server->hub, "lever", word);
    cJSON_Delete(word);
}

static int halt_proxies(size_t *ret_told, size_t *ret_left)
{
    struct registry registry;
    int result = registry_open(&registry);

    if (result == 0) {
        result = proxies_wait_halted(&registry, PROXIES_WAIT_MS, ret_told, ret_left);
        registry_close(&registry);
    }
    return result;
}

int halt(struct api_call *call)
{
    size_t runs = 0, runs_left = 0, proxies = 0, proxies_left = 0;
    cJSON *object;
    int result = set_lever(call, true);

    if (result < 0)
        return api_fail_errs(call, result);
    tell_watchers(call, true);
    result = halt_runs(api_flag(call, "force", false), RUNS_WAIT_MS, &runs, &runs_left, api_errs(call));
    if (result < 0)
        return api_fail_errs(call, result);
    result = halt_proxies(&proxies, &proxies_left);
    if (result < 0)
        return api_fail(call, 503, "the lever is engaged and runs are told, but the proxies cannot be listed: %s", strerror(-result));
    object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "lever", "engaged");
    cJSON_AddNumberToObject(object, "runs", (double)runs);
    cJSON_AddNumberToObject(object, "runs_left", (double)runs_left);
    cJSON_AddNumberToObject(object, "proxies", (double)proxies);
    cJSON_AddNumberToObject(object, "proxies_left", (double)proxies_left);
    return api_reply(call, 200, object);
}

int resume(struct api_call *call)
{
    cJSON *object;
    int result = set_lever(call, false);

    if (result < 0)
        return api_fail_errs(call, result);
    tell_watchers(call, false);
    object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "lever", "released");
    return api_reply(call, 200, object);
}
