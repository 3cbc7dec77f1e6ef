/* From a located tree to a checked playbook: what tables of keys cannot say, the references between sections above all. */
#include "scenarios/playbook/playbook.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/rng.h"
#include "scenarios/playbook/section.h"
#include "scenarios/playbook/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct checker {
    struct playbook *playbook;
    struct errs *errs;
};

static int refuse(const struct checker *checker, const struct node *node, const char *format, const char *a, const char *b)
{
    char place[ERR_WHERE_MAX], text[ERR_TEXT_MAX];

    /* The formats are this file's own; two texts are all they take. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof(text), format, a, b);
#pragma GCC diagnostic pop
    return errs_add(checker->errs, ERR_INPUT, node_where(&checker->playbook->document, node, place, sizeof(place)), "%s", text);
}

static const struct node *member_or(const struct node *map, const char *key)
{
    const struct node *member = node_member(map, key);

    return member ? member : map;
}

/* Finds an item of a named map by name. */
static const void *find_named(const struct section_list *list, size_t size, size_t name_offset, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *item = (const char *)list->items + i * size;

        if (!strcmp(*(const char *const *)(const void *)(item + name_offset), name))
            return item;
    }
    return NULL;
}

const struct target *playbook_target(const struct playbook *playbook, const char *name)
{
    return find_named(&playbook->targets, sizeof(struct target), offsetof(struct target, name), name);
}

const struct proxy *playbook_proxy(const struct playbook *playbook, const char *name)
{
    return find_named(&playbook->proxies, sizeof(struct proxy), offsetof(struct proxy, name), name);
}

/* "no proxy 'x'; there are: a b", with the nearest named first. */
static int refuse_name(const struct checker *checker, const struct node *node, const char *what, const char *name,
                       const struct section_list *list, size_t size, size_t name_offset)
{
    char place[ERR_WHERE_MAX];
    const char *names[64] = { NULL };
    size_t count = 0;
    int nearest;

    for (size_t i = 0; i < list->count && count < ARRAY_SIZE(names); i++)
        names[count++] = *(const char *const *)(const void *)((const char *)list->items + i * size + name_offset);
    nearest = err_nearest(name, names, count);
    if (nearest < 0 && count)
        nearest = 0;
    return errs_add(checker->errs, ERR_INPUT, node_where(&checker->playbook->document, node, place, sizeof(place)),
                    "no %s is named '%s'%s%s%s", what, name, count ? "; there is '" : "; the playbook has none",
                    count ? names[nearest] : "", count ? "'" : "");
}

/* ---- signals ------------------------------------------------------------------------------------------------------------ */

static int parse_kind(const char *text, struct signal *signal)
{
    char *end;

    if (!strcmp(text, "goodput") || !strcmp(text, "errors")) {
        signal->kind = text[0] == 'g' ? SIGNAL_GOODPUT : SIGNAL_ERRORS;
        signal->unit = UNIT_SHARE;
        return 0;
    }
    if (!strcmp(text, "rate")) {
        signal->kind = SIGNAL_RATE;
        signal->unit = UNIT_FREQUENCY;
        return 0;
    }
    if (text[0] != 'p' || text[1] < '0' || text[1] > '9')
        return -EINVAL;
    signal->kind = SIGNAL_QUANTILE;
    signal->unit = UNIT_DURATION;
    signal->quantile = strtod(text + 1, &end) / 100;
    return *end || signal->quantile <= 0 || signal->quantile >= 1 ? -EINVAL : 0;
}

int playbook_signal(const struct playbook *playbook, const struct node *node, const char *text, struct signal *ret_signal,
                    struct errs *errs)
{
    const struct checker checker = { (struct playbook *)(uintptr_t)playbook, errs };
    struct signal signal = { .name = text };
    const char *dot = strchr(text, '.');
    char name[64];
    const struct workload *load;

    snprintf(name, sizeof(name), "%.*s", dot ? (int)(dot - text) : (int)strlen(text), text);
    load = find_named(&playbook->loads, sizeof(struct workload), offsetof(struct workload, name), name);
    if (!load)
        return refuse_name(&checker, node, "load", name, &playbook->loads, sizeof(struct workload), offsetof(struct workload, name));
    signal.load = (size_t)(load - (const struct workload *)playbook->loads.items);
    if (!dot || parse_kind(dot + 1, &signal) < 0)
        return refuse(&checker, node, "'%s' is no signal of load '%s'; there are goodput, errors, rate and p50 to p99.9", text, name);
    *ret_signal = signal;
    return 0;
}

static int check_bound_text(const struct checker *checker, const struct node *node, const struct signal *signal, const char *key,
                            const char *text, int64_t *ret_value)
{
    char place[ERR_WHERE_MAX];

    *ret_value = ABSENT;
    if (!text)
        return 0;
    return value_parse(key, signal->unit, NULL, 0, signal->unit == UNIT_SHARE ? PPM : INT64_MAX, text,
                       node_where(&checker->playbook->document, member_or(node, key), place, sizeof(place)), checker->errs, ret_value);
}

static void check_hypothesis(const struct checker *checker)
{
    struct bound *bounds = checker->playbook->hypothesis.items;

    for (size_t i = 0; i < checker->playbook->hypothesis.count; i++) {
        struct bound *bound = &bounds[i];

        if (!bound->signal_text || playbook_signal(checker->playbook, member_or(bound->node, "signal"), bound->signal_text, &bound->signal,
                                                   checker->errs) < 0)
            continue;
        if (!bound->min_text && !bound->max_text)
            refuse(checker, bound->node, "the line for %s needs min or max%s", bound->signal_text, "");
        check_bound_text(checker, bound->node, &bound->signal, "min", bound->min_text, &bound->min);
        check_bound_text(checker, bound->node, &bound->signal, "max", bound->max_text, &bound->max);
    }
}

static void check_guards(const struct checker *checker)
{
    struct guard *guards = checker->playbook->guards.items;

    for (size_t i = 0; i < checker->playbook->guards.count; i++) {
        struct guard *guard = &guards[i];

        if (guard->then && strcmp(guard->then, "abort") != 0)
            refuse(checker, member_or(guard->node, "then"), "then: '%s' is none of: %s", guard->then, "abort");
        if (!guard->signal_text || playbook_signal(checker->playbook, member_or(guard->node, "signal"), guard->signal_text, &guard->signal,
                                                   checker->errs) < 0)
            continue;
        if (!guard->above_text == !guard->below_text)
            refuse(checker, guard->node, "the guard on %s needs one of above and below%s", guard->signal_text, "");
        check_bound_text(checker, guard->node, &guard->signal, "above", guard->above_text, &guard->above);
        check_bound_text(checker, guard->node, &guard->signal, "below", guard->below_text, &guard->below);
    }
}

/* The deciding signals: those named, else the shares and rates of the hypothesis, each once. Latency decides only where it is
 * named: a band of a few per cent of a latency is rarely resolvable, and slow answers past the deadline fail goodput anyhow. */
static void choose_signals(const struct checker *checker)
{
    struct playbook *playbook = checker->playbook;
    const struct text_list *named = &playbook->expect.convergence.signals;
    const struct bound *bounds = playbook->hypothesis.items;
    size_t count = named->count ? named->count : playbook->hypothesis.count;
    const struct node *convergence = node_member(node_member(playbook->document.root, "expect"), "convergence");
    bool only_latency = true; /* then it is all there is to decide by */

    for (size_t i = 0; i < playbook->hypothesis.count; i++)
        only_latency &= bounds[i].signal.unit == UNIT_DURATION;
    playbook->signals = document_alloc(&playbook->document, (count + 1) * sizeof(struct signal));
    for (size_t i = 0; i < count; i++) {
        struct signal signal = { 0 };
        bool known = false;

        if (named->count && playbook_signal(playbook, member_or(convergence, "signals"), named->items[i], &signal, checker->errs) < 0)
            continue;
        if (!named->count && (bounds[i].signal.unit != UNIT_DURATION || only_latency))
            signal = bounds[i].signal;
        for (size_t j = 0; j < playbook->signal_count && signal.name; j++)
            known |= !strcmp(playbook->signals[j].name, signal.name);
        if (signal.name && !known)
            playbook->signals[playbook->signal_count++] = signal;
    }
}

/* ---- targets, proxies, loads -------------------------------------------------------------------------------------------- */

static bool is_endpoint(const char *text, bool zero_allowed)
{
    const char *colon = strrchr(text, ':');
    char *end;
    long port;

    if (!colon || colon == text || !colon[1])
        return false;
    port = strtol(colon + 1, &end, 10);
    return !*end && port >= (zero_allowed ? 0 : 1) && port <= 65535;
}

static void check_targets(const struct checker *checker)
{
    const struct target *targets = checker->playbook->targets.items;

    for (size_t i = 0; i < checker->playbook->targets.count; i++) {
        const struct target *target = &targets[i];
        int ways = (target->command.count > 0) + (target->pid != ABSENT) + !!target->unit + !!target->cgroup + !!target->address;
        const struct node *command = node_member(target->node, "command");
        bool unread = command && !target->command.count && (command->first || (command->text && command->text[0])); /* told already */

        if (command && !target->command.count && !unread)
            refuse(checker, command, "target '%s': the command is empty%s", target->name, "");
        else if (ways != 1 && !unread)
            refuse(checker, target->node, "target '%s' needs exactly one of command, pid, unit, cgroup, address%s", target->name, "");
        if (target->address && !is_endpoint(target->address, false))
            refuse(checker, member_or(target->node, "address"), "address: '%s' is no HOST:PORT%s", target->address, "");
        if (target->ready.tcp && !is_endpoint(target->ready.tcp, false))
            refuse(checker, member_or(target->node, "ready"), "ready.tcp: '%s' is no HOST:PORT%s", target->ready.tcp, "");
        if (target->ready.tcp && target->ready.http)
            refuse(checker, member_or(target->node, "ready"), "target '%s': give tcp or http, not both%s", target->name, "");
    }
}

static void check_proxies(const struct checker *checker)
{
    struct proxy *proxies = checker->playbook->proxies.items;

    for (size_t i = 0; i < checker->playbook->proxies.count; i++) {
        struct proxy *proxy = &proxies[i];
        char variable[96];

        if (strlen(proxy->name) >= RULE_SCOPE_MAX)
            refuse(checker, proxy->node, "the name '%s' is too long%s", proxy->name, "");
        if (proxy->upstream && !is_endpoint(proxy->upstream, false))
            refuse(checker, member_or(proxy->node, "upstream"), "upstream: '%s' is no HOST:PORT%s", proxy->upstream, "");
        if (proxy->listen && !is_endpoint(proxy->listen, true))
            refuse(checker, member_or(proxy->node, "listen"), "listen: '%s' is no HOST:PORT%s", proxy->listen, "");
        snprintf(variable, sizeof(variable), "${proxies.%s.listen}", proxy->name);
        proxy->listen = variables_expand(&checker->playbook->variables, proxy->node, variable, checker->errs);
    }
}

static void check_loads(const struct checker *checker)
{
    const struct workload *loads = checker->playbook->loads.items;

    if (!checker->playbook->loads.count)
        refuse(checker, checker->playbook->document.root, "load is empty: without load there is nothing to measure%s%s", "", "");
    for (size_t i = 0; i < checker->playbook->loads.count; i++) {
        const struct workload *load = &loads[i];
        const char *url = load->http.url ? load->http.url : load->resp.url;

        if (!node_member(load->node, "http") == !node_member(load->node, "resp"))
            refuse(checker, load->node, "load '%s' needs one of http and resp%s", load->name, "");
        else if (url && strncmp(url, load->http.url ? "http://" : "redis://", load->http.url ? 7 : 8) != 0 &&
                 strncmp(url, load->http.url ? "https://" : "redis://", 8) != 0)
            refuse(checker, load->node, "url: '%s' does not start with %s", url, load->http.url ? "http:// or https://" : "redis://");
    }
}

/* ---- method ------------------------------------------------------------------------------------------------------------- */

/* Keys that are not the step's own are the fault's; a value may open with its comparison (">=1MiB"). */
static void set_fault_keys(const struct checker *checker, struct step *step)
{
    static const char own[] = "fault point proxy target at for";
    const struct section_reader reader = { &checker->playbook->document, &checker->playbook->variables, checker->errs };

    for (const struct node *item = step->node->first; item; item = item->next) {
        enum operator_bits op = OP_EQ;
        char place[ERR_WHERE_MAX];
        const char *text;

        if (words_index(own, item->key) >= 0)
            continue;
        text = section_text(&reader, item, item->key);
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
        refuse_name(checker, member_or(step->node, "proxy"), "proxy", step->proxy, &playbook->proxies, sizeof(struct proxy),
                    offsetof(struct proxy, name));
        return;
    }
    if (!step->target)
        return;
    target = playbook_target(playbook, step->target);
    if (!target)
        refuse_name(checker, member_or(step->node, "target"), "target", step->target, &playbook->targets, sizeof(struct target),
                    offsetof(struct target, name));
    else if (step->layer == LAYER_HOST && !target->command.count)
        refuse(checker, member_or(step->node, "target"), "host.%s acts on targets that the run spawned; '%s' already runs",
               fault_descs[step->spec.rule.fault].name, step->target);
    else if (step->layer == LAYER_CALL && !target->command.count && target->pid == ABSENT)
        refuse(checker, member_or(step->node, "target"), "call.%s needs a target with a command or a pid; '%s' has neither",
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
        if (chosen) {
            refuse(checker, member_or(step->node, "name"), "the name '%s' is given to two steps%s", base, "");
            return;
        }
        snprintf(step->spec.rule.name, RULE_NAME_MAX, "%.40s-%zu", base, copy++);
        i = (size_t)-1;
    }
    step->spec.rule.name_hash = rng_hash(step->spec.rule.name);
}

static void check_step(const struct checker *checker, struct step *step, size_t index)
{
    uint64_t layers = step->proxy ? BIT(LAYER_STREAM) : BIT(LAYER_CALL) | BIT(LAYER_HOST);
    char place[ERR_WHERE_MAX];
    const struct fault_desc *fault;
    size_t errors_before = checker->errs->count;

    if (!step->fault)
        return;
    if (!step->proxy == !step->target) {
        refuse(checker, step->node, "the step with fault '%s' needs one of proxy and target%s", step->fault, "");
        return;
    }
    node_where(&checker->playbook->document, member_or(step->node, "fault"), place, sizeof(place));
    fault = fault_spec_begin(&step->spec, step->fault, layers, place, checker->errs);
    if (!fault)
        return;
    step->layer = fault->layer;
    snprintf(step->spec.rule.scope, RULE_SCOPE_MAX, "%s", step->proxy ? step->proxy : step->target);
    node_where(&checker->playbook->document, member_or(step->node, "point"), place, sizeof(place));
    if (step->point)
        fault_spec_point(&step->spec, step->point, place, checker->errs);
    set_fault_keys(checker, step);
    node_where(&checker->playbook->document, step->node, place, sizeof(place));
    if (checker->errs->count == errors_before)
        fault_spec_finish(&step->spec, place, checker->errs);
    check_scope(checker, step);
    name_rule(checker, step, index);
}

/* ---- the whole ---------------------------------------------------------------------------------------------------------- */

static void check_seed(const struct checker *checker)
{
    struct playbook *playbook = checker->playbook;
    char *end;

    if (!playbook->seed_text)
        return;
    errno = 0;
    playbook->seed = strtoull(playbook->seed_text, &end, 0);
    playbook->seed_given = true;
    if (*end || end == playbook->seed_text || errno || playbook->seed_text[0] == '-')
        refuse(checker, member_or(playbook->document.root, "seed"), "seed: '%s' is no whole number below 2^64%s", playbook->seed_text, "");
}

static void hash_text(struct playbook *playbook)
{
    uint64_t hash = rng_hash(playbook->document.source);

    for (size_t i = 0; i < playbook->variables.override_count; i++)
        hash = rng_mix(hash, rng_mix(rng_hash(playbook->variables.overrides[i].name), rng_hash(playbook->variables.overrides[i].value)));
    snprintf(playbook->hash, sizeof(playbook->hash), "%016llx", (unsigned long long)hash);
}

static int check_playbook(struct playbook *playbook, const struct playbook_options *options, struct errs *errs)
{
    const struct section_reader reader = { &playbook->document, &playbook->variables, errs };
    const struct checker checker = { playbook, errs };
    struct step *steps;
    char place[ERR_WHERE_MAX];
    const struct node *version = node_member(playbook->document.root, "perturb");

    playbook->variables = (struct variables){ .document = &playbook->document, .overrides = options->overrides,
                                              .override_count = options->override_count, .free_port = options->free_port,
                                              .context = options->context };
    if (version && version->text && strcmp(version->text, "1") != 0)
        return errs_add(errs, ERR_INPUT, node_where(&playbook->document, version, place, sizeof(place)),
                        "perturb: found version %s; this program reads version 1", version->text);
    variables_check_overrides(&playbook->variables, errs);
    section_read(&reader, &playbook_section, playbook->document.root, playbook);
    check_seed(&checker);
    check_targets(&checker);
    check_proxies(&checker);
    check_loads(&checker);
    check_hypothesis(&checker);
    check_guards(&checker);
    choose_signals(&checker);
    steps = playbook->method.items;
    for (size_t i = 0; i < playbook->method.count; i++)
        check_step(&checker, &steps[i], i);
    hash_text(playbook);
    return 0;
}

static int finish(struct playbook *playbook, const struct playbook_options *options, size_t errors_before, struct errs *errs)
{
    if (playbook->document.root->kind != NODE_MAP)
        return errs_add(errs, ERR_INPUT, playbook->document.file, "found %s, expected a map of the playbook's keys",
                        node_kind_name(playbook->document.root->kind));
    check_playbook(playbook, options, errs);
    return errs->count == errors_before ? 0 : -EINVAL;
}

int playbook_read(struct playbook *playbook, const char *file, const struct playbook_options *options, struct errs *errs)
{
    size_t errors_before = errs->count;

    memset(playbook, 0, sizeof(*playbook));
    if (document_read(&playbook->document, file, errs) < 0)
        return -EINVAL;
    return finish(playbook, options, errors_before, errs);
}

int playbook_parse(struct playbook *playbook, const char *name, const char *text, size_t length, bool is_json,
                   const struct playbook_options *options, struct errs *errs)
{
    size_t errors_before = errs->count;

    memset(playbook, 0, sizeof(*playbook));
    if (document_parse(&playbook->document, name, text, length, is_json, errs) < 0)
        return -EINVAL;
    return finish(playbook, options, errors_before, errs);
}

void playbook_done(struct playbook *playbook)
{
    document_done(&playbook->document);
}
