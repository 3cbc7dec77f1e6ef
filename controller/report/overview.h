/* The overview: two printed pages for one who answers for services and reads no charts. Rendered from one document of its own
 * (`kind` "perturb-overview", docs/result-document.md), under the rules of report.h: keys may be missing, texts are hostile. */
#ifndef PERTURB_REPORT_OVERVIEW_H
#define PERTURB_REPORT_OVERVIEW_H

#include "controller/report/format.h"
#include "scenarios/base/buf.h"

#include <cjson/cJSON.h>
#include <stddef.h>

/* Each initialises *ret_text, whatever happens; the caller ends it with buf_done(). 0, -EINVAL when `overview` is no object,
 * -ENOMEM, -E2BIG. */
int overview_html(const cJSON *overview, struct buf *ret_text);
int overview_markdown(const cJSON *overview, struct buf *ret_text);

/* ---- shared by the two ---- */

/* Rows of each list: together they fill two printed sheets at most. */
enum { OVERVIEW_SERVICES_MAX = 16, OVERVIEW_TESTS_MAX = 14, OVERVIEW_FINDINGS_MAX = 10, OVERVIEW_LOST_MAX = 12 };
enum { OVERVIEW_PARTS_MAX = 6, OVERVIEW_TEXT_MAX = 400 };

/* The first sentences, plain text of our own words and numbers: what was done, what came of it, what is open, what was never tried.
 * Returns how many. */
size_t overview_sentences(const cJSON *overview, char sentences[OVERVIEW_PARTS_MAX][OVERVIEW_TEXT_MAX]);

/* The cell of a service and a class, borrowed; NULL when that was never tested. */
const cJSON *overview_cell(const cJSON *service, const char *class_name);

/* "today", "3 days ago"; "" when unknown. */
struct fmt overview_age(const cJSON *cell);

/* How a run of that exit status ended, in one word, and the style word of summary_outcome_style(). */
const char *overview_word(const cJSON *cell);
const char *overview_style(const cJSON *cell);

/* One row of `convergence` in words: against the target, and what the runs of the time gave. */
void overview_target_words(const cJSON *row, struct buf *out);
void overview_measured_words(const cJSON *row, struct buf *out);

/* Was the target met by the latest run: "yes", "no", "not decided", "-" without a target. */
const char *overview_target_outcome(const cJSON *row);

/* Why a finding is open, ended as a sentence; hostile. */
void overview_why(const cJSON *finding, struct buf *out);

/* One row of `lost` in words, without the service's name: "864 of 9,000 requests failed (9.6 %) in 3 tests". */
void overview_lost_words(const cJSON *row, struct buf *out);

#endif
