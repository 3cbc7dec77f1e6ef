/* Every signal's way back, one over the other: 0 % is its worst value since the fault, 100 % its level before. What comes back last, and
 * what waits for what, shows at a glance. */
#include "controller/report/html.h"

#include "controller/report/clean.h"
#include "controller/report/doc.h"
#include "controller/report/format.h"
#include "controller/report/series.h"

#include <math.h>
#include <stdbool.h>

enum { CURVES_MAX = 8, CURVES_LEAST = 2, PLOT_PX = 200, AXIS_PX = 20, POINTS_MAX = 300, SMOOTH_BINS = 5 };

struct curve {
    const cJSON *signal;
    struct drawn_series series;
    double level, worst;
};

/* Mean of the known values around `at`; NaN when there is none. */
static double smooth(const struct drawn_series *series, size_t at)
{
    size_t from = at >= SMOOTH_BINS / 2 ? at - SMOOTH_BINS / 2 : 0, known = 0;
    double sum = 0;

    for (size_t i = from; i < from + SMOOTH_BINS && i < series->count; i++)
        if (isfinite(series->values[i])) {
            sum += series->values[i];
            known++;
        }
    return known && isfinite(series->values[at]) ? sum / (double)known : (double)NAN;
}

/* The series is kept when the signal left its band. */
static bool curve_open(const cJSON *signal, struct curve *ret_curve)
{
    struct curve curve = { .signal = signal, .level = doc_number(doc_get(signal, "baseline"), "level") };
    double deviated_s = doc_number(signal, "deviated_s"), furthest = 0;

    if (isnan(deviated_s) || isnan(curve.level) || drawn_series_read(signal, POINTS_MAX, &curve.series) < 0)
        return false;
    for (size_t i = 0; i < curve.series.count; i++) {
        double at_s = curve.series.start_s + ((double)i + 0.5) * curve.series.bin_s, value = smooth(&curve.series, i);
        double off = doc_is(signal, "better", "lower") ? value - curve.level : curve.level - value;

        if (at_s >= deviated_s && off > furthest) {
            furthest = off;
            curve.worst = value;
        }
    }
    if (!(furthest > 0)) {
        drawn_series_done(&curve.series);
        return false;
    }
    *ret_curve = curve;
    return true;
}

static void put_curve(struct buf *out, const struct axis *axis, const struct curve *curve, size_t index)
{
    bool pen_down = false;

    buf_printf(out, "<path class=\"r-line r-%zu\" fill=\"none\" vector-effect=\"non-scaling-stroke\" d=\"", index);
    for (size_t i = 0; i < curve->series.count; i++) {
        double at_s = curve->series.start_s + ((double)i + 0.5) * curve->series.bin_s;
        double share = (smooth(&curve->series, i) - curve->worst) / (curve->level - curve->worst);

        if (!isfinite(share) || at_s < axis->start_s || at_s > axis->end_s) {
            pen_down = pen_down && isfinite(share);
            continue;
        }
        share = fmin(1.1, fmax(0, share));
        buf_printf(out, "%c%.1f %.1f", pen_down ? 'L' : 'M', axis_share(axis, at_s) * 1000, PLOT_PX * (1 - share / 1.1));
        pen_down = true;
    }
    buf_puts(out, "\"/>");
}

static void put_frame(struct buf *out, const struct axis *axis, double zero_s)
{
    double ticks[AXIS_TICKS_MAX];
    size_t count = axis_ticks(axis->start_s - zero_s, axis->end_s - zero_s, 5, ticks);

    for (int percent = 0; percent <= 100; percent += 50)
        buf_printf(out, "<line class=\"c-grid\" x1=\"0\" x2=\"100%%\" y1=\"%.1f\" y2=\"%.1f\"/>", PLOT_PX * (1 - percent / 110.0),
                   PLOT_PX * (1 - percent / 110.0));
    for (size_t i = 0; i < count; i++) {
        double at = axis_share(axis, ticks[i] + zero_s) * 100;

        buf_printf(out, "<text x=\"%.2f%%\" y=\"%d\" text-anchor=\"%s\">%s%.4g s</text>", at, PLOT_PX + 15,
                   at < 4    ? "start"
                   : at > 96 ? "end"
                             : "middle",
                   ticks[i] > 0 ? "+" : "", ticks[i] == 0 ? 0 : ticks[i]); /* not "-0" */
    }
}

static void put_plot(struct buf *out, const struct axis *axis, double zero_s, const struct curve *curves, size_t count)
{
    double zero = axis_share(axis, zero_s) * 1000;

    buf_printf(out, "<div class=\"chart\"><div class=\"strip\"><svg class=\"gutter\" width=\"56\" height=\"%d\" aria-hidden=\"true\">", PLOT_PX + AXIS_PX);
    for (int percent = 0; percent <= 100; percent += 50)
        buf_printf(out, "<text x=\"40\" y=\"%.1f\" text-anchor=\"end\">%d %%</text>", PLOT_PX * (1 - percent / 110.0) + 4, percent);
    buf_printf(out, "</svg><svg class=\"area\" width=\"100%%\" height=\"%d\" role=\"img\" aria-label=\"Recovery of %zu signals\">", PLOT_PX + AXIS_PX,
               count);
    put_frame(out, axis, zero_s);
    buf_printf(out, "<svg width=\"100%%\" height=\"%d\" viewBox=\"0 0 1000 %d\" preserveAspectRatio=\"none\">", PLOT_PX, PLOT_PX);
    if (zero > 0)
        buf_printf(out, "<rect class=\"c-fault\" x=\"0\" y=\"0\" width=\"%.1f\" height=\"%d\"/>", zero, PLOT_PX);
    for (size_t i = 0; i < count; i++)
        put_curve(out, axis, &curves[i], i);
    buf_puts(out, "</svg></svg></div>\n<p class=\"legend curves\">");
    for (size_t i = 0; i < count; i++) {
        double back_s = doc_number(curves[i].signal, "converged_s") - zero_s;

        buf_printf(out, "<span class=\"k-%zu\"><bdi>", i);
        clean_html(out, doc_text(curves[i].signal, "signal"), 80);
        buf_puts(out, "</bdi> ");
        if (isfinite(back_s))
            buf_printf(out, "<b>%s</b>", fmt_delta(back_s).text);
        else
            buf_puts(out, "<b>not back</b>");
        buf_puts(out, "</span>");
    }
    buf_puts(out, "</p></div>\n");
}

void html_recovery(struct buf *out, const cJSON *result)
{
    const cJSON *instants = doc_get(result, "instants_s"), *signal;
    struct axis whole = axis_of(result), axis = whole;
    double zero_s = doc_number(instants, "released"), last_s = (double)NAN;
    struct curve curves[CURVES_MAX];
    size_t count = 0;

    if (isnan(zero_s))
        zero_s = doc_number(instants, "injected");
    if (isnan(zero_s) || zero_s <= whole.start_s || zero_s >= whole.end_s)
        return;
    cJSON_ArrayForEach(signal, doc_list(result, "signals"))
        if (count < CURVES_MAX && curve_open(signal, &curves[count])) {
            double back_s = doc_number(signal, "converged_s");

            last_s = fmax(last_s, isnan(back_s) ? whole.end_s : back_s);
            count++;
        }
    axis.end_s = fmin(whole.end_s, fmax(zero_s + (whole.end_s - zero_s) * 0.1, zero_s + (last_s - zero_s) * 1.5));
    axis.start_s = fmax(whole.start_s, zero_s - (axis.end_s - zero_s) * 0.25);
    if (count >= CURVES_LEAST && axis.end_s > axis.start_s) {
        buf_puts(out, "<section><h2>The way back, side by side</h2>\n<p class=\"note\">From the end of the fault. 0 %: the worst since the fault; 100 %: as "
                      "before it. Smoothed.</p>\n");
        put_plot(out, &axis, zero_s, curves, count);
        buf_puts(out, "</section>\n");
    }
    for (size_t i = 0; i < count; i++)
        drawn_series_done(&curves[i].series);
}
