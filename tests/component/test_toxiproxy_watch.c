/* What the server tells of its connections and bytes, against what both ends did.
 * also-on-backend: epoll */
#include "tests/component/toxiproxy_fixture.h"

#include <arpa/inet.h>
#include <cjson/cJSON.h>

enum { BULK_BYTES = 8 << 20 };

static int set_up_metrics(void **state)
{
    return set_up_with(state, (const char *const[]){ "-proxy-metrics", "-loops=2", NULL });
}

/* Asks until `field` of the path's answer has the value: bytes are counted a moment after they went. */
static void wait_for(const struct fixture *fixture, const char *path, const char *field, const char *value)
{
    uint64_t deadline_ns = clock_now_ns() + wire_timeout_ms() * NS_PER_MS;
    char text[4096] = "";

    while (strcmp(text, value) != 0 && clock_now_ns() < deadline_ns)
        toxi_get(&fixture->toxi, path, field, text, sizeof(text));
    assert_string_equal(text, value);
}

static cJSON *connections(const struct fixture *fixture)
{
    struct toxi_answer answer = toxi_ask(&fixture->toxi, "GET", "/proxies/p/connections", NULL);
    cJSON *object = cJSON_Parse(answer.body);

    assert_int_equal(answer.status, 200);
    assert_non_null(object);
    toxi_answer_done(&answer);
    return object;
}

static double number(const cJSON *object, const char *name)
{
    const cJSON *field = cJSON_GetObjectItemCaseSensitive(object, name);

    assert_true(cJSON_IsNumber(field));
    return field->valuedouble;
}

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));

    assert_non_null(text);
    return text;
}

static void check_address(const cJSON *connection, int fd)
{
    struct sockaddr_in local;
    socklen_t size = sizeof(local);
    char expected[64];

    assert_int_equal(getsockname(fd, (struct sockaddr *)&local, &size), 0);
    snprintf(expected, sizeof(expected), "127.0.0.1:%u", ntohs(local.sin_port));
    assert_string_equal(text_of(connection, "client"), expected);
}

static void lists_its_connections(void **state)
{
    struct fixture *fixture = *state;
    cJSON *object, *list, *first, *second, *toxics;
    char expected[64];
    int fds[2];

    add_proxy(fixture);
    object = connections(fixture);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(object, "connections")), 0);
    cJSON_Delete(object);
    fds[0] = wire_connect(fixture->listen);
    exchange(fds[0], 'a');
    add_toxic(fixture, "{\"type\":\"blackhole\",\"name\":\"cut\"}");
    add_toxic(fixture, "{\"type\":\"latency\",\"name\":\"not me\",\"toxicity\":0}");
    assert_int_equal(wire_send_all(fds[0], "bcd", 3), 0);
    fds[1] = wire_connect(fixture->listen);
    wait_for(fixture, "/proxies/p/stats", "held_bytes", "3");
    wait_for(fixture, "/proxies/p/connections", "open", "2");
    object = connections(fixture);
    list = cJSON_GetObjectItem(object, "connections");
    assert_int_equal(cJSON_GetArraySize(list), 2);
    first = cJSON_GetArrayItem(list, 0);
    second = cJSON_GetArrayItem(list, 1);
    assert_int_equal((int)number(first, "number"), 1);
    assert_int_equal((int)number(second, "number"), 2);
    check_address(first, fds[0]);
    check_address(second, fds[1]);
    snprintf(expected, sizeof(expected), "127.0.0.1:%u", wire_server_port(fixture->server));
    assert_string_equal(text_of(first, "upstream"), expected);
    assert_string_equal(text_of(first, "state"), "open");
    assert_true(number(first, "age_ms") >= number(second, "age_ms"));
    assert_int_equal((int)number(first, "bytes_from_client"), 4);
    assert_int_equal((int)number(first, "bytes_to_upstream"), 4);
    assert_int_equal((int)number(first, "bytes_from_upstream"), 4);
    assert_int_equal((int)number(first, "bytes_to_client"), 1);
    assert_int_equal((int)number(first, "held_bytes_to_client"), 3);
    assert_int_equal((int)number(first, "held_bytes_to_upstream"), 0);
    toxics = cJSON_GetObjectItem(first, "toxics");
    assert_int_equal(cJSON_GetArraySize(toxics), 1);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetArrayItem(toxics, 0)), "cut");
    cJSON_Delete(object);
    assert_int_equal(toxi_do(&fixture->toxi, "POST", "/reset", NULL), 204);
    close(fds[0]);
    close(fds[1]);
    wait_for(fixture, "/proxies/p/connections", "open", "0");
    assert_int_equal(raw_status(&fixture->toxi, "GET /proxies/none/connections HTTP/1.1\r\n\r\n"), 404);
    assert_int_equal(raw_status(&fixture->toxi, "DELETE /proxies/p/connections HTTP/1.1\r\n\r\n"), 405);
}

static double metric(const struct fixture *fixture, const char *name, const char *direction)
{
    struct toxi_answer answer = toxi_ask(&fixture->toxi, "GET", "/metrics", NULL);
    char start[128], *line, *space;
    double value = -1;

    snprintf(start, sizeof(start), "\n%s{direction=\"%s\"", name, direction);
    line = strstr(answer.body, start);
    space = line ? strchr(line + 1, ' ') : NULL;
    if (space)
        value = strtod(space, NULL);
    toxi_answer_done(&answer);
    return value;
}

static void counts_what_it_received_apart(void **state)
{
    struct fixture *fixture = *state;
    int fd;

    add_proxy(fixture);
    fd = wire_connect(fixture->listen);
    exchange(fd, 'a');
    add_toxic(fixture, "{\"type\":\"timeout\"}");
    assert_int_equal(wire_send_all(fd, "bcdef", 5), 0);
    wait_for(fixture, "/proxies/p/stats", "bytes_from_upstream", "6");
    assert_int_equal((int)metric(fixture, "toxiproxy_proxy_received_bytes_total", "upstream"), 6);
    assert_int_equal((int)metric(fixture, "toxiproxy_proxy_sent_bytes_total", "upstream"), 6);
    assert_int_equal((int)metric(fixture, "toxiproxy_proxy_received_bytes_total", "downstream"), 6);
    assert_int_equal((int)metric(fixture, "toxiproxy_proxy_sent_bytes_total", "downstream"), 1);
    close(fd);
}

/* Bytes that are spliced are counted as well. */
static void counts_bulk_traffic(void **state)
{
    struct fixture *fixture = *state;
    enum { PART = 64 << 10 };
    char *bytes = calloc(1, PART);
    cJSON *object, *only;
    int fd;

    add_proxy(fixture);
    fd = wire_connect(fixture->listen);
    for (size_t sent = 0; sent < BULK_BYTES; sent += PART) {
        assert_int_equal(wire_send_all(fd, bytes, PART), 0);
        assert_int_equal(wire_recv_all(fd, bytes, PART), PART);
    }
    wait_for(fixture, "/proxies/p/stats", "bytes_to_client", "8388608");
    wait_for(fixture, "/proxies/p/stats", "bytes_from_client", "8388608");
    wait_for(fixture, "/proxies/p/stats", "bytes_from_upstream", "8388608");
    object = connections(fixture);
    only = cJSON_GetArrayItem(cJSON_GetObjectItem(object, "connections"), 0);
    assert_int_equal((int)number(only, "bytes_from_client"), BULK_BYTES);
    assert_int_equal((int)number(only, "bytes_to_client"), BULK_BYTES);
    cJSON_Delete(object);
    free(bytes);
    close(fd);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lists_its_connections, set_up_metrics, tear_down),
        cmocka_unit_test_setup_teardown(counts_what_it_received_apart, set_up_metrics, tear_down),
        cmocka_unit_test_setup_teardown(counts_bulk_traffic, set_up_metrics, tear_down),
    };

    return cmocka_run_group_tests_name("toxiproxy_watch", tests, NULL, NULL);
}
