/* perturb-faults(7) and perturb-playbook(5), from the same tables as the Markdown pages. */
#include "scenarios/base/cleanup.h"
#include "scenarios/tools/roff.h"
#include "scenarios/tools/vocab_gen.h"

#include <errno.h>
#include <string.h>

/* "TERM (kind, range; default)" and the help, as one entry. */
static void put_entry(FILE *out, const char *term, const char *kind, const char *range, const char *initial, const char *help)
{
    char text[1024];

    snprintf(text, sizeof(text), "%s (%s%s%s%s%s)", help, kind, *range ? ", " : "", range,
             !*initial                     ? ""
             : !strcmp(initial, "required") ? "; "
                                            : "; default ",
             initial);
    roff_entry(out, term, text);
}

static void put_words(FILE *out, const char *lead, uint64_t mask, size_t count, const char *(*name)(size_t index))
{
    char text[2048];
    size_t used = 0;

    for (size_t i = 0; i < count; i++)
        if (mask & BIT(i) && used < sizeof(text))
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s`%s`", used ? ", " : lead, name(i));
    if (used)
        roff_paragraph(out, text);
}

static const char *point_name(size_t index)
{
    return point_descs[index].name;
}

static const char *selector_name(size_t index)
{
    return selector_descs[index].name;
}

static int put_fault(FILE *out, const struct fault_desc *fault)
{
    char line[256], range[256], initial[128], title[64];
    uint64_t selectors = fault->selectors;

    if (vocab_example(fault, line, sizeof(line)) < 0)
        return -EINVAL;
    snprintf(title, sizeof(title), "%s.%s", layer_names[fault->layer], fault->name);
    roff_subsection(out, title);
    roff_text(out, fault->help);
    roff_example_begin(out);
    if (fault->layer == LAYER_HOST)
        vocab_step(out, fault);
    else
        roff_line(out, line, (int)strlen(line));
    roff_example_end(out);
    for (size_t i = 0; i < fault->param_count; i++) {
        vocab_range(&fault->params[i], range, sizeof(range));
        vocab_default(fault, &fault->params[i], initial, sizeof(initial));
        put_entry(out, fault->params[i].name, vocab_unit_name(fault->params[i].unit), range, initial, fault->params[i].help);
    }
    for (size_t i = 0; i < SELECTOR_COUNT; i++)
        if (fault_param(fault, selector_descs[i].name))
            selectors &= ~BIT(i);
    put_words(out, "Points: ", fault_points[fault->id], POINT_COUNT, point_name);
    put_words(out, "Selectors: ", selectors, SELECTOR_COUNT, selector_name);
    fputs(".PP\nCarried out by: ", out);
    vocab_backends(out, fault->backends);
    fputs(".\n", out);
    snprintf(line, sizeof(line), "Has acted with %s. Undone %s.", fault->acted,
             fault->undo == UNDO_EXPIRES ? "by itself, at the end of its lease" : "through the undo journal");
    roff_text(out, line);
    return 0;
}

static void put_selectors(FILE *out)
{
    static const char *const operators[] = { "=", "!=", ">=", "<=" };
    char kind[64];

    roff_section(out, "SELECTORS");
    roff_text(out, "When, where and how often a fault acts; all that are given must hold.");
    for (size_t i = 0; i < SELECTOR_COUNT; i++) {
        size_t used = (size_t)snprintf(kind, sizeof(kind), "%s", vocab_unit_name(selector_descs[i].unit));

        for (size_t op = 0; op < ARRAY_SIZE(operators); op++)
            if (selector_descs[i].operators & BIT(op))
                used += (size_t)snprintf(kind + used, sizeof(kind) - used, " %s", operators[op]);
        put_entry(out, selector_descs[i].name, kind, "", "", selector_descs[i].help);
    }
}

static void put_values(FILE *out)
{
    roff_section(out, "VALUES");
    roff_text(out, "Durations take ns us ms s m h d (also 1m30s), sizes B kB KiB MB MiB GB GiB, rates a size or kbit, Mbit, Gbit with /s, "
                        "frequencies /s or /m, shares a percentage or a fraction.");
    for (int unit = UNIT_DURATION; unit < UNIT_ENUM; unit++)
        if (unit != UNIT_BOOL)
            roff_entry(out, vocab_unit_name((enum unit)unit), unit_example((enum unit)unit));
}

int print_faults_manual(FILE *out)
{
    roff_begin(out, "perturb-faults", 7, "faults, selectors and points of perturb");
    roff_section(out, "DESCRIPTION");
    roff_text(out, "A fault is one line on the command line, and the same keys in a playbook's `method`:");
    roff_example_begin(out);
    fputs("NAME[@POINT][:ITEM,ITEM...]\n", out);
    roff_example_end(out);
    roff_paragraph(out, "An ITEM is `key` OP `value`, where OP is =, !=, >= or <=; the first may be the bare main value. Values that hold a comma are "
                        "quoted; IPv6 addresses stand in brackets. Every fault also takes `name`, on which its draws hang. "
                        "`to=HOST:PORT` puts a stream fault on the wire between the program and that peer.");
    put_values(out);
    put_selectors(out);
    roff_section(out, "POINTS");
    roff_text(out, "Where in a program a call fault acts.");
    for (size_t i = 0; i < POINT_COUNT; i++) {
        char text[256];

        snprintf(text, sizeof(text), "%s%s", point_descs[i].help, point_descs[i].groups & GROUP_NAMED ? " (has to be named)" : "");
        roff_entry(out, point_descs[i].name, text);
    }
    for (size_t layer = 0; layer < LAYER_COUNT; layer++) {
        char title[128];

        snprintf(title, sizeof(title), "%s: %s", layer_names[layer], vocab_layer_titles[layer]);
        roff_section(out, title);
        for (size_t i = 0; i < FAULT_COUNT; i++)
            if ((size_t)fault_descs[i].layer == layer && put_fault(out, &fault_descs[i]) < 0)
                return -EINVAL;
    }
    roff_see_also(out, "perturb(1), perturb-playbook(5)");
    return 0;
}

static void put_section(FILE *out, const struct section_desc *section, const char *places)
{
    char kind[128], range[256], initial[128], text[VOCAB_PARENTS_MAX + 8];

    roff_subsection(out, section->name);
    roff_text(out, section->help);
    if (*places) {
        snprintf(text, sizeof(text), "In: %s.", places);
        roff_text(out, text);
    }
    for (size_t i = 0; i < section->key_count; i++) {
        vocab_key_kind(&section->keys[i], kind, sizeof(kind));
        vocab_key_range(&section->keys[i], range, sizeof(range));
        vocab_key_default(&section->keys[i], initial, sizeof(initial));
        put_entry(out, section->keys[i].name, kind, range, initial, section->keys[i].help);
    }
    if (section->open)
        roff_paragraph(out, "Further keys are parameters and selectors of the fault; perturb-faults(7) lists them.");
}

static void put_small_playbook(FILE *out)
{
    static const char *const lines[] = {
        "perturb: 1",
        "title: The shop keeps serving when its store is slow",
        "targets:",
        "  store: {command: [./store, --port, \"${port.store}\"], ready: {tcp: \"127.0.0.1:${port.store}\"}}",
        "  shop:",
        "    command: [./shop, --port, \"${port.shop}\"]",
        "    env: {STORE_ADDR: \"${proxies.store.listen}\"}",
        "    ready: {http: \"http://127.0.0.1:${port.shop}/healthz\"}",
        "proxies:",
        "  store: {upstream: \"127.0.0.1:${port.store}\"}",
        "load:",
        "  main: {http: {url: \"http://127.0.0.1:${port.shop}/\", timeout: 500ms}, rate: 200/s}",
        "steady-state-hypothesis:",
        "  - {signal: main.goodput, min: 99%}",
        "method:",
        "  - {fault: latency, proxy: store, direction: to_client, latency: 300ms, at: 2s, for: 10s}",
        "expect:",
        "  convergence: {max: 5s, band: 5%, hold: 5s}",
    };

    roff_section(out, "EXAMPLE");
    roff_text(out, "A shop with a proxy between it and its store, whose answers are held back for ten seconds:");
    roff_example_begin(out);
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        roff_line(out, lines[i], (int)strlen(lines[i]));
    roff_example_end(out);
}

int print_playbook_manual(FILE *out)
{
    static struct vocab_sections sections;
    int rc = vocab_sections(&sections);

    if (rc < 0)
        return rc;
    roff_begin(out, "perturb-playbook", 5, "format of the playbooks of perturb");
    roff_section(out, "DESCRIPTION");
    roff_text(out, "A playbook is YAML or JSON. It says what runs (or already runs), what load measures it, what holds while nothing is disturbed, "
                        "which faults act when, and how soon it has to be back. `perturb check` tells every error of a file with its line and "
                        "column; `perturb run --dry-run` prints exact targets and the undo plan.");
    roff_paragraph(out, "Values may hold variables: `${vars.NAME}` (overridden by `--var NAME=VALUE`), `${env.NAME}`, `${port.NAME}` (a free port, the "
                        "same wherever it is named), `${proxies.NAME.listen}`.");
    put_small_playbook(out);
    roff_section(out, "SECTIONS AND KEYS");
    for (size_t i = 0; i < sections.count; i++)
        put_section(out, sections.list[i], sections.places[i]);
    roff_see_also(out, "perturb(1), perturb-faults(7)");
    return 0;
}
