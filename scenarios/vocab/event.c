/* Event records printed from their table. Control plane only. */
#include "scenarios/vocab/event.h"

#include "scenarios/base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEXTS(...) { __VA_ARGS__ }
#define NUMBERS(...) { __VA_ARGS__ }
#define NO_NUMBERS { { NULL, UNIT_COUNT } }

const struct event_desc event_descs[EVENT_KIND_COUNT] = {
#define EVENT(kind, text_names, number_rows, help_text) [EVENT_##kind] = { #kind, help_text, text_names, number_rows },
#include "scenarios/vocab/events.def"
};

const char *const source_names[SOURCE_COUNT] = { "guardian", "runner", "wire", "preload", "host", "seccomp" };

void event_init(struct event *event, enum event_kind kind, enum event_source source, uint64_t ns, const char *text0,
                const char *text1)
{
    memset(event, 0, sizeof(*event));
    event->kind = kind;
    event->source = source;
    event->ns = ns;
    snprintf(event->text[0], EVENT_TEXT_MAX, "%s", text0 ? text0 : "");
    snprintf(event->text[1], EVENT_TEXT_MAX, "%s", text1 ? text1 : "");
}

static void put_json_text(struct buf *out, const char *text)
{
    size_t length = strlen(text), at = 0;

    buf_puts(out, "\"");
    while (at < length) {
        unsigned char byte = (unsigned char)text[at];
        size_t size = utf8_character(text + at, length - at);

        if (!size)
            buf_puts(out, "\xef\xbf\xbd"); /* U+FFFD for what is no UTF-8 */
        else if (byte == '"' || byte == '\\')
            buf_printf(out, "\\%c", byte);
        else if (byte < 0x20 || byte == 0x7f)
            buf_printf(out, "\\u%04x", byte);
        else
            buf_append(out, text + at, size);
        at += size ? size : 1;
    }
    buf_puts(out, "\"");
}

static void put_json_number(struct buf *out, int64_t value)
{
    bool fits = value < (INT64_C(1) << 53) && value > -(INT64_C(1) << 53);

    buf_printf(out, fits ? "%" PRId64 : "\"%" PRId64 "\"", value);
}

int event_print_json(const struct event *event, struct buf *out)
{
    const struct event_desc *desc = &event_descs[event->kind];
    const char *separator = "";

    buf_printf(out, "{\"seq\":%" PRIu64 ",\"clock\":\"monotonic\",\"ns\":\"%" PRIu64 "\",\"source\":\"%s\"", event->seq, event->ns,
               source_names[event->source]);
    buf_printf(out, ",\"epoch\":%" PRIu64 ",\"kind\":\"%s\",\"fields\":{", event->epoch, desc->name);
    for (int i = 0; i < EVENT_TEXTS && desc->texts[i]; i++) {
        buf_printf(out, "%s\"%s\":", separator, desc->texts[i]);
        put_json_text(out, event->text[i]);
        separator = ",";
    }
    for (int i = 0; i < EVENT_NUMBERS && desc->numbers[i].name; i++) {
        buf_printf(out, "%s\"%s%s\":", separator, desc->numbers[i].name, desc->numbers[i].unit == UNIT_DURATION ? "_ns" : "");
        put_json_number(out, event->number[i]);
        separator = ",";
    }
    return buf_puts(out, "}}");
}

/* For people: rounded. JSON lines have the exact value. */
static char *rough(enum unit unit, int64_t value, char *text, size_t size)
{
    double ns = (double)value;

    if (unit != UNIT_DURATION)
        return unit_print(unit, value, text, size);
    if (ns < 1e6)
        snprintf(text, size, "%.3gus", ns / 1e3);
    else if (ns < 1e9)
        snprintf(text, size, "%.3gms", ns / 1e6);
    else
        snprintf(text, size, "%.4gs", ns / 1e9);
    return text;
}

/* Text of a target on somebody's terminal. */
static void put_plain_text(struct buf *out, const char *text)
{
    size_t length = strlen(text), size;

    for (size_t at = 0; at < length; at += size ? size : 1) {
        bool fit = utf8_showable(text + at, length - at) > 0;

        size = utf8_character(text + at, length - at);
        buf_append(out, fit ? text + at : "?", fit ? size : 1);
    }
}

int event_print_text(const struct event *event, uint64_t origin_ns, struct buf *out)
{
    const struct event_desc *desc = &event_descs[event->kind];
    char value[32];

    buf_printf(out, "%+12.6f  %-14s", ((double)event->ns - (double)origin_ns) / 1e9, desc->name);
    for (int i = 0; i < EVENT_TEXTS && desc->texts[i]; i++) {
        buf_puts(out, " ");
        put_plain_text(out, event->text[i]);
    }
    for (int i = 0; i < EVENT_NUMBERS && desc->numbers[i].name; i++)
        buf_printf(out, " %s=%s", desc->numbers[i].name, rough(desc->numbers[i].unit, event->number[i], value, sizeof(value)));
    return buf_puts(out, "\n");
}
