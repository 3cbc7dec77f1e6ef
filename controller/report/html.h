/* Parts of the HTML page. Every part appends to `out`, whose `failed` is looked at once, at the end.
 *  1. Document text goes through clean_html() and nowhere else; the data block for the script holds numbers and our own words
 * only.
 *  2. No style="" attribute and no inline handler: the page's policy forbids both.
 *  3. Lists stop at HTML_ROWS_MAX rows or when the page has reached HTML_LISTS_BYTES_MAX, and say how many are left out. */
#ifndef PERTURB_REPORT_HTML_H
#define PERTURB_REPORT_HTML_H

#include "controller/report/table.h"
#include "scenarios/base/buf.h"

#include <cjson/cJSON.h>
#include <stddef.h>

enum { HTML_ROWS_MAX = 100, HTML_CELL_CHARS_MAX = 300, HTML_LINE_CHARS_MAX = 600, HTML_LISTS_BYTES_MAX = 640 * 1024 };

/* Where the run's clock lies on the drawing: x of timeline and charts alike. */
struct axis {
    double start_s, end_s;
};

struct axis axis_of(const cJSON *result);
double axis_share(const struct axis *axis, double at_s); /* 0..1, clamped; NaN stays NaN */

/* A fault's window on the run's clock: injected (or armed) to released (or the end of the axis). Returns 0 when it never began.
 */
int axis_fault_window(const struct axis *axis, const cJSON *fault, double *ret_from_s, double *ret_to_s);

enum { AXIS_TICKS_MAX = 8 };

/* Round positions within [low, high], at most `wanted` (<= AXIS_TICKS_MAX) of them. Returns how many. */
size_t axis_ticks(double low, double high, size_t wanted, double ret_ticks[AXIS_TICKS_MAX]);

void html_timeline(struct buf *out, const cJSON *result);
void html_charts(struct buf *out, const cJSON *result);
void html_chart_data(struct buf *out, const cJSON *result);
void html_tables(struct buf *out, const cJSON *result);
void html_history(struct buf *out, const cJSON *result);  /* this run among the earlier ones of its playbook */
void html_recovery(struct buf *out, const cJSON *result); /* every signal's way back, one over the other */
void html_edges(struct buf *out, const cJSON *result);    /* who connects to whom, how often, how often in vain */
void html_locks(struct buf *out, const cJSON *result);    /* of each target: contention by site, orders that could deadlock */

/* A table whose rows lie in `parent`; `of` is hostile, "" leaves it out of the title. */
void html_table(struct buf *out, const struct table *table, const cJSON *parent, const char *of);
void html_events(struct buf *out, const struct buf *events_jsonl);

#endif
