/* Holds leave the list of faults, in order of their instants; the section of a game day. */
#include "tests/unit/scenario_cases.h"

#include "scenarios/playbook/playbook.h"

static const char text[] =
    "perturb: 1\ntitle: t\nproxies: {wire: {upstream: \"127.0.0.1:80\"}}\n"
    "load: {main: {http: {url: \"http://127.0.0.1:1/\"}, rate: 100/s}}\n"
    "steady-state-hypothesis: [{signal: main.goodput, min: 99%}]\n"
    "method: [{hold: second?, at: 3s, for: 1m, otherwise: go}, {fault: latency, proxy: wire, for: 1s}, {hold: first?}]\n"
    "gameday: {scenario: secret, roles: {abort-owner: di}, checklist: [one, two], goals: {detect: 1m}, findings: {due: 7d}}\n";

static uint16_t some_port(void *context, const char *name)
{
    (void)context, (void)name;
    return 4001;
}

static void holds_and_the_game_day(void **state)
{
    static struct playbook playbook;
    const struct hold *holds;
    static struct errs errs;
    const struct playbook_options options = { .free_port = some_port };

    (void)state;
    if (playbook_parse(&playbook, "p.yaml", text, sizeof(text) - 1, false, &options, &errs) < 0)
        fail_msg("%s: %s", errs.list[0].where, errs.list[0].text);
    holds = playbook.holds.items;
    assert_int_equal(playbook.method.count, 1);
    assert_int_equal(playbook.holds.count, 2);
    assert_string_equal(holds[0].text, "first?");
    assert_true(holds[0].at == 0 && holds[0].bound == 600 * (int64_t)NS_PER_S && holds[0].otherwise == HOLD_ABORTS);
    assert_true(holds[1].at == 3 * (int64_t)NS_PER_S && holds[1].bound == 60 * (int64_t)NS_PER_S && holds[1].otherwise == HOLD_GOES_ON);
    assert_true(playbook.gameday.node && playbook.gameday.scenario == 1 && playbook.gameday.checklist.count == 2);
    assert_string_equal(playbook.gameday.roles.abort_owner, "di");
    assert_true(playbook.gameday.goals.detect == 60 * (int64_t)NS_PER_S && playbook.gameday.goals.mitigate == ABSENT);
    assert_true(playbook.gameday.findings.due == 7 * 86400 * (int64_t)NS_PER_S);
    playbook_done(&playbook);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(holds_and_the_game_day) };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
