/* What a load sends is pinned by a hash; what differs from run to run, the ports, is no part of it. */
#include "tests/unit/scenario_cases.h"

#include "scenarios/playbook/playbook.h"

static uint16_t given_port(void *context, const char *name)
{
    (void)name;
    return *(uint16_t *)context;
}

static uint64_t load_hash(const char *load, uint16_t port, const char *path)
{
    static struct playbook playbook;
    static struct errs errs;
    const struct variable_override override = { "path", path };
    const struct playbook_options options = { &override, 1, given_port, &port };
    char text[2048];
    uint64_t hash;

    snprintf(text, sizeof(text),
             "perturb: 1\ntitle: t\nvars: {path: a}\nload: {main: {%s}}\nsteady-state-hypothesis: [{signal: main.goodput, min: 9%%}]\n"
             "targets: {a: {command: [a, \"${port.a}\"]}}\nproxies: {a: {upstream: \"127.0.0.1:${port.a}\"}}\n"
             "method: [{fault: latency, proxy: a, latency: 1s, for: 1s}]\n", load);
    errs = (struct errs){ 0 };
    if (playbook_parse(&playbook, "p.yaml", text, strlen(text), false, &options, &errs) < 0) {
        errs_print(&errs, stderr);
        fail_msg("the playbook is refused: %s", text);
    }
    hash = ((const struct workload *)playbook.loads.items)->hash;
    playbook_done(&playbook);
    return hash;
}

/* What is sent is pinned; where the run finds its ports is not. */
static void a_mix_and_a_command_have_a_hash(void **state)
{
    static const char mix[] = "http: {url: \"http://127.0.0.1:${port.a}/\"}, rate: 5/s, requests: [{url: \"http://127.0.0.1:${port.a}/${vars.path}\", weight: 2}, {method: PUT}]";
    static const char other[] = "http: {url: \"http://127.0.0.1:${port.a}/\"}, rate: 5/s, requests: [{url: \"http://127.0.0.1:${port.a}/${vars.path}\", weight: 3}, {method: PUT}]";
    static const char command[] = "command: {run: [wrk, \"http://127.0.0.1:${port.a}/\"]}", threads[] = "command: {run: [wrk, -t2, \"http://127.0.0.1:${port.a}/\"]}";

    (void)state;
    assert_true(load_hash("http: {url: \"http://127.0.0.1:${port.a}/\"}, rate: 5/s", 4000, "a") == 0);
    assert_true(load_hash(mix, 4000, "a") != 0);
    assert_true(load_hash(mix, 4000, "a") == load_hash(mix, 5000, "a"));
    assert_true(load_hash(mix, 4000, "a") != load_hash(mix, 4000, "b"));
    assert_true(load_hash(mix, 4000, "a") != load_hash(other, 4000, "a"));
    assert_true(load_hash(command, 4000, "a") == load_hash(command, 5000, "a"));
    assert_true(load_hash(command, 4000, "a") != load_hash(threads, 4000, "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_mix_and_a_command_have_a_hash) };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
