/* Go's decoding rules: what is read, what is refused, and in which words. */
#include "tests/unit/scenario_cases.h"

#include "controller/toxiproxy/json.h"

#include <errno.h>

enum { MUTATIONS = 20000 };

static cJSON *decode(const char *text)
{
    cJSON *value = NULL;
    struct buf why;

    buf_init(&why, 1024);
    if (json_decode(text, strlen(text), &value, &why) < 0)
        fail_msg("%s: %s", text, why.data);
    buf_done(&why);
    return value;
}

static void refuse(const char *text, const char *reason)
{
    cJSON *value = NULL;
    struct buf why;

    buf_init(&why, 1024);
    if (json_decode(text, strlen(text), &value, &why) == 0)
        fail_msg("'%s' was taken", text);
    if (!strstr(why.data, reason))
        fail_msg("'%s': expected '%s', found '%s'", text, reason, why.data);
    buf_done(&why);
}

static void refuses_what_is_no_value(void **state)
{
    static const struct {
        const char *text, *reason;
    } cases[] = {
        { "", "EOF" },
        { " \n\t", "EOF" },
        { "{", "unexpected EOF" },
        { "[1,", "unexpected EOF" },
        { "\"a", "unexpected EOF" },
        { "\"a\\\"", "unexpected EOF" },
        { "{\"a\":{\"b\":1}", "unexpected EOF" },
        { "]", "invalid" },
        { "{]", "invalid" },
        { "{\"a\" 1}", "invalid" },
        { "{a:1}", "invalid" },
        { "01", "invalid number" },
        { "[1.]", "invalid number" },
        { "[-]", "invalid" },
        { "[1e]", "invalid" },
        { "[1-2]", "invalid" },
        { "\xef\xbb\xbf{}", "invalid" },
        { "\"a\tb\"", "control character" },
        { "\"\\u0000\"", "NUL" },
        { "{\"\\u0000\":1}", "NUL" },
        { "\"\\x\"", "invalid" },
        { "nul", "invalid" },
        { "{\"a\":1,}", "invalid" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        refuse(cases[i].text, cases[i].reason);
}

static void keeps_numbers_as_written(void **state)
{
    static const struct {
        const char *text;
        int result;
        int64_t value;
    } cases[] = {
        { "0", 0, 0 },
        { "-0", 0, 0 },
        { "12", 0, 12 },
        { "9223372036854775807", 0, INT64_MAX },
        { "-9223372036854775808", 0, INT64_MIN },
        { "9223372036854775808", -EINVAL, 0 },
        { "1.5", -EINVAL, 0 },
        { "2.0", -EINVAL, 0 },
        { "1e3", -EINVAL, 0 },
        { "1E2", -EINVAL, 0 },
        { "\"7\"", -EINVAL, 0 },
        { "true", -EINVAL, 0 },
        { "9007199254740993", 0, INT64_C(9007199254740993) },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cJSON *value = decode(cases[i].text);
        int64_t number = 0;

        if (json_integer(value, &number) != cases[i].result || number != cases[i].value)
            fail_msg("%s", cases[i].text);
        cJSON_Delete(value);
    }
}

struct fields {
    const char *text;
    bool flag;
    int64_t number;
    float share;
    const cJSON *list, *object;
};

static int read_fields(const cJSON *value, struct fields *fields, struct buf *why)
{
    const struct json_field table[] = {
        { "text", JSON_TEXT, &fields->text },    { "flag", JSON_BOOL, &fields->flag }, { "number", JSON_INTEGER, &fields->number },
        { "share", JSON_FLOAT, &fields->share }, { "list", JSON_LIST, &fields->list }, { "object", JSON_OBJECT, &fields->object },
    };

    return json_fields(value, table, ARRAY_SIZE(table), why);
}

static void last_of_any_case_counts_and_null_is_absent(void **state)
{
    cJSON *value =
        decode("{\"TEXT\":\"a\",\"text\":\"b\",\"Text\":null,\"flag\":null,\"other\":[],\"number\":3,\"nUMBER\":4,\"share\":1e-1,"
               "\"list\":[1],\"object\":{\"x\":null}} and more");
    struct fields fields = { .flag = true };
    struct buf why;

    (void)state;
    buf_init(&why, 256);
    assert_int_equal(read_fields(value, &fields, &why), 0);
    assert_string_equal(fields.text, "b");
    assert_true(fields.flag);
    assert_int_equal(fields.number, 4);
    assert_true(fields.share == 0.1f);
    assert_int_equal(cJSON_GetArraySize(fields.list), 1);
    assert_non_null(fields.object);
    buf_done(&why);
    cJSON_Delete(value);
}

static void refuses_fields_of_another_type(void **state)
{
    static const char *const cases[] = {
        "{\"text\":1}",
        "{\"text\":{}}",
        "{\"flag\":\"true\"}",
        "{\"flag\":0}",
        "{\"number\":\"1\"}",
        "{\"number\":1.0}",
        "{\"share\":\"x\"}",
        "{\"share\":1e39}",
        "{\"list\":{}}",
        "{\"object\":[]}",
        "[]",
        "\"x\"",
        "7",
        "true",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cJSON *value = decode(cases[i]);
        struct fields fields = { .text = NULL };
        struct buf why;

        buf_init(&why, 256);
        if (read_fields(value, &fields, &why) != -EINVAL || !strstr(why.data, "cannot unmarshal "))
            fail_msg("%s: %s", cases[i], why.data);
        buf_done(&why);
        cJSON_Delete(value);
    }
}

static void mends_malformed_utf8(void **state)
{
    cJSON *value = decode("{\"\xff\":\"a\xc3(\xed\xa0\x80\"}");

    (void)state;
    assert_string_equal(value->child->string, "\xef\xbf\xbd");
    assert_string_equal(value->child->valuestring, "a\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    cJSON_Delete(value);
}

static void prints_floats_as_go_does(void **state)
{
    static const struct {
        float value;
        const char *text;
    } cases[] = {
        { 0, "0" },
        { 1, "1" },
        { 0.1f, "0.1" },
        { 0.3333333333f, "0.33333334" },
        { 7, "7" },
        { -2.5f, "-2.5" },
        { 100, "100" },
        { 16777216, "16777216" },
        { 0.000001f, "0.000001" },
        { 1e-7f, "1e-07" },
        { 123456.79f, "123456.79" },
    };
    char text[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(json_print_float(cases[i].value, text, sizeof(text)), cases[i].text);
}

/* Whatever comes in: taken or refused, never out of step with the text (the sanitizers watch). */
static void survives_mutations(void **state)
{
    static const char seed[] =
        "{\"name\":\"a\\u20ac\\n\",\"listen\":null,\"toxics\":[{\"type\":\"latency\",\"toxicity\":0.5,\"attributes\":"
        "{\"latency\":-12,\"x\":[1,2.5e3,true,false,{}]}}],\"enabled\":true} ";
    static const char alphabet[] = "{}[]\",:\\u0e1-+. tfnxA\xc3\x80\xff\n";
    struct cases cases = cases_begin("mutations");
    unsigned taken = 0;

    (void)state;
    for (int i = 0; i < MUTATIONS; i++) {
        size_t size = sizeof(seed) - 1 - cases_below(&cases, 3) * cases_below(&cases, 40);
        AUTO_FREE char *text = malloc(size + 1);
        cJSON *value = NULL;
        struct buf why;

        assert_non_null(text);
        memcpy(text, seed, size);
        text[size] = '\0';
        for (uint64_t n = cases_below(&cases, 4); n > 0; n--)
            text[cases_below(&cases, size)] = alphabet[cases_below(&cases, sizeof(alphabet))];
        buf_init(&why, 1024);
        taken += json_decode(text, size, &value, &why) == 0;
        assert_true(value ? !why.length : why.length > 0);
        buf_done(&why);
        cJSON_Delete(value);
    }
    printf("# %u of %d taken\n", taken, MUTATIONS);
    assert_true(taken > MUTATIONS / 100 && taken < MUTATIONS);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_is_no_value),
        cmocka_unit_test(keeps_numbers_as_written),
        cmocka_unit_test(last_of_any_case_counts_and_null_is_absent),
        cmocka_unit_test(refuses_fields_of_another_type),
        cmocka_unit_test(mends_malformed_utf8),
        cmocka_unit_test(prints_floats_as_go_does),
        cmocka_unit_test(survives_mutations),
    };

    return cmocka_run_group_tests_name("toxiproxy_json", tests, NULL, NULL);
}
