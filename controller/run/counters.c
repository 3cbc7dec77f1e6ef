/* Probes whose numbers the engine knows: counters of its executors, and scores of other signals. It asks an executor at most once a
 * tick, and no more after one has not answered: the lease comes first. */
#include "controller/run/run_priv.h"

#include "scenarios/base/clock.h"

#include <math.h>
#include <string.h>

static double proxy_value(const struct proxy_status *status, enum proxy_field field)
{
    switch (field) {
    case PROXY_OPEN:
        return (double)status->connections_open;
    case PROXY_CONNECTIONS:
        return (double)status->connections;
    case PROXY_FAILED:
        return (double)status->connects_failed;
    case PROXY_ATTEMPTS:
        return (double)status->exchanges;
    case PROXY_BYTES:
        return (double)(status->bytes_to_upstream + status->bytes_to_client);
    case PROXY_TO_UPSTREAM:
        return (double)status->bytes_to_upstream;
    case PROXY_TO_CLIENT:
        return (double)status->bytes_to_client;
    case PROXY_HELD:
        return (double)status->held_bytes;
    }
    return NAN;
}

static double proxy_counter(const struct run *run, const struct proxy_probe *probe)
{
    const struct proxy *proxies = run->playbook->proxies.items;

    for (size_t i = 0; i < run->playbook->proxies.count; i++)
        if (!strcmp(proxies[i].name, probe->proxy))
            return proxy_value(&run->proxies[i], (enum proxy_field)probe->field);
    return NAN;
}

static uint64_t count_of(const struct rule_counts *counts, enum fault_field field)
{
    return field == FAULT_FIRED ? counts->fired : field == FAULT_MATCHED ? counts->matched : field == FAULT_ELIGIBLE ? counts->eligible : counts->skipped;
}

/* Of a step and all its repetitions: they stem from one node. */
static double fault_counter(struct run *run, const struct fault_probe *probe)
{
    const struct node *node = NULL;
    uint64_t sum = 0;

    for (size_t i = 0; i < run->playbook->method.count && !node; i++)
        if (!strcmp(run->steps[i].step->spec.rule.name, probe->fault))
            node = run->steps[i].step->node;
    for (size_t i = 0; i < run->playbook->method.count; i++) {
        struct rule_counts counts;

        if (run->steps[i].step->node != node)
            continue;
        run_rule_counts(run, &run->steps[i], &counts);
        sum += count_of(&counts, (enum fault_field)probe->field);
    }
    return (double)sum;
}

static void tell(struct run *run, const struct probe_run *state, uint64_t now_ns)
{
    const struct probe *probe = state->probe;
    char why[PROBER_WHY_MAX] = "";
    double value = NAN;

    if (probe->kind == PROBE_HEALTH)
        value = run_health(run, &probe->health, now_ns, why, sizeof(why));
    else if (run->executors_silent)
        snprintf(why, sizeof(why), "an executor no longer answers");
    else if (probe->kind == PROBE_PROXY)
        value = proxy_counter(run, &probe->proxy);
    else
        value = fault_counter(run, &probe->fault);
    if (isnan(value))
        prober_tell_failure(state->prober, now_ns, why);
    else
        prober_tell(state->prober, now_ns, value);
}

void run_tell_probes(struct run *run, uint64_t now_ns)
{
    bool has_asked = false;

    for (size_t i = 0; i < run->playbook->probes.count; i++) {
        const struct probe_run *state = &run->probes[i];

        if (!state->prober || !prober_is_told(state->prober) || !prober_is_due(state->prober, now_ns))
            continue;
        if (state->probe->kind == PROBE_PROXY && !has_asked && !run->executors_silent) {
            run->executors_silent = !run_read_proxies(run);
            has_asked = true;
        }
        tell(run, state, now_ns);
    }
}
