/* Splitting before decoding, so that %2F stays inside of its segment and %26 inside of its value. */
#include "controller/serve/http/uri.h"

#include "scenarios/base/utf8.h"

#include <errno.h>
#include <string.h>

enum { NAME_BYTES_MAX = 255 };

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes `text` in place. NULL, or why not. */
static const char *decode(char *text, bool plus_is_blank)
{
    char *to = text;

    for (const char *from = text; *from; from++) {
        int high = 0, low = 0;

        if (*from == '%') {
            high = hex_digit(from[1]);
            low = high < 0 ? -1 : hex_digit(from[2]);
            if (low < 0)
                return "a '%' is not followed by two hexadecimal digits";
            *to = (char)(high * 16 + low);
            from += 2;
        } else {
            *to = *from == '+' && plus_is_blank ? ' ' : *from;
        }
        if ((unsigned char)*to < 0x20 || *to == 0x7f)
            return "it holds a control character";
        to++;
    }
    *to = '\0';
    return utf8_valid_length(text, (size_t)(to - text)) == (size_t)(to - text) ? NULL : "it is not UTF-8";
}

static const char *take_path(char *path, struct uri *uri)
{
    char *at = path + 1;

    if (!*at)
        return NULL;
    for (;;) {
        char *end = strchr(at, '/');
        const char *why;

        if (uri->segment_count == URI_SEGMENTS_MAX)
            return "its path has too many parts";
        if (end)
            *end = '\0';
        why = decode(at, false);
        if (why)
            return why;
        if (!*at || !strcmp(at, ".") || !strcmp(at, ".."))
            return "a part of its path is empty, '.' or '..'";
        uri->segment[uri->segment_count++] = at;
        if (!end)
            return NULL;
        at = end + 1;
    }
}

static const char *take_query(char *query, struct uri *uri)
{
    while (query) {
        char *end = strchr(query, '&'), *value;
        const char *why;

        if (end)
            *end++ = '\0';
        if (*query) {
            if (uri->parameter_count == URI_PARAMETERS_MAX)
                return "it has too many parameters";
            value = strchr(query, '=');
            if (value)
                *value++ = '\0';
            why = decode(query, true);
            if (!why && value)
                why = decode(value, true);
            if (why)
                return why;
            uri->parameter[uri->parameter_count++] = (struct uri_parameter){ query, value ? value : "" };
        }
        query = end;
    }
    return NULL;
}

int uri_parse(const char *raw, size_t length, struct uri *ret_uri, const char **ret_why)
{
    char *query;
    const char *why;

    ret_uri->segment_count = ret_uri->parameter_count = 0;
    *ret_why = "it is longer than 4096 bytes";
    if (length > URI_BYTES_MAX)
        return -E2BIG;
    *ret_why = "it does not begin with '/'";
    if (!length || raw[0] != '/')
        return -EINVAL;
    *ret_why = "it holds a control character";
    if (memchr(raw, '\0', length))
        return -EINVAL;
    memcpy(ret_uri->storage, raw, length);
    ret_uri->storage[length] = '\0';
    query = strchr(ret_uri->storage, '?');
    if (query)
        *query++ = '\0';
    why = take_path(ret_uri->storage, ret_uri);
    if (!why)
        why = take_query(query, ret_uri);
    *ret_why = why;
    return why ? -EINVAL : 0;
}

const char *uri_parameter(const struct uri *uri, const char *name)
{
    for (size_t i = 0; i < uri->parameter_count; i++)
        if (!strcmp(uri->parameter[i].name, name))
            return uri->parameter[i].value;
    return NULL;
}

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-_. ", c) || (unsigned char)c >= 0x80;
}

bool uri_is_name(const char *name)
{
    size_t length = strlen(name);
    bool begins = true;

    if (!length || length > NAME_BYTES_MAX || name[length - 1] == '/' || utf8_valid_length(name, length) != length)
        return false;
    for (const char *at = name; *at; at++) {
        if (*at == '/' ? begins : !is_name_character(*at) || (begins && *at == '.'))
            return false;
        begins = *at == '/';
    }
    return true;
}
