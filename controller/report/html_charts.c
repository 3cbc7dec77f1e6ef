/* One chart a signal: static SVG for print, phones and places where no script runs, and the numbers from which the page's script
 * draws charts that zoom. */
#include "controller/report/html.h"

#include "controller/report/clean.h"
#include "controller/report/doc.h"
#include "controller/report/format.h"
#include "controller/report/series.h"
#include "controller/report/summary.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { PLOT_PX = 170, AXIS_PX = 20, SIGNALS_MAX = 24, POINTS_TOTAL = 12000, POINTS_MAX = 1200, WINDOWS_MAX = 40 };

/* What is drawn of one signal. */
struct chart {
    const cJSON *signal;
    const char *unit; /* one of our own words */
    struct drawn_series series;
    double y_high; /* the scale begins at 0, or at y_low where values are negative */
    double y_low;
};

static const char *known_unit(const char *unit)
{
    static const char *const units[] = { "share", "seconds", "per_s", "count" };

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(unit, units[i]) == 0)
            return units[i];
    return "";
}

static bool chart_open(const cJSON *signal, size_t points_max, struct chart *ret_chart)
{
    struct chart chart = { .signal = signal, .unit = known_unit(doc_text(signal, "unit")) };
    double worst_ok = doc_number(signal, "level_worst_ok"), level = doc_number(doc_get(signal, "baseline"), "level");

    if (drawn_series_read(signal, points_max, &chart.series) < 0)
        return false;
    if (chart.series.low > chart.series.high) { /* not one known value */
        drawn_series_done(&chart.series);
        return false;
    }
    chart.y_high = fmax(fmax(worst_ok, level), chart.series.high) * 1.06;
    if (strcmp(chart.unit, "share") == 0 && doc_is(signal, "better", "higher"))
        chart.y_high = fmax(chart.y_high, 1.06);
    chart.y_low = chart.series.low < 0 ? chart.series.low * 1.06 : 0;
    if (!(chart.y_high > chart.y_low))
        chart.y_high = chart.y_low + 1;
    *ret_chart = chart;
    return true;
}

static size_t points_for(const cJSON *result)
{
    size_t signals = doc_count(doc_list(result, "signals"));
    size_t share = POINTS_TOTAL / (signals ? signals : 1);

    return share > POINTS_MAX ? POINTS_MAX : share < 200 ? 200 : share;
}

static double plot_y(const struct chart *chart, double value)
{
    double share = (value - chart->y_low) / (chart->y_high - chart->y_low);

    return PLOT_PX * (1 - fmin(1, fmax(0, share)));
}

static void put_region(struct buf *out, const struct axis *axis, double from_s, double to_s, const char *style)
{
    double from = axis_share(axis, from_s) * 1000, to = axis_share(axis, to_s) * 1000;

    if (to >= from)
        buf_printf(out, "<rect class=\"%s\" x=\"%.1f\" y=\"0\" width=\"%.1f\" height=\"%d\"/>", style, from, fmax(to - from, 1),
                   PLOT_PX);
}

static void put_instant(struct buf *out, const struct axis *axis, double at_s, const char *style)
{
    double at = axis_share(axis, at_s) * 1000;

    if (!isnan(at))
        buf_printf(out, "<path class=\"%s\" d=\"M%.1f 0V%d\" vector-effect=\"non-scaling-stroke\"/>", style, at, PLOT_PX);
}

static void put_regions(struct buf *out, const cJSON *result, const struct axis *axis, const struct chart *chart)
{
    const cJSON *all = doc_get(result, "instants_s"), *fault;
    double from_s, to_s, worst_ok = doc_number(chart->signal, "level_worst_ok");
    double level = doc_number(doc_get(chart->signal, "baseline"), "level");
    size_t windows = 0;

    put_region(out, axis, doc_number(all, "baseline_start"), doc_number(all, "baseline_end"), "c-base");
    cJSON_ArrayForEach(fault, doc_list(result, "faults"))
        if (windows++ < WINDOWS_MAX && axis_fault_window(axis, fault, &from_s, &to_s))
            put_region(out, axis, from_s, to_s, "c-fault");
    put_region(out, axis, doc_number(chart->signal, "converged_s"), doc_number(chart->signal, "validated_s"), "c-hold");
    if (isfinite(worst_ok) && isfinite(level)) {
        double top = fmin(plot_y(chart, worst_ok), plot_y(chart, level)),
               bottom = fmax(plot_y(chart, worst_ok), plot_y(chart, level));

        buf_printf(out, "<rect class=\"c-band\" x=\"0\" y=\"%.1f\" width=\"1000\" height=\"%.1f\"/>", top,
                   fmax(bottom - top, 0.5));
        buf_printf(out, "<path class=\"c-worst\" d=\"M0 %.1fH1000\" vector-effect=\"non-scaling-stroke\"/>",
                   plot_y(chart, worst_ok));
    }
}

static void put_line(struct buf *out, const struct axis *axis, const struct chart *chart)
{
    const struct drawn_series *series = &chart->series;
    bool pen_down = false;

    buf_puts(out, "<path class=\"c-line\" fill=\"none\" vector-effect=\"non-scaling-stroke\" d=\"");
    for (size_t i = 0; i < series->count; i++) {
        double at_s = series->start_s + ((double)i + 0.5) * series->bin_s;
        bool alone;

        if (isnan(series->values[i]) || at_s > axis->end_s) {
            pen_down = false;
            continue;
        }
        alone = !pen_down && (i + 1 == series->count || isnan(series->values[i + 1]));
        buf_printf(out, "%c%.1f %.1f%s", pen_down ? 'L' : 'M', axis_share(axis, at_s) * 1000, plot_y(chart, series->values[i]),
                   alone ? "h2" : "");
        pen_down = true;
    }
    buf_puts(out, "\"/>");
}

static void put_y_axis(struct buf *out, const struct chart *chart, const double *ticks, size_t count)
{
    buf_printf(out, "<svg class=\"gutter\" width=\"56\" height=\"%d\" aria-hidden=\"true\">", PLOT_PX + AXIS_PX);
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "<text x=\"50\" y=\"%.1f\" text-anchor=\"end\">%s</text>", fmax(10, plot_y(chart, ticks[i]) + 4),
                   fmt_value(chart->unit, ticks[i]).text);
    buf_puts(out, "</svg>");
}

static void put_x_axis(struct buf *out, const struct axis *axis)
{
    double ticks[AXIS_TICKS_MAX];
    size_t count = axis_ticks(axis->start_s, axis->end_s, 5, ticks);

    for (size_t i = 0; i < count; i++) {
        double at = axis_share(axis, ticks[i]) * 100;

        buf_printf(out, "<text x=\"%.2f%%\" y=\"%d\" text-anchor=\"%s\">%.4g s</text>", at, PLOT_PX + 15,
                   at < 4    ? "start"
                   : at > 96 ? "end"
                             : "middle",
                   ticks[i]);
    }
}

static void put_plot(struct buf *out, const cJSON *result, const struct axis *axis, const struct chart *chart)
{
    double ticks[AXIS_TICKS_MAX];
    size_t count = axis_ticks(chart->y_low, chart->y_high, 4, ticks);

    buf_puts(out, "<div class=\"plot\">");
    put_y_axis(out, chart, ticks, count);
    buf_printf(out, "<svg class=\"area\" width=\"100%%\" height=\"%d\" role=\"img\" aria-label=\"Chart of ", PLOT_PX + AXIS_PX);
    clean_html(out, doc_text(chart->signal, "signal"), 80);
    buf_printf(out, "\"><svg width=\"100%%\" height=\"%d\" viewBox=\"0 0 1000 %d\" preserveAspectRatio=\"none\">", PLOT_PX,
               PLOT_PX);
    put_regions(out, result, axis, chart);
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "<path class=\"c-grid\" d=\"M0 %.1fH1000\" vector-effect=\"non-scaling-stroke\"/>",
                   plot_y(chart, ticks[i]));
    put_line(out, axis, chart);
    put_instant(out, axis, doc_number(chart->signal, "deviated_s"), "c-deviated");
    put_instant(out, axis, doc_number(chart->signal, "converged_s"), "c-converged");
    buf_puts(out, "</svg>");
    put_x_axis(out, axis);
    buf_puts(out, "</svg></div>");
}

static void put_fact(struct buf *out, const char *name, const struct fmt value)
{
    if (strcmp(value.text, "-") != 0)
        buf_printf(out, "<span>%s <b>%s</b></span>", name, value.text);
}

static void put_facts(struct buf *out, const cJSON *signal)
{
    const char *unit = known_unit(doc_text(signal, "unit"));
    double low_s = doc_number(signal, "converged_low_s"), high_s = doc_number(signal, "converged_high_s");

    buf_puts(out, "<p class=\"facts\">");
    put_fact(out, "before", fmt_value(unit, doc_number(doc_get(signal, "baseline"), "level")));
    put_fact(out, doc_is(signal, "better", "lower") ? "band up to" : "band down to",
             fmt_value(unit, doc_number(signal, "level_worst_ok")));
    put_fact(out, "left its band", fmt_instant(doc_number(signal, "deviated_s")));
    put_fact(out, "converged", fmt_instant(doc_number(signal, "converged_s")));
    if (isfinite(low_s) && isfinite(high_s))
        buf_printf(out, "<span>95 %% interval <b>%s</b> to <b>%s</b></span>", fmt_instant(low_s).text, fmt_instant(high_s).text);
    put_fact(out, "dip", fmt_share(doc_number(signal, "dip_depth")));
    put_fact(out, "loss",
             fmt_seconds(doc_number(signal, isnan(doc_number(signal, "loss_to_hold_s")) ? "loss_to_end_s" : "loss_to_hold_s")));
    put_fact(out, "resolution", fmt_seconds(doc_number(signal, "bin_s")));
    if (doc_number(signal, "flaps") > 0)
        put_fact(out, "flaps", fmt_count(doc_number(signal, "flaps")));
    if (doc_number(signal, "redegradations") > 0)
        put_fact(out, "left its band again", fmt_count(doc_number(signal, "redegradations")));
    if (doc_number(signal, "unknown_share") > 0)
        put_fact(out, "without data", fmt_share(doc_number(signal, "unknown_share")));
    buf_puts(out, "</p>");
}

static void put_card(struct buf *out, const cJSON *result, const struct axis *axis, const struct chart *chart, size_t index)
{
    const cJSON *signal = chart->signal;

    buf_puts(out, "<figure class=\"chart\"><figcaption><h3><bdi>");
    clean_html(out, doc_text(signal, "signal"), 120);
    buf_puts(out, "</bdi></h3>");
    if (doc_true(signal, "deciding"))
        buf_puts(out, "<span class=\"chip\">decides</span>");
    if (doc_text(signal, "verdict")[0]) {
        const char *words = summary_verdict_named(doc_text(signal, "verdict"))->words;

        buf_puts(out, "<span class=\"chip\">");
        clean_html(out, words[0] ? words : doc_text(signal, "verdict"), 60);
        buf_puts(out, "</span>");
    }
    buf_printf(out, "<span class=\"readout\" id=\"readout-%zu\"></span></figcaption>\n", index);
    put_plot(out, result, axis, chart);
    buf_printf(out, "<div class=\"live\" id=\"live-%zu\"></div>\n", index);
    put_facts(out, signal);
    if (doc_text(signal, "reason")[0]) {
        buf_puts(out, "<p class=\"fine\" dir=\"auto\">");
        clean_html(out, doc_text(signal, "reason"), HTML_LINE_CHARS_MAX);
        buf_puts(out, "</p>");
    }
    buf_puts(out, "</figure>\n");
}

void html_charts(struct buf *out, const cJSON *result)
{
    struct axis axis = axis_of(result);
    const cJSON *signal;
    struct chart chart;
    size_t shown = 0, left_out = 0;

    if (!doc_list(result, "signals") || !doc_list(result, "signals")->child)
        return;
    buf_puts(out, "<section class=\"charts\"><h2>Signals</h2>\n<p class=\"legend\"><span class=\"k-base\">baseline</span>"
                  "<span class=\"k-fault\">fault acting</span><span class=\"k-band\">band</span><span class=\"k-deviated\">left "
                  "its band</span>"
                  "<span class=\"k-converged\">converged</span><span class=\"k-hold\">hold</span>"
                  "<span class=\"hint\">drag to zoom, double-click to see all</span></p>\n");
    cJSON_ArrayForEach(signal, doc_list(result, "signals")) {
        if (shown == SIGNALS_MAX || !chart_open(signal, points_for(result), &chart)) {
            left_out++;
            continue;
        }
        put_card(out, result, &axis, &chart, shown++);
        drawn_series_done(&chart.series);
    }
    if (left_out)
        buf_printf(out, "<p class=\"fine\">%zu more signals, without data or past the first %d, are in result.json.</p>\n",
                   left_out, SIGNALS_MAX);
    buf_puts(out, "</section>\n");
}

static void put_json_number(struct buf *out, const char *key, double value)
{
    if (!isfinite(value))
        buf_printf(out, "\"%s\":null,", key);
    else
        buf_printf(out, "\"%s\":%.6g,", key, value);
}

static void put_chart_data(struct buf *out, const struct chart *chart)
{
    const cJSON *signal = chart->signal;

    buf_printf(out, "{\"unit\":\"%s\",", chart->unit);
    put_json_number(out, "start_s", chart->series.start_s);
    put_json_number(out, "bin_s", chart->series.bin_s);
    put_json_number(out, "level", doc_number(doc_get(signal, "baseline"), "level"));
    put_json_number(out, "worst_ok", doc_number(signal, "level_worst_ok"));
    put_json_number(out, "deviated_s", doc_number(signal, "deviated_s"));
    put_json_number(out, "converged_s", doc_number(signal, "converged_s"));
    put_json_number(out, "validated_s", doc_number(signal, "validated_s"));
    put_json_number(out, "y_low", chart->y_low);
    put_json_number(out, "y_high", chart->y_high);
    buf_puts(out, "\"values\":[");
    for (size_t i = 0; i < chart->series.count; i++) {
        buf_puts(out, i ? "," : "");
        if (isnan(chart->series.values[i]))
            buf_puts(out, "null");
        else
            buf_printf(out, "%.4g", chart->series.values[i]);
    }
    buf_puts(out, "]}");
}

void html_chart_data(struct buf *out, const cJSON *result)
{
    struct axis axis = axis_of(result);
    const cJSON *signal, *fault, *all = doc_get(result, "instants_s");
    struct chart chart;
    double from_s, to_s;
    size_t shown = 0, windows = 0;

    buf_puts(out, "<script type=\"application/json\" id=\"data\">{");
    put_json_number(out, "start_s", axis.start_s);
    put_json_number(out, "end_s", axis.end_s);
    put_json_number(out, "baseline_start_s", doc_number(all, "baseline_start"));
    put_json_number(out, "baseline_end_s", doc_number(all, "baseline_end"));
    buf_puts(out, "\"faults\":[");
    cJSON_ArrayForEach(fault, doc_list(result, "faults"))
        if (windows < WINDOWS_MAX && axis_fault_window(&axis, fault, &from_s, &to_s))
            buf_printf(out, "%s[%.6g,%.6g]", windows++ ? "," : "", from_s, to_s);
    buf_puts(out, "],\"charts\":[");
    cJSON_ArrayForEach(signal, doc_list(result, "signals")) {
        if (shown == SIGNALS_MAX || !chart_open(signal, points_for(result), &chart))
            continue;
        buf_puts(out, shown++ ? ",\n" : "\n");
        put_chart_data(out, &chart);
        drawn_series_done(&chart.series);
    }
    buf_puts(out, "]}</script>\n");
}
