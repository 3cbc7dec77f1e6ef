/* The report as a Chaos Toolkit journal, for whatever reads those: the same keys and words, our numbers in an extension of our name.
 * Shape: the journal that chaostoolkit-lib writes (status, deviated, steady_states, run, rollbacks). */
#include "controller/report/report.h"

#include "controller/base/json.h"
#include "controller/report/doc.h"
#include "controller/report/summary.h"
#include "controller/report/table.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

static void add_text(cJSON *object, const char *key, const char *text)
{
    cJSON_AddStringToObject(object, key, text);
}

/* The run's start plus `offset_s` on its own clock, as wall time. */
static void add_instant(cJSON *object, const char *key, const cJSON *result, double offset_s)
{
    const char *started = doc_text(doc_get(result, "run"), "started");
    struct tm when = { 0 };
    char text[40];
    time_t seconds;

    if (!strptime(started, "%Y-%m-%dT%H:%M:%S", &when)) {
        cJSON_AddNullToObject(object, key);
        return;
    }
    seconds = timegm(&when) + (isfinite(offset_s) ? (time_t)offset_s : 0);
    gmtime_r(&seconds, &when);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S+00:00", &when);
    add_text(object, key, text);
}

static cJSON *activity(const char *type, const char *name)
{
    cJSON *object = cJSON_CreateObject(), *provider;

    add_text(object, "type", type);
    add_text(object, "name", name);
    provider = cJSON_AddObjectToObject(object, "provider");
    add_text(provider, "type", "process");
    add_text(provider, "path", "perturb");
    return object;
}

static cJSON *experiment(const cJSON *result)
{
    const cJSON *run = doc_get(result, "run"), *row;
    cJSON *object = cJSON_CreateObject(), *list, *hypothesis;

    add_text(object, "title", doc_text(run, "title"));
    add_text(object, "description", doc_text(run, "description"));
    cJSON_AddItemToObject(object, "tags", doc_list(run, "tags") ? cJSON_Duplicate(doc_list(run, "tags"), 1) : cJSON_CreateArray());
    hypothesis = cJSON_AddObjectToObject(object, "steady-state-hypothesis");
    add_text(hypothesis, "title", "Steady state before the fault, and back after it");
    list = cJSON_AddArrayToObject(hypothesis, "probes");
    cJSON_ArrayForEach(row, table_rows(&table_steady, result))
        cJSON_AddItemToArray(list, activity("probe", doc_text(row, "signal")));
    list = cJSON_AddArrayToObject(object, "method");
    cJSON_ArrayForEach(row, table_rows(&table_faults, result))
        cJSON_AddItemToArray(list, activity("action", doc_text(row, "name")));
    cJSON_AddArrayToObject(object, "rollbacks");
    return object;
}

/* One state of the hypothesis, out of a list whose good rows have the outcome `good`. */
static cJSON *steady_state(const cJSON *result, const struct table *table, const char *name_key, const char *good, double at_s)
{
    const cJSON *row;
    cJSON *object = cJSON_CreateObject(), *list = cJSON_CreateArray();
    bool met = true;

    cJSON_ArrayForEach(row, table_rows(table, result)) {
        cJSON *item = cJSON_CreateObject();
        bool holds = doc_is(row, "outcome", good);

        met &= holds;
        cJSON_AddItemToArray(list, item);
        cJSON_AddItemToObject(item, "activity", activity("probe", doc_text(row, name_key)));
        add_text(item, "output", doc_text(row, "value"));
        add_instant(item, "start", result, at_s);
        add_instant(item, "end", result, at_s);
        cJSON_AddNumberToObject(item, "duration", 0);
        add_text(item, "status", doc_is(row, "outcome", "no_data") ? "failed" : "succeeded");
        cJSON_AddBoolToObject(item, "tolerance_met", holds);
    }
    cJSON_AddBoolToObject(object, "steady_state_met", met);
    cJSON_AddItemToObject(object, "probes", list);
    return object;
}

static cJSON *method_run(const cJSON *result)
{
    const cJSON *row;
    cJSON *list = cJSON_CreateArray();

    cJSON_ArrayForEach(row, table_rows(&table_faults, result)) {
        double from_s = doc_number(row, "injected_s"), until_s = doc_number(row, "released_s");
        cJSON *item = cJSON_CreateObject();

        cJSON_AddItemToArray(list, item);
        cJSON_AddItemToObject(item, "activity", activity("action", doc_text(row, "name")));
        add_text(item, "output", doc_text(row, "spec"));
        add_instant(item, "start", result, from_s);
        add_instant(item, "end", result, until_s);
        cJSON_AddNumberToObject(item, "duration", isfinite(until_s - from_s) ? until_s - from_s : 0);
        add_text(item, "status", isfinite(from_s) ? "succeeded" : "failed");
    }
    return list;
}

static cJSON *rollbacks(const cJSON *result)
{
    const cJSON *row;
    cJSON *list = cJSON_CreateArray();

    cJSON_ArrayForEach(row, table_rows(&table_undo, result)) {
        cJSON *item = cJSON_CreateObject();

        cJSON_AddItemToArray(list, item);
        cJSON_AddItemToObject(item, "activity", activity("action", doc_text(row, "entry")));
        add_text(item, "output", doc_text(row, "outcome"));
        add_text(item, "status", !strcmp(summary_outcome_style(doc_text(row, "outcome")), "danger") ? "failed" : "succeeded");
    }
    return list;
}

int report_journal(const cJSON *result, struct buf *ret_text)
{
    const cJSON *run = doc_get(result, "run"), *instants = doc_get(result, "instants_s");
    double status = doc_number(doc_get(result, "verdict"), "status"), seconds = doc_number(run, "duration_s");
    cJSON *journal, *states, *extensions, *own;
    char *text;

    buf_init(ret_text, 0);
    if (!cJSON_IsObject(result))
        return -EINVAL;
    journal = cJSON_CreateObject();
    add_text(journal, "chaoslib-version", "1.0.0");
    add_text(journal, "platform", doc_text(run, "kernel"));
    add_text(journal, "node", doc_text(run, "host"));
    cJSON_AddItemToObject(journal, "experiment", experiment(result));
    add_instant(journal, "start", result, 0);
    add_instant(journal, "end", result, seconds);
    cJSON_AddNumberToObject(journal, "duration", isfinite(seconds) ? seconds : 0);
    add_text(journal, "status", status == 3 ? "aborted" : status == 4 ? "failed" : "completed");
    cJSON_AddBoolToObject(journal, "deviated", status == 1);
    states = cJSON_AddObjectToObject(journal, "steady_states");
    cJSON_AddItemToObject(states, "before", steady_state(result, &table_steady, "signal", "held", doc_number(instants, "baseline_end")));
    cJSON_AddItemToObject(states, "after", steady_state(result, &table_expect, "what", "met", doc_number(instants, "end")));
    cJSON_AddArrayToObject(states, "during");
    cJSON_AddItemToObject(journal, "run", method_run(result));
    cJSON_AddItemToObject(journal, "rollbacks", rollbacks(result));
    extensions = cJSON_AddArrayToObject(journal, "extensions");
    own = cJSON_CreateObject();
    cJSON_AddItemToArray(extensions, own);
    add_text(own, "name", "perturb");
    cJSON_AddItemToObject(own, "verdict", cJSON_Duplicate(doc_get(result, "verdict"), 1));
    cJSON_AddItemToObject(own, "convergence", cJSON_Duplicate(doc_get(result, "convergence"), 1));
    cJSON_AddItemToObject(own, "instants_s", cJSON_Duplicate(instants, 1));
    text = json_pretty(journal);
    cJSON_Delete(journal);
    if (!text)
        return -ENOMEM;
    buf_init(ret_text, strlen(text) + 2);
    buf_puts(ret_text, text);
    buf_puts(ret_text, "\n");
    cJSON_free(text);
    return ret_text->failed ? -ENOMEM : 0;
}
