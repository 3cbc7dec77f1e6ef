/* Every field of the API at its extremes, by loop: each attribute of each toxic type, each common field of a toxic, each field of a
 * proxy, with values of the wrong type, at and beyond the ends of int64, null, and doubled. The answer is what the contract says
 * (single rules stand in toxiproxy_rows.h), never a crash, and what is refused changes nothing. */
#include "scenarios/base/bits.h"
#include "scenarios/vocab/fault.h"
#include "tests/component/toxiproxy_fixture.h"

#include <cjson/cJSON.h>

/* What Go's decoder says to a value for an int64, a float32, a string, a bool, an object. */
enum { INTEGER = 1, FLOAT = 2, TEXT = 4, BOOL = 8, OBJECT = 16, ARRAY = 32 };

static const struct value {
    const char *json;
    unsigned fits; /* into which */
} values[] = {
    { "null", INTEGER | FLOAT | TEXT | BOOL | OBJECT | ARRAY },
    { "0", INTEGER | FLOAT },
    { "-0", INTEGER | FLOAT },
    { "1", INTEGER | FLOAT },
    { "-1", INTEGER | FLOAT },
    { "2147483648", INTEGER | FLOAT },
    { "9223372036854775807", INTEGER | FLOAT },
    { "-9223372036854775808", INTEGER | FLOAT },
    { "9223372036854775808", FLOAT },
    { "-9223372036854775809", FLOAT },
    { "0.5", FLOAT },
    { "1.0", FLOAT },
    { "1e3", FLOAT },
    { "1e39", 0 },
    { "-1e39", 0 },
    { "\"\"", TEXT },
    { "\"5\"", TEXT },
    { "true", BOOL },
    { "false", BOOL },
    { "{}", OBJECT },
    { "[]", ARRAY },
};

/* Asks and compares the status; the answer stays with the caller when wanted. */
static void expect(const struct fixture *fixture, const char *method, const char *path, const char *body, int status)
{
    struct toxi_answer answer = toxi_ask(&fixture->toxi, method, path, body);

    if (answer.status != status)
        fail_msg("%s %s %s: expected %d, found %d %s", method, path, body, status, answer.status, answer.body);
    toxi_answer_done(&answer);
}

/* ---- attributes -------------------------------------------------------------------------------------------------------- */

/* The two crashers of the reference. */
static bool is_refused(const char *type, const char *attribute, const char *json)
{
    if (json[0] == 'n')
        return false;
    if (!strcmp(type, "bandwidth") && !strcmp(attribute, "rate"))
        return json[0] == '-' && strcmp(json, "-0") != 0;
    return !strcmp(type, "slicer") && !strcmp(attribute, "average_size") && (json[0] == '-' || !strcmp(json, "0"));
}

/* As `update` of a toxic that is there: what was refused has left it as it was. */
static void check_update(const struct fixture *fixture, const char *attribute, const struct value *value, bool ok)
{
    char body[512], before[4096], after[4096];

    toxi_get(&fixture->toxi, "/proxies/p/toxics/kept", "attributes", before, sizeof(before));
    snprintf(body, sizeof(body), "{\"toxicity\":0.25,\"attributes\":{\"%s\":%s}}", attribute, value->json);
    expect(fixture, "PATCH", "/proxies/p/toxics/kept", body, ok ? 200 : 400);
    toxi_get(&fixture->toxi, "/proxies/p/toxics/kept", "attributes", after, sizeof(after));
    if (!ok || !strcmp(value->json, "null"))
        assert_string_equal(before, after);
    toxi_get(&fixture->toxi, "/proxies/p/toxics/kept", "toxicity", after, sizeof(after));
    assert_string_equal(after, ok ? "0.25" : "1");
    expect(fixture, "POST", "/proxies/p/toxics/kept", "{\"toxicity\":1}", 200);
}

static void check_attribute(const struct fixture *fixture, const char *type, const char *attribute, bool has_own_name)
{
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        bool as_text = has_own_name && !strcmp(values[i].json, "\"5\""); /* our own: the parameter, in its unit */
        bool ok = (values[i].fits & INTEGER && !is_refused(type, attribute, values[i].json));
        char body[512];

        if (as_text)
            continue; /* may or may not be of its unit: tests/unit/test_toxiproxy_toxic.c */
        snprintf(body, sizeof(body), "{\"type\":\"%s\",\"name\":\"x\",\"attributes\":{\"%s\":%s}}", type, attribute, values[i].json);
        expect(fixture, "POST", "/proxies/p/toxics", body, ok ? 200 : 400);
        expect(fixture, "DELETE", "/proxies/p/toxics/x", NULL, ok ? 204 : 404);
        check_update(fixture, attribute, &values[i], ok);
        snprintf(body, sizeof(body), "{\"type\":\"%s\",\"name\":\"x\",\"attributes\":{\"%s\":%s,\"%s\":1}}", type, attribute,
                 values[i].json, attribute);
        expect(fixture, "POST", "/proxies/p/toxics", body, ok ? 200 : 400); /* each duplicate is looked at, as Go does */
        expect(fixture, "DELETE", "/proxies/p/toxics/x", NULL, ok ? 204 : 404);
    }
}

static bool has_param(const struct fault_desc *fault, const char *name)
{
    for (size_t i = 0; i < fault->param_count; i++)
        if (!strcmp(fault->params[i].name, name))
            return true;
    return false;
}

static void every_attribute(void **state)
{
    struct fixture *fixture = *state;
    size_t checked = 0;

    add_proxy(fixture);
    for (size_t f = 0; f < FAULT_COUNT; f++) {
        const struct fault_desc *fault = &fault_descs[f];
        char body[256];

        if (fault->layer != LAYER_STREAM || !fault->alias_count)
            continue;
        snprintf(body, sizeof(body), "{\"type\":\"%s\",\"name\":\"kept\"}", fault->name);
        expect(fixture, "POST", "/proxies/p/toxics", body, 200);
        for (size_t a = 0; a < fault->alias_count; a++, checked++)
            check_attribute(fixture, fault->name, fault->aliases[a].name, has_param(fault, fault->aliases[a].name));
        expect(fixture, "DELETE", "/proxies/p/toxics/kept", NULL, 204);
    }
    printf("# %zu attributes, %zu values each\n", checked, ARRAY_SIZE(values));
    assert_int_equal(checked, 10); /* latency 2, bandwidth 1, slow_close 1, timeout 1, reset_peer 1, slicer 3, limit_data 1 */
}

/* ---- the common fields of a toxic -------------------------------------------------------------------------------------- */

static void every_field_of_a_toxic(void **state)
{
    struct fixture *fixture = *state;
    char body[512];

    add_proxy(fixture);
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        const struct value *value = &values[i];
        bool is_null = !strcmp(value->json, "null"), is_empty = !strcmp(value->json, "\"\"");

        snprintf(body, sizeof(body), "{\"type\":\"noop\",\"name\":\"x\",\"toxicity\":%s}", value->json);
        expect(fixture, "POST", "/proxies/p/toxics", body, value->fits & FLOAT ? 200 : 400);
        expect(fixture, "POST", "/reset", NULL, 204);
        snprintf(body, sizeof(body), "{\"type\":\"noop\",\"name\":\"x\",\"attributes\":%s}", value->json);
        expect(fixture, "POST", "/proxies/p/toxics", body, value->fits & OBJECT ? 200 : 400);
        expect(fixture, "POST", "/reset", NULL, 204);
        snprintf(body, sizeof(body), "{\"type\":%s}", value->json);
        expect(fixture, "POST", "/proxies/p/toxics", body, 400);
        snprintf(body, sizeof(body), "{\"type\":\"noop\",\"stream\":%s}", value->json);
        expect(fixture, "POST", "/proxies/p/toxics", body, is_null ? 200 : 400);
        expect(fixture, "POST", "/reset", NULL, 204);
        snprintf(body, sizeof(body), "{\"type\":\"noop\",\"name\":%s}", value->json);
        expect(fixture, "POST", "/proxies/p/toxics", body, value->fits & TEXT ? 200 : 400);
        expect(fixture, "DELETE", is_null || is_empty ? "/proxies/p/toxics/noop_downstream" : "/proxies/p/toxics/5", NULL,
               value->fits & TEXT ? 204 : 404);
    }
    expect(fixture, "POST", "/proxies/p/toxics", "{\"type\":\"noop\",\"type\":7}", 400);
    expect(fixture, "POST", "/proxies/p/toxics", "{\"type\":\"latency\",\"type\":\"noop\",\"TYPE\":\"slicer\",\"name\":\"last\"}", 200);
    toxi_get(&fixture->toxi, "/proxies/p/toxics/last", "type", body, sizeof(body));
    assert_string_equal(body, "slicer");
}

/* ---- the fields of a proxy --------------------------------------------------------------------------------------------- */

static void every_field_of_a_proxy(void **state)
{
    struct fixture *fixture = *state;
    char body[512], before[4096], after[4096];

    add_proxy(fixture);
    toxi_get(&fixture->toxi, "/proxies", "p", before, sizeof(before));
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        const struct value *value = &values[i];
        bool is_null = !strcmp(value->json, "null"), is_five = !strcmp(value->json, "\"5\"");

        snprintf(body, sizeof(body), "{\"name\":%s,\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:1\"}", value->json);
        expect(fixture, "POST", "/proxies", body, is_five ? 201 : 400);
        snprintf(body, sizeof(body), "{\"name\":\"u\",\"listen\":\"127.0.0.1:0\",\"upstream\":%s}", value->json);
        expect(fixture, "POST", "/proxies", body, is_five ? 201 : 400);
        snprintf(body, sizeof(body), "{\"name\":\"e\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:1\",\"enabled\":%s}", value->json);
        expect(fixture, "POST", "/proxies", body, value->fits & BOOL ? 201 : 400);
        snprintf(body, sizeof(body), "{\"name\":\"l\",\"listen\":%s,\"upstream\":\"127.0.0.1:1\"}", value->json);
        expect(fixture, "POST", "/proxies", body, is_five ? 500 : value->fits & TEXT ? 201 : 400); /* "" and null: any port */
        snprintf(body, sizeof(body), "{\"name\":\"t\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:1\",\"toxics\":%s}", value->json);
        expect(fixture, "POST", "/proxies", body, value->fits & ARRAY ? 201 : 400);
        for (const char *name = "5uelt"; *name; name++) {
            char path[] = { '/', 'p', 'r', 'o', 'x', 'i', 'e', 's', '/', *name, '\0' };
            struct toxi_answer answer = toxi_ask(&fixture->toxi, "DELETE", path, NULL); /* there or not */

            toxi_answer_done(&answer);
        }
        if (is_null || value->fits & (BOOL | TEXT))
            continue; /* these would change it */
        snprintf(body, sizeof(body), "{\"enabled\":%s}", value->json);
        expect(fixture, "POST", "/proxies/p", body, 400);
        snprintf(body, sizeof(body), "{\"enabled\":false,\"listen\":%s}", value->json);
        expect(fixture, "POST", "/proxies/p", body, 400);
        snprintf(body, sizeof(body), "{\"listen\":\"127.0.0.1:0\",\"upstream\":%s}", value->json);
        expect(fixture, "PATCH", "/proxies/p", body, 400);
    }
    toxi_get(&fixture->toxi, "/proxies", "p", after, sizeof(after));
    assert_string_equal(before, after);
}

/* Names and texts of a mebibyte, wherever one may stand. */
static void every_text_at_a_mebibyte(void **state)
{
    static const struct {
        const char *method, *path, *before, *after;
        int status;
    } cases[] = {
        { "POST", "/proxies", "{\"name\":\"", "\",\"upstream\":\"127.0.0.1:1\"}", 400 },
        { "POST", "/proxies", "{\"name\":\"l\",\"upstream\":\"127.0.0.1:1\",\"listen\":\"", "\"}", 500 },
        { "POST", "/proxies", "{\"name\":\"l\",\"listen\":\"127.0.0.1:0\",\"", "\":1,\"upstream\":\"127.0.0.1:1\"}", 201 },
        { "POST", "/proxies/p/toxics", "{\"type\":\"noop\",\"name\":\"", "\"}", 400 },
        { "POST", "/proxies/p/toxics", "{\"type\":\"", "\"}", 400 },
        { "POST", "/proxies/p/toxics", "{\"type\":\"noop\",\"stream\":\"", "\"}", 400 },
        { "POST", "/proxies/p/toxics", "{\"type\":\"latency\",\"attributes\":{\"", "\":1}}", 200 },
        { "POST", "/proxies/p/toxics", "{\"type\":\"latency\",\"name\":\"y\",\"attributes\":{\"latency\":\"", "\"}}", 400 },
        { "POST", "/proxies/p/toxics", "{\"type\":\"noop\",\"duration\":\"", "\"}", 400 },
        { "POST", "/proxies/p/toxics", "{\"type\":\"noop\",\"toxicity\":1", "}", 400 },
        { "POST", "/populate", "[{\"name\":\"", "\",\"upstream\":\"127.0.0.1:1\"}]", 400 },
    };
    enum { SIZE = 1 << 20 };
    struct fixture *fixture = *state;
    char *filler = malloc(SIZE + 1);

    add_proxy(fixture);
    memset(filler, 'n', SIZE);
    filler[SIZE] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct toxi_answer answer;
        struct buf body;

        buf_init(&body, 2 * SIZE);
        buf_printf(&body, "%s%s%s", cases[i].before, filler, cases[i].after);
        answer = toxi_ask(&fixture->toxi, cases[i].method, cases[i].path, body.data);
        if (answer.status != cases[i].status)
            fail_msg("case %zu: expected %d, found %d %.200s", i, cases[i].status, answer.status, answer.body);
        toxi_answer_done(&answer);
        buf_done(&body);
    }
    free(filler);
    expect(fixture, "GET", "/version", NULL, 200);
}

/* ---- enabling ---------------------------------------------------------------------------------------------------------- */

/* The port was taken meanwhile: an error, and the proxy stays as it was until the port is free again. */
static void a_port_that_was_taken(void **state)
{
    struct fixture *fixture = *state;
    char body[256], text[128];
    struct toxi_answer answer;

    add_proxy(fixture);
    add_toxic(fixture, "{\"type\":\"noop\"}");
    expect(fixture, "POST", "/proxies/p", "{\"enabled\":false}", 200);
    snprintf(body, sizeof(body), "{\"name\":\"thief\",\"listen\":\"%s\",\"upstream\":\"127.0.0.1:1\"}", fixture->listen);
    expect(fixture, "POST", "/proxies", body, 201);
    answer = toxi_ask(&fixture->toxi, "POST", "/proxies/p", "{\"enabled\":true}");
    snprintf(body, sizeof(body), "{\"error\":\"listen tcp %s: bind: address already in use\",\"status\":500}\n", fixture->listen);
    assert_int_equal(answer.status, 500);
    assert_string_equal(answer.body, body);
    toxi_answer_done(&answer);
    toxi_get(&fixture->toxi, "/proxies/p", "enabled", text, sizeof(text));
    assert_string_equal(text, "false");
    expect(fixture, "POST", "/reset", NULL, 500);
    expect(fixture, "DELETE", "/proxies/thief", NULL, 204);
    expect(fixture, "POST", "/proxies/p", "{\"enabled\":true}", 200);
    toxi_get(&fixture->toxi, "/proxies/p", "listen", text, sizeof(text));
    assert_string_equal(text, fixture->listen);
}

/* ---- the forms of known clients ---------------------------------------------------------------------------------------- */

/* A request as it stands on the wire; @ in it is the port of the proxy's upstream. */
static void play(const struct fixture *fixture, const char *head, const char *body, int status)
{
    struct buf text;

    buf_init(&text, 4096);
    buf_printf(&text, "%s", head);
    if (body)
        buf_printf(&text, "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    else
        buf_puts(&text, "\r\n");
    if (raw_status(&fixture->toxi, text.data) != status)
        fail_msg("expected %d: %s", status, text.data);
    buf_done(&text);
}

/* The Go client and the CLI on it send a User-Agent of theirs, Accept-Encoding, bodies with their newline, PATCH or POST. */
static void go_clients(void **state)
{
#define GO "Host: localhost:8474\r\nUser-Agent: toxiproxy-cli/v2.12.0 (linux/amd64)\r\nAccept-Encoding: gzip\r\n"
#define GO_JSON GO "Content-Type: application/json\r\n"
    struct fixture *fixture = *state;

    play(fixture, "GET /version HTTP/1.1\r\n" GO, NULL, 200);
    play(fixture, "GET /proxies HTTP/1.1\r\n" GO, NULL, 200);
    play(fixture, "POST /proxies HTTP/1.1\r\n" GO_JSON,
         "{\"name\":\"go\",\"listen\":\"localhost:0\",\"upstream\":\"localhost:1\",\"enabled\":true,\"toxics\":null}\n", 201);
    play(fixture, "POST /proxies/go HTTP/1.1\r\n" GO_JSON,
         "{\"name\":\"go\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"localhost:1\",\"enabled\":false,\"toxics\":[]}\n", 200);
    play(fixture, "PATCH /proxies/go HTTP/1.1\r\n" GO_JSON, "{\"enabled\":true}\n", 200);
    play(fixture, "POST /proxies/go/toxics HTTP/1.1\r\n" GO_JSON,
         "{\"name\":\"\",\"type\":\"latency\",\"stream\":\"downstream\",\"toxicity\":1,\"attributes\":{\"latency\":100,\"jitter\":10}}\n", 200);
    play(fixture, "POST /proxies/go/toxics HTTP/1.1\r\n" GO_JSON,
         "{\"name\":\"t\",\"type\":\"timeout\",\"stream\":\"upstream\",\"toxicity\":0.5,\"attributes\":null}\n", 200);
    play(fixture, "PATCH /proxies/go/toxics/latency_downstream HTTP/1.1\r\n" GO_JSON, "{\"attributes\":{\"jitter\":20},\"toxicity\":0.5}\n", 200);
    play(fixture, "POST /proxies/go/toxics/latency_downstream HTTP/1.1\r\n" GO_JSON, "{\"attributes\":{\"jitter\":20}}\n", 200);
    play(fixture, "GET /proxies/go/toxics HTTP/1.1\r\n" GO, NULL, 200);
    play(fixture, "DELETE /proxies/go/toxics/t HTTP/1.1\r\n" GO, NULL, 204);
    play(fixture, "POST /populate HTTP/1.1\r\n" GO_JSON,
         "[{\"name\":\"go\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"localhost:1\",\"enabled\":true,\"toxics\":null}]\n", 201);
    play(fixture, "POST /reset HTTP/1.1\r\n" GO "Content-Length: 0\r\n", NULL, 204);
    play(fixture, "POST /reset HTTP/1.1\r\n" GO_JSON, "", 204);
    play(fixture, "DELETE /proxies/go HTTP/1.1\r\n" GO, NULL, 204);
    play(fixture, "DELETE /proxies/go HTTP/1.1\r\n" GO, NULL, 404);
#undef GO
#undef GO_JSON
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_attribute, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_field_of_a_toxic, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_field_of_a_proxy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_text_at_a_mebibyte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_port_that_was_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(go_clients, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("toxiproxy_extremes", tests, NULL, NULL);
}
