/* JSON bodies: what is taken is valid UTF-8 without NUL, prints to what reads back the same, and its fields read or are refused. */
#include "tests/fuzz/fuzz.h"

#include "controller/toxiproxy/json.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/utf8.h"

const char *const fuzz_seeds[] = {
    "{\"name\":\"a\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"b:1\",\"enabled\":null,\"toxics\":[{\"type\":\"latency\"}]} more",
    "[{\"a\":[1,2.5e-3,-0,9223372036854775807,1e400]},\"\\u00e9\\ud83d\\ude00\\n\\\\\\/\",true,false,null]",
    "{\"NAME\":\"x\",\"name\":\"y\",\"Name\":null,\"enabled\":true,\"number\":12,\"share\":0.1,\"list\":[],\"object\":{}}",
    "  [[[[[[[[1]]]]]]]]",
    "\"\xff\xfe\xc3\xa9\"",
    "{\"a\":tru",
    NULL,
};

static bool is_utf8(const char *text)
{
    return utf8_valid_length(text, strlen(text)) == strlen(text);
}

static void check_texts(const cJSON *value)
{
    for (; value; value = value->next) {
        fuzz_check(!value->string || is_utf8(value->string));
        fuzz_check(!cJSON_IsString(value) || is_utf8(value->valuestring));
        if (cJSON_IsNumber(value)) {
            int64_t number;
            char text[32];

            fuzz_check(value->valuestring != NULL);
            if (!json_integer(value, &number) && strcmp(value->valuestring, "-0") != 0) {
                snprintf(text, sizeof(text), "%lld", (long long)number);
                fuzz_check(!strcmp(text, value->valuestring));
            }
        }
        check_texts(value->child);
    }
}

static void read_fields(const cJSON *value)
{
    const cJSON *list = NULL, *object = NULL, *any = NULL;
    const char *name = NULL;
    int64_t number = 0;
    float share = 0;
    bool enabled;
    const struct json_field fields[] = {
        { "name", JSON_TEXT, &name },   { "enabled", JSON_BOOL, &enabled }, { "number", JSON_INTEGER, &number },
        { "share", JSON_FLOAT, &share }, { "list", JSON_LIST, &list },       { "object", JSON_OBJECT, &object },
        { "toxics", JSON_ANY, &any },
    };
    struct buf why;

    buf_init(&why, 1024);
    if (json_fields(value, fields, ARRAY_SIZE(fields), &why) < 0)
        fuzz_check(why.length > 0);
    else
        fuzz_check((!list || cJSON_IsArray(list)) && (!object || cJSON_IsObject(object)));
    buf_done(&why);
    (void)json_kind(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1); /* as a request's body is: a NUL behind it */
    cJSON *value = NULL;
    struct buf why;

    memcpy(text, data, size);
    text[size] = '\0';
    buf_init(&why, 1024);
    if (json_decode(text, size, &value, &why) < 0) {
        fuzz_check(why.length > 0);
    } else {
        check_texts(value);
        read_fields(value);
    }
    buf_done(&why);
    cJSON_Delete(value);
    free(text);
    return 0;
}
