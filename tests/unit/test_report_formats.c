/* The reports for other tools: golden files for every fixture, the hostile one included; nothing crashes on a crippled document. */
#include "tests/unit/report_fixture.h"

#include "controller/report/report.h"

#include <errno.h>

static const struct {
    const char *ending;
    int (*render)(const cJSON *result, struct buf *ret_text);
} formats[] = {
    { ".md", report_markdown },
    { ".junit.xml", report_junit },
    { ".github.txt", report_github },
    { ".journal.json", report_journal },
};

static void golden_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(fixture_names); i++)
        for (size_t f = 0; f < ARRAY_SIZE(formats); f++) {
            cJSON *document = fixture_document(fixture_names[i]);
            struct buf text;

            assert_int_equal(formats[f].render(document, &text), 0);
            fixture_compare(fixture_names[i], formats[f].ending, text.data);
            buf_done(&text);
            cJSON_Delete(document);
        }
}

/* Each member of the document taken away, then made of another type. */
static void any_key_may_be_missing_or_wrong(void **state)
{
    cJSON *whole = fixture_document("converged");

    (void)state;
    for (const cJSON *member = whole->child; member; member = member->next)
        for (int wrong = 0; wrong < 3; wrong++)
            for (size_t f = 0; f < ARRAY_SIZE(formats); f++) {
                cJSON *document = cJSON_Duplicate(whole, 1);
                struct buf text;

                cJSON_DeleteItemFromObjectCaseSensitive(document, member->string);
                if (wrong)
                    cJSON_AddItemToObject(document, member->string, wrong == 1 ? cJSON_CreateString("x") : cJSON_CreateNull());
                assert_int_equal(formats[f].render(document, &text), 0);
                buf_done(&text);
                cJSON_Delete(document);
            }
    cJSON_Delete(whole);
}

static void what_is_no_object_is_refused(void **state)
{
    cJSON *list = cJSON_CreateArray();

    (void)state;
    for (size_t f = 0; f < ARRAY_SIZE(formats); f++) {
        struct buf text;

        assert_int_equal(formats[f].render(list, &text), -EINVAL);
        buf_done(&text);
    }
    cJSON_Delete(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_files),
        cmocka_unit_test(any_key_may_be_missing_or_wrong),
        cmocka_unit_test(what_is_no_object_is_refused),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
