/* This run among the earlier runs of its playbook: a line each, convergence times and their intervals on one scale. */
#include "controller/report/html.h"

#include "controller/report/clean.h"
#include "controller/report/doc.h"
#include "controller/report/format.h"
#include "controller/report/summary.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { EARLIER_MAX = 10 };

/* One run's time. `watched_s` in place of `at_s` for one that never came back. */
struct past {
    double at_s, low_s, high_s, watched_s;
};

static struct past past_of(const cJSON *run)
{
    struct past past = { doc_number(run, "convergence_s"), doc_number(run, "low_s"), doc_number(run, "high_s"), doc_number(run, "observed_s") };

    static const char *const never[] = { "not_converged", "metastable", "flapping", "censored", "converged_to_new_level" };
    bool was_watched = false;

    if (doc_is(run, "verdict", "absorbed"))
        past = (struct past){ 0, 0, 0, (double)NAN };
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        was_watched |= doc_is(run, "verdict", never[i]);
    if (!was_watched)
        past.watched_s = (double)NAN;
    return past;
}

/* What was measured sets the scale; how long a run was watched that never came back only where nothing was. */
struct scale {
    double least, most, watched;
};

static void scale_take(struct scale *scale, const struct past *past)
{
    scale->least = fmin(scale->least, fmin(past->low_s, past->at_s));
    scale->most = fmax(scale->most, fmax(past->at_s, past->high_s));
    scale->watched = fmax(scale->watched, past->watched_s);
}

static void scale_finish(struct scale *scale)
{
    if (!(scale->most > 0))
        scale->most = scale->watched;
    if (!(scale->most - scale->least > 0) || !isfinite(scale->most - scale->least))
        scale->most = scale->least + 1;
}

static const char *style_of(double status)
{
    static const char *const styles[] = { "pass", "fail", "unsure", "unsure", "danger" };

    return status >= 0 && status <= 4 ? styles[(int)status] : "unsure";
}

static void put_bar(struct buf *out, const struct past *past, const struct scale *scale)
{
    double least = scale->least, most = scale->most;
    double at = (past->at_s - least) / (most - least) * 94 + 3, low = (past->low_s - least) / (most - least) * 94 + 3,
           high = (past->high_s - least) / (most - least) * 94 + 3, watched = (past->watched_s - least) / (most - least) * 94 + 3;

    buf_puts(out, "<svg class=\"errorbar\" width=\"100%\" height=\"16\" aria-hidden=\"true\"><line class=\"grid\" x1=\"3%\" y1=\"8\" x2=\"97%\" y2=\"8\"/>");
    if (isfinite(at)) {
        if (isfinite(low) && isfinite(high))
            buf_printf(out, "<line class=\"bar\" x1=\"%.2f%%\" y1=\"8\" x2=\"%.2f%%\" y2=\"8\"/>", low, high);
        buf_printf(out, "<circle class=\"dot\" cx=\"%.2f%%\" cy=\"8\" r=\"4\"/>", at);
    } else if (isfinite(watched)) {
        buf_printf(out, "<line class=\"never\" x1=\"3%%\" y1=\"8\" x2=\"%.2f%%\" y2=\"8\"/>", fmin(97, fmax(3, watched)));
    }
    buf_puts(out, "</svg>");
}

static void put_time(struct buf *out, const struct past *past)
{
    if (isfinite(past->at_s))
        buf_puts(out, fmt_seconds(past->at_s).text);
    else if (isfinite(past->watched_s))
        buf_printf(out, "&gt; %s", fmt_seconds(past->watched_s).text);
    else
        buf_puts(out, "\u2013");
}

/* "2026-11-23 12:15" of an RFC 3339 instant; anything else as it is. */
static void put_started(struct buf *out, const char *started)
{
    char text[17];

    if (strlen(started) != 20 || started[10] != 'T') {
        clean_html(out, started, 20);
        return;
    }
    snprintf(text, sizeof(text), "%.10s %.5s", started, started + 11);
    clean_html(out, text, 20);
}

static void put_past(struct buf *out, const cJSON *run, const struct past *past, const struct scale *scale, bool is_this)
{
    const char *words = summary_verdict_named(doc_text(run, "verdict"))->words;

    buf_printf(out, "<tr%s><td data-head=\"started\" class=\"when\">", is_this ? " class=\"this\"" : "");
    put_started(out, doc_text(run, "started"));
    buf_puts(out, "</td><td data-head=\"run\" class=\"code when\">");
    clean_html(out, is_this ? "this run" : doc_text(run, "id"), 40);
    buf_printf(out, "</td><td data-head=\"verdict\" class=\"%s\"><span class=\"dot\" aria-hidden=\"true\"></span>", style_of(doc_number(run, "status")));
    clean_html(out, words[0] ? words : doc_text(run, "verdict"), 60);
    buf_puts(out, "</td><td data-head=\"convergence\" class=\"number\">");
    put_time(out, past);
    buf_puts(out, "</td><td class=\"scale\">");
    put_bar(out, past, scale);
    buf_puts(out, "</td><td data-head=\"loss\" class=\"number\">");
    buf_puts(out, isfinite(doc_number(run, "loss_s")) ? fmt_seconds(doc_number(run, "loss_s")).text : "\u2013");
    buf_printf(out, "</td><td data-head=\"comparable\">%s</td></tr>\n", is_this ? "" : doc_true(run, "comparable") ? "yes" : "no");
}

/* This run as the list would have it. */
static cJSON *this_run(const cJSON *result)
{
    const cJSON *convergence = doc_get(result, "convergence"), *instants = doc_get(result, "instants_s"), *signal = summary_signal(result);
    double loss_s = doc_number(signal, "loss_to_hold_s");
    const struct {
        const char *key;
        double value;
    } numbers[] = { { "convergence_s", doc_number(convergence, "from_release_s") },
                    { "low_s", doc_number(convergence, "low_s") },
                    { "high_s", doc_number(convergence, "high_s") },
                    { "observed_s", doc_number(instants, "end") - doc_number(instants, "released") },
                    { "status", doc_number(doc_get(result, "verdict"), "status") },
                    { "loss_s", isfinite(loss_s) ? loss_s : doc_number(signal, "loss_to_end_s") } };
    cJSON *run = cJSON_CreateObject();

    cJSON_AddStringToObject(run, "started", doc_text(doc_get(result, "run"), "started"));
    cJSON_AddStringToObject(run, "verdict", doc_text(doc_get(result, "verdict"), "verdict"));
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (isfinite(numbers[i].value))
            cJSON_AddNumberToObject(run, numbers[i].key, numbers[i].value);
    return run;
}

/* The share of comparable earlier runs that came back, and where this run stands among them. */
static void put_standing(struct buf *out, const cJSON *history, const struct past *ours)
{
    size_t slower = 0, known = 0;
    const cJSON *run;

    cJSON_ArrayForEach(run, history) {
        struct past past = past_of(run);

        if (!doc_true(run, "comparable") || (isnan(past.at_s) && isnan(past.watched_s)))
            continue;
        known++;
        slower += isnan(past.at_s) || past.at_s > ours->at_s;
    }
    if (known && isfinite(ours->at_s))
        buf_printf(out, "<p class=\"note\">Of %zu earlier run%s that may be compared with it (same load, band, hold and rigour), %zu took longer. "
                        "<code>perturb compare</code> and <code>perturb trend</code> say what is more than chance.</p>\n",
                   known, known == 1 ? "" : "s", slower);
    else
        buf_puts(out, "<p class=\"note\">Comparable: same load, band, hold and rigour.</p>\n");
}

void html_history(struct buf *out, const cJSON *result)
{
    const cJSON *history = doc_list(result, "history"), *run;
    struct past ours;
    struct scale scale = { 0 };
    size_t shown = 0;
    cJSON *own;

    if (doc_count(history) == 0)
        return;
    own = this_run(result);
    ours = past_of(own);
    scale_take(&scale, &ours);
    cJSON_ArrayForEach(run, history) {
        struct past past = past_of(run);

        scale_take(&scale, &past);
    }
    scale_finish(&scale);
    buf_puts(out, "<section><h2>Against earlier runs</h2>\n");
    put_standing(out, history, &ours);
    buf_puts(out, "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">started</th><th scope=\"col\">run</th><th scope=\"col\">verdict</th><th "
                  "scope=\"col\" class=\"number\">convergence</th><th scope=\"col\" class=\"scale\">");
    buf_printf(out, "%s to %s", fmt_seconds(scale.least).text, fmt_seconds(scale.most).text);
    buf_puts(out, "</th><th scope=\"col\" class=\"number\">loss</th><th scope=\"col\">comparable</th></tr></thead><tbody>\n");
    put_past(out, own, &ours, &scale, true);
    cJSON_ArrayForEach(run, history) {
        struct past past = past_of(run);

        if (shown++ < EARLIER_MAX)
            put_past(out, run, &past, &scale, false);
    }
    buf_puts(out, "</tbody></table></div></section>\n");
    cJSON_Delete(own);
}
