/* Text exposition. Each family has one function that tells its samples; the table says what it is called. */
#include "controller/outlet/metrics.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum metric {
#define METRIC(id, name, type, help) METRIC_##id,
#include "controller/outlet/metrics.def"
#undef METRIC
    METRICS
};

static const struct {
    const char *name, *type, *help;
} families[METRICS] = {
#define METRIC(id, name_text, type_text, help_text) [METRIC_##id] = { "perturb_" name_text, type_text, help_text },
#include "controller/outlet/metrics.def"
#undef METRIC
};

struct exposition {
    const struct metrics_snapshot *snapshot;
    struct buf *out;
    int open; /* the family that is being told; METRICS before the first */
};

struct label {
    const char *name, *value;
};

void metrics_put_label(struct buf *out, const char *text)
{
    size_t length = text ? strlen(text) : 0, at = 0;

    while (at < length) {
        unsigned char byte = (unsigned char)text[at];
        size_t size = utf8_character(text + at, length - at);

        if (!size)
            buf_puts(out, "\xef\xbf\xbd");
        else if (byte == '\n')
            buf_puts(out, "\\n");
        else if (byte == '"' || byte == '\\')
            buf_printf(out, "\\%c", byte);
        else if (byte < 0x20 || byte == 0x7f)
            buf_puts(out, " ");
        else
            buf_append(out, text + at, size);
        at += size ? size : 1;
    }
}

static void put_value(struct buf *out, double value)
{
    if (isinf(value))
        buf_puts(out, value > 0 ? "+Inf" : "-Inf");
    else if (fabs(value) < 9007199254740992.0 && trunc(value) >= value && trunc(value) <= value)
        buf_printf(out, "%" PRId64, (int64_t)value);
    else
        buf_printf(out, "%.9g", value);
}

/* Up to three labels, the first without a name ends them. Invariant 2. */
static void tell(struct exposition *exposition, enum metric metric, double value, struct label a, struct label b, struct label c)
{
    const struct label labels[] = { a, b, c };
    struct buf *out = exposition->out;

    if (isnan(value))
        return;
    if (exposition->open != (int)metric)
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", families[metric].name, families[metric].help, families[metric].name, families[metric].type);
    exposition->open = (int)metric;
    buf_puts(out, families[metric].name);
    for (size_t i = 0; i < ARRAY_SIZE(labels) && labels[i].name; i++) {
        buf_printf(out, "%s%s=\"", i ? "," : "{", labels[i].name);
        metrics_put_label(out, labels[i].value);
        buf_puts(out, "\"");
    }
    buf_puts(out, a.name ? "} " : " ");
    put_value(out, value);
    buf_puts(out, "\n");
}

#define LABEL(label_name, label_value) ((struct label){ label_name, label_value })
#define NO_LABEL ((struct label){ NULL, NULL })

static double instant(double seconds)
{
    return seconds > 0 ? seconds : (double)NAN;
}

static double flag(int value)
{
    return value < 0 ? (double)NAN : value;
}

static bool same(const char *a, const char *b)
{
    return !strcmp(a ? a : "", b ? b : "");
}

/* ---- the service ---------------------------------------------------------------------------------------------------------------- */

static void tell_service(struct exposition *exposition)
{
    const struct metrics_snapshot *snapshot = exposition->snapshot;

    tell(exposition, METRIC_BUILD, 1, LABEL("version", snapshot->version), NO_LABEL, NO_LABEL);
    tell(exposition, METRIC_LEVER, flag(snapshot->lever_engaged), NO_LABEL, NO_LABEL, NO_LABEL);
    tell(exposition, METRIC_PROBLEMS, snapshot->problems, NO_LABEL, NO_LABEL, NO_LABEL);
    tell(exposition, METRIC_SCHEDULER, flag(snapshot->scheduler_paused), NO_LABEL, NO_LABEL, NO_LABEL);
    tell(exposition, METRIC_LIVE, (double)snapshot->run_count, NO_LABEL, NO_LABEL, NO_LABEL);
}

/* ---- runs that go on ------------------------------------------------------------------------------------------------------------ */

static bool told_before(const struct metrics_snapshot *snapshot, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (same(snapshot->runs[i].playbook, snapshot->runs[index].playbook))
            return true;
    return false;
}

static void tell_load(struct exposition *exposition, enum metric metric, const struct metrics_run *run)
{
    for (size_t i = 0; i < run->load_count; i++)
        tell(exposition, metric, metric == METRIC_RUN_GOODPUT ? run->loads[i].goodput : run->loads[i].p99_s, LABEL("playbook", run->playbook),
             LABEL("load", run->loads[i].load), NO_LABEL);
}

static void tell_run(struct exposition *exposition, enum metric metric, const struct metrics_run *run)
{
    const struct label playbook = LABEL("playbook", run->playbook);

    if (metric == METRIC_RUN_ELAPSED)
        tell(exposition, metric, run->elapsed_s, playbook, NO_LABEL, NO_LABEL);
    else if (metric == METRIC_RUN_PHASE)
        tell(exposition, metric, run->phase ? 1 : (double)NAN, playbook, LABEL("phase", run->phase), NO_LABEL);
    else if (metric == METRIC_RUN_FAULTS)
        tell(exposition, metric, (double)run->faults_armed, playbook, NO_LABEL, NO_LABEL);
    else if (metric == METRIC_RUN_AMPLIFICATION)
        tell(exposition, metric, run->amplification, playbook, NO_LABEL, NO_LABEL);
    else if (metric == METRIC_RUN_GUARD)
        tell(exposition, metric, run->guard_margin, playbook, NO_LABEL, NO_LABEL);
    else
        tell_load(exposition, metric, run);
}

static void tell_runs(struct exposition *exposition)
{
    const struct metrics_snapshot *snapshot = exposition->snapshot;

    for (size_t i = 0; i < snapshot->run_count; i++)
        tell(exposition, METRIC_RUN_INFO, 1, LABEL("run", snapshot->runs[i].run), LABEL("playbook", snapshot->runs[i].playbook),
             LABEL("service", snapshot->runs[i].service));
    for (int metric = METRIC_RUN_ELAPSED; metric <= METRIC_RUN_GUARD; metric++)
        for (size_t i = 0; i < snapshot->run_count; i++)
            if (!told_before(snapshot, i))
                tell_run(exposition, (enum metric)metric, &snapshot->runs[i]);
}

/* ---- playbooks -------------------------------------------------------------------------------------------------------------------- */

static double of_playbook(const struct metrics_playbook *playbook, enum metric metric)
{
    switch (metric) {
    case METRIC_LAST_RUN:
        return instant(playbook->last_run_s);
    case METRIC_LAST_SUCCESS:
        return instant(playbook->last_success_s);
    case METRIC_LAST_STATUS:
        return flag(playbook->last_status);
    case METRIC_CONVERGENCE:
        return playbook->convergence_s;
    case METRIC_CONVERGENCE_LOW:
        return playbook->convergence_low_s;
    case METRIC_CONVERGENCE_HIGH:
        return playbook->convergence_high_s;
    default:
        return playbook->loss_s;
    }
}

static void tell_playbooks(struct exposition *exposition)
{
    const struct metrics_snapshot *snapshot = exposition->snapshot;

    for (size_t i = 0; i < snapshot->playbook_count; i++)
        for (size_t j = 0; j < snapshot->playbooks[i].verdict_count; j++)
            tell(exposition, METRIC_RUNS, (double)snapshot->playbooks[i].verdicts[j].runs, LABEL("playbook", snapshot->playbooks[i].playbook),
                 LABEL("service", snapshot->playbooks[i].service), LABEL("verdict", snapshot->playbooks[i].verdicts[j].verdict));
    for (int metric = METRIC_LAST_RUN; metric <= METRIC_LOSS; metric++)
        for (size_t i = 0; i < snapshot->playbook_count; i++)
            tell(exposition, (enum metric)metric, of_playbook(&snapshot->playbooks[i], (enum metric)metric),
                 LABEL("playbook", snapshot->playbooks[i].playbook), LABEL("service", snapshot->playbooks[i].service), NO_LABEL);
    tell(exposition, METRIC_FINDINGS, snapshot->findings_open, NO_LABEL, NO_LABEL, NO_LABEL);
}

/* ---- schedules, API, outlets -------------------------------------------------------------------------------------------------------- */

static void tell_schedules(struct exposition *exposition)
{
    const struct metrics_snapshot *snapshot = exposition->snapshot;

    for (size_t i = 0; i < snapshot->schedule_count; i++)
        tell(exposition, METRIC_NEXT_DUE, instant(snapshot->schedules[i].next_due_s), LABEL("schedule", snapshot->schedules[i].schedule), NO_LABEL, NO_LABEL);
    for (size_t i = 0; i < snapshot->schedule_count; i++)
        tell(exposition, METRIC_SKIPPED, (double)snapshot->schedules[i].skipped, LABEL("schedule", snapshot->schedules[i].schedule), NO_LABEL, NO_LABEL);
}

static void tell_api(struct exposition *exposition)
{
    const struct metrics_snapshot *snapshot = exposition->snapshot;

    for (size_t i = 0; i < snapshot->api_count; i++)
        tell(exposition, METRIC_API_REQUESTS, (double)snapshot->api[i].requests, LABEL("code", snapshot->api[i].code), NO_LABEL, NO_LABEL);
    for (size_t i = 0; i < snapshot->api_count; i++)
        tell(exposition, METRIC_API_SECONDS, snapshot->api[i].seconds, LABEL("code", snapshot->api[i].code), NO_LABEL, NO_LABEL);
    tell(exposition, METRIC_API_WATCHERS, snapshot->watchers, NO_LABEL, NO_LABEL, NO_LABEL);
}

static void tell_outlets(struct exposition *exposition)
{
    const struct metrics_snapshot *snapshot = exposition->snapshot;

    for (size_t i = 0; i < snapshot->outlet_count; i++) {
        const struct metrics_outlet *outlet = &snapshot->outlets[i];
        const struct label name = LABEL("outlet", outlet->outlet), kind = LABEL("kind", outlet->kind);

        tell(exposition, METRIC_DELIVERIES, (double)outlet->sent, name, kind, LABEL("result", "sent"));
        tell(exposition, METRIC_DELIVERIES, (double)outlet->retried, name, kind, LABEL("result", "retried"));
        tell(exposition, METRIC_DELIVERIES, (double)outlet->dropped, name, kind, LABEL("result", "dropped"));
    }
    for (size_t i = 0; i < snapshot->outlet_count; i++)
        tell(exposition, METRIC_OUTLET_QUEUE, (double)snapshot->outlets[i].queue, LABEL("outlet", snapshot->outlets[i].outlet),
             LABEL("kind", snapshot->outlets[i].kind), NO_LABEL);
    for (size_t i = 0; i < snapshot->outlet_count; i++)
        tell(exposition, METRIC_OUTLET_SUCCESS, instant(snapshot->outlets[i].last_success_s), LABEL("outlet", snapshot->outlets[i].outlet),
             LABEL("kind", snapshot->outlets[i].kind), NO_LABEL);
}

int metrics_print(const struct metrics_snapshot *snapshot, struct buf *out)
{
    struct exposition exposition = { snapshot, out, METRICS };

    tell_service(&exposition);
    tell_runs(&exposition);
    tell_playbooks(&exposition);
    tell_schedules(&exposition);
    tell_api(&exposition);
    tell_outlets(&exposition);
    return out->failed ? -ENOMEM : 0;
}
