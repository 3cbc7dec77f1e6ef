/* The overview as Markdown, read as it is on a terminal and as a page where Markdown is rendered. */
#include "controller/report/overview.h"

#include "controller/report/doc.h"
#include "controller/report/format.h"
#include "controller/report/markdown.h"

#include <errno.h>
#include <string.h>

enum { MARKDOWN_BYTES_MAX = 1 << 20, NAME_CHARS_MAX = 80, WHY_CHARS_MAX = 240 };

static void put_left_out(struct buf *out, const cJSON *list, size_t rows_max)
{
    if (doc_count(list) > rows_max)
        buf_printf(out, "\n%zu more are in the JSON.\n", doc_count(list) - rows_max);
}

static void put_matrix(struct buf *out, const cJSON *overview)
{
    const cJSON *classes = doc_list(overview, "classes"), *services = doc_list(overview, "services"), *service, *class;
    size_t shown = 0;

    if (!doc_count(services))
        return;
    buf_puts(out, "\n## What was tested\n\n| service |");
    cJSON_ArrayForEach(class, classes) {
        buf_puts(out, " ");
        markdown_escape(out, cJSON_IsString(class) ? class->valuestring : "", NAME_CHARS_MAX);
        buf_puts(out, " |");
    }
    buf_puts(out, "\n| --- |");
    cJSON_ArrayForEach(class, classes)
        buf_puts(out, " --- |");
    cJSON_ArrayForEach(service, services) {
        if (shown++ == OVERVIEW_SERVICES_MAX)
            break;
        buf_puts(out, "\n| ");
        markdown_escape(out, doc_text(service, "service"), NAME_CHARS_MAX);
        buf_puts(out, " |");
        cJSON_ArrayForEach(class, classes) {
            const cJSON *cell = overview_cell(service, cJSON_IsString(class) ? class->valuestring : "");

            if (cell)
                buf_printf(out, " %s%s, %s |", overview_word(cell), doc_true(cell, "stale") ? " (before this time)" : "",
                           overview_age(cell).text);
            else
                buf_puts(out, " **never** |");
        }
    }
    buf_puts(out, "\n");
    put_left_out(out, services, OVERVIEW_SERVICES_MAX);
}

static void put_convergence(struct buf *out, const cJSON *overview)
{
    const cJSON *rows = doc_list(overview, "convergence"), *row;
    size_t shown = 0;

    if (!doc_count(rows))
        return;
    buf_puts(out, "\n## How fast it comes back\n\n| test | service | target | last measured | target met |\n| --- | --- | --- | --- | --- |\n");
    cJSON_ArrayForEach(row, rows) {
        if (shown++ == OVERVIEW_TESTS_MAX)
            break;
        buf_puts(out, "| ");
        markdown_escape(out, doc_text(row, "title"), NAME_CHARS_MAX);
        buf_puts(out, " | ");
        markdown_escape(out, doc_text(row, "service"), NAME_CHARS_MAX);
        buf_puts(out, " | ");
        overview_target_words(row, out);
        buf_puts(out, " | ");
        overview_measured_words(row, out);
        buf_printf(out, " | %s |\n", overview_target_outcome(row));
    }
    put_left_out(out, rows, OVERVIEW_TESTS_MAX);
}

static void put_why(struct buf *out, const cJSON *finding)
{
    struct buf why;

    buf_init(&why, MARKDOWN_BYTES_MAX);
    overview_why(finding, &why);
    markdown_escape(out, why.data, WHY_CHARS_MAX);
    buf_done(&why);
}

static void put_findings(struct buf *out, const cJSON *overview)
{
    const cJSON *rows = doc_list(overview, "findings"), *row;
    size_t shown = 0;

    if (!doc_count(rows))
        return;
    buf_puts(out, "\n## Open findings\n\n");
    cJSON_ArrayForEach(row, rows) {
        if (shown++ == OVERVIEW_FINDINGS_MAX)
            break;
        buf_printf(out, "- **%s** ", fmt_count(doc_number(row, "id")).text);
        markdown_escape(out, doc_text(row, "title"), NAME_CHARS_MAX);
        buf_puts(out, ": ");
        put_why(out, row);
        buf_printf(out, " Failed %s%s since ", fmt_count(doc_number(row, "failures")).text, doc_number(row, "failures") == 1 ? " time" : " times");
        markdown_escape(out, doc_text(row, "opened"), 10);
        buf_puts(out, doc_text(row, "owner")[0] ? "; owner " : "; **no owner**");
        markdown_escape(out, doc_text(row, "owner"), NAME_CHARS_MAX);
        buf_puts(out, doc_text(row, "due")[0] ? ", to be tested again by " : "");
        markdown_escape(out, doc_text(row, "due"), 10);
        buf_puts(out, doc_true(row, "overdue") ? " (**overdue**).\n" : ".\n");
    }
    put_left_out(out, rows, OVERVIEW_FINDINGS_MAX);
}

static void put_lost(struct buf *out, const cJSON *overview)
{
    const cJSON *rows = doc_list(overview, "lost"), *row;
    size_t shown = 0;

    if (!doc_count(rows))
        return;
    buf_puts(out, "\n## What the tests cost\n\n");
    cJSON_ArrayForEach(row, rows) {
        if (shown++ == OVERVIEW_LOST_MAX)
            break;
        buf_puts(out, "- ");
        markdown_escape(out, doc_text(row, "service"), NAME_CHARS_MAX);
        buf_puts(out, ": ");
        overview_lost_words(row, out);
        buf_puts(out, ".\n");
    }
    put_left_out(out, rows, OVERVIEW_LOST_MAX);
}

int overview_markdown(const cJSON *overview, struct buf *ret_text)
{
    char sentences[OVERVIEW_PARTS_MAX][OVERVIEW_TEXT_MAX];
    size_t count;

    buf_init(ret_text, MARKDOWN_BYTES_MAX);
    if (!cJSON_IsObject(overview))
        return -EINVAL;
    buf_puts(ret_text, "# Resilience from ");
    markdown_escape(ret_text, doc_text(overview, "since"), 10);
    buf_puts(ret_text, " to ");
    markdown_escape(ret_text, doc_text(overview, "until"), 10);
    buf_puts(ret_text, "\n\n");
    count = overview_sentences(overview, sentences);
    for (size_t i = 0; i < count; i++)
        buf_printf(ret_text, "%s%s", i ? " " : "", sentences[i]);
    buf_puts(ret_text, "\n");
    put_matrix(ret_text, overview);
    put_convergence(ret_text, overview);
    put_findings(ret_text, overview);
    put_lost(ret_text, overview);
    return ret_text->failed ? -ENOMEM : 0;
}
