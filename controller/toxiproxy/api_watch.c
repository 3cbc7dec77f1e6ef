/* Routes that only tell: statistics, events, metrics. */
#include "controller/toxiproxy/api_priv.h"

#include "scenarios/base/cleanup.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <time.h>

/* ---- statistics of a proxy -------------------------------------------------------------------------------------------- */

static void add_instant(cJSON *object, const char *name, uint64_t ns)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRIu64, ns); /* as text: a double holds 53 bits */
    cJSON_AddStringToObject(object, name, text);
}

static cJSON *print_counts(const struct toxic *toxic, const struct rule_status *status)
{
    cJSON *object = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "name", toxic->name);
    cJSON_AddStringToObject(object, "type", toxic_type(toxic));
    json_add_integer(object, "matched", (int64_t)status->counts.matched);
    json_add_integer(object, "eligible", (int64_t)status->counts.eligible);
    json_add_integer(object, "fired", (int64_t)status->counts.fired);
    json_add_integer(object, "skipped", (int64_t)status->counts.skipped);
    json_add_integer(object, "held_bytes", (int64_t)status->in_flight);
    add_instant(object, "first_ns", status->counts.first_ns);
    add_instant(object, "last_ns", status->counts.last_ns);
    return object;
}

/* How late held bytes were released, ns; "cells" are [middle, count], so that a poller can tell one stretch of time from the next. */
static void print_lateness(cJSON *stats, const struct histogram *lateness)
{
    cJSON *object = cJSON_AddObjectToObject(stats, "lateness"), *cells;

    json_add_integer(object, "count", (int64_t)histogram_count(lateness));
    json_add_integer(object, "p50_ns", (int64_t)histogram_quantile(lateness, 0.5));
    json_add_integer(object, "p99_ns", (int64_t)histogram_quantile(lateness, 0.99));
    json_add_integer(object, "p999_ns", (int64_t)histogram_quantile(lateness, 0.999));
    json_add_integer(object, "most_ns", (int64_t)lateness->most);
    cells = cJSON_AddArrayToObject(object, "cells");
    for (uint32_t i = 0; i < HISTOGRAM_CELLS; i++) {
        cJSON *cell = lateness->cells[i] ? cJSON_CreateArray() : NULL;

        if (!cell)
            continue;
        cJSON_AddItemToArray(cell, cJSON_CreateNumber((double)(histogram_floor(i) + histogram_floor(i + 1)) / 2));
        cJSON_AddItemToArray(cell, cJSON_CreateNumber((double)lateness->cells[i]));
        cJSON_AddItemToArray(cells, cell);
    }
}

void handle_proxy_stats(struct call *call)
{
    const struct proxy_config *proxy = call_proxy(call);
    struct proxy_status status;
    cJSON *object, *toxics;

    if (!proxy)
        return;
    status = engine_status(&call->api->engine, proxy);
    object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "name", proxy->name);
    add_instant(object, "seed", call->api->seed);
    json_add_integer(object, "connections", (int64_t)status.connections);
    json_add_integer(object, "connections_open", (int64_t)status.connections_open);
    json_add_integer(object, "connects_failed", (int64_t)status.connects_failed);
    json_add_integer(object, "exchanges", (int64_t)status.exchanges);
    json_add_integer(object, "bytes_to_upstream", (int64_t)status.bytes_to_upstream);
    json_add_integer(object, "bytes_to_client", (int64_t)status.bytes_to_client);
    json_add_integer(object, "bytes_from_client", (int64_t)status.bytes_from_client);
    json_add_integer(object, "bytes_from_upstream", (int64_t)status.bytes_from_upstream);
    json_add_integer(object, "held_bytes", (int64_t)status.held_bytes);
    json_add_integer(object, "held_bytes_peak", (int64_t)status.held_bytes_peak);
    json_add_integer(object, "held_bytes_max", (int64_t)status.held_bytes_max);
    json_add_integer(object, "hold_full", (int64_t)status.hold_full);
    print_lateness(object, &status.lateness);
    toxics = cJSON_AddArrayToObject(object, "toxics");
    for (size_t i = 0; i < proxy->toxic_count; i++) {
        struct rule_status counts = { .in_flight = 0 };

        (void)engine_counts(&call->api->engine, proxy, proxy->toxics[i], &counts);
        cJSON_AddItemToArray(toxics, print_counts(proxy->toxics[i], &counts));
    }
    call_answer(call, 200, object);
}

/* ---- events ----------------------------------------------------------------------------------------------------------- */

/* JSON lines, those after `since` that are still kept. */
void handle_events(struct call *call)
{
    const struct engine *engine = &call->api->engine;
    uint64_t since = route_query_number(call->match->query, "since", 0);
    uint64_t oldest = engine->last_seq > ENGINE_EVENTS_MAX ? engine->last_seq - ENGINE_EVENTS_MAX : 0;
    struct buf *body = &call->response->body;

    call->response->content_type = "application/x-ndjson";
    for (uint64_t seq = MAX(since, oldest) + 1; seq > since && seq <= engine->last_seq; seq++) {
        event_print_json(&engine->events[seq % ENGINE_EVENTS_MAX], body);
        buf_puts(body, "\n");
    }
}

/* ---- metrics ---------------------------------------------------------------------------------------------------------- */

/* A label's value (Prometheus text format 0.0.4). */
static void put_label(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s=\"", name);
    for (; *value; value++)
        if (*value == '\n')
            buf_puts(out, "\\n");
        else if (*value == '"' || *value == '\\')
            buf_printf(out, "\\%c", *value);
        else
            buf_append(out, value, 1);
    buf_puts(out, "\"");
}

static void put_bytes(struct buf *out, const char *metric, const char *direction, const struct proxy_config *proxy, uint64_t bytes)
{
    buf_printf(out, "%s{", metric);
    put_label(out, "direction", direction);
    buf_puts(out, ",");
    put_label(out, "listener", proxy->listen);
    buf_puts(out, ",");
    put_label(out, "proxy", proxy->name);
    buf_puts(out, ",");
    put_label(out, "upstream", proxy->upstream);
    buf_printf(out, "} %" PRIu64 "\n", bytes);
}

static void put_byte_metric(struct call *call, const char *metric, const char *help, bool received)
{
    const struct model *model = &call->api->model;
    struct buf *out = &call->response->body;

    buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n", metric, help, metric);
    for (size_t i = 0; i < model->count; i++) {
        struct proxy_status status = engine_status(&call->api->engine, model->proxies[i]);

        put_bytes(out, metric, "downstream", model->proxies[i], received ? status.bytes_from_upstream : status.bytes_to_client);
        put_bytes(out, metric, "upstream", model->proxies[i], received ? status.bytes_from_client : status.bytes_to_upstream);
    }
}

static void put_proxy_metric(struct call *call, const char *metric, const char *type, const char *help,
                             uint64_t (*value)(const struct proxy_status *status))
{
    const struct model *model = &call->api->model;
    struct buf *out = &call->response->body;

    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metric, help, metric, type);
    for (size_t i = 0; i < model->count; i++) {
        struct proxy_status status = engine_status(&call->api->engine, model->proxies[i]);

        buf_printf(out, "%s{", metric);
        put_label(out, "proxy", model->proxies[i]->name);
        buf_printf(out, "} %" PRIu64 "\n", value(&status));
    }
}

static uint64_t connections(const struct proxy_status *status)
{
    return status->connections;
}

static uint64_t connections_open(const struct proxy_status *status)
{
    return status->connections_open;
}

static uint64_t held_bytes(const struct proxy_status *status)
{
    return status->held_bytes;
}

static void put_fired(struct call *call)
{
    const struct model *model = &call->api->model;
    struct buf *out = &call->response->body;

    buf_puts(out, "# HELP perturb_toxic_fired Connections a toxic has acted on since it was last changed.\n"
                  "# TYPE perturb_toxic_fired gauge\n");
    for (size_t i = 0; i < model->count; i++)
        for (size_t t = 0; t < model->proxies[i]->toxic_count; t++) {
            const struct toxic *toxic = model->proxies[i]->toxics[t];
            struct rule_status counts = { .in_flight = 0 };

            (void)engine_counts(&call->api->engine, model->proxies[i], toxic, &counts);
            buf_puts(out, "perturb_toxic_fired{");
            put_label(out, "proxy", model->proxies[i]->name);
            buf_puts(out, ",");
            put_label(out, "toxic", toxic->name);
            buf_puts(out, ",");
            put_label(out, "type", toxic_type(toxic));
            buf_printf(out, "} %" PRIu64 "\n", counts.counts.fired);
        }
}

static void put_value(struct buf *out, const char *metric, const char *type, const char *help, double value)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", metric, help, metric, type, metric, value);
}

static double open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    double count = -3; /* ".", ".." and the directory's own */

    if (!directory)
        return 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* proc_pid_stat(5): field 22 is the start in ticks since boot, 23 and 24 the memory in bytes and pages. */
static void put_process(struct buf *out)
{
    unsigned long long start_ticks = 0, virtual_bytes = 0;
    long long resident_pages = 0;
    struct timespec wall, boot;
    struct rusage usage;
    struct rlimit limit;
    struct buf stat;
    char *after;

    buf_init(&stat, 4096);
    after = buf_read_file(&stat, "/proc/self/stat") < 0 ? NULL : strrchr(stat.data, ')');
    for (int field = 2; after && field < 22; field++)
        after = strchr(after + 1, ' ');
    if (after)
        (void)sscanf(after, "%llu %llu %lld", &start_ticks, &virtual_bytes, &resident_pages);
    buf_done(&stat);
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    getrusage(RUSAGE_SELF, &usage);
    getrlimit(RLIMIT_NOFILE, &limit);
    put_value(out, "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.",
              (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                  (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    put_value(out, "process_max_fds", "gauge", "Maximum number of open file descriptors.", (double)limit.rlim_cur);
    put_value(out, "process_open_fds", "gauge", "Number of open file descriptors.", open_descriptors());
    put_value(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
              (double)resident_pages * (double)sysconf(_SC_PAGESIZE));
    put_value(out, "process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.",
              (double)(wall.tv_sec - boot.tv_sec) + (double)start_ticks / (double)sysconf(_SC_CLK_TCK));
    put_value(out, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", (double)virtual_bytes);
}

void handle_metrics(struct call *call)
{
    if (!call->api->proxy_metrics && !call->api->runtime_metrics) {
        call->response->status = 404;
        call->response->content_type = "text/plain; charset=utf-8";
        buf_puts(&call->response->body, "404 page not found\n");
        return;
    }
    call->response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    if (call->api->proxy_metrics) {
        put_byte_metric(call, "toxiproxy_proxy_received_bytes_total", "Bytes taken from the sender, counted as they come.", true);
        put_byte_metric(call, "toxiproxy_proxy_sent_bytes_total", "Bytes passed on to the receiver, counted as they go.", false);
        put_proxy_metric(call, "perturb_proxy_connections_total", "counter", "Connections accepted.", connections);
        put_proxy_metric(call, "perturb_proxy_connections", "gauge", "Connections open.", connections_open);
        put_proxy_metric(call, "perturb_proxy_held_bytes", "gauge", "Bytes held back by toxics.", held_bytes);
        put_fired(call);
    }
    if (call->api->runtime_metrics)
        put_process(&call->response->body);
}
