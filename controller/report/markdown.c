/* The report as Markdown, for an issue, a wiki or a job's summary: what the terminal says, then every list as a table (GitHub Flavored
 * Markdown 0.29, tables extension). Text of the document is escaped so that none of it is markup. */
#include "controller/report/markdown.h"

#include "controller/report/report.h"
#include "controller/report/clean.h"
#include "controller/report/doc.h"
#include "controller/report/format.h"
#include "controller/report/summary.h"
#include "controller/report/table.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { MARKDOWN_BYTES_MAX = 4 << 20, CELL_CHARS_MAX = 200, LINE_CHARS_MAX = 600, TABLE_ROWS_MAX = 50 };

void markdown_escape(struct buf *out, const char *text, size_t chars_max)
{
    struct buf clean;

    buf_init(&clean, MARKDOWN_BYTES_MAX);
    clean_plain(&clean, text, chars_max);
    for (const char *at = clean.data; *at; at++) {
        if (*at == '<')
            buf_puts(out, "&lt;");
        else if (*at == '&')
            buf_puts(out, "&amp;");
        else if (strchr("\\`*_{}[]#!|~>@", *at) || (*at == ':' && at[1] == '/')) /* no link, no mention of anybody */
            buf_printf(out, "\\%c", *at);
        else
            buf_append(out, at, 1);
    }
    buf_done(&clean);
}

static void put_line(struct buf *out, const char *label, const char *text)
{
    if (!text[0])
        return;
    buf_printf(out, "- **%s** ", label);
    markdown_escape(out, text, LINE_CHARS_MAX);
    buf_puts(out, "\n");
}

static void put_head(struct buf *out, const cJSON *result)
{
    const struct summary_outcome *outcome = summary_outcome(result);
    const struct summary_verdict *verdict = summary_verdict(result);
    const char *why = doc_text(doc_get(result, "verdict"), "why");
    struct summary_headline headline;

    summary_headline(result, &headline);
    buf_printf(out, "## %s %s: %s\n\n", outcome->sign, outcome->word,
               verdict->words[0] ? verdict->words : "no verdict");
    buf_puts(out, "**");
    markdown_escape(out, doc_text(doc_get(result, "run"), "title"), CELL_CHARS_MAX);
    buf_puts(out, "**\n\n");
    markdown_escape(out, why[0] ? why : verdict->meaning, LINE_CHARS_MAX);
    buf_printf(out, "\n\n- **Convergence** %s%s%s ", headline.value, headline.interval[0] ? ", " : "", headline.interval);
    markdown_escape(out, headline.label, LINE_CHARS_MAX);
    buf_puts(out, "\n");
}

static void put_pins(struct buf *out, const cJSON *result)
{
    const cJSON *convergence = doc_get(result, "convergence");

    if (isnan(doc_number(convergence, "band")))
        return;
    buf_printf(out, "- **Judged with** band %s, hold %s, resolution %s%s\n", fmt_share(doc_number(convergence, "band")).text,
               fmt_seconds(doc_number(convergence, "hold_s")).text, fmt_seconds(doc_number(convergence, "bin_s")).text,
               summary_quick(result) ? " (quick rigour: for a look, not for a trend)" : "");
}

static void put_cell(struct buf *out, const struct column *column, const cJSON *row)
{
    struct buf text;

    buf_init(&text, MARKDOWN_BYTES_MAX);
    table_cell(&text, column, row);
    buf_puts(out, " ");
    markdown_escape(out, text.data, CELL_CHARS_MAX);
    buf_puts(out, " |");
    buf_done(&text);
}

static void put_table(struct buf *out, const struct table *table, const cJSON *result)
{
    const cJSON *rows = table_rows(table, result), *row;
    size_t shown = 0;

    if (!doc_count(rows))
        return;
    buf_printf(out, "\n### %s\n\n|", table->title);
    for (const struct column *column = table->columns; column->head; column++)
        if (table_column_used(column, rows))
            buf_printf(out, " %s |", column->head);
    buf_puts(out, "\n|");
    for (const struct column *column = table->columns; column->head; column++)
        if (table_column_used(column, rows))
            buf_puts(out, table_is_number(column) ? " ---: |" : " --- |");
    buf_puts(out, "\n");
    cJSON_ArrayForEach(row, rows) {
        if (shown++ == TABLE_ROWS_MAX) {
            buf_printf(out, "\n%zu more.\n", doc_count(rows) - TABLE_ROWS_MAX);
            return;
        }
        buf_puts(out, "|");
        for (const struct column *column = table->columns; column->head; column++)
            if (table_column_used(column, rows))
                put_cell(out, column, row);
        buf_puts(out, "\n");
    }
}

static void put_texts(struct buf *out, const char *title, const cJSON *list)
{
    const cJSON *item;

    if (!doc_count(list))
        return;
    buf_printf(out, "\n### %s\n\n", title);
    cJSON_ArrayForEach(item, list)
        if (cJSON_IsString(item)) {
            buf_puts(out, "- ");
            markdown_escape(out, item->valuestring, LINE_CHARS_MAX);
            buf_puts(out, "\n");
        }
}

int report_markdown(const cJSON *result, struct buf *ret_text)
{
    static const struct table *const tables[] = { &table_expect, &table_timers, &table_holds, &table_marks, &table_steady,   &table_health, &table_faults, &table_knees, &table_ramp, &table_costs, &table_backlogs, &table_controls, &table_hops,  &table_guards, &table_captures,
                                                  &table_undo,   &table_verify,   &table_loads,  &table_probes, &table_proxies, &table_history };
    const cJSON *run = doc_get(result, "run");

    buf_init(ret_text, MARKDOWN_BYTES_MAX);
    if (!cJSON_IsObject(result))
        return -EINVAL;
    put_head(ret_text, result);
    put_pins(ret_text, result);
    put_line(ret_text, "Run", doc_text(run, "id"));
    put_line(ret_text, "Playbook", doc_text(run, "playbook"));
    put_line(ret_text, "Seed", doc_text(run, "seed"));
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        put_table(ret_text, tables[i], result);
    put_texts(ret_text, "Data quality", doc_list(doc_get(result, "data_quality"), "notes"));
    put_texts(ret_text, "Next", doc_list(doc_get(result, "verdict"), "next"));
    return ret_text->failed ? -ENOMEM : 0;
}
