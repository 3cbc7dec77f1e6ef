/* Parsers of what load generators of others print. */
#include "controller/load/outside.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenarios/base/cleanup.h"

#define INSTANT_MAX_S 1e11
#define LENGTH_MAX_S 1e6
#define COUNT_MAX 9e15

static const char *const formats[LOAD_FORMATS] = { [LOAD_JSON_LINES] = "json", [LOAD_WRK] = "wrk", [LOAD_K6] = "k6" };

const char *load_format_name(enum load_format format)
{
    return formats[format];
}

int load_format_parse(const char *name, enum load_format *ret_format)
{
    for (size_t i = 0; i < LOAD_FORMATS; i++)
        if (!strcmp(formats[i], name)) {
            *ret_format = (enum load_format)i;
            return 0;
        }
    return -EINVAL;
}

static int refuse(char *why, size_t size, const char *reason, const char *what)
{
    snprintf(why, size, reason, what);
    return -EINVAL;
}

/* ---- JSON lines -------------------------------------------------------------------------------------------------------------- */

/* A number of a member that may be absent: then *value stays. False where it is something else, or out of range. */
static bool take_number(const cJSON *object, const char *key, double most, double scale, double *value)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    if (!item || cJSON_IsNull(item))
        return true;
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > most)
        return false;
    *value = item->valuedouble * scale;
    return true;
}

static bool take_outcome(const cJSON *object, enum load_outcome *ret_outcome)
{
    const cJSON *ok = cJSON_GetObjectItemCaseSensitive(object, "ok");
    const cJSON *outcome = cJSON_GetObjectItemCaseSensitive(object, "outcome");

    *ret_outcome = cJSON_IsFalse(ok) ? LOAD_FAILED : LOAD_OK;
    if (ok && !cJSON_IsBool(ok))
        return false;
    if (!outcome)
        return true;
    for (int i = 0; cJSON_IsString(outcome) && i < LOAD_OUTCOMES; i++)
        if (!strcmp(outcome->valuestring, load_outcome_name((enum load_outcome)i))) {
            *ret_outcome = (enum load_outcome)i;
            return !ok || (i == LOAD_OK) == cJSON_IsTrue(ok);
        }
    return false;
}

static int take_members(const cJSON *object, struct outside_line *line, char *why, size_t size)
{
    double status = 0, bytes = 0;
    const struct {
        const char *key;
        double most, scale, *value;
    } numbers[] = { { "planned", INSTANT_MAX_S, 1, &line->planned_s }, { "t", INSTANT_MAX_S, 1, &line->sent_s },
                    { "latency_ms", LENGTH_MAX_S * 1e3, 1e-3, &line->latency_s }, { "latency_s", LENGTH_MAX_S, 1, &line->latency_s },
                    { "late_ms", LENGTH_MAX_S * 1e3, 1e-3, &line->late_s }, { "status", 999, 1, &status },
                    { "bytes", COUNT_MAX, 1, &bytes } };

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if (!take_number(object, numbers[i].key, numbers[i].most, numbers[i].scale, numbers[i].value))
            return refuse(why, size, "'%s' is not a number of its range", numbers[i].key);
    if (!take_outcome(object, &line->outcome))
        return refuse(why, size, "%s", "'ok' is true or false, 'outcome' a known name that agrees with it");
    if (line->planned_s > line->sent_s && (line->planned_s >= 1e9) == (line->sent_s >= 1e9))
        return refuse(why, size, "%s", "'t', when it was sent, is before 'planned'");
    line->http_code = (uint16_t)status;
    line->bytes = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
    return 0;
}

int outside_read_line(const char *text, struct outside_line *ret_line, char *why, size_t size)
{
    struct outside_line line = { .planned_s = NAN, .sent_s = NAN, .latency_s = NAN, .late_s = NAN };
    cJSON *object = cJSON_ParseWithOpts(text, NULL, 1);
    int rc = cJSON_IsObject(object) ? take_members(object, &line, why, size) : refuse(why, size, "%s", "is no JSON object");

    cJSON_Delete(object);
    if (rc == 0)
        *ret_line = line;
    return rc;
}

/* ---- totals ------------------------------------------------------------------------------------------------------------------ */

static struct load_totals no_totals(void)
{
    return (struct load_totals){ .mean_s = NAN, .most_s = NAN, .length_s = NAN };
}

/* Kept in order: what is read has them in any. */
static void add_quantile(struct load_totals *totals, double share, double at_s)
{
    struct load_quantile *quantile = totals->quantile;
    size_t at = totals->quantile_count;

    if (at == LOAD_QUANTILES_MAX || !(share > 0 && share <= 1 && at_s >= 0 && isfinite(at_s)))
        return;
    for (; at && quantile[at - 1].share > share; at--)
        quantile[at] = quantile[at - 1];
    quantile[at] = (struct load_quantile){ share, at_s };
    totals->quantile_count++;
}

static void count_failed(struct load_totals *totals, enum load_outcome outcome, double count)
{
    totals->outcomes[outcome] += count > 0 && count <= COUNT_MAX ? (uint64_t)count : 0;
}

/* What did not fail went well. Failures may be counted twice (a late answer of a bad status): never more than there were requests. */
static void settle(struct load_totals *totals, uint64_t requests)
{
    uint64_t failed = 0;

    for (int i = LOAD_OK + 1; i < LOAD_OUTCOMES; i++) {
        if (totals->outcomes[i] > requests - failed)
            totals->outcomes[i] = requests - failed;
        failed += totals->outcomes[i];
    }
    totals->outcomes[LOAD_OK] = requests - failed;
    totals->requests = requests;
}

/* ---- wrk --------------------------------------------------------------------------------------------------------------------- */

/* "51.45ms", "1.20s", "830.00us", "2.50m", "1.00h" in seconds; NaN for anything else. */
static double wrk_time_s(const char *text)
{
    static const struct {
        const char *unit;
        double s;
    } units[] = { { "us", 1e-6 }, { "ms", 1e-3 }, { "s", 1 }, { "m", 60 }, { "h", 3600 } };
    char *end;
    double value = strtod(text, &end);
    size_t length = strcspn(end, " ,\r\n");

    for (size_t i = 0; end != text && i < ARRAY_SIZE(units); i++)
        if (strlen(units[i].unit) == length && !strncmp(end, units[i].unit, length))
            return value * units[i].s;
    return NAN;
}

/* Where the line that begins with `label`, blanks apart, goes on; NULL without one. */
static const char *after_label(const char *text, const char *label)
{
    for (const char *line = text; line; line = (line = strchr(line, '\n')) ? line + 1 : NULL) {
        const char *start = line + strspn(line, " ");

        if (!strncmp(start, label, strlen(label)))
            return start + strlen(label);
    }
    return NULL;
}

/* The line "5000 requests in 5.00s, 10MB read". */
static bool wrk_requests(const char *text, double *ret_count, double *ret_length_s)
{
    for (const char *line = text; line; line = (line = strchr(line, '\n')) ? line + 1 : NULL) {
        char *end;
        double count = strtod(line, &end);

        if (end == line || strncmp(end, " requests in ", 13) != 0 || !(count >= 0 && count <= COUNT_MAX))
            continue;
        *ret_count = count;
        *ret_length_s = wrk_time_s(end + 13);
        return isfinite(*ret_length_s);
    }
    return false;
}

static void wrk_errors(const char *text, struct load_totals *totals, double *requests)
{
    const char *errors = after_label(text, "Socket errors: "), *statuses = after_label(text, "Non-2xx or 3xx responses: ");
    double connect = 0, in = 0, out = 0, timeout = 0;

    if (errors && sscanf(errors, "connect %lf, read %lf, write %lf, timeout %lf", &connect, &in, &out, &timeout) == 4) {
        count_failed(totals, LOAD_CONNECT_FAILED, connect);
        count_failed(totals, LOAD_RESET, in + out);
        count_failed(totals, LOAD_TIMEOUT, timeout);
        *requests += connect + in + out;
    }
    if (statuses) /* of those that were late too, one word is enough */
        count_failed(totals, LOAD_HTTP_STATUS, fmin(strtod(statuses, NULL), *requests - connect - in - out - timeout));
}

/* "Latency    51.45ms   10.06ms 107.39ms   90.57%": mean, deviation, most. And of --latency: "  50%   47.99ms". */
static void wrk_latency(const char *text, struct load_totals *totals)
{
    static const char *const shares[] = { "50%", "75%", "90%", "99%" };
    const char *distribution = after_label(text, "Latency Distribution"), *mean = after_label(text, "Latency  ");
    char words[3][32];

    if (mean && sscanf(mean, "%31s %31s %31s", words[0], words[1], words[2]) == 3) {
        totals->mean_s = wrk_time_s(words[0]);
        totals->most_s = wrk_time_s(words[2]);
    }
    for (size_t i = 0; distribution && i < ARRAY_SIZE(shares); i++) {
        const char *value = after_label(distribution, shares[i]);

        if (value)
            add_quantile(totals, strtod(shares[i], NULL) / 100, wrk_time_s(value + strspn(value, " ")));
    }
}

int outside_read_wrk(const char *text, struct load_totals *ret_totals, char *why, size_t size)
{
    struct load_totals totals = no_totals();
    double requests;

    if (!wrk_requests(text, &requests, &totals.length_s))
        return refuse(why, size, "%s", "wrk printed no line 'N requests in T'");
    wrk_latency(text, &totals);
    wrk_errors(text, &totals, &requests);
    settle(&totals, (uint64_t)requests);
    *ret_totals = totals;
    return 0;
}

/* ---- k6 ---------------------------------------------------------------------------------------------------------------------- */

/* The metrics of a summary, an object by name or (--new-machine-readable-summary) a list of named ones; NULL when it is none. */
static const cJSON *k6_metrics(const cJSON *summary)
{
    const cJSON *metrics = cJSON_GetObjectItemCaseSensitive(summary, "metrics");
    const cJSON *listed = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(summary, "results"), "metrics");

    return cJSON_IsObject(metrics) ? metrics : cJSON_IsArray(listed) ? listed : NULL;
}

/* The first object with metrics that begins at a line of its own, new; NULL without one. */
static cJSON *k6_find(const char *text)
{
    for (const char *line = text; line; line = (line = strchr(line, '\n')) ? line + 1 : NULL) {
        const char *start = line + strspn(line, " \t\r");
        cJSON *object = *start == '{' ? cJSON_Parse(start) : NULL;

        if (k6_metrics(object))
            return object;
        cJSON_Delete(object);
    }
    return NULL;
}

static const cJSON *k6_metric(const cJSON *metrics, const char *name)
{
    const cJSON *metric;

    if (!cJSON_IsArray(metrics))
        return cJSON_GetObjectItemCaseSensitive(metrics, name);
    cJSON_ArrayForEach(metric, metrics) {
        const char *own = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(metric, "name"));

        if (own && !strcmp(own, name))
            return metric;
    }
    return NULL;
}

/* The figures of a metric: in its "values", or in itself (--summary-export of old). */
static const cJSON *k6_values(const cJSON *summary, const char *name)
{
    const cJSON *metric = k6_metric(k6_metrics(summary), name), *values = cJSON_GetObjectItemCaseSensitive(metric, "values");

    return values ? values : metric;
}

static double k6_number(const cJSON *values, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(values, key);

    return cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble <= COUNT_MAX ? item->valuedouble : NAN;
}

/* "p(95)", "p(99.9)", and "med" for the half. */
static void k6_latency(const cJSON *duration, struct load_totals *totals)
{
    const cJSON *item;

    totals->mean_s = k6_number(duration, "avg") / 1e3;
    totals->most_s = k6_number(duration, "max") / 1e3;
    add_quantile(totals, 0.5, k6_number(duration, "med") / 1e3);
    cJSON_ArrayForEach(item, duration) {
        double share;

        if (item->string && sscanf(item->string, "p(%lf)", &share) == 1 && share != 50)
            add_quantile(totals, share / 100, k6_number(duration, item->string) / 1e3);
    }
}

/* The older shapes tell a rate, the newer its time. */
static double k6_length(const cJSON *summary, double count, double rate)
{
    double length_s = k6_number(cJSON_GetObjectItemCaseSensitive(summary, "config"), "duration");

    return rate > 0 ? count / rate : length_s;
}

int outside_read_k6(const char *text, struct load_totals *ret_totals, char *why, size_t size)
{
    struct load_totals totals = no_totals();
    cJSON *summary = k6_find(text);
    const cJSON *requests = k6_values(summary, "http_reqs"), *failed = k6_values(summary, "http_req_failed");
    double count = k6_number(requests, "count"), passes = k6_number(failed, "passes"), dropped;

    if (isnan(count)) {
        cJSON_Delete(summary);
        return refuse(why, size, "%s", summary ? "the summary of k6 has no http_reqs.count" : "there is no summary of k6 as JSON");
    }
    totals.length_s = k6_length(summary, count, k6_number(requests, "rate"));
    k6_latency(k6_values(summary, "http_req_duration"), &totals);
    count_failed(&totals, LOAD_FAILED, isnan(passes) ? k6_number(failed, "matches") : passes);
    dropped = k6_number(k6_values(summary, "dropped_iterations"), "count");
    count_failed(&totals, LOAD_DROPPED, dropped);
    settle(&totals, (uint64_t)count + (dropped > 0 ? (uint64_t)dropped : 0));
    cJSON_Delete(summary);
    *ret_totals = totals;
    return 0;
}
