/* Arming and releasing: every executor holds the whole set of rules that act at the moment, under one epoch that only rises. */
#include "controller/run/run_priv.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { STATUS_RULES_MAX = 256 };
#define VERIFY_TIMEOUT_NS (2 * NS_PER_S)

/* The rules of the active steps of one layer (and one scope, when not NULL) as a plan. Returns new, NULL out of memory. */
static struct plan *build_plan(struct run *run, enum layer layer, const char *scope, uint64_t epoch)
{
    size_t count = run->playbook->method.count;
    struct plan *plan = calloc(1, PLAN_SIZE(count ? count : 1));

    if (!plan)
        return NULL;
    *plan = (struct plan){ .magic = PLAN_MAGIC, .version = PLAN_VERSION, .rule_size = sizeof(struct plan_rule), .epoch = epoch, .seed = run->seed };
    for (size_t i = 0; i < count; i++) {
        const struct step *step = run->steps[i].step;

        if (run->steps[i].state == STEP_ACTIVE && run_executor_layer(step->layer) == layer && (!scope || !strcmp(scope, step->spec.rule.scope)))
            plan->rules[plan->rule_count++] = step->spec.rule;
    }
    return plan;
}

static struct step_run *find_step(struct run *run, const char *name)
{
    for (size_t i = 0; i < run->playbook->method.count; i++)
        if (!strcmp(run->steps[i].step->spec.rule.name, name))
            return &run->steps[i];
    return NULL;
}

/* Executors by message count a rule from its arming to its end, over epochs; a control page counts each publication anew. */
static void take_counts(struct run *run, const struct rule_status *list, size_t count, bool adds)
{
    for (size_t i = 0; i < count; i++) {
        struct step_run *step = find_step(run, list[i].name);
        const struct rule_counts *counts = &list[i].counts;

        if (!step || !counts->matched)
            continue;
        if (!adds)
            step->counts = (struct rule_counts){ 0 };
        step->counts.matched += counts->matched;
        step->counts.eligible += counts->eligible;
        step->counts.fired += counts->fired;
        step->counts.skipped += counts->skipped;
        if (counts->first_ns && (!step->counts.first_ns || counts->first_ns < step->counts.first_ns))
            step->counts.first_ns = counts->first_ns;
        if (counts->last_ns > step->counts.last_ns)
            step->counts.last_ns = counts->last_ns;
    }
}

static bool collect(struct run *run, struct executor *executor)
{
    struct message answer = { .payload = NULL };
    int result = executor_ask(executor, MESSAGE_STATUS, run->epoch, 0, NULL, 0, EXECUTOR_TIMEOUT_MS, &answer);

    if (result == 0)
        take_counts(run, answer.payload, answer.head.size / sizeof(struct rule_status), false);
    message_done(&answer);
    return result == 0;
}

/* ---- the three executors ------------------------------------------------------------------------------------------------- */

/* By message: the wire, and the guardian for the host. */
static int arm_by_message(struct run *run, struct executor *executor, enum layer layer, uint64_t *armed_epoch)
{
    struct plan *plan;
    int result;

    if (*armed_epoch)
        collect(run, executor);
    plan = build_plan(run, layer, NULL, ++run->epoch);
    if (!plan)
        return -ENOMEM;
    if (plan->rule_count)
        result = executor_ask(executor, MESSAGE_ARM, plan->epoch, (uint64_t)run->playbook->lease, plan, PLAN_SIZE(plan->rule_count),
                              EXECUTOR_TIMEOUT_MS, NULL);
    else
        result = executor_ask(executor, MESSAGE_RELEASE, plan->epoch, 0, NULL, 0, EXECUTOR_TIMEOUT_MS, NULL);
    *armed_epoch = plan->rule_count > 0 && result == 0 ? plan->epoch : 0;
    if (layer == LAYER_HOST)
        collect(run, executor); /* its rules are counted to their very end, by the kernel */
    free(plan);
    return result;
}

int run_arm_page(struct run *run, struct target_run *target)
{
    struct rule_status *list = calloc(STATUS_RULES_MAX, sizeof(*list));
    struct control_redirect redirects[CONTROL_REDIRECTS_MAX];
    size_t redirect_count = run_shim_redirects(run, target->target, redirects);
    struct plan *plan;
    int result;

    run_poll_pages(run);
    if (list && target->page_epoch)
        take_counts(run, list, page_status(target->page, list, STATUS_RULES_MAX), true);
    free(list);
    plan = build_plan(run, LAYER_CALL, target->target->name, ++run->epoch);
    if (!plan)
        return -ENOMEM;
    if (plan->rule_count || redirect_count)
        result = page_publish(target->page, plan, redirects, redirect_count, (uint64_t)run->playbook->lease);
    else
        result = page_release(target->page);
    target->page_epoch = (plan->rule_count || redirect_count) && result == 0 ? plan->epoch : 0;
    free(plan);
    return result;
}

static struct target_run *find_target(struct run *run, const char *name)
{
    for (size_t i = 0; i < run->playbook->targets.count; i++)
        if (!strcmp(run->targets[i].target->name, name))
            return &run->targets[i];
    return NULL;
}

static int apply(struct run *run, const struct step *step)
{
    struct target_run *target;

    switch (run_executor_layer(step->layer)) {
    case LAYER_STREAM:
        return arm_by_message(run, &run->wire, LAYER_STREAM, &run->wire_epoch);
    case LAYER_HOST:
        return arm_by_message(run, &run->guardian, LAYER_HOST, &run->host_epoch);
    default:
        target = find_target(run, step->spec.rule.scope);
        return target && target->page ? run_arm_page(run, target) : -ENOENT;
    }
}

static enum event_source source_of(const struct step *step)
{
    return run_executor_layer(step->layer) == LAYER_STREAM ? SOURCE_WIRE : step->layer == LAYER_HOST ? SOURCE_HOST : SOURCE_PRELOAD;
}

int run_arm_step(struct run *run, struct step_run *step)
{
    struct event event;
    int result;

    step->state = STEP_ACTIVE;
    step->requested_ns = clock_now_ns();
    result = apply(run, step->step);
    step->armed_ns = clock_now_ns();
    if (result < 0) {
        step->state = STEP_DONE;
        run_abort(run, "the fault '%s' could not be armed: %s", step->step->spec.rule.name, strerror(-result));
        return result;
    }
    event_init(&event, EVENT_fault_armed, source_of(step->step), step->armed_ns, step->step->spec.rule.name, NULL);
    event.number[0] = run->playbook->lease;
    event.epoch = run->epoch;
    event_log_add(&run->log, &event);
    return 0;
}

int run_release_step(struct run *run, struct step_run *step)
{
    struct event event;
    int result;

    step->state = STEP_DONE;
    result = apply(run, step->step);
    step->released_ns = clock_now_ns();
    if (result < 0)
        run_abort(run, "the fault '%s' could not be released in time (%s); its lease ends it", step->step->spec.rule.name, strerror(-result));
    event_init(&event, EVENT_fault_released, source_of(step->step), step->released_ns, step->step->spec.rule.name, NULL);
    event.number[0] = (int64_t)step->counts.matched;
    event.number[1] = (int64_t)step->counts.fired;
    event_log_add(&run->log, &event);
    return result;
}

void run_release_all(struct run *run)
{
    for (size_t i = 0; i < run->playbook->method.count; i++)
        if (run->steps[i].state == STEP_ACTIVE)
            run_release_step(run, &run->steps[i]);
}

/* ---- leases ---------------------------------------------------------------------------------------------------------------- */

static void renew_guardian(struct run *run, uint64_t lease_ns)
{
    int result = run->guardian_gone ? 0 : executor_ask(&run->guardian, MESSAGE_RENEW, run->epoch, lease_ns, NULL, 0, EXECUTOR_TIMEOUT_MS, NULL);

    if (result == -ESTALE) {
        run_abort(run, "the capture expired, or somebody took its table away: what connects now goes past the proxies");
    } else if (result < 0) {
        run->guardian_gone = true;
        run_abort(run, "the guardian is gone");
    }
}

void run_renew(struct run *run, uint64_t now_ns)
{
    uint64_t lease_ns = (uint64_t)run->playbook->lease;

    if (now_ns < run->renew_due_ns)
        return;
    run->renew_due_ns = now_ns + lease_ns / 3;
    renew_guardian(run, lease_ns);
    if (run->wire_epoch && executor_ask(&run->wire, MESSAGE_RENEW, run->wire_epoch, lease_ns, NULL, 0, EXECUTOR_TIMEOUT_MS, NULL) < 0) {
        run->wire_epoch = 0;
        run_abort(run, "the wire executor no longer renews the lease");
    }
    run_locks_renew(run, lease_ns);
    for (size_t i = 0; i < run->playbook->targets.count; i++) {
        struct target_run *target = &run->targets[i];

        if (target->page_epoch && page_renew(target->page, target->page_epoch, lease_ns) < 0)
            run_abort(run, "the control page of '%s' no longer renews the lease", target->target->name);
    }
}

void run_poll_pages(struct run *run)
{
    for (size_t i = 0; i < run->playbook->targets.count; i++) {
        struct page_event told[16];
        size_t count = run->targets[i].page ? page_events(run->targets[i].page, told, ARRAY_SIZE(told)) : 0;

        for (size_t j = 0; j < count; j++) {
            struct event event;

            event_init(&event, EVENT_fault_acted, run->targets[i].points ? SOURCE_SECCOMP : SOURCE_PRELOAD, told[j].ns, told[j].name, NULL);
            event.epoch = told[j].epoch;
            event.number[0] = (int64_t)told[j].stream;
            event.number[1] = (int64_t)told[j].position;
            run_take_event(run, &event);
        }
    }
}

/* ---- attempts, and the proof of rest ---------------------------------------------------------------------------------------- */

bool run_read_proxies(struct run *run)
{
    struct message answer = { .payload = NULL };
    bool known = run->wire.fd >= 0 && executor_ask(&run->wire, MESSAGE_PROXIES, 0, 0, NULL, 0, EXECUTOR_TIMEOUT_MS, &answer) == 0;

    for (size_t i = 0; known && i < answer.head.size / sizeof(struct proxy_status); i++) {
        const struct proxy_status *status = (const struct proxy_status *)answer.payload + i;

        for (size_t j = 0; j < run->playbook->proxies.count; j++)
            if (!strcmp(run->proxies[j].spec.name, status->spec.name))
                run->proxies[j] = *status;
    }
    message_done(&answer);
    return known;
}

void run_count_hops(struct run *run, struct hop_count *ret_count)
{
    struct load_counters counters;

    *ret_count = (struct hop_count){ .known = true };
    for (size_t i = 0; i < run->playbook->loads.count; i++) {
        load_counters(run->loads[i].generator, &counters);
        ret_count->logical += counters.planned;
    }
    if (!run_read_proxies(run)) {
        ret_count->known = run->wire.fd < 0;
        return;
    }
    for (size_t j = 0; j < run->playbook->proxies.count && j < ARRAY_SIZE(ret_count->attempts); j++)
        ret_count->attempts[j] = run->proxies[j].exchanges;
}

/* By message its executor's own; of a control page what it counted before, and the last publication's on top. */
void run_rule_counts(struct run *run, const struct step_run *step, struct rule_counts *ret_counts)
{
    const char *name = step->step->spec.rule.name;
    enum layer layer = run_executor_layer(step->step->layer);
    struct target_run *target = layer == LAYER_CALL ? find_target(run, step->step->spec.rule.scope) : NULL;
    struct rule_status *list = NULL;
    size_t count = 0;

    if (layer == LAYER_STREAM && run->wire_epoch && step->state == STEP_ACTIVE)
        run->executors_silent |= !collect(run, &run->wire);
    else if (layer == LAYER_HOST && run->host_epoch && step->state == STEP_ACTIVE)
        run->executors_silent |= !collect(run, &run->guardian);
    *ret_counts = step->counts;
    if (target && target->page && target->page_epoch)
        list = calloc(STATUS_RULES_MAX, sizeof(*list));
    if (list)
        count = page_status(target->page, list, STATUS_RULES_MAX);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(list[i].name, name)) {
            ret_counts->matched += list[i].counts.matched;
            ret_counts->eligible += list[i].counts.eligible;
            ret_counts->fired += list[i].counts.fired;
            ret_counts->skipped += list[i].counts.skipped;
        }
    free(list);
}

static void note_verify(struct run *run, const char *what, bool proven, const char *found)
{
    cJSON *entry = cJSON_CreateObject();

    cJSON_AddStringToObject(entry, "what", what);
    cJSON_AddStringToObject(entry, "outcome", proven ? "proven" : found && *found ? found : "NOT PROVEN");
    cJSON_AddItemToArray(run->verify, entry);
    event_log_note(&run->log, EVENT_verified, what, proven ? "proven" : "NOT PROVEN", 0, 0);
    run->unproven |= !proven;
}

/* What a release lets go is on its way for a moment: it is asked again until it has left, within bounds. */
static void verify_wire(struct run *run)
{
    uint64_t deadline_ns = clock_now_ns() + VERIFY_TIMEOUT_NS;

    for (;;) {
        struct message answer = { .payload = NULL };
        int result = executor_ask(&run->wire, MESSAGE_VERIFY, run->epoch, 0, NULL, 0, EXECUTOR_TIMEOUT_MS, &answer);
        bool settled = result != -EBUSY || clock_now_ns() >= deadline_ns;

        if (settled)
            note_verify(run, "no fault acts on the wire", result == 0, answer.payload);
        message_done(&answer);
        if (settled)
            return;
        run_wait(run, clock_now_ns() + 10 * NS_PER_MS);
    }
}

bool run_verify(struct run *run)
{
    char what[96];

    if (run->wire.fd >= 0)
        verify_wire(run);
    for (size_t i = 0; i < run->playbook->targets.count; i++)
        if (run->targets[i].page) {
            snprintf(what, sizeof(what), "no fault acts inside %s", run->targets[i].target->name);
            note_verify(run, what, page_verify_rules(run->targets[i].page) == 0, NULL);
        }
    return !run->unproven;
}
