/* Looks for one text in a stream of bytes. */
#include "controller/load/match.h"

#include <errno.h>
#include <string.h>

static size_t step(const struct match *match, size_t state, char byte)
{
    while (state > 0 && match->text[state] != byte)
        state = match->fallback[state - 1];
    return match->text[state] == byte ? state + 1 : 0;
}

int match_init(struct match *match, const char *text)
{
    size_t length = text ? strlen(text) : 0;

    if (length > MATCH_TEXT_MAX)
        return -E2BIG;
    memset(match, 0, sizeof(*match));
    if (text)
        memcpy(match->text, text, length);
    match->length = length;
    for (size_t i = 1; i < length; i++)
        match->fallback[i] = step(match, match->fallback[i - 1], text[i]);
    return 0;
}

size_t match_feed(const struct match *match, size_t state, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length && state < match->length; i++)
        state = step(match, state, bytes[i]);
    return state;
}
