/* Signals, the hypothesis, guards, and which signals decide. */
#include "scenarios/playbook/check.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/rng.h"
#include "scenarios/playbook/section.h"
#include "scenarios/playbook/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int parse_quantile(const char *text, double *ret_quantile)
{
    char *end;

    if (text[0] != 'p' || text[1] < '0' || text[1] > '9')
        return -EINVAL;
    *ret_quantile = strtod(text + 1, &end) / 100;
    return *end || *ret_quantile <= 0 || *ret_quantile >= 1 ? -EINVAL : 0;
}

static int parse_kind(const char *text, struct signal *signal)
{
    if (!strcmp(text, "goodput") || !strcmp(text, "errors")) {
        signal->kind = text[0] == 'g' ? SIGNAL_GOODPUT : SIGNAL_ERRORS;
        signal->unit = UNIT_SHARE;
        signal->higher_is_better = text[0] == 'g';
        return 0;
    }
    if (!strcmp(text, "rate")) {
        signal->kind = SIGNAL_RATE;
        signal->unit = UNIT_FREQUENCY;
        signal->higher_is_better = true;
        return 0;
    }
    signal->kind = SIGNAL_QUANTILE;
    signal->unit = UNIT_DURATION;
    return parse_quantile(text, &signal->quantile);
}

/* How a value of this unit grows: bytes by bytes a second, everything else by numbers a second. */
static enum unit unit_of_change(enum unit unit)
{
    return unit == UNIT_SIZE ? UNIT_RATE : UNIT_FREQUENCY;
}

/* `text` is what follows the probe's name; NULL for the name alone. */
static int parse_stat(const char *text, const struct probe *probe, struct signal *signal)
{
    static const char *const words[] = { "mean", "max", "min", "last", "rate", "up" }; /* enum probe_stat */

    signal->kind = SIGNAL_PROBE;
    signal->load = SIZE_MAX;
    signal->unit = probe->unit;
    signal->higher_is_better = probe->better;
    signal->stat = PROBE_MEAN;
    if (!text)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (!strcmp(text, words[i])) {
            signal->stat = (enum probe_stat)i;
            if (signal->stat == PROBE_CHANGE)
                signal->unit = unit_of_change(probe->unit);
            if (signal->stat == PROBE_UP) {
                signal->unit = UNIT_SHARE;
                signal->higher_is_better = true;
            }
            return 0;
        }
    signal->stat = PROBE_QUANTILE;
    return parse_quantile(text, &signal->quantile);
}

int playbook_signal(const struct playbook *playbook, const struct node *node, const char *text, struct signal *ret_signal,
                    struct errs *errs)
{
    const struct checker checker = { (struct playbook *)(uintptr_t)playbook, errs };
    struct signal signal = { .name = text };
    const char *dot = strchr(text, '.');
    char name[64];
    const struct workload *load;
    const struct probe *probe;

    snprintf(name, sizeof(name), "%.*s", dot ? (int)(dot - text) : (int)strlen(text), text);
    load = check_find(&playbook->loads, sizeof(struct workload), offsetof(struct workload, name), name);
    probe = check_find(&playbook->probes, sizeof(struct probe), offsetof(struct probe, name), name);
    if (!load && probe) {
        signal.probe = (size_t)(probe - (const struct probe *)playbook->probes.items);
        if (parse_stat(dot ? dot + 1 : NULL, probe, &signal) < 0)
            return check_refuse(&checker, node, "'%s' is no signal of probe '%s'; there are mean, max, min, last, rate, up and p50 to p99.9", text, name);
        *ret_signal = signal;
        return 0;
    }
    if (!load)
        return check_refuse_name(&checker, node, "load", name, &playbook->loads, sizeof(struct workload), offsetof(struct workload, name));
    if (!workload_has_series(load))
        return check_refuse(&checker, node, "'%s': %s tells totals at its end: there is no series of it to judge; format json has one", text,
                            load->command.format == 1 ? "wrk" : "k6");
    signal.load = (size_t)(load - (const struct workload *)playbook->loads.items);
    if (!dot || parse_kind(dot + 1, &signal) < 0)
        return check_refuse(&checker, node, "'%s' is no signal of load '%s'; there are goodput, errors, rate and p50 to p99.9", text, name);
    *ret_signal = signal;
    return 0;
}

int check_bound_text(const struct checker *checker, const struct node *node, const struct signal *signal, const char *key, const char *text,
                     int64_t *ret_value)
{
    char place[ERR_WHERE_MAX];

    *ret_value = ABSENT;
    if (!text)
        return 0;
    return value_parse(key, signal->unit, NULL, 0, signal->unit == UNIT_SHARE ? PPM : INT64_MAX, text,
                       node_where(&checker->playbook->document, check_member(node, key), place, sizeof(place)), checker->errs, ret_value);
}

static void check_bounds(const struct checker *checker, const struct section_list *list)
{
    struct bound *bounds = list->items;

    for (size_t i = 0; i < list->count; i++) {
        struct bound *bound = &bounds[i];

        if (!bound->signal_text || playbook_signal(checker->playbook, check_member(bound->node, "signal"), bound->signal_text, &bound->signal,
                                                   checker->errs) < 0)
            continue;
        if (!bound->min_text && !bound->max_text)
            check_refuse(checker, bound->node, "the line for %s needs min or max%s", bound->signal_text, "");
        check_bound_text(checker, bound->node, &bound->signal, "min", bound->min_text, &bound->min);
        check_bound_text(checker, bound->node, &bound->signal, "max", bound->max_text, &bound->max);
    }
}

void check_hypothesis(const struct checker *checker)
{
    check_bounds(checker, &checker->playbook->hypothesis);
    check_bounds(checker, &checker->playbook->expect.during);
    check_bounds(checker, &checker->playbook->expect.after);
}

/* A list of words as bits, in the order of `words`. A word that is none of them is refused. */
uint32_t check_words(const struct checker *checker, const struct node *node, const char *key, const struct text_list *list,
                     const char *words)
{
    char place[ERR_WHERE_MAX];
    uint32_t bits = 0;

    for (size_t i = 0; i < list->count; i++) {
        int64_t index = 0;

        if (value_parse(key, UNIT_ENUM, words, 0, 31, list->items[i],
                        node_where(&checker->playbook->document, check_member(node, key), place, sizeof(place)), checker->errs, &index) == 0)
            bits |= UINT32_C(1) << index;
    }
    return bits;
}

static void check_guard_actions(const struct checker *checker, struct guard *guard)
{
    guard->actions = guard->then.count ? check_words(checker, guard->node, "then", &guard->then, GUARD_ACTION_WORDS) : GUARD_ABORT;
    for (size_t i = 0; i < guard->captures.count; i++)
        if (!check_find(&checker->playbook->evidence, sizeof(struct evidence), offsetof(struct evidence, name), guard->captures.items[i]))
            check_refuse_name(checker, check_member(guard->node, "captures"), "capture", guard->captures.items[i], &checker->playbook->evidence,
                              sizeof(struct evidence), offsetof(struct evidence, name));
    if ((guard->actions & GUARD_CAPTURE) && !guard->captures.count)
        check_refuse(checker, guard->node, "the guard on %s captures nothing: name `captures`%s", guard->signal_text, "");
    if ((guard->actions & GUARD_NOTIFY) && !guard->notify.count)
        check_refuse(checker, guard->node, "the guard on %s notifies nobody: give `notify` a program%s", guard->signal_text, "");
}

void check_guards(const struct checker *checker)
{
    struct guard *guards = checker->playbook->guards.items;

    for (size_t i = 0; i < checker->playbook->guards.count; i++) {
        struct guard *guard = &guards[i];

        if (!guard->signal_text || playbook_signal(checker->playbook, check_member(guard->node, "signal"), guard->signal_text, &guard->signal,
                                                   checker->errs) < 0)
            continue;
        check_guard_actions(checker, guard);
        if (!guard->above_text == !guard->below_text)
            check_refuse(checker, guard->node, "the guard on %s needs one of above and below%s", guard->signal_text, "");
        check_bound_text(checker, guard->node, &guard->signal, "above", guard->above_text, &guard->above);
        check_bound_text(checker, guard->node, &guard->signal, "below", guard->below_text, &guard->below);
    }
}

void check_evidence(const struct checker *checker)
{
    struct evidence *list = checker->playbook->evidence.items;
    const struct section_list *targets = &checker->playbook->targets;

    for (size_t i = 0; i < checker->playbook->evidence.count; i++) {
        struct evidence *evidence = &list[i];
        const char *target = evidence->proc ? evidence->proc : evidence->stacks;

        if (!!evidence->url + !!evidence->proc + !!evidence->stacks + (evidence->command.count > 0) != 1)
            check_refuse(checker, evidence->node, "capture '%s' needs exactly one of url, command, proc, stacks%s", evidence->name, "");
        if (strspn(evidence->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != strlen(evidence->name))
            check_refuse(checker, evidence->node, "capture '%s': the name is a file's: letters, digits, - and _%s", evidence->name, "");
        if (target && !check_find(targets, sizeof(struct target), offsetof(struct target, name), target))
            check_refuse_name(checker, check_member(evidence->node, evidence->proc ? "proc" : "stacks"), "target", target, targets, sizeof(struct target),
                              offsetof(struct target, name));
        evidence->moments = check_words(checker, evidence->node, "when", &evidence->when, EVIDENCE_WHEN_WORDS);
    }
}

/* Latency decides only where it is named: a band of a few per cent of a latency is rarely resolvable, and slow answers past the
 * deadline fail goodput anyhow. What a probe reads says how the service is, not how it serves. A control is what is judged against. */
static bool decides_unasked(const struct playbook *playbook, const struct signal *signal)
{
    const struct workload *loads = playbook->loads.items;

    return signal_is_of_load(signal) && signal->unit != UNIT_DURATION && !loads[signal->load].control_of;
}

/* The deciding signals: those named, else the shares and rates of loads in the hypothesis, each once. */
void choose_signals(const struct checker *checker)
{
    struct playbook *playbook = checker->playbook;
    const struct text_list *named = &playbook->expect.convergence.signals;
    const struct bound *bounds = playbook->hypothesis.items;
    size_t count = named->count ? named->count : playbook->hypothesis.count;
    const struct node *convergence = node_member(node_member(playbook->document.root, "expect"), "convergence");
    bool only_others = true; /* then they are all there is to decide by */

    for (size_t i = 0; i < playbook->hypothesis.count; i++)
        only_others &= !decides_unasked(playbook, &bounds[i].signal);
    playbook->signals = document_alloc(&playbook->document, (count + 1) * sizeof(struct signal));
    for (size_t i = 0; i < count; i++) {
        struct signal signal = { 0 };
        bool known = false;

        if (named->count && playbook_signal(playbook, check_member(convergence, "signals"), named->items[i], &signal, checker->errs) < 0)
            continue;
        if (!named->count && (decides_unasked(playbook, &bounds[i].signal) || only_others))
            signal = bounds[i].signal;
        for (size_t j = 0; j < playbook->signal_count && signal.name; j++)
            known |= !strcmp(playbook->signals[j].name, signal.name);
        if (signal.name && !known)
            playbook->signals[playbook->signal_count++] = signal;
    }
}
