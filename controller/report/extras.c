/* Each list of the document as a few lines; nothing where it is absent. */
#include "controller/report/extras.h"

#include "controller/report/doc.h"
#include "controller/report/format.h"

#include "scenarios/base/buf.h"

#include <math.h>
#include <string.h>

enum { LINE_BYTES_MAX = 4096, ROWS_MAX = 60 };

struct teller {
    extras_line *line;
    void *context;
};

/* Ends `text`, which is told; the label only with the first of a list. */
static void tell(const struct teller *teller, const char *label, size_t row, struct buf *text)
{
    if (text->length)
        teller->line(teller->context, row ? "" : label, text->data);
    buf_done(text);
}

static void tell_knees(const struct teller *teller, const cJSON *ramp)
{
    const cJSON *knee;
    size_t row = 0;

    cJSON_ArrayForEach(knee, doc_list(ramp, "knees")) {
        const char *end = doc_text(knee, "end");
        struct buf text;

        if (row == ROWS_MAX)
            return;
        buf_init(&text, LINE_BYTES_MAX);
        buf_printf(&text, "%.20s: ", doc_text(knee, "when"));
        if (strcmp(end, "found") == 0)
            buf_printf(&text, "%s", fmt_rate(doc_number(knee, "rate_per_s")).text);
        else if (strcmp(end, "above") == 0)
            buf_printf(&text, "above %s", fmt_rate(doc_number(knee, "rate_per_s")).text);
        else
            buf_puts(&text, strcmp(end, "below") == 0 ? "below the lowest rate" : "none");
        if (isfinite(doc_number(knee, "high_per_s")))
            buf_printf(&text, " (%s to %s)", fmt_rate(doc_number(knee, "low_per_s")).text, fmt_rate(doc_number(knee, "high_per_s")).text);
        buf_printf(&text, " in %s steps", fmt_count(doc_number(knee, "steps")).text);
        if (doc_text(knee, "note")[0])
            buf_printf(&text, "; %.200s", doc_text(knee, "note"));
        tell(teller, "Knee", row++, &text);
    }
    if (isfinite(doc_number(ramp, "hysteresis"))) {
        struct buf text;

        buf_init(&text, LINE_BYTES_MAX);
        buf_printf(&text, "%s of it missing after the recovery", fmt_share(doc_number(ramp, "hysteresis")).text);
        tell(teller, "Knee", row, &text);
    }
}

static void tell_water(const struct teller *teller, const cJSON *ramp)
{
    const cJSON *step;
    size_t row = 0;

    cJSON_ArrayForEach(step, doc_list(ramp, "steps")) {
        struct buf text;

        if (row == ROWS_MAX)
            return;
        buf_init(&text, LINE_BYTES_MAX);
        buf_printf(&text, "%s %.20s %s: served %s", doc_is(step, "outcome", "held") ? "held  " : "MISSED", doc_text(step, "when"),
                   fmt_rate(doc_number(step, "rate_per_s")).text, fmt_rate(doc_number(step, "served_per_s")).text);
        buf_printf(&text, ", failed %s", fmt_share(doc_number(step, "failed_share")).text);
        buf_printf(&text, ", %s", isfinite(doc_number(step, "latency_s")) ? fmt_seconds(doc_number(step, "latency_s")).text : "unanswered");
        if (doc_text(step, "levels")[0])
            buf_printf(&text, "; %.300s", doc_text(step, "levels"));
        tell(teller, "Water levels", row++, &text);
    }
}

static void tell_shedding(const struct teller *teller, const cJSON *shedding)
{
    const char *phase = doc_text(shedding, "phase");
    struct buf text;

    if (!shedding)
        return;
    buf_init(&text, LINE_BYTES_MAX);
    buf_printf(&text, "%s of the load was taken away at %s", fmt_share(doc_number(shedding, "shed")).text, fmt_instant(doc_number(shedding, "from_s")).text);
    if (strcmp(phase, "metastable") == 0) {
        buf_printf(&text, ": it came back after %s", fmt_seconds(doc_number(shedding, "recovery_s")).text);
        if (isfinite(doc_number(shedding, "recovery_low_s")) && isfinite(doc_number(shedding, "recovery_high_s")))
            buf_printf(&text, " (%s to %s)", fmt_seconds(doc_number(shedding, "recovery_low_s")).text,
                       fmt_seconds(doc_number(shedding, "recovery_high_s")).text);
        buf_puts(&text, "; its own load had kept it down");
    } else if (strcmp(phase, "broken") == 0) {
        buf_puts(&text, ": it did not come back even so; something is broken");
    } else {
        buf_puts(&text, ": what that did cannot be told");
    }
    tell(teller, "Load shed", 0, &text);
}

static void tell_costs(const struct teller *teller, const cJSON *slo)
{
    const cJSON *cost;
    size_t row = 0;

    cJSON_ArrayForEach(cost, doc_list(slo, "costs")) {
        struct buf text;

        if (row == ROWS_MAX)
            return;
        buf_init(&text, LINE_BYTES_MAX);
        buf_printf(&text, "%.60s: ", doc_text(cost, "load"));
        if (isfinite(doc_number(cost, "burn")))
            buf_printf(&text, "burnt the error budget at %s its rate", fmt_times(doc_number(cost, "burn")).text);
        else
            buf_puts(&text, "no requests");
        if (isfinite(doc_number(cost, "budget_share")))
            buf_printf(&text, ", %s of all of it", fmt_share(doc_number(cost, "budget_share")).text);
        if (isfinite(doc_number(cost, "latency_debt_s")))
            buf_printf(&text, "; %s waited beyond the promise in all", fmt_seconds(doc_number(cost, "latency_debt_s")).text);
        tell(teller, "Promise", row++, &text);
    }
}

static void tell_controls(const struct teller *teller, const cJSON *controls)
{
    const cJSON *control;
    size_t row = 0;

    cJSON_ArrayForEach(control, controls) {
        struct buf text;

        if (row == ROWS_MAX)
            return;
        buf_init(&text, LINE_BYTES_MAX);
        buf_printf(&text, "%.60s judged against %.60s: %s failed", doc_text(control, "load"), doc_text(control, "control"),
                   fmt_count(doc_number(control, "bad")).text);
        buf_printf(&text, ", %s in the control", fmt_count(doc_number(control, "control_bad")).text);
        buf_printf(&text, ", %s excused", fmt_count(doc_number(control, "excused")).text);
        tell(teller, "Control", row++, &text);
    }
}

static void tell_backlogs(const struct teller *teller, const cJSON *backlogs)
{
    const cJSON *backlog;
    size_t row = 0;

    cJSON_ArrayForEach(backlog, backlogs) {
        struct buf text;

        if (row == ROWS_MAX)
            return;
        buf_init(&text, LINE_BYTES_MAX);
        if (isfinite(doc_number(backlog, "drain_s")))
            buf_printf(&text, "%.60s drained within %s of the service's return", doc_text(backlog, "signal"), fmt_seconds(doc_number(backlog, "drain_s")).text);
        else
            buf_printf(&text, "%.60s: no time to drain (it or the service did not leave its band, or did not come back)", doc_text(backlog, "signal"));
        tell(teller, "Backlog", row++, &text);
    }
}

static void tell_peak(const struct teller *teller, const cJSON *amplification)
{
    struct buf text;

    if (isnan(doc_number(amplification, "peak")))
        return;
    buf_init(&text, LINE_BYTES_MAX);
    buf_printf(&text, "at worst %s attempts a request in one second, at %s", fmt_times(doc_number(amplification, "peak")).text,
               fmt_instant(doc_number(amplification, "peak_s")).text);
    tell(teller, "Retries", 0, &text);
}

void extras_tell(const cJSON *result, extras_line *line, void *context)
{
    const struct teller teller = { line, context };

    tell_peak(&teller, doc_get(result, "amplification"));
    tell_shedding(&teller, doc_get(result, "metastability"));
    tell_costs(&teller, doc_get(result, "slo"));
    tell_controls(&teller, doc_list(result, "controls"));
    tell_backlogs(&teller, doc_list(result, "backlogs"));
    tell_knees(&teller, doc_get(result, "ramp"));
    tell_water(&teller, doc_get(result, "ramp"));
}
