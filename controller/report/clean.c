/* Decoding, judging and escaping characters of hostile text. */
#include "controller/report/clean.h"

#include "scenarios/base/cleanup.h"

#include <stdbool.h>
#include <string.h>

struct span {
    uint32_t first, last;
};

static const struct span unshowable[] = {
    { 0x0001, 0x001f }, { 0x007f, 0x009f }, { 0x00ad, 0x00ad }, { 0x061c, 0x061c },   { 0x180e, 0x180e },
    { 0x200b, 0x200f }, { 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0xd800, 0xdfff },   { 0xfdd0, 0xfdef },
    { 0xfeff, 0xfeff }, { 0xfff0, 0xfffb }, { 0xfffe, 0xffff }, { 0xe0000, 0xe0fff },
};

/* The blocks a terminal draws two columns wide (Unicode Standard Annex 11, the bulk of W and F). */
static const struct span wide[] = {
    { 0x1100, 0x115f }, { 0x2e80, 0x303e }, { 0x3041, 0xa4cf },   { 0xac00, 0xd7a3 },   { 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },
    { 0xff00, 0xff60 }, { 0xffe0, 0xffe6 }, { 0x1f300, 0x1f64f }, { 0x1f900, 0x1f9ff }, { 0x20000, 0x3fffd },
};

static bool within(const struct span *spans, size_t count, uint32_t character)
{
    for (size_t i = 0; i < count; i++)
        if (character >= spans[i].first && character <= spans[i].last)
            return true;
    return false;
}

/* Length of a sequence from its first byte, 0 when no sequence begins with it (RFC 3629 section 4). */
static size_t sequence_length(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return 2;
    if (first >= 0xe0 && first <= 0xef)
        return 3;
    return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

static uint32_t decode(const char **text)
{
    static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
    static const unsigned char first_bits[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    const unsigned char *bytes = (const unsigned char *)*text;
    size_t length = sequence_length(bytes[0]);
    uint32_t character;

    if (length == 0) {
        (*text)++;
        return CLEAN_REPLACEMENT;
    }
    character = bytes[0] & first_bits[length];
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            *text += i;
            return CLEAN_REPLACEMENT;
        }
        character = character << 6 | (bytes[i] & 0x3f);
    }
    *text += length;
    return character < smallest[length] || character > 0x10ffff ? CLEAN_REPLACEMENT : character;
}

uint32_t clean_next(const char **text)
{
    uint32_t character;

    if (**text == '\0')
        return 0;
    character = decode(text);
    if (character == '\t' || character == '\n' || character == '\r' || character == 0x2028 || character == 0x2029)
        return ' ';
    return within(unshowable, ARRAY_SIZE(unshowable), character) ? CLEAN_REPLACEMENT : character;
}

static void put_utf8(struct buf *out, uint32_t character)
{
    char bytes[4];
    size_t length = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    static const unsigned char marks[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

    for (size_t i = length; i-- > 1; character >>= 6)
        bytes[i] = (char)(0x80 | (character & 0x3f));
    bytes[0] = (char)(marks[length] | character);
    buf_append(out, bytes, length);
}

void clean_plain(struct buf *out, const char *text, size_t length_max)
{
    uint32_t character;

    for (size_t length = 0; (character = clean_next(&text)) != 0; length++) {
        if (length == length_max) {
            buf_puts(out, "...");
            return;
        }
        put_utf8(out, character == CLEAN_REPLACEMENT ? '?' : character);
    }
}

static const char *entity(uint32_t character)
{
    switch (character) {
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '&':
        return "&amp;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void clean_html(struct buf *out, const char *text, size_t length_max)
{
    uint32_t character;

    for (size_t length = 0; (character = clean_next(&text)) != 0; length++) {
        if (length == length_max) {
            buf_puts(out, "\u2026");
            return;
        }
        if (entity(character))
            buf_puts(out, entity(character));
        else
            put_utf8(out, character);
    }
}

size_t clean_width(const char *text)
{
    size_t width = 0;
    uint32_t character;

    while ((character = clean_next(&text)) != 0)
        width += within(wide, ARRAY_SIZE(wide), character) ? 2 : 1;
    return width;
}
