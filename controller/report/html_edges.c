/* Who connects to whom, and the locks inside. Edges: each load to what it requests, each proxy to its upstream. */
#include "controller/report/html.h"

#include "controller/report/clean.h"
#include "controller/report/doc.h"
#include "controller/report/format.h"

#include <math.h>

enum { EDGES_MAX = 40, CYCLES_MAX = 20, STEPS_MAX = 8 };

struct edge {
    const char *from, *to, *kind; /* the first two hostile */
    double connects, failed, requests;
};

static size_t find_edges(const cJSON *result, struct edge edges[EDGES_MAX])
{
    size_t count = 0;
    const cJSON *row;

    cJSON_ArrayForEach(row, doc_list(result, "loads"))
        if (count < EDGES_MAX && isfinite(doc_number(row, "connects")))
            edges[count++] = (struct edge){ doc_text(row, "name"), doc_text(row, "url"), "load", doc_number(row, "connects"),
                                            doc_number(row, "connects_failed"), doc_number(row, "sent") };
    cJSON_ArrayForEach(row, doc_list(result, "proxies"))
        if (count < EDGES_MAX && isfinite(doc_number(row, "connections")))
            edges[count++] = (struct edge){ doc_text(row, "name"), doc_text(row, "upstream"), doc_is(row, "protocol", "udp") ? "UDP proxy" : "proxy",
                                            doc_number(row, "connections"), doc_number(row, "connects_failed"), (double)NAN };
    return count;
}

static void put_edge(struct buf *out, const struct edge *edge, double most)
{
    double failed = edge->failed > 0 ? edge->failed : 0, made = fmax(0, edge->connects), all = fmax(made, failed);

    buf_printf(out, "<tr><td data-head=\"from\"><span class=\"kind\">%s</span> <b dir=\"auto\">", edge->kind);
    clean_html(out, edge->from, 80);
    buf_puts(out, "</b></td><td data-head=\"to\" class=\"code\" dir=\"auto\"><span class=\"arrow\" aria-hidden=\"true\">\u2192</span> ");
    clean_html(out, edge->to, HTML_CELL_CHARS_MAX);
    buf_printf(out, "</td><td data-head=\"connections\" class=\"number\">%s<svg class=\"meter\" width=\"100%%\" height=\"6\" aria-hidden=\"true\"><rect "
                    "class=\"m-all\" width=\"100%%\" height=\"6\" rx=\"3\"/><rect class=\"m-part\" width=\"%.1f%%\" height=\"6\" rx=\"3\"/><rect "
                    "class=\"m-bad\" width=\"%.1f%%\" height=\"6\" rx=\"3\"/></svg></td>",
               fmt_count(edge->connects).text, all / most * 100, failed / most * 100);
    buf_printf(out, "<td data-head=\"in vain\" class=\"number%s\">%s</td>", failed > 0 ? " fail" : "", fmt_count(edge->failed).text);
    buf_printf(out, "<td data-head=\"requests each\" class=\"number\">%s</td></tr>\n",
               edge->connects > 0 && isfinite(edge->requests) ? fmt_count(round(edge->requests / edge->connects)).text : "\u2013");
}

void html_edges(struct buf *out, const cJSON *result)
{
    struct edge edges[EDGES_MAX];
    size_t count = find_edges(result, edges);
    double most = 0;

    for (size_t i = 0; i < count; i++)
        most = fmax(most, fmax(edges[i].connects, edges[i].failed));
    if (!(most > 0) || !isfinite(most))
        return;
    buf_puts(out, "<section><h2>Connections</h2>\n<p class=\"note\">Each edge over the whole run. Far more connections than before a fault is a storm "
                  "of reconnects; a probe of a pool draws it over time.</p>\n<div class=\"scroll\"><table class=\"edges\"><thead><tr><th "
                  "scope=\"col\">from</th><th scope=\"col\">to</th><th scope=\"col\" class=\"number\">connections</th><th scope=\"col\" "
                  "class=\"number\">in vain</th><th scope=\"col\" class=\"number\">requests each</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < count && out->length < HTML_LISTS_BYTES_MAX; i++)
        put_edge(out, &edges[i], most);
    buf_puts(out, "</tbody></table></div></section>\n");
}

/* ---- locks ------------------------------------------------------------------------------------------------------------------- */

static void put_step(struct buf *out, const cJSON *step, const char *key, const char *before)
{
    const cJSON *lock = doc_get(step, key);

    buf_puts(out, before);
    buf_puts(out, "<code>");
    clean_html(out, doc_text(lock, "name")[0] ? doc_text(lock, "name") : doc_text(lock, "lock"), 60);
    buf_puts(out, "</code> (");
    clean_html(out, doc_text(lock, "site"), 160);
    buf_puts(out, ")");
}

static void put_cycles(struct buf *out, const cJSON *cycles)
{
    const cJSON *cycle, *step;
    size_t shown = 0;

    if (doc_count(cycles) == 0)
        return;
    buf_puts(out, "<p class=\"note\">Locks taken in orders that could deadlock, though they did not:</p>\n<ul class=\"quality\">");
    cJSON_ArrayForEach(cycle, cycles) {
        size_t steps = 0;

        if (!cJSON_IsArray(cycle) || shown++ == CYCLES_MAX || out->length > HTML_LISTS_BYTES_MAX)
            break;
        buf_puts(out, "<li class=\"unsure\">");
        cJSON_ArrayForEach(step, cycle)
            if (steps++ < STEPS_MAX) {
                put_step(out, step, "held", steps > 1 ? "; " : "");
                put_step(out, step, "next", " held while asking for ");
            }
        buf_puts(out, "</li>\n");
    }
    buf_puts(out, "</ul>\n");
}

void html_locks(struct buf *out, const cJSON *result)
{
    const cJSON *target;

    cJSON_ArrayForEach(target, doc_list(result, "targets")) {
        const cJSON *locks = doc_get(target, "locks");

        html_table(out, &table_locks, locks, doc_text(target, "name"));
        put_cycles(out, doc_list(locks, "order_cycles"));
    }
}
