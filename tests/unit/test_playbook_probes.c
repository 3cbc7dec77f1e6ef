/* Probes of a playbook: what each kind makes of its keys, and what is refused, with its reason. */
#include "scenarios/playbook/playbook.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char head[] = "perturb: 1\n"
                           "title: t\n"
                           "targets:\n"
                           "  shop: {command: [shop]}\n"
                           "  far: {address: \"10.0.0.1:80\"}\n"
                           "  other: {pid: \"7\"}\n"
                           "proxies: {store: {upstream: \"127.0.0.1:1\"}}\n"
                           "load: {main: {http: {url: \"http://127.0.0.1:1/\"}, rate: 1/s}}\n"
                           "steady-state-hypothesis: [{signal: main.goodput, min: 99%}]\n"
                           "method: [{fault: latency, name: slow, proxy: store, latency: 1ms}]\n"
                           "probes:\n";

static uint16_t next_port(void *context, const char *name)
{
    (void)name;
    return ++*(uint16_t *)context;
}

static int read_probe(struct playbook *playbook, const char *probes, struct errs *errs)
{
    uint16_t last_port = 4000;
    const struct playbook_options options = { NULL, 0, next_port, &last_port };
    char text[4096];

    snprintf(text, sizeof(text), "%s%s", head, probes);
    *errs = (struct errs){ 0 };
    return playbook_parse(playbook, "p.yaml", text, strlen(text), false, &options, errs);
}

static void each_kind_knows_its_unit(void **state)
{
    static const struct {
        const char *probe;
        enum probe_kind kind;
        enum unit unit;
        int64_t better;
    } cases[] = {
        { "  x: {http: {url: \"http://h/\"}}\n", PROBE_HTTP, UNIT_DURATION, 0 },
        { "  x: {http: {url: \"http://h/\", field: up, status: [200, 300-399]}}\n", PROBE_HTTP, UNIT_SHARE, 1 },
        { "  x: {http: {url: \"http://h/\", field: status}}\n", PROBE_HTTP, UNIT_COUNT, 0 },
        { "  x: {tcp: {address: \"h:1\"}}\n", PROBE_TCP, UNIT_DURATION, 0 },
        { "  x: {process: {target: other}}\n", PROBE_PROCESS, UNIT_SHARE, 1 },
        { "  x: {process: {target: shop, field: restarts}}\n", PROBE_PROCESS, UNIT_COUNT, 0 },
        { "  x: {file: {path: f}, unit: bytes, better: higher}\n", PROBE_FILE, UNIT_SIZE, 1 },
        { "  x: {log: {target: shop, extract: gctrace.live}}\n", PROBE_LOG, UNIT_SIZE, 0 },
        { "  x: {log: {target: shop, extract: redis.sync-losses}}\n", PROBE_LOG, UNIT_COUNT, 0 },
        { "  x: {log: {path: f, pattern: \"a=(.)\"}, unit: seconds}\n", PROBE_LOG, UNIT_DURATION, 0 },
        { "  x: {prometheus: {url: \"http://h\", query: up}}\n", PROBE_PROMETHEUS, UNIT_RATIO, 0 },
        { "  x: {alertmanager: {url: \"http://h\", match: [a=b, c!~d]}}\n", PROBE_ALERTMANAGER, UNIT_COUNT, 0 },
        { "  x: {redis: {url: \"redis://h:1\", field: f}}\n", PROBE_REDIS, UNIT_RATIO, 0 },
        { "  x: {postgres: {connection: c, query: q}, unit: count}\n", PROBE_POSTGRES, UNIT_COUNT, 0 },
        { "  x: {proxy: {proxy: store, field: held}}\n", PROBE_PROXY, UNIT_SIZE, 0 },
        { "  x: {proxy: {proxy: store}}\n", PROBE_PROXY, UNIT_COUNT, 0 },
        { "  x: {fault: {fault: slow}}\n", PROBE_FAULT, UNIT_COUNT, 0 },
        { "  x: {health: {of: [{signal: main.p99, good: 10ms, bad: 1s}]}}\n", PROBE_HEALTH, UNIT_SHARE, 1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static struct playbook playbook;
        static struct errs errs;
        const struct probe *probe;

        if (read_probe(&playbook, cases[i].probe, &errs) < 0) {
            errs_print(&errs, stderr);
            fail_msg("refused: %s", cases[i].probe);
        }
        probe = playbook.probes.items;
        assert_int_equal(probe->kind, cases[i].kind);
        assert_int_equal(probe->unit, cases[i].unit);
        assert_int_equal(probe->better, cases[i].better);
        playbook_done(&playbook);
    }
}

static void parts_of_a_score_have_the_units_of_their_signals(void **state)
{
    static struct playbook playbook;
    static struct errs errs;
    const struct health_part *parts;

    (void)state;
    assert_int_equal(read_probe(&playbook, "  all: {health: {of: [{signal: main.goodput, good: 99%, bad: 50%, weight: 2.5}, {signal: heap.max, good: 1MiB, bad: 2MiB}]}}\n"
                                           "  heap: {file: {path: f}, unit: bytes}\n", &errs), 0);
    parts = ((const struct probe *)playbook.probes.items)->health.of.items;
    assert_true(parts[0].good == 990000 && parts[0].bad == 500000 && parts[0].weight == 2500 && !parts[0].without_data);
    assert_true(parts[1].good == 1 << 20 && parts[1].bad == 2 << 20 && parts[1].weight == 1000);
    assert_int_equal(parts[1].signal->stat, PROBE_MAX);
    playbook_done(&playbook);
}

static void what_makes_no_sense_is_refused(void **state)
{
    static const struct {
        const char *probe, *says;
    } cases[] = {
        { "  x: {every: 1s}\n", "needs exactly one of proc, command, json, http, tcp" },
        { "  x: {file: {path: f}, tcp: {address: \"h:1\"}}\n", "needs exactly one of" },
        { "  main: {file: {path: f}}\n", "a load is named 'main' too" },
        { "  x: {http: {url: \"ftp://h/\"}}\n", "no http:// or https://" },
        { "  x: {http: {url: \"http://h/\", status: [2xx]}}\n", "found '2xx', expected 200 or 200-299" },
        { "  x: {tcp: {address: h}}\n", "expected HOST:PORT" },
        { "  x: {process: {target: far}}\n", "is only an address" },
        { "  x: {process: {target: shob}}\n", "no target is named 'shob'; there is 'shop'" },
        { "  x: {log: {target: other, extract: gctrace.pause}}\n", "is not spawned here" },
        { "  x: {log: {target: shop, path: f, pattern: a}}\n", "one of target and path" },
        { "  x: {log: {path: f}}\n", "one of pattern and extract" },
        { "  x: {log: {path: f, extract: gctrace.pauze}}\n", "'gctrace.pauze' is none of: gctrace.pause gctrace.live" },
        { "  x: {redis: {url: \"http://h:1\", field: f}}\n", "is no redis://HOST:PORT" },
        { "  x: {redis: {url: \"redis://h:1\", field: f, user: u}}\n", "needs a password" },
        { "  x: {proxy: {proxy: stor}}\n", "no proxy is named 'stor'" },
        { "  x: {fault: {fault: slo}}\n", "no fault of the method is named 'slo'; there are: slow" },
        { "  x: {health: {of: []}}\n", "a score of no signals" },
        { "  x: {health: {of: [{signal: main.p99, good: 10ms, bad: 10ms}]}}\n", "are the same" },
        { "  x: {health: {of: [{signal: main.p99, good: 10, bad: 1s}]}}\n", "good: found '10'" },
        { "  x: {health: {of: [{signal: nobody, good: 1, bad: 0}]}}\n", "'nobody'" },
        { "  x: {health: {of: [{signal: y, good: 1, bad: 0}]}}\n  y: {health: {of: [{signal: main.goodput, good: 1, bad: 0}]}}\n", "is a health score itself" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static struct playbook playbook;
        static struct errs errs;
        bool found = false;

        assert_true(read_probe(&playbook, cases[i].probe, &errs) < 0);
        for (size_t j = 0; j < errs.count; j++)
            found |= strstr(errs.list[j].text, cases[i].says) != NULL && !strncmp(errs.list[j].where, "p.yaml:", 7);
        if (!found) {
            errs_print(&errs, stderr);
            fail_msg("'%s' is refused without '%s'", cases[i].probe, cases[i].says);
        }
        playbook_done(&playbook);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_knows_its_unit),
        cmocka_unit_test(parts_of_a_score_have_the_units_of_their_signals),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
