/* Secrets in a text are blanked: values that follow a telling name. Better one too many than one too few. */
#include "controller/probe/evidence.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *const names[] = { "authorization", "cookie", "password", "passwd", "passphrase", "secret", "token", "api_key", "api-key",
                                     "apikey", "private_key", "access_key", "credential" };

/* The length of a telling name that starts at `text`; 0 when none does. */
static size_t name_at(const char *text)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!strncasecmp(text, names[i], strlen(names[i])))
            return strlen(names[i]);
    return 0;
}

/* Where the value that belongs to a name begins, the name's rest, quotes, blanks and ':' or '=' skipped; NULL when none follows. */
static const char *value_after(const char *text)
{
    while (isalnum((unsigned char)*text) || *text == '_' || *text == '-')
        text++;
    text += *text == '"' || *text == '\'';
    text += strspn(text, " \t");
    if (*text != ':' && *text != '=')
        return NULL;
    text++;
    return text + strspn(text, " \t");
}

/* A quoted value ends at its quote; a header's at the end of its line; another also at what separates it from the next. */
static size_t value_length(const char *value, bool is_header)
{
    if (*value == '"' || *value == '\'') {
        const char *end = value + 1;

        while (*end && *end != *value && *end != '\n')
            end += *end == '\\' && end[1] ? 2 : 1;
        return (size_t)(end - value) + (*end == *value);
    }
    return strcspn(value, is_header ? "\r\n" : "&;,}\r\n");
}

size_t evidence_redact(struct buf *text)
{
    size_t count = 0;
    struct buf clean;
    const char *rest = text->data;

    buf_init(&clean, text->length_max + 4096);
    for (const char *place = text->data; *place;) {
        size_t length = name_at(place), covered;
        const char *value = length ? value_after(place + length) : NULL;

        covered = value ? value_length(value, !strncasecmp(place, "authorization", 13) || !strncasecmp(place, "cookie", 6)) : 0;
        if (!covered) {
            place += length ? length : 1;
            continue;
        }
        buf_append(&clean, rest, (size_t)(value - rest));
        buf_puts(&clean, "[blanked]");
        rest = place = value + covered;
        count++;
    }
    buf_puts(&clean, rest);
    if (clean.failed) { /* nothing is kept rather than a secret */
        buf_done(&clean);
        buf_init(&clean, text->length_max + 4096);
    }
    buf_done(text);
    *text = clean;
    return count;
}
