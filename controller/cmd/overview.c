/* From a history to the document of its overview. One pass, newest run first, so that the first run seen of a service, a kind of
 * trouble or a playbook is its latest. */
#include "controller/cmd/overview.h"

#include "controller/report/classes.h"
#include "controller/report/doc.h"
#include "controller/report/summary.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECONDS_A_DAY = 86400 };

struct builder {
    cJSON *document, *services, *convergence, *lost; /* the lists are the document's */
    double now_s, since_s;
    double runs, passed, failed, undecided, aborted, undo_not_proven, unfinished, unread;
};

static double instant_of(const char *text)
{
    struct tm when = { 0 };

    return text && strptime(text, "%Y-%m-%dT%H:%M:%SZ", &when) ? (double)timegm(&when) : (double)NAN;
}

static void put_number(cJSON *object, const char *key, double value)
{
    if (isfinite(value))
        cJSON_AddNumberToObject(object, key, value);
}

static void add_to(cJSON *object, const char *key, double value)
{
    cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    if (isfinite(value) && item)
        cJSON_SetNumberHelper(item, item->valuedouble + value);
    else if (isfinite(value))
        cJSON_AddNumberToObject(object, key, value);
}

/* The row of a list whose `key` is `value`; made when there is none. */
static cJSON *row_of(cJSON *list, const char *key, const char *value, bool *ret_is_new)
{
    cJSON *row;

    *ret_is_new = false;
    cJSON_ArrayForEach(row, list)
        if (doc_is(row, key, value))
            return row;
    row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, key, value);
    cJSON_AddItemToArray(list, row);
    *ret_is_new = true;
    return row;
}

/* A run without a service counts under its playbook's file name. */
static const char *service_of(const struct store_run *run, char text[128])
{
    const char *path = run->playbook ? run->playbook : "", *slash = strrchr(path, '/');

    if (run->service && run->service[0])
        return run->service;
    snprintf(text, 128, "%.120s", slash ? slash + 1 : path[0] ? path : "unnamed");
    return text;
}

static bool is_decided(double status)
{
    return status == 0 || status == 1 || status == 4;
}

/* The newest run stays, unless it decided nothing and an older one did. */
static void note_class(const struct builder *builder, cJSON *service, size_t class, const struct store_run *run)
{
    bool is_new;
    cJSON *cells = cJSON_GetObjectItemCaseSensitive(service, "cells"), *cell;
    double age_s = builder->now_s - instant_of(run->started);

    cell = row_of(cells, "class", fault_class_names[class], &is_new);
    if (!is_new && (is_decided(doc_number(cell, "status")) || !is_decided(run->status))) {
        add_to(cell, "runs", 1);
        return;
    }
    if (!is_new) {
        cJSON_DeleteItemFromObjectCaseSensitive(cell, "status");
        cJSON_DeleteItemFromObjectCaseSensitive(cell, "verdict");
        cJSON_DeleteItemFromObjectCaseSensitive(cell, "run");
        cJSON_DeleteItemFromObjectCaseSensitive(cell, "age_days");
        cJSON_DeleteItemFromObjectCaseSensitive(cell, "stale");
    }
    put_number(cell, "status", run->status);
    cJSON_AddStringToObject(cell, "verdict", run->verdict ? run->verdict : "");
    cJSON_AddStringToObject(cell, "run", run->id);
    put_number(cell, "age_days", floor(fmax(0, age_s) / SECONDS_A_DAY));
    cJSON_AddBoolToObject(cell, "stale", instant_of(run->started) < builder->since_s);
    add_to(cell, "runs", 1);
}

/* Only what really acted counts as tested. */
static void note_classes(struct builder *builder, const char *service_name, const struct store_run *run, const cJSON *result)
{
    bool seen[FAULT_CLASSES + 1] = { false }, is_new;
    cJSON *service = row_of(builder->services, "service", service_name, &is_new);
    const cJSON *fault;

    if (is_new)
        cJSON_AddArrayToObject(service, "cells");
    cJSON_ArrayForEach(fault, doc_list(result, "faults")) {
        size_t class = fault_class_of(doc_text(fault, "fault"));

        if (isnan(doc_number(fault, "injected_s")) || seen[class])
            continue;
        seen[class] = true;
        note_class(builder, service, class, run);
    }
}

/* The bound as a number; documents from before there was one have it in words, "at most 5s". */
static double target_of(const cJSON *expect)
{
    double target_s = doc_number(expect, "at_most");
    const char *text = doc_text(expect, "bound");
    char *end;

    if (isfinite(target_s) || strncmp(text, "at most ", 8) != 0)
        return target_s;
    target_s = strtod(text + 8, &end);
    return end > text + 8 && strcmp(end, "s") == 0 ? target_s : (double)NAN;
}

static void put_latest(cJSON *row, const char *service, const struct store_run *run, const cJSON *result)
{
    const char *verdict = run->verdict ? run->verdict : "";
    const cJSON *expect;

    cJSON_AddStringToObject(row, "title", run->title ? run->title : "");
    cJSON_AddStringToObject(row, "service", service);
    cJSON_AddStringToObject(row, "run", run->id);
    cJSON_AddStringToObject(row, "verdict", verdict);
    cJSON_AddBoolToObject(row, "quick", run->rigour && strcmp(run->rigour, "quick") == 0);
    cJSON_ArrayForEach(expect, doc_list(result, "expect"))
        if (doc_is(expect, "what", "convergence")) {
            put_number(row, "target_s", target_of(expect));
            cJSON_AddStringToObject(row, "outcome", doc_text(expect, "outcome"));
        }
    if (strcmp(verdict, "absorbed") == 0) {
        put_number(row, "latest_s", 0);
    } else if (isfinite(run->convergence_s)) {
        put_number(row, "latest_s", run->convergence_s);
        put_number(row, "low_s", run->convergence_low_s);
        put_number(row, "high_s", run->convergence_high_s);
    } else if (isfinite(doc_number(doc_get(result, "convergence"), "from_injection_s"))) {
        put_number(row, "from_start_s", doc_number(doc_get(result, "convergence"), "from_injection_s"));
    } else if (strcmp(verdict, "not_converged") == 0 || strcmp(verdict, "metastable") == 0) {
        put_number(row, "longer_than_s", run->observed_s);
    }
}

/* Times of the runs of one playbook are collected in the row and become its median at the end. */
static void note_convergence(struct builder *builder, const char *service, const struct store_run *run, const cJSON *result)
{
    const char *series = run->series ? run->series : run->playbook ? run->playbook : "", *verdict = run->verdict ? run->verdict : "";
    bool is_new, never = strcmp(verdict, "not_converged") == 0 || strcmp(verdict, "metastable") == 0;
    cJSON *row = row_of(builder->convergence, "playbook", series, &is_new), *times;

    if (is_new) {
        put_latest(row, service, run, result);
        cJSON_AddNumberToObject(row, "runs", 0);
        cJSON_AddNumberToObject(row, "never", 0);
        cJSON_AddArrayToObject(row, "times_s");
    }
    times = cJSON_GetObjectItemCaseSensitive(row, "times_s");
    if (never)
        add_to(row, "never", 1);
    else if (strcmp(verdict, "absorbed") == 0)
        cJSON_AddItemToArray(times, cJSON_CreateNumber(0));
    else if (isfinite(run->convergence_s))
        cJSON_AddItemToArray(times, cJSON_CreateNumber(run->convergence_s));
    else
        return;
    add_to(row, "runs", 1);
}

static int by_size(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

/* A run that never came back is longer than all others; no median when half of them did not. */
static void finish_convergence(cJSON *row)
{
    const cJSON *times = doc_list(row, "times_s"), *item;
    size_t runs = (size_t)doc_number(row, "runs"), count = 0;
    AUTO_FREE double *sorted = calloc(runs + 1, sizeof(*sorted));

    cJSON_ArrayForEach(item, times)
        if (sorted && count < runs)
            sorted[count++] = item->valuedouble;
    if (count)
        qsort(sorted, count, sizeof(*sorted), by_size);
    if (count && runs / 2 < count)
        put_number(row, "median_s", runs % 2 ? sorted[runs / 2] : (sorted[runs / 2 - 1] + sorted[runs / 2]) / 2);
    cJSON_DeleteItemFromObjectCaseSensitive(row, "times_s");
}

static void note_lost(struct builder *builder, const char *service, const struct store_run *run, const cJSON *result)
{
    bool is_new;
    cJSON *row = row_of(builder->lost, "service", service, &is_new);
    const cJSON *load;

    add_to(row, "runs", 1);
    add_to(row, "loss_s", fmax(0, run->loss_s));
    cJSON_ArrayForEach(load, doc_list(result, "loads")) {
        add_to(row, "planned", doc_number(load, "planned"));
        add_to(row, "failed", doc_number(load, "failed"));
    }
}

static void count_ending(struct builder *builder, const struct store_run *run)
{
    double *const slots[] = { &builder->passed, &builder->failed, &builder->undecided, &builder->aborted, &builder->undo_not_proven };

    if (run->status < 0 || run->status > 4) {
        builder->unfinished++;
        return;
    }
    builder->runs++;
    ++*slots[run->status];
}

static int note_run(struct builder *builder, const struct store_run *run, struct errs *errs)
{
    bool in_time = instant_of(run->started) >= builder->since_s;
    char name[128];
    const char *service = service_of(run, name);
    cJSON *result = NULL;
    struct errs unread = { .count = 0 };
    int code;

    if (in_time)
        count_ending(builder, run);
    if (run->status < 0 || run->status > 4 || !run->directory)
        return 0;
    code = store_read_result(run->directory, &result, &unread);
    if (code == -ENOMEM)
        return errs_add(errs, ERR_INTERNAL, run->id, "out of memory");
    if (code < 0) {
        builder->unread++;
        return 0;
    }
    note_classes(builder, service, run, result);
    if (in_time) {
        note_convergence(builder, service, run, result);
        note_lost(builder, service, run, result);
    }
    cJSON_Delete(result);
    return 0;
}

static void put_text(cJSON *object, const char *key, const char *text)
{
    if (text && text[0])
        cJSON_AddStringToObject(object, key, text);
}

/* The day of an instant. */
static void put_first(cJSON *object, const char *key, const char *instant)
{
    char day[11];

    snprintf(day, sizeof(day), "%.10s", instant ? instant : "");
    put_text(object, key, day);
}

static int put_findings(struct builder *builder, struct store_history *history, const char *today, struct errs *errs)
{
    cJSON *list = cJSON_AddArrayToObject(builder->document, "findings");
    struct store_finding *findings;
    size_t count;
    int result = store_findings_list(history, false, &findings, &count, errs);

    if (result < 0)
        return result;
    for (size_t i = 0; i < count; i++) {
        cJSON *row = cJSON_CreateObject();

        cJSON_AddNumberToObject(row, "id", (double)findings[i].id);
        put_text(row, "title", findings[i].title);
        put_text(row, "service", findings[i].service);
        put_first(row, "opened", findings[i].opened);
        put_first(row, "last", findings[i].last);
        put_text(row, "last_run", findings[i].last_run);
        cJSON_AddNumberToObject(row, "failures", (double)findings[i].failures);
        put_text(row, "verdict", findings[i].verdict);
        put_text(row, "why", findings[i].why);
        put_text(row, "owner", findings[i].owner);
        put_text(row, "due", findings[i].due);
        cJSON_AddBoolToObject(row, "overdue", findings[i].due && strncmp(findings[i].due, today, 10) < 0);
        cJSON_AddItemToArray(list, row);
    }
    store_findings_free(findings, count);
    return 0;
}

/* Broken targets first, then those not decided, those met, those without a target; within each the newest first, as they are. */
static cJSON *sorted_by_outcome(cJSON *rows)
{
    static const char *const order[] = { "broken", "straddles", "no_data", "met", "" };
    cJSON *sorted = cJSON_CreateArray(), *row, *next;

    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        for (row = rows->child; row; row = next) {
            next = row->next;
            if (strcmp(doc_text(row, "outcome"), order[i]) == 0)
                cJSON_AddItemToArray(sorted, cJSON_DetachItemViaPointer(rows, row));
        }
    return sorted;
}

static void put_day(cJSON *object, const char *key, double at_s, char day[32])
{
    struct tm broken_down;
    time_t at = (time_t)at_s;

    gmtime_r(&at, &broken_down);
    strftime(day, 32, "%Y-%m-%d", &broken_down);
    cJSON_AddStringToObject(object, key, day);
}

static void put_counts(const struct builder *builder)
{
    const struct {
        const char *key;
        double value;
    } all[] = { { "runs", builder->runs },         { "services", (double)doc_count(builder->lost) },
                { "passed", builder->passed },     { "failed", builder->failed },
                { "undecided", builder->undecided }, { "aborted", builder->aborted },
                { "undo_not_proven", builder->undo_not_proven }, { "unfinished", builder->unfinished },
                { "unread", builder->unread } };
    cJSON *counts = cJSON_AddObjectToObject(builder->document, "counts");

    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        cJSON_AddNumberToObject(counts, all[i].key, all[i].value);
}

int overview_build(struct store_history *history, int64_t length_ns, time_t now, cJSON **ret_overview, struct errs *errs)
{
    struct builder builder = { .document = cJSON_CreateObject(), .now_s = (double)now, .since_s = (double)now - (double)length_ns / 1e9 };
    struct store_run *runs = NULL;
    size_t count = 0;
    char day[32];
    cJSON *classes, *row;
    int result;

    cJSON_AddStringToObject(builder.document, "kind", "perturb-overview");
    cJSON_AddNumberToObject(builder.document, "schema", 1);
    put_day(builder.document, "since", builder.since_s, day);
    put_day(builder.document, "until", builder.now_s, day);
    cJSON_AddNumberToObject(builder.document, "days", ceil((double)length_ns / 1e9 / SECONDS_A_DAY));
    classes = cJSON_AddArrayToObject(builder.document, "classes");
    for (size_t i = 0; i < FAULT_CLASSES; i++)
        cJSON_AddItemToArray(classes, cJSON_CreateString(fault_class_names[i]));
    builder.services = cJSON_AddArrayToObject(builder.document, "services");
    builder.convergence = cJSON_AddArrayToObject(builder.document, "convergence");
    builder.lost = cJSON_AddArrayToObject(builder.document, "lost");
    result = store_history_list(history, OVERVIEW_RUNS_MAX, &runs, &count, errs);
    for (size_t i = 0; result == 0 && i < count; i++)
        result = note_run(&builder, &runs[i], errs);
    store_runs_free(runs, count);
    cJSON_ArrayForEach(row, builder.convergence)
        finish_convergence(row);
    cJSON_ReplaceItemInObjectCaseSensitive(builder.document, "convergence", sorted_by_outcome(builder.convergence));
    if (result == 0)
        result = put_findings(&builder, history, day, errs);
    put_counts(&builder);
    if (result < 0) {
        cJSON_Delete(builder.document);
        return result;
    }
    *ret_overview = builder.document;
    return 0;
}
