/* Loads: exactly one kind each, its arrival plan, its mix. */
#include "scenarios/playbook/check.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/rng.h"

#include <string.h>

/* The kinds; adding one is a row here, its keys in keys_load.c, its protocol in controller/load. */
static const struct {
    const char *key, *schemes[2], *example;
    size_t url, timeout; /* where in a workload */
    const char *request_keys; /* what a request of a mix may say, beside weight and expect */
} kinds[WORKLOAD_KINDS] = {
    [WORKLOAD_HTTP] = { "http", { "http://", "https://" }, "http:// or https://", offsetof(struct workload, http.url),
                        offsetof(struct workload, http.timeout), " url method headers body status json " },
    [WORKLOAD_RESP] = { "resp", { "redis://", "redis://" }, "redis://", offsetof(struct workload, resp.url),
                        offsetof(struct workload, resp.timeout), " command " },
    [WORKLOAD_TCP] = { "tcp", { "tcp://", "tcp://" }, "tcp://", offsetof(struct workload, tcp.url), offsetof(struct workload, tcp.timeout),
                       " send " },
    [WORKLOAD_UDP] = { "udp", { "udp://", "udp://" }, "udp://", offsetof(struct workload, udp.url), offsetof(struct workload, udp.timeout),
                       " send " },
    [WORKLOAD_POSTGRES] = { "postgres", { "postgres://", "postgresql://" }, "postgres://", offsetof(struct workload, postgres.url),
                            offsetof(struct workload, postgres.timeout), " query value " },
    [WORKLOAD_COMMAND] = { "command", { "", "" }, "", SIZE_MAX, offsetof(struct workload, command.timeout), "" },
};

static void check_url(const struct checker *checker, const struct node *node, enum load_kind kind, const char *url)
{
    const char *const *schemes = kinds[kind].schemes;

    if (url && strncmp(url, schemes[0], strlen(schemes[0])) != 0 && strncmp(url, schemes[1], strlen(schemes[1])) != 0)
        check_refuse(checker, node, "url: '%s' does not start with %s", url, kinds[kind].example);
}

/* "200" or "200-299". */
static void check_status(const struct checker *checker, const struct node *node, const struct text_list *status, uint16_t *first,
                         uint16_t *last)
{
    unsigned from = 0, to = 0;
    int end = 0;

    if (!status->count)
        return;
    if (status->count != 1 || sscanf(status->items[0], "%3u%n-%3u%n", &from, &end, &to, &end) < 1 || status->items[0][end] || from > 999)
        check_refuse(checker, check_member(node, "status"), "status: found '%s', expected 200 or 200-299%s", status->items[0], "");
    *first = (uint16_t)from;
    *last = (uint16_t)(to ? to : from);
}

static void check_arrival(const struct checker *checker, const struct workload *load)
{
    const struct arrival_plan *plan = &load->arrival;
    const struct node *node = check_member(load->node, "arrival");
    bool changes = plan->shape == ARRIVAL_RAMP || plan->shape == ARRIVAL_STEP || plan->shape == ARRIVAL_SPIKE;
    bool recorded = plan->shape == ARRIVAL_RATES || plan->shape == ARRIVAL_INSTANTS;
    bool lasts = plan->shape == ARRIVAL_RAMP || plan->shape == ARRIVAL_SPIKE;

    if (!recorded && !load->control_of && load->kind != WORKLOAD_COMMAND && !node_member(load->node, "rate"))
        check_refuse(checker, load->node, "load needs 'rate': requests planned per second%s%s", "", "");
    if (recorded && load->rate != ABSENT)
        check_refuse(checker, check_member(load->node, "rate"), "the recording has the rates: there is no `rate` beside it%s%s", "", "");
    if (recorded != (plan->file != NULL))
        check_refuse(checker, node, "`file` goes with rates and instants, and they with it%s%s", "", "");
    if (changes != (plan->to != ABSENT))
        check_refuse(checker, node, "`to` goes with ramp, step and spike, and they with it%s%s", "", "");
    if (lasts != (plan->length != ABSENT))
        check_refuse(checker, node, "`for` goes with ramp and spike, and they with it%s%s", "", "");
    if (!changes && plan->at)
        check_refuse(checker, node, "`at` goes with ramp, step and spike%s%s", "", "");
    if (plan->shape == ARRIVAL_INSTANTS && plan->spacing)
        check_refuse(checker, node, "recorded instants have their spacing: poisson is for rates%s%s", "", "");
}

static void check_requests(const struct checker *checker, const struct workload *load)
{
    struct request *requests = load->requests.items;

    for (size_t i = 0; i < load->requests.count; i++) {
        struct request *request = &requests[i];

        for (const struct node *child = request->node->first; child; child = child->next) {
            char word[40];

            snprintf(word, sizeof(word), " %s ", child->key);
            if (!strstr(" weight expect ", word) && !strstr(kinds[load->kind].request_keys, word))
                check_refuse(checker, child, "%s: not for a request of %s", child->key, kinds[load->kind].key);
        }
        check_url(checker, check_member(request->node, "url"), load->kind, request->url);
        check_status(checker, request->node, &request->status, &request->status_min, &request->status_max);
    }
    if (load->requests.count > 64)
        check_refuse(checker, check_member(load->node, "requests"), "a mix is of at most 64 requests%s%s", "", "");
}

static void check_udp(const struct checker *checker, const struct workload *load)
{
    const struct udp_load *udp = &load->udp;
    const struct node *node = check_member(load->node, "udp");
    size_t digits = udp->hex ? strspn(udp->hex, "0123456789abcdefABCDEF") : 0;

    if (udp->hex && (udp->send || load->requests.count))
        check_refuse(checker, node, "hex: a datagram is given once, as hex or as send%s%s", "", "");
    if (udp->hex && (udp->hex[digits] || digits % 2))
        check_refuse(checker, check_member(node, "hex"), "hex: '%s' is no even number of hex digits%s", udp->hex, "");
}

/* What it sends, and when, is its own. */
static void check_command(const struct checker *checker, const struct workload *load)
{
    static const char *const ours[] = { "requests", "arrival", "connections", "control-of" };

    if (load->kind != WORKLOAD_COMMAND)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
        if (node_member(load->node, ours[i]))
            check_refuse(checker, check_member(load->node, ours[i]), "%s: not for a command: it sends what it sends%s", ours[i], "");
    if (load->command.timeout && load->command.format)
        check_refuse(checker, check_member(check_member(load->node, "command"), "timeout"), "timeout: %s tells totals, no single request%s",
                     load->command.format == 1 ? "wrk" : "k6", "");
}

static void check_load(const struct checker *checker, struct workload *load)
{
    const struct node *http = node_member(load->node, "http");
    size_t given = 0;

    for (size_t i = 0; i < WORKLOAD_KINDS; i++)
        if (node_member(load->node, kinds[i].key)) {
            load->kind = (enum load_kind)i;
            given++;
        }
    if (given != 1) {
        check_refuse(checker, load->node, "load '%s' needs exactly one of %s", load->name, "http, resp, tcp, udp, postgres, command");
        return;
    }
    load->url = kinds[load->kind].url == SIZE_MAX ? NULL : *(const char **)(void *)((char *)load + kinds[load->kind].url);
    load->timeout = *(int64_t *)(void *)((char *)load + kinds[load->kind].timeout);
    load->status_min = 200;
    load->status_max = 299;
    check_url(checker, check_member(load->node, kinds[load->kind].key), load->kind, load->url);
    if (http)
        check_status(checker, http, &load->http.status, &load->status_min, &load->status_max);
    if (load->http.version && strcmp(load->http.version, "1.1") != 0 && strcmp(load->http.version, "2") != 0)
        check_refuse(checker, check_member(http, "version"), "version: found '%s', expected 1.1 or 2%s", load->http.version, "");
    if (load->tcp.bytes && load->tcp.until)
        check_refuse(checker, check_member(load->node, "tcp"), "a reply ends by `bytes` or by `until`, not by both%s%s", "", "");
    check_udp(checker, load);
    check_command(checker, load);
    check_arrival(checker, load);
    check_requests(checker, load);
}

/* A run has its ports for itself: they are no part of what is sent. */
static uint16_t same_port(void *context, const char *name)
{
    (void)context;
    (void)name;
    return 1;
}

static uint64_t hash_node(struct variables *variables, const struct node *node, struct errs *errs)
{
    const char *text = node->text ? variables_expand(variables, node, node->text, errs) : "";
    uint64_t hash = rng_mix(rng_mix(1, rng_hash(node->key ? node->key : "")), rng_hash(text ? text : ""));

    for (const struct node *child = node->first; child; child = child->next)
        hash = rng_mix(hash, hash_node(variables, child, errs));
    return hash;
}

static void hash_load(const struct checker *checker, struct workload *load)
{
    static const char *const parts[] = { "requests", "command" };
    struct variables variables = checker->playbook->variables;
    struct errs ignored = { 0 }; /* whoever read the texts has told */

    variables.port_count = 0;
    variables.free_port = same_port;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        if (node_member(load->node, parts[i]))
            load->hash = rng_mix(load->hash, hash_node(&variables, node_member(load->node, parts[i]), &ignored));
}

void check_loads(const struct checker *checker)
{
    struct workload *loads = checker->playbook->loads.items;

    if (!checker->playbook->loads.count)
        check_refuse(checker, checker->playbook->document.root, "load is empty: without load there is nothing to measure%s%s", "", "");
    for (size_t i = 0; i < checker->playbook->loads.count; i++) {
        check_load(checker, &loads[i]);
        hash_load(checker, &loads[i]);
    }
}
