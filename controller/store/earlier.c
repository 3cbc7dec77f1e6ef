/* The earlier runs of a playbook, as a list for the result document of the latest. */
#include "controller/store/store.h"

#include "controller/base/json.h"

#include <math.h>
#include <string.h>

static cJSON *describe(const struct store_run *run, const struct store_run *now)
{
    cJSON *object = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "id", run->id);
    cJSON_AddStringToObject(object, "started", run->started ? run->started : "");
    cJSON_AddStringToObject(object, "verdict", run->verdict ? run->verdict : "");
    json_put_number(object, "status", run->status >= 0 ? run->status : (double)NAN);
    cJSON_AddStringToObject(object, "rigour", run->rigour ? run->rigour : "");
    json_put_number(object, "convergence_s", run->convergence_s);
    json_put_number(object, "low_s", run->convergence_low_s);
    json_put_number(object, "high_s", run->convergence_high_s);
    json_put_number(object, "loss_s", run->loss_s);
    json_put_number(object, "observed_s", run->observed_s);
    cJSON_AddBoolToObject(object, "comparable", run->pins_hash && now->pins_hash && strcmp(run->pins_hash, now->pins_hash) == 0);
    return object;
}

int store_history_earlier(struct store_history *history, const struct store_run *now, size_t limit, cJSON **ret_list, struct errs *errs)
{
    struct store_run *runs = NULL;
    size_t count = 0, kept = 0;
    int result = now->series ? store_history_series(history, now->series, &runs, &count, errs) : 0;

    if (result < 0)
        return result;
    *ret_list = cJSON_CreateArray();
    for (size_t i = 0; i < count && kept < limit; i++) {
        bool still_runs = runs[i].verdict && strcmp(runs[i].verdict, "running") == 0;

        if (still_runs || (now->id && strcmp(runs[i].id, now->id) == 0))
            continue;
        cJSON_AddItemToArray(*ret_list, describe(&runs[i], now));
        kept++;
    }
    store_runs_free(runs, count);
    return 0;
}
