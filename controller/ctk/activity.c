/* One activity, and the hypothesis. */
#include "controller/ctk/ctk_priv.h"

#include "controller/base/json.h"
#include "scenarios/base/clock.h"

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>

enum { SLICE_MS = 50 };

void ctk_say(const struct ctk_run *run, const char *what, const char *text)
{
    cJSON *line;
    char *printed;

    if (!run->json) {
        printf("%-12s %s\n", what, text);
    } else {
        line = cJSON_CreateObject();
        cJSON_AddStringToObject(line, "event", what);
        cJSON_AddStringToObject(line, "text", text);
        printed = json_text(line);
        if (printed)
            puts(printed);
        cJSON_free(printed);
        cJSON_Delete(line);
    }
    fflush(stdout);
}

void ctk_add_instant(cJSON *object, const char *key)
{
    uint64_t now_ns = clock_wall_ns();
    time_t seconds = (time_t)(now_ns / NS_PER_S);
    struct tm broken_down;
    char date[32], text[64];

    gmtime_r(&seconds, &broken_down);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &broken_down);
    snprintf(text, sizeof(text), "%s.%06u+00:00", date, (unsigned)(now_ns % NS_PER_S / 1000));
    cJSON_AddStringToObject(object, key, text);
}

static const cJSON *find_named(const cJSON *list, const char *name)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, list)
        if (!strcmp(ctk_text(item, "name"), name))
            return item;
    return NULL;
}

const cJSON *ctk_resolve(const cJSON *experiment, const cJSON *activity)
{
    const char *name = ctk_text(activity, "ref");
    const cJSON *hypothesis = cJSON_GetObjectItemCaseSensitive(experiment, "steady-state-hypothesis"), *found;

    if (!name[0])
        return activity;
    found = find_named(cJSON_GetObjectItemCaseSensitive(hypothesis, "probes"), name);
    if (!found)
        found = find_named(cJSON_GetObjectItemCaseSensitive(experiment, "method"), name);
    return found ? found : find_named(cJSON_GetObjectItemCaseSensitive(experiment, "rollbacks"), name);
}

/* A pause ends early when the run is to stop. */
static void pause_for(const struct ctk_run *run, const cJSON *activity, const char *key)
{
    double seconds = ctk_number(cJSON_GetObjectItemCaseSensitive(activity, "pauses"), key, 0);
    uint64_t end_ns = clock_now_ns() + (uint64_t)(fmax(0, fmin(seconds, 1e6)) * 1e9);

    while (!atomic_load(&run->stopping) && clock_now_ns() < end_ns)
        poll(NULL, 0, (int)MIN((end_ns - clock_now_ns()) / NS_PER_MS + 1, SLICE_MS));
}

cJSON *ctk_run_activity(struct ctk_run *run, const cJSON *activity)
{
    cJSON *record = cJSON_CreateObject(), *provider, *output = NULL;
    char why[256] = "", line[400];
    uint64_t from_ns;
    int result;

    activity = ctk_resolve(run->experiment, activity);
    cJSON_AddItemToObject(record, "activity", cJSON_Duplicate(activity, 1));
    pause_for(run, activity, "before");
    snprintf(line, sizeof(line), "%.300s", ctk_text(activity, "name"));
    ctk_say(run, ctk_text(activity, "type"), line);
    ctk_add_instant(record, "start");
    from_ns = clock_now_ns();
    provider = ctk_substitute(cJSON_GetObjectItemCaseSensitive(activity, "provider"), &run->values);
    result = ctk_run_provider(provider, run->values.configuration, &run->stopping, &output, why, sizeof(why));
    cJSON_Delete(provider);
    ctk_add_instant(record, "end");
    cJSON_AddNumberToObject(record, "duration", (double)(clock_now_ns() - from_ns) / 1e9);
    cJSON_AddStringToObject(record, "status", result < 0 ? "failed" : "succeeded");
    cJSON_AddItemToObject(record, "output", output ? output : cJSON_CreateNull());
    if (result < 0) {
        cJSON *lines = cJSON_AddArrayToObject(record, "exception");

        cJSON_AddItemToArray(lines, cJSON_CreateString(why));
        ctk_say(run, "failed", why);
    }
    pause_for(run, activity, "after");
    return record;
}

cJSON *ctk_run_hypothesis(struct ctk_run *run)
{
    const cJSON *hypothesis = cJSON_GetObjectItemCaseSensitive(run->experiment, "steady-state-hypothesis"), *probe;
    cJSON *state = cJSON_CreateObject(), *records;
    bool met = true;

    if (!hypothesis) {
        cJSON_AddNullToObject(state, "steady_state_met");
        cJSON_AddArrayToObject(state, "probes");
        return state;
    }
    records = cJSON_CreateArray();
    cJSON_ArrayForEach(probe, cJSON_GetObjectItemCaseSensitive(hypothesis, "probes")) {
        const cJSON *resolved = ctk_resolve(run->experiment, probe);
        cJSON *tolerance = ctk_substitute(cJSON_GetObjectItemCaseSensitive(resolved, "tolerance"), &run->values);
        cJSON *record = ctk_run_activity(run, resolved);

        met = !strcmp(ctk_text(record, "status"), "succeeded") &&
              ctk_tolerates(tolerance, cJSON_GetObjectItemCaseSensitive(record, "output"), &run->values, &run->stopping);
        cJSON_AddBoolToObject(record, "tolerance_met", met);
        cJSON_AddItemToArray(records, record);
        cJSON_Delete(tolerance);
        if (!met) {
            ctk_say(run, "not met", ctk_text(resolved, "name"));
            break;
        }
    }
    cJSON_AddBoolToObject(state, "steady_state_met", met);
    cJSON_AddItemToObject(state, "probes", records);
    return state;
}
