/* Tables of text: comma, semicolon or tab between fields (whichever the first line has), a time first, an optional head line, quotes
 * as in RFC 4180 (no line breaks inside them), CR LF or LF, empty lines and lines from '#' on left out. See samples.h. */
#include "controller/cmd/samples.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct table {
    const char *file;
    struct errs *errs;
    struct samples *samples;
    char separator;
    size_t line;
    size_t fields;    /* of each row; 0 before the first */
    bool out_of_memory;
};

struct cursor {
    const char *at, *begin, *end; /* of the line; `at` is NULL after the last field */
};

static int complain(const struct table *table, const struct cursor *cursor, const char *field, const char *format, const char *text)
{
    char where[ERR_WHERE_MAX];

    snprintf(where, sizeof(where), "%.200s:%zu:%zu", table->file, table->line, (size_t)(field - cursor->begin) + 1);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    return errs_add(table->errs, ERR_INPUT, where, format, text);
#pragma GCC diagnostic pop
}

static void trim(char *text)
{
    size_t length = strlen(text), blank = strspn(text, " \t");

    while (length > blank && strchr(" \t", text[length - 1]))
        length--;
    memmove(text, text + blank, length - blank);
    text[length - blank] = '\0';
}

/* Copies the next field, without its quotes and cut to `size`, and returns where it began; NULL after the last. */
static const char *next_field(const struct table *table, struct cursor *cursor, char *ret_text, size_t size)
{
    const char *begin = cursor->at, *at = begin;
    bool quoted = false;
    size_t length = 0;

    if (!begin)
        return NULL;
    for (; at < cursor->end && (quoted || *at != table->separator); at++) {
        if (*at == '"' && (quoted || length == 0)) {
            if (!quoted || at + 1 == cursor->end || at[1] != '"') {
                quoted = !quoted;
                continue;
            }
            at++;
        }
        if (length + 1 < size)
            ret_text[length++] = *at;
    }
    ret_text[length] = '\0';
    trim(ret_text);
    cursor->at = at < cursor->end ? at + 1 : NULL;
    return begin;
}

static bool is_unknown(const char *text)
{
    static const char *const words[] = { "", "-", "null", "NULL", "nil", "NA", "N/A" };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (!strcmp(text, words[i]))
            return true;
    return false;
}

static int open_columns(struct table *table, struct cursor cursor, bool is_head)
{
    char text[SAMPLES_NAME_MAX];
    const char *field;

    for (table->fields = 0; (field = next_field(table, &cursor, text, sizeof(text))); table->fields++) {
        if (table->fields == 0)
            continue;
        if (!is_head || !text[0])
            snprintf(text, sizeof(text), "column%zu", table->fields + 1);
        if (!samples_new_column(table->samples, text) && !table->samples->column)
            return errs_add(table->errs, ERR_INTERNAL, table->file, "out of memory");
        if (table->samples->columns != table->fields)
            return complain(table, &cursor, field, "column '%s' is one too many: at most 64 are read", text);
    }
    if (table->fields < 2)
        return complain(table, &cursor, cursor.begin, "there is only one column%s: a time and at least one value are needed", "");
    return 0;
}

static void read_row(struct table *table, struct cursor cursor)
{
    char text[SAMPLES_NAME_MAX], count[64];
    const char *field = next_field(table, &cursor, text, sizeof(text));
    double at_s, value;
    size_t fields = 1;
    char *end;

    if (!samples_time(text, &at_s)) {
        complain(table, &cursor, field, "'%.60s' is no time: a number of seconds or 2026-11-23T14:05:00Z is", text);
        return;
    }
    while ((field = next_field(table, &cursor, text, sizeof(text)))) {
        fields++;
        if (fields > table->fields)
            continue;
        value = strtod(text, &end);
        if (is_unknown(text))
            value = NAN;
        else if (end == text || *end)
            complain(table, &cursor, field, "'%.60s' is no number; an empty field says unknown", text);
        if (samples_add(&table->samples->column[fields - 2], at_s, value) < 0)
            table->out_of_memory = true;
    }
    if (fields != table->fields) {
        snprintf(count, sizeof(count), "%zu fields, and the first line has %zu", fields, table->fields);
        complain(table, &cursor, cursor.begin, "this line has %s", count);
    }
}

static int first_row(struct table *table, struct cursor cursor)
{
    static const char separators[] = "\t;,";
    char text[SAMPLES_NAME_MAX];
    struct cursor look = cursor;
    bool is_head;
    double at_s;
    int result;

    table->separator = ',';
    for (size_t i = 0; separators[i]; i++)
        if (memchr(cursor.begin, separators[i], (size_t)(cursor.end - cursor.begin))) {
            table->separator = separators[i];
            break;
        }
    next_field(table, &look, text, sizeof(text));
    is_head = !samples_time(text, &at_s);
    result = open_columns(table, cursor, is_head);
    if (result == 0 && !is_head)
        read_row(table, cursor);
    return result;
}

int samples_read_table(const char *file, const char *text, size_t length, struct samples *samples, struct errs *errs)
{
    struct table table = { .file = file, .errs = errs, .samples = samples };
    const char *end = text + length, *line = text;
    size_t before = errs->count;
    int result = 0;

    for (const char *next; line < end && result == 0 && !table.out_of_memory; line = next) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        struct cursor cursor = { .at = line, .begin = line, .end = stop ? stop : end };

        next = stop ? stop + 1 : end;
        table.line++;
        if (cursor.end > line && cursor.end[-1] == '\r')
            cursor.end--;
        if (line[0] == '#' || strspn(line, " \t") >= (size_t)(cursor.end - line))
            continue;
        if (!table.fields)
            result = first_row(&table, cursor);
        else
            read_row(&table, cursor);
    }
    if (table.out_of_memory)
        return errs_add(errs, ERR_INTERNAL, file, "out of memory");
    return errs->count > before || result < 0 ? -EINVAL : 0;
}
