/* The report as workflow commands of GitHub Actions: one annotation for the verdict, one for each bound that is not met, at most ten of a
 * kind (more are not shown). Source: GitHub documentation, "Workflow commands": %, CR and LF are escaped, in properties also ':' and ','. */
#include "controller/report/report.h"

#include "controller/report/clean.h"
#include "controller/report/doc.h"
#include "controller/report/summary.h"
#include "controller/report/table.h"

#include <errno.h>
#include <string.h>

enum { GITHUB_BYTES_MAX = 1 << 18, TEXT_CHARS_MAX = 500, ANNOTATIONS_MAX = 9 };

static void put_escaped(struct buf *out, const char *text, bool is_property)
{
    struct buf clean;

    buf_init(&clean, GITHUB_BYTES_MAX);
    clean_plain(&clean, text, TEXT_CHARS_MAX); /* line ends are blanks by now */
    for (const char *at = clean.data; *at; at++) {
        if (*at == '%' || (is_property && (*at == ':' || *at == ',')))
            buf_printf(out, "%%%02X", (unsigned)*at);
        else
            buf_append(out, at, 1);
    }
    buf_done(&clean);
}

static void put_annotation(struct buf *out, const char *level, const cJSON *result, const char *title, const char *text)
{
    buf_printf(out, "::%s file=", level);
    put_escaped(out, doc_text(doc_get(result, "run"), "playbook"), true);
    buf_puts(out, ",line=1,title=");
    put_escaped(out, title, true);
    buf_puts(out, "::");
    put_escaped(out, text, false);
    buf_puts(out, "\n");
}

int report_github(const cJSON *result, struct buf *ret_text)
{
    const cJSON *verdict = doc_get(result, "verdict"), *row;
    double status = doc_number(verdict, "status");
    const char *level = status == 0 ? "notice" : status == 2 ? "warning" : "error";
    struct summary_headline headline;
    char title[256], text[512];
    size_t shown = 0;

    buf_init(ret_text, GITHUB_BYTES_MAX);
    if (!cJSON_IsObject(result))
        return -EINVAL;
    summary_headline(result, &headline);
    snprintf(title, sizeof(title), "%s %s, convergence %s", summary_outcome(result)->word, summary_verdict(result)->words, headline.value);
    put_annotation(ret_text, level, result, title, doc_text(verdict, "why"));
    cJSON_ArrayForEach(row, table_rows(&table_expect, result)) {
        if (doc_is(row, "outcome", "met") || shown++ == ANNOTATIONS_MAX)
            continue;
        snprintf(text, sizeof(text), "%.160s measured, %.160s asked for", doc_text(row, "value"), doc_text(row, "bound"));
        snprintf(title, sizeof(title), "%.100s %.40s", doc_text(row, "what"), doc_text(row, "outcome"));
        put_annotation(ret_text, doc_is(row, "outcome", "broken") ? "error" : "warning", result, title, text);
    }
    return ret_text->failed ? -ENOMEM : 0;
}
