/* Sentences on knees, shed load, promises, controls and backlogs: what is told, what is left out, and hostile texts. */
#include "controller/report/extras.h"
#include "controller/report/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char full[] =
    "{\"amplification\":{\"peak\":3.5,\"peak_s\":12.25,\"hops\":[]},"
    "\"metastability\":{\"phase\":\"metastable\",\"shed\":0.5,\"from_s\":20,\"until_s\":30,\"load_shed_needed\":0.5,\"recovery_s\":3.5,\"recovery_low_s\":3.4,\"recovery_high_s\":3.6},"
    "\"slo\":{\"latency_s\":0.2,\"costs\":[{\"load\":\"main\",\"requests\":100,\"bad\":10,\"latency_debt_s\":4,\"burn\":100,\"budget_share\":0.01}]},"
    "\"controls\":[{\"load\":\"main\",\"control\":\"twin\",\"bad\":12,\"control_bad\":3,\"excused\":2}],"
    "\"backlogs\":[{\"signal\":\"queue\",\"drain_s\":4.5},{\"signal\":\"other\",\"drain_s\":null}],"
    "\"ramp\":{\"hysteresis\":0.25,\"knees\":[{\"when\":\"before\",\"end\":\"found\",\"rate_per_s\":320,\"low_per_s\":300,\"high_per_s\":340,\"steps\":9,\"note\":\"\"},"
    "{\"when\":\"after\",\"end\":\"above\",\"rate_per_s\":800,\"low_per_s\":800,\"high_per_s\":null,\"steps\":3,\"note\":\"\\u001b[31mred\"}],"
    "\"steps\":[{\"when\":\"before\",\"outcome\":\"held\",\"rate_per_s\":50,\"served_per_s\":50,\"failed_share\":0,\"latency_s\":0.03,\"levels\":\"cpu 0.2\"},"
    "{\"when\":\"before\",\"outcome\":\"missed\",\"rate_per_s\":800,\"served_per_s\":320,\"failed_share\":0.6,\"latency_s\":null}]}}";

static void append(void *context, const char *label, const char *text)
{
    char *out = context;

    snprintf(out + strlen(out), 4096 - strlen(out), "%s|%s\n", label, text);
}

static void each_is_told(void **state)
{
    static const char *const lines[] = {
        "Retries|at worst 3.50x attempts a request in one second, at 12.250 s\n",
        "Load shed|50 % of the load was taken away at 20.000 s: it came back after 3.5 s (3.4 s to 3.6 s); its own load had kept it down\n",
        "Promise|main: burnt the error budget at 100x its rate, 1 % of all of it; 4 s waited beyond the promise in all\n",
        "Control|main judged against twin: 12 failed, 3 in the control, 2 excused\n",
        "Backlog|queue drained within 4.5 s of the service's return\n",
        "|other: no time to drain",
        "Knee|before: 320/s (300/s to 340/s) in 9 steps\n",
        "|after: above 800/s in 3 steps; ",
        "|25 % of it missing after the recovery\n",
        "Water levels|held   before 50/s: served 50/s, failed 0 %, 30 ms; cpu 0.2\n",
        "|MISSED before 800/s: served 320/s, failed 60 %, unanswered\n",
    };
    cJSON *result = cJSON_Parse(full);
    char out[4096] = "";

    (void)state;
    extras_tell(result, append, out);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (!strstr(out, lines[i]))
            fail_msg("'%s' is not in:\n%s", lines[i], out);
    cJSON_Delete(result);
}

static void nothing_is_told_of_nothing(void **state)
{
    cJSON *result = cJSON_Parse("{\"ramp\":7,\"controls\":{},\"slo\":null,\"amplification\":{\"hops\":[]}}");
    char out[4096] = "";

    (void)state;
    extras_tell(result, append, out);
    assert_string_equal(out, "");
    cJSON_Delete(result);
}

static void reports_show_them_and_nothing_hostile(void **state)
{
    cJSON *result = cJSON_Parse(full);
    struct buf page;
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);

    (void)state;
    assert_int_equal(report_text(result, memory, false, 200), 0);
    fclose(memory);
    assert_non_null(strstr(text, "Water levels"));
    assert_null(strchr(text, '\033'));
    free(text);
    buf_init(&page, 1 << 20);
    assert_int_equal(report_html(result, NULL, &page), 0);
    assert_non_null(strstr(page.data, "<h2>Water levels</h2>"));
    assert_non_null(strstr(page.data, "<h2>Knee</h2>"));
    assert_non_null(strstr(page.data, "<h2>Control arm</h2>"));
    assert_null(strchr(page.data, '\033'));
    buf_done(&page);
    cJSON_Delete(result);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_told),
        cmocka_unit_test(nothing_is_told_of_nothing),
        cmocka_unit_test(reports_show_them_and_nothing_hostile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
