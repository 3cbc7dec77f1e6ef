/* Reports: what a run found, told to a person. Both are rendered from the one result document (docs/result-document.md) and
 * from nothing else, so that `perturb report` years later prints what the run printed.
 *
 *  1. Any key may be missing, null or of the wrong type: the report then leaves that line out. Only a document that is no object
 *     is refused.
 *  2. Text of the document is hostile (targets wrote some of it): no byte of it reaches a terminal or a page unescaped, control
 *     and bidirectional-override characters are shown as a replacement, over-long texts are cut with an ellipsis.
 *  3. Every number carries its unit.
 *  4. The same document gives the same bytes. */
#ifndef PERTURB_REPORT_H
#define PERTURB_REPORT_H

#include "scenarios/base/buf.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>

enum { REPORT_HTML_BYTES_MAX = 1 << 20, REPORT_WIDTH_MIN = 60, REPORT_WIDTH_MAX = 120 };

/* The summary for a terminal; plain ASCII of our own, UTF-8 where the document has it.
 *   result   borrowed
 *   colour   ANSI colours; the caller knows whether `out` is a terminal and whether NO_COLOR is set
 *   width    columns, brought into REPORT_WIDTH_MIN..MAX; 0 means 80
 * Returns 0, -EINVAL when `result` is no object, -EIO when writing failed. */
int report_text(const cJSON *result, FILE *out, bool colour, int width);

/* The page: one file that opens from disk and fetches nothing, at most REPORT_HTML_BYTES_MAX long. Charts are static SVG that a
 * script, where one may run and there is a mouse, replaces by charts that zoom.
 *   events_jsonl_or_null   the run's events.jsonl, borrowed; lines that are no event records are skipped and counted
 *   ret_html               initialised here, whatever happens (empty on failure); the caller ends it with buf_done()
 * Returns 0, -EINVAL when `result` is no object, -ENOMEM, -E2BIG (every list of the page is bounded, so this is our bug). */
int report_html(const cJSON *result, const struct buf *events_jsonl_or_null, struct buf *ret_html);

/* For other tools. Each initialises *ret_text, whatever happens; the caller ends it with buf_done(). 0, -EINVAL when `result` is no object,
 * -ENOMEM.
 *   markdown   GitHub Flavored Markdown: an issue, a wiki, a job's summary
 *   junit      JUnit XML: what shows test results
 *   github     workflow commands of GitHub Actions: annotations
 *   journal    a Chaos Toolkit journal */
int report_markdown(const cJSON *result, struct buf *ret_text);
int report_junit(const cJSON *result, struct buf *ret_text);
int report_github(const cJSON *result, struct buf *ret_text);
int report_journal(const cJSON *result, struct buf *ret_text);

/* The formats by name, for `--report FORMAT=FILE`: text, json, html, markdown, junit, github, journal. `name` need not end at `length`.
 * Returns a number for report_render(); -ENOENT. */
#define REPORT_FORMAT_NAMES "text json html markdown junit github journal"
int report_format_find(const char *name, size_t length);

/* As those above; text is without colours, 80 columns wide. -EINVAL for a number that is none. */
int report_render(int format, const cJSON *result, const struct buf *events_jsonl_or_null, struct buf *ret_text);

#endif
