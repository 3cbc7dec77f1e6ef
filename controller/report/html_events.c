/* The run's events, folded away: what happened in which order, for the reader who does not believe the rest. */
#include "controller/report/html.h"

#include "controller/report/clean.h"
#include "controller/report/doc.h"
#include "controller/report/format.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_MAX = 400, FIELDS_MAX = 8 };

/* Instants travel as decimal strings: a double holds 53 bits of the 64. */
static double event_ns(const cJSON *event)
{
    const cJSON *ns = doc_get(event, "ns");

    return cJSON_IsString(ns) ? strtod(ns->valuestring, NULL) : doc_value(ns);
}

/* The line at `*text`, up to `end`; moves on to the next. NULL when it is no JSON object; `out` has
 * failed when that was for want of memory. Returns new. */
static cJSON *next_event(struct buf *out, const char **text, const char *end)
{
    const char *line = *text, *stop = memchr(line, '\n', (size_t)(end - line));
    size_t length = (size_t)((stop ? stop : end) - line);
    cJSON *event;

    errno = 0;
    event = cJSON_ParseWithLength(line, length);
    out->failed |= !event && errno == ENOMEM;
    *text = stop ? stop + 1 : end;
    if (cJSON_IsObject(event))
        return event;
    cJSON_Delete(event);
    return NULL;
}

/* The run's zero: the load's start; without a load, the first event. */
static double find_origin_ns(struct buf *out, const struct buf *events)
{
    const char *text = events->data, *end = events->data + events->length;
    double first_ns = (double)NAN, found_ns = (double)NAN;

    while (text < end && isnan(found_ns)) {
        cJSON *event = next_event(out, &text, end);

        if (isnan(first_ns))
            first_ns = event_ns(event);
        if (doc_is(event, "kind", "load_started"))
            found_ns = event_ns(event);
        cJSON_Delete(event);
    }
    return isnan(found_ns) ? first_ns : found_ns;
}

static void put_field(struct buf *out, const cJSON *field)
{
    const char *name = field->string ? field->string : "";
    size_t length = strlen(name);

    buf_puts(out, "<span><i>");
    clean_html(out, name, 40);
    buf_puts(out, "</i> <bdi>");
    if (cJSON_IsNumber(field) && length > 3 && strcmp(name + length - 3, "_ns") == 0)
        buf_puts(out, fmt_seconds(field->valuedouble / 1e9).text);
    else if (cJSON_IsNumber(field))
        buf_puts(out, fmt_count(doc_value(field)).text);
    else if (cJSON_IsString(field))
        clean_html(out, field->valuestring, 160);
    buf_puts(out, "</bdi></span> ");
}

static void put_event(struct buf *out, const cJSON *event, double origin_ns)
{
    const cJSON *field, *fields = doc_get(event, "fields");
    double at_s = (event_ns(event) - origin_ns) / 1e9;
    size_t count = 0;

    buf_printf(out, "<tr><td class=\"number\">%s</td><td>", isfinite(at_s) && fabs(at_s) < 1e9 ? fmt_instant(at_s).text : "");
    clean_html(out, doc_text(event, "source"), 40);
    buf_puts(out, "</td><td class=\"kind\">");
    clean_html(out, doc_text(event, "kind"), 60);
    buf_puts(out, "</td><td class=\"fields\">");
    if (cJSON_IsObject(fields))
        cJSON_ArrayForEach(field, fields)
            if (count++ < FIELDS_MAX)
                put_field(out, field);
    buf_puts(out, "</td></tr>\n");
}

void html_events(struct buf *out, const struct buf *events)
{
    const char *text, *end;
    size_t shown = 0, left_out = 0, unread = 0;
    double origin_ns;

    if (!events || events->length == 0)
        return;
    origin_ns = find_origin_ns(out, events);
    text = events->data;
    end = events->data + events->length;
    buf_puts(out,
             "<section><details class=\"events\"><summary><h2>Events</h2></summary>\n<div class=\"scroll\"><table><thead><tr>"
             "<th scope=\"col\" class=\"number\">at</th><th scope=\"col\">source</th><th scope=\"col\">event</th>"
             "<th scope=\"col\"></th></tr></thead><tbody>\n");
    while (text < end) {
        cJSON *event = next_event(out, &text, end);

        if (!event) {
            unread++;
        } else if (shown == EVENTS_MAX || out->length > HTML_LISTS_BYTES_MAX) {
            left_out++;
        } else {
            put_event(out, event, origin_ns);
            shown++;
        }
        cJSON_Delete(event);
    }
    buf_puts(out, "</tbody></table></div>\n");
    if (left_out)
        buf_printf(out, "<p class=\"fine\">%zu more events are in events.jsonl.</p>\n", left_out);
    if (unread)
        buf_printf(out, "<p class=\"fine\">%zu lines of events.jsonl are no events.</p>\n", unread);
    buf_puts(out, "</details></section>\n");
}
