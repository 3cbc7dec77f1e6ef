/* Event records: every kind prints JSON that a parser takes, with the fields of its table and nothing of the target's mischief. */
#include "tests/unit/scenario_cases.h"

#include "scenarios/base/utf8.h"
#include "scenarios/vocab/event.h"

#include <cjson/cJSON.h>
#include <errno.h>

static cJSON *parsed(const struct event *event)
{
    struct buf out;
    cJSON *tree;

    buf_init(&out, 4096);
    assert_int_equal(event_print_json(event, &out), 0);
    assert_null(strchr(out.data, '\n'));
    assert_int_equal(utf8_valid_length(out.data, out.length), out.length);
    tree = cJSON_ParseWithLengthOpts(out.data, out.length + 1, NULL, 1);
    if (!tree)
        fail_msg("no JSON: %s", out.data);
    buf_done(&out);
    return tree;
}

static const char *text_of(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

/* A JSON number or, beyond 2^53, a text. */
static int64_t number_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

    assert_non_null(item);
    return cJSON_IsString(item) ? strtoll(item->valuestring, NULL, 10) : (int64_t)item->valuedouble;
}

static void expect_fields(const cJSON *tree, const struct event *event)
{
    const struct event_desc *desc = &event_descs[event->kind];
    const cJSON *fields = cJSON_GetObjectItemCaseSensitive(tree, "fields");
    int count = 0;
    char name[64];

    for (int i = 0; i < EVENT_TEXTS && desc->texts[i]; i++, count++)
        assert_string_equal(text_of(fields, desc->texts[i]), event->text[i]);
    for (int i = 0; i < EVENT_NUMBERS && desc->numbers[i].name; i++, count++) {
        snprintf(name, sizeof(name), "%s%s", desc->numbers[i].name, desc->numbers[i].unit == UNIT_DURATION ? "_ns" : "");
        assert_true(number_of(fields, name) == event->number[i]);
    }
    assert_int_equal(cJSON_GetArraySize(fields), count);
}

static void every_kind_is_json(void **state)
{
    static const int64_t numbers[] = { 0,  1,  -1, (INT64_C(1) << 53) - 1, INT64_C(1) << 53, (INT64_C(1) << 53) + 1, INT64_MAX, INT64_MIN,
                                       -((INT64_C(1) << 53) + 1) };

    (void)state;
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
        for (size_t n = 0; n < ARRAY_SIZE(numbers); n++) {
            struct event event;
            cJSON *tree;

            event_init(&event, (enum event_kind)kind, (enum event_source)(kind % SOURCE_COUNT), UINT64_MAX - 1, "a \"text\" \\ of \t\x01\x7f",
                       "na\xc3\xafve \xe2\x82\xac \xf0\x9f\x92\xa5");
            event.seq = 7;
            event.epoch = 9;
            for (int i = 0; i < EVENT_NUMBERS; i++)
                event.number[i] = numbers[n];
            tree = parsed(&event);
            assert_string_equal(text_of(tree, "kind"), event_descs[kind].name);
            assert_string_equal(text_of(tree, "source"), source_names[kind % SOURCE_COUNT]);
            assert_string_equal(text_of(tree, "ns"), "18446744073709551614");
            assert_string_equal(text_of(tree, "clock"), "monotonic");
            assert_true(number_of(tree, "seq") == 7 && number_of(tree, "epoch") == 9);
            expect_fields(tree, &event);
            cJSON_Delete(tree);
        }
}

static void kinds_and_fields_have_distinct_names(void **state)
{
    (void)state;
    for (int a = 0; a < EVENT_KIND_COUNT; a++) {
        const struct event_desc *desc = &event_descs[a];

        assert_true(strlen(desc->help) > 8);
        for (int b = 0; b < a; b++)
            assert_string_not_equal(desc->name, event_descs[b].name);
        if (desc->texts[0] && desc->texts[1])
            assert_string_not_equal(desc->texts[0], desc->texts[1]);
    }
}

/* Bytes that are no UTF-8, and a text cut in the middle of a character. */
static void broken_text_becomes_whole(void **state)
{
    static const char *const broken[] = { "\xff", "a\xc3", "\xc3(", "\xe2\x82", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80", "\x80\x80" };
    char overlong[EVENT_TEXT_MAX + 8];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        struct event event;
        cJSON *tree;

        event_init(&event, EVENT_phase, SOURCE_RUNNER, 1, broken[i], NULL);
        tree = parsed(&event);
        assert_non_null(strstr(text_of(cJSON_GetObjectItemCaseSensitive(tree, "fields"), "phase"), "\xef\xbf\xbd"));
        cJSON_Delete(tree);
    }
    for (int shift = 0; shift < 3; shift++) {
        struct event event;

        memset(overlong, 'x', sizeof(overlong));
        for (size_t at = (size_t)shift; at + 3 < sizeof(overlong); at += 3)
            memcpy(overlong + at, "\xe2\x82\xac", 3);
        overlong[sizeof(overlong) - 1] = '\0';
        event_init(&event, EVENT_phase, SOURCE_RUNNER, 1, overlong, NULL);
        cJSON_Delete(parsed(&event));
    }
}

static void hostile_text_reaches_no_terminal(void **state)
{
    struct event event;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    event_init(&event, EVENT_aborted, SOURCE_RUNNER, 1500000000, "\x1b[2J\x1b]0;owned\x07 line\nbreak \xc2\x9b" "31m \x7f end", NULL);
    assert_int_equal(event_print_text(&event, 500000000, &out), 0);
    assert_non_null(strstr(out.data, "+1.000000"));
    assert_non_null(strstr(out.data, "aborted"));
    assert_non_null(strstr(out.data, "?[2J?]0;owned? line?break ?31m ? end"));
    assert_ptr_equal(strchr(out.data, '\n'), out.data + out.length - 1);
    for (size_t i = 0; i + 1 < out.length; i++)
        assert_true((unsigned char)out.data[i] >= 0x20 && (unsigned char)out.data[i] != 0x7f);
    buf_done(&out);
}

static void a_full_buffer_is_told(void **state)
{
    struct event event;
    struct buf out;

    (void)state;
    event_init(&event, EVENT_phase, SOURCE_RUNNER, 1, "baseline", NULL);
    for (size_t room = 0; room < 100; room++) {
        buf_init(&out, room);
        assert_int_not_equal(event_print_json(&event, &out), 0);
        buf_done(&out);
    }
}

static void what_must_not_be_shown_is_not(void **state)
{
    char text[] = "a\x1b[2J\xc2\x9b\xe2\x80\xae\xff\x7f\xd8\x9c\xe2\x81\xa6z \xc3\xa4\xe2\x82\xac", room[8];

    (void)state;
    utf8_make_showable(text);
    assert_string_equal(text, "a?[2J??????z \xc3\xa4\xe2\x82\xac");
    assert_string_equal(utf8_shown("\x1b" "12345678", room, sizeof(room)), "?123456");
    assert_string_equal(utf8_shown("123456\xc3\xa4", room, sizeof(room)), "123456?");
    assert_string_equal(utf8_shown(NULL, room, sizeof(room)), "");
}

static void utf8_as_the_rfc_has_it(void **state)
{
    (void)state;
    assert_int_equal(utf8_character("", 0), 0);
    assert_int_equal(utf8_character("a", 1), 1);
    assert_int_equal(utf8_character("\xc2\x80", 2), 2);
    assert_int_equal(utf8_character("\xdf\xbf", 2), 2);
    assert_int_equal(utf8_character("\xe0\xa0\x80", 3), 3);
    assert_int_equal(utf8_character("\xed\x9f\xbf", 3), 3);
    assert_int_equal(utf8_character("\xee\x80\x80", 3), 3);
    assert_int_equal(utf8_character("\xf0\x90\x80\x80", 4), 4);
    assert_int_equal(utf8_character("\xf4\x8f\xbf\xbf", 4), 4);
    assert_int_equal(utf8_character("\xe0\x9f\xbf", 3), 0);
    assert_int_equal(utf8_character("\xf0\x8f\xbf\xbf", 4), 0);
    assert_int_equal(utf8_character("\xed\xbf\xbf", 3), 0);
    assert_int_equal(utf8_character("\xf5\x80\x80\x80", 4), 0);
    assert_int_equal(utf8_character("\xc1\xbf", 2), 0);
    assert_int_equal(utf8_character("\xc2", 1), 0);
    assert_int_equal(utf8_valid_length("ab\xc3\xa4\xff", 5), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_json),
        cmocka_unit_test(kinds_and_fields_have_distinct_names),
        cmocka_unit_test(broken_text_becomes_whole),
        cmocka_unit_test(hostile_text_reaches_no_terminal),
        cmocka_unit_test(a_full_buffer_is_told),
        cmocka_unit_test(what_must_not_be_shown_is_not),
        cmocka_unit_test(utf8_as_the_rfc_has_it),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
