/* Go's decoding rules over cJSON. */
#include "controller/toxiproxy/json.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- the second walk: what cJSON is lax about, and numbers as written ------------------------------------------------- */

struct walk {
    const char *at; /* in text that cJSON found valid */
    struct buf *why;
};

static int refuse(struct walk *walk, const char *text)
{
    buf_puts(walk->why, text);
    return -EINVAL;
}

static void skip_space(struct walk *walk)
{
    while (*walk->at && (unsigned char)*walk->at <= ' ')
        walk->at++;
}

static void skip_mark(struct walk *walk)
{
    skip_space(walk);
    walk->at++;
    skip_space(walk);
}

static int skip_string(struct walk *walk)
{
    for (walk->at++; *walk->at != '"'; walk->at++) {
        if ((unsigned char)*walk->at < ' ')
            return refuse(walk, "invalid control character in string literal");
        if (*walk->at != '\\')
            continue;
        walk->at++;
        if (!strncmp(walk->at, "u0000", 5))
            return refuse(walk, "a text cannot hold the character NUL");
    }
    walk->at++;
    return 0;
}

static size_t digits(const char *text)
{
    return strspn(text, "0123456789");
}

/* Length of the number that `text` begins with, by the grammar of RFC 8259 section 6; 0 when it is none. */
static size_t number_length(const char *text)
{
    const char *at = text + (*text == '-');
    size_t length = digits(at);

    if (!length || (*at == '0' && length > 1))
        return 0;
    at += length;
    if (*at == '.') {
        length = digits(at + 1);
        if (!length)
            return 0;
        at += 1 + length;
    }
    if (*at == 'e' || *at == 'E') {
        at += at[1] == '+' || at[1] == '-' ? 2 : 1;
        length = digits(at);
        if (!length)
            return 0;
        at += length;
    }
    return (size_t)(at - text);
}

static char *copy(const char *text, size_t length)
{
    char *copied = cJSON_malloc(length + 1);

    if (!copied)
        return NULL;
    memcpy(copied, text, length);
    copied[length] = '\0';
    return copied;
}

static int keep_number(struct walk *walk, cJSON *item)
{
    size_t length = number_length(walk->at), written = strspn(walk->at, "0123456789+-.eE");

    if (!length || length != written)
        return refuse(walk, "invalid number literal");
    item->valuestring = copy(walk->at, length); /* cJSON_Delete frees it */
    walk->at += length;
    return item->valuestring ? 0 : refuse(walk, "out of memory");
}

/* Puts U+FFFD for each malformed byte. */
static int mend_utf8(struct walk *walk, char **text)
{
    size_t length = strlen(*text), at = 0;
    struct buf mended;

    if (utf8_valid_length(*text, length) == length)
        return 0;
    buf_init(&mended, 3 * length + 1);
    while (at < length) {
        size_t size = utf8_character(*text + at, length - at);

        if (size)
            buf_append(&mended, *text + at, size);
        else
            buf_puts(&mended, "\xef\xbf\xbd");
        at += size ? size : 1;
    }
    cJSON_free(*text);
    *text = copy(mended.data, mended.length);
    buf_done(&mended);
    return *text ? 0 : refuse(walk, "out of memory");
}

static int walk_value(struct walk *walk, cJSON *item);

static int walk_children(struct walk *walk, cJSON *item)
{
    skip_mark(walk);
    for (cJSON *child = item->child; child; child = child->next) {
        if (cJSON_IsObject(item)) {
            if (skip_string(walk) < 0 || mend_utf8(walk, &child->string) < 0)
                return -EINVAL;
            skip_mark(walk);
        }
        if (walk_value(walk, child) < 0)
            return -EINVAL;
        skip_space(walk);
        if (child->next)
            skip_mark(walk);
    }
    skip_mark(walk);
    return 0;
}

static int walk_value(struct walk *walk, cJSON *item)
{
    skip_space(walk);
    if (cJSON_IsObject(item) || cJSON_IsArray(item))
        return walk_children(walk, item);
    if (cJSON_IsString(item))
        return skip_string(walk) < 0 ? -EINVAL : mend_utf8(walk, &item->valuestring);
    if (cJSON_IsNumber(item))
        return keep_number(walk, item);
    walk->at += cJSON_IsFalse(item) ? 5 : 4;
    return 0;
}

/* ---- decoding --------------------------------------------------------------------------------------------------------- */

/* Does the text end inside its first value? Asked only of text that is not valid. */
static bool is_cut_off(const char *text, size_t size)
{
    bool in_string = false;
    size_t depth = 0;

    for (size_t i = 0; i < size; i++) {
        if (in_string && text[i] == '\\') {
            i++;
        } else if (in_string) {
            in_string = text[i] != '"';
        } else if (text[i] == '"') {
            in_string = true;
        } else if (text[i] == '{' || text[i] == '[') {
            depth++;
        } else if ((text[i] == '}' || text[i] == ']') && depth-- <= 1) {
            return false;
        }
    }
    return in_string || depth;
}

int json_decode(const char *text, size_t size, cJSON **ret_value, struct buf *why)
{
    size_t space = strspn(text, " \t\r\n");
    struct walk walk = { .at = text + space, .why = why };
    const char *end = NULL;
    cJSON *value;

    if (space >= size) {
        buf_puts(why, "EOF");
        return -EINVAL;
    }
    if (memchr(text, '\0', size) || *walk.at == '\xef') { /* cJSON skips both, a NUL and a byte order mark */
        buf_puts(why, "invalid character looking for beginning of value");
        return -EINVAL;
    }
    value = cJSON_ParseWithLengthOpts(walk.at, size - space + 1, &end, 0);
    if (!value) {
        if (is_cut_off(walk.at, size - space))
            buf_puts(why, "unexpected EOF");
        else
            buf_printf(why, "invalid character at byte %zu", end ? (size_t)(end - text) + 1 : space + 1);
        return -EINVAL;
    }
    if (walk_value(&walk, value) < 0) {
        cJSON_Delete(value);
        return -EINVAL;
    }
    *ret_value = value;
    return 0;
}

const char *json_kind(const cJSON *value)
{
    if (cJSON_IsObject(value))
        return "object";
    if (cJSON_IsArray(value))
        return "array";
    if (cJSON_IsString(value))
        return "string";
    if (cJSON_IsNumber(value))
        return "number";
    return cJSON_IsNull(value) ? "null" : "bool";
}

int json_integer(const cJSON *number, int64_t *ret_value)
{
    int64_t value;
    char *end;

    if (!cJSON_IsNumber(number) || !number->valuestring)
        return -EINVAL;
    errno = 0;
    value = strtoll(number->valuestring, &end, 10);
    if (*end || errno)
        return -EINVAL;
    *ret_value = value;
    return 0;
}

static int set_float(const cJSON *value, float *target)
{
    float number;

    if (!cJSON_IsNumber(value))
        return -EINVAL;
    number = strtof(value->valuestring, NULL);
    if (!isfinite(number))
        return -EINVAL;
    *target = number;
    return 0;
}

static int set_field(const struct json_field *field, const cJSON *value)
{
    switch (field->type) {
    case JSON_TEXT:
        if (!cJSON_IsString(value))
            return -EINVAL;
        *(const char **)field->target = value->valuestring;
        return 0;
    case JSON_BOOL:
        if (!cJSON_IsBool(value))
            return -EINVAL;
        *(bool *)field->target = cJSON_IsTrue(value) != 0;
        return 0;
    case JSON_INTEGER:
        return json_integer(value, field->target);
    case JSON_FLOAT:
        return set_float(value, field->target);
    case JSON_LIST:
    case JSON_OBJECT:
        if (field->type == JSON_LIST ? !cJSON_IsArray(value) : !cJSON_IsObject(value))
            return -EINVAL;
        break;
    case JSON_ANY:
        break;
    }
    *(const cJSON **)field->target = value;
    return 0;
}

int json_fields(const cJSON *object, const struct json_field *fields, size_t count, struct buf *why)
{
    static const char *const types[] = { "string", "bool", "integer of 64 bits", "float32", "array", "object", "any" };

    if (cJSON_IsNull(object))
        return 0;
    if (!cJSON_IsObject(object)) {
        buf_printf(why, "cannot unmarshal %s into an object", json_kind(object));
        return -EINVAL;
    }
    for (const cJSON *child = object->child; child; child = child->next)
        for (size_t i = 0; i < count; i++) {
            if (strcasecmp(child->string, fields[i].name) != 0 || cJSON_IsNull(child))
                continue;
            if (set_field(&fields[i], child) == 0)
                continue;
            buf_printf(why, "cannot unmarshal %s%s%.40s into field %s of type %s", json_kind(child),
                       cJSON_IsNumber(child) ? " " : "", cJSON_IsNumber(child) ? child->valuestring : "", fields[i].name,
                       types[fields[i].type]);
            return -EINVAL;
        }
    return 0;
}

/* ---- writing ---------------------------------------------------------------------------------------------------------- */

char *json_print_float(float value, char *text, size_t size)
{
    float magnitude = fabsf(value);
    int precision = 0, decimals;

    do
        snprintf(text, size, "%.*e", precision++, (double)value);
    while (precision < 9 && strtof(text, NULL) != value);
    if (magnitude > 0 && (magnitude < 1e-6f || magnitude >= 1e21f))
        return text;
    decimals = precision - 1 - (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    snprintf(text, size, "%.*f", decimals > 0 ? decimals : 0, (double)value);
    return text;
}

void json_add_integer(cJSON *object, const char *name, int64_t value)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRId64, value);
    cJSON_AddRawToObject(object, name, text);
}

void json_add_float(cJSON *object, const char *name, float value)
{
    char text[64];

    cJSON_AddRawToObject(object, name, json_print_float(value, text, sizeof(text)));
}
