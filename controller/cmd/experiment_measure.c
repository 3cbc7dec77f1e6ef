/* Our measurement beside somebody else's experiment: an open-loop load on a URL, its baseline before the first action, its return after the
 * last rollback. */
#include "controller/cmd/experiment.h"

#include "controller/estimate/estimate.h"
#include "controller/base/json.h"
#include "controller/load/load.h"
#include "controller/report/format.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

#define BIN_S 0.05
#define BAND 0.05
#define HOLD_S 3.0
#define OBSERVE_S 15.0 /* after the release */

enum { SLICE_MS = 100 };

struct measurement {
    struct load *load;
    uint64_t zero_ns, baseline_ns, end_ns;
};

static void wait_until(uint64_t until_ns)
{
    for (uint64_t now_ns = clock_now_ns(); now_ns < until_ns; now_ns = clock_now_ns())
        poll(NULL, 0, (int)MIN((until_ns - now_ns) / NS_PER_MS + 1, SLICE_MS));
}

int measurement_begin(const char *url, double rate_per_s, struct errs *errs, struct measurement **ret_measurement)
{
    const struct load_spec spec = { .name = "main", .run_id = "experiment", .protocol = LOAD_HTTP, .url = url, .rate_per_s = rate_per_s,
                                    .late_after_ns = (uint64_t)(BIN_S * 1e9) };
    struct measurement *measurement = calloc(1, sizeof(*measurement));
    double needed_s = est_baseline_needed_s(EST_QUICK, BIN_S, HOLD_S);

    if (!measurement)
        return errs_add(errs, ERR_INTERNAL, NULL, "out of memory");
    if (load_new(&spec, errs, &measurement->load) < 0) {
        free(measurement);
        return -EINVAL;
    }
    measurement->zero_ns = clock_now_ns() + 50 * NS_PER_MS;
    if (load_start(measurement->load, measurement->zero_ns) < 0) {
        load_free(measurement->load);
        free(measurement);
        return errs_add(errs, ERR_WORLD, "--load", "no thread for the load");
    }
    printf("%-12s %s for %.0f s before anything is done\n", "baseline", url, needed_s + 1);
    fflush(stdout);
    wait_until(measurement->zero_ns + (uint64_t)((needed_s + 1) * 1e9));
    measurement->baseline_ns = clock_now_ns();
    *ret_measurement = measurement;
    return 0;
}

static double seconds(const struct measurement *measurement, uint64_t ns)
{
    return ns ? ((double)ns - (double)measurement->zero_ns) / 1e9 : NAN;
}

static void request_at(const void *context, size_t index, struct est_request *ret_request)
{
    const struct measurement *measurement = context;
    const struct load_record *record = load_record_at(measurement->load, index);

    *ret_request = (struct est_request){
        .planned_s = seconds(measurement, record->planned_ns),
        .latency_s = record->outcome == LOAD_OK ? (double)(record->done_ns - record->planned_ns) / 1e9 : INFINITY,
        .good = record->outcome == LOAD_OK,
    };
}

static int judge(const struct measurement *measurement, const struct ctk_instants *instants, struct est_result *ret_result)
{
    const struct est_pins pins = { .band = BAND, .hold_s = HOLD_S, .rigour = EST_QUICK, .seed = 1 };
    const struct est_build build = { .measure = EST_GOODPUT_RATIO, .start_s = 0, .end_s = seconds(measurement, measurement->end_ns), .bin_s = BIN_S };
    const struct est_instants at = { .baseline_start_s = 1, .baseline_end_s = seconds(measurement, measurement->baseline_ns),
                                     .inject_s = seconds(measurement, instants->method_ns), .release_s = seconds(measurement, instants->released_ns),
                                     .end_s = build.end_s };
    struct est_series *series = NULL;
    int result = est_series_from_records(request_at, measurement, load_records_count(measurement->load), &build, &series);

    if (!result)
        result = est_judge(series, &pins, &at, NULL, ret_result);
    est_series_free(series);
    return result;
}

static void tell(const struct est_result *result, cJSON *journal)
{
    cJSON *extensions = cJSON_GetObjectItemCaseSensitive(journal, "extensions"), *own;

    printf("%-12s goodput %s", "measured", est_verdict_name(result->verdict));
    if (isfinite(result->convergence_from_release_s))
        printf(", %s after the last rollback (95 %%: %s to %s)", fmt_seconds(result->convergence_from_release_s).text,
               fmt_seconds(result->from_release_interval.low).text, fmt_seconds(result->from_release_interval.high).text);
    printf("; worth %s of full outage; band 5 %%, hold 3 s\n", fmt_seconds(isfinite(result->loss_to_hold_s) ? result->loss_to_hold_s : result->loss_to_end_s).text);
    if (result->reason[0])
        printf("%-12s %s\n", "", result->reason);
    if (!cJSON_IsObject(journal))
        return;
    if (!cJSON_IsArray(extensions)) {
        cJSON_DeleteItemFromObjectCaseSensitive(journal, "extensions");
        extensions = cJSON_AddArrayToObject(journal, "extensions");
    }
    own = cJSON_CreateObject();
    cJSON_AddItemToArray(extensions, own);
    cJSON_AddStringToObject(own, "name", "perturb");
    cJSON_AddStringToObject(own, "signal", "main.goodput");
    cJSON_AddStringToObject(own, "verdict", est_verdict_name(result->verdict));
    json_put_number(own, "from_release_s", result->convergence_from_release_s);
    json_put_number(own, "low_s", result->from_release_interval.low);
    json_put_number(own, "high_s", result->from_release_interval.high);
    json_put_number(own, "loss_s", isfinite(result->loss_to_hold_s) ? result->loss_to_hold_s : result->loss_to_end_s);
    json_put_number(own, "band", BAND);
    json_put_number(own, "hold_s", HOLD_S);
}

void measurement_end(void *context, cJSON *journal, const struct ctk_instants *instants)
{
    struct measurement *measurement = context;
    struct load_counters counters;
    struct est_result result;

    if (instants->method_ns) {
        printf("%-12s for %.0f s after the last rollback\n", "observe", OBSERVE_S);
        fflush(stdout);
        wait_until(instants->released_ns + (uint64_t)(OBSERVE_S * 1e9));
    }
    measurement->end_ns = clock_now_ns();
    load_stop(measurement->load);
    load_counters(measurement->load, &counters);
    if (!instants->method_ns)
        printf("%-12s nothing: no action was taken\n", "measured");
    else if (!load_is_fit(&counters))
        printf("%-12s nothing: the load generator itself was late\n", "measured");
    else if (judge(measurement, instants, &result) == 0)
        tell(&result, journal);
    load_free(measurement->load);
    free(measurement);
}
