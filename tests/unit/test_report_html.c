/* The page of a run. Golden files hold it without the embedded scripts and styles, whose text has its own history. */
#include "tests/unit/report_fixture.h"

#include "controller/report/assets.h"
#include "controller/report/report.h"
#include "controller/report/series.h"

#include <errno.h>
#include <math.h>

static void render(const cJSON *document, const struct buf *events, struct buf *ret_page)
{
    assert_int_equal(report_html(document, events, ret_page), 0);
    assert_true(ret_page->length <= REPORT_HTML_BYTES_MAX);
}

static void render_and_drop(const cJSON *document)
{
    struct buf page;

    render(document, NULL, &page);
    buf_done(&page);
}

/* Moves what is before the next embedded file into `out`, and steps over that file. */
static const char *cut_asset(struct buf *out, const char *text, const char *name, const char *from, const char *to)
{
    size_t length = (size_t)(to - from);
    const char *found = memmem(text, strlen(text), from, length);

    assert_non_null(found);
    buf_append(out, text, (size_t)(found - text));
    buf_printf(out, "[%s]", name);
    return found + length;
}

static void golden_pages(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(fixture_names); i++) {
        cJSON *document = fixture_document(fixture_names[i]);
        struct buf page, events, golden;
        const char *rest;

        fixture_read_file("converged", ".jsonl", &events);
        render(document, i == 0 ? &events : NULL, &page);
        buf_init(&golden, 4 << 20);
        rest = cut_asset(&golden, page.data, "policy", asset_policy, asset_policy_end);
        rest = cut_asset(&golden, rest, "charts.css", asset_charts_css, asset_charts_css_end);
        rest = cut_asset(&golden, rest, "report.css", asset_report_css, asset_report_css_end);
        rest = cut_asset(&golden, rest, "charts.js", asset_charts_js, asset_charts_js_end);
        rest = cut_asset(&golden, rest, "report.js", asset_report_js, asset_report_js_end);
        buf_puts(&golden, rest);
        fixture_compare(fixture_names[i], ".html", golden.data);
        buf_done(&golden);
        buf_done(&page);
        buf_done(&events);
        cJSON_Delete(document);
    }
}

static size_t occurrences(const char *text, const char *word)
{
    size_t count = 0;

    for (const char *at = text; (at = strcasestr(at, word)) != NULL; at += strlen(word))
        count++;
    return count;
}

static void hostile_text_breaks_out_of_nothing(void **state)
{
    cJSON *document = fixture_document("hostile");
    struct buf page, events;
    char line[512];

    (void)state;
    buf_init(&events, 1 << 16);
    snprintf(
        line, sizeof(line),
        "{\"kind\":\"</script><script>\",\"ns\":\"1\",\"source\":\"<img src=x>\",\"fields\":{\"<b>\":\"\\u001b\"}}\n[1]\n{\n");
    buf_puts(&events, line);
    render(document, &events, &page);
    assert_int_equal(occurrences(page.data, "<script"), 3); /* the numbers, the chart library, ours */
    assert_int_equal(occurrences(page.data, "</script"), 3);
    assert_int_equal(occurrences(page.data, "</style"), 2);
    assert_int_equal(occurrences(page.data, "</title"), 1);
    assert_int_equal(occurrences(page.data, "<img"), 0);
    assert_int_equal(occurrences(page.data, "<b>"), occurrences(page.data, "</b>"));
    assert_null(strstr(page.data, "\u202e"));
    assert_null(strstr(page.data, "href=\"javascript"));
    assert_non_null(strstr(page.data, "&lt;/script&gt;&lt;script&gt;alert(1)"));
    assert_non_null(strstr(page.data, "2 lines of events.jsonl are no events."));
    for (const char *at = page.data; *at; at++)
        if ((unsigned char)*at < 0x20 && *at != '\n')
            fail_msg("control character 0x%02x in: %.40s", (unsigned)*at, at);
    buf_done(&page);
    buf_done(&events);
    cJSON_Delete(document);
}

static void the_page_fetches_nothing(void **state)
{
    cJSON *document = fixture_document("converged");
    struct buf page, ours;
    const char *rest;

    (void)state;
    render(document, NULL, &page);
    assert_non_null(strstr(page.data, "content=\"default-src 'none'; base-uri 'none'; form-action 'none'; script-src 'sha256-"));
    assert_null(strstr(page.data, "unsafe-"));
    buf_init(&ours, 4 << 20);
    rest = cut_asset(&ours, page.data, "charts.js", asset_charts_js, asset_charts_js_end);
    buf_puts(&ours, rest);
    assert_int_equal(occurrences(ours.data, "src="), 0);
    assert_int_equal(occurrences(ours.data, "url("), 0);
    assert_int_equal(occurrences(ours.data, "@import"), 0);
    assert_int_equal(occurrences(ours.data, " style="), 0);
    assert_int_equal(occurrences(ours.data, "sourceMappingURL"), 0);
    assert_int_equal(occurrences(asset_charts_js, "sourceMappingURL"), 0);
    assert_int_equal(occurrences(ours.data, "<a href="), 2);
    buf_done(&ours);
    buf_done(&page);
    cJSON_Delete(document);
}

static void any_key_may_be_missing(void **state)
{
    cJSON *bare = cJSON_Parse("{\"verdict\":[],\"signals\":{},\"faults\":3,\"run\":null,\"loads\":[null]}");

    (void)state;
    render_and_drop(bare);
    cJSON_Delete(bare);
    for (size_t i = 0; i < ARRAY_SIZE(fixture_names); i++) {
        cJSON *document = fixture_document(fixture_names[i]);

        fixture_mutate(document, document, render_and_drop);
        cJSON_Delete(document);
    }
}

static void add_series(cJSON *signals, size_t count)
{
    cJSON *signal = cJSON_CreateObject(), *series = cJSON_AddObjectToObject(signal, "series");
    double *values = calloc(count, sizeof(*values));

    assert_non_null(values);
    for (size_t i = 0; i < count; i++)
        values[i] = 0.123456789 + (double)(i % 97) / 13;
    cJSON_AddStringToObject(signal, "signal", "main.goodput");
    cJSON_AddNumberToObject(series, "start_s", 0);
    cJSON_AddNumberToObject(series, "bin_s", 0.1);
    cJSON_AddItemToObject(series, "values", cJSON_CreateDoubleArray(values, (int)count));
    cJSON_AddItemToArray(signals, signal);
    free(values);
}

/* Every list as long as a bad day makes it: the page stays within its bound and says what it left out. */
static void a_huge_run_stays_within_the_bound(void **state)
{
    static const char *const lists[] = { "undo",    "verify", "faults",       "loads", "proxies",
                                         "targets", "expect", "steady_state", "guards" };
    cJSON *document = cJSON_CreateObject(), *signals = cJSON_AddArrayToObject(document, "signals");
    char *quotes = calloc(1, 2001);
    struct buf page, events;

    (void)state;
    assert_non_null(quotes);
    memset(quotes, '"', 2000);
    for (int i = 0; i < 60; i++)
        add_series(signals, 6000);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        cJSON *list = cJSON_AddArrayToObject(document, lists[i]);

        for (int row = 0; row < 1000; row++) {
            cJSON *object = cJSON_CreateObject();

            cJSON_AddStringToObject(object, "entry", quotes);
            cJSON_AddStringToObject(object, "what", quotes);
            cJSON_AddStringToObject(object, "name", quotes);
            cJSON_AddStringToObject(object, "command", quotes);
            cJSON_AddItemToArray(list, object);
        }
    }
    buf_init(&events, 64 << 20);
    for (int i = 0; i < 20000; i++)
        buf_printf(&events, "{\"seq\":%d,\"ns\":\"%d\",\"kind\":\"phase\",\"fields\":{\"a\":\"%.900s\"}}\n", i, i,
                   "<<<<<<<<<<<<<<<<<<<<<<<<<<<");
    render(document, &events, &page);
    assert_non_null(strstr(page.data, "more rows are in result.json"));
    assert_non_null(strstr(page.data, "more events are in events.jsonl"));
    assert_non_null(strstr(page.data, "36 more signals"));
    print_message("# a huge run: %zu bytes\n", page.length);
    buf_done(&page);
    buf_done(&events);
    cJSON_Delete(document);
    free(quotes);
}

static void reducing_keeps_the_shortest_dip(void **state)
{
    cJSON *signal = cJSON_CreateObject(), *series = cJSON_AddObjectToObject(signal, "series");
    double values[1000];
    struct drawn_series drawn;
    size_t dips = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        values[i] = i == 613 ? 0.25 : 1.0;
    cJSON_AddNumberToObject(series, "start_s", 2);
    cJSON_AddNumberToObject(series, "bin_s", 0.1);
    cJSON_AddItemToObject(series, "values", cJSON_CreateDoubleArray(values, ARRAY_SIZE(values)));
    assert_int_equal(drawn_series_read(signal, 100, &drawn), 0);
    assert_true(drawn.count <= 100);
    for (size_t i = 0; i < drawn.count; i++)
        if (drawn.values[i] == 0.25) {
            double at_s = drawn.start_s + ((double)i + 0.5) * drawn.bin_s;

            assert_true(fabs(at_s - 63.35) <= drawn.bin_s * 2);
            dips++;
        }
    assert_int_equal(dips, 1);
    assert_true(drawn.low == 0.25 && drawn.high == 1.0);
    drawn_series_done(&drawn);
    cJSON_Delete(signal);
}

static void refuses_what_is_no_document(void **state)
{
    struct buf page;

    (void)state;
    assert_int_equal(report_html(NULL, NULL, &page), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reducing_keeps_the_shortest_dip),
        cmocka_unit_test(golden_pages),
        cmocka_unit_test(hostile_text_breaks_out_of_nothing),
        cmocka_unit_test(the_page_fetches_nothing),
        cmocka_unit_test(any_key_may_be_missing),
        cmocka_unit_test(a_huge_run_stays_within_the_bound),
        cmocka_unit_test(refuses_what_is_no_document),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
