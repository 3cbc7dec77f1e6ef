/* Toxiproxy's API as clients see it: the table of its contract, HTTP at its edges, what -strict brings back, the token. */
#include "controller/run/run.h"
#include "tests/component/toxiproxy_fixture.h"
#include "tests/component/toxiproxy_rows.h"

#include <cjson/cJSON.h>

enum { PORTS = 7, TEXT_MAX = 4096 };

static int set_up_strict(void **state)
{
    return set_up_with(state, (const char *const[]){ "--strict", NULL });
}

static int set_up_token(void **state)
{
    return set_up_with(state, (const char *const[]){ "-token=secret", "-proxy-metrics", "--runtime-metrics=true", NULL });
}

/* ---- the contract ----------------------------------------------------------------------------------------------------- */

/* Puts the ports for @0 to @6. */
static char *fill_in(const char *text, const uint16_t ports[PORTS])
{
    struct buf out;

    buf_init(&out, 1 << 20);
    for (; *text; text++)
        if (*text == '@' && text[1] >= '0' && text[1] < '0' + PORTS)
            buf_printf(&out, "%u", ports[*++text - '0']);
        else
            buf_append(&out, text, 1);
    return buf_take(&out);
}

static void compare(size_t number, const char *expected, const struct toxi_answer *answer)
{
    bool is_json = (*expected == '{' || *expected == '[') && strchr(expected, '\n') == NULL;
    cJSON *a = is_json ? cJSON_Parse(expected) : NULL, *b = is_json ? cJSON_Parse(answer->body) : NULL;

    if (is_json ? !a || !b || !cJSON_Compare(a, b, 1) : strcmp(expected, answer->body) != 0)
        fail_msg("row %zu: expected %s, found %s", number, expected, answer->body);
    cJSON_Delete(a);
    cJSON_Delete(b);
}

static void check_row(const struct toxi *toxi, size_t number, const struct row *row, const uint16_t ports[PORTS])
{
    AUTO_FREE char *path = fill_in(row->path, ports), *body = row->body ? fill_in(row->body, ports) : NULL;
    AUTO_FREE char *expected = row->answer ? fill_in(row->answer, ports) : NULL;
    struct toxi_answer answer = toxi_ask(toxi, row->method, path, body);
    bool is_object = answer.body[0] == '{';

    if (answer.status != row->status)
        fail_msg("row %zu, %s %s %s: expected %d, found %d %s", number, row->method, path, body ? body : "", row->status,
                 answer.status, answer.body);
    if (expected)
        compare(number, expected, &answer);
    if (is_object && !strstr(answer.head, "X-Toxiproxy-Request-Id: "))
        fail_msg("row %zu: no request id in %s", number, answer.head);
    if (answer.status >= 400 && is_object && !strstr(answer.body, "\"error\":\""))
        fail_msg("row %zu: no error in %s", number, answer.body);
    if (answer.status == 204)
        assert_null(strstr(answer.head, "Content-Type"));
    toxi_answer_done(&answer);
}

static void keeps_the_contract(void **state)
{
    struct fixture *fixture = *state;
    uint16_t ports[PORTS] = { wire_server_port(fixture->server) };

    for (int i = 1; i < PORTS; i++)
        ports[i] = run_free_port(NULL, "toxiproxy");
    printf("# %zu rows\n", ARRAY_SIZE(rows));
    assert_true(ARRAY_SIZE(rows) >= 60);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        check_row(&fixture->toxi, i + 1, &rows[i], ports);
}

/* ---- HTTP at its edges ------------------------------------------------------------------------------------------------- */

static void refuses_browsers(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(raw_status(&fixture->toxi, "GET /proxies HTTP/1.1\r\nUser-Agent: Mozilla/5.0\r\n\r\n"), 403);
    assert_int_equal(raw_status(&fixture->toxi, "GET /proxies HTTP/1.1\r\nOrigin: http://evil.example\r\n\r\n"), 403);
    assert_int_equal(raw_status(&fixture->toxi, "POST /reset HTTP/1.1\r\norigin: null\r\n\r\n"), 403);
    assert_int_equal(raw_status(&fixture->toxi, "GET /proxies HTTP/1.1\r\nUser-Agent: toxiproxy-cli Mozilla/5.0\r\n\r\n"), 200);
}

static void refuses_broken_requests(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *bytes;
        int status;
    } cases[] = {
        { "GET\r\n\r\n", 400 },
        { "GET /proxies\r\n\r\n", 400 },
        { "GET /proxies HTTP/2.0\r\n\r\n", 505 },
        { "G T /proxies HTTP/1.1\r\n\r\n", 400 },
        { "GET proxies HTTP/1.1\r\n\r\n", 400 },
        { "GET /proxies HTTP/1.1\r\nA : b\r\n\r\n", 400 },
        { "GET /proxies HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400 },
        { "GET /proxies HTTP/1.1\r\nno colon\r\n\r\n", 400 },
        { "POST /reset HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400 },
        { "POST /reset HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400 },
        { "POST /reset HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
        { "POST /reset HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501 },
        { "POST /reset HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400 },
        { "POST /reset HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 400 },
        { "POST /reset HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", 413 },
        { "POST /populate HTTP/1.1\r\nContent-Length: 2097153\r\n\r\n", 413 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int status = raw_status(&fixture->toxi, cases[i].bytes);

        if (status != cases[i].status)
            fail_msg("%s: expected %d, found %d", cases[i].bytes, cases[i].status, status);
    }
    assert_int_equal(toxi_do(&fixture->toxi, "GET", "/version", NULL), 200);
}

static void refuses_a_large_head(void **state)
{
    struct fixture *fixture = *state;
    AUTO_FREE char *bytes = calloc(1, 40000);

    memcpy(bytes, "GET /", 5);
    memset(bytes + 5, 'a', 39000);
    assert_int_equal(raw_status(&fixture->toxi, bytes), 431);
}

static void answers_in_order_on_one_connection(void **state)
{
    static const char requests[] =
        "POST /proxies HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n{\"n\r\n5\r\name\":\r\n1\r\n1\r\n0\r\nT: x\r\n\r\n"
        "GET /version HTTP/1.1\r\n\r\n"
        "POST /reset HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nbody"
        "GET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n";
    static const int statuses[] = { 400, 200, 204, 404 };
    struct fixture *fixture = *state;
    int fd = toxi_connect(&fixture->toxi);
    struct toxi_answer answer;
    char byte;

    assert_int_equal(wire_send_all(fd, requests, sizeof(requests) - 1), 0);
    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
        assert_true(toxi_read(fd, &answer));
        assert_int_equal(answer.status, statuses[i]);
        toxi_answer_done(&answer);
    }
    assert_int_equal(wire_recv_all(fd, &byte, 1), 0);
    close(fd);
}

static void reads_a_request_in_crumbs(void **state)
{
    static const char request[] = "POST /proxies HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 13\r\n\r\n{\"name\":\"x\"} ";
    struct fixture *fixture = *state;
    int fd = toxi_connect(&fixture->toxi);
    struct toxi_answer answer;

    for (size_t i = 0; i < sizeof(request) - 1; i++)
        assert_int_equal(wire_send_all(fd, request + i, 1), 0);
    assert_true(toxi_read(fd, &answer));
    assert_int_equal(answer.status, 400);
    assert_non_null(strstr(answer.body, "missing required field: upstream"));
    toxi_answer_done(&answer);
    close(fd);
}

/* A name of a mebibyte, and one that is just short enough. */
static void bounds_names(void **state)
{
    struct fixture *fixture = *state;
    AUTO_FREE char *name = malloc((1 << 20) + 1);
    struct toxi_answer answer;
    struct buf text;

    memset(name, 'n', 1 << 20);
    name[1 << 20] = '\0';
    buf_init(&text, 3 << 20);
    buf_printf(&text, "{\"name\":\"%s\",\"upstream\":\"127.0.0.1:1\"}", name);
    answer = toxi_ask(&fixture->toxi, "POST", "/proxies", text.data);
    assert_int_equal(answer.status, 400);
    assert_non_null(strstr(answer.body, "proxy name is longer than 4096 bytes"));
    toxi_answer_done(&answer);
    buf_done(&text);
    name[4096] = '\0';
    buf_init(&text, 3 << 20);
    buf_printf(&text, "{\"name\":\"%s\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:1\"}", name);
    assert_int_equal(toxi_do(&fixture->toxi, "POST", "/proxies", text.data), 201);
    buf_done(&text);
    buf_init(&text, 3 << 20);
    buf_printf(&text, "/proxies/%s", name);
    assert_int_equal(toxi_do(&fixture->toxi, "DELETE", text.data, NULL), 204);
    buf_done(&text);
}

/* ---- strict, token --------------------------------------------------------------------------------------- */

static void strict_brings_quirks_back(void **state)
{
    struct fixture *fixture = *state;
    struct toxi_answer answer = toxi_ask(&fixture->toxi, "POST", "/populate", "[]");
    char text[TEXT_MAX];

    assert_string_equal(answer.body, "{\"proxies\":null}");
    toxi_answer_done(&answer);
    assert_int_equal(
        toxi_do(&fixture->toxi, "POST", "/populate",
                "[{\"name\":\"w\",\"listen\":\"0.0.0.0:0\",\"upstream\":\"127.0.0.1:1\",\"toxics\":[{\"type\":\"noop\"}]}]"),
        201);
    toxi_get(&fixture->toxi, "/proxies/w", "toxics", text, sizeof(text));
    assert_string_equal(text, "[]");
    toxi_get(&fixture->toxi, "/proxies/w", "listen", text, sizeof(text));
    assert_true(!strncmp(text, "[::]:", 5) || !strncmp(text, "0.0.0.0:", 8)); /* the latter where there is no IPv6 */
}

static void keeps_an_ipv4_wildcard(void **state)
{
    struct fixture *fixture = *state;
    char text[TEXT_MAX];

    assert_int_equal(
        toxi_do(&fixture->toxi, "POST", "/proxies", "{\"name\":\"w\",\"listen\":\"0.0.0.0:0\",\"upstream\":\"127.0.0.1:1\"}"), 201);
    toxi_get(&fixture->toxi, "/proxies/w", "listen", text, sizeof(text));
    assert_int_equal(strncmp(text, "0.0.0.0:", 8), 0);
}

static void asks_for_its_token(void **state)
{
    struct fixture *fixture = *state;
    struct toxi_answer answer;
    int fd;

    assert_int_equal(toxi_do(&fixture->toxi, "GET", "/proxies", NULL), 401);
    assert_int_equal(raw_status(&fixture->toxi, "GET /proxies HTTP/1.1\r\nAuthorization: Bearer secreT\r\n\r\n"), 401);
    assert_int_equal(raw_status(&fixture->toxi, "GET /proxies HTTP/1.1\r\nAuthorization: Bearer secret\r\n\r\n"), 200);
    fd = toxi_connect(&fixture->toxi);
    assert_true(toxi_raw(fd, "GET /metrics HTTP/1.1\r\nAuthorization: bearer secret\r\n\r\n", 56, &answer));
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.body, "# TYPE toxiproxy_proxy_sent_bytes_total counter\n"));
    assert_non_null(strstr(answer.body, "process_open_fds "));
    toxi_answer_done(&answer);
    close(fd);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keeps_the_contract, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_browsers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_broken_requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_a_large_head, set_up, tear_down),
        cmocka_unit_test_setup_teardown(answers_in_order_on_one_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_a_request_in_crumbs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bounds_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_an_ipv4_wildcard, set_up, tear_down),
        cmocka_unit_test_setup_teardown(strict_brings_quirks_back, set_up_strict, tear_down),
        cmocka_unit_test_setup_teardown(asks_for_its_token, set_up_token, tear_down),
    };

    return cmocka_run_group_tests_name("toxiproxy", tests, NULL, NULL);
}
