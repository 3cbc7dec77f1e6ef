/* The strip that shows when each fault acted and what the service did, on the axis that the charts below share, and the list of
 * instants. Bars are percentages of the width, so that letters keep their size on a phone. */
#include "controller/report/html.h"

#include "controller/report/clean.h"
#include "controller/report/doc.h"
#include "controller/report/format.h"
#include "controller/report/summary.h"

#include "scenarios/base/cleanup.h"

#include <math.h>
#include <string.h>

enum { LANE_PX = 26, BADGES_PX = 24, LANES_MAX = 6, INSTANTS = 12 };

static const struct instant {
    const char *key, *name, *help;
} instants[INSTANTS] = {
    { "requested", "requested", "the fault was asked for" },
    { "armed", "armed", "every executor acknowledged it" },
    { "injected", "injected", "it first acted" },
    { "deviated", "deviated", "a signal left its band" },
    { "detected", "detected", "somebody noticed" },
    { "acknowledged", "acknowledged", "somebody took it on" },
    { "mitigated", "mitigated", "somebody mitigated it" },
    { "released", "released", "the last fault ended" },
    { "first_return", "first return", "first time back in band" },
    { "converged", "converged", "back in band for good" },
    { "validated", "validated", "the hold was over" },
    { "end", "end", "observation ended" },
};

struct mark {
    double at_s;
    const struct instant *instant;
};

struct axis axis_of(const cJSON *result)
{
    const cJSON *all = doc_get(result, "instants_s"), *signal;
    struct axis axis = { 0, doc_number(all, "baseline_end") };

    for (size_t i = 0; i < INSTANTS; i++)
        axis.end_s = fmax(axis.end_s, doc_number(all, instants[i].key));
    cJSON_ArrayForEach(signal, doc_list(result, "signals")) {
        const cJSON *series = doc_get(signal, "series");
        double start_s = doc_number(series, "start_s"), bin_s = doc_number(series, "bin_s");

        axis.start_s = fmin(axis.start_s, start_s);
        if (isfinite(start_s + bin_s) && isnan(doc_number(all, "end")))
            axis.end_s = fmax(axis.end_s, start_s + bin_s * (double)doc_count(doc_list(series, "values")));
    }
    if (!(axis.end_s - axis.start_s > 0) || axis.end_s - axis.start_s > 1e9)
        axis = (struct axis){ 0, 1 };
    return axis;
}

double axis_share(const struct axis *axis, double at_s)
{
    if (isnan(at_s))
        return at_s;
    return fmin(1, fmax(0, (at_s - axis->start_s) / (axis->end_s - axis->start_s)));
}

int axis_fault_window(const struct axis *axis, const cJSON *fault, double *ret_from_s, double *ret_to_s)
{
    double from_s = doc_number(fault, "injected_s"), to_s = doc_number(fault, "released_s");

    if (isnan(from_s))
        return 0;
    *ret_from_s = from_s;
    *ret_to_s = isnan(to_s) ? axis->end_s : to_s;
    return 1;
}

size_t axis_ticks(double low, double high, size_t wanted, double ret_ticks[AXIS_TICKS_MAX])
{
    static const double steps[] = { 1, 2, 5, 10 };
    double rough = (high - low) / (double)wanted, power, step = 0;
    size_t count = 0;

    if (!(rough > 0) || !isfinite(rough))
        return 0;
    power = pow(10, floor(log10(rough)));
    for (size_t i = 0; i < ARRAY_SIZE(steps) && step < rough; i++)
        step = steps[i] * power;
    for (double index = ceil(low / step); index * step <= high + step * 1e-9 && count < AXIS_TICKS_MAX; index++)
        ret_ticks[count++] = index * step;
    return count;
}

static void put_block(struct buf *out, const struct axis *axis, double from_s, double to_s, const char *style, double y)
{
    double from = axis_share(axis, from_s) * 100, to = axis_share(axis, to_s) * 100;

    if (isnan(from) || isnan(to) || to < from)
        return;
    buf_printf(out, "<rect class=\"%s\" x=\"%.3f%%\" y=\"%.0f\" width=\"%.3f%%\" height=\"%d\" rx=\"3\"/>", style, from, y,
               fmax(to - from, 0.25), LANE_PX - 4);
}

/* Letters only where the block is wide enough for them: about 7 px a letter, and 2.8 px (phone) or 9 px a percent. */
static void put_block_name(struct buf *out, const struct axis *axis, double from_s, double to_s, const char *name, double y)
{
    double from = axis_share(axis, from_s) * 100, to = axis_share(axis, to_s) * 100, needed = 7 * (double)clean_width(name) + 10;

    if (!((to - from) * 9 > needed))
        return;
    buf_printf(out, "<text class=\"in%s\" x=\"%.3f%%\" y=\"%.0f\" text-anchor=\"middle\">",
               (to - from) * 2.8 > needed ? "" : " roomy", (from + to) / 2, y + 15);
    clean_html(out, name, 60);
    buf_puts(out, "</text>");
}

static void put_piece(struct buf *out, const struct axis *axis, double from_s, double to_s, const char *style, const char *name)
{
    put_block(out, axis, from_s, to_s, style, BADGES_PX);
    put_block_name(out, axis, from_s, to_s, name, BADGES_PX);
}

static void put_service_lane(struct buf *out, const cJSON *result, const struct axis *axis)
{
    const cJSON *all = doc_get(result, "instants_s");
    double deviated_s = doc_number(all, "deviated"), converged_s = doc_number(all, "converged"), end_s = doc_number(all, "end");
    double baseline_s = doc_number(all, "baseline_start"), validated_s = doc_number(all, "validated"),
           return_s = doc_number(all, "first_return");
    bool judged = isfinite(deviated_s) || doc_is(doc_get(result, "verdict"), "verdict", "absorbed");

    end_s = isnan(end_s) ? axis->end_s : end_s;
    put_piece(out, axis, axis->start_s, baseline_s, "t-warm", "");
    put_piece(out, axis, baseline_s, doc_number(all, "baseline_end"), "t-base", "baseline");
    if (!judged) {
        put_piece(out, axis, doc_number(all, "baseline_end"), end_s, "t-warm", "not judged");
        return;
    }
    put_piece(out, axis, doc_number(all, "baseline_end"), isnan(deviated_s) ? end_s : deviated_s, "t-good",
              isnan(deviated_s) ? "in band" : "");
    if (isnan(deviated_s))
        return;
    if (isnan(converged_s)) {
        put_piece(out, axis, deviated_s, end_s, "t-bad", "out of band");
        return;
    }
    put_piece(out, axis, deviated_s, fmin(converged_s, isnan(return_s) ? converged_s : return_s), "t-bad", "out of band");
    put_piece(out, axis, return_s, converged_s, "t-wobble", "in and out");
    put_piece(out, axis, converged_s, isnan(validated_s) ? end_s : validated_s, "t-hold", "hold");
    put_piece(out, axis, validated_s, end_s, "t-good", "in band");
}

static size_t put_fault_lanes(struct buf *out, const cJSON *result, const struct axis *axis)
{
    const cJSON *fault;
    size_t lanes = 0;
    double from_s, to_s;

    cJSON_ArrayForEach(fault, doc_list(result, "faults")) {
        double y = BADGES_PX + LANE_PX * (double)(lanes + 1);

        if (lanes == LANES_MAX || !axis_fault_window(axis, fault, &from_s, &to_s))
            continue;
        put_block(out, axis, from_s, to_s, "t-fault", y);
        put_block_name(out, axis, from_s, to_s, doc_text(fault, "name"), y);
        lanes++;
    }
    return lanes;
}

static size_t find_marks(const cJSON *result, struct mark marks[INSTANTS])
{
    const cJSON *all = doc_get(result, "instants_s");
    size_t count = 0;

    for (size_t i = 0; i < INSTANTS; i++) {
        double at_s = doc_number(all, instants[i].key);
        size_t slot = count;

        if (isnan(at_s))
            continue;
        for (; slot > 0 && marks[slot - 1].at_s > at_s; slot--)
            marks[slot] = marks[slot - 1];
        marks[slot] = (struct mark){ at_s, &instants[i] };
        count++;
    }
    return count;
}

/* Numbered badges; instants nearer than a badge's width share one ("1-4"). */
static void put_badges(struct buf *out, const struct axis *axis, const struct mark *marks, size_t count, double height)
{
    const double near = 0.1;

    for (size_t first = 0, next; first < count; first = next) {
        double at = axis_share(axis, marks[first].at_s), x;

        for (next = first + 1; next < count && axis_share(axis, marks[next].at_s) - at < near; next++)
            ;
        for (size_t i = first; i < next; i++)
            buf_printf(out, "<line class=\"t-tick\" x1=\"%.3f%%\" y1=\"18\" x2=\"%.3f%%\" y2=\"%.0f\"/>",
                       axis_share(axis, marks[i].at_s) * 100, axis_share(axis, marks[i].at_s) * 100, height);
        x = (at + axis_share(axis, marks[next - 1].at_s)) / 2;
        x = fmin(next - first == 1 ? 0.985 : 0.965, fmax(0.015, x)) * 100;
        if (next - first == 1)
            buf_printf(out, "<text class=\"t-badge\" x=\"%.3f%%\" y=\"14\" text-anchor=\"middle\">%zu</text>", x, first + 1);
        else
            buf_printf(out, "<text class=\"t-badge\" x=\"%.3f%%\" y=\"14\" text-anchor=\"middle\">%zu\u2013%zu</text>", x,
                       first + 1, next);
    }
}

static void put_instants(struct buf *out, const struct mark *marks, size_t count)
{
    buf_puts(out, "<ol class=\"instants\">");
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "<li><b>%s</b> <span class=\"at\">%s</span> <span class=\"help\">%s%s%s</span></li>",
                   marks[i].instant->name, fmt_instant(marks[i].at_s).text,
                   i ? fmt_delta(marks[i].at_s - marks[i - 1].at_s).text : "", i ? ": " : "", marks[i].instant->help);
    buf_puts(out, "</ol>\n");
}

void html_timeline(struct buf *out, const cJSON *result)
{
    struct axis axis = axis_of(result);
    struct mark marks[INSTANTS];
    size_t count = find_marks(result, marks), lanes = 0;
    const cJSON *fault;
    double from_s, to_s, height;

    if (count == 0)
        return;
    cJSON_ArrayForEach(fault, doc_list(result, "faults"))
        lanes += lanes < LANES_MAX && axis_fault_window(&axis, fault, &from_s, &to_s);
    height = BADGES_PX + LANE_PX * (double)(lanes + 1);
    buf_puts(out, "<section><h2>Timeline</h2>\n<div class=\"chart\"><div class=\"strip\"><svg class=\"gutter\" width=\"56\" "
                  "aria-hidden=\"true\"");
    buf_printf(out, " height=\"%.0f\"><text x=\"0\" y=\"%d\">service</text>", height, BADGES_PX + 15);
    if (lanes)
        buf_printf(out, "<text x=\"0\" y=\"%d\">%s</text>", BADGES_PX + LANE_PX + 15, lanes > 1 ? "faults" : "fault");
    buf_printf(
        out,
        "</svg><svg class=\"lanes\" width=\"100%%\" height=\"%.0f\" role=\"img\" aria-label=\"Timeline of the run; the same "
        "instants are listed below\">",
        height);
    put_service_lane(out, result, &axis);
    put_fault_lanes(out, result, &axis);
    put_badges(out, &axis, marks, count, height);
    buf_puts(out, "</svg></div>\n");
    put_instants(out, marks, count);
    buf_puts(out, "</div></section>\n");
}
