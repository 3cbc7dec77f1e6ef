/* The probes of a run: started with the loads, their samples as values and series of signals. */
#include "controller/run/run_priv.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* On a probe's thread: a pid is read whole, and may be out of date by the time it is used, as any pid of somebody else's may. */
static pid_t target_pid(void *context, const char *name)
{
    const struct run *run = context;

    for (size_t i = 0; i < run->playbook->targets.count; i++)
        if (!strcmp(run->targets[i].target->name, name))
            return __atomic_load_n(&run->targets[i].pid, __ATOMIC_RELAXED);
    return 0;
}

static unsigned target_starts(void *context, const char *name)
{
    const struct run *run = context;

    for (size_t i = 0; i < run->playbook->targets.count; i++)
        if (!strcmp(run->targets[i].target->name, name))
            return __atomic_load_n(&run->targets[i].starts, __ATOMIC_RELAXED);
    return 0;
}

static int target_log(void *context, const char *name, char *path, size_t size)
{
    const struct run *run = context;

    return (size_t)snprintf(path, size, "%s/logs/%s.log", run->directory, name) < size ? 0 : -ENAMETOOLONG;
}

int run_start_probes(struct run *run, uint64_t from_ns)
{
    run->world = (struct probe_world){ target_pid, run, target_starts, target_log, run->request->egress };
    for (size_t i = 0; i < run->playbook->probes.count; i++) {
        struct probe_run *probe = &run->probes[i];

        if (probe->prober)
            continue;
        if (prober_new(probe->probe, &run->world, run->errs, &probe->prober) < 0)
            return -EINVAL;
        if (prober_start(probe->prober, from_ns) < 0)
            return errs_add(run->errs, ERR_WORLD, probe->probe->name, "no thread for this probe");
    }
    return 0;
}

void run_stop_probes(struct run *run)
{
    for (size_t i = 0; i < run->playbook->probes.count; i++)
        if (run->probes[i].prober)
            prober_stop(run->probes[i].prober);
}

double run_probe_over(const struct run *run, const struct signal *signal, uint64_t from_ns, uint64_t until_ns)
{
    AUTO_FREE struct probe_sample *samples = NULL;
    size_t count = 0;

    if (!run->probes[signal->probe].prober || prober_window(run->probes[signal->probe].prober, from_ns, until_ns, &samples, &count) < 0)
        return NAN;
    return probe_stat_over(samples, count, signal->stat, signal->quantile);
}

/* What one sample says of the signal: its value; of a rate, the change since the one before; of `up`, whether it did not fail. */
static double value_at(const struct probe_sample *samples, size_t i, enum probe_stat stat)
{
    if (stat == PROBE_UP)
        return isnan(samples[i].value) ? 0 : 1;
    if (stat != PROBE_CHANGE)
        return samples[i].value;
    return i ? probe_stat_over(samples + i - 1, 2, PROBE_CHANGE, 0) : NAN;
}

int run_probe_series(const struct run *run, const struct signal *signal, double bin_s, struct est_series **ret_series)
{
    const struct probe_run *probe = &run->probes[signal->probe];
    double every_s = (double)probe->probe->every / 1e9;
    AUTO_FREE struct probe_sample *samples = NULL;
    AUTO_FREE double *at_s = NULL;
    double *value;
    size_t count = 0;

    if (!probe->prober || prober_window(probe->prober, run->zero_ns, run->end_ns, &samples, &count) < 0 || !count)
        return -ENODATA;
    at_s = malloc(2 * count * sizeof(double));
    if (!at_s)
        return -ENOMEM;
    value = at_s + count;
    for (size_t i = 0; i < count; i++) {
        at_s[i] = run_seconds(run, samples[i].ns);
        value[i] = value_at(samples, i, signal->stat);
    }
    return est_series_from_samples(at_s, value, count, EST_GAUGE, signal->higher_is_better ? EST_HIGHER_BETTER : EST_LOWER_BETTER, bin_s,
                                   2 * every_s, ret_series);
}

int run_check_probes(const struct playbook *playbook, struct errs *errs)
{
    const struct probe *probes = playbook->probes.items;
    char where[ERR_WHERE_MAX];
    int result = 0;

    for (size_t i = 0; i < playbook->probes.count; i++)
        if (prober_check(&probes[i], node_where(&playbook->document, probes[i].node, where, sizeof(where)), errs) < 0)
            result = -EINVAL;
    return result;
}

cJSON *run_describe_probes(const struct run *run)
{
    cJSON *array = cJSON_CreateArray();

    for (size_t i = 0; i < run->playbook->probes.count; i++) {
        cJSON *object = cJSON_CreateObject();
        struct prober_counts counts = { 0 };

        cJSON_AddItemToArray(array, object);
        cJSON_AddStringToObject(object, "name", run->probes[i].probe->name);
        cJSON_AddNumberToObject(object, "every_s", (double)run->probes[i].probe->every / 1e9);
        if (!run->probes[i].prober)
            continue;
        prober_counts(run->probes[i].prober, &counts);
        cJSON_AddNumberToObject(object, "samples", (double)counts.samples);
        cJSON_AddNumberToObject(object, "failed", (double)counts.failed);
        cJSON_AddNumberToObject(object, "skipped", (double)counts.skipped);
        if (counts.why[0])
            cJSON_AddStringToObject(object, "last_failure", counts.why);
    }
    return array;
}
