/* What load generators of others print. The texts of wrk are what wrk 4.1 of Debian printed; k6's shapes are those of its 0.44 and, the newest,
 * of the source of its 2.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "controller/load/outside.h"
#include "scenarios/base/cleanup.h"

static void close_to(double value, double expected)
{
    if (fabs(value - expected) > 1e-9)
        fail_msg("found %.12g, expected %.12g", value, expected);
}

static void a_line_says_what_it_says(void **state)
{
    struct outside_line line;
    char why[128];

    (void)state;
    assert_int_equal(outside_read_line("{\"planned\": 1.5, \"t\": 1.75, \"latency_ms\": 12.5, \"ok\": true, \"status\": 204, \"bytes\": 77, "
                                       "\"late_ms\": 3, \"whatever\": [1]}", &line, why, sizeof(why)), 0);
    close_to(line.planned_s, 1.5);
    close_to(line.sent_s, 1.75);
    close_to(line.latency_s, 0.0125);
    close_to(line.late_s, 0.003);
    assert_int_equal(line.outcome, LOAD_OK);
    assert_int_equal(line.http_code, 204);
    assert_int_equal(line.bytes, 77);
    assert_int_equal(outside_read_line("{}", &line, why, sizeof(why)), 0);
    assert_true(isnan(line.planned_s) && isnan(line.sent_s) && isnan(line.latency_s) && isnan(line.late_s));
    assert_int_equal(line.outcome, LOAD_OK);
    assert_int_equal(outside_read_line("{\"ok\": false, \"latency_s\": 2}\r", &line, why, sizeof(why)), 0);
    close_to(line.latency_s, 2);
    assert_int_equal(line.outcome, LOAD_FAILED);
    assert_int_equal(outside_read_line("{\"ok\": false, \"outcome\": \"timeout\"}", &line, why, sizeof(why)), 0);
    assert_int_equal(line.outcome, LOAD_TIMEOUT);
    assert_int_equal(outside_read_line("{\"planned\": 5, \"t\": 1795469000.5}", &line, why, sizeof(why)), 0); /* two clocks */
}

static void what_is_no_such_line_is_refused(void **state)
{
    static const char *const texts[] = {
        "foo", "[1]", "{\"t\": 1} x", "{\"t\": \"1\"}", "{\"t\": -1}", "{\"latency_ms\": -0.1}", "{\"latency_ms\": 1e300}", "{\"ok\": 1}",
        "{\"ok\": true, \"outcome\": \"timeout\"}", "{\"outcome\": \"lost\"}", "{\"outcome\": 3}", "{\"planned\": 2, \"t\": 1}",
        "{\"status\": 1000}", "{\"t\": 1e12}", "{",
    };
    struct outside_line line;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        char why[128] = "";

        if (outside_read_line(texts[i], &line, why, sizeof(why)) == 0 || !why[0])
            fail_msg("'%s' was taken", texts[i]);
    }
}

static void wrk_tells_totals_and_four_percentiles(void **state)
{
    static const char text[] = "Running 2s test @ http://127.0.0.1:18080/README.md\n"
                               "  1 threads and 4 connections\n"
                               "  Thread Stats   Avg      Stdev     Max   +/- Stdev\n"
                               "    Latency    51.45ms   10.06ms 107.39ms   90.57%\n"
                               "    Req/Sec    76.60     18.52   120.00     80.00%\n"
                               "  Latency Distribution\n"
                               "     50%   47.99ms\n"
                               "     75%   54.44ms\n"
                               "     90%   60.35ms\n"
                               "     99%  105.24ms\n"
                               "  158 requests in 2.07s, 18.11KB read\n"
                               "  Non-2xx or 3xx responses: 12\n"
                               "Requests/sec:     76.23\n"
                               "Transfer/sec:      8.74KB\n";
    struct load_totals totals;
    char why[128];

    (void)state;
    assert_int_equal(outside_read_wrk(text, &totals, why, sizeof(why)), 0);
    assert_int_equal(totals.requests, 158);
    assert_int_equal(totals.outcomes[LOAD_HTTP_STATUS], 12);
    assert_int_equal(totals.outcomes[LOAD_OK], 146);
    assert_int_equal(totals.quantile_count, 4);
    close_to(totals.quantile[0].share, 0.5);
    close_to(totals.quantile[0].at_s, 0.04799);
    close_to(totals.quantile[3].share, 0.99);
    close_to(totals.quantile[3].at_s, 0.10524);
    close_to(totals.mean_s, 0.05145);
    close_to(totals.most_s, 0.10739);
    close_to(totals.length_s, 2.07);
}

static void wrk_counts_what_failed_apart(void **state)
{
    static const char text[] = "Running 1s test @ http://127.0.0.1:18080/\n"
                               "  1 threads and 4 connections\n"
                               "  Thread Stats   Avg      Stdev     Max   +/- Stdev\n"
                               "    Latency   830.21us    1.02s     1.20m    79.16%\n"
                               "    Req/Sec     7.30k     7.21    97.00     70.00%\n"
                               "  83 requests in 1.05s, 9.72KB read\n"
                               "  Socket errors: connect 5, read 2, write 1, timeout 3\n"
                               "  Non-2xx or 3xx responses: 81\n"
                               "Requests/sec:     78.68\n"
                               "Transfer/sec:      9.22KB\n";
    struct load_totals totals;
    char why[128];

    (void)state;
    assert_int_equal(outside_read_wrk(text, &totals, why, sizeof(why)), 0);
    assert_int_equal(totals.requests, 91);
    assert_int_equal(totals.outcomes[LOAD_CONNECT_FAILED], 5);
    assert_int_equal(totals.outcomes[LOAD_RESET], 3);
    assert_int_equal(totals.outcomes[LOAD_TIMEOUT], 3);
    assert_int_equal(totals.outcomes[LOAD_HTTP_STATUS], 80);
    assert_int_equal(totals.outcomes[LOAD_OK], 0);
    assert_int_equal(totals.quantile_count, 0);
    close_to(totals.mean_s, 830.21e-6);
    close_to(totals.most_s, 72);
    assert_int_not_equal(outside_read_wrk("unable to connect to 127.0.0.1:1 Connection refused\n", &totals, why, sizeof(why)), 0);
    assert_int_not_equal(outside_read_wrk("", &totals, why, sizeof(why)), 0);
    assert_int_not_equal(outside_read_wrk("9 requests in soon\n", &totals, why, sizeof(why)), 0);
}

static void k6_tells_totals_in_each_shape(void **state)
{
    static const char *const texts[] = {
        /* --summary-export, after the text for people */
        "     http_reqs......................: 180 4.36938/s\n{ expected_response:true }...: avg=144.56ms\n"
        "{\n  \"metrics\": {\n    \"http_reqs\": { \"count\": 180, \"rate\": 4.5 },\n"
        "    \"http_req_duration\": { \"avg\": 144.5, \"min\": 1, \"med\": 110.25, \"max\": 1140, \"p(99.9)\": 215, \"p(90)\": 203.5 },\n"
        "    \"http_req_failed\": { \"passes\": 18, \"fails\": 162, \"value\": 0.1 },\n"
        "    \"dropped_iterations\": { \"count\": 20, \"rate\": 0.5 }\n  },\n  \"root_group\": {}\n}\n",
        /* handleSummary's data */
        "{\"metrics\":{\"http_reqs\":{\"type\":\"counter\",\"values\":{\"count\":180,\"rate\":4.5}},\"http_req_duration\":{\"type\":\"trend\","
        "\"values\":{\"avg\":144.5,\"med\":110.25,\"max\":1140,\"p(90)\":203.5,\"p(99.9)\":215}},\"http_req_failed\":{\"type\":\"rate\","
        "\"values\":{\"rate\":0.1,\"passes\":18,\"fails\":162}},\"dropped_iterations\":{\"values\":{\"count\":20}}}}",
        /* --new-machine-readable-summary */
        "{\"config\":{\"duration\":40,\"execution\":\"local\"},\"metadata\":{\"k6Version\":\"2.2.0\"},\"results\":{\"metrics\":["
        "{\"name\":\"http_reqs\",\"type\":\"counter\",\"values\":{\"count\":180}},{\"name\":\"http_req_duration\",\"type\":\"trend\","
        "\"values\":{\"avg\":144.5,\"med\":110.25,\"max\":1140,\"p(90)\":203.5,\"p(99.9)\":215}},{\"name\":\"http_req_failed\",\"type\":\"rate\","
        "\"values\":{\"rate\":0.1,\"matches\":18,\"total\":180}},{\"name\":\"dropped_iterations\",\"values\":{\"count\":20}}]},\"version\":\"1.0.0\"}",
    };
    struct load_totals totals;
    char why[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        assert_int_equal(outside_read_k6(texts[i], &totals, why, sizeof(why)), 0);
        assert_int_equal(totals.requests, 200);
        assert_int_equal(totals.outcomes[LOAD_FAILED], 18);
        assert_int_equal(totals.outcomes[LOAD_DROPPED], 20);
        assert_int_equal(totals.outcomes[LOAD_OK], 162);
        assert_int_equal(totals.quantile_count, 3);
        close_to(totals.quantile[0].at_s, 0.11025);
        close_to(totals.quantile[2].share, 0.999);
        close_to(totals.quantile[2].at_s, 0.215);
        close_to(totals.mean_s, 0.1445);
        close_to(totals.most_s, 1.14);
        close_to(totals.length_s, 40);
    }
    assert_int_not_equal(outside_read_k6("{\"metrics\":{}}", &totals, why, sizeof(why)), 0);
    assert_int_not_equal(outside_read_k6("running (0m01.0s)\n{ \"a\": ", &totals, why, sizeof(why)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_says_what_it_says),
        cmocka_unit_test(what_is_no_such_line_is_refused),
        cmocka_unit_test(wrk_tells_totals_and_four_percentiles),
        cmocka_unit_test(wrk_counts_what_failed_apart),
        cmocka_unit_test(k6_tells_totals_in_each_shape),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
