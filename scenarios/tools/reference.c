/* The tables as Markdown pages. */
#include "scenarios/base/cleanup.h"
#include "scenarios/base/rng.h"
#include "scenarios/playbook/spec.h"
#include "scenarios/playbook/value.h"
#include "scenarios/tools/vocab_gen.h"
#include "scenarios/vocab/event.h"

#include <errno.h>
#include <string.h>

const char *const vocab_layer_titles[LAYER_COUNT] = {
    [LAYER_STREAM] = "on the wire, each direction of a TCP or Unix connection",
    [LAYER_DATAGRAM] = "on the wire, each direction of a UDP session",
    [LAYER_CALL] = "inside the target, at a libc call",
    [LAYER_HOST] = "from outside the target",
};

const char *vocab_unit_name(enum unit unit)
{
    static const char *const names[] = {
        [UNIT_DURATION] = "duration", [UNIT_SIZE] = "size",   [UNIT_RATE] = "rate",   [UNIT_FREQUENCY] = "frequency",
        [UNIT_SHARE] = "share",       [UNIT_RATIO] = "ratio", [UNIT_COUNT] = "count", [UNIT_BOOL] = "true or false",
        [UNIT_SHIFT] = "shift",       [UNIT_IPV4] = "address",
        [UNIT_ENUM] = "word",         [UNIT_ERRNO] = "errno", [UNIT_TEXT] = "text",
    };

    return names[unit];
}

/* A value in the parameter's range that shows what it is like. */
static int64_t sample_of(const struct param_desc *param)
{
    static const int64_t samples[] = { [UNIT_DURATION] = 200000000, [UNIT_SIZE] = 65536, [UNIT_RATE] = 1000000, [UNIT_SHIFT] = 3600000000000, [UNIT_TEXT] = 0 };
    int64_t sample = samples[param->unit];

    return !param->required && param->initial ? param->initial
           : sample && sample <= param->maximum ? sample
                                                : param->minimum;
}

/* "latency:200ms,to=127.0.0.1:6379": the line is put together here, then parsed as a user's would be. */
int vocab_example(const struct fault_desc *fault, char *line, size_t size)
{
    const struct param_desc *main = fault->main ? fault_param(fault, fault->main) : NULL;
    const char *to = fault->layer == LAYER_STREAM ? "to=127.0.0.1:6379" : "";
    char value[64] = "";
    struct fault_spec spec;
    struct errs errs = { 0 };

    if (main)
        value_print(main->unit, main->words, sample_of(main), value, sizeof(value));
    else if (fault->main && selector_descs[selector_find(fault->main)].unit == UNIT_TEXT)
        snprintf(value, sizeof(value), "/var/lib/app/*");
    else if (fault->main)
        unit_print(selector_descs[selector_find(fault->main)].unit, PPM / 100, value, sizeof(value));
    snprintf(line, size, "%s%s%s%s%s", fault->name, value[0] || to[0] ? ":" : "", value, value[0] && to[0] ? "," : "", to);
    if (fault_spec_parse(line, BIT(fault->layer), line, &spec, &errs) == 0)
        return 0;
    errs_print(&errs, stderr);
    return -EINVAL;
}

void vocab_range(const struct param_desc *param, char *text, size_t size)
{
    char low[64], high[64];

    if (param->words)
        snprintf(text, size, "%s", param->words);
    else if (param->unit == UNIT_ERRNO)
        snprintf(text, size, "an errno name");
    else if (param->unit == UNIT_BOOL)
        snprintf(text, size, "true, false");
    else
        snprintf(text, size, "%s to %s", unit_print(param->unit, param->minimum, low, sizeof(low)),
                 unit_print(param->unit, param->maximum, high, sizeof(high)));
}

void vocab_default(const struct fault_desc *fault, const struct param_desc *param, char *text, size_t size)
{
    if (param->rest_of)
        snprintf(text, size, "what `%s` leaves", fault_param_at(fault, param->rest_of)->name);
    else if (param->required)
        snprintf(text, size, "required");
    else
        value_print(param->unit, param->words, param->initial, text, size);
}

static void print_params(FILE *out, const struct fault_desc *fault)
{
    char range[256], initial[96];

    if (!fault->param_count)
        return;
    fprintf(out, "| parameter | kind | range | default | |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < fault->param_count; i++) {
        const struct param_desc *param = &fault->params[i];

        vocab_range(param, range, sizeof(range));
        vocab_default(fault, param, initial, sizeof(initial));
        fprintf(out, "| `%s` | %s | %s | %s | %s |\n", param->name, vocab_unit_name(param->unit), range, initial, param->help);
    }
    fprintf(out, "\n");
}

static void print_points(FILE *out, const struct fault_desc *fault)
{
    const char *separator = "Points: ";

    if (!fault_points[fault->id])
        return;
    for (size_t i = 0; i < POINT_COUNT; i++)
        if (fault_points[fault->id] & BIT(i)) {
            fprintf(out, "%s`@%s`", separator, point_descs[i].name);
            separator = ", ";
        }
    fprintf(out, ". Without one it acts at all of them%s.\n\n",
            fault_points_unnamed(fault->id) == fault_points[fault->id] ? "" : " that need not be named");
}

/* A parameter hides a selector of the same name. */
static void print_selectors(FILE *out, const struct fault_desc *fault)
{
    const char *separator = "Selectors: ";

    for (size_t i = 0; i < SELECTOR_COUNT; i++)
        if (fault->selectors & BIT(i) && !fault_param(fault, selector_descs[i].name)) {
            fprintf(out, "%s`%s`", separator, selector_descs[i].name);
            separator = ", ";
        }
    if (fault->selectors)
        fprintf(out, ".\n\n");
}

static void print_aliases(FILE *out, const struct fault_desc *fault)
{
    for (size_t i = 0; i < fault->alias_count; i++)
        for (size_t p = 0; p < fault->param_count; p++)
            if (fault->params[p].slot == fault->aliases[i].slot)
                fprintf(out, "%s`%s` sets `%s` (%s)", i ? "; " : "Elsewhere: ", fault->aliases[i].name, fault->params[p].name,
                        fault->aliases[i].help);
    if (fault->alias_count)
        fprintf(out, ".\n\n");
}

void vocab_backends(FILE *out, uint32_t backends)
{
    static const struct {
        enum backend bit;
        const char *name;
    } names[] = { { BACKEND_WIRE, "wire proxy" }, { BACKEND_PRELOAD, "preload shim" }, { BACKEND_SUPERVISE, "seccomp supervisor" },
                  { BACKEND_GUARDIAN, "guardian of a run" } };
    const char *separator = "";

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (backends & names[i].bit) {
            fprintf(out, "%s%s", separator, names[i].name);
            separator = ", ";
        }
}

/* A host fault stands in playbooks only. */
void vocab_step(FILE *out, const struct fault_desc *fault)
{
    const struct param_desc *main = fault->main ? fault_param(fault, fault->main) : NULL;
    char value[64];

    fprintf(out, "- {fault: %s", fault->name);
    if (fault_places[fault->id] != ACTS_ON_MACHINE)
        fprintf(out, ", target: NAME");
    if (fault_places[fault->id] & ACTS_ON_OTHER)
        fprintf(out, ", to: OTHER");
    if (fault->selectors & BIT(SELECTOR_path))
        fprintf(out, ", path: /srv/data");
    if (main)
        fprintf(out, ", %s: %s", main->name, value_print(main->unit, main->words, main->unit == UNIT_SIZE ? 64 << 20 : sample_of(main), value, sizeof(value)));
    fprintf(out, ", at: 2s, for: 5s}\n");
}

static int print_fault(FILE *out, const struct fault_desc *fault)
{
    char line[256], item[256] = "";

    if (vocab_example(fault, line, sizeof(line)) < 0)
        return -EINVAL;
    if (fault->main && strchr(line, ':'))
        snprintf(item, sizeof(item), "%s: %.200s", fault->main, strchr(line, ':') + 1);
    fprintf(out, "### %s.%s\n\n%s\n\n", layer_names[fault->layer], fault->name, fault->help);
    if (fault->layer == LAYER_DATAGRAM)
        fprintf(out, "    - {fault: %s, proxy: NAME, at: 2s, for: 5s%s%s}\n\n", fault->name, strchr(line, ':') ? ", " : "", item);
    else if (fault->layer == LAYER_HOST) {
        fputs("    ", out);
        vocab_step(out, fault);
        fputc('\n', out);
    } else
        fprintf(out, "    perturb exec -f '%s' -- CMD\n\n", line);
    print_params(out, fault);
    print_points(out, fault);
    print_selectors(out, fault);
    print_aliases(out, fault);
    fprintf(out, "Carried out by: ");
    vocab_backends(out, fault->backends);
    fprintf(out, ". Counts as injected at: %s. Undone: %s.\n\n", fault->acted,
            fault->undo == UNDO_EXPIRES ? "it expires by itself at the end of its lease" : "through the undo journal");
    return 0;
}

static void print_selector_table(FILE *out)
{
    static const char *const operators[] = { "=", "!=", ">=", "<=" };

    fprintf(out, "## Selectors\n\nWhen, where and how often a fault acts; all given ones must hold.\n\n");
    fprintf(out, "| selector | kind | operators | |\n|---|---|---|---|\n");
    for (size_t i = 0; i < SELECTOR_COUNT; i++) {
        fprintf(out, "| `%s` | %s |", selector_descs[i].name, vocab_unit_name(selector_descs[i].unit));
        for (size_t op = 0; op < ARRAY_SIZE(operators); op++)
            if (selector_descs[i].operators & BIT(op))
                fprintf(out, " `%s`", operators[op]);
        fprintf(out, " | %s |\n", selector_descs[i].help);
    }
    fprintf(out, "\n");
}

static void print_kinds(FILE *out)
{
    fprintf(out, "## Kinds of value\n\n| kind | |\n|---|---|\n");
    for (int unit = UNIT_DURATION; unit < UNIT_ENUM; unit++)
        if (unit != UNIT_BOOL)
            fprintf(out, "| %s | %s |\n", vocab_unit_name((enum unit)unit), unit_example((enum unit)unit));
    fprintf(out, "\nDurations take ns us ms s m h d (also `1m30s`), sizes B kB KiB MB MiB GB GiB, rates a size or kbit, Mbit, Gbit with `/s`.\n\n");
}

int print_reference(FILE *out)
{
    fprintf(out, "# Faults\n\nMade from the fault table by `make docs`; `perturb faults NAME` prints the same.\n\n"
                 "A fault is one line on the command line, and the same keys in a playbook's `method`:\n\n"
                 "    NAME[@POINT][:ITEM,ITEM...]      ITEM: key OP value, or, first, the bare main value\n\n"
                 "Every fault also takes `name` (its instance; draws hang on it). `to=HOST:PORT` puts a stream fault between the program and\n"
                 "that peer. Values with `,` are quoted.\n\n");
    print_kinds(out);
    print_selector_table(out);
    fprintf(out, "## Points\n\n| point | calls |\n|---|---|\n");
    for (size_t i = 0; i < POINT_COUNT; i++)
        fprintf(out, "| `@%s` | %s%s |\n", point_descs[i].name, point_descs[i].help, point_descs[i].groups & GROUP_NAMED ? " (has to be named)" : "");
    for (size_t layer = 0; layer < LAYER_COUNT; layer++) {
        fprintf(out, "\n## %s: %s\n\n", layer_names[layer], vocab_layer_titles[layer]);
        for (size_t i = 0; i < FAULT_COUNT; i++)
            if ((size_t)fault_descs[i].layer == layer && print_fault(out, &fault_descs[i]) < 0)
                return -EINVAL;
    }
    return 0;
}

int print_events(FILE *out)
{
    fprintf(out, "# Events\n\nMade from the event table by `make docs`. One record a line in `events.jsonl` and with `--format json`:\n\n"
                 "    {\"seq\": 1, \"clock\": \"monotonic\", \"ns\": \"...\", \"source\": \"...\", \"epoch\": 0, \"kind\": \"...\", \"fields\": {...}}\n\n"
                 "`ns` is CLOCK_MONOTONIC of the event itself, as a text; numbers beyond 2^53 are texts too. Sources:");
    for (size_t i = 0; i < SOURCE_COUNT; i++)
        fprintf(out, "%s %s", i ? "," : "", source_names[i]);
    fprintf(out, ".\n\n| kind | fields | |\n|---|---|---|\n");
    for (size_t i = 0; i < EVENT_KIND_COUNT; i++) {
        const struct event_desc *desc = &event_descs[i];
        const char *separator = "";

        fprintf(out, "| `%s` | ", desc->name);
        for (int field = 0; field < EVENT_TEXTS && desc->texts[field]; field++, separator = ", ")
            fprintf(out, "%s%s", separator, desc->texts[field]);
        for (int field = 0; field < EVENT_NUMBERS && desc->numbers[field].name; field++, separator = ", ")
            fprintf(out, "%s%s%s", separator, desc->numbers[field].name, desc->numbers[field].unit == UNIT_DURATION ? "_ns" : "");
        fprintf(out, " | %s |\n", desc->help);
    }
    return 0;
}
