/* Ramps, what they need of the rest, and the load that is shed. */
#include "scenarios/playbook/check.h"

#include <string.h>

static void check_water(const struct checker *checker, const struct node *node)
{
    struct ramp *ramp = &checker->playbook->ramp;

    if (ramp->water.count > RAMP_WATER_MAX)
        check_refuse(checker, check_member(node, "water"), "water: at most 8 signals%s%s", "", "");
    for (size_t i = 0; i < ramp->water.count && i < RAMP_WATER_MAX; i++)
        if (playbook_signal(checker->playbook, check_member(node, "water"), ramp->water.items[i], &ramp->water_signals[i], checker->errs) == 0)
            ramp->water_count++;
}

static void check_ramp_load(const struct checker *checker, const struct node *node)
{
    struct ramp *ramp = &checker->playbook->ramp;
    const struct section_list *loads = &checker->playbook->loads;
    const struct workload *load = loads->items;

    if (ramp->load_name)
        load = check_find(loads, sizeof(struct workload), offsetof(struct workload, name), ramp->load_name);
    else if (loads->count != 1)
        check_refuse(checker, node, "ramp needs 'load': which of the loads is ramped%s%s", "", "");
    if (load)
        ramp->load = (size_t)(load - (const struct workload *)loads->items);
    if (load && load->kind == WORKLOAD_COMMAND)
        check_refuse(checker, node, "ramp: the load '%s' is a command: its rate is its own%s", load->name, "");
    if (!load)
        check_refuse_name(checker, check_member(node, "load"), "load", ramp->load_name, loads, sizeof(struct workload), offsetof(struct workload, name));
}

/* What acts once is not there to be ramped under. */
static void check_ramp_faults(const struct checker *checker, const struct node *node)
{
    const struct step *steps = checker->playbook->method.items;

    if (!checker->playbook->method.count)
        check_refuse(checker, check_member(node, "when"), "when: the method has no fault to ramp under%s%s", "", "");
    for (size_t i = 0; i < checker->playbook->method.count; i++)
        if (steps[i].layer == LAYER_HOST)
            check_refuse(checker, check_member(node, "when"), "when: under-fault arms the method once more; the host fault '%s' is not meant for that%s",
                         steps[i].fault, "");
}

void check_ramp(const struct checker *checker)
{
    struct playbook *playbook = checker->playbook;
    struct ramp *ramp = &playbook->ramp;
    const struct node *node = node_member(playbook->document.root, "ramp");
    const struct node *expect = node_member(playbook->document.root, "expect"), *knee = expect ? node_member(expect, "knee") : NULL;

    if (!node && knee)
        check_refuse(checker, knee, "knee needs a ramp that finds it%s%s", "", "");
    if (!node || ramp->from == ABSENT || ramp->to == ABSENT)
        return;
    ramp->moments = ramp->when.count ? check_words(checker, node, "when", &ramp->when, RAMP_WHEN_WORDS)
                                     : playbook->method.count ? RAMP_BEFORE | RAMP_AFTER : RAMP_BEFORE;
    if (ramp->from >= ramp->to)
        check_refuse(checker, check_member(node, "to"), "ramp: 'to' has to be above 'from'%s%s", "", "");
    if (playbook->slo.latency == ABSENT && !node_member(playbook->document.root, "slo"))
        check_refuse(checker, node, "ramp needs slo.latency: the knee is where it is no longer kept%s%s", "", "");
    check_ramp_load(checker, node);
    check_water(checker, node);
    if (ramp->moments & RAMP_FAULT)
        check_ramp_faults(checker, node);
    if (knee && playbook->expect.knee.hysteresis != ABSENT && (ramp->moments & (RAMP_BEFORE | RAMP_AFTER)) != (RAMP_BEFORE | RAMP_AFTER))
        check_refuse(checker, check_member(knee, "hysteresis"), "hysteresis compares the ramps before and after: name both in ramp.when%s%s", "", "");
    if (knee && playbook->expect.knee.under_fault != ABSENT && !(ramp->moments & RAMP_FAULT))
        check_refuse(checker, check_member(knee, "under-fault"), "name under-fault in ramp.when%s%s", "", "");
}

static bool has_command(const struct playbook *playbook)
{
    const struct workload *loads = playbook->loads.items;
    size_t i = 0;

    while (i < playbook->loads.count && loads[i].kind != WORKLOAD_COMMAND)
        i++;
    return i < playbook->loads.count;
}

/* Shedding is judged by a hold, so it needs more than one; three are the default, as the search needs the fall as well. */
void check_metastability(const struct checker *checker)
{
    struct playbook *playbook = checker->playbook;
    struct metastability *phase = &playbook->metastability;
    const struct node *node = node_member(playbook->document.root, "metastability");

    if (phase->shed == ABSENT)
        phase->shed = playbook->rigour && !has_command(playbook) ? 500000 : 0;
    else if (phase->shed && has_command(playbook))
        check_refuse(checker, check_member(node, "shed"), "shed: load cannot be taken away from a command%s%s", "", "");
    if (phase->duration == ABSENT)
        phase->duration = 3 * playbook->expect.convergence.hold;
    else if (phase->duration < playbook->expect.convergence.hold * 3 / 2)
        check_refuse(checker, check_member(node, "for"), "metastability: `for` has to be at least one and a half of the hold%s%s", "", "");
    if (node && playbook->metastability.shed == 1000000)
        check_refuse(checker, check_member(node, "shed"), "shed: without any load there is nothing to measure; at most 99%%%s%s", "", "");
}

/* ---- the control arm ------------------------------------------------------------------------------------------------------------- */

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

static void check_control(const struct checker *checker, struct workload *twin)
{
    const struct section_list *loads = &checker->playbook->loads;
    struct workload *of = (struct workload *)(uintptr_t)check_find(loads, sizeof(struct workload), offsetof(struct workload, name), twin->control_of);
    const struct node *node = check_member(twin->node, "control-of");

    if (!of) {
        check_refuse_name(checker, node, "load", twin->control_of, loads, sizeof(struct workload), offsetof(struct workload, name));
        return;
    }
    if (of == twin || of->control_of)
        check_refuse(checker, node, "load '%s' is a control itself, and cannot be the one that is judged%s", of->name, "");
    if (of->control != SIZE_MAX)
        check_refuse(checker, node, "load '%s' has another control already%s", of->name, "");
    if (of->kind != twin->kind || of->timeout != twin->timeout || !is_same_text(of->http.method, twin->http.method) || !is_same_text(of->http.body, twin->http.body))
        check_refuse(checker, twin->node, "the control '%s' has to ask what '%s' asks: protocol, method, body and timeout are the same", twin->name, of->name);
    twin->arrival = of->arrival;
    if (twin->rate == ABSENT)
        twin->rate = of->rate;
    else if (twin->rate != of->rate)
        check_refuse(checker, check_member(twin->node, "rate"), "the control '%s' needs the rate of '%s': leave it out", twin->name, of->name);
    of->control = (size_t)(twin - (const struct workload *)loads->items);
}

void check_controls(const struct checker *checker)
{
    struct workload *loads = checker->playbook->loads.items;

    for (size_t i = 0; i < checker->playbook->loads.count; i++)
        loads[i].control = SIZE_MAX;
    for (size_t i = 0; i < checker->playbook->loads.count; i++)
        if (loads[i].control_of)
            check_control(checker, &loads[i]);
}
