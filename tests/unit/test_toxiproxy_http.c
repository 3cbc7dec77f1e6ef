/* Requests from bytes, routes from paths, flags as Go reads them. */
#include "tests/unit/scenario_cases.h"

#include "controller/toxiproxy/flags.h"
#include "controller/toxiproxy/http_reader.h"
#include "controller/toxiproxy/router.h"

#include <errno.h>
#include <sys/param.h>

enum { MUTATIONS = 20000 };

/* Feeds a text in pieces of `step` bytes; the result, and how much was taken. */
static int feed(struct http_reader *reader, const char *text, size_t step, size_t *ret_taken)
{
    size_t size = strlen(text), at = 0;
    int result = 0;

    while (at < size && !result) {
        size_t taken;

        result = http_reader_feed(reader, text + at, MIN(step, size - at), &taken);
        at += taken;
    }
    *ret_taken = at;
    return result;
}

static void reads_the_same_in_any_pieces(void **state)
{
    static const char text[] =
        "\r\nPOST /a%20b?x=1 HTTP/1.1\r\nUser-Agent:  me \r\nTransfer-Encoding: chunked\r\nauthorization: Bearer t\r\n\r\n"
        "4;ext=1\r\nwiki\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nNEXT";

    (void)state;
    for (size_t step = 1; step < sizeof(text); step++) {
        struct http_reader reader;
        size_t taken;

        http_reader_init(&reader);
        assert_int_equal(feed(&reader, text, step, &taken), 1);
        assert_int_equal(taken, sizeof(text) - 1 - 4);
        assert_string_equal(reader.request.method, "POST");
        assert_string_equal(reader.request.target, "/a%20b?x=1");
        assert_string_equal(reader.request.user_agent, "me");
        assert_string_equal(reader.request.authorization, "Bearer t");
        assert_true(reader.request.keep_alive && !reader.request.has_origin);
        assert_int_equal(reader.request.body_size, 14);
        assert_string_equal(reader.request.body, "wiki0123456789");
        http_reader_done(&reader);
    }
}

static void knows_when_to_keep_a_connection(void **state)
{
    static const struct {
        const char *text;
        bool keep_alive;
    } cases[] = {
        { "GET / HTTP/1.1\n\n", true },
        { "GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", false },
        { "GET / HTTP/1.1\r\nConnection: upgrade, close\r\n\r\n", false },
        { "GET / HTTP/1.0\r\n\r\n", false },
        { "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true },
        { "GET / HTTP/1.1\r\nConnection: closed\r\n\r\n", true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct http_reader reader;
        size_t taken;

        http_reader_init(&reader);
        assert_int_equal(feed(&reader, cases[i].text, 7, &taken), 1);
        if (reader.request.keep_alive != cases[i].keep_alive)
            fail_msg("%s", cases[i].text);
        http_reader_done(&reader);
    }
}

static void refuses_what_can_be_read_two_ways(void **state)
{
    static const struct {
        const char *text;
        int result;
    } cases[] = {
        { "GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", -400 },
        { "GET / HTTP/1.1\r\nContent-Length: 1\r\ncontent-length: 2\r\n\r\n", -400 },
        { "GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", -400 },
        { "GET / HTTP/1.1\r\nContent-Length:\r\n\r\n", -400 },
        { "GET / HTTP/1.1\r\nContent-Length: 9999999999999999999\r\n\r\n", -400 },
        { "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", -501 },
        { "GET / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", -501 },
        { "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", -400 },
        { "GET / HTTP/1.1\r\n: x\r\n\r\n", -400 },
        { "GET / HTTP/1.1\r\nA\x01: x\r\n\r\n", -400 },
        { "GET / HTTP/1.1\r\nA: x\ry\r\n\r\n", -400 },
        { "GET  / HTTP/1.1\r\n\r\n", -400 },
        { "GET / HTTP/1.1 \r\n\r\n", -400 },
        { "GET / http/1.1\r\n\r\n", -400 },
        { "AVERYLONGMETHODNAME / HTTP/1.1\r\n\r\n", -400 },
        { "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n 1\r\n", -400 },
        { "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n", -400 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct http_reader reader;
        size_t taken;
        int result;

        http_reader_init(&reader);
        result = feed(&reader, cases[i].text, 1000, &taken);
        if (result != cases[i].result)
            fail_msg("%s: %d", cases[i].text, result);
        http_reader_done(&reader);
    }
}

static void survives_mutations(void **state)
{
    static const char seed[] =
        "POST /proxies/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    static const char alphabet[] = "\r\n :;,0aA9/\x01\xff\x7f-";
    struct cases cases = cases_begin("mutations");
    unsigned whole = 0;

    (void)state;
    for (int i = 0; i < MUTATIONS; i++) {
        char text[sizeof(seed)];
        struct http_reader reader;
        size_t taken;
        int result;

        memcpy(text, seed, sizeof(seed));
        for (uint64_t n = cases_below(&cases, 4); n > 0; n--)
            text[cases_below(&cases, sizeof(seed) - 1)] = alphabet[cases_below(&cases, sizeof(alphabet) - 1)];
        http_reader_init(&reader);
        result = feed(&reader, text, 1 + cases_below(&cases, 40), &taken);
        whole += result == 1;
        assert_true(result == 1 || result == 0 || (result <= -400 && result >= -505));
        http_reader_done(&reader);
    }
    printf("# %u of %d whole\n", whole, MUTATIONS);
    assert_true(whole > MUTATIONS / 10 && whole < MUTATIONS);
}

/* ---- routes ----------------------------------------------------------------------------------------------------------- */

static void finds_routes(void **state)
{
    static const struct {
        const char *method, *target;
        int status;
        enum route_id id;
        const char *names[2];
    } cases[] = {
        { "GET", "/version", 200, ROUTE_VERSION, { NULL } },
        { "GET", "/proxies?x=/y", 200, ROUTE_PROXY_LIST, { NULL } },
        { "POST", "/proxies", 200, ROUTE_PROXY_CREATE, { NULL } },
        { "PATCH", "/proxies/a", 200, ROUTE_PROXY_UPDATE, { "a" } },
        { "POST", "/proxies/a", 200, ROUTE_PROXY_UPDATE, { "a" } },
        { "GET", "/proxies/a%2Fb%3f", 200, ROUTE_PROXY_SHOW, { "a/b?" } },
        { "DELETE", "/proxies/*/toxics/%2a", 200, ROUTE_TOXIC_DELETE, { "*", "*" } },
        { "GET", "/proxies/toxics", 200, ROUTE_PROXY_SHOW, { "toxics" } },
        { "GET", "/proxies/a/stats", 200, ROUTE_PROXY_STATS, { "a" } },
        { "BREW", "/metrics", 200, ROUTE_METRICS, { NULL } },
        { "GET", "/proxies/", 404, 0, { NULL } },
        { "GET", "/proxies/a/", 404, 0, { NULL } },
        { "GET", "/version/", 404, 0, { NULL } },
        { "GET", "/versio", 404, 0, { NULL } },
        { "GET", "/", 404, 0, { NULL } },
        { "GET", "*", 404, 0, { NULL } },
        { "GET", "/a/b/c/d/e/f/g", 404, 0, { NULL } },
        { "OST", "/reset", 405, 0, { NULL } },
        { "PATC", "/proxies/a", 405, 0, { NULL } },
        { "DELETE", "/proxies", 405, 0, { NULL } },
        { "GET", "/proxies/%", 400, 0, { NULL } },
        { "GET", "/proxies/%4", 400, 0, { NULL } },
        { "GET", "/proxies/%00", 400, 0, { NULL } },
        { "GET", "/proxies//a", 301, 0, { NULL } },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct route_match match;
        int status = route_find(cases[i].method, cases[i].target, &match);

        if (status != cases[i].status || (status == 200 && match.id != cases[i].id))
            fail_msg("%s %s: %d", cases[i].method, cases[i].target, status);
        for (int n = 0; n < 2 && status == 200; n++)
            if (cases[i].names[n] ? strcmp(match.names[n], cases[i].names[n]) != 0 : match.names[n] != NULL)
                fail_msg("%s: name %s", cases[i].target, match.names[n]);
        if (status == 301)
            assert_string_equal(match.query, "/proxies/a");
        route_match_done(&match);
    }
}

static void reads_numbers_of_a_query(void **state)
{
    (void)state;
    assert_int_equal(route_query_number("since=12", "since", 0), 12);
    assert_int_equal(route_query_number("a=1&since=7&b", "since", 0), 7);
    assert_int_equal(route_query_number("xsince=1&sinc=2&since", "since", 5), 5);
    assert_int_equal(route_query_number("since=-1", "since", 5), 5);
    assert_int_equal(route_query_number("", "since", 5), 5);
}

/* ---- flags ------------------------------------------------------------------------------------------------------------ */

static int parse(int argc, char **argv, const char **host, bool *strict, char *why)
{
    const struct flag flags[] = { { "host", FLAG_TEXT, host }, { "strict", FLAG_BOOL, strict } };

    return flags_parse(argc, argv, flags, ARRAY_SIZE(flags), why, 200);
}

static void reads_flags_as_go_does(void **state)
{
    static const struct {
        const char *args[4];
        int result;
        const char *host;
        bool strict;
    } cases[] = {
        { { "-host", "h" }, 0, "h", false },
        { { "--host", "h", "--strict" }, 0, "h", true },
        { { "-host=a=b" }, 0, "a=b", false },
        { { "-host=" }, 0, "", false },
        { { "-strict=false" }, 0, NULL, false },
        { { "-strict=T" }, 0, NULL, true },
        { { "-host", "-strict" }, 0, "-strict", false },
        { { "-host" }, -EINVAL, NULL, false },
        { { "-hos", "x" }, -EINVAL, NULL, false },
        { { "---host", "x" }, -EINVAL, NULL, false },
        { { "host" }, -EINVAL, NULL, false },
        { { "-" }, -EINVAL, NULL, false },
        { { "-strict=maybe" }, -EINVAL, NULL, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *argv[5] = { "proxy" };
        const char *host = NULL;
        bool strict = false;
        char why[200] = "";
        int argc = 1, result;

        for (; cases[i].args[argc - 1]; argc++)
            argv[argc] = (char *)(uintptr_t)cases[i].args[argc - 1];
        result = parse(argc, argv, &host, &strict, why);
        if (result != cases[i].result || (result < 0 && !why[0]))
            fail_msg("%s: %d %s", argv[1], result, why);
        if (!result &&
            (strict != cases[i].strict || (host ? !cases[i].host || strcmp(host, cases[i].host) != 0 : cases[i].host != NULL)))
            fail_msg("%s: host %s", argv[1], host);
    }
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_same_in_any_pieces),
        cmocka_unit_test(knows_when_to_keep_a_connection),
        cmocka_unit_test(refuses_what_can_be_read_two_ways),
        cmocka_unit_test(survives_mutations),
        cmocka_unit_test(finds_routes),
        cmocka_unit_test(reads_numbers_of_a_query),
        cmocka_unit_test(reads_flags_as_go_does),
    };

    return cmocka_run_group_tests_name("toxiproxy_http", tests, NULL, NULL);
}
