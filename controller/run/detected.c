/* Detection by those who detect: the first alert that fires after the injection sets the instant, as a person who presses would.
 *
 * 1. Where an alert fired already at the last look before the injection, or nobody could look then, the next one says nothing of this
 *    fault: no instant is set, and the time to detect is not known rather than wrong.
 * 2. It is known to one interval of the probe. */
#include "controller/run/run_priv.h"

#include <math.h>
#include <stdlib.h>

/* The last known number of alerts before an instant; NaN where none is. */
static double alerts_before(struct prober *prober, uint64_t from_ns, uint64_t until_ns)
{
    struct probe_sample *samples = NULL;
    double value = NAN;
    size_t count = 0;

    if (prober_window(prober, from_ns, until_ns, &samples, &count) == 0 && count)
        value = samples[count - 1].value;
    free(samples);
    return value;
}

/* When the first alert was seen; 0: none yet. */
static uint64_t first_alert_ns(struct prober *prober, uint64_t from_ns)
{
    struct probe_sample *samples = NULL;
    uint64_t found_ns = 0;
    size_t count = 0;

    if (prober_window(prober, from_ns, UINT64_MAX, &samples, &count) == 0)
        for (size_t i = 0; i < count && !found_ns; i++)
            if (samples[i].value > 0)
                found_ns = samples[i].ns;
    free(samples);
    return found_ns;
}

void run_watch_alerts(struct run *run)
{
    uint64_t injection_ns = run->people.alerted ? 0 : run_injected_ns(run), earliest_ns = 0;
    const char *name = "";
    struct mark mark;

    if (!injection_ns)
        return;
    for (size_t i = 0; i < run->playbook->probes.count; i++) {
        const struct probe *probe = run->probes[i].probe;
        struct prober *prober = run->probes[i].prober;
        uint64_t seen_ns;

        if (probe->kind != PROBE_ALERTMANAGER || !probe->alertmanager.detects || !prober ||
            !(fabs(alerts_before(prober, run->zero_ns, injection_ns)) < 0.5))
            continue;
        seen_ns = first_alert_ns(prober, injection_ns);
        if (seen_ns && (!earliest_ns || seen_ns < earliest_ns)) {
            earliest_ns = seen_ns;
            name = probe->name;
        }
    }
    if (!earliest_ns)
        return;
    run->people.alerted = true;
    mark_init(&mark, MARK_DETECTED, earliest_ns, "alertmanager", name);
    run_mark(run, &mark);
}
