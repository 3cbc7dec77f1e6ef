/* OpenTelemetry over HTTP, as JSON: one trace a run, and its numbers (opentelemetry-proto, "JSON Protobuf Encoding").
 *
 * 1. Keys are lowerCamelCase; trace and span ids are hex; enums are numbers; 64-bit integers are texts.
 * 2. Ids are functions of the run's id: telling a run twice makes no second trace.
 * 3. Sums are cumulative from the run's start. What is not known makes no data point. */
#include "controller/outlet/delivery.h"

#include "controller/base/digest.h"
#include "controller/base/json.h"
#include "controller/report/doc.h"
#include "scenarios/base/clock.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPAN_INTERNAL = 1, STATUS_OK = 1, STATUS_ERROR = 2, CUMULATIVE = 2 };

/* ---- attributes ----------------------------------------------------------------------------------------------------------------- */

static cJSON *attribute(cJSON *list, const char *key)
{
    cJSON *pair = cJSON_CreateObject();

    cJSON_AddStringToObject(pair, "key", key);
    cJSON_AddItemToArray(list, pair);
    return cJSON_AddObjectToObject(pair, "value");
}

static void put_text(cJSON *list, const char *key, const char *text)
{
    if (text && text[0])
        cJSON_AddStringToObject(attribute(list, key), "stringValue", text);
}

static void put_int(cJSON *list, const char *key, int64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRId64, value);
    cJSON_AddStringToObject(attribute(list, key), "intValue", text);
}

static void put_double(cJSON *list, const char *key, double value)
{
    if (isfinite(value))
        cJSON_AddNumberToObject(attribute(list, key), "doubleValue", value);
}

static void put_nanos(cJSON *object, const char *key, uint64_t wall_ns)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, wall_ns);
    cJSON_AddStringToObject(object, key, text);
}

/* {KIND: [{resource, SCOPES: [{scope, ITEMS: []}]}]}; returns the list of items. */
static cJSON *envelope(cJSON *document, const struct story *story, const char *kind, const char *scopes, const char *items)
{
    cJSON *resources = cJSON_AddArrayToObject(document, kind), *resource = cJSON_CreateObject(), *scope = cJSON_CreateObject(), *about, *list;

    cJSON_AddItemToArray(resources, resource);
    list = cJSON_AddArrayToObject(cJSON_AddObjectToObject(resource, "resource"), "attributes");
    put_text(list, "service.name", "perturb");
    put_text(list, "service.version", PERTURB_VERSION);
    put_text(list, "perturb.playbook", story->playbook);
    put_text(list, "perturb.service", story->service);
    cJSON_AddItemToArray(cJSON_AddArrayToObject(resource, scopes), scope);
    about = cJSON_AddObjectToObject(scope, "scope");
    cJSON_AddStringToObject(about, "name", "perturb");
    cJSON_AddStringToObject(about, "version", PERTURB_VERSION);
    return cJSON_AddArrayToObject(scope, items);
}

static char *print(cJSON *document)
{
    char *text = json_text(document);

    cJSON_Delete(document);
    return text;
}

/* ---- the trace --------------------------------------------------------------------------------------------------------------------- */

/* `name` of the span makes its id; ROOT is the run's. Returns its list of attributes; *ret_span where more is to be added. */
static cJSON *add_span(cJSON *spans, const struct story *story, const char *id_of, const char *name, uint64_t from_ns, uint64_t until_ns, cJSON **ret_span)
{
    cJSON *span = cJSON_CreateObject();
    char trace[TRACE_ID_SIZE], id[SPAN_ID_SIZE], root[SPAN_ID_SIZE];

    digest_id(story->run, "trace", TRACE_ID_SIZE - 1, trace);
    digest_id(story->run, id_of, SPAN_ID_SIZE - 1, id);
    digest_id(story->run, "root", SPAN_ID_SIZE - 1, root);
    cJSON_AddStringToObject(span, "traceId", trace);
    cJSON_AddStringToObject(span, "spanId", id);
    if (strcmp(id, root) != 0)
        cJSON_AddStringToObject(span, "parentSpanId", root);
    cJSON_AddStringToObject(span, "name", name);
    cJSON_AddNumberToObject(span, "kind", SPAN_INTERNAL);
    put_nanos(span, "startTimeUnixNano", story_wall_ns(story, from_ns));
    put_nanos(span, "endTimeUnixNano", story_wall_ns(story, until_ns < from_ns ? from_ns : until_ns));
    cJSON_AddItemToArray(spans, span);
    *ret_span = span;
    return cJSON_AddArrayToObject(span, "attributes");
}

static cJSON *add_event(cJSON *events, const struct story *story, const char *name, uint64_t ns)
{
    cJSON *event = cJSON_CreateObject();

    put_nanos(event, "timeUnixNano", story_wall_ns(story, ns));
    cJSON_AddStringToObject(event, "name", name);
    cJSON_AddItemToArray(events, event);
    return cJSON_AddArrayToObject(event, "attributes");
}

/* Instants that the judgement found, such as `deviated`: seconds on the run's clock, whose zero the result names. */
static void add_found_instants(cJSON *events, const struct story *story)
{
    static const char *const names[] = { "deviated", "detected", "acknowledged", "mitigated", "first_return", "converged", "validated" };
    const cJSON *instants = doc_get(story->result, "instants_s");
    uint64_t zero_ns = strtoull(doc_text(doc_get(story->result, "run"), "zero_ns"), NULL, 10);

    for (size_t i = 0; zero_ns && i < sizeof(names) / sizeof(names[0]); i++) {
        double at_s = doc_number(instants, names[i]);

        if (isfinite(at_s) && at_s >= 0)
            add_event(events, story, names[i], zero_ns + (uint64_t)(at_s * 1e9));
    }
}

static void add_root(cJSON *spans, const struct story *story)
{
    const cJSON *convergence = doc_get(story->result, "convergence");
    int status = story_status(story);
    cJSON *span, *attributes = add_span(spans, story, "root", story->title[0] ? story->title : "run", story->began_ns, story->last_ns, &span), *events, *code;

    put_text(attributes, "perturb.run", story->run);
    put_text(attributes, "perturb.playbook", story->playbook);
    put_text(attributes, "perturb.service", story->service);
    put_text(attributes, "perturb.seed", doc_text(doc_get(story->result, "run"), "seed"));
    put_text(attributes, "perturb.verdict", story_verdict(story));
    put_int(attributes, "perturb.status", status);
    put_double(attributes, "perturb.convergence_s", doc_number(convergence, "from_release_s"));
    put_double(attributes, "perturb.convergence_low_s", doc_number(convergence, "low_s"));
    put_double(attributes, "perturb.convergence_high_s", doc_number(convergence, "high_s"));
    events = cJSON_AddArrayToObject(span, "events");
    for (size_t i = 0; i < story->instant_count; i++)
        put_text(add_event(events, story, story->instants[i].name, story->instants[i].ns), "text", story->instants[i].text);
    add_found_instants(events, story);
    code = cJSON_AddObjectToObject(span, "status");
    cJSON_AddNumberToObject(code, "code", status ? STATUS_ERROR : STATUS_OK);
    if (status)
        cJSON_AddStringToObject(code, "message", story_why(story));
}

char *otlp_trace(const struct story *story)
{
    cJSON *document = cJSON_CreateObject(), *spans = envelope(document, story, "resourceSpans", "scopeSpans", "spans"), *span;
    char id_of[STORY_TEXT_MAX + 32], name[STORY_TEXT_MAX + 16];

    add_root(spans, story);
    for (size_t i = 0; i < story->phase_count; i++) {
        snprintf(id_of, sizeof(id_of), "phase/%zu", i);
        snprintf(name, sizeof(name), "phase %s", story->phases[i].name);
        put_text(add_span(spans, story, id_of, name, story->phases[i].from_ns, story->phases[i].until_ns, &span), "perturb.phase", story->phases[i].name);
    }
    for (size_t i = 0; i < story->fault_count; i++) {
        const struct story_fault *fault = &story->faults[i];
        cJSON *attributes;

        if (!fault->armed_ns && !fault->acted_ns)
            continue;
        snprintf(id_of, sizeof(id_of), "fault/%zu", i);
        snprintf(name, sizeof(name), "fault %s", fault->name);
        attributes = add_span(spans, story, id_of, name, fault->armed_ns ? fault->armed_ns : fault->acted_ns, fault->released_ns ? fault->released_ns : story->last_ns, &span);
        put_text(attributes, "perturb.fault", fault->name);
        put_int(attributes, "perturb.matched", fault->matched);
        put_int(attributes, "perturb.fired", fault->fired);
        if (fault->acted_ns)
            add_event(cJSON_AddArrayToObject(span, "events"), story, "injected", fault->acted_ns);
    }
    return print(document);
}

/* ---- metrics -------------------------------------------------------------------------------------------------------------------------- */

struct measuring {
    cJSON *metrics;
    const struct story *story;
    uint64_t wall_ns;
};

static cJSON *add_metric(const struct measuring *measuring, const char *name, const char *unit, const char *description, bool is_sum)
{
    cJSON *metric = cJSON_CreateObject(), *data;

    cJSON_AddStringToObject(metric, "name", name);
    cJSON_AddStringToObject(metric, "unit", unit);
    cJSON_AddStringToObject(metric, "description", description);
    data = cJSON_AddObjectToObject(metric, is_sum ? "sum" : "gauge");
    if (is_sum) {
        cJSON_AddNumberToObject(data, "aggregationTemporality", CUMULATIVE);
        cJSON_AddBoolToObject(data, "isMonotonic", true);
    }
    cJSON_AddItemToArray(measuring->metrics, metric);
    return cJSON_AddArrayToObject(data, "dataPoints");
}

/* `labels`: pairs of key and value, NULL at their end. A whole number where `is_count`. */
static void add_point(const struct measuring *measuring, cJSON *points, double value, bool is_count, const char *const *labels)
{
    cJSON *point, *attributes;

    if (!isfinite(value))
        return;
    point = cJSON_CreateObject();
    attributes = cJSON_AddArrayToObject(point, "attributes");
    for (size_t i = 0; labels && labels[i]; i += 2)
        put_text(attributes, labels[i], labels[i + 1]);
    put_nanos(point, "startTimeUnixNano", story_wall_ns(measuring->story, measuring->story->began_ns));
    put_nanos(point, "timeUnixNano", measuring->wall_ns);
    if (is_count)
        put_nanos(point, "asInt", (uint64_t)value);
    else
        cJSON_AddNumberToObject(point, "asDouble", value);
    cJSON_AddItemToArray(points, point);
}

static void add_gauge(const struct measuring *measuring, const char *name, const char *unit, const char *description, double value)
{
    if (isfinite(value))
        add_point(measuring, add_metric(measuring, name, unit, description, false), value, false, NULL);
}

static void add_requests(const struct measuring *measuring)
{
    const cJSON *loads = doc_list(measuring->story->result, "loads"), *load;
    cJSON *points;

    if (!doc_count(loads))
        return;
    points = add_metric(measuring, "perturb.requests", "{request}", "Requests of the load by their outcome.", true);
    cJSON_ArrayForEach(load, loads)
    {
        const char *good[] = { "load", doc_text(load, "name"), "outcome", "good", NULL }, *failed[] = { "load", doc_text(load, "name"), "outcome", "failed", NULL };

        add_point(measuring, points, doc_number(load, "ok"), true, good);
        add_point(measuring, points, doc_number(load, "failed"), true, failed);
    }
}

static void add_faults(const struct measuring *measuring)
{
    const struct story *story = measuring->story;
    cJSON *points;

    if (!story->fault_count)
        return;
    points = add_metric(measuring, "perturb.fault.fired", "{event}", "Events on which a fault acted.", true);
    for (size_t i = 0; i < story->fault_count; i++)
        add_point(measuring, points, (double)story->faults[i].fired, true, (const char *[]){ "fault", story->faults[i].name, NULL });
}

char *otlp_final_metrics(const struct story *story)
{
    const cJSON *convergence = doc_get(story->result, "convergence");
    cJSON *document = cJSON_CreateObject(), *points;
    const struct measuring measuring = { envelope(document, story, "resourceMetrics", "scopeMetrics", "metrics"), story, story_wall_ns(story, story->last_ns) };

    points = add_metric(&measuring, "perturb.runs", "{run}", "Runs that ended, by verdict.", true);
    add_point(&measuring, points, 1, true, (const char *[]){ "verdict", story_verdict(story), NULL });
    add_gauge(&measuring, "perturb.run.active", "1", "1 while the run goes on.", 0);
    add_gauge(&measuring, "perturb.faults.armed", "{fault}", "Faults that are armed.", 0);
    add_gauge(&measuring, "perturb.convergence", "s", "From the release to convergence.", doc_number(convergence, "from_release_s"));
    add_gauge(&measuring, "perturb.convergence.low", "s", "Lower end of its 95 % interval.", doc_number(convergence, "low_s"));
    add_gauge(&measuring, "perturb.convergence.high", "s", "Upper end of its 95 % interval.", doc_number(convergence, "high_s"));
    add_requests(&measuring);
    add_faults(&measuring);
    return print(document);
}

static void add_live_load(const struct measuring *measuring, const cJSON *sample)
{
    const cJSON *loads = doc_get(sample, "loads"), *load;
    cJSON *goodput = NULL, *latency = NULL;

    cJSON_ArrayForEach(load, loads)
    {
        const char *labels[] = { "load", load->string, NULL };
        double planned = doc_number(load, "planned"), good = doc_number(load, "good");

        if (!goodput)
            goodput = add_metric(measuring, "perturb.goodput", "1", "Good requests among the planned ones of the last bin.", false);
        if (!latency)
            latency = add_metric(measuring, "perturb.latency.p99", "s", "99th percentile of the last bin.", false);
        add_point(measuring, goodput, planned > 0 ? good / planned : (double)NAN, false, labels);
        add_point(measuring, latency, doc_number(load, "p99_s"), false, labels);
    }
}

char *otlp_live_metrics(const struct story *story, const cJSON *sample, uint64_t wall_ns)
{
    cJSON *document = cJSON_CreateObject();
    const struct measuring measuring = { envelope(document, story, "resourceMetrics", "scopeMetrics", "metrics"), story, wall_ns };

    add_gauge(&measuring, "perturb.run.active", "1", "1 while the run goes on.", 1);
    add_gauge(&measuring, "perturb.faults.armed", "{fault}", "Faults that are armed.", (double)story_faults_armed(story));
    add_live_load(&measuring, sample);
    return print(document);
}

void otlp_tell(const struct telling *telling)
{
    struct delivery trace = { .path = "/v1/traces", .method = "POST" }, metrics = { .path = "/v1/metrics", .method = "POST" };

    if (telling->moment->moment != MOMENT_ENDED)
        return;
    trace.body = otlp_trace(telling->story);
    metrics.body = otlp_final_metrics(telling->story);
    snprintf(trace.event, sizeof(trace.event), "ended");
    snprintf(metrics.event, sizeof(metrics.event), "ended");
    telling->put(telling->context, &metrics);
    telling->put(telling->context, &trace);
}
