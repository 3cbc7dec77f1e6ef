/* Lines of the terminal's summary on lists that only some runs have, or that are told in one line. */
#include "controller/report/text_more.h"

#include "controller/report/doc.h"
#include "controller/report/format.h"
#include "controller/report/summary.h"

#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"

#include <math.h>
#include <string.h>

enum { LINE_BYTES_MAX = 4096, ROWS_MAX = 6 };

/* Ends `text`, which is told; the label only with the first of a list. */
static void tell(text_line *line, void *context, const char *label, size_t row, struct buf *text)
{
    line(context, row ? "" : label, text->data);
    buf_done(text);
}

static void tell_guards(const cJSON *result, text_line *line, void *context)
{
    const cJSON *guard;
    size_t row = 0;
    struct buf text;

    cJSON_ArrayForEach(guard, doc_list(result, "guards")) {
        if (row == ROWS_MAX)
            return;
        buf_init(&text, LINE_BYTES_MAX);
        buf_printf(&text, "%.60s %.80s: ", doc_text(guard, "signal"), doc_text(guard, "bound"));
        if (doc_true(guard, "breached"))
            buf_printf(&text, "BREACHED at %s", fmt_instant(doc_number(guard, "breached_s")).text);
        else
            buf_puts(&text, "kept");
        if (doc_text(guard, "worst")[0])
            buf_printf(&text, ", worst %.60s", doc_text(guard, "worst"));
        if (doc_true(guard, "breached") && isfinite(doc_number(guard, "latency_s")))
            buf_printf(&text, ", every fault gone %s later", fmt_seconds(doc_number(guard, "latency_s")).text);
        else if (isfinite(doc_number(guard, "margin")))
            buf_printf(&text, ", %s away from it", fmt_share(doc_number(guard, "margin")).text);
        tell(line, context, "Guards", row++, &text);
    }
}

static void tell_captures(const cJSON *result, text_line *line, void *context)
{
    const cJSON *capture;
    double taken = 0, bytes = 0;
    struct buf text;

    cJSON_ArrayForEach(capture, doc_list(result, "captures"))
        if (doc_is(capture, "outcome", "taken")) {
            taken++;
            bytes += fmax(0, doc_number(capture, "bytes"));
        }
    if (doc_count(doc_list(result, "captures")) == 0)
        return;
    buf_init(&text, LINE_BYTES_MAX);
    buf_printf(&text, "%s of %zu taken, %s", fmt_count(taken).text, doc_count(doc_list(result, "captures")), fmt_bytes(bytes).text);
    tell(line, context, "Captures", 0, &text);
}

/* The dearest site of each target. */
static void tell_locks(const cJSON *result, text_line *line, void *context)
{
    const cJSON *target, *site, *dearest;
    size_t row = 0;
    struct buf text;

    cJSON_ArrayForEach(target, doc_list(result, "targets")) {
        const cJSON *profile = doc_list(doc_get(target, "locks"), "profile");

        dearest = NULL;
        cJSON_ArrayForEach(site, profile)
            if (!dearest || doc_number(site, "delay_s") > doc_number(dearest, "delay_s"))
                dearest = site;
        if (!dearest || row == ROWS_MAX)
            continue;
        buf_init(&text, LINE_BYTES_MAX);
        buf_printf(&text, "%.60s: dearest at %.120s, ", doc_text(target, "name"), doc_text(dearest, "site"));
        buf_printf(&text, "%s waits, ", fmt_count(doc_number(dearest, "contended")).text);
        buf_printf(&text, "%s in all, longest %s", fmt_seconds(doc_number(dearest, "delay_s")).text, fmt_seconds(doc_number(dearest, "longest_s")).text);
        tell(line, context, "Locks", row++, &text);
    }
}

/* What people did, and how fast. */
static void tell_timers(const cJSON *result, text_line *line, void *context)
{
    const cJSON *timer;
    size_t row = 0;
    struct buf text;

    cJSON_ArrayForEach(timer, doc_list(result, "timers")) {
        if (row == ROWS_MAX)
            return;
        buf_init(&text, LINE_BYTES_MAX);
        buf_printf(&text, "%.60s: ", doc_text(timer, "timer"));
        if (isfinite(doc_number(timer, "value_s")))
            buf_puts(&text, fmt_seconds(doc_number(timer, "value_s")).text);
        else if (isfinite(doc_number(timer, "at_least_s")))
            buf_printf(&text, "nobody, longer than %s", fmt_seconds(doc_number(timer, "at_least_s")).text);
        else
            buf_puts(&text, "not known");
        if (isfinite(doc_number(timer, "target_s")))
            buf_printf(&text, ", goal %s: %.20s", fmt_seconds(doc_number(timer, "target_s")).text, doc_text(timer, "outcome"));
        tell(line, context, "People", row++, &text);
    }
}

/* Generators of others: what they say of themselves, and what is wrong with what they did. */
static void tell_outside(const cJSON *result, text_line *line, void *context)
{
    static const struct {
        const char *key, *head;
    } figures[] = { { "p50_s", "p50" }, { "p90_s", "p90" }, { "p95_s", "p95" }, { "p99_s", "p99" }, { "max_s", "max" } };
    const cJSON *load;
    size_t row = 0;

    cJSON_ArrayForEach(load, doc_list(result, "loads")) {
        const cJSON *totals = doc_get(load, "totals");
        struct buf text;

        if ((!totals && !doc_text(load, "trouble")[0]) || row == ROWS_MAX)
            continue;
        buf_init(&text, LINE_BYTES_MAX);
        buf_printf(&text, "%.60s:", doc_text(load, "name"));
        for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
            if (isfinite(doc_number(totals, figures[i].key)))
                buf_printf(&text, " %s %s", figures[i].head, fmt_seconds(doc_number(totals, figures[i].key)).text);
        if (totals)
            buf_puts(&text, " from the sending, by its own word");
        if (doc_text(load, "trouble")[0])
            buf_printf(&text, "%s%.250s", totals ? "; " : " ", doc_text(load, "trouble"));
        tell(line, context, "Generator", row++, &text);
    }
}

/* Newest first: "410 ms, 390 ms, metastable". */
static void tell_history(const cJSON *result, text_line *line, void *context)
{
    const cJSON *run;
    size_t told = 0;
    struct buf text;

    buf_init(&text, LINE_BYTES_MAX);
    cJSON_ArrayForEach(run, doc_list(result, "history")) {
        const char *words = summary_verdict_named(doc_text(run, "verdict"))->words;

        if (!doc_true(run, "comparable") || told == ROWS_MAX)
            continue;
        buf_puts(&text, told++ ? ", " : "");
        if (isfinite(doc_number(run, "convergence_s")))
            buf_puts(&text, fmt_seconds(doc_number(run, "convergence_s")).text);
        else
            buf_printf(&text, "%.40s", words[0] ? words : doc_text(run, "verdict"));
    }
    if (told)
        tell(line, context, "Earlier runs", 0, &text);
    else
        buf_done(&text);
}

void text_more(const cJSON *result, text_line *line, void *context)
{
    tell_timers(result, line, context);
    tell_outside(result, line, context);
    tell_guards(result, line, context);
    tell_captures(result, line, context);
    tell_locks(result, line, context);
    tell_history(result, line, context);
}
