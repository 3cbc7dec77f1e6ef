/* The page: frame, verdict, the number, what to do next. */
#include "controller/report/html.h"

#include "controller/report/assets.h"
#include "controller/report/clean.h"
#include "controller/report/doc.h"
#include "controller/report/format.h"
#include "controller/report/report.h"
#include "controller/report/summary.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { TITLE_CHARS_MAX = 160, DESCRIPTION_CHARS_MAX = 2000, TAGS_MAX = 12, NEXT_MAX = 20 };

static void put_asset(struct buf *out, const char *from, const char *to)
{
    buf_append(out, from, (size_t)(to - from));
}

static void put_text(struct buf *out, const char *before, const char *text, const char *after)
{
    if (!text[0])
        return;
    buf_puts(out, before);
    clean_html(out, text, HTML_LINE_CHARS_MAX);
    buf_puts(out, after);
}

static void put_frame_start(struct buf *out, const cJSON *result)
{
    const cJSON *run = doc_get(result, "run");

    buf_puts(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta http-equiv=\"Content-Security-Policy\" content=\"");
    put_asset(out, asset_policy, asset_policy_end);
    buf_puts(out,
             "\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
             "<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<title>");
    buf_printf(out, "%s: ", summary_outcome(result)->word);
    clean_html(out, doc_text(run, "title"), TITLE_CHARS_MAX);
    buf_puts(out, "</title>\n<style>");
    put_asset(out, asset_charts_css, asset_charts_css_end);
    buf_puts(out, "</style>\n<style>");
    put_asset(out, asset_report_css, asset_report_css_end);
    buf_puts(out, "</style>\n</head>\n<body>\n<main>\n");
}

static void put_frame_end(struct buf *out, const cJSON *result)
{
    buf_puts(out, "</main>\n");
    html_chart_data(out, result);
    buf_puts(out, "<script>");
    put_asset(out, asset_charts_js, asset_charts_js_end);
    buf_puts(out, "</script>\n<script>");
    put_asset(out, asset_report_js, asset_report_js_end);
    buf_puts(out, "</script>\n</body>\n</html>\n");
}

static void put_header(struct buf *out, const cJSON *result)
{
    const cJSON *run = doc_get(result, "run"), *tag;
    const struct summary_outcome *outcome = summary_outcome(result);
    const struct summary_verdict *verdict = summary_verdict(result);
    size_t tags = 0;

    buf_printf(out, "<header class=\"top %s\">\n<p class=\"crumbs\">", outcome->style);
    put_text(out, "<span>", doc_text(run, "service"), "</span>");
    cJSON_ArrayForEach(tag, doc_list(run, "tags"))
        if (cJSON_IsString(tag) && tags++ < TAGS_MAX) {
            buf_puts(out, "<span class=\"tag\">");
            clean_html(out, tag->valuestring, 40);
            buf_puts(out, "</span>");
        }
    put_text(out, "<span>", doc_text(run, "started"), "</span>");
    buf_puts(out, "</p>\n");
    if (doc_text(run, "title")[0]) {
        buf_puts(out, "<h1 dir=\"auto\">");
        clean_html(out, doc_text(run, "title"), TITLE_CHARS_MAX);
        buf_puts(out, "</h1>\n");
    }
    buf_printf(out,
               "<p class=\"verdict\"><span class=\"badge\"><span aria-hidden=\"true\">%s</span> %s</span><span class=\"word\">",
               outcome->sign, outcome->word);
    clean_html(out, verdict->words[0] ? verdict->words : doc_text(doc_get(result, "verdict"), "verdict"), HTML_CELL_CHARS_MAX);
    buf_puts(out, "</span></p>\n");
    put_text(out, "<p class=\"why\" dir=\"auto\">", doc_text(doc_get(result, "verdict"), "why"), "</p>\n");
    put_text(out, "<p class=\"meaning\">", verdict->meaning, "</p>\n");
    if (doc_text(run, "description")[0]) {
        buf_puts(out, "<details class=\"about\"><summary>What this run tries</summary><p dir=\"auto\">");
        clean_html(out, doc_text(run, "description"), DESCRIPTION_CHARS_MAX);
        buf_puts(out, "</p></details>\n");
    }
    buf_puts(out, "</header>\n");
}

/* What is left behind comes before everything else. */
static void put_danger(struct buf *out, const cJSON *result)
{
    const cJSON *row;
    const char *const lists[][2] = { { "undo", "entry" }, { "verify", "what" } };

    if (doc_number(doc_get(result, "verdict"), "status") != 4)
        return;
    buf_puts(out, "<section class=\"danger-box\" role=\"alert\"><h2>Something may still be disturbed</h2>\n<ul>");
    for (size_t i = 0; i < 2; i++)
        cJSON_ArrayForEach(row, doc_list(result, lists[i][0])) {
            if (strcmp(summary_outcome_style(doc_text(row, "outcome")), "danger") != 0 || out->length > HTML_LISTS_BYTES_MAX)
                continue;
            put_text(out, "<li><b>", doc_text(row, "outcome"), "</b> ");
            put_text(out, "<bdi>", doc_text(row, lists[i][1]), "</bdi>");
            buf_puts(out, "</li>");
        }
    buf_puts(out, "</ul>\n<p>Run <code>perturb recover</code>: it replays what is left and verifies it; it may be run "
                  "again.</p></section>\n");
}

static void put_error_bar(struct buf *out, const struct summary_headline *headline)
{
    double top_s = fmax(headline->high_s, headline->at_s) * 1.25, low, high, at;
    double ticks[AXIS_TICKS_MAX];
    size_t count;

    if (!isfinite(headline->low_s) || !isfinite(headline->high_s) || !(headline->low_s >= 0) || !(top_s > 0))
        return;
    low = headline->low_s / top_s * 100;
    high = headline->high_s / top_s * 100;
    at = headline->at_s / top_s * 100;
    buf_puts(out, "<svg class=\"errorbar\" width=\"100%\" height=\"44\" aria-hidden=\"true\">"
                  "<line class=\"grid\" x1=\"0\" y1=\"24\" x2=\"100%\" y2=\"24\"/>");
    count = axis_ticks(0, top_s, 3, ticks);
    for (size_t i = 0; i < count; i++)
        buf_printf(
            out, "<line class=\"grid\" x1=\"%.2f%%\" y1=\"20\" x2=\"%.2f%%\" y2=\"28\"/><text x=\"%.2f%%\" y=\"42\"%s>%s</text>",
            ticks[i] / top_s * 100, ticks[i] / top_s * 100, ticks[i] / top_s * 100, i ? " text-anchor=\"middle\"" : "",
            fmt_seconds(ticks[i]).text);
    buf_printf(out, "<line class=\"bar\" x1=\"%.2f%%\" y1=\"13\" x2=\"%.2f%%\" y2=\"13\"/>", low, high);
    buf_printf(out, "<line class=\"cap\" x1=\"%.2f%%\" y1=\"6\" x2=\"%.2f%%\" y2=\"20\"/>", low, low);
    buf_printf(out, "<line class=\"cap\" x1=\"%.2f%%\" y1=\"6\" x2=\"%.2f%%\" y2=\"20\"/>", high, high);
    buf_printf(out, "<circle class=\"dot\" cx=\"%.2f%%\" cy=\"13\" r=\"5\"/></svg>\n", at);
}

static void put_chip(struct buf *out, const char *name, const struct fmt value)
{
    if (value.text[0] != '-')
        buf_printf(out, "<span class=\"chip\">%s <b>%s</b></span>", name, value.text);
}

static void put_number(struct buf *out, const cJSON *result)
{
    const cJSON *convergence = doc_get(result, "convergence");
    struct summary_headline headline;

    summary_headline(result, &headline);
    buf_printf(out, "<div class=\"card big\">\n<h2>Convergence time</h2>\n<p class=\"number\">%s</p>\n", headline.value);
    put_text(out, "<p class=\"label\">", headline.label, "</p>\n");
    put_text(out, "<p class=\"interval\">", headline.interval, "</p>\n");
    put_error_bar(out, &headline);
    buf_puts(out, "<p class=\"chips\">");
    if (summary_quick(result))
        buf_puts(out, "<span class=\"chip quick\">QUICK</span>");
    put_chip(out, "band", fmt_share(doc_number(convergence, "band")));
    put_chip(out, "hold", fmt_seconds(doc_number(convergence, "hold_s")));
    put_chip(out, "resolution", fmt_seconds(doc_number(convergence, "bin_s")));
    put_chip(out, "smallest band it could resolve", fmt_share(doc_number(convergence, "resolvable_band")));
    put_chip(out, "smallest dip it could see", fmt_share(doc_number(convergence, "smallest_dip")));
    buf_puts(out, "</p>\n");
    if (summary_quick(result))
        buf_puts(out, "<p class=\"fine\">Quick rigour: a short baseline and a coarse band, good enough to look at one run. It "
                      "never enters a "
                      "trend; <code>rigour: full</code> does.</p>\n");
    buf_puts(out, "</div>\n");
}

static void put_stat(struct buf *out, const char *name, const struct fmt value, const char *note)
{
    if (value.text[0] == '-' && value.text[1] == '\0')
        return;
    buf_printf(out, "<div class=\"card stat\"><h2>%s</h2><p class=\"value\">%s</p><p class=\"label\">%s</p></div>\n", name,
               value.text, note);
}

static void put_loss(struct buf *out, const cJSON *signal)
{
    bool held = isfinite(doc_number(signal, "loss_to_hold_s"));
    double low_s = doc_number(signal, held ? "loss_to_hold_low_s" : "loss_to_end_low_s");
    double high_s = doc_number(signal, held ? "loss_to_hold_high_s" : "loss_to_end_high_s");
    char note[200], interval[128] = "";

    if (isfinite(low_s) && isfinite(high_s))
        snprintf(interval, sizeof(interval), " (%s to %s)", fmt_seconds(low_s).text, fmt_seconds(high_s).text);
    snprintf(note, sizeof(note), "of full outage, of the signal that decided, to the end%s%s", held ? " of the hold" : "", interval);
    put_stat(out, "Loss", fmt_seconds(doc_number(signal, held ? "loss_to_hold_s" : "loss_to_end_s")), note);
}

static void put_stats(struct buf *out, const cJSON *result)
{
    const cJSON *signal = summary_signal(result), *instants = doc_get(result, "instants_s"), *hop;
    double worst = (double)NAN;

    put_loss(out, signal);
    put_stat(out, "Deepest dip", fmt_share(doc_number(signal, "dip_depth")),
             doc_is(signal, "unit", "share") ? "below its level before the fault" : "worse than its level before the fault");
    put_stat(out, "Reaction", fmt_seconds(doc_number(instants, "deviated") - doc_number(instants, "injected")),
             "from the fault's first effect until the service left its band");
    cJSON_ArrayForEach(hop, doc_list(doc_get(result, "amplification"), "hops"))
        worst = fmax(worst, fmax(doc_number(hop, "fault"), doc_number(hop, "after")));
    put_stat(out, "Amplification", fmt_times(worst), "attempts per request, worst hop, during the fault or after");
}

static void put_next(struct buf *out, const cJSON *result)
{
    const cJSON *item, *next = doc_list(doc_get(result, "verdict"), "next");
    size_t count = 0;

    if (!next || !next->child)
        return;
    buf_puts(out, "<section class=\"next\"><h2>What to do next</h2>\n<ol>");
    cJSON_ArrayForEach(item, next)
        if (cJSON_IsString(item) && count++ < NEXT_MAX)
            put_text(out, "<li dir=\"auto\">", item->valuestring, "</li>");
    buf_puts(out, "</ol></section>\n");
}

int report_html(const cJSON *result, const struct buf *events_jsonl_or_null, struct buf *ret_html)
{
    struct buf out;

    buf_init(ret_html, REPORT_HTML_BYTES_MAX);
    if (!cJSON_IsObject(result))
        return -EINVAL;
    buf_init(&out, REPORT_HTML_BYTES_MAX);
    put_frame_start(&out, result);
    put_header(&out, result);
    put_danger(&out, result);
    buf_puts(&out, "<section class=\"hero\">\n");
    put_number(&out, result);
    buf_puts(&out, "<div class=\"stats\">\n");
    put_stats(&out, result);
    buf_puts(&out, "</div>\n</section>\n");
    put_next(&out, result);
    html_timeline(&out, result);
    html_charts(&out, result);
    html_recovery(&out, result);
    html_history(&out, result);
    html_tables(&out, result);
    html_events(&out, events_jsonl_or_null);
    put_frame_end(&out, result);
    if (out.failed) {
        int code = out.length >= REPORT_HTML_BYTES_MAX / 2 ? -E2BIG : -ENOMEM;

        buf_done(&out);
        return code;
    }
    *ret_html = out;
    return 0;
}
