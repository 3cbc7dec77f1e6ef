/* From what was recorded to a verdict, its reason in plain words, and an exit status (DESIGN section 7). */
#include "controller/run/run_priv.h"

#include "controller/run/expect.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

uint64_t run_injected_ns(const struct run *run)
{
    uint64_t first_ns = UINT64_MAX;

    for (size_t i = 0; i < run->playbook->method.count; i++)
        if (run->steps[i].injected_ns)
            first_ns = MIN(first_ns, run->steps[i].injected_ns);
    return first_ns == UINT64_MAX ? 0 : first_ns;
}

/* The release of the method: the last one, if every fault was released before the observation ended; else there was none. */
static uint64_t method_release_ns(const struct run *run)
{
    for (size_t i = 0; i < run->playbook->method.count; i++)
        if (run->steps[i].step->duration == ABSENT && !run_is_aborted(run) && !run_is_cut_short(run))
            return 0;
    return run->released_ns;
}

static void set_context(const struct run *run, struct est_context *context)
{
    double baseline = amplification_of(run, 0, 1), after = amplification_of(run, 2, 3);

    *context = (struct est_context){ .offered_ratio = 1, .amplification_ratio = baseline > 0 ? after / baseline : NAN };
}

/* Requests count by their planned instant: one that was planned before the release, waited, and was answered within its deadline
 * after it is good. A return earlier than the release by no more than a deadline is therefore the release's own work. */
static void credit_release(const struct load_run *load, struct est_result *result)
{
    double deadline_s = run_deadline_s(load);

    if (result->verdict == EST_RECOVERED_UNDER_FAULT && result->convergence_from_release_s > -deadline_s - 2 * result->bin_s)
        result->verdict = EST_CONVERGED;
}

void run_judging(const struct run *run, struct est_pins *ret_pins, struct est_instants *ret_instants)
{
    *ret_pins = (struct est_pins){ .band = (double)run->playbook->expect.convergence.band / 1e6,
                                   .hold_s = (double)run->playbook->expect.convergence.hold / 1e9,
                                   .rigour = run->playbook->rigour ? EST_FULL : EST_QUICK, .seed = run->seed };
    *ret_instants = (struct est_instants){
        .baseline_start_s = run_seconds(run, run->baseline_start_ns),
        .baseline_end_s = run_seconds(run, run->baseline_end_ns),
        .inject_s = run_seconds(run, run_injected_ns(run)),
        .release_s = run_seconds(run, method_release_ns(run)),
        .end_s = run_seconds(run, run->end_ns),
    };
}

static void judge_signal(struct run *run, struct judged_signal *judged)
{
    struct est_pins pins;
    struct est_instants instants;
    const struct est_series *series = NULL;
    struct est_context context;
    char text[96];

    set_context(run, &context);
    run_judging(run, &pins, &instants);
    if (run_series(run, &judged->signal, run_signal_bin_s(run, &judged->signal), &series) == 0 && est_judge(series, &pins, &instants, &context, &judged->result) == 0) {
        judged->judged = true;
        if (signal_is_of_load(&judged->signal))
            credit_release(&run->loads[judged->signal.load], &judged->result);
        run_withhold(run, &judged->signal, &judged->result);
    } else {
        snprintf(text, sizeof(text), "%s could not be judged: no data", judged->signal.name);
        cJSON_AddItemToArray(run->notes, cJSON_CreateString(text));
    }
}

static void add_signal(struct run *run, struct judgement *judgement, const struct signal *signal, bool deciding)
{
    for (size_t i = 0; i < judgement->signal_count; i++)
        if (!strcmp(judgement->signals[i].signal.name, signal->name))
            return;
    if (judgement->signal_count < RUN_SERIES_MAX) {
        judgement->signals[judgement->signal_count++] = (struct judged_signal){ .signal = *signal, .deciding = deciding };
    } else {
        char text[160];

        snprintf(text, sizeof(text), "%.64s is not shown: a run shows %d signals", signal->name, RUN_SERIES_MAX);
        cJSON_AddItemToArray(run->notes, cJSON_CreateString(text));
    }
}

/* Health scores first: they are what a reader looks for. */
static void list_probes(struct run *run, struct judgement *judgement, bool scores)
{
    for (size_t i = 0; i < run->playbook->probes.count; i++) {
        const struct probe *probe = run->probes[i].probe;
        struct signal signal;

        if ((probe->kind == PROBE_HEALTH) == scores && playbook_signal(run->playbook, probe->node, probe->name, &signal, run->errs) == 0)
            add_signal(run, judgement, &signal, false);
    }
}

/* The deciding signals first; then what every reader wants to see of each load. */
static void list_signals(struct run *run, struct judgement *judgement)
{
    static const char *const shown[] = { "goodput", "p50", "p99" };
    const struct workload *workloads = run->playbook->loads.items;

    for (size_t i = 0; i < run->playbook->signal_count; i++)
        add_signal(run, judgement, &run->playbook->signals[i], true);
    for (size_t i = 0; i < run->playbook->loads.count; i++)
        for (size_t j = 0; j < ARRAY_SIZE(shown) && workload_has_series(&workloads[i]); j++) {
            size_t size = strlen(workloads[i].name) + 16;
            char *name = document_alloc(&run->playbook->document, size);
            struct signal signal;

            snprintf(name, size, "%s.%s", workloads[i].name, shown[j]);
            if (playbook_signal(run->playbook, workloads[i].node, name, &signal, run->errs) == 0)
                add_signal(run, judgement, &signal, false);
        }
    list_probes(run, judgement, true);
    list_probes(run, judgement, false);
}

static void judge_signals(struct run *run, struct judgement *judgement)
{
    struct est_result results[RUN_SERIES_MAX];
    size_t index[RUN_SERIES_MAX], count = 0, last = 0;

    for (size_t i = 0; i < judgement->signal_count; i++) {
        judge_signal(run, &judgement->signals[i]);
        if (judgement->signals[i].deciding && judgement->signals[i].judged) {
            index[count] = i;
            results[count++] = judgement->signals[i].result;
        }
    }
    if (!count) {
        judgement->combined.verdict = EST_INDETERMINATE;
        judgement->combined.reason = "no deciding signal has data";
        return;
    }
    est_combine(results, count, &judgement->combined, &last);
    judgement->last = index[last];
}

static bool is_down(enum est_verdict verdict)
{
    return verdict == EST_NOT_CONVERGED || verdict == EST_METASTABLE || verdict == EST_FLAPPING;
}

bool run_is_down(struct run *run, struct judgement *ret_judgement)
{
    *ret_judgement = (struct judgement){ .combined = { .verdict = EST_INDETERMINATE, .reason = "" } };
    for (size_t i = 0; i < run->playbook->signal_count; i++)
        add_signal(run, ret_judgement, &run->playbook->signals[i], true);
    if (!run_injected_ns(run) || !run->baseline_end_ns)
        return false;
    judge_signals(run, ret_judgement);
    return is_down(ret_judgement->combined.verdict);
}

/* What the shedding showed outweighs what may be guessed from retries. */
static void take_shedding(const struct run *run, struct judgement *judgement)
{
    if (run->shed.from_ns && run->shed.found.phase == PHASE_METASTABLE && is_down(judgement->combined.verdict)) {
        judgement->combined.verdict = EST_METASTABLE;
        judgement->combined.reason = "it came back when load was taken away, and only then";
    }
}

/* A control that left its band was disturbed as well: by the fault, or by what the two arms share. */
static void note_controls(struct run *run, const struct judgement *judgement)
{
    const struct workload *loads = run->playbook->loads.items;
    char text[200];

    for (size_t i = 0; i < judgement->signal_count; i++) {
        const struct judged_signal *judged = &judgement->signals[i];

        if (!signal_is_of_load(&judged->signal) || judged->signal.kind != SIGNAL_GOODPUT || !loads[judged->signal.load].control_of || !judged->judged ||
            isnan(judged->result.deviated_s))
            continue;
        snprintf(text, sizeof(text), "the control %.60s left its band too: what both arms suffer is not judged, and the arms may share what was disturbed",
                 judged->signal.name);
        cJSON_AddItemToArray(run->notes, cJSON_CreateString(text));
    }
}

/* ---- words --------------------------------------------------------------------------------------------------------------------- */

static void add_next(struct judgement *judgement, const char *format, const char *text)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    if (judgement->next_count < ARRAY_SIZE(judgement->next))
        snprintf(judgement->next[judgement->next_count++], sizeof(judgement->next[0]), format, text);
#pragma GCC diagnostic pop
}

/* How requests failed from the first effect on, the commonest way first: "1,204 of 2,400 requests failed, most by timeout". */
static void describe_failures(const struct run *run, char *text, size_t size)
{
    uint64_t from_ns = run_injected_ns(run), total = 0, failed = 0, outcomes[LOAD_OUTCOMES] = { 0 };
    int worst = LOAD_TIMEOUT;

    for (size_t i = 0; i < run->playbook->loads.count && from_ns; i++) {
        uint64_t count = run->loads[i].generator ? load_records_count(run->loads[i].generator) : 0;

        for (uint64_t j = 0; j < count; j++) {
            const struct load_record *record = load_record_in_turn(run->loads[i].generator, j);

            if (record->planned_ns < from_ns || record->planned_ns >= run->end_ns)
                continue;
            total++;
            failed += record->outcome != LOAD_OK;
            if (record->outcome < LOAD_OUTCOMES)
                outcomes[record->outcome]++;
        }
    }
    for (int i = 0; i < LOAD_OUTCOMES; i++)
        if (i != LOAD_OK && outcomes[i] > outcomes[worst])
            worst = i;
    if (failed)
        snprintf(text, size, "%llu of %llu requests failed after the injection, most by %s", (unsigned long long)failed,
                 (unsigned long long)total, load_outcome_name((enum load_outcome)worst));
    else
        snprintf(text, size, "no request failed after the injection");
}

static void describe_amplification(const struct run *run, char *text, size_t size)
{
    double baseline = amplification_of(run, 0, 1), fault = amplification_of(run, 1, 2), after = amplification_of(run, 2, 3);

    text[0] = '\0';
    if (baseline > 0 && MAX(fault, after) > baseline * 1.2)
        snprintf(text, size, "; attempts per request rose from %.2f to %.2f", baseline, MAX(fault, after));
}

static void explain_pass(const struct run *run, struct judgement *judgement)
{
    const struct est_result *result = &judgement->combined;
    const char *name = judgement->signals[judgement->last].signal.name;
    double hold_s = (double)run->playbook->expect.convergence.hold / 1e9;
    char failures[160];

    describe_failures(run, failures, sizeof(failures));
    if (result->verdict == EST_ABSORBED)
        snprintf(judgement->why, sizeof(judgement->why), "no deciding signal left its band: the fault was absorbed; %s", failures);
    else if (isnan(result->convergence_from_release_s))
        snprintf(judgement->why, sizeof(judgement->why), "%s was back in its band %.2f s after the injection and held it for %.3g s; %s", name,
                 result->convergence_from_inject_s, hold_s, failures);
    else if (result->convergence_from_release_s <= 0 && result->verdict == EST_CONVERGED)
        snprintf(judgement->why, sizeof(judgement->why), "%s was back in its band with the release (requests planned up to %.2f s before it "
                 "were still answered in time) and held it for %.3g s; %s", name, -result->convergence_from_release_s, hold_s, failures);
    else if (result->convergence_from_release_s <= 0)
        snprintf(judgement->why, sizeof(judgement->why), "%s was back in its band %.2f s before the release and held it for %.3g s; %s", name,
                 -result->convergence_from_release_s, hold_s, failures);
    else
        snprintf(judgement->why, sizeof(judgement->why), "%s was back in its band %.2f s after the release and held it for %.3g s; %s", name,
                 result->convergence_from_release_s, hold_s, failures);
}

static void explain_failure(const struct run *run, struct judgement *judgement)
{
    const struct est_result *result = &judgement->combined;
    const struct judged_signal *last = &judgement->signals[judgement->last];
    char failures[160], amplification[96], value[48];
    double watched_s = (double)(run->end_ns - (run->released_ns ? run->released_ns : run->baseline_end_ns)) / 1e9;
    double now = run_signal_over(run, &last->signal, WINDOW_BY_PLAN, run->end_ns - 2 * NS_PER_S, run->end_ns);

    describe_failures(run, failures, sizeof(failures));
    describe_amplification(run, amplification, sizeof(amplification));
    snprintf(judgement->why, sizeof(judgement->why), "%s %s (%s at the end, %.1f s after the %s)%s%s; %s%s", last->signal.name,
             result->verdict == EST_CONVERGED_THEN_REDEGRADED ? "came back and left its band again"
             : result->verdict == EST_FLAPPING                ? "came and went without holding its band"
             : result->verdict == EST_CONVERGED_TO_NEW_LEVEL  ? "settled at another level"
             : result->verdict == EST_CENSORED                ? "was back, but too late to prove the hold"
                                                              : "had not come back",
             run_signal_text(&last->signal, now, value, sizeof(value)), watched_s, run->released_ns ? "release" : "injection",
             result->reason[0] ? ": " : "", result->reason, failures, amplification);
    if (result->verdict == EST_CENSORED)
        add_next(judgement, "Observe longer: raise `observe` in the playbook%s.", "");
    else if (amplification[0])
        add_next(judgement, "Retries multiply the work: bound them (a retry budget, backoff with jitter, a breaker)%s.", "");
    else
        add_next(judgement, "Look at %s in the report from the release on: what still waits, and for whom? A time limit and a breaker bound both.",
                 last->signal.name);
}

static void explain_unknown(const struct run *run, struct judgement *judgement)
{
    const struct est_result *result = &judgement->combined;

    snprintf(judgement->why, sizeof(judgement->why), "%s", result->reason[0] ? result->reason : "the signals do not settle it");
    if (!isnan(result->resolvable_band) && result->resolvable_band * 1e6 > (double)run->playbook->expect.convergence.band)
        snprintf(judgement->why, sizeof(judgement->why), "%s; the smallest band this run could resolve is %.3g %%",
                 result->reason[0] ? result->reason : "the band is finer than the noise", result->resolvable_band * 100);
    if (run_tells_no_plan(run, &judgement->signals[judgement->last].signal)) {
        add_next(judgement, "Let the generator print `planned`, when each request was due, or judge by the rate of good replies in place of %s.",
                 judgement->signals[judgement->last].signal.name);
        return;
    }
    add_next(judgement, "More load resolves a finer band in the same time; so does a wider pinned `band`%s.", "");
}

/* A step that was armed and never acted: its name; NULL when all acted. Observers are not meant to. */
static const char *idle_fault(const struct run *run)
{
    for (size_t i = 0; i < run->playbook->method.count; i++) {
        const struct step_run *step = &run->steps[i];

        if (step->armed_ns && !step->injected_ns && !step->step->spec.rule.selector.observe)
            return step->step->spec.rule.name;
    }
    return NULL;
}

/* ---- the verdict ------------------------------------------------------------------------------------------------------------------- */

static bool loads_fit(const struct run *run, char *why, size_t size)
{
    for (size_t i = 0; i < run->playbook->loads.count; i++)
        if (run->loads[i].generator && !run_load_is_fit(&run->loads[i], why, size))
            return false;
    return true;
}

static void decide(struct judgement *judgement, const char *verdict, int status, const char *why)
{
    judgement->verdict = verdict;
    judgement->status = status;
    if (why)
        snprintf(judgement->why, sizeof(judgement->why), "%s", why);
}

static bool is_pass(const struct run *run, enum est_verdict verdict)
{
    return verdict == EST_ABSORBED || verdict == EST_CONVERGED || verdict == EST_RECOVERED_UNDER_FAULT ||
           (verdict == EST_CONVERGED_TO_NEW_LEVEL && run->playbook->expect.convergence.allow_new_level);
}

/* A pass that breaks or straddles a bound says so first. */
static void explain_bound(struct judgement *judgement)
{
    const cJSON *entry;
    char rest[sizeof(judgement->why)];

    cJSON_ArrayForEach(entry, judgement->expect) {
        const char *outcome = cJSON_GetStringValue(cJSON_GetObjectItem(entry, "outcome"));

        if (!strcmp(outcome, "met"))
            continue;
        memcpy(rest, judgement->why, sizeof(rest));
        snprintf(judgement->why, sizeof(judgement->why), "the bound on %s %s: %s, %s allowed; %.200s",
                 cJSON_GetStringValue(cJSON_GetObjectItem(entry, "what")),
                 !strcmp(outcome, "broken") ? "is broken" : !strcmp(outcome, "straddles") ? "lies within the error bar" : "has no data",
                 cJSON_GetStringValue(cJSON_GetObjectItem(entry, "value")), cJSON_GetStringValue(cJSON_GetObjectItem(entry, "bound")), rest);
        return;
    }
}

static void decide_by_signals(struct run *run, struct judgement *judgement)
{
    enum est_verdict verdict = judgement->combined.verdict;

    const char *idle = idle_fault(run);

    judgement->verdict = est_verdict_name(verdict);
    if (is_pass(run, verdict) && idle) {
        expect_judge(run, judgement);
        decide(judgement, "not_injected", 2, NULL);
        snprintf(judgement->why, sizeof(judgement->why), "the fault '%s' never acted: the method was not carried out as written", idle);
        add_next(judgement, "Compare `matched` and `fired` of '%s' in the report with where the traffic goes.", idle);
    } else if (is_pass(run, verdict)) {
        explain_pass(run, judgement);
        judgement->status = expect_judge(run, judgement);
        if (judgement->status)
            explain_bound(judgement);
    } else {
        expect_judge(run, judgement);
        judgement->status = est_verdict_status(verdict);
        if (verdict == EST_INDETERMINATE || verdict == EST_BASELINE_UNFIT)
            explain_unknown(run, judgement);
        else
            explain_failure(run, judgement);
    }
}

void run_judge(struct run *run, struct judgement *ret_judgement)
{
    struct judgement *judgement = ret_judgement;
    bool injected = run_injected_ns(run) != 0;
    char why[400];

    *judgement = (struct judgement){ .expect = cJSON_CreateArray(), .combined = { .verdict = EST_INDETERMINATE, .reason = "" } };
    list_signals(run, judgement);
    if (injected && run->baseline_end_ns) {
        judge_signals(run, judgement);
        take_shedding(run, judgement);
        note_controls(run, judgement);
    }
    if (run_is_aborted(run)) {
        decide(judgement, "aborted", 3, run->abort_reason);
        add_next(judgement, "The recovery after the abort is in the report all the same%s.", "");
    } else if (run_is_ramp_only(run) && run_ramp_at(run, RAMP_BEFORE) && run_ramp_at(run, RAMP_BEFORE)->stuck) {
        run_judge_ramp(run, judgement);
    } else if (run->refused_baseline) {
        decide(judgement, "baseline_unfit", 2, run->refusal);
        add_next(judgement, "Nothing was injected. Mend the service or the hypothesis, then run again%s.", "");
    } else if (!loads_fit(run, why, sizeof(why))) {
        decide(judgement, "load_unfit", 2, why);
        add_next(judgement, "Lower the rate or give the run a machine of its own%s.", "");
    } else if (run_is_ramp_only(run)) {
        run_judge_ramp(run, judgement);
    } else if (!injected) {
        decide(judgement, "not_injected", 2, "no fault ever acted: nothing passed where it was put, or its selectors matched nothing");
        add_next(judgement, "Compare `matched` and `fired` of each fault in the report with where the traffic goes%s.", "");
    } else {
        decide_by_signals(run, judgement);
    }
    if (run_is_cut_short(run))
        cJSON_AddItemToArray(run->notes, cJSON_CreateString(run->release_reason));
    if (run->unproven)
        judgement->status = 4;
    event_log_note(&run->log, EVENT_verdict, judgement->verdict, judgement->why, judgement->status, 0);
}
