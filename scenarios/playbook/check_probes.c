/* Probes: exactly one kind each, its references, its unit. */
#include "scenarios/playbook/check.h"

#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/matcher.h"
#include "scenarios/playbook/value.h"

#include <stdio.h>
#include <string.h>

/* In the order of PROBE_UNIT_WORDS. */
static const enum unit units[] = { UNIT_RATIO, UNIT_COUNT, UNIT_SIZE, UNIT_DURATION, UNIT_SHARE, UNIT_FREQUENCY, UNIT_RATE };

/* What a kind knows of its number, whatever the keys say. */
static void is_of(struct probe *probe, enum unit unit, bool higher_is_better)
{
    probe->unit = unit;
    if (probe->better == ABSENT)
        probe->better = higher_is_better;
}

/* A target whose processes the run can see. */
static const struct target *check_target(const struct checker *checker, const struct probe *probe, const char *key, const char *name)
{
    const struct section_list *targets = &checker->playbook->targets;
    const struct target *target = name ? check_find(targets, sizeof(struct target), offsetof(struct target, name), name) : NULL;

    if (name && !target)
        check_refuse_name(checker, check_member(probe->node, key), "target", name, targets, sizeof(struct target),
                          offsetof(struct target, name));
    else if (target && target->address)
        check_refuse(checker, check_member(probe->node, key), "target '%s' is only an address: its processes are unknown%s", name, "");
    return target;
}

static void check_url(const struct checker *checker, const struct probe *probe, const char *key, const char *url)
{
    if (url && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        check_refuse(checker, check_member(probe->node, key), "url: '%s' is no http:// or https:// address%s", url, "");
}

static void check_proc(const struct checker *checker, struct probe *probe)
{
    static const enum unit proc_units[] = { UNIT_COUNT, UNIT_COUNT, UNIT_SIZE, UNIT_RATIO, UNIT_COUNT };

    is_of(probe, proc_units[probe->proc.field], false);
    check_target(checker, probe, "proc", probe->proc.target);
}

static void check_command(const struct checker *checker, struct probe *probe)
{
    if (!probe->command.run.count)
        check_refuse(checker, check_member(probe->node, "command"), "probe '%s': the command is empty%s", probe->name, "");
}

static void check_json(const struct checker *checker, struct probe *probe)
{
    check_url(checker, probe, "json", probe->json.url);
}

static void check_http(const struct checker *checker, struct probe *probe)
{
    static const enum unit http_units[] = { UNIT_DURATION, UNIT_COUNT, UNIT_SHARE };

    is_of(probe, http_units[probe->http.field], probe->http.field == HTTP_UP);
    check_url(checker, probe, "http", probe->http.url);
    for (size_t i = 0; i < probe->http.status.count; i++) {
        unsigned first, last;
        int end = 0;
        const char *text = probe->http.status.items[i];

        if ((sscanf(text, "%3u-%3u%n", &first, &last, &end) != 2 || text[end]) && (sscanf(text, "%3u%n", &first, &end) != 1 || text[end]))
            check_refuse(checker, check_member(probe->node, "http"), "status: found '%s', expected 200 or 200-299%s", text, "");
    }
}

static void check_tcp(const struct checker *checker, struct probe *probe)
{
    is_of(probe, probe->tcp.field == TCP_UP ? UNIT_SHARE : UNIT_DURATION, probe->tcp.field == TCP_UP);
    if (probe->tcp.address && !strrchr(probe->tcp.address, ':'))
        check_refuse(checker, check_member(probe->node, "tcp"), "address: found '%s', expected HOST:PORT%s", probe->tcp.address, "");
}

static void check_process(const struct checker *checker, struct probe *probe)
{
    is_of(probe, probe->process.field == PROCESS_UP ? UNIT_SHARE : UNIT_COUNT, probe->process.field == PROCESS_UP);
    check_target(checker, probe, "process", probe->process.target);
}

static void check_file(const struct checker *checker, struct probe *probe)
{
    (void)checker;
    (void)probe;
}

static void check_log(const struct checker *checker, struct probe *probe)
{
    static const struct {
        enum unit unit;
        bool better;
    } extracts[] = {
#define EXTRACT(id, name, unit, better, help) { unit, better },
#include "scenarios/playbook/extracts.def"
#undef EXTRACT
    };
    const struct log_probe *log = &probe->log;
    const struct node *node = check_member(probe->node, "log");
    const struct target *target = check_target(checker, probe, "log", log->target);

    if (target && !target->command.count)
        check_refuse(checker, node, "target '%s' is not spawned here, so its output is not ours: name its log as path%s", log->target, "");
    if (!log->target == !log->path)
        check_refuse(checker, node, "probe '%s' needs one of target and path%s", probe->name, "");
    if (!log->pattern == (log->extract == ABSENT))
        check_refuse(checker, node, "probe '%s' needs one of pattern and extract%s", probe->name, "");
    if (log->extract != ABSENT)
        is_of(probe, extracts[log->extract].unit, extracts[log->extract].better);
}

static void check_prometheus(const struct checker *checker, struct probe *probe)
{
    check_url(checker, probe, "prometheus", probe->prometheus.url);
}

static void check_alertmanager(const struct checker *checker, struct probe *probe)
{
    const struct text_list *match = &probe->alertmanager.match;
    struct matcher matcher;

    is_of(probe, UNIT_COUNT, false);
    check_url(checker, probe, "alertmanager", probe->alertmanager.url);
    for (size_t i = 0; i < match->count; i++)
        if (matcher_parse(match->items[i], &matcher) < 0)
            check_refuse(checker, check_member(probe->node, "alertmanager"), "match: found '%s', expected %s", match->items[i], MATCHER_EXAMPLES);
}

static void check_redis(const struct checker *checker, struct probe *probe)
{
    const struct redis_probe *redis = &probe->redis;
    const struct node *node = check_member(probe->node, "redis");

    if (redis->url && (strncmp(redis->url, "redis://", 8) != 0 || !strchr(redis->url + 8, ':')))
        check_refuse(checker, node, "url: '%s' is no redis://HOST:PORT%s", redis->url, "");
    if (redis->user && !redis->password)
        check_refuse(checker, node, "user '%s' needs a password%s", redis->user, "");
}

static void check_postgres(const struct checker *checker, struct probe *probe)
{
    (void)checker;
    (void)probe;
}

static void check_proxy(const struct checker *checker, struct probe *probe)
{
    const struct section_list *proxies = &checker->playbook->proxies;
    bool is_bytes = probe->proxy.field >= PROXY_BYTES;

    is_of(probe, is_bytes ? UNIT_SIZE : UNIT_COUNT, false);
    if (probe->proxy.proxy && !check_find(proxies, sizeof(struct proxy), offsetof(struct proxy, name), probe->proxy.proxy))
        check_refuse_name(checker, check_member(probe->node, "proxy"), "proxy", probe->proxy.proxy, proxies, sizeof(struct proxy),
                          offsetof(struct proxy, name));
}

static void check_fault(const struct checker *checker, struct probe *probe)
{
    (void)checker; /* its name: check_probe_faults */
    is_of(probe, UNIT_COUNT, false);
}

static void check_health(const struct checker *checker, struct probe *probe)
{
    is_of(probe, UNIT_SHARE, true);
    if (!probe->health.of.count)
        check_refuse(checker, check_member(probe->node, "health"), "probe '%s': a score of no signals%s", probe->name, "");
}

/* The kinds; adding one is a row here, its keys in keys_probe.c, its reading in controller/probe. */
static const struct {
    const char *key;
    void (*check)(const struct checker *checker, struct probe *probe);
} kinds[PROBE_KINDS] = {
    [PROBE_PROC] = { "proc", check_proc },
    [PROBE_COMMAND] = { "command", check_command },
    [PROBE_JSON] = { "json", check_json },
    [PROBE_HTTP] = { "http", check_http },
    [PROBE_TCP] = { "tcp", check_tcp },
    [PROBE_PROCESS] = { "process", check_process },
    [PROBE_FILE] = { "file", check_file },
    [PROBE_LOG] = { "log", check_log },
    [PROBE_PROMETHEUS] = { "prometheus", check_prometheus },
    [PROBE_ALERTMANAGER] = { "alertmanager", check_alertmanager },
    [PROBE_REDIS] = { "redis", check_redis },
    [PROBE_POSTGRES] = { "postgres", check_postgres },
    [PROBE_PROXY] = { "proxy", check_proxy },
    [PROBE_FAULT] = { "fault", check_fault },
    [PROBE_HEALTH] = { "health", check_health },
};

static void refuse_kinds(const struct checker *checker, const struct probe *probe)
{
    struct buf names;

    buf_init(&names, 512);
    for (size_t i = 0; i < PROBE_KINDS; i++)
        buf_printf(&names, "%s%s", i ? ", " : "", kinds[i].key);
    check_refuse(checker, probe->node, "probe '%s' needs exactly one of %s", probe->name, names.data);
    buf_done(&names);
}

static void check_probe(const struct checker *checker, struct probe *probe)
{
    size_t given = 0;

    probe->unit = units[probe->unit_word];
    for (size_t i = 0; i < PROBE_KINDS; i++)
        if (node_member(probe->node, kinds[i].key)) {
            probe->kind = (enum probe_kind)i;
            given++;
        }
    if (given != 1)
        refuse_kinds(checker, probe);
    else
        kinds[probe->kind].check(checker, probe);
    if (probe->better == ABSENT)
        probe->better = 0;
    if (check_find(&checker->playbook->loads, sizeof(struct workload), offsetof(struct workload, name), probe->name))
        check_refuse(checker, probe->node, "a load is named '%s' too: their signals could not be told apart%s", probe->name, "");
}

/* ---- what refers to other signals, or to the method -------------------------------------------------------------------------- */

/* The signals of a score. Every other probe has its unit by now. A score of scores could run in a circle. */
static void check_part(const struct checker *checker, struct health_part *part)
{
    const struct probe *probes = checker->playbook->probes.items;
    struct signal *signal = document_alloc(&checker->playbook->document, sizeof(*signal));

    if (!part->signal_text || playbook_signal(checker->playbook, check_member(part->node, "signal"), part->signal_text, signal, checker->errs) < 0)
        return;
    part->signal = signal;
    if (!signal_is_of_load(signal) && probes[signal->probe].kind == PROBE_HEALTH) {
        check_refuse(checker, check_member(part->node, "signal"), "'%s' is a health score itself%s", part->signal_text, "");
        return;
    }
    check_bound_text(checker, part->node, signal, "good", part->good_text, &part->good);
    check_bound_text(checker, part->node, signal, "bad", part->bad_text, &part->bad);
    if (part->good != ABSENT && part->good == part->bad)
        check_refuse(checker, part->node, "good and bad of %s are the same%s", part->signal_text, "");
}

void check_probes(const struct checker *checker)
{
    struct probe *probes = checker->playbook->probes.items;

    for (size_t i = 0; i < checker->playbook->probes.count; i++)
        check_probe(checker, &probes[i]);
    for (size_t i = 0; i < checker->playbook->probes.count; i++)
        for (size_t j = 0; j < probes[i].health.of.count; j++)
            check_part(checker, (struct health_part *)probes[i].health.of.items + j);
}

void check_probe_faults(const struct checker *checker)
{
    const struct probe *probes = checker->playbook->probes.items;
    const struct step *steps = checker->playbook->method.items;

    for (size_t i = 0; i < checker->playbook->probes.count; i++) {
        const char *name = probes[i].fault.fault;
        bool found = false;
        struct buf names;

        buf_init(&names, 1024);
        for (size_t j = 0; name && j < checker->playbook->method.count; j++) {
            found |= !strcmp(steps[j].spec.rule.name, name);
            if (!steps[j].repetition)
                buf_printf(&names, "%s%s", names.length ? ", " : "", steps[j].spec.rule.name);
        }
        if (name && !found)
            check_refuse(checker, check_member(probes[i].node, "fault"), "no fault of the method is named '%s'; there are: %s", name, names.data);
        buf_done(&names);
    }
}
