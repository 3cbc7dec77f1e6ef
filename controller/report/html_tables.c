/* Every list of the document as a table, the box on data quality, the ids of failed requests, and who ran what. */
#include "controller/report/html.h"

#include "controller/report/clean.h"
#include "controller/report/doc.h"
#include "controller/report/format.h"
#include "controller/report/summary.h"
#include "controller/report/table.h"

#include "scenarios/base/cleanup.h"

#include <math.h>
#include <string.h>

enum { TRACE_IDS_MAX = 60, NOTES_MAX = 40, CELL_BYTES_MAX = 1 << 20 };

/* The largest value that a gauge is measured by; 0 when there is none. */
static double gauge_most(const struct table *table, const struct column *column, const cJSON *rows)
{
    enum gauge gauge = table_gauge(table, column);
    double most = gauge == GAUGE_SHARE ? 1 : 0;
    const cJSON *row;

    if (gauge == GAUGE_SHARE || gauge == GAUGE_NONE)
        return most;
    cJSON_ArrayForEach(row, rows)
        for (const struct column *other = table->columns; other->head; other++)
            if (other == column || (gauge == GAUGE_MOST && table_gauge(table, other) == GAUGE_MOST))
                most = fmax(most, doc_number(row, other->key));
    return most;
}

static void put_meter(struct buf *out, double share)
{
    if (share >= 0)
        buf_printf(out, "<svg class=\"meter\" width=\"100%%\" height=\"6\" aria-hidden=\"true\"><rect class=\"m-all\" width=\"100%%\" "
                        "height=\"6\" rx=\"3\"/><rect class=\"m-part\" width=\"%.1f%%\" height=\"6\" rx=\"3\"/></svg>",
                   fmin(1, share) * 100);
}

static const char *heat_of(double share)
{
    static const char *const styles[] = { "number", "number heat-1", "number heat-2", "number heat-3", "number heat-4", "number heat-5" };

    return share > 0 ? styles[(int)fmin(5, ceil(share * 5))] : styles[0];
}

static void put_cell(struct buf *out, const struct column *column, enum gauge gauge, double most, const cJSON *row)
{
    double share = most > 0 ? doc_number(row, column->key) / most : (double)NAN;
    const char *style = "";
    struct buf text;

    buf_init(&text, CELL_BYTES_MAX);
    table_cell(&text, column, row);
    if (column->cell == CELL_OUTCOME)
        style = summary_outcome_style(text.data);
    else if (column->cell == CELL_CODE)
        style = "code";
    else if (table_is_number(column))
        style = gauge == GAUGE_HEAT ? heat_of(share) : "number";
    buf_printf(out, "<td data-head=\"%s\" dir=\"auto\"%s%s%s>", column->head, style[0] ? " class=\"" : "", style,
               style[0] ? "\"" : "");
    if (column->cell == CELL_OUTCOME && style[0])
        buf_puts(out, "<span class=\"dot\" aria-hidden=\"true\"></span>");
    for (char *at = text.data; style[0] && column->cell == CELL_OUTCOME && *at; at++) /* "no_data": a word of ours */
        *at = *at == '_' ? ' ' : *at;
    clean_html(out, text.length ? text.data : "\u2013", HTML_CELL_CHARS_MAX);
    if (gauge == GAUGE_SHARE || gauge == GAUGE_MOST)
        put_meter(out, share);
    buf_puts(out, "</td>");
    buf_done(&text);
}

static void put_row(struct buf *out, const struct table *table, const bool *used, const double *most, const cJSON *row)
{
    buf_puts(out, "<tr>");
    for (size_t i = 0; table->columns[i].head; i++)
        if (used[i])
            put_cell(out, &table->columns[i], table_gauge(table, &table->columns[i]), most[i], row);
    buf_puts(out, "</tr>\n");
}

void html_table(struct buf *out, const struct table *table, const cJSON *parent, const char *of)
{
    const cJSON *rows = table_rows(table, parent), *row;
    bool used[TABLE_COLUMNS_MAX + 1];
    double most[TABLE_COLUMNS_MAX + 1];
    size_t shown = 0, total = doc_count(rows);

    if (!rows)
        return;
    buf_printf(out, "<section><h2>%s%s", table->title, of[0] ? " of <bdi>" : "");
    clean_html(out, of, 80);
    buf_puts(out, of[0] ? "</bdi></h2>\n" : "</h2>\n");
    if (table->note[0])
        buf_printf(out, "<p class=\"note\">%s</p>\n", table->note);
    buf_puts(out, "<div class=\"scroll\"><table><thead><tr>");
    for (size_t i = 0; table->columns[i].head; i++) {
        used[i] = table_column_used(&table->columns[i], rows);
        most[i] = gauge_most(table, &table->columns[i], rows);
        if (used[i])
            buf_printf(out, "<th scope=\"col\"%s>%s</th>", table_is_number(&table->columns[i]) ? " class=\"number\"" : "",
                       table->columns[i].head);
    }
    buf_puts(out, "</tr></thead><tbody>\n");
    cJSON_ArrayForEach(row, rows) {
        if (shown == HTML_ROWS_MAX || out->length > HTML_LISTS_BYTES_MAX)
            break;
        put_row(out, table, used, most, row);
        shown++;
    }
    buf_puts(out, "</tbody></table></div>\n");
    if (shown < total)
        buf_printf(out, "<p class=\"fine\">%zu more rows are in result.json.</p>\n", total - shown);
    buf_puts(out, "</section>\n");
}

static void put_quality(struct buf *out, const cJSON *result)
{
    const cJSON *quality = doc_get(result, "data_quality"), *note;
    double late = doc_number(quality, "late_share"), unknown = doc_number(quality, "unknown_share");
    size_t notes = 0;

    if (!cJSON_IsObject(quality))
        return;
    buf_puts(out, "<section><h2>Can these numbers be trusted?</h2>\n<ul class=\"quality\">");
    if (doc_true(quality, "load_fit"))
        buf_puts(out, "<li class=\"pass\">The load generator kept its plan.</li>");
    else if (doc_false(quality, "load_fit"))
        buf_puts(out, "<li class=\"fail\">The load generator did not keep its plan: figures that rest on it are unfit.</li>");
    if (isfinite(late))
        buf_printf(out, "<li class=\"%s\">%s of the requests were sent late.</li>", late > 0.01 ? "unsure" : "pass",
                   fmt_share(late).text);
    if (isfinite(unknown))
        buf_printf(out, "<li class=\"%s\">%s of the observation is without data.</li>", unknown > 0 ? "unsure" : "pass",
                   fmt_share(unknown).text);
    cJSON_ArrayForEach(note, doc_list(quality, "notes"))
        if (cJSON_IsString(note) && notes++ < NOTES_MAX) {
            buf_puts(out, "<li dir=\"auto\">");
            clean_html(out, note->valuestring, HTML_LINE_CHARS_MAX);
            buf_puts(out, "</li>");
        }
    buf_puts(out, "</ul></section>\n");
}

static void put_trace_ids(struct buf *out, const cJSON *load)
{
    const cJSON *ids = doc_list(load, "failed_trace_ids"), *id;
    size_t shown = 0, total = doc_count(ids);

    if (total == 0)
        return;
    buf_printf(out, "<details%s><summary><bdi>", total <= 12 ? " open" : "");
    clean_html(out, doc_text(load, "name"), 80);
    buf_printf(out, "</bdi>: %zu ids</summary><p class=\"ids\">", total);
    cJSON_ArrayForEach(id, ids) {
        if (shown == TRACE_IDS_MAX || out->length > HTML_LISTS_BYTES_MAX)
            break;
        if (!cJSON_IsString(id))
            continue;
        buf_puts(out, "<code>");
        clean_html(out, id->valuestring, 80);
        buf_puts(out, "</code> ");
        shown++;
    }
    if (shown < total)
        buf_printf(out, "and %zu more in result.json", total - shown);
    buf_puts(out, "</p></details>\n");
}

static void put_traces(struct buf *out, const cJSON *result)
{
    const cJSON *load;
    size_t total = 0;

    cJSON_ArrayForEach(load, doc_list(result, "loads"))
        total += doc_count(doc_list(load, "failed_trace_ids"));
    if (total == 0)
        return;
    buf_puts(out,
             "<section><h2>Requests that failed</h2>\n<p class=\"note\">Trace ids that were sent with them: look these up in the "
             "service's own traces and logs.</p>\n");
    cJSON_ArrayForEach(load, doc_list(result, "loads"))
        put_trace_ids(out, load);
    buf_puts(out, "</section>\n");
}

static void put_term(struct buf *out, const char *name, const char *text)
{
    if (!text[0])
        return;
    buf_printf(out, "<div><dt>%s</dt><dd dir=\"auto\">", name);
    clean_html(out, text, HTML_CELL_CHARS_MAX);
    buf_puts(out, "</dd></div>");
}

static void put_identity(struct buf *out, const cJSON *result)
{
    static const char *const terms[][2] = {
        { "run", "id" },        { "playbook", "playbook" },   { "hash", "playbook_hash" }, { "seed", "seed" },
        { "rigour", "rigour" }, { "started", "started" },     { "perturb", "version" },    { "host", "host" },
        { "kernel", "kernel" }, { "directory", "directory" },
    };
    const cJSON *run = doc_get(result, "run"), *override;
    size_t overrides = 0;

    buf_puts(out, "<section><h2>This run</h2>\n<dl class=\"terms\">");
    for (size_t i = 0; i < ARRAY_SIZE(terms); i++)
        put_term(out, terms[i][0], doc_text(run, terms[i][1]));
    if (isfinite(doc_number(run, "duration_s")))
        put_term(out, "took", fmt_seconds(doc_number(run, "duration_s")).text);
    if (cJSON_IsObject(doc_get(run, "overrides")))
        cJSON_ArrayForEach(override, doc_get(run, "overrides"))
            if (cJSON_IsString(override) && override->string && overrides++ < NOTES_MAX) {
                buf_puts(out, "<div><dt>--var <bdi>");
                clean_html(out, override->string, 60);
                buf_puts(out, "</bdi></dt><dd dir=\"auto\">");
                clean_html(out, override->valuestring, HTML_CELL_CHARS_MAX);
                buf_puts(out, "</dd></div>");
            }
    buf_puts(out,
             "</dl>\n<p class=\"fine\">Beside this page: <a href=\"result.json\">result.json</a> holds every number shown here, "
             "<a href=\"events.jsonl\">events.jsonl</a> every event.</p></section>\n");
}

void html_tables(struct buf *out, const cJSON *result)
{
    static const struct table *const before_quality[] = { &table_expect, &table_timers, &table_holds, &table_marks, &table_steady, &table_health, &table_faults, &table_knees, &table_ramp,
                                                          &table_costs,  &table_backlogs, &table_controls, &table_hops };
    static const struct table *const after_quality[] = { &table_guards, &table_captures, &table_undo,      &table_verify, &table_loads,
                                                         &table_probes, &table_proxies,  &table_datagrams, &table_targets };

    for (size_t i = 0; i < ARRAY_SIZE(before_quality); i++)
        html_table(out, before_quality[i], result, "");
    html_edges(out, result);
    put_quality(out, result);
    put_traces(out, result);
    for (size_t i = 0; i < ARRAY_SIZE(after_quality); i++)
        html_table(out, after_quality[i], result, "");
    html_locks(out, result);
    put_identity(out, result);
}
