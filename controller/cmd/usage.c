/* The lines of a command's help: see usage.h. */
#include "controller/cmd/usage.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Where two blanks in a row begin in the text up to `end`; end when they do not. */
static const char *find_gap(const char *text, const char *end)
{
    for (const char *at = text; at + 1 < end; at++)
        if (at[0] == ' ' && at[1] == ' ')
            return at;
    return end;
}

static enum usage_kind kind_of(const struct usage_reader *reader, const char *text, const char *end, int indent)
{
    bool in_definition = reader->last == USAGE_DEFINITION || reader->last == USAGE_MORE;

    if (text == end)
        return USAGE_BREAK;
    if (indent == 0)
        return strncmp(text, "Example: ", 9) ? USAGE_TEXT : USAGE_EXAMPLE;
    if (indent >= 4 && in_definition)
        return USAGE_MORE;
    if (indent >= 4)
        return reader->last == USAGE_EXAMPLE ? USAGE_EXAMPLE : USAGE_TEXT;
    if (*text == '-' || (find_gap(text, end) < end && strncmp(text, "perturb ", 8) != 0))
        return USAGE_DEFINITION;
    return USAGE_EXAMPLE;
}

bool usage_next(struct usage_reader *reader, struct usage_line *ret_line)
{
    size_t length = strcspn(reader->at, "\n");
    const char *end = reader->at + length, *text = reader->at;

    if (!*reader->at)
        return false;
    while (text < end && *text == ' ')
        text++;
    *ret_line = (struct usage_line){ .kind = kind_of(reader, text, end, (int)(text - reader->at)) };
    if (ret_line->kind == USAGE_DEFINITION) {
        const char *gap = find_gap(text, end);

        ret_line->head = text;
        ret_line->head_length = (int)(gap - text);
        for (text = gap; text < end && *text == ' ';)
            text++;
    } else if (ret_line->kind == USAGE_EXAMPLE && !strncmp(text, "Example: ", 9))
        text += 9;
    ret_line->text = text;
    ret_line->text_length = (int)(end - text);
    reader->last = ret_line->kind;
    reader->at = end + (*end == '\n');
    return true;
}

static bool begins_option(const char *text, const char *at)
{
    return *at == '-' && (at == text || strchr(" [(|", at[-1])) && (islower((unsigned char)at[1]) || (at[1] == '-' && islower((unsigned char)at[2])));
}

bool usage_option(const char **at, const char *end, struct usage_option *ret_option)
{
    const char *text = *at;

    for (; *at < end; ++*at) {
        const char *name = *at, *value;
        size_t length = 0, used;

        if (!begins_option(text, name))
            continue;
        while (name + length < end && (isalnum((unsigned char)name[length]) || name[length] == '-'))
            length++;
        value = name + length;
        snprintf(ret_option->name, sizeof(ret_option->name), "%.*s", (int)length, name);
        *at = value;
        value += value < end && *value == '[';
        value += value < end && (*value == ' ' || *value == '=');
        used = strcspn(value, " ,;]\n:");
        used = value + used > end ? (size_t)(end - value) : used;
        if (value == name + length || !(isupper((unsigned char)*value) || *value == '\'' || memchr(value, '|', used)) || *value == '|')
            used = 0;
        snprintf(ret_option->value, sizeof(ret_option->value), "%.*s", (int)used, value);
        return true;
    }
    return false;
}
