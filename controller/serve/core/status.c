/* The service's state in one look. */
#include "controller/serve/core/service_priv.h"

#include <string.h>

static void put_ids(struct service *service, cJSON *status, const char *key, const char *state)
{
    struct errs errs = { 0 };
    cJSON *list = cJSON_AddArrayToObject(status, key);
    sqlite3_stmt *row;

    if (db_query(&service->db, &errs, &row, "SELECT id FROM run_order WHERE state = ?1 ORDER BY queued_s, rowid", "t", state) < 0)
        return;
    while (db_step(&service->db, row, &errs) > 0)
        cJSON_AddItemToArray(list, cJSON_CreateString(db_text(row, 0)));
    sqlite3_finalize(row);
}

static void put_limits(const struct settings *settings, cJSON *status)
{
    cJSON *limits = cJSON_AddObjectToObject(status, "limits");

    cJSON_AddNumberToObject(limits, "max_runs", (double)settings->max_runs);
    cJSON_AddNumberToObject(limits, "max_faults", (double)settings->max_faults);
    cJSON_AddBoolToObject(limits, "require_opt_in", settings->require_opt_in == 1);
}

cJSON *service_status(struct service *service)
{
    cJSON *status = cJSON_CreateObject(), *problems;
    char since[24];

    service_lock(service);
    lever_look(service); /* the registry is the truth, and it is near */
    cJSON_AddStringToObject(status, "lever", service->lever_engaged ? "engaged" : "released");
    cJSON_AddStringToObject(status, "lever_since", service_instant(service->lever_since_s, since, sizeof(since)));
    put_ids(service, status, "runs_live", "running");
    put_ids(service, status, "runs_queued", "queued");
    scheduler_describe(service, status);
    put_limits(&service->settings, status);
    problems = cJSON_AddArrayToObject(status, "problems");
    for (size_t i = 0; i < service->problem_count; i++)
        if (service_now_s() - service->problem_told_s[i] < SERVICE_PROBLEM_S)
            cJSON_AddItemToArray(problems, cJSON_CreateString(service->problems[i]));
    service_unlock(service);
    return status;
}
