/* The method: faults, their places and their names. */
#include "scenarios/playbook/check.h"

#include "scenarios/base/buf.h"
#include "scenarios/base/rng.h"
#include "scenarios/playbook/section.h"
#include "scenarios/playbook/spec_errors.h"
#include "scenarios/playbook/value.h"
#include "scenarios/vocab/message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More than one errno: "[EIO, EINTR]" or "{EIO: 3, EINTR: 1}". */
static bool is_errnos(const struct step *step, const struct node *item)
{
    const struct param_desc *param = fault_param(&fault_descs[step->spec.rule.fault], item->key);

    return param && param->unit == UNIT_ERRNO && (item->kind == NODE_LIST || item->kind == NODE_MAP);
}

/* As the line has them. NULL with an error added. */
static const char *errnos_text(const struct section_reader *reader, const struct node *item)
{
    char *copy = NULL;
    struct buf text;

    buf_init(&text, 512);
    for (const struct node *one = item->first; one; one = one->next) {
        const char *word = section_text(reader, one, item->key);

        if (!word) {
            buf_done(&text);
            return NULL;
        }
        buf_printf(&text, "%s%s%s%s", text.length ? "+" : "", one->key ? one->key : "", one->key ? ":" : "", word);
    }
    if (!text.failed && text.data)
        copy = document_alloc(reader->document, text.length + 1);
    if (copy)
        memcpy(copy, text.data, text.length + 1);
    buf_done(&text);
    return copy ? copy : "";
}

/* Keys that are not the step's own are the fault's; a value may open with its comparison (">=1MiB"). */
static void set_fault_keys(const struct checker *checker, struct step *step)
{
    static const char own[] = "fault point proxy target at for repeat every";
    const struct section_reader reader = { &checker->playbook->document, &checker->playbook->variables, checker->errs };

    for (const struct node *item = step->node->first; item; item = item->next) {
        enum operator_bits op = OP_EQ;
        char place[ERR_WHERE_MAX];
        const char *text;

        if (words_index(own, item->key) >= 0)
            continue;
        text = is_errnos(step, item) ? errnos_text(&reader, item) : section_text(&reader, item, item->key);
        if (!text)
            continue;
        if (!strncmp(text, ">=", 2) || !strncmp(text, "<=", 2) || !strncmp(text, "!=", 2)) {
            op = text[0] == '>' ? OP_GE : text[0] == '<' ? OP_LE : OP_NE;
            text += 2;
        }
        fault_set(&step->spec, item->key, op, text, node_where(&checker->playbook->document, item, place, sizeof(place)), checker->errs);
    }
}

static void check_scope(const struct checker *checker, struct step *step)
{
    const struct playbook *playbook = checker->playbook;
    const struct target *target;

    if (step->proxy && !playbook_proxy(playbook, step->proxy)) {
        check_refuse_name(checker, check_member(step->node, "proxy"), "proxy", step->proxy, &playbook->proxies, sizeof(struct proxy),
                    offsetof(struct proxy, name));
        return;
    }
    if (!step->target)
        return;
    target = playbook_target(playbook, step->target);
    if (!target)
        check_refuse_name(checker, check_member(step->node, "target"), "target", step->target, &playbook->targets, sizeof(struct target),
                    offsetof(struct target, name));
    else if (step->layer == LAYER_HOST)
        check_host_target(checker, step, target);
    else if (step->layer == LAYER_CALL && !target->command.count && target->pid == ABSENT && !(target->attach == 1 && !target->address))
        check_refuse(checker, check_member(step->node, "target"),
               target->address ? "call.%s needs a target with a command or a pid; '%s' has neither" :
                                 "call.%s needs a target with a command or a pid, or `attach: true`; '%s' has none of them",
               fault_descs[step->spec.rule.fault].name, step->target);
}

/* Instance names are unique: the second latency is latency-2. Draws hang on the name. */
static void name_rule(const struct checker *checker, struct step *step, size_t index)
{
    struct step *steps = checker->playbook->method.items;
    char base[RULE_NAME_MAX];
    bool chosen = node_member(step->node, "name") != NULL;

    memcpy(base, step->spec.rule.name, sizeof(base));
    for (size_t copy = 2, i = 0; i < index; i++) {
        if (strcmp(steps[i].spec.rule.name, step->spec.rule.name) != 0)
            continue;
        if (chosen && !step->repetition) {
            check_refuse(checker, check_member(step->node, "name"), "the name '%s' is given to two steps%s", base, "");
            return;
        }
        snprintf(step->spec.rule.name, RULE_NAME_MAX, "%.40s-%zu", base, copy++);
        i = (size_t)-1;
    }
    step->spec.rule.name_hash = rng_hash(step->spec.rule.name);
}

static enum layer wire_layer_of(const struct proxy *proxy)
{
    return proxy->protocol == PROTOCOL_UDP ? LAYER_DATAGRAM : LAYER_STREAM;
}

/* A fault of the other kind of proxy: what it is for, and what this one has. True when that was the case. */
static bool refuse_other_wire(const struct checker *checker, const struct step *step, const struct proxy *proxy)
{
    enum layer layer = wire_layer_of(proxy), other = layer == LAYER_STREAM ? LAYER_DATAGRAM : LAYER_STREAM;
    const struct fault_desc *found = fault_find(step->fault, BIT(other), NULL);
    char about[160];
    struct buf fits;

    if (!found || fault_find(step->fault, BIT(layer), NULL))
        return false;
    buf_init(&fits, 1024);
    for (size_t i = 0; i < FAULT_COUNT; i++)
        if (fault_descs[i].layer == layer)
            buf_printf(&fits, "%s%s", fits.length ? ", " : "", fault_descs[i].name);
    snprintf(about, sizeof(about), "%s.%s cannot act on proxy '%.48s', which speaks %s", layer_names[other], found->name, step->proxy,
             layer == LAYER_DATAGRAM ? "udp" : "tcp");
    check_refuse(checker, check_member(step->node, "fault"), "%s; there are: %s", about, fits.data);
    buf_done(&fits);
    return true;
}

static uint64_t layers_of(const struct checker *checker, const struct step *step)
{
    const struct proxy *proxy = step->proxy ? playbook_proxy(checker->playbook, step->proxy) : NULL;

    if (!step->proxy)
        return BIT(LAYER_CALL) | BIT(LAYER_HOST);
    return BIT(proxy ? wire_layer_of(proxy) : LAYER_STREAM);
}

static bool acts_on_machine(const char *name)
{
    const struct fault_desc *fault = fault_find(name, BIT(LAYER_HOST), NULL);

    return fault && fault_places[fault->id] & ACTS_ON_MACHINE;
}

static void check_step(const struct checker *checker, struct step *step, size_t index)
{
    char place[ERR_WHERE_MAX];
    const struct fault_desc *fault;
    const struct proxy *proxy;
    size_t errors_before = checker->errs->count;

    if (!step->fault)
        return;
    if (!step->proxy == !step->target && (step->proxy || !acts_on_machine(step->fault))) {
        check_refuse(checker, step->node, "the step with fault '%s' needs one of proxy and target%s", step->fault, "");
        return;
    }
    node_where(&checker->playbook->document, check_member(step->node, "fault"), place, sizeof(place));
    proxy = step->proxy ? playbook_proxy(checker->playbook, step->proxy) : NULL;
    if (proxy && refuse_other_wire(checker, step, proxy))
        return;
    fault = fault_spec_begin(&step->spec, step->fault, layers_of(checker, step), place, checker->errs);
    if (!fault)
        return;
    step->layer = fault->layer;
    snprintf(step->spec.rule.scope, RULE_SCOPE_MAX, "%s", step->proxy ? step->proxy : step->target ? step->target : "");
    node_where(&checker->playbook->document, check_member(step->node, "point"), place, sizeof(place));
    if (step->point)
        fault_spec_point(&step->spec, step->point, place, checker->errs);
    set_fault_keys(checker, step);
    node_where(&checker->playbook->document, step->node, place, sizeof(place));
    if (checker->errs->count == errors_before)
        fault_spec_finish(&step->spec, place, checker->errs);
    if (checker->errs->count == errors_before && !step->repetition)
        spec_errors_warn(&step->spec.rule, node_where(&checker->playbook->document, check_member(step->node, "error"), place, sizeof(place)),
                         checker->errs);
    check_scope(checker, step);
    if (checker->errs->count == errors_before && step->layer == LAYER_HOST)
        check_host_step(checker, step);
    name_rule(checker, step, index);
}

/* Repetitions are apart in time: each ends before the next begins. */
static void check_repeat(const struct checker *checker, const struct step *step)
{
    if (step->repeat == 1 && step->every != ABSENT)
        check_refuse(checker, check_member(step->node, "every"), "every needs repeat%s%s", "", "");
    if (step->repeat > 1 && step->every == ABSENT)
        check_refuse(checker, check_member(step->node, "repeat"), "repeat needs every: the time from one start to the next%s%s", "", "");
    else if (step->repeat > 1 && (step->duration == ABSENT || step->duration >= step->every))
        check_refuse(checker, check_member(step->node, "every"), "the repetitions overlap: for has to be given and below every%s%s", "", "");
}

/* Each repetition becomes a step, with a rule and draws of its own. */
static void repeat_steps(const struct checker *checker)
{
    struct section_list *method = &checker->playbook->method, grown = { .count = 0 };
    const struct step *steps = method->items;
    size_t total = 0;

    for (size_t i = 0; i < method->count; i++)
        total += (size_t)(steps[i].repeat > 0 ? steps[i].repeat : 1);
    grown.items = document_alloc(&checker->playbook->document, (total + 1) * sizeof(struct step));
    for (size_t i = 0; i < method->count; i++)
        for (int64_t repetition = 0; repetition == 0 || repetition < steps[i].repeat; repetition++) {
            struct step *step = (struct step *)grown.items + grown.count++;

            *step = steps[i];
            step->repetition = repetition;
            if (step->every != ABSENT)
                step->at += repetition * step->every;
        }
    *method = grown;
}

#define HOLD_BOUND_NS (INT64_C(600) * 1000000000)

static void check_hold(const struct checker *checker, const struct step *step)
{
    static const char own[] = "hold at for otherwise";

    for (const struct node *item = step->node->first; item; item = item->next)
        if (words_index(own, item->key) < 0)
            check_refuse(checker, item, "a hold has no key '%s'; it has: %s", item->key, own);
    if (!step->hold[0])
        check_refuse(checker, check_member(step->node, "hold"), "hold: found no words, expected what the room is asked%s%s", "", "");
}

static int compare_holds(const void *a, const void *b)
{
    const struct hold *left = a, *right = b;

    return (left->at > right->at) - (left->at < right->at);
}

/* Holds leave the list of faults. */
static void take_holds(const struct checker *checker)
{
    struct playbook *playbook = checker->playbook;
    struct step *steps = playbook->method.items;
    struct hold *holds = document_alloc(&playbook->document, (playbook->method.count + 1) * sizeof(*holds));
    size_t kept = 0;

    playbook->holds.items = holds;
    for (size_t i = 0; i < playbook->method.count; i++) {
        if (!steps[i].hold) {
            if (!steps[i].fault && !node_member(steps[i].node, "fault") && steps[i].node->kind == NODE_MAP)
                check_refuse(checker, steps[i].node, "step needs 'fault': %s%s", "which fault; `perturb faults` lists them", "");
            if (!steps[i].fault && node_member(steps[i].node, "otherwise"))
                check_refuse(checker, check_member(steps[i].node, "otherwise"), "otherwise belongs to a hold%s%s", "", "");
            steps[kept++] = steps[i];
            continue;
        }
        check_hold(checker, &steps[i]);
        holds[playbook->holds.count++] = (struct hold){ steps[i].hold, steps[i].at, steps[i].duration == ABSENT ? HOLD_BOUND_NS : steps[i].duration,
                                                        steps[i].otherwise };
    }
    playbook->method.count = kept;
    if (playbook->holds.count > HOLDS_MAX)
        check_refuse(checker, check_member(playbook->document.root, "method"), "the method has more than 64 holds%s%s", "", "");
    qsort(holds, playbook->holds.count, sizeof(*holds), compare_holds);
}

static int check_number(const struct checker *checker)
{
    const struct section_list *method = &checker->playbook->method;
    char found[32], expected[32];

    if (method->count <= PLAN_RULES_MAX)
        return 0;
    snprintf(found, sizeof(found), "%zu", method->count);
    snprintf(expected, sizeof(expected), "%d", PLAN_RULES_MAX);
    return check_refuse(checker, ((const struct step *)method->items)[PLAN_RULES_MAX].node,
                        "the method has %s faults, repetitions included; a plan holds %s", found, expected);
}

/* From its beginning to its end. */
static bool acts_during(const struct step *step, const struct step *other)
{
    return step->at <= other->at &&
           (step->duration == ABSENT || (other->duration != ABSENT && step->at + step->duration >= other->at + other->duration));
}

/* Warns of a step whose calls another, earlier in the list, ends for all of its time. */
static void warn_idle(const struct checker *checker, const struct step *steps, size_t last)
{
    const struct plan_rule *rules[PLAN_RULES_MAX + 1];
    const struct step *step = &steps[last];
    size_t count = 0;
    char place[ERR_WHERE_MAX];

    if (step->layer != LAYER_CALL || !step->target)
        return;
    for (size_t i = 0; i < last; i++)
        if (steps[i].layer == LAYER_CALL && steps[i].target && !strcmp(steps[i].target, step->target) && acts_during(&steps[i], step))
            rules[count++] = &steps[i].spec.rule;
    rules[count] = &step->spec.rule;
    spec_rules_warn(rules, count + 1, count, node_where(&checker->playbook->document, step->node, place, sizeof(place)), checker->errs);
}

void check_method(const struct checker *checker)
{
    struct step *steps = checker->playbook->method.items;
    size_t errors_before = checker->errs->count;

    take_holds(checker);
    for (size_t i = 0; i < checker->playbook->method.count; i++)
        check_repeat(checker, &steps[i]);
    if (checker->errs->count == errors_before)
        repeat_steps(checker);
    steps = checker->playbook->method.items;
    if (check_number(checker) < 0)
        return;
    for (size_t i = 0; i < checker->playbook->method.count; i++)
        check_step(checker, &steps[i], i);
    for (size_t i = 0; i < checker->playbook->method.count && checker->errs->count == errors_before; i++)
        warn_idle(checker, steps, i);
}
