/* Prepare: proxies listen, targets run and serve, control pages lie ready, every executor has accepted the faults it will get. */
#include "controller/run/run_priv.h"
#include "controller/run/guardian_priv.h"
#include "controller/run/ready.h"
#include "controller/run/undo.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "shims/host/inspect.h"
#include "shims/host/preload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

extern char **environ;

enum { IMAGE_MAX = 1 << 20 };

static const char *place(const struct run *run, const struct node *node, char *text)
{
    return node_where(&run->playbook->document, node, text, ERR_WHERE_MAX);
}

/* The last value of each thing counts. */
static void take_effect(struct run *run, const struct event *event)
{
    for (size_t i = 0; i < run->playbook->method.count; i++) {
        struct step_run *step = &run->steps[i];
        size_t at = 0;

        if (strcmp(step->step->spec.rule.name, event->text[0]) != 0)
            continue;
        while (at < step->effect_count && strcmp(step->effects[at].what, event->text[1]) != 0)
            at++;
        if (at == RUN_EFFECTS_MAX)
            return;
        snprintf(step->effects[at].what, sizeof(step->effects[at].what), "%.30s", event->text[1]);
        step->effects[at].value = event->number[0];
        step->effect_count += at == step->effect_count;
    }
}

void run_take_event(void *context, const struct event *event)
{
    struct run *run = context;

    event_log_add(&run->log, event);
    for (size_t i = 0; event->kind == EVENT_fault_acted && i < run->playbook->method.count; i++)
        if (!strcmp(run->steps[i].step->spec.rule.name, event->text[0]) &&
            (!run->steps[i].injected_ns || event->ns < run->steps[i].injected_ns))
            run->steps[i].injected_ns = event->ns;
    if (event->kind == EVENT_fault_measured)
        take_effect(run, event);
    for (size_t i = 0; i < run->playbook->targets.count; i++) {
        struct target_run *target = &run->targets[i];

        if (strcmp(target->target->name, event->text[0]) != 0)
            continue;
        if (event->kind == EVENT_target_started) {
            target->pid = (pid_t)event->number[0];
            target->starts++;
        } else if (event->kind == EVENT_target_exited) {
            target->pid = 0;
            if (target->exit_count < RUN_EXITS_MAX)
                target->exits[target->exit_count++] = (struct target_exit){ event->ns, event->number[1] };
        }
    }
}

/* ---- proxies --------------------------------------------------------------------------------------------------------------- */

static int greet_wire(struct run *run)
{
    char why[160];
    int result;

    if (!run->playbook->proxies.count)
        return 0;
    result = executor_hello(&run->wire, &run->wire_hello);
    if (result == 0)
        return 0;
    injector_explain(run->request->backend, result, why, sizeof(why));
    return errs_add(run->errs, ERR_WORLD, "proxies", "the wire executor did not start: %s", why);
}

static int open_proxies(struct run *run)
{
    const struct proxy *proxies = run->playbook->proxies.items;
    char where[ERR_WHERE_MAX];

    if (greet_wire(run) < 0)
        return -EIO;

    for (size_t i = 0; i < run->playbook->proxies.count; i++) {
        struct message answer = { .payload = NULL };
        struct proxy_spec spec = { .name = "" };
        int result;

        snprintf(spec.name, sizeof(spec.name), "%s", proxies[i].name);
        snprintf(spec.listen, sizeof(spec.listen), "%s", proxies[i].captures ? "127.0.0.1:0" : proxies[i].listen);
        snprintf(spec.upstream, sizeof(spec.upstream), "%s", proxies[i].captures ? "" : proxies[i].upstream);
        spec.protocol = (uint64_t)proxies[i].protocol;
        spec.idle_ns = (uint64_t)proxies[i].idle;
        result = run_capture_spec(run, i, &spec);
        if (result == 0)
            result = executor_ask(&run->wire, MESSAGE_OPEN, 0, 0, &spec, sizeof(spec), EXECUTOR_TIMEOUT_MS, &answer);
        if (result < 0) {
            message_done(&answer);
            return errs_add(run->errs, ERR_WORLD, place(run, proxies[i].node, where), "proxy '%s' cannot listen on %s: %s", proxies[i].name,
                            spec.listen, strerror(-result));
        }
        if (answer.head.size >= sizeof(struct proxy_status))
            memcpy(&run->proxies[i], answer.payload, sizeof(struct proxy_status));
        message_done(&answer);
        event_log_note(&run->log, EVENT_proxy_opened, proxies[i].name, run->proxies[i].spec.listen, 0, 0);
    }
    return 0;
}

/* ---- targets --------------------------------------------------------------------------------------------------------------- */

static bool wants_shim(const struct run *run, const struct target *target)
{
    bool wants = target->shim == 1 || run_captures_by_shim(run, target) || run_watches_locks(target);

    for (size_t i = 0; i < run->playbook->method.count; i++)
        wants |= run->steps[i].step->layer == LAYER_CALL && !strcmp(run->steps[i].step->spec.rule.scope, target->name);
    return wants;
}

int run_journal(struct run *run, const char *verb, const char *argument)
{
    char record[JOURNAL_VERB_MAX + JOURNAL_ARGUMENT_MAX];

    snprintf(record, sizeof(record), "%s %s", verb, argument);
    return executor_ask(&run->guardian, MESSAGE_JOURNAL, 0, 0, record, strlen(record), EXECUTOR_TIMEOUT_MS, NULL);
}

void run_page_name(const struct run *run, const struct target *target, char name[CONTROL_NAME_MAX])
{
    snprintf(name, CONTROL_NAME_MAX, "%.36s.%.24s", run->id, target->name);
}

/* The page is journalled before it exists. Captures are in force before the target's first connect. */
static int make_page(struct run *run, struct target_run *target)
{
    char name[CONTROL_NAME_MAX], where[ERR_WHERE_MAX];
    int result;

    run_page_name(run, target->target, name);
    result = run_journal(run, UNDO_PAGE, name);
    if (result == 0)
        result = page_create(&run->registry, name, &target->page);
    if (result == 0 && target->points)
        page_supervise(target->page, target->points);
    if (result == 0 && run_captures_by_shim(run, target->target))
        result = run_arm_page(run, target);
    if (result == 0)
        result = run_locks_begin(run, target);
    return result < 0 ? errs_add(run->errs, ERR_WORLD, place(run, target->target->node, where),
                                 "the control page of '%s' cannot be made: %s", target->target->name, strerror(-result))
                      : 0;
}

static void put_text(struct buf *image, const char *text)
{
    buf_append(image, text, strlen(text) + 1);
}

static bool is_overridden(const char *variable, const struct text_list *env)
{
    size_t length = strcspn(variable, "=") + 1;

    for (size_t i = 0; i < env->count; i++)
        if (!strncmp(env->items[i], variable, length))
            return true;
    return !strncmp(variable, "LD_PRELOAD=", 11) || !strncmp(variable, "PERTURB_RUN=", 12) || !strncmp(variable, CONTROL_ENV "=", 13);
}

static uint32_t put_environment(struct run *run, const struct target_run *target, const char *library, struct buf *image)
{
    const struct text_list *env = &target->target->env;
    const char *inherited = getenv("LD_PRELOAD");
    uint32_t count = 0;
    char text[REGISTRY_FILE_MAX + 32];

    for (char **variable = environ; *variable; variable++)
        if (!is_overridden(*variable, env)) {
            put_text(image, *variable);
            count++;
        }
    for (size_t i = 0; i < env->count; i++, count++)
        put_text(image, env->items[i]);
    snprintf(text, sizeof(text), "PERTURB_RUN=%s", run->id);
    put_text(image, text);
    buf_puts(image, "PERTURB_RUN_DIR=");
    put_text(image, run->directory);
    count += 2;
    if (target->page) {
        snprintf(text, sizeof(text), CONTROL_ENV "=%s", page_path(target->page));
        put_text(image, text);
        count++;
    }
    if (target->page && !target->points) {
        buf_printf(image, "LD_PRELOAD=%s%s", library, inherited ? ":" : "");
        put_text(image, inherited ? inherited : "");
        count++;
    }
    return count;
}

/* Does a host fault act on it; with `memory`, on its memory? */
static bool wants_host(const struct run *run, const char *name, bool memory)
{
    bool wants = false;

    for (size_t i = 0; i < run->playbook->method.count; i++) {
        const struct plan_rule *rule = &run->steps[i].step->spec.rule;
        bool on_memory = rule->fault == FAULT_HOST_memory_limit || rule->fault == FAULT_HOST_memory_pressure;

        if (run->steps[i].step->layer == LAYER_HOST && (!memory || on_memory))
            wants |= !strcmp(rule->scope, name) || !strcmp(rule->to, name);
    }
    return wants;
}

static int pack_image(struct run *run, const struct target_run *target, const char *library, struct buf *image)
{
    const struct target *wanted = target->target;
    struct spawn_image_head head = { .argument_count = (uint32_t)wanted->command.count, .points = target->points,
                                     .wants_memory = wants_host(run, wanted->name, true) };
    char log[512];

    buf_append(image, &head, sizeof(head));
    put_text(image, wanted->name);
    put_text(image, wanted->directory ? wanted->directory : "");
    snprintf(log, sizeof(log), "%s/logs/%s.log", run->directory, wanted->name);
    put_text(image, log);
    for (size_t i = 0; i < wanted->command.count; i++)
        put_text(image, wanted->command.items[i]);
    head.environment_count = put_environment(run, target, library, image);
    memcpy(image->data, &head, sizeof(head));
    return image->failed ? -E2BIG : 0;
}

static int spawn_target(struct run *run, struct target_run *target)
{
    const struct target *wanted = target->target;
    struct message answer = { .payload = NULL };
    char where[ERR_WHERE_MAX], library[4096] = "";
    struct buf image;
    int result = 0;

    if (wants_shim(run, wanted)) {
        result = preload_find(library, sizeof(library));
        if (result == 0 && run_needs_releases(run, wanted))
            result = preload_watching(library, sizeof(library));
        if (result < 0)
            return errs_add(run->errs, ERR_WORLD, place(run, wanted->node, where), "libperturb.so is not found beside perturb: %s", strerror(-result));
        if (run_choose_backend(run, target) < 0 || make_page(run, target) < 0)
            return -EIO;
    }
    buf_init(&image, IMAGE_MAX);
    result = pack_image(run, target, library, &image);
    if (result == 0)
        result = executor_ask(&run->guardian, MESSAGE_SPAWN, 0, 0, image.data, image.length, EXECUTOR_TIMEOUT_MS, &answer);
    if (result < 0)
        errs_add(run->errs, ERR_WORLD, place(run, wanted->node, where), "target '%s': %s %s: %s", wanted->name,
                 answer.payload ? (const char *)answer.payload : "starting", wanted->command.items[0], strerror(-result));
    message_done(&answer);
    buf_done(&image);
    return result;
}

static int refuse_unready(struct run *run, const struct target_run *target, const char *why)
{
    char where[ERR_WHERE_MAX], path[512], tail[160] = "";

    snprintf(path, sizeof(path), "%s/logs/%s.log", run->directory, target->target->name);
    ready_log_tail(path, tail, sizeof(tail));
    return errs_add(run->errs, ERR_WORLD, place(run, target->target->node, where), "target '%s' %s%s%s", target->target->name, why,
                    tail[0] ? "; its log ends: " : "", tail);
}

static int wait_ready(struct run *run, struct target_run *target)
{
    const struct ready_probe *ready = &target->target->ready;
    uint64_t start_ns = clock_now_ns(), deadline_ns = start_ns + (uint64_t)ready->timeout;
    char why[96];

    if (!ready->tcp && !ready->http)
        return 0;
    while (!(ready->tcp ? ready_tcp(ready->tcp) : ready_http(ready->http))) {
        if (target->exit_count) {
            snprintf(why, sizeof(why), "ended with status %d before it was ready", (int)target->exits[0].status);
            return refuse_unready(run, target, why);
        }
        if (clock_now_ns() >= deadline_ns) {
            snprintf(why, sizeof(why), "was not ready within %.3g s", (double)ready->timeout / 1e9);
            return refuse_unready(run, target, why);
        }
        if (!run_wait(run, clock_now_ns() + 20 * NS_PER_MS))
            return -ECANCELED;
    }
    event_log_note(&run->log, EVENT_target_ready, target->target->name, NULL, (int64_t)(clock_now_ns() - start_ns), 0);
    return 0;
}

/* The guardian is told of it where a host fault is to act on it. */
static int adopt(struct run *run, const struct target_run *target)
{
    const struct target *wanted = target->target;
    struct adopted_target adopted = { .pid = target->pid };
    char where[ERR_WHERE_MAX];
    int result;

    if (!wants_host(run, wanted->name, false))
        return 0;
    if (wanted->cgroup && strlen(wanted->cgroup) >= sizeof(adopted.place))
        return errs_add(run->errs, ERR_WORLD, place(run, wanted->node, where), "the path of the control group is too long");
    snprintf(adopted.name, sizeof(adopted.name), "%s", wanted->name);
    snprintf(adopted.place, sizeof(adopted.place), "%s", wanted->cgroup ? wanted->cgroup : "");
    result = executor_ask(&run->guardian, MESSAGE_ADOPT, 0, 0, &adopted, sizeof(adopted), EXECUTOR_TIMEOUT_MS, NULL);
    if (result == -EPERM)
        return errs_add(run->errs, ERR_WORLD, place(run, wanted->node, where), "target '%s' holds perturb itself, or process 1: it is never disturbed",
                        wanted->name);
    return result < 0 ? errs_add(run->errs, ERR_WORLD, place(run, wanted->node, where), "target '%s' cannot be taken in: %s", wanted->name,
                                 strerror(-result))
                      : 0;
}

static int refuse_bare(struct run *run, const struct target_run *target)
{
    char where[ERR_WHERE_MAX];

    return errs_add(run->errs, ERR_WORLD, place(run, target->target->node, where),
                    "process %d of target '%s' runs without the shim; let the run bring it in (`attach: true`), or start it by "
                    "`perturb exec -- ...`",
                    (int)target->pid, target->target->name);
}

/* A target that already runs: it has to be there, and, for call faults, to carry the shim. Its page is not ours to remove, but to
 * release, whatever becomes of the run engine. */
static int find_running(struct run *run, struct target_run *target)
{
    const struct target *wanted = target->target;
    char where[ERR_WHERE_MAX], name[CONTROL_NAME_MAX];
    struct page_state state;
    pid_t pid = 0;

    if (ready_find_running(wanted, &pid) < 0 && !wanted->address)
        return errs_add(run->errs, ERR_WORLD, place(run, wanted->node, where), "target '%s' selects no process: nothing is disturbed", wanted->name);
    target->pid = pid;
    if (!wants_shim(run, wanted))
        return wanted->address ? 0 : adopt(run, target);
    if (ready_find_page(&run->registry, pid, name, sizeof(name)) < 0 || page_open(&run->registry, name, &target->page) < 0)
        return wanted->attach == 1 ? run_attach(run, target) : refuse_bare(run, target);
    page_state(target->page, &state);
    run->epoch = MAX(run->epoch, state.epoch); /* whoever armed it before counted too */
    if (run_journal(run, UNDO_RELEASE, name) == 0 && run_locks_begin(run, target) == 0)
        return run_captures_by_shim(run, wanted) ? run_arm_page(run, target) : 0;
    return errs_add(run->errs, ERR_WORLD, place(run, wanted->node, where),
                    "the undo of the page of '%s' cannot be journalled", wanted->name);
}

static int start_targets(struct run *run)
{
    for (size_t i = 0; i < run->playbook->targets.count; i++) {
        struct target_run *target = &run->targets[i];
        int result = target->target->command.count ? spawn_target(run, target) : find_running(run, target);

        if (result == 0)
            result = wait_ready(run, target);
        if (result < 0)
            return result;
    }
    return 0;
}

/* ---- faults ------------------------------------------------------------------------------------------------------------------ */

static int prepare_layer(struct run *run, struct executor *executor, enum layer layer)
{
    struct plan *plan = calloc(1, PLAN_SIZE(run->playbook->method.count + 1));
    struct message answer = { .payload = NULL };
    int result = 0;

    if (!plan)
        return -ENOMEM;
    *plan = (struct plan){ .magic = PLAN_MAGIC, .version = PLAN_VERSION, .rule_size = sizeof(struct plan_rule), .epoch = run->epoch + 1, .seed = run->seed };
    for (size_t i = 0; i < run->playbook->method.count; i++)
        if (run_executor_layer(run->steps[i].step->layer) == layer)
            plan->rules[plan->rule_count++] = run->steps[i].step->spec.rule;
    if (plan->rule_count)
        result = executor_ask(executor, MESSAGE_PREPARE, plan->epoch, 0, plan, PLAN_SIZE(plan->rule_count), EXECUTOR_TIMEOUT_MS, &answer);
    if (result < 0)
        errs_add(run->errs, ERR_WORLD, run->playbook->document.file, "the %s executor refuses the faults: %s", layer_names[layer],
                 answer.payload && answer.head.size ? (const char *)answer.payload : strerror(-result));
    for (uint32_t i = 0; i < plan->rule_count && result == 0; i++)
        event_log_note(&run->log, EVENT_fault_prepared, plan->rules[i].name, NULL, 0, 0);
    message_done(&answer);
    free(plan);
    return result;
}

/* One by one, so that what is missing is told with its place. */
static int prepare_host_step(struct run *run, const struct step *step)
{
    const struct plan head = { .magic = PLAN_MAGIC, .version = PLAN_VERSION, .rule_size = sizeof(struct plan_rule), .rule_count = 1,
                               .epoch = run->epoch + 1, .seed = run->seed };
    struct message answer = { .payload = NULL };
    char where[ERR_WHERE_MAX];
    struct buf plan;
    int result;

    buf_init(&plan, PLAN_SIZE(1));
    buf_append(&plan, &head, sizeof(head));
    result = buf_append(&plan, &step->spec.rule, sizeof(step->spec.rule));
    if (result == 0)
        result = executor_ask(&run->guardian, MESSAGE_PREPARE, head.epoch, 0, plan.data, plan.length, EXECUTOR_TIMEOUT_MS, &answer);
    if (result < 0)
        errs_add(run->errs, ERR_WORLD, place(run, step->node, where), "host.%s: %s", fault_descs[step->spec.rule.fault].name,
                 answer.payload && answer.head.size ? (const char *)answer.payload : strerror(-result));
    else
        event_log_note(&run->log, EVENT_fault_prepared, step->spec.rule.name, NULL, 0, 0);
    message_done(&answer);
    buf_done(&plan);
    return result;
}

static int prepare_host(struct run *run)
{
    int result = 0;

    for (size_t i = 0; i < run->playbook->method.count; i++)
        if (run->steps[i].step->layer == LAYER_HOST && prepare_host_step(run, run->steps[i].step) < 0)
            result = -EIO;
    return result;
}

int run_prepare(struct run *run)
{
    int result;

    run_renew(run, clock_now_ns());
    result = run_choose_captures(run);
    if (result == 0 && run->playbook->proxies.count)
        result = open_proxies(run);
    if (result == 0)
        result = run_capture(run);
    if (result == 0)
        result = start_targets(run);
    if (result == 0 && run->wire.fd >= 0)
        result = prepare_layer(run, &run->wire, LAYER_STREAM);
    if (result == 0)
        result = prepare_host(run);
    return result;
}
