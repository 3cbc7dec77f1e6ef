/* The report as JUnit XML, for what shows test results: a suite a playbook, a case for the verdict, for each line of the hypothesis, each
 * bound, each guard and for the undo. Broken is a failure, not decided an error, aborted a failure of type "abort". Shape: the schema that
 * Jenkins' xunit plugin and most readers accept; text as XML 1.0 (fifth edition, 2.2) allows. */
#include "controller/report/report.h"

#include "controller/report/clean.h"
#include "controller/report/doc.h"
#include "controller/report/summary.h"
#include "controller/report/table.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { JUNIT_BYTES_MAX = 4 << 20, TEXT_CHARS_MAX = 600 };

enum fate { FATE_PASSED, FATE_FAILED, FATE_ERROR, FATE_SKIPPED };

struct suite {
    struct buf cases;
    const char *class_name;
    unsigned tests, failures, errors, skipped;
};

static void put_case(struct suite *suite, const char *what, const char *name, double seconds, enum fate fate, const char *type, const char *message)
{
    struct buf *out = &suite->cases;

    suite->tests++;
    suite->failures += fate == FATE_FAILED;
    suite->errors += fate == FATE_ERROR;
    suite->skipped += fate == FATE_SKIPPED;
    buf_puts(out, "    <testcase classname=\"");
    clean_html(out, suite->class_name, TEXT_CHARS_MAX);
    buf_printf(out, "\" name=\"%s", what);
    clean_html(out, name, TEXT_CHARS_MAX);
    buf_printf(out, "\" time=\"%.3f\"", isfinite(seconds) && seconds > 0 ? seconds : 0);
    if (fate == FATE_PASSED) {
        buf_puts(out, "/>\n");
        return;
    }
    buf_puts(out, ">\n      ");
    buf_printf(out, "<%s", fate == FATE_FAILED ? "failure" : fate == FATE_ERROR ? "error" : "skipped");
    if (fate != FATE_SKIPPED) {
        buf_puts(out, " type=\"");
        clean_html(out, type, TEXT_CHARS_MAX);
        buf_puts(out, "\"");
    }
    buf_puts(out, " message=\"");
    clean_html(out, message, TEXT_CHARS_MAX);
    buf_puts(out, "\"/>\n    </testcase>\n");
}

/* Each row of a list with an `outcome`; the fate by its word's style. */
static void put_rows(struct suite *suite, const char *what, const struct table *table, const cJSON *result, const char *name_key)
{
    const cJSON *row;
    char message[512];

    cJSON_ArrayForEach(row, table_rows(table, result)) {
        const char *style = summary_outcome_style(doc_text(row, "outcome"));
        enum fate fate = !strcmp(style, "pass") ? FATE_PASSED : !strcmp(style, "unsure") ? FATE_ERROR : FATE_FAILED;

        snprintf(message, sizeof(message), "%.64s: %.160s, asked for %.160s", doc_text(row, "outcome"), doc_text(row, "value"),
                 doc_text(row, "bound"));
        put_case(suite, what, doc_text(row, name_key), NAN, fate, doc_text(row, "outcome"), message);
    }
}

static void put_verdict(struct suite *suite, const cJSON *result)
{
    const cJSON *verdict = doc_get(result, "verdict");
    double status = doc_number(verdict, "status");
    enum fate fate = status == 0 ? FATE_PASSED : status == 1 || status == 3 ? FATE_FAILED : FATE_ERROR;

    put_case(suite, "verdict: ", summary_verdict(result)->words, doc_number(doc_get(result, "run"), "duration_s"), fate,
             status == 3 ? "abort" : doc_text(verdict, "verdict"), doc_text(verdict, "why"));
}

static void put_guards(struct suite *suite, const cJSON *result)
{
    const cJSON *row;
    char message[512];

    cJSON_ArrayForEach(row, table_rows(&table_guards, result)) {
        snprintf(message, sizeof(message), "breached: %.160s, limit %.160s", doc_text(row, "worst"), doc_text(row, "bound"));
        put_case(suite, "guard: ", doc_text(row, "signal"), NAN, doc_true(row, "breached") ? FATE_FAILED : FATE_PASSED, "abort", message);
    }
}

static void put_undo(struct suite *suite, const cJSON *result)
{
    bool proven = doc_number(doc_get(result, "verdict"), "status") != 4;

    put_case(suite, "undo: ", "nothing is left of the run", NAN, proven ? FATE_PASSED : FATE_ERROR, "undo",
             "the undo is not proven: perturb recover");
}

static void put_property(struct buf *out, const char *name, const char *value)
{
    if (!value[0])
        return;
    buf_printf(out, "      <property name=\"%s\" value=\"", name);
    clean_html(out, value, TEXT_CHARS_MAX);
    buf_puts(out, "\"/>\n");
}

static void put_properties(struct buf *out, const cJSON *result)
{
    const cJSON *run = doc_get(result, "run");
    struct summary_headline headline;

    summary_headline(result, &headline);
    buf_puts(out, "    <properties>\n");
    put_property(out, "run", doc_text(run, "id"));
    put_property(out, "seed", doc_text(run, "seed"));
    put_property(out, "rigour", doc_text(run, "rigour"));
    put_property(out, "playbook_hash", doc_text(run, "playbook_hash"));
    put_property(out, "convergence", headline.value);
    put_property(out, "convergence_interval", headline.interval);
    buf_puts(out, "    </properties>\n");
}

int report_junit(const cJSON *result, struct buf *ret_text)
{
    const cJSON *run = doc_get(result, "run");
    struct suite suite = { .class_name = doc_text(run, "playbook") };
    double seconds = doc_number(run, "duration_s");
    char started[20];

    buf_init(ret_text, JUNIT_BYTES_MAX);
    if (!cJSON_IsObject(result))
        return -EINVAL;
    buf_init(&suite.cases, JUNIT_BYTES_MAX);
    put_verdict(&suite, result);
    put_rows(&suite, "steady state: ", &table_steady, result, "signal");
    put_rows(&suite, "expected: ", &table_expect, result, "what");
    put_guards(&suite, result);
    put_undo(&suite, result);
    snprintf(started, sizeof(started), "%s", doc_text(run, "started")); /* without the zone: strict readers refuse one */
    buf_printf(ret_text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"");
    clean_html(ret_text, doc_text(run, "title"), TEXT_CHARS_MAX);
    buf_printf(ret_text, "\" tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\" time=\"%.3f\" timestamp=\"", suite.tests,
               suite.failures, suite.errors, suite.skipped, isfinite(seconds) ? seconds : 0);
    clean_html(ret_text, started, TEXT_CHARS_MAX);
    buf_puts(ret_text, "\" hostname=\"");
    clean_html(ret_text, doc_text(run, "host"), TEXT_CHARS_MAX);
    buf_puts(ret_text, "\">\n");
    put_properties(ret_text, result);
    buf_append(ret_text, suite.cases.data, suite.cases.length);
    buf_puts(ret_text, "  </testsuite>\n</testsuites>\n");
    if (suite.cases.failed)
        ret_text->failed = true;
    buf_done(&suite.cases);
    return ret_text->failed ? -ENOMEM : 0;
}
