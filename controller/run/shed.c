/* The metastability phase (Bronson and others, HotOS 2021): the faults are gone, the service is still down, and some of the load is taken
 * away. What comes back then was kept down by its own load; what does not is broken.
 *
 * The main judgement ends where the shedding begins, so that it compares with runs that needed none. */
#include "controller/run/run_priv.h"

#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#define LEAD_NS (20 * NS_PER_MS) /* the generators hear of it before it begins */

static bool may_shed(const struct run *run)
{
    return run->playbook->metastability.shed > 0 && run->released_ns && !run_is_aborted(run) && !run->guardian_gone && !run->request->guard_test;
}

static int take_away(struct run *run, uint64_t from_ns)
{
    int result = 0;

    for (size_t i = 0; i < run->playbook->loads.count && result == 0; i++)
        if (run->loads[i].generator)
            result = load_shed(run->loads[i].generator, from_ns, (uint32_t)(PPM - run->playbook->metastability.shed));
    return result;
}

static bool is_out(enum est_verdict verdict)
{
    return verdict == EST_NOT_CONVERGED || verdict == EST_METASTABLE || verdict == EST_FLAPPING;
}

/* Of those that shrink with the load nothing can be said. The worst phase counts: broken, unknown, metastable. */
static void judge_shedding(struct run *run, const struct judgement *down)
{
    uint64_t end_ns = run->end_ns;
    struct est_pins pins;
    struct est_instants instants;
    bool any = false;

    run->shed.found = (struct effects_shedding){ .phase = PHASE_UNKNOWN, .recovery_s = NAN, .recovery_interval = { NAN, NAN } };
    run->end_ns = run->shed.until_ns;
    run_judging(run, &pins, &instants);
    for (size_t i = 0; i < down->signal_count; i++) {
        const struct judged_signal *judged = &down->signals[i];
        struct effects_shedding found = { .phase = PHASE_UNKNOWN, .recovery_s = NAN, .recovery_interval = { NAN, NAN } };
        const struct est_series *series = NULL;

        if (!judged->judged || !is_out(judged->result.verdict) || judged->signal.kind == SIGNAL_RATE)
            continue;
        if (run_series(run, &judged->signal, run_signal_bin_s(run, &judged->signal), &series) == 0)
            (void)effects_judge_shedding(series, &pins, &instants, run_seconds(run, run->shed.from_ns), &found);
        if (!any || found.phase == PHASE_BROKEN || (found.phase == PHASE_UNKNOWN && run->shed.found.phase != PHASE_BROKEN) ||
            (found.phase == run->shed.found.phase && found.recovery_s > run->shed.found.recovery_s))
            run->shed.found = found;
        any = true;
    }
    run->end_ns = end_ns;
}

void run_shed_load(struct run *run)
{
    struct judgement *down = may_shed(run) ? calloc(1, sizeof(*down)) : NULL;
    uint64_t from_ns;

    if (down && run_is_down(run, down)) {
        from_ns = clock_now_ns() + LEAD_NS;
        run_phase(run, "shed");
        if (take_away(run, from_ns) == 0) {
            run_wait(run, from_ns + (uint64_t)run->playbook->metastability.duration);
            run->shed.from_ns = from_ns;
            run->shed.until_ns = MAX(clock_now_ns(), from_ns);
            judge_shedding(run, down);
        }
    }
    free(down);
}

static const char *phase_word(enum effects_phase phase)
{
    static const char *const words[] = { "not_needed", "metastable", "broken", "unknown" };

    return words[phase];
}

cJSON *run_describe_shedding(const struct run *run)
{
    const struct effects_shedding *found = &run->shed.found;
    cJSON *object;

    if (!run->shed.from_ns)
        return NULL;
    object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "phase", phase_word(found->phase));
    cJSON_AddNumberToObject(object, "shed", (double)run->playbook->metastability.shed / PPM);
    cJSON_AddNumberToObject(object, "from_s", run_seconds(run, run->shed.from_ns));
    cJSON_AddNumberToObject(object, "until_s", run_seconds(run, run->shed.until_ns));
    if (found->phase == PHASE_METASTABLE) {
        cJSON_AddNumberToObject(object, "load_shed_needed", (double)run->playbook->metastability.shed / PPM);
        cJSON_AddNumberToObject(object, "recovery_s", found->recovery_s);
        cJSON_AddNumberToObject(object, "recovery_low_s", found->recovery_interval.low);
        cJSON_AddNumberToObject(object, "recovery_high_s", found->recovery_interval.high);
    }
    return object;
}
