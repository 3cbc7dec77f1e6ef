/* Well-formed UTF-8. Pure. */
#include "scenarios/base/utf8.h"

#include <stdint.h>

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
