/* The summary for a terminal: verdict first, then the number and how it was judged, then what was asked, what was done, what to
 * do. A label of LABEL_COLUMNS columns stands left of everything. */
#include "controller/report/report.h"

#include "controller/report/clean.h"
#include "controller/report/doc.h"
#include "controller/report/extras.h"
#include "controller/report/format.h"
#include "controller/report/summary.h"
#include "controller/report/table.h"
#include "controller/report/text_more.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/param.h>

enum { LABEL_COLUMNS = 15, OUTCOME_COLUMNS = 11, WIDTH_DEFAULT = 80 };
enum { LINE_CHARS_MAX = 600, WORD_CHARS_MAX = 40, ROWS_MAX = 30, ITEMS_MAX = 10, FIELDS_MAX = 6, TEXT_BYTES_MAX = 1 << 20 };

#define ANSI_END "\033[0m"
#define ANSI_BOLD "\033[1m"
#define ANSI_FAINT "\033[2m"

struct sheet {
    struct buf out;
    bool colour;
    size_t width;
};

/* How many bytes of `text` fit in `columns`, broken at a space where there is one. At least one character. */
static size_t line_length(const char *text, size_t columns)
{
    const char *at = text, *space = NULL;
    size_t used = 0;

    while (*at) {
        const char *next = at;
        char one[8] = "";
        uint32_t character = clean_next(&next);

        memcpy(one, at, MIN((size_t)(next - at), sizeof(one) - 1));
        used += clean_width(one);
        if (used > columns && at > text)
            return (size_t)((space ? space : at) - text);
        if (character == ' ' && *next != '%') /* "31 %" stays on one line */
            space = at;
        at = next;
    }
    return (size_t)(at - text);
}

static void put_spaces(struct sheet *sheet, size_t count)
{
    while (count-- > 0)
        buf_puts(&sheet->out, " ");
}

/* Clean text from column `indent` on; further lines are indented alike. Ends the line. */
static void put_wrapped(struct sheet *sheet, size_t indent, const char *text)
{
    for (bool first = true; first || *text; first = false) {
        size_t length;

        while (*text == ' ')
            text++;
        length = line_length(text, sheet->width - indent);
        if (!first && length > 0)
            put_spaces(sheet, indent);
        buf_append(&sheet->out, text, length);
        buf_puts(&sheet->out, "\n");
        text += length;
        while (*text == ' ')
            text++;
    }
}

static void put_label(struct sheet *sheet, const char *label)
{
    if (sheet->colour && label[0])
        buf_printf(&sheet->out, ANSI_BOLD "%s" ANSI_END, label);
    else
        buf_puts(&sheet->out, label);
    put_spaces(sheet, LABEL_COLUMNS - MIN(strlen(label), (size_t)LABEL_COLUMNS - 1));
}

/* One labelled paragraph of hostile text; nothing when it is empty. */
static void put_field(struct sheet *sheet, const char *label, const char *text)
{
    struct buf clean;

    if (!text[0])
        return;
    buf_init(&clean, TEXT_BYTES_MAX);
    clean_plain(&clean, text, LINE_CHARS_MAX);
    put_label(sheet, label);
    put_wrapped(sheet, LABEL_COLUMNS, clean.data);
    buf_done(&clean);
}

/* A list of sentences, each after a dash. */
static void put_items(struct sheet *sheet, const char *label, const cJSON *items)
{
    const cJSON *item;
    size_t shown = 0;
    struct buf clean;

    cJSON_ArrayForEach(item, items) {
        if (!cJSON_IsString(item) || !item->valuestring[0] || shown == ITEMS_MAX)
            continue;
        buf_init(&clean, TEXT_BYTES_MAX);
        clean_plain(&clean, item->valuestring, LINE_CHARS_MAX);
        put_label(sheet, shown++ ? "" : label);
        buf_puts(&sheet->out, "- ");
        put_wrapped(sheet, LABEL_COLUMNS + 2, clean.data);
        buf_done(&clean);
    }
}

static void put_verdict(struct sheet *sheet, const cJSON *result)
{
    const struct summary_outcome *outcome = summary_outcome(result);
    const struct summary_verdict *verdict = summary_verdict(result);
    const char *why = doc_text(doc_get(result, "verdict"), "why");
    struct buf word;

    buf_init(&word, TEXT_BYTES_MAX);
    clean_plain(&word, verdict->words[0] ? verdict->words : doc_text(doc_get(result, "verdict"), "verdict"), WORD_CHARS_MAX);
    buf_printf(&sheet->out, "%s%s%s  %s%s%s\n", sheet->colour ? outcome->ansi : "", outcome->word, sheet->colour ? ANSI_END : "",
               sheet->colour ? ANSI_BOLD : "", word.data, sheet->colour ? ANSI_END : "");
    word.length = 0;
    clean_plain(&word, why[0] ? why : verdict->meaning, LINE_CHARS_MAX);
    if (word.length)
        put_wrapped(sheet, 0, word.data);
    buf_puts(&sheet->out, "\n");
    buf_done(&word);
}

static void put_identity(struct sheet *sheet, const cJSON *result)
{
    const cJSON *run = doc_get(result, "run");
    struct buf line;

    buf_init(&line, TEXT_BYTES_MAX);
    put_field(sheet, "Run", doc_text(run, "title"));
    if (doc_text(run, "id")[0])
        buf_printf(&line, "%.100s", doc_text(run, "id"));
    if (doc_text(run, "seed")[0])
        buf_printf(&line, "%sseed %.40s", line.length ? ", " : "", doc_text(run, "seed"));
    if (isfinite(doc_number(run, "duration_s")))
        buf_printf(&line, "%stook %s", line.length ? ", " : "", fmt_seconds(doc_number(run, "duration_s")).text);
    put_field(sheet, doc_text(run, "title")[0] ? "" : "Run", line.data);
    buf_done(&line);
}

static void add_part(struct buf *line, const char *name, const struct fmt value)
{
    if (strcmp(value.text, "-") != 0)
        buf_printf(line, "%s%s %s", line->length ? ", " : "", name, value.text);
}

static void put_convergence(struct sheet *sheet, const cJSON *result)
{
    const cJSON *convergence = doc_get(result, "convergence");
    struct summary_headline headline;
    struct buf line;

    summary_headline(result, &headline);
    buf_init(&line, TEXT_BYTES_MAX);
    put_label(sheet, "Convergence");
    buf_printf(&sheet->out, "%s%s%s%s%s\n", sheet->colour ? ANSI_BOLD : "", headline.value, sheet->colour ? ANSI_END : "",
               headline.interval[0] ? ", " : "", headline.interval);
    put_field(sheet, "", headline.label);
    add_part(&line, "band", fmt_share(doc_number(convergence, "band")));
    add_part(&line, "hold", fmt_seconds(doc_number(convergence, "hold_s")));
    add_part(&line, "resolution", fmt_seconds(doc_number(convergence, "bin_s")));
    add_part(&line, "smallest band it could resolve", fmt_share(doc_number(convergence, "resolvable_band")));
    put_field(sheet, "Judged with", line.data);
    if (summary_quick(result)) {
        put_label(sheet, line.length ? "" : "Judged with");
        buf_printf(&sheet->out, "%sQUICK RIGOUR%s: for a look, not for a trend\n", sheet->colour ? "\033[1;33m" : "",
                   sheet->colour ? ANSI_END : "");
    }
    buf_done(&line);
}

static void put_sizes(struct sheet *sheet, const cJSON *result)
{
    const cJSON *signal = summary_signal(result), *hop;
    double loss_s = doc_number(signal, "loss_to_hold_s");
    const char *until = isfinite(loss_s) ? "hold" : "end";
    size_t hops = 0;
    struct buf line;

    buf_init(&line, TEXT_BYTES_MAX);
    if (!isfinite(loss_s))
        loss_s = doc_number(signal, "loss_to_end_s");
    if (isfinite(loss_s)) {
        buf_printf(&line, "%.40s: worth %s of full outage to the %s", doc_text(signal, "signal"), fmt_seconds(loss_s).text, until);
        if (isfinite(doc_number(signal, "dip_depth")))
            buf_printf(&line, "; deepest dip %s", fmt_share(doc_number(signal, "dip_depth")).text);
        put_field(sheet, "Loss", line.data);
    }
    cJSON_ArrayForEach(hop, doc_list(doc_get(result, "amplification"), "hops")) {
        if (isnan(doc_number(hop, "fault")) && isnan(doc_number(hop, "after")))
            continue;
        if (hops++ == FIELDS_MAX)
            break;
        buf_done(&line);
        buf_printf(&line, "%.40s: %s attempts a request in the fault (%s before, %s after)", doc_text(hop, "proxy"),
                   fmt_times(doc_number(hop, "fault")).text, fmt_times(doc_number(hop, "baseline")).text,
                   fmt_times(doc_number(hop, "after")).text);
        put_field(sheet, hops == 1 ? "Amplification" : "", line.data);
    }
    buf_done(&line);
}

static const char *style_ansi(const char *style)
{
    static const char *const colours[][2] = {
        { "pass", "\033[32m" },
        { "fail", "\033[1;31m" },
        { "unsure", "\033[33m" },
        { "danger", "\033[1;37;41m" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(colours); i++)
        if (strcmp(style, colours[i][0]) == 0)
            return colours[i][1];
    return "";
}

/* An outcome word in its columns; what went wrong is in capitals, so that it stands out without colour. */
static void put_outcome(struct sheet *sheet, const char *word)
{
    const char *style = summary_outcome_style(word), *ansi = sheet->colour ? style_ansi(style) : "";
    size_t from = sheet->out.length, width;

    clean_plain(&sheet->out, word, clean_width(word) > OUTCOME_COLUMNS - 1 ? OUTCOME_COLUMNS - 4 : OUTCOME_COLUMNS - 1);
    width = clean_width(sheet->out.data + from);
    if (strcmp(style, "fail") == 0 || strcmp(style, "unsure") == 0)
        for (char *at = sheet->out.data + from; *at; at++)
            *at = *at == '_' ? ' ' : *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
    if (ansi[0]) {
        char plain[64];

        snprintf(plain, sizeof(plain), "%s", sheet->out.data + from);
        sheet->out.length = from;
        buf_printf(&sheet->out, "%s%s" ANSI_END, ansi, plain);
    }
    put_spaces(sheet, width < OUTCOME_COLUMNS ? OUTCOME_COLUMNS - width : 1);
}

/* Rows of outcome and sentence: "met  convergence at most 5s: 0.4s (0.36s to 0.46s)". */
static void put_judged(struct sheet *sheet, const char *label, const cJSON *rows, const char *what_key)
{
    size_t shown = 0, total = doc_count(rows);
    const cJSON *row;
    struct buf line, clean;

    cJSON_ArrayForEach(row, rows) {
        if (shown == ROWS_MAX)
            break;
        buf_init(&line, TEXT_BYTES_MAX);
        buf_init(&clean, TEXT_BYTES_MAX);
        buf_printf(&line, "%.80s %.80s", doc_text(row, what_key), doc_text(row, "bound"));
        if (doc_text(row, "value")[0])
            buf_printf(&line, ": %.200s", doc_text(row, "value"));
        if (doc_number(row, "margin") >= 0)
            buf_printf(&line, ", %s away from it", fmt_share(doc_number(row, "margin")).text);
        put_label(sheet, shown++ ? "" : label);
        put_outcome(sheet, doc_text(row, "outcome"));
        clean_plain(&clean, line.data, LINE_CHARS_MAX);
        put_wrapped(sheet, LABEL_COLUMNS + OUTCOME_COLUMNS, clean.data);
        buf_done(&clean);
        buf_done(&line);
    }
    if (shown < total) {
        put_label(sheet, "");
        buf_printf(&sheet->out, "and %zu more\n", total - shown);
    }
}

static void put_fault(struct sheet *sheet, const cJSON *fault, bool first)
{
    double injected_s = doc_number(fault, "injected_s"), released_s = doc_number(fault, "released_s");
    struct buf line;

    buf_init(&line, TEXT_BYTES_MAX);
    buf_printf(&line, "%.60s", doc_text(fault, "name"));
    buf_printf(&line, "%s%.200s", line.length ? ": " : "",
               doc_text(fault, "spec")[0] ? doc_text(fault, "spec") : doc_text(fault, "fault"));
    if (doc_text(fault, "scope")[0])
        buf_printf(&line, " on %.60s", doc_text(fault, "scope"));
    put_field(sheet, first ? "Faults" : "", line.data);
    buf_done(&line);
    if (isnan(injected_s))
        buf_puts(&line, "NEVER ACTED");
    else
        buf_printf(&line, "first acted at %s", fmt_instant(injected_s).text);
    if (isfinite(released_s))
        buf_printf(&line, ", released at %s", fmt_instant(released_s).text);
    if (isfinite(doc_number(fault, "fired")) && (isfinite(injected_s) || doc_number(fault, "matched") > 0))
        buf_printf(&line, "; fired %s of %s times it matched", fmt_count(doc_number(fault, "fired")).text,
                   fmt_count(doc_number(fault, "matched")).text);
    if (doc_text(fault, "effect")[0])
        buf_printf(&line, "; %.300s", doc_text(fault, "effect"));
    put_field(sheet, "", line.data);
    buf_done(&line);
}

static void put_faults(struct sheet *sheet, const cJSON *result)
{
    const cJSON *fault, *faults = doc_list(result, "faults");
    size_t shown = 0, total = doc_count(faults);

    cJSON_ArrayForEach(fault, faults) {
        if (shown == ROWS_MAX)
            break;
        put_fault(sheet, fault, shown++ == 0);
    }
    if (shown < total) {
        put_label(sheet, "");
        buf_printf(&sheet->out, "and %zu more\n", total - shown);
    }
}

static void put_loads(struct sheet *sheet, const cJSON *result)
{
    static const struct column outcomes = { .key = "outcomes", .cell = CELL_TALLY };
    const cJSON *load;
    size_t shown = 0;
    struct buf line;

    cJSON_ArrayForEach(load, doc_list(result, "loads")) {
        if (shown == FIELDS_MAX)
            break;
        buf_init(&line, TEXT_BYTES_MAX);
        buf_printf(&line, "%.60s: %s planned", doc_text(load, "name"), fmt_count(doc_number(load, "planned")).text);
        if (isfinite(doc_number(load, "rate_per_s")))
            buf_printf(&line, " at %s", fmt_rate(doc_number(load, "rate_per_s")).text);
        buf_printf(&line, ", %s ok, %s failed", fmt_count(doc_number(load, "ok")).text,
                   fmt_count(doc_number(load, "failed")).text);
        if (doc_get(doc_get(load, "outcomes"), "ok") == NULL && doc_get(load, "outcomes") && doc_get(load, "outcomes")->child) {
            buf_puts(&line, " (");
            table_cell(&line, &outcomes, load);
            buf_puts(&line, ")");
        }
        if (doc_false(load, "fit"))
            buf_puts(&line, "; DID NOT KEEP ITS PLAN");
        put_field(sheet, shown++ ? "" : "Load", line.data);
        buf_done(&line);
    }
}

/* UDP proxies only: what came, and what became of it. */
static void put_datagrams(struct sheet *sheet, const cJSON *result)
{
    const cJSON *row;
    size_t shown = 0;
    struct buf line;

    cJSON_ArrayForEach(row, doc_list(result, "datagrams")) {
        double lost = doc_number(row, "no_room") + doc_number(row, "failed") + doc_number(row, "overrun");

        if (shown == FIELDS_MAX)
            break;
        buf_init(&line, TEXT_BYTES_MAX);
        buf_printf(&line, "%.60s: %s came", doc_text(row, "proxy"), fmt_count(doc_number(row, "came")).text);
        buf_printf(&line, " in %s sessions", fmt_count(doc_number(row, "sessions")).text);
        buf_printf(&line, ", %s dropped and %s doubled by faults", fmt_count(doc_number(row, "dropped")).text,
                   fmt_count(doc_number(row, "doubled")).text);
        if (lost > 0)
            buf_printf(&line, ", %s LOST OTHERWISE", fmt_count(lost).text);
        put_field(sheet, shown++ ? "" : "Datagrams", line.data);
        buf_done(&line);
    }
}

/* "3 undone, 1 expired", and by name what is neither. */
/* "health of shop: 100 % before, 35 % under the fault, 25 % at its worst, 88 % after" of each score; its parts are for the tables. */
static void put_health(struct sheet *sheet, const cJSON *result)
{
    static const char *const phases[][2] = { { "baseline", "before" }, { "fault", "under the fault" }, { "worst", "at its worst" }, { "after", "after" } };
    const cJSON *row;
    bool first = true;

    cJSON_ArrayForEach(row, table_rows(&table_health, result)) {
        const char *service = doc_text(row, "service");
        struct buf line;

        if (!doc_text(row, "name")[0])
            continue;
        buf_init(&line, TEXT_BYTES_MAX);
        buf_printf(&line, "%.80s%s%.80s:", doc_text(row, "name"), service[0] ? " of " : "", service);
        for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
            double score = doc_number(row, phases[i][0]);

            buf_printf(&line, "%s %s %s", i ? "," : "", isnan(score) ? "unknown" : fmt_share(score).text, phases[i][1]);
        }
        put_field(sheet, first ? "Health" : "", line.data);
        first = false;
        buf_done(&line);
    }
}

static void put_ledger(struct sheet *sheet, const char *label, const cJSON *rows, const char *key, const char *good)
{
    size_t well = 0, bad = 0;
    const cJSON *row;
    char line[80];

    cJSON_ArrayForEach(row, rows) {
        if (strcmp(summary_outcome_style(doc_text(row, "outcome")), "pass") == 0)
            well++;
        else
            bad++;
    }
    if (well + bad == 0)
        return;
    snprintf(line, sizeof(line), "%zu of %zu %s", well, well + bad, good);
    put_field(sheet, label, line);
    bad = 0;
    cJSON_ArrayForEach(row, rows) {
        struct buf clean;

        if (strcmp(summary_outcome_style(doc_text(row, "outcome")), "pass") == 0 || bad++ >= ROWS_MAX)
            continue;
        buf_init(&clean, TEXT_BYTES_MAX);
        clean_plain(&clean, doc_text(row, key), LINE_CHARS_MAX);
        put_label(sheet, "");
        put_outcome(sheet, doc_text(row, "outcome"));
        put_wrapped(sheet, LABEL_COLUMNS + OUTCOME_COLUMNS, clean.data);
        buf_done(&clean);
    }
}

static void put_next(struct sheet *sheet, const cJSON *result)
{
    const char *directory = doc_text(doc_get(result, "run"), "directory");
    struct buf line;

    put_items(sheet, "Data quality", doc_list(doc_get(result, "data_quality"), "notes"));
    put_items(sheet, "Next", doc_list(doc_get(result, "verdict"), "next"));
    if (!directory[0])
        return;
    buf_init(&line, TEXT_BYTES_MAX);
    clean_plain(&line, directory, LINE_CHARS_MAX);
    put_label(sheet, "Report");
    buf_printf(&sheet->out, "%s/report.html\n", line.data); /* never wrapped: it is there to be copied */
    buf_done(&line);
}

static void put_extra(void *context, const char *label, const char *text)
{
    put_field(context, label, text);
}

int report_text(const cJSON *result, FILE *out, bool colour, int width)
{
    struct sheet sheet = { .colour = colour };
    int code = 0;

    if (!cJSON_IsObject(result))
        return -EINVAL;
    sheet.width = (size_t)(width == 0 ? WIDTH_DEFAULT : MIN(MAX(width, REPORT_WIDTH_MIN), REPORT_WIDTH_MAX));
    buf_init(&sheet.out, TEXT_BYTES_MAX);
    put_verdict(&sheet, result);
    put_convergence(&sheet, result);
    put_sizes(&sheet, result);
    buf_puts(&sheet.out, "\n");
    put_judged(&sheet, "Expected", table_rows(&table_expect, result), "what");
    put_judged(&sheet, "Steady before", table_rows(&table_steady, result), "signal");
    put_health(&sheet, result);
    put_faults(&sheet, result);
    put_loads(&sheet, result);
    put_datagrams(&sheet, result);
    extras_tell(result, put_extra, &sheet);
    text_more(result, put_extra, &sheet);
    put_ledger(&sheet, "Undo", table_rows(&table_undo, result), "entry", "changes taken back or expired by themselves");
    put_ledger(&sheet, "Verified", table_rows(&table_verify, result), "what", "claims proven from outside");
    buf_puts(&sheet.out, "\n");
    put_identity(&sheet, result);
    put_next(&sheet, result);
    if (sheet.out.failed)
        code = -ENOMEM;
    else if (fwrite(sheet.out.data, 1, sheet.out.length, out) != sheet.out.length || fflush(out) != 0)
        code = -EIO;
    buf_done(&sheet.out);
    return code;
}
