/* The list of open connections over the executor messages.
 * also-on-backend: epoll */
#include "tests/component/wire_fixture.h"

static int list(struct fixture *fixture, const char *proxy, struct connection_status *ret_first, size_t *ret_count)
{
    struct wire_answer answer;
    int result = wire_ask(&fixture->executor, MESSAGE_CONNECTIONS, 0, 0, proxy, strlen(proxy), &answer);

    *ret_count = answer.size / sizeof(*ret_first);
    memcpy(ret_first, &answer.payload, sizeof(*ret_first));
    return result;
}

static void test_connections_are_listed(void **state)
{
    struct plan_rule rules[2] = { wire_rule("latency", "elsewhere"), wire_rule("latency", "here") };
    struct fixture *fixture = *state;
    struct connection_status first;
    int older = wire_connect(fixture->echo_at), newer;
    char bytes[8];
    size_t count;

    assert_int_equal(wire_send_all(older, "abc", 3), 0);
    assert_int_equal(wire_recv_all(older, bytes, 3), 3);
    newer = wire_connect(fixture->echo_at);
    assert_int_equal(wire_send_all(newer, "d", 1), 0);
    assert_int_equal(wire_recv_all(newer, bytes, 1), 1);
    snprintf(rules[0].scope, sizeof(rules[0].scope), "watcher");
    snprintf(rules[1].scope, sizeof(rules[1].scope), "echo");
    assert_int_equal(wire_arm(&fixture->executor, 1, LEASE_NS, rules, 2), 0);
    assert_int_equal(list(fixture, "echo", &first, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(first.sequence, 1);
    assert_int_equal(first.state, CONNECTION_OPEN);
    assert_int_equal(first.received[0], 3);
    assert_int_equal(first.sent[1], 3);
    assert_int_equal(first.rule_count, 1);
    assert_int_equal(first.rules[0], 1); /* the second rule of the plan */
    assert_int_equal(list(fixture, "watcher", &first, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(list(fixture, "nobody", &first, &count), -ENOENT);
    assert_int_equal(list(fixture, "", &first, &count), -ENOENT);
    close(older);
    close(newer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_connections_are_listed, set_up, tear_down),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
