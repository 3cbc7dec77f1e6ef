/* Members of JSON bodies, for what the API and serve.yaml both take. */
#include "controller/serve/timetable/timetable_priv.h"

#include "controller/base/json.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/units.h"
#include "scenarios/base/utf8.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

static const char *place(const struct body_reader *reader, const char *key, char where[ERR_WHERE_MAX])
{
    snprintf(where, ERR_WHERE_MAX, "%s%s%s", reader->where, reader->where[0] ? "/" : "", key);
    return where;
}

int body_refuse(const struct body_reader *reader, const char *key, const char *expected)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(reader->body, key);
    char where[ERR_WHERE_MAX], *found = json_text(item);

    errs_add(reader->errs, ERR_INPUT, place(reader, key, where), "found %.80s, expected %s", found ? found : "nothing", expected);
    cJSON_free(found);
    return -EINVAL;
}

const char *body_text(const struct body_reader *reader, const char *key, const char *absent)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(reader->body, key);

    if (!item || cJSON_IsNull(item))
        return absent;
    if (cJSON_IsString(item))
        return item->valuestring;
    body_refuse(reader, key, "text");
    return NULL;
}

int body_length_s(const struct body_reader *reader, const char *key, int64_t maximum_s, int64_t *ret_s)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(reader->body, key);
    int64_t ns = -1;
    char expected[96], most[32];

    if (!item || cJSON_IsNull(item))
        return 0;
    if (cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble <= (double)maximum_s)
        ns = (int64_t)item->valuedouble * (int64_t)NS_PER_S;
    else if (cJSON_IsString(item) && unit_parse(UNIT_DURATION, item->valuestring, &ns) < 0)
        ns = -1;
    if (ns >= 0 && ns / (int64_t)NS_PER_S <= maximum_s) {
        *ret_s = ns / (int64_t)NS_PER_S;
        return 0;
    }
    snprintf(expected, sizeof(expected), "a duration such as 10m, or seconds, at most %s", unit_print(UNIT_DURATION, maximum_s * (int64_t)NS_PER_S, most, sizeof(most)));
    return body_refuse(reader, key, expected);
}

int body_instant(const struct body_reader *reader, const char *key, int64_t *ret_s)
{
    static const char expected[] = "an instant such as 2026-12-24T18:00:00Z";
    const char *text = body_text(reader, key, "");
    struct tm broken_down = { 0 };
    const char *end;

    if (!text)
        return -EINVAL;
    if (!text[0])
        return 0;
    end = strptime(text, "%Y-%m-%dT%H:%M:%S", &broken_down);
    if (!end || strcmp(end, "Z") != 0)
        return body_refuse(reader, key, expected);
    *ret_s = (int64_t)timegm(&broken_down);
    return 0;
}

int body_check_keys(const struct body_reader *reader, const char *const *keys, size_t count)
{
    const cJSON *item;
    int result = 0;

    if (!cJSON_IsObject(reader->body))
        return errs_add(reader->errs, ERR_INPUT, reader->where, "expected a map");
    cJSON_ArrayForEach(item, reader->body)
    {
        char where[ERR_WHERE_MAX];
        size_t at = 0;
        int nearest;

        while (at < count && strcmp(keys[at], item->string) != 0)
            at++;
        if (at < count)
            continue;
        nearest = err_nearest(item->string, keys, count);
        result = errs_add(reader->errs, ERR_INPUT, place(reader, item->string, where), "there is no such member%s%s%s",
                          nearest >= 0 ? "; did you mean " : "", nearest >= 0 ? keys[nearest] : "", nearest >= 0 ? "?" : "");
    }
    return result;
}

/* Names stand in paths of the API and in pages. */
bool name_is_sound(const char *name)
{
    size_t length = strlen(name);

    if (!length || length > TIMETABLE_NAME_MAX || name[0] == ' ' || name[length - 1] == ' ')
        return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f || name[i] == '/')
            return false;
    return utf8_valid_length(name, length) == length;
}
