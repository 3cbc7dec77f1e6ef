/* Well-formed UTF-8. Pure. */
#include "scenarios/base/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

size_t utf8_character(const char *text, size_t length)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const unsigned char *bytes = (const unsigned char *)text;
    uint32_t code;
    size_t size;

    if (!length)
        return 0;
    if (bytes[0] < 0x80)
        return 1;
    size = bytes[0] >= 0xf0 ? 4 : bytes[0] >= 0xe0 ? 3 : 2;
    if (bytes[0] < 0xc0 || bytes[0] > 0xf4 || size > length)
        return 0;
    code = bytes[0] & (0x7fU >> size);
    for (size_t i = 1; i < size; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (bytes[i] & 0x3fU);
    }
    return code < least[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : size;
}

size_t utf8_valid_length(const char *text, size_t length)
{
    size_t at = 0, size;

    while ((size = utf8_character(text + at, length - at)))
        at += size;
    return at;
}

static bool turns_reading(const unsigned char *bytes)
{
    uint32_t code = (bytes[0] & 0x0fU) << 12 | (bytes[1] & 0x3fU) << 6 | (bytes[2] & 0x3fU);

    return (code >= 0x200e && code <= 0x200f) || (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
           (code >= 0x2028 && code <= 0x2029);
}

size_t utf8_showable(const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t size = utf8_character(text, length);

    if (size == 1 && (bytes[0] < 0x20 || bytes[0] == 0x7f))
        return 0;
    if (size == 2 && ((bytes[0] == 0xc2 && bytes[1] < 0xa0) || (bytes[0] == 0xd8 && bytes[1] == 0x9c)))
        return 0;
    return size == 3 && turns_reading(bytes) ? 0 : size;
}

void utf8_make_showable(char *text)
{
    size_t length = strlen(text), size;
    char *to = text;

    for (size_t at = 0; at < length; at += size) {
        bool fit = utf8_showable(text + at, length - at) > 0;

        size = utf8_character(text + at, length - at);
        size = size ? size : 1;
        memmove(to, fit ? text + at : "?", fit ? size : 1);
        to += fit ? size : 1;
    }
    *to = '\0';
}

char *utf8_shown(const char *text, char *room, size_t size)
{
    size_t length = text ? strnlen(text, size - 1) : 0;

    memcpy(room, text ? text : "", length);
    room[length] = '\0';
    utf8_make_showable(room);
    return room;
}
