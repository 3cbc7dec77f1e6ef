/* The overview as a page of at most two printed sheets. No script: it is read once, and on paper. */
#include "controller/report/overview.h"

#include "controller/report/assets.h"
#include "controller/report/clean.h"
#include "controller/report/doc.h"
#include "controller/report/format.h"

#include <errno.h>
#include <string.h>

enum { PAGE_BYTES_MAX = 1 << 20, NAME_CHARS_MAX = 80, WHY_CHARS_MAX = 240 };

static void put_clean(struct buf *out, const char *before, const char *text, size_t chars_max, const char *after)
{
    buf_puts(out, before);
    clean_html(out, text, chars_max);
    buf_puts(out, after);
}

static void put_head(struct buf *out, const cJSON *overview)
{
    char sentences[OVERVIEW_PARTS_MAX][OVERVIEW_TEXT_MAX];
    size_t count = overview_sentences(overview, sentences);

    buf_puts(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"");
    buf_append(out, asset_policy, (size_t)(asset_policy_end - asset_policy));
    buf_puts(out, "\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" "
                  "content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n");
    put_clean(out, "<title>Resilience, ", doc_text(overview, "since"), 10, "");
    put_clean(out, " to ", doc_text(overview, "until"), 10, "</title>\n<style>");
    buf_append(out, asset_report_css, (size_t)(asset_report_css_end - asset_report_css));
    buf_puts(out, "</style>\n</head>\n<body class=\"overview\">\n<main>\n<header class=\"top\"><p class=\"crumbs\"><span>");
    put_clean(out, "", doc_text(overview, "since"), 10, " to ");
    put_clean(out, "", doc_text(overview, "until"), 10, "</span></p>\n<h1>Resilience</h1>\n");
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "<p class=\"%s\">%s</p>\n", i ? "meaning" : "why", sentences[i]);
    buf_puts(out, "</header>\n");
}

static void put_left_out(struct buf *out, const cJSON *list, size_t rows_max)
{
    if (doc_count(list) > rows_max)
        buf_printf(out, "<p class=\"fine\">%zu more are in the JSON.</p>\n", doc_count(list) - rows_max);
}

static void put_matrix_cell(struct buf *out, const cJSON *cell, const char *class_name)
{
    put_clean(out, "<td data-head=\"", class_name, NAME_CHARS_MAX, "\" class=\"");
    if (!cell) {
        buf_puts(out, "never\">never</td>");
        return;
    }
    buf_printf(out, "%s%s\"><b>%s</b><span>%s</span></td>", overview_style(cell), doc_true(cell, "stale") ? " stale" : "",
               overview_word(cell), overview_age(cell).text);
}

static void put_matrix(struct buf *out, const cJSON *overview)
{
    const cJSON *classes = doc_list(overview, "classes"), *services = doc_list(overview, "services"), *service, *class;
    size_t shown = 0;

    if (!doc_count(services))
        return;
    buf_puts(out, "<section><h2>What was tested</h2>\n<p class=\"note\">The latest test in which trouble of that kind really acted, and how it "
                  "ended. Pale: before this time. A test that decided nothing never hides one that did.</p>\n"
                  "<div class=\"scroll\"><table class=\"matrix\"><thead><tr><th scope=\"col\">service</th>");
    cJSON_ArrayForEach(class, classes)
        put_clean(out, "<th scope=\"col\">", cJSON_IsString(class) ? class->valuestring : "", NAME_CHARS_MAX, "</th>");
    buf_puts(out, "</tr></thead><tbody>\n");
    cJSON_ArrayForEach(service, services) {
        if (shown++ == OVERVIEW_SERVICES_MAX)
            break;
        put_clean(out, "<tr><th scope=\"row\" dir=\"auto\">", doc_text(service, "service"), NAME_CHARS_MAX, "</th>");
        cJSON_ArrayForEach(class, classes) {
            const char *name = cJSON_IsString(class) ? class->valuestring : "";

            put_matrix_cell(out, overview_cell(service, name), name);
        }
        buf_puts(out, "</tr>\n");
    }
    buf_puts(out, "</tbody></table></div>\n");
    put_left_out(out, services, OVERVIEW_SERVICES_MAX);
    buf_puts(out, "</section>\n");
}

static void put_outcome(struct buf *out, const cJSON *row)
{
    const char *word = overview_target_outcome(row);
    const char *style = strcmp(word, "yes") == 0 ? "pass" : strcmp(word, "no") == 0 ? "fail" : strcmp(word, "-") == 0 ? "" : "unsure";

    buf_printf(out, "<td data-head=\"target met\" class=\"%s\">%s</td></tr>\n", style, word);
}

static void put_convergence(struct buf *out, const cJSON *overview)
{
    const cJSON *rows = doc_list(overview, "convergence"), *row;
    size_t shown = 0;

    if (!doc_count(rows))
        return;
    buf_puts(out, "<section><h2>How fast it comes back</h2>\n<p class=\"note\">From the end of the trouble until the service was as before, for "
                  "good, in the latest test; in brackets the 95 % interval.</p>\n<div class=\"scroll\"><table class=\"targets\"><thead><tr><th "
                  "scope=\"col\">test</th><th scope=\"col\">service</th><th scope=\"col\">target</th><th scope=\"col\">last measured</th><th "
                  "scope=\"col\">target met</th></tr></thead><tbody>\n");
    cJSON_ArrayForEach(row, rows) {
        if (shown++ == OVERVIEW_TESTS_MAX)
            break;
        put_clean(out, "<tr><td data-head=\"test\" dir=\"auto\">", doc_text(row, "title"), NAME_CHARS_MAX, "</td>");
        put_clean(out, "<td data-head=\"service\" dir=\"auto\">", doc_text(row, "service"), NAME_CHARS_MAX, "</td><td data-head=\"target\">");
        overview_target_words(row, out);
        buf_puts(out, "</td><td data-head=\"last measured\">");
        overview_measured_words(row, out);
        buf_puts(out, "</td>");
        put_outcome(out, row);
    }
    buf_puts(out, "</tbody></table></div>\n");
    put_left_out(out, rows, OVERVIEW_TESTS_MAX);
    buf_puts(out, "</section>\n");
}

static void put_finding(struct buf *out, const cJSON *row)
{
    struct buf why;

    put_clean(out, "<li><b dir=\"auto\">", doc_text(row, "title"), NAME_CHARS_MAX, "</b> ");
    buf_init(&why, PAGE_BYTES_MAX);
    overview_why(row, &why);
    put_clean(out, "<span dir=\"auto\">", why.data, WHY_CHARS_MAX, "</span> ");
    buf_done(&why);
    buf_printf(out, "<span class=\"fine\">Finding %s; failed %s time%s", fmt_count(doc_number(row, "id")).text,
               fmt_count(doc_number(row, "failures")).text, doc_number(row, "failures") == 1 ? "" : "s");
    put_clean(out, " since ", doc_text(row, "opened"), 10, doc_text(row, "owner")[0] ? "; owner <bdi>" : "; <b class=\"late\">no owner</b>");
    put_clean(out, "", doc_text(row, "owner"), NAME_CHARS_MAX, doc_text(row, "owner")[0] ? "</bdi>" : "");
    put_clean(out, doc_text(row, "due")[0] ? ", to be tested again by " : "", doc_text(row, "due"), 10,
              doc_true(row, "overdue") ? " <b class=\"late\">overdue</b>" : "");
    buf_puts(out, "</span></li>\n");
}

static void put_findings(struct buf *out, const cJSON *overview)
{
    const cJSON *rows = doc_list(overview, "findings"), *row;
    size_t shown = 0;

    if (!doc_count(rows))
        return;
    buf_puts(out, "<section><h2>Open findings</h2>\n<p class=\"note\">What failed and no later test has proved mended.</p>\n<ol class=\"findings\">\n");
    cJSON_ArrayForEach(row, rows)
        if (shown++ < OVERVIEW_FINDINGS_MAX)
            put_finding(out, row);
    buf_puts(out, "</ol>\n");
    put_left_out(out, rows, OVERVIEW_FINDINGS_MAX);
    buf_puts(out, "</section>\n");
}

static void put_lost(struct buf *out, const cJSON *overview)
{
    const cJSON *rows = doc_list(overview, "lost"), *row;
    size_t shown = 0;

    if (!doc_count(rows))
        return;
    buf_puts(out, "<section><h2>What the tests cost</h2>\n<p class=\"note\">Requests of the tests' own that failed while a service was "
                  "disturbed on purpose.</p>\n<ul class=\"lost\">\n");
    cJSON_ArrayForEach(row, rows) {
        if (shown++ == OVERVIEW_LOST_MAX)
            break;
        put_clean(out, "<li><b dir=\"auto\">", doc_text(row, "service"), NAME_CHARS_MAX, "</b>: ");
        overview_lost_words(row, out);
        buf_puts(out, ".</li>\n");
    }
    buf_puts(out, "</ul>\n");
    put_left_out(out, rows, OVERVIEW_LOST_MAX);
    buf_puts(out, "</section>\n");
}

int overview_html(const cJSON *overview, struct buf *ret_text)
{
    buf_init(ret_text, PAGE_BYTES_MAX);
    if (!cJSON_IsObject(overview))
        return -EINVAL;
    put_head(ret_text, overview);
    put_matrix(ret_text, overview);
    put_convergence(ret_text, overview);
    put_findings(ret_text, overview);
    put_lost(ret_text, overview);
    buf_puts(ret_text, "</main>\n</body>\n</html>\n");
    return !ret_text->failed ? 0 : ret_text->length >= PAGE_BYTES_MAX / 2 ? -E2BIG : -ENOMEM;
}
