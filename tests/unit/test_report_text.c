/* The terminal summary, and the parts under every report: numbers, cleaned text, words for verdicts. */
#include "tests/unit/report_fixture.h"

#include "controller/report/clean.h"
#include "controller/report/format.h"
#include "controller/report/report.h"
#include "controller/report/summary.h"

#include <errno.h>
#include <math.h>

static char *render(const cJSON *document, bool colour, int width)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    assert_non_null(out);
    assert_int_equal(report_text(document, out, colour, width), 0);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void render_and_drop(const cJSON *document)
{
    free(render(document, true, 80));
}

static void golden_summaries(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(fixture_names); i++) {
        cJSON *document = fixture_document(fixture_names[i]);
        char *text = render(document, false, 80);

        fixture_compare(fixture_names[i], ".txt", text);
        free(text);
        cJSON_Delete(document);
    }
}

static void golden_colours(void **state)
{
    cJSON *document = fixture_document("undo-not-proven");
    char *text = render(document, true, 80);

    (void)state;
    fixture_compare("undo-not-proven", ".ansi", text);
    free(text);
    cJSON_Delete(document);
}

static void assert_lines_fit(const char *text, size_t columns)
{
    struct buf line;

    for (const char *end; *text; text = *end ? end + 1 : end) {
        end = strchrnul(text, '\n');
        buf_init(&line, 4096);
        buf_append(&line, text, (size_t)(end - text));
        if (clean_width(line.data) > columns && !strstr(line.data, "/report.html"))
            fail_msg("wider than %zu columns: %s", columns, line.data);
        buf_done(&line);
    }
}

static void fits_its_columns(void **state)
{
    static const int widths[] = { 60, 80, 100 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(fixture_names); i++)
        for (size_t j = 0; j < ARRAY_SIZE(widths); j++) {
            cJSON *document = fixture_document(fixture_names[i]);
            char *text = render(document, false, widths[j]);

            assert_lines_fit(text, (size_t)widths[j]);
            free(text);
            cJSON_Delete(document);
        }
}

static void hostile_text_reaches_no_terminal(void **state)
{
    cJSON *document = fixture_document("hostile");
    char *text = render(document, false, 80);

    (void)state;
    for (const char *at = text; *at; at++)
        if (((unsigned char)*at < 0x20 && *at != '\n') || *at == 0x7f)
            fail_msg("control character 0x%02x in: %.40s", (unsigned)*at, at);
    assert_null(strstr(text, "\u202e"));
    assert_non_null(strstr(text, "alert(1)")); /* it was there to be shown */
    free(text);
    cJSON_Delete(document);
}

static void any_key_may_be_missing(void **state)
{
    static const char *const bare[] = { "{}", "{\"verdict\":{}}", "{\"verdict\":[],\"signals\":{},\"faults\":3,\"run\":null}" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bare); i++) {
        cJSON *document = cJSON_Parse(bare[i]);

        render_and_drop(document);
        cJSON_Delete(document);
    }
    for (size_t i = 0; i < ARRAY_SIZE(fixture_names); i++) {
        cJSON *document = fixture_document(fixture_names[i]);

        fixture_mutate(document, document, render_and_drop);
        cJSON_Delete(document);
    }
}

static void refuses_what_is_no_document(void **state)
{
    cJSON *list = cJSON_Parse("[1]");

    (void)state;
    assert_int_equal(report_text(NULL, stderr, false, 80), -EINVAL);
    assert_int_equal(report_text(list, stderr, false, 80), -EINVAL);
    cJSON_Delete(list);
}

static void tells_of_a_full_disk(void **state)
{
    cJSON *document = fixture_document("converged");
    FILE *full = fopen("/dev/full", "we");

    assert_non_null(full);
    (void)state;
    if (!full) {
        cJSON_Delete(document);
        skip();
    }
    assert_int_equal(report_text(document, full, false, 80), -EIO);
    fclose(full);
    cJSON_Delete(document);
}

static void numbers_carry_units(void **state)
{
    const struct {
        struct fmt got;
        const char *wanted;
    } cases[] = {
        { fmt_seconds(0), "0 s" },           { fmt_seconds(12e-6), "12 us" },     { fmt_seconds(0.396), "396 ms" },
        { fmt_seconds(0.99949), "999 ms" },  { fmt_seconds(0.9996), "1 s" },      { fmt_seconds(10.392), "10.4 s" },
        { fmt_seconds(-0.25), "-250 ms" },   { fmt_seconds(131.4), "131 s" },     { fmt_seconds(754), "12 min 34 s" },
        { fmt_seconds((double)NAN), "-" },   { fmt_seconds(INFINITY), "-" },      { fmt_instant(23.0042), "23.004 s" },
        { fmt_delta(0.016), "+16 ms" },      { fmt_delta(-2), "-2 s" },           { fmt_share(0.999), "99.9 %" },
        { fmt_share(0.9996), "99.96 %" },    { fmt_share(0.999999), ">99.99 %" }, { fmt_share(1), "100 %" },
        { fmt_share(0), "0 %" },             { fmt_share(1e-7), "<0.001 %" },     { fmt_share(0.05), "5 %" },
        { fmt_count(1234567), "1,234,567" }, { fmt_count(999), "999" },           { fmt_count(-1000), "-1,000" },
        { fmt_count(0), "0" },               { fmt_bytes(999), "999 B" },         { fmt_bytes(4194304), "4 MiB" },
        { fmt_bytes(1536), "1.5 KiB" },      { fmt_times(1.8), "1.80x" },         { fmt_rate(200), "200/s" },
        { fmt_value("share", 0.5), "50 %" }, { fmt_value("per_s", 3), "3/s" },    { fmt_value("seconds", 2), "2 s" },
        { fmt_value("count", 7), "7" },      { fmt_value("", 7.25), "7.25" },     { fmt_count(1e300), "1e+300" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(cases[i].got.text, cases[i].wanted);
}

static void cleans_malformed_and_invisible_characters(void **state)
{
    static const struct {
        const char *text, *plain, *html;
    } cases[] = {
        { "plain", "plain", "plain" },
        { "<b a=\"x\" c='y'>&", "<b a=\"x\" c='y'>&", "&lt;b a=&quot;x&quot; c=&#39;y&#39;&gt;&amp;" },
        { "a\tb\nc\rd", "a b c d", "a b c d" },
        { "a\033[2Jb\a\x7f", "a?[2Jb??", "a\ufffd[2Jb\ufffd\ufffd" },
        { "caf\u00e9 \u05e9\u05dc \U0001f600", "caf\u00e9 \u05e9\u05dc \U0001f600", "caf\u00e9 \u05e9\u05dc \U0001f600" },
        { "\u202egnp\u2066x\u200f\u061c", "?gnp?x??", "\ufffdgnp\ufffdx\ufffd\ufffd" },
        { "zero\u200bwidth\ufeff", "zero?width?", "zero\ufffdwidth\ufffd" },
        { "\xc2\x9b" "31m", "?31m", "\ufffd31m" },                       /* C1 control sequence introducer */
        { "\xff\xfe", "??", "\ufffd\ufffd" },                            /* never in UTF-8 */
        { "\xc0\xbc" "script", "??script", "\ufffd\ufffdscript" },       /* overlong '<' */
        { "\xe0\x80\xbc!", "?!", "\ufffd!" },                            /* overlong, three bytes */
        { "\xed\xa0\x80!", "?!", "\ufffd!" },                            /* surrogate */
        { "\xf4\x90\x80\x80!", "?!", "\ufffd!" },                        /* beyond U+10FFFF */
        { "cut\xe2\x82", "cut?", "cut\ufffd" },                          /* ends in a sequence */
        { "\xe2<", "?<", "\ufffd&lt;" },                                 /* a broken sequence does not swallow what follows */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf plain, html;

        buf_init(&plain, 4096);
        buf_init(&html, 4096);
        clean_plain(&plain, cases[i].text, 100);
        clean_html(&html, cases[i].text, 100);
        assert_string_equal(plain.data, cases[i].plain);
        assert_string_equal(html.data, cases[i].html);
        buf_done(&plain);
        buf_done(&html);
    }
}

static void cuts_long_text(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, 4096);
    clean_plain(&text, "\u00e9\u00e9\u00e9\u00e9", 3);
    assert_string_equal(text.data, "\u00e9\u00e9\u00e9...");
    buf_done(&text);
    clean_html(&text, "&&&", 3);
    assert_string_equal(text.data, "&amp;&amp;&amp;");
    buf_done(&text);
    assert_int_equal(clean_width("\u4e2d\u6587ab"), 6);
}

static void every_verdict_has_words(void **state)
{
    static const char *const names[] = { "converged", "absorbed", "recovered_under_fault", "converged_to_new_level",
                                         "converged_then_redegraded", "flapping", "not_converged", "metastable", "censored",
                                         "not_injected", "baseline_unfit", "load_unfit", "indeterminate", "aborted" };
    char json[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        cJSON *document;

        snprintf(json, sizeof(json), "{\"verdict\":{\"verdict\":\"%s\"}}", names[i]);
        document = cJSON_Parse(json);
        assert_string_equal(summary_verdict(document)->name, names[i]);
        assert_true(summary_verdict(document)->meaning[0] != '\0');
        cJSON_Delete(document);
    }
}

static void headline_says_what_is_known(void **state)
{
    static const struct {
        const char *json, *value, *interval;
    } cases[] = {
        { "{\"verdict\":{\"verdict\":\"converged\"},\"convergence\":{\"from_release_s\":0.4,\"low_s\":0.36,\"high_s\":0.46,"
          "\"from_injection_s\":10.4}}", "400 ms", "95 % interval 360 ms to 460 ms" },
        { "{\"verdict\":{\"verdict\":\"recovered_under_fault\"},\"convergence\":{\"from_release_s\":-6,\"low_s\":-6.5,"
          "\"high_s\":-5.5,\"from_injection_s\":4}}", "4 s", "95 % interval 3.5 s to 4.5 s" },
        { "{\"verdict\":{\"verdict\":\"converged\"},\"convergence\":{\"from_injection_s\":3,\"low_s\":2,\"high_s\":4}}", "3 s",
          "95 % interval 2 s to 4 s" }, /* never released: a kill */
        { "{\"verdict\":{\"verdict\":\"converged\"},\"convergence\":{\"from_injection_s\":3,\"low_s\":2,\"high_s\":4,"
          "\"from_injection_low_s\":2.5,\"from_injection_high_s\":3.5}}",
          "3 s", "95 % interval 2.5 s to 3.5 s" },
        { "{\"verdict\":{\"verdict\":\"absorbed\"},\"convergence\":{\"smallest_dip\":0.04}}", "0 s", "" },
        { "{\"verdict\":{\"verdict\":\"not_converged\"},\"instants_s\":{\"released\":33,\"end\":60}}", "> 27 s", "" },
        { "{\"verdict\":{\"verdict\":\"not_converged\"},\"instants_s\":{\"injected\":30,\"end\":60}}", "> 30 s", "" },
        { "{\"verdict\":{\"verdict\":\"indeterminate\"},\"instants_s\":{\"released\":33,\"end\":60}}", "none", "" },
        { "{}", "none", "" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct summary_headline headline;
        cJSON *document = cJSON_Parse(cases[i].json);

        assert_non_null(document);
        summary_headline(document, &headline);
        assert_string_equal(headline.value, cases[i].value);
        assert_string_equal(headline.interval, cases[i].interval);
        cJSON_Delete(document);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_carry_units),
        cmocka_unit_test(cleans_malformed_and_invisible_characters),
        cmocka_unit_test(cuts_long_text),
        cmocka_unit_test(every_verdict_has_words),
        cmocka_unit_test(headline_says_what_is_known),
        cmocka_unit_test(golden_summaries),
        cmocka_unit_test(golden_colours),
        cmocka_unit_test(fits_its_columns),
        cmocka_unit_test(hostile_text_reaches_no_terminal),
        cmocka_unit_test(any_key_may_be_missing),
        cmocka_unit_test(refuses_what_is_no_document),
        cmocka_unit_test(tells_of_a_full_disk),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
