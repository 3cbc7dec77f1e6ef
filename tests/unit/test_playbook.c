/* Whole playbooks: the design's example is read as it is meant; what is wrong gives one located sentence each, all at once. */
#include "tests/unit/scenario_cases.h"

#include "scenarios/playbook/playbook.h"

#include <errno.h>

/* The example of the design, section 6. */
static const char example[] =
    "perturb: 1\n"
    "title: The shop keeps serving when Redis is slow\n"
    "service: shop                                      # identity: service, owner, tier, tags, version\n"
    "tags: [redis, dependency, weekly]\n"
    "rigour: quick                                      # quick | full\n"
    "seed: \"42\"\n"
    "vars: {rate: 200/s}                                # override: --var rate=50/s; env: ${env.NAME}\n"
    "targets:\n"
    "  redis: {command: [redis-server, --port, \"${port.redis}\", --save, \"\"], ready: {tcp: \"127.0.0.1:${port.redis}\"}}\n"
    "  shop:\n"
    "    command: [./build/sample-shop, --port, \"${port.shop}\"]      # or unit: shop.service | pid | cgroup | address\n"
    "    env: {REDIS_ADDR: \"${proxies.redis.listen}\"}\n"
    "    ready: {http: \"http://127.0.0.1:${port.shop}/healthz\", timeout: 10s}\n"
    "proxies:\n"
    "  redis: {listen: \"127.0.0.1:0\", upstream: \"127.0.0.1:${port.redis}\"}\n"
    "load:\n"
    "  main: {http: {url: \"http://127.0.0.1:${port.shop}/item/1\", timeout: 500ms}, rate: \"${vars.rate}\"}\n"
    "steady-state-hypothesis:\n"
    "  - {signal: main.goodput, min: 99%}\n"
    "  - {signal: main.p99, max: 200ms}\n"
    "method:\n"
    "  - {fault: latency, proxy: redis, direction: to_client, latency: 300ms, jitter: 50ms, at: 2s, for: 10s}\n"
    "expect:\n"
    "  convergence: {max: 5s, band: 5%, hold: 5s}       # pinned, so that weeks compare\n"
    "  loss: {max: 2s}                                  # seconds of full outage\n"
    "guards: [{signal: main.errors, above: 50%, for: 5s, then: abort}]\n";

/* Ports in the order they are asked for, from 4001. */
struct ports {
    uint16_t last;
    char asked[16][VARIABLE_NAME_MAX];
    size_t count;
};

static uint16_t next_port(void *context, const char *name)
{
    struct ports *ports = context;

    if (ports->count == ARRAY_SIZE(ports->asked))
        return 0;
    snprintf(ports->asked[ports->count++], VARIABLE_NAME_MAX, "%s", name);
    return ++ports->last;
}

static int read_text(struct playbook *playbook, const char *text, const struct variable_override *overrides, size_t count, struct ports *ports,
                     struct errs *errs)
{
    const struct playbook_options options = { overrides, count, next_port, ports };

    return playbook_parse(playbook, "p.yaml", text, strlen(text), false, &options, errs);
}

static void must_read(struct playbook *playbook, const char *text, const struct variable_override *overrides, size_t count)
{
    static struct errs errs;
    struct ports ports = { .last = 4000 };

    errs = (struct errs){ 0 };
    if (read_text(playbook, text, overrides, count, &ports, &errs) < 0) {
        errs_print(&errs, stderr);
        fail_msg("the playbook is refused");
    }
}

static void the_designs_example_is_read(void **state)
{
    static struct playbook playbook;
    const struct target *shop, *redis;
    const struct workload *load;
    const struct step *step;
    const struct bound *bounds;
    const struct guard *guard;
    char port[8];

    (void)state;
    must_read(&playbook, example, NULL, 0);
    assert_string_equal(playbook.title, "The shop keeps serving when Redis is slow");
    assert_string_equal(playbook.service, "shop");
    assert_int_equal(playbook.tags.count, 3);
    assert_int_equal(playbook.rigour, 0);
    assert_true(playbook.seed_given && playbook.seed == 42);

    redis = playbook_target(&playbook, "redis");
    shop = playbook_target(&playbook, "shop");
    assert_non_null(redis);
    assert_non_null(shop);
    assert_int_equal(redis->command.count, 5);
    assert_string_equal(redis->command.items[4], "");
    assert_null(redis->command.items[5]);
    snprintf(port, sizeof(port), "%s", redis->command.items[2]);
    assert_string_equal(strrchr(redis->ready.tcp, ':') + 1, port);
    assert_string_equal(strrchr(playbook_proxy(&playbook, "redis")->upstream, ':') + 1, port);
    assert_true(redis->ready.timeout == 10 * (int64_t)NS_PER_S);
    assert_int_equal(shop->env.count, 1);
    assert_memory_equal(shop->env.items[0], "REDIS_ADDR=127.0.0.1:", 21);
    assert_string_equal(shop->env.items[0] + 11, playbook_proxy(&playbook, "redis")->listen);
    assert_string_not_equal(strrchr(shop->env.items[0], ':') + 1, port); /* the proxy has a port of its own */

    load = playbook.loads.items;
    assert_true(playbook.loads.count == 1 && load->rate == 200000);
    assert_string_equal(load->name, "main");
    assert_true(load->http.timeout == 500 * (int64_t)NS_PER_MS);

    bounds = playbook.hypothesis.items;
    assert_int_equal(playbook.hypothesis.count, 2);
    assert_true(bounds[0].signal.kind == SIGNAL_GOODPUT && bounds[0].min == 990000 && bounds[0].max == ABSENT);
    assert_true(bounds[1].signal.kind == SIGNAL_QUANTILE && bounds[1].signal.quantile == 0.99 && bounds[1].max == 200 * (int64_t)NS_PER_MS);
    assert_int_equal(playbook.signal_count, 1); /* latency decides only where it is named */
    assert_string_equal(playbook.signals[0].name, "main.goodput");

    step = playbook.method.items;
    assert_int_equal(playbook.method.count, 1);
    assert_int_equal(step->spec.rule.fault, FAULT_STREAM_latency);
    assert_string_equal(step->spec.rule.scope, "redis");
    assert_true(step->spec.rule.params.STREAM_latency.latency == 300 * (int64_t)NS_PER_MS);
    assert_true(step->spec.rule.selector.direction == DIRECTION_TO_CLIENT);
    assert_true(step->at == 2 * (int64_t)NS_PER_S && step->duration == 10 * (int64_t)NS_PER_S);

    assert_true(playbook.expect.convergence.max == 5 * (int64_t)NS_PER_S && playbook.expect.convergence.band == 50000);
    assert_true(playbook.expect.loss.max == 2 * (int64_t)NS_PER_S && playbook.expect.amplification.max == ABSENT);
    guard = playbook.guards.items;
    assert_true(playbook.guards.count == 1 && guard->above == 500000 && guard->below == ABSENT);
    playbook_done(&playbook);
}

static void overrides_replace_variables_and_change_the_hash(void **state)
{
    static struct playbook plain, changed, again;
    const struct variable_override override = { "rate", "50/s" };

    (void)state;
    must_read(&plain, example, NULL, 0);
    must_read(&changed, example, &override, 1);
    must_read(&again, example, &override, 1);
    assert_true(((const struct workload *)changed.loads.items)->rate == 50000);
    assert_string_not_equal(plain.hash, changed.hash);
    assert_string_equal(changed.hash, again.hash);
    assert_int_equal(strlen(plain.hash), 16);
    playbook_done(&plain);
    playbook_done(&changed);
    playbook_done(&again);
}

/* ---- what is wrong ------------------------------------------------------------------------------------------------------- */

/* The smallest playbook that is right; `edit` replaces one of its lines by number, from 1. */
static const char *const small[] = {
    "perturb: 1",                                                                           /* 1 */
    "title: t",                                                                             /* 2 */
    "vars: {rate: 100/s, upstream: \"127.0.0.1:80\"}",                                      /* 3 */
    "targets: {app: {command: [sleep, \"9\"]}, old: {pid: 7}, far: {address: \"1.1.1.1:2\"}}", /* 4 */
    "proxies: {wire: {upstream: \"${vars.upstream}\"}}",                                    /* 5 */
    "load: {main: {http: {url: \"http://127.0.0.1:1/\"}, rate: \"${vars.rate}\"}}",         /* 6 */
    "steady-state-hypothesis: [{signal: main.goodput, min: 99%}]",                          /* 7 */
    "method: [{fault: latency, proxy: wire, latency: 5ms, for: 5s}]",                       /* 8 */
    "expect: {loss: {max: 2s}}",                                                            /* 9 */
};

static void put_small(char *text, size_t size, size_t line, const char *edit)
{
    size_t length = 0;

    for (size_t i = 0; i < ARRAY_SIZE(small); i++)
        length += (size_t)snprintf(text + length, size - length, "%s\n", i + 1 == line ? edit : small[i]);
}

static const struct {
    size_t line;
    const char *edit, *where, *says;
} wrong_playbooks[] = {
    { 1, "perturb: 2", "p.yaml:1:10", "found version 2; this program reads version 1" },
    { 1, "perturb: one", "p.yaml:1:10", "found version one" },
    { 1, "perturb: [1]", "p.yaml:1:10", "found a list" },
    { 1, "# none", "p.yaml:2:1", "playbook needs 'perturb'" },
    { 2, "titel: t", "p.yaml:2:1", "has no key 'titel'; did you mean title?" },
    { 2, "# none", "p.yaml:1:1", "playbook needs 'title'" },
    { 2, "title:", "p.yaml:2:7", "found nothing, expected text" },
    { 2, "title: t\ntitle: u", "p.yaml:3:1", "key 'title' is given twice; first at line 2" },
    { 2, "title: t\nrigour: thorough", "p.yaml:3:9", "is none of: quick full" },
    { 2, "title: t\nseed: many", "p.yaml:3:7", "is no whole number below 2^64" },
    { 2, "title: t\nseed: -1", "p.yaml:3:7", "is no whole number below 2^64" },
    { 2, "title: t\nseed: \"18446744073709551616\"", "p.yaml:3:7", "is no whole number below 2^64" },
    { 2, "title: t\nlease: 100ms", "p.yaml:3:8", "lease: 100ms is below the minimum of 1s" },
    { 2, "title: t\ntags: {a: b}", "p.yaml:3:7", "found a map, expected a list of texts" },
    { 2, "title: \"${env.PERTURB_TEST_SURELY_UNSET}\"", "p.yaml:2:8", "the environment has no PERTURB_TEST_SURELY_UNSET" },
    { 2, "title: \"${vars.rat}\"", "p.yaml:2:8", "unknown variable ${vars.rat}; did you mean ${vars.rate}?" },
    { 2, "title: \"${whatever}\"", "p.yaml:2:8", "unknown variable ${whatever}; there are ${vars.NAME}" },
    { 2, "title: \"${vars.rate\"", "p.yaml:2:8", "'${' without its '}'" },
    { 2, "title: \"${proxies.wir.listen}\"", "p.yaml:2:8", "unknown variable ${proxies.wir.listen}" },
    { 2, "title: \"${port.}\"", "p.yaml:2:8", "unknown variable ${port.}" },
    { 3, "vars: {rate: \"${vars.upstream}\", upstream: \"${vars.rate}\"}", NULL, "refer to each other in a circle" },
    { 4, "targets: {app: {command: [sleep], pid: 5}}", "p.yaml:4:16", "needs exactly one of command, pid, unit, cgroup, address" },
    { 4, "targets: {app: {command: []}}", "p.yaml:4:26", "the command is empty" },
    { 4, "targets: {app: {}}", "p.yaml:4:16", "needs exactly one of" },
    { 4, "targets: [app]", "p.yaml:4:10", "found a list, expected a map by name" },
    { 4, "targets: {app: {pid: 0}}", "p.yaml:4:22", "below the minimum of 1" },
    { 4, "targets: {app: {address: nowhere}}", "p.yaml:4:26", "'nowhere' is no HOST:PORT" },
    { 4, "targets: {app: {comand: [x]}}", "p.yaml:4:17", "target has no key 'comand'; did you mean command?" },
    { 4, "targets: {app: {command: [x], ready: {tcp: \"x:1\", http: \"http://x/\"}}}", "p.yaml:4:38", "give tcp or http, not both" },
    { 5, "proxies: {wire: {}}", "p.yaml:5:17", "needs an upstream, or a capture" },
    { 5, "proxies: {wire: {capture: {tcp: 80}, upstream: \"h:1\"}}", "p.yaml:5:48", "proxy 'wire' captures: it takes no upstream" },
    { 5, "proxies: {wire: {listen: \"127.0.0.1:0\", capture: {tcp: 80}}}", "p.yaml:5:26", "proxy 'wire' captures: it takes no listen" },
    { 5, "proxies: {wire: {capture: {}}}", "p.yaml:5:27", "capture needs 'tcp'" },
    { 5, "proxies: {wire: {capture: 80}}", "p.yaml:5:27", "found a number, expected a map" },
    { 5, "proxies: {wire: {capture: {tcp: []}}}", "p.yaml:5:33", "the list is empty" },
    { 5, "proxies: {wire: {capture: {tcp: [80, http]}}}", "p.yaml:5:33", "'http' is no port" },
    { 5, "proxies: {wire: {capture: {tcp: 65536}}}", "p.yaml:5:33", "'65536' is no port" },
    { 5, "proxies: {wire: {capture: {tcp: 0}}}", "p.yaml:5:33", "'0' is no port" },
    { 5, "proxies: {wire: {capture: {tcp: 80, to: \"10.0.0.0/33\"}}}", "p.yaml:5:41", "is no address and no CIDR" },
    { 5, "proxies: {wire: {capture: {tcp: 80, to: \"10.0.0.1:80\"}}}", "p.yaml:5:41", "is no address and no CIDR" },
    { 5, "proxies: {wire: {capture: {tcp: 80, target: ap}}}", "p.yaml:5:45", "no target is named 'ap'; there is 'app'" },
    { 5, "proxies: {wire: {capture: {tcp: 80, target: far}}}", "p.yaml:5:45", "target 'far' is an address" },
    { 5, "proxies: {wire: {capture: {tcp: 80, target: old, via: nftables}}}", "p.yaml:5:55", "is a bare process" },
    { 5, "proxies: {wire: {capture: {tcp: 80, via: shim}}}", "p.yaml:5:42", "via: shim needs a target" },
    { 5, "proxies: {wire: {capture: {tcp: 80, via: magic}}}", "p.yaml:5:42", "is none of: auto nftables shim" },
    { 5, "proxies: {wire: {capture: {tcp: 80, target: app, uid: 5}}}", "p.yaml:5:27", "give at most one of unit, cgroup, uid, target" },
    { 5, "proxies: {wire: {upstream: \"127.0.0.1\"}}", "p.yaml:5:28", "'127.0.0.1' is no HOST:PORT" },
    { 5, "proxies: {wire: {upstream: \"127.0.0.1:0\"}}", "p.yaml:5:28", "is no HOST:PORT" },
    { 5, "proxies: {wire: {upstream: \"127.0.0.1:65536\"}}", "p.yaml:5:28", "is no HOST:PORT" },
    { 5, "proxies: {wire: {listen: \"x\", upstream: \"127.0.0.1:1\"}}", "p.yaml:5:26", "listen: 'x' is no HOST:PORT" },
    { 5, "proxies: {wire: {listen: \"${proxies.wire.listen}:1\", upstream: \"h:1\"}}", NULL, "refer to each other in a circle" },
    { 5, "proxies: {wire: {upstream: \"h:1\", protocol: sctp}}", "p.yaml:5:45", "is none of: tcp udp" },
    { 5, "proxies: {wire: {upstream: \"unix:/x\", protocol: udp}}", "p.yaml:5:49", "proxy 'wire': udp has no Unix sockets" },
    { 5, "proxies: {wire: {upstream: \"h:1\", idle: 5s}}", "p.yaml:5:41", "only udp has idle sessions" },
    { 8, "method: [{fault: loss, proxy: wire}]", "p.yaml:8:18", "datagram.loss cannot act on proxy 'wire', which speaks tcp; there are: latency, bandwidth, slicer" },
    { 8, "method: [{fault: datagram.latency, proxy: wire}]", "p.yaml:8:18", "datagram.latency cannot act on proxy 'wire'" },
    { 6, "load: {main: {http: {url: \"http://h/\"}}}", "p.yaml:6:14", "load needs 'rate'" },
    { 6, "load: {main: {rate: 5}}", "p.yaml:6:14", "load 'main' needs exactly one of http" },
    { 6, "load: {main: {http: {url: \"http://h/\"}, resp: {url: \"redis://h\"}, rate: 5}}", "p.yaml:6:14", "needs exactly one of http" },
    { 6, "load: {main: {http: {url: \"http://h/\"}}}", "p.yaml:6:14", "load needs 'rate'" },
    { 6, "load: {main: {http: {url: \"tcp://h\"}, rate: 5}}", NULL, "does not start with http://" },
    { 6, "load: {main: {http: {url: \"http://h/\", version: 3}, rate: 5}}", NULL, "expected 1.1 or 2" },
    { 6, "load: {main: {http: {url: \"http://h/\"}, rate: 5, arrival: {shape: ramp, to: 9}}}", NULL, "`for` goes with ramp" },
    { 6, "load: {main: {http: {url: \"http://h/\"}, rate: 5, arrival: {shape: rates, file: f}}}", NULL, "there is no `rate` beside it" },
    { 6, "load: {main: {http: {url: \"http://h/\"}, rate: 5, requests: [{query: x}]}}", NULL, "query: not for a request of http" },
    { 6, "load: {main: {http: {url: \"http://h/\"}, rate: 5, requests: [{status: 20x}]}}", NULL, "expected 200 or 200-299" },
    { 6, "load: {main: {command: {run: [a], format: xml}}}", NULL, "format" },
    { 6, "load: {main: {command: {run: [a]}, connections: 3}}", NULL, "connections: not for a command" },
    { 6, "load: {main: {command: {run: [a], format: wrk}}}", NULL, "wrk tells totals at its end" },
    { 6, "load: {main: {udp: {url: \"udp://h:1\", hex: 0ag}, rate: 5}}", NULL, "no even number of hex digits" },
    { 6, "load: {main: {http: {url: \"ftp://h/\"}, rate: 5}}", NULL, "does not start with http:// or https://" },
    { 6, "load: {main: {http: {url: \"http://h/\"}, rate: 0}}", "p.yaml:6:47", "below the minimum" },
    { 6, "load: {main: {http: {url: \"http://h/\"}, rate: fast}}", "p.yaml:6:47", "expected a frequency such as 200/s" },
    { 6, "load: {}", NULL, "load is empty" },
    { 6, "load: {main: {http: {url: \"http://h/\"}, rate: 5}, twin: {control-of: mian, http: {url: \"http://i/\"}}}", NULL, "no load is named 'mian'" },
    { 6, "load: {main: {http: {url: \"http://h/\"}, rate: 5}, twin: {control-of: main, rate: 6, http: {url: \"http://i/\"}}}", NULL, "needs the rate of 'main'" },
    { 6, "load: {main: {http: {url: \"http://h/\"}, rate: 5}, twin: {control-of: main, resp: {url: \"redis://i\"}}}", NULL, "has to ask what 'main' asks" },
    { 6, "load: {main: {control-of: main, http: {url: \"http://h/\"}, rate: 5}}", "p.yaml:6:27", "is a control itself" },
    { 9, "ramp: {from: 10/s, to: 100/s}", "p.yaml:9:7", "ramp needs slo.latency" },
    { 9, "ramp: {from: 10/s, to: 5/s}\nslo: {latency: 1s}", "p.yaml:9:24", "'to' has to be above 'from'" },
    { 9, "ramp: {from: 10/s, to: 50/s, load: mein}\nslo: {latency: 1s}", "p.yaml:9:36", "no load is named 'mein'; there is 'main'" },
    { 9, "ramp: {from: 10/s, to: 50/s, when: [sometimes]}\nslo: {latency: 1s}", NULL, "is none of: before under-fault after" },
    { 9, "ramp: {from: 10/s, to: 50/s, water: [main.heat]}\nslo: {latency: 1s}", NULL, "is no signal of load 'main'" },
    { 9, "ramp: {from: 10/s}\nslo: {latency: 1s}", NULL, "ramp needs 'to'" },
    { 9, "expect: {knee: {min: 5/s}}", NULL, "knee needs a ramp" },
    { 9, "expect: {knee: {under-fault: 5/s}}\nramp: {from: 10/s, to: 50/s}\nslo: {latency: 1s}", NULL, "name under-fault in ramp.when" },
    { 9, "metastability: {shed: 100%}", NULL, "without any load there is nothing to measure" },
    { 9, "metastability: {for: 5s}", NULL, "at least one and a half of the hold" },
    { 7, "steady-state-hypothesis: [{signal: mian.goodput, min: 99%}]", "p.yaml:7:36", "no load is named 'mian'; there is 'main'" },
    { 7, "steady-state-hypothesis: [{signal: main.goodputt, min: 99%}]", "p.yaml:7:36", "is no signal of load 'main'" },
    { 7, "steady-state-hypothesis: [{signal: main.p0, min: 1ms}]", "p.yaml:7:36", "is no signal of load" },
    { 7, "steady-state-hypothesis: [{signal: main.p100, min: 1ms}]", "p.yaml:7:36", "is no signal of load" },
    { 7, "steady-state-hypothesis: [{signal: main.goodput}]", "p.yaml:7:27", "needs min or max" },
    { 7, "steady-state-hypothesis: [{signal: main.goodput, min: 101%}]", "p.yaml:7:55", "above the maximum of 100%" },
    { 7, "steady-state-hypothesis: [{signal: main.p99, max: 99%}]", "p.yaml:7:51", "expected a duration" },
    { 8, "method: [{fault: latancy, proxy: wire, for: 5s}]", "p.yaml:8:18", "unknown fault 'latancy'; did you mean latency?" },
    { 8, "method: [{fault: latency, proxy: wire, latency: 700s}]", "p.yaml:8:49", "latency: 700s is above the maximum of 10m" },
    { 8, "method: [{fault: latency, proxy: wire, latensy: 5ms}]", NULL, "has no 'latensy'; did you mean latency?" },
    { 8, "method: [{fault: latency, proxy: wirre}]", "p.yaml:8:34", "no proxy is named 'wirre'; there is 'wire'" },
    { 8, "method: [{fault: latency}]", "p.yaml:8:10", "needs one of proxy and target" },
    { 8, "method: [{fault: latency, proxy: wire, for: 1s, repeat: 3}]", "p.yaml:8:57", "repeat needs every" },
    { 8, "method: [{hold: ready?, fault: latency, at: 1s}]", "p.yaml:8:32", "a hold has no key 'fault'; it has: hold at for otherwise" },
    { 8, "method: [{hold: ''}]", "p.yaml:8:17", "hold: found no words" },
    { 8, "method: [{hold: ready?, otherwise: wait}]", "p.yaml:8:36", "otherwise: 'wait' is none of: abort go" },
    { 8, "method: [{proxy: wire}]", "p.yaml:8:10", "step needs 'fault'" },
    { 8, "method: [{fault: latency, proxy: wire, for: 1s, every: 3s}]", "p.yaml:8:56", "every needs repeat" },
    { 8, "method: [{fault: latency, proxy: wire, for: 3s, repeat: 3, every: 2s}]", "p.yaml:8:67", "the repetitions overlap" },
    { 8, "method: [{fault: latency, proxy: wire, repeat: 3, every: 2s}]", "p.yaml:8:58", "the repetitions overlap" },
    { 8, "method: [{fault: latency, proxy: wire, for: 1s, repeat: 0, every: 2s}]", "p.yaml:8:57", "below the minimum of 1" },
    { 8, "method: [{fault: latency, proxy: wire, target: app}]", "p.yaml:8:10", "needs one of proxy and target" },
    { 8, "method: [{fault: bandwidth, proxy: wire}]", "p.yaml:8:10", "stream.bandwidth needs 'rate'" },
    { 8, "method: [{fault: pause, target: ap}]", "p.yaml:8:33", "no target is named 'ap'; there is 'app'" },
    { 8, "method: [{fault: restart, target: old}]", "p.yaml:8:35", "host.restart acts on targets that the run spawned" },
    { 8, "method: [{fault: pause, target: far}]", "p.yaml:8:33", "host.pause needs processes; 'far' is reached by network only" },
    { 8, "method: [{fault: memory_limit, target: app}]", "p.yaml:8:10", "host.memory_limit needs one of limit and share" },
    { 8, "method: [{fault: memory_limit, target: app, limit: 1MiB, share: 50%}]", "p.yaml:8:10", "needs one of limit and share" },
    { 8, "method: [{fault: memory_limit, target: app, limit: 4KiB}]", "p.yaml:8:52", "below 1MiB no program starts" },
    { 8, "method: [{fault: memory_limit, limit: 4MiB}]", "p.yaml:8:10", "needs one of proxy and target" },
    { 8, "method: [{fault: memory_pressure, target: app}]", "p.yaml:8:10", "host.memory_pressure needs one of size and share" },
    { 8, "method: [{fault: disk_fill, target: app, path: /srv}]", "p.yaml:8:37", "host.disk_fill acts on the machine and takes no target" },
    { 8, "method: [{fault: disk_fill, path: srv}]", "p.yaml:8:35", "needs path: an absolute directory" },
    { 8, "method: [{fault: disk_fill}]", "p.yaml:8:10", "needs path: an absolute directory" },
    { 8, "method: [{fault: disk_fill, path: /, system: true, leave: 1MiB}]", "p.yaml:8:59", "at least 64MiB stay free" },
    { 8, "method: [{fault: partition, target: app, to: nobody}]", "p.yaml:8:46", "to: 'nobody' is no target and no address" },
    { 8, "method: [{fault: partition, target: app, to: app}]", "p.yaml:8:46", "is the target itself" },
    { 8, "method: [{fault: partition, target: app, to: far}]", "p.yaml:8:46", "is reached by network only; give its address" },
    { 8, "method: [{fault: pause, target: app, to: far}]", "p.yaml:8:42", "has no 'to'" },
    { 8, "method: [{fault: fail, target: far}]", "p.yaml:8:32", "call.fail needs a target with a command or a pid" },
    { 8, "method: [{fault: fail, target: app, point: lock}]", "p.yaml:8:44", "cannot be put at 'lock'" },
    { 8, "method: [{fault: fail, target: app, error: ENOSPCC}]", "p.yaml:8:44", "did you mean ENOSPC?" },
    { 8, "method: [{fault: kill, proxy: wire}]", "p.yaml:8:18", "unknown fault 'kill'" },
    { 8, "method: [{fault: fail, target: app, name: a}, {fault: fail, target: app, name: a}]", "p.yaml:8:80", "given to two steps" },
    { 8, "method: [{proxy: wire}]", "p.yaml:8:10", "step needs 'fault'" },
    { 8, "method: [{fault: latency, proxy: wire, at: yesterday}]", "p.yaml:8:44", "expected a duration" },
    { 8, "method: nothing", "p.yaml:8:9", "found text, expected a list" },
    { 9, "expect: {loss: {max: 2}}", "p.yaml:9:22", "expected a duration" },
    { 9, "expect: {convergence: {band: 95%}}", "p.yaml:9:30", "above the maximum of 90%" },
    { 9, "expect: {convergence: {signals: [main.nothing]}}", NULL, "is no signal of load 'main'" },
    { 9, "expect: {lose: {max: 2s}}", "p.yaml:9:10", "expect has no key 'lose'; did you mean loss?" },
    { 9, "guards: [{signal: main.errors, above: 5%, then: dance}]", "p.yaml:9:49", "is none of: abort" },
    { 9, "guards: [{signal: main.errors, above: 5%, below: 1%}]", "p.yaml:9:10", "needs one of above and below" },
    { 9, "guards: [{signal: main.errors}]", "p.yaml:9:10", "needs one of above and below" },
    { 9, "rollback: [{timeout: 1s}]", "p.yaml:9:12", "rollback needs 'command'" },
};

static void captures_are_read(void **state)
{
    static struct playbook playbook;
    const struct proxy *proxy;
    struct ports ports = { .last = 4000 };
    struct errs errs = { 0 };
    char text[2048];

    (void)state;
    put_small(text, sizeof(text), 5, "proxies: {wire: {capture: {tcp: [80, 443], to: [10.0.0.0/8, \"fd00::/8\"], target: app, via: shim}}}");
    must_read(&playbook, text, NULL, 0);
    proxy = playbook_proxy(&playbook, "wire");
    assert_true(proxy->captures);
    assert_null(proxy->upstream);
    assert_int_equal(proxy->capture.port_count, 2);
    assert_int_equal(proxy->capture.ports[1], 443);
    assert_int_equal(proxy->capture.network_count, 2);
    assert_int_equal(proxy->capture.networks[1].prefix_bits, 8);
    assert_string_equal(proxy->capture.target, "app");
    assert_int_equal(proxy->capture.via, CAPTURE_VIA_SHIM);
    playbook_done(&playbook);

    put_small(text, sizeof(text), 5, "proxies: {wire: {capture: {tcp: 80}}}\ndescription: \"${proxies.wire.listen}\"");
    assert_int_equal(read_text(&playbook, text, NULL, 0, &ports, &errs), -EINVAL); /* nobody is to be told where it listens */
    expect_finding(&errs, "p.yaml:6:14", "unknown variable ${proxies.wire.listen}", "the listener of a capture");
    playbook_done(&playbook);
}

static void wrong_playbooks_are_refused_with_their_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong_playbooks); i++) {
        static struct playbook playbook;
        static struct errs errs;
        struct ports ports = { .last = 4000 };
        char text[2048];

        errs = (struct errs){ 0 };
        put_small(text, sizeof(text), wrong_playbooks[i].line, wrong_playbooks[i].edit);
        if (read_text(&playbook, text, NULL, 0, &ports, &errs) == 0)
            fail_msg("was taken: %s", wrong_playbooks[i].edit);
        expect_finding(&errs, wrong_playbooks[i].where, wrong_playbooks[i].says, wrong_playbooks[i].edit);
        assert_int_equal(errs_status(&errs), ERR_INPUT);
        playbook_done(&playbook);
    }
    for (int i = 0; i < 2; i++) { /* and the unedited one is right */
        static struct playbook playbook;
        char text[2048];

        put_small(text, sizeof(text), 0, "");
        must_read(&playbook, text, NULL, 0);
        playbook_done(&playbook);
    }
}

static void all_errors_of_a_file_are_told_in_order(void **state)
{
    static const char text[] = "perturb: 1\n"
                               "titel: x\n"
                               "proxies: {wire: {upstream: nowhere}}\n"
                               "load: {main: {http: {url: \"http://h/\"}, rate: fast}}\n"
                               "steady-state-hypothesis: [{signal: main.goodput, min: 120%}, {signal: nobody.p99, max: 5ms}]\n"
                               "method:\n"
                               "  - {fault: latancy, proxy: wire}\n"
                               "  - {fault: latency, proxy: wire, jitter: 5, nth: 0}\n";
    static const char *const places[] = { "p.yaml:2:1", "p.yaml:3:28", "p.yaml:4:47", "p.yaml:5:55", "p.yaml:5:71", "p.yaml:7:13",
                                          "p.yaml:8:43", "p.yaml:8:51" };
    static struct playbook playbook;
    struct ports ports = { .last = 4000 };
    struct errs errs = { 0 };

    (void)state;
    assert_int_equal(read_text(&playbook, text, NULL, 0, &ports, &errs), -EINVAL);
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        expect_finding(&errs, places[i], "", "the whole");
    assert_int_equal(errs.count, ARRAY_SIZE(places) + 1); /* and that `title` is missing */
    playbook_done(&playbook);
}

static void overrides_must_name_a_variable(void **state)
{
    static struct playbook playbook;
    const struct variable_override override = { "rte", "50/s" };
    struct ports ports = { .last = 4000 };
    struct errs errs = { 0 };

    (void)state;
    assert_int_equal(read_text(&playbook, example, &override, 1, &ports, &errs), -EINVAL);
    expect_finding(&errs, "--var", "the playbook has no variable 'rte'; did you mean rate?", "--var rte=50/s");
    playbook_done(&playbook);
}

/* ---- variables ----------------------------------------------------------------------------------------------------------- */

static void variables_expand_where_they_stand(void **state)
{
    static const char vars[] = "vars: {rate: 100/s, upstream: \"${vars.host}:80\", host: \"${env.PERTURB_TEST_HOST}\", one: \"$${x} ${port.a}"
                               " ${port.b} ${port.a} $5 ${vars.host}\"}";
    static struct playbook playbook;
    char text[2048];

    (void)state;
    assert_int_equal(setenv("PERTURB_TEST_HOST", "10.1.1.1", 1), 0);
    put_small(text, sizeof(text), 3, vars);
    *strstr(text, "title: t\n") = '#';
    snprintf(text + strlen(text), sizeof(text) - strlen(text), "title: \"<${vars.one}>\"\n");
    must_read(&playbook, text, NULL, 0);
    assert_string_equal(playbook.title, "<${x} 4001 4002 4001 $5 10.1.1.1>");
    assert_string_equal(playbook_proxy(&playbook, "wire")->upstream, "10.1.1.1:80");
    playbook_done(&playbook);
}

static void growth_and_ports_are_bounded(void **state)
{
    static struct playbook playbook;
    static struct errs errs;
    struct ports ports = { .count = ARRAY_SIZE(ports.asked) };
    char text[4096], vars[2048] = "vars: {rate: 100/s, upstream: \"h:1\", a: \"", *at = vars + strlen(vars);

    (void)state;
    errs = (struct errs){ 0 };
    put_small(text, sizeof(text), 2, "title: \"${port.x}\"");
    assert_int_equal(read_text(&playbook, text, NULL, 0, &ports, &errs), -EINVAL);
    expect_finding(&errs, "p.yaml:2:8", "no free port is left", "a world without ports");
    assert_int_equal(errs_status(&errs), ERR_WORLD);
    playbook_done(&playbook);

    errs = (struct errs){ 0 };
    ports = (struct ports){ .last = 4000 };
    for (char name = 'b'; name <= 'f'; name++) {
        for (int i = 0; i < 20; i++)
            at += snprintf(at, (size_t)(vars + sizeof(vars) - at), "${vars.%c}", name);
        at += snprintf(at, (size_t)(vars + sizeof(vars) - at), "\", %c: \"", name);
    }
    snprintf(at, (size_t)(vars + sizeof(vars) - at), "0123456789\"}");
    put_small(text, sizeof(text), 3, vars);
    *strstr(text, "title: t") = '#';
    snprintf(text + strlen(text), sizeof(text) - strlen(text), "title: \"${vars.a}\"\n");
    assert_int_equal(read_text(&playbook, text, NULL, 0, &ports, &errs), -EINVAL);
    expect_finding(&errs, NULL, "the text grows too long", "a bomb of variables");
    playbook_done(&playbook);
}

/* Two steps of one kind get names of their own: draws hang on the name. */
static void steps_get_names_of_their_own(void **state)
{
    static struct playbook playbook;
    const struct step *steps;
    char text[2048];

    (void)state;
    put_small(text, sizeof(text), 8,
              "method: [{fault: latency, proxy: wire}, {fault: latency, proxy: wire}, {fault: latency, proxy: wire, name: mine}, {fault: "
              "latency, target: app}]");
    must_read(&playbook, text, NULL, 0);
    steps = playbook.method.items;
    assert_string_equal(steps[0].spec.rule.name, "latency");
    assert_string_equal(steps[1].spec.rule.name, "latency-2");
    assert_string_equal(steps[2].spec.rule.name, "mine");
    assert_string_equal(steps[3].spec.rule.name, "latency-3");
    for (size_t i = 0; i < playbook.method.count; i++)
        assert_true(steps[i].spec.rule.name_hash == rng_hash(steps[i].spec.rule.name));
    assert_int_equal(steps[3].layer, LAYER_CALL);
    playbook_done(&playbook);
}

static void repetitions_become_steps(void **state)
{
    static struct playbook playbook;
    char text[4096];
    const struct step *steps;

    (void)state;
    put_small(text, sizeof(text), 8, "method: [{fault: latency, proxy: wire, at: 1s, for: 2s, repeat: 3, every: 5s}, {fault: pause, target: app}]");
    must_read(&playbook, text, NULL, 0);
    steps = playbook.method.items;
    assert_int_equal(playbook.method.count, 4);
    for (int i = 0; i < 3; i++) {
        assert_true(steps[i].at == (1 + 5 * i) * (int64_t)NS_PER_S);
        assert_true(steps[i].duration == 2 * (int64_t)NS_PER_S);
    }
    assert_string_equal(steps[0].spec.rule.name, "latency");
    assert_string_equal(steps[2].spec.rule.name, "latency-3");
    assert_string_equal(steps[3].spec.rule.name, "pause");
    assert_true(steps[0].spec.rule.name_hash != steps[2].spec.rule.name_hash);
    playbook_done(&playbook);
}

static void json_reads_alike(void **state)
{
    static const char text[] =
        "{\"perturb\": 1, \"title\": \"t\", \"proxies\": {\"wire\": {\"upstream\": \"h:1\"}},\n"
        " \"load\": {\"main\": {\"resp\": {\"url\": \"redis://h:1\", \"command\": [\"GET\", \"k\"]}, \"rate\": 5}},\n"
        " \"steady-state-hypothesis\": [{\"signal\": \"main.rate\", \"min\": \"4/s\"}],\n"
        " \"method\": [{\"fault\": \"alloc_fail\", \"target\": \"app\", \"probability\": \"1%\", \"size\": \">=1MiB\"}],\n"
        " \"targets\": {\"app\": {\"command\": \"true\"}}}";
    static struct playbook playbook;
    struct ports ports = { .last = 4000 };
    const struct playbook_options options = { .free_port = next_port, .context = &ports };
    struct errs errs = { 0 };
    const struct step *step;

    (void)state;
    if (playbook_parse(&playbook, "p.json", text, strlen(text), true, &options, &errs) < 0) {
        errs_print(&errs, stderr);
        fail();
    }
    step = playbook.method.items;
    assert_true(step->spec.rule.selector.probability_ppm == 10000 && step->spec.rule.selector.size_min == 1048576);
    assert_int_equal(playbook_target(&playbook, "app")->command.count, 1);
    playbook_done(&playbook);
}

static void unreadable_files_are_told(void **state)
{
    static struct playbook playbook;
    const struct playbook_options options = { 0 };
    struct errs errs = { 0 };

    (void)state;
    assert_int_equal(playbook_read(&playbook, "/nonexistent.yaml", &options, &errs), -EINVAL);
    expect_finding(&errs, "/nonexistent.yaml", "cannot be read", "a missing file");
    playbook_done(&playbook);
    errs = (struct errs){ 0 };
    assert_int_equal(playbook_parse(&playbook, "p", "- 1\n", 4, false, &options, &errs), -EINVAL);
    expect_finding(&errs, "p", "found a list, expected a map of the playbook's keys", "a list");
    playbook_done(&playbook);
}

/* What a proxy speaks decides what a short name means, and which faults fit. */
static void the_protocol_of_a_proxy_chooses_the_fault(void **state)
{
    static const char *const methods[] = { "method: [{fault: slicer, proxy: wire}]", "method: [{fault: stream.latency, proxy: wire}]" };
    struct playbook playbook;
    struct errs errs = { 0 };
    struct ports ports = { .last = 4000 };
    const struct step *steps;
    const struct proxy *proxies;
    char text[4096], *at;

    (void)state;
    put_small(text, sizeof(text), 8, "method: [{fault: latency, proxy: wire, jitter: 5ms, order: keep}, {fault: loss, proxy: wire, model: gemodel, p: 20%, 1-h: 90%}, "
                                     "{fault: loss, proxy: wire, probability: 50%, p: 5%}]");
    at = strstr(text, "\"${vars.upstream}\"}}");
    assert_non_null(at);
    memmove(at + 50, at + 20, strlen(at + 20) + 1);
    memcpy(at, "h:53, protocol: udp, idle: 250ms}}                                  ", 50);
    assert_int_equal(read_text(&playbook, text, NULL, 0, &ports, &errs), 0);
    steps = playbook.method.items;
    proxies = playbook.proxies.items;
    assert_int_equal(proxies[0].protocol, 1);
    assert_int_equal(proxies[0].idle, 250000000);
    assert_int_equal(steps[0].spec.rule.fault, FAULT_DATAGRAM_latency);
    assert_int_equal(steps[0].layer, LAYER_DATAGRAM);
    assert_int_equal(steps[0].spec.rule.params.DATAGRAM_latency.order, 1);
    assert_int_equal(steps[1].spec.rule.params.DATAGRAM_loss.r, 800000); /* what p leaves */
    assert_int_equal(steps[1].spec.rule.params.DATAGRAM_loss.h1, 900000);
    assert_int_equal(steps[2].spec.rule.params.DATAGRAM_loss.p, 50000);
    assert_int_equal(steps[2].spec.rule.selector.probability_ppm, 500000);
    playbook_done(&playbook);
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        errs = (struct errs){ 0 };
        put_small(text, sizeof(text), 8, methods[i]);
        at = strstr(text, "\"${vars.upstream}\"}}");
        memmove(at + 50, at + 20, strlen(at + 20) + 1);
        memcpy(at, "h:53, protocol: udp, idle: 250ms}}                                  ", 50);
        assert_true(read_text(&playbook, text, NULL, 0, &ports, &errs) < 0);
        expect_finding(&errs, "p.yaml:8:18", "cannot act on proxy 'wire', which speaks udp; there are: latency, loss, duplicate, reorder, corrupt, bandwidth, blackhole", methods[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_designs_example_is_read),
        cmocka_unit_test(overrides_replace_variables_and_change_the_hash),
        cmocka_unit_test(captures_are_read),
        cmocka_unit_test(wrong_playbooks_are_refused_with_their_place),
        cmocka_unit_test(all_errors_of_a_file_are_told_in_order),
        cmocka_unit_test(overrides_must_name_a_variable),
        cmocka_unit_test(variables_expand_where_they_stand),
        cmocka_unit_test(growth_and_ports_are_bounded),
        cmocka_unit_test(steps_get_names_of_their_own),
        cmocka_unit_test(repetitions_become_steps),
        cmocka_unit_test(json_reads_alike),
        cmocka_unit_test(unreadable_files_are_told),
        cmocka_unit_test(the_protocol_of_a_proxy_chooses_the_fault),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
