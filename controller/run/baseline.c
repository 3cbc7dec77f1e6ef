/* The baseline: what a run holds the fault against, and whether it is one. A number without a measure is no number.
 *
 * 1. The warm-up counts from the instant every load is there: a generator of others takes its time to start, and what it did not send
 *    meanwhile is no hole of the service's.
 * 2. It is judged once what was planned in it has ended: a reply under way is not unknown, it is slow. */
#include "controller/run/run_priv.h"

#include "scenarios/base/clock.h"

#include <math.h>
#include <sys/param.h>

#define LOOK_NS (5 * NS_PER_MS)
#define FIRST_LINE_MOST_NS (30 * NS_PER_S) /* of a generator of others */
#define REPLIES_MOST_NS (60 * NS_PER_S)    /* for the last of them, whatever their deadline */

/* ---- what is waited for -------------------------------------------------------------------------------------------------------- */

static bool has_begun(const struct load_run *load)
{
    return load->workload->kind != WORKLOAD_COMMAND || load_records_count(load->generator) > 0;
}

/* Nothing is under way, or a request that was planned after the instant is over: what was planned before it is then too, but for
 * stragglers. */
static bool has_ended(const struct load_run *load, uint64_t until_ns)
{
    struct load_counters counters;

    load_counters(load->generator, &counters);
    if (load->workload->kind != WORKLOAD_COMMAND && counters.in_flight == 0 && counters.waiting == 0)
        return true;
    for (uint64_t i = load_records_count(load->generator); i-- > 0;) {
        const struct load_record *record = load_record_at(load->generator, i);

        if (record->planned_ns >= until_ns)
            return true;
        if (record->done_ns + LOAD_DISORDER_NS < until_ns)
            return false;
    }
    return false;
}

static bool is_awaited(const struct load_run *load)
{
    return load->generator && workload_has_series(load->workload) && !load_is_over(load->generator);
}

/* False when the run is aborted meanwhile. */
static bool wait_for_start(struct run *run)
{
    for (size_t i = 0; i < run->playbook->loads.count; i++)
        while (is_awaited(&run->loads[i]) && !has_begun(&run->loads[i]) && clock_now_ns() < run->zero_ns + FIRST_LINE_MOST_NS)
            if (!run_wait(run, clock_now_ns() + LOOK_NS))
                return false;
    return true;
}

static bool wait_for_replies(struct run *run, uint64_t until_ns)
{
    for (size_t i = 0; i < run->playbook->loads.count; i++) {
        const struct load_run *load = &run->loads[i];
        uint64_t deadline_ns = (uint64_t)load->workload->timeout;
        uint64_t most_ns = until_ns + LOAD_DISORDER_NS + (deadline_ns ? MIN(deadline_ns, REPLIES_MOST_NS) : REPLIES_MOST_NS);

        while (is_awaited(load) && !has_ended(load, until_ns) && clock_now_ns() < most_ns)
            if (!run_wait(run, clock_now_ns() + LOOK_NS))
                return false;
    }
    return true;
}

/* ---- whether it is one ----------------------------------------------------------------------------------------------------------- */

/* One that the estimator cannot use refuses the injection. */
static bool baseline_fits(struct run *run)
{
    const struct est_pins pins = { .band = (double)run->playbook->expect.convergence.band / 1e6,
                                   .hold_s = (double)run->playbook->expect.convergence.hold / 1e9,
                                   .rigour = run->playbook->rigour ? EST_FULL : EST_QUICK, .seed = run->seed };
    const struct est_instants instants = { .baseline_start_s = run_seconds(run, run->baseline_start_ns),
                                           .baseline_end_s = run_seconds(run, run->baseline_end_ns),
                                           .inject_s = run_seconds(run, run->baseline_end_ns), .release_s = NAN,
                                           .end_s = run_seconds(run, run->baseline_end_ns) };

    run->end_ns = run->baseline_end_ns;
    for (size_t i = 0; i < run->playbook->signal_count; i++) {
        const struct signal *signal = &run->playbook->signals[i];
        const struct est_series *series = NULL;
        struct est_baseline baseline;
        const char *reason = "";

        if (run_series(run, signal, run_signal_bin_s(run, signal), &series) < 0)
            snprintf(run->refusal, sizeof(run->refusal), "no data for %s", signal->name);
        else if (!est_baseline_fit(series, &pins, &instants, &baseline, &reason))
            snprintf(run->refusal, sizeof(run->refusal), "%s: %s", signal->name, reason);
    }
    run_series_done(run);
    return !run->refusal[0];
}

/* As long as the slowest of the deciding signals needs. */
static double baseline_needed_s(const struct run *run)
{
    double bin_s = run_base_bin_s(run);

    for (size_t i = 0; i < run->playbook->signal_count; i++)
        bin_s = fmax(bin_s, run_signal_bin_s(run, &run->playbook->signals[i]));
    return est_baseline_needed_s(run->playbook->rigour ? EST_FULL : EST_QUICK, bin_s, (double)run->playbook->expect.convergence.hold / 1e9);
}

bool run_baseline(struct run *run)
{
    double needed_s = baseline_needed_s(run);

    run_phase(run, "baseline");
    if (!wait_for_start(run) || !run_wait(run, MAX(run->zero_ns, clock_now_ns()) + (uint64_t)run->playbook->warmup))
        return false;
    run->baseline_start_ns = clock_now_ns();
    run_count_hops(run, &run->hops[0]);
    if (!run_wait(run, run->baseline_start_ns + (uint64_t)(needed_s * 1e9) + 2 * (uint64_t)(run_base_bin_s(run) * 1e9)))
        return false;
    run->baseline_end_ns = clock_now_ns();
    run_count_hops(run, &run->hops[1]);
    if (!wait_for_replies(run, run->baseline_end_ns))
        return false;
    run_phase(run, "steady");
    if (run_judge_steady(run) && baseline_fits(run))
        return true;
    run->refused_baseline = true;
    return false;
}
