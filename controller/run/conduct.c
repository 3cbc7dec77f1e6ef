/* The order of a run (DESIGN section 5.4), one phase after the other. An abort from any of them goes on at release. */
#include "controller/run/run_priv.h"

#include "controller/run/ready.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

void run_phase(struct run *run, const char *phase)
{
    run->phase = phase;
    event_log_note(&run->log, EVENT_phase, phase, NULL, 0, 0);
}

/* ---- load ------------------------------------------------------------------------------------------------------------------ */

static int start_load(struct run *run, struct load_run *load)
{
    if (workload_new(run, load) < 0)
        return -EINVAL;
    event_log_note(&run->log, EVENT_load_started, load->workload->name, NULL, load->workload->rate != ABSENT ? load->workload->rate : 0, 0);
    return load_start(load->generator, run->zero_ns);
}

static int start_loads(struct run *run)
{
    run->zero_ns = clock_now_ns() + 50 * NS_PER_MS;
    run->log.origin_ns = run->zero_ns;
    for (size_t i = 0; i < run->playbook->loads.count; i++)
        if (start_load(run, &run->loads[i]) < 0)
            return -EINVAL;
    return run_start_probes(run, run->zero_ns);
}

static void stop_loads(struct run *run)
{
    for (size_t i = 0; i < run->playbook->loads.count; i++)
        if (run->loads[i].generator)
            load_stop_at(run->loads[i].generator, MAX(run->end_ns, run->shed.until_ns));
    for (size_t i = 0; i < run->playbook->loads.count; i++) {
        struct load_run *load = &run->loads[i];
        struct load_counters counters;

        if (!load->generator)
            continue;
        while (!load_is_over(load->generator))
            if (!run_wait(run, clock_now_ns() + 20 * NS_PER_MS))
                break;
        load_stop(load->generator);
        load_counters(load->generator, &counters);
        event_log_note(&run->log, EVENT_load_stopped, load->workload->name, NULL, (int64_t)counters.planned, (int64_t)counters.ok);
    }
}

/* ---- method ------------------------------------------------------------------------------------------------------------------ */

static uint64_t start_of(const struct run *run, const struct step_run *step)
{
    return run->method_ns + (uint64_t)step->step->at + run->people.held_ns;
}

uint64_t run_next_end_ns(const struct run *run)
{
    uint64_t next_ns = UINT64_MAX;

    for (size_t i = 0; i < run->playbook->method.count; i++)
        if (run->steps[i].state == STEP_ACTIVE && run->steps[i].step->duration != ABSENT)
            next_ns = MIN(next_ns, run->steps[i].begun_ns + (uint64_t)run->steps[i].step->duration);
    return next_ns;
}

/* The next instant at which a step begins or ends; UINT64_MAX when none is left. */
static uint64_t next_change_ns(const struct run *run)
{
    uint64_t next_ns = MIN(run_next_end_ns(run), run_next_hold_ns(run));

    for (size_t i = 0; i < run->playbook->method.count; i++)
        if (run->steps[i].state == STEP_PENDING)
            next_ns = MIN(next_ns, start_of(run, &run->steps[i]));
    return next_ns;
}

/* A step at the instant of a hold begins after it, one that ends with it ends before. */
void run_apply_changes(struct run *run, uint64_t now_ns, bool begins)
{
    for (size_t i = 0; i < run->playbook->method.count; i++) {
        struct step_run *step = &run->steps[i];
        uint64_t start_ns = start_of(run, step);

        if (step->state == STEP_ACTIVE && step->step->duration != ABSENT && now_ns >= step->begun_ns + (uint64_t)step->step->duration) {
            run_release_step(run, step);
        } else if (step->state == STEP_PENDING && begins && now_ns >= start_ns && start_ns < run_next_hold_ns(run) && !run_is_aborted(run)) {
            step->begun_ns = start_ns;
            run_arm_step(run, step);
        }
    }
}

static void inject(struct run *run)
{
    run_phase(run, "inject");
    run_take_evidence_at(run, EVIDENCE_BEFORE);
    run->method_ns = clock_now_ns();
    while (!run_is_aborted(run) && !run_is_cut_short(run)) {
        uint64_t next_ns = next_change_ns(run);

        if (next_ns == UINT64_MAX || !run_wait(run, next_ns))
            break;
        if (run_is_cut_short(run))
            break;
        run_apply_changes(run, clock_now_ns(), true);
        run_hold(run);
    }
}

/* ---- release and after --------------------------------------------------------------------------------------------------------- */

static bool any_active(const struct run *run)
{
    for (size_t i = 0; i < run->playbook->method.count; i++)
        if (run->steps[i].state == STEP_ACTIVE)
            return true;
    return false;
}

/* What has a `for` is released by now; what has none stays until the end of the observation, unless the run was aborted. */
static void release(struct run *run)
{
    run_phase(run, "release");
    if (run_is_aborted(run))
        run_release_all(run);
    run_guards_released(run);
    for (size_t i = 0; i < run->playbook->method.count; i++)
        run->released_ns = MAX(run->released_ns, run->steps[i].released_ns);
    run_count_hops(run, &run->hops[2]);
    if (!any_active(run) && run->released_ns) {
        run_phase(run, "verify undo");
        run_verify(run);
    }
}

static uint64_t observe_ns(const struct run *run)
{
    const struct convergence_expectation *expected = &run->playbook->expect.convergence;
    bool stopped = !strncmp(run->abort_reason, "stopped", 7) || !strncmp(run->abort_reason, "halted", 6);

    if (stopped || run->request->guard_test)
        return NS_PER_S;
    if (run->playbook->observe != ABSENT)
        return (uint64_t)run->playbook->observe;
    return (uint64_t)MAX(expected->max == ABSENT ? 0 : expected->max, expected->hold) + (uint64_t)expected->hold * 14 / 10;
}

static void observe(struct run *run)
{
    uint64_t from_ns = run->released_ns ? run->released_ns : clock_now_ns();

    run_phase(run, "observe");
    if (!run->guardian_gone)
        run_wait(run, from_ns + observe_ns(run));
    run_take_evidence_at(run, EVIDENCE_AFTER);
    run->end_ns = clock_now_ns();
    run_count_hops(run, &run->hops[3]);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------------- */

static bool lever_is_free(struct run *run)
{
    bool halted = false;
    int result = lever_read(&run->registry, &halted);

    run_phase(run, "lever");
    if (result < 0)
        errs_add(run->errs, ERR_WORLD, "lever", "the safety lever cannot be read: %s", strerror(-result));
    else if (halted)
        errs_add(run->errs, ERR_WORLD, "lever", "runs are halted; `perturb resume` allows them again");
    return result == 0 && !halted;
}

static void disturb(struct run *run)
{
    if (run_baseline(run)) {
        inject(run);
        release(run);
        observe(run);
        run_shed_load(run);
    } else if (run_is_aborted(run)) {
        release(run);
        observe(run);
    }
    if (!run->end_ns)
        run->end_ns = clock_now_ns();
    if (any_active(run))
        run_release_all(run);
    stop_loads(run);
    run_end_evidence(run);
}

/* Ramps go beside the rest of the run, so that nothing of it is measured under a load that is not its own. */
static void ramp_afterwards(struct run *run)
{
    if (!run->refused_baseline && !run_is_aborted(run))
        run_ramp(run, RAMP_AFTER);
    if (!run->refused_baseline && !run_is_aborted(run))
        run_ramp(run, RAMP_FAULT);
}

int run_conduct(struct run *run)
{
    event_log_note(&run->log, EVENT_run_started, run->id, run->playbook->document.file, (int64_t)run->started_wall_ns, 0);
    if (!lever_is_free(run))
        return -EIO;
    run_phase(run, "prepare");
    if (run_prepare(run) < 0)
        return -EIO;
    run_phase(run, "capture");
    if (run_ramp(run, RAMP_BEFORE) < 0)
        return -EIO;
    if (!run_is_aborted(run)) {
        if (start_loads(run) < 0)
            return -EIO;
        disturb(run);
        ramp_afterwards(run);
    }
    run_stop_probes(run);
    run_phase(run, "rollback");
    run_roll_back(run, true);
    run_phase(run, "verify");
    run_verify(run);
    return 0;
}
