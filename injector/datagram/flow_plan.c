/* Which rules act on a proxy's datagrams: begun and ended by plans and windows, and by the sessions' coming and going. */
#include "injector/datagram/flow_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void flow_init(struct flow *flow, uint64_t proxy_hash)
{
    flow->proxy_hash = proxy_hash;
}

static void free_rules(struct flow_rule *rules, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free(rules[i].state);
    free(rules);
}

void flow_done(struct flow *flow)
{
    free_rules(flow->rules, flow->count);
    free(flow->heap);
    *flow = (struct flow){ .proxy_hash = 0 };
}

/* ---- taking packets off the heap -------------------------------------------------------------------------------------- */

static int by_arrival(const void *a, const void *b)
{
    const struct packet *first = *(struct packet *const *)a, *second = *(struct packet *const *)b;

    return first->arrival < second->arrival ? -1 : first->arrival > second->arrival;
}

/* Those that a rule holds, or of a session (NULL: of any), as a list in the order they came. */
static struct packet *extract(struct flow *flow, uint32_t stage, const struct flow_session *session)
{
    struct packet *list = NULL;
    uint32_t kept = 0, count = flow->heap_count;

    for (uint32_t i = 0; i < count; i++) {
        struct packet *packet = flow->heap[i];

        if (session ? packet->session == session : packet->stage == stage)
            continue;
        flow->heap[i] = flow->heap[kept];
        flow->heap[kept++] = packet;
    }
    if (kept == count)
        return NULL;
    qsort(flow->heap + kept, count - kept, sizeof(flow->heap[0]), by_arrival);
    while (count > kept) {
        struct packet *packet = flow->heap[--count];

        packet->next = list;
        list = packet;
    }
    flow->heap_count = kept;
    for (uint32_t place = kept / 2; place > 0; place--)
        flow_sink(flow, place - 1);
    return list;
}

static void end_rule(struct flow *flow, uint32_t stage)
{
    struct packet *list;

    if (flow->rules[stage].over)
        return;
    flow->rules[stage].over = true;
    list = extract(flow, stage, NULL);
    while (list) {
        struct packet *packet = list;

        list = packet->next;
        flow_go_on(flow, packet, flow->now_ns);
    }
}

void flow_consider(struct flow *flow, uint64_t now_ns)
{
    flow->now_ns = now_ns;
    for (uint32_t i = flow->count; i > 0; i--) {
        const struct armed_rule *rule = flow_armed_rule(flow, i - 1);
        uint64_t until_ns = rule->plan->selector.until_ns;

        if (until_ns && now_ns >= rule->armed_ns + until_ns)
            end_rule(flow, i - 1);
    }
}

/* ---- sessions --------------------------------------------------------------------------------------------------------- */

static void unlink_session(struct flow *flow, struct flow_session *session)
{
    *(session->older ? &session->older->newer : &flow->oldest) = session->newer;
    *(session->newer ? &session->newer->older : &flow->newest) = session->older;
}

static void link_session(struct flow *flow, struct flow_session *session)
{
    session->older = flow->newest;
    session->newer = NULL;
    *(flow->newest ? &flow->newest->newer : &flow->oldest) = session;
    flow->newest = session;
}

void flow_touch(struct flow *flow, struct flow_session *session)
{
    if (flow->newest == session)
        return;
    unlink_session(flow, session);
    link_session(flow, session);
}

static void count_skipped(const struct flow *flow)
{
    for (uint32_t i = 0; i < flow->count; i++)
        __atomic_fetch_add(&flow_armed_rule(flow, i)->live->counts.skipped, 1, __ATOMIC_RELAXED);
}

void flow_begin(struct flow *flow, struct flow_session *session)
{
    session->held_cost[0] = session->held_cost[1] = 0;
    session->grips = flow->count ? calloc(1, flow->session_size) : NULL;
    if (flow->count && !session->grips)
        count_skipped(flow);
    link_session(flow, session);
}

void flow_end(struct flow *flow, struct flow_session *session)
{
    struct packet *list = session->held_cost[0] || session->held_cost[1] ? extract(flow, 0, session) : NULL;

    while (list) {
        struct packet *packet = list;

        list = packet->next;
        flow_lose(flow, packet);
    }
    unlink_session(flow, session);
    free(session->grips);
    session->grips = NULL;
}

/* ---- taking up a plan ------------------------------------------------------------------------------------------------- */

static bool concerns(const struct flow *flow, const struct armed_rule *rule)
{
    return rule->datagram && (!rule->scope_hash || rule->scope_hash == flow->proxy_hash);
}

static bool state_is_links(const struct armed_rule *rule)
{
    size_t slot = rule->datagram->scope_slot;

    return slot && rule->plan->params.slot[slot] == DATAGRAM_SCOPE_PROXY;
}

/* The rules that concern the proxy, with room for states; NULL without memory or without rules. */
static struct flow_rule *rules_new(const struct flow *flow, struct armed *armed, uint32_t *ret_count, size_t *ret_session_size)
{
    struct flow_rule *rules = calloc(armed->count ? armed->count : 1, sizeof(*rules));
    uint32_t count = 0;
    size_t size = 0;

    for (uint32_t i = 0; i < armed->count; i++)
        count += concerns(flow, &armed->rules[i]);
    *ret_count = count;
    size = (count * sizeof(struct flow_grip) + FLOW_STATE_ALIGN - 1) / FLOW_STATE_ALIGN * FLOW_STATE_ALIGN;
    count = 0;
    for (uint32_t i = 0; rules && i < armed->count; i++) {
        const struct armed_rule *rule = &armed->rules[i];
        struct flow_rule *at = &rules[count];

        if (!concerns(flow, rule))
            continue;
        count++;
        at->rule = i;
        at->session_offset = size;
        if (!state_is_links(rule)) {
            size += 2 * flow_state_size(rule->datagram);
            continue;
        }
        at->state = calloc(2, flow_state_size(rule->datagram));
        if (!at->state) {
            free_rules(rules, count);
            return NULL;
        }
    }
    if (!count) {
        free(rules);
        rules = NULL;
    }
    *ret_session_size = size;
    return rules;
}

/* Index of the rule among the flow's as it was before, RULE_NONE for a new one. */
static uint32_t old_stage(const struct flow *flow, const struct armed_rule *rule)
{
    for (uint32_t i = 0; i < flow->count && rule->carried_from != RULE_NONE; i++)
        if (flow->rules[i].rule == rule->carried_from)
            return i;
    return RULE_NONE;
}

/* What a session knows of rules that go on. `next` is the flow under the new plan. */
static void carry_session(const struct flow *flow, const struct flow *next, struct flow_session *session)
{
    struct flow_grip *grips = calloc(1, next->session_size);

    if (!grips)
        count_skipped(next);
    for (uint32_t i = 0; i < next->count && grips && session->grips; i++) {
        const struct armed_rule *rule = flow_armed_rule(next, i);
        uint32_t old = old_stage(flow, rule);

        if (old == RULE_NONE)
            continue;
        grips[i] = session->grips[old];
        if (!next->rules[i].state)
            memcpy((uint8_t *)grips + next->rules[i].session_offset, (uint8_t *)session->grips + flow->rules[old].session_offset,
                   2 * flow_state_size(rule->datagram));
    }
    free(session->grips);
    session->grips = grips;
}

/* Every packet still held is held by a rule that goes on. */
static void carry(struct flow *flow, struct flow *next)
{
    for (uint32_t i = 0; i < next->count; i++) {
        uint32_t old = old_stage(flow, flow_armed_rule(next, i));

        if (old == RULE_NONE)
            continue;
        flow->rules[old].next = i;
        next->rules[i].over = flow->rules[old].over;
        if (next->rules[i].state) {
            free(next->rules[i].state);
            next->rules[i].state = flow->rules[old].state;
            flow->rules[old].state = NULL;
        }
    }
    for (struct flow_session *session = flow->oldest; session; session = session->newer)
        carry_session(flow, next, session);
    for (uint32_t i = 0; i < flow->heap_count; i++)
        flow->heap[i]->stage = flow->rules[flow->heap[i]->stage].next;
}

static bool goes_on(const struct flow *flow, uint32_t stage, const struct armed *armed)
{
    for (uint32_t i = 0; armed && i < armed->count; i++)
        if (armed->rules[i].carried_from == flow->rules[stage].rule)
            return true;
    return false;
}

int flow_adopt(struct flow *flow, struct armed *armed, uint64_t now_ns)
{
    struct flow next = { .armed = armed };

    flow->now_ns = now_ns;
    if (armed)
        next.rules = rules_new(flow, armed, &next.count, &next.session_size);
    if (!next.rules && next.count)
        for (uint32_t i = 0; i < armed->count; i++)
            if (concerns(flow, &armed->rules[i]))
                __atomic_fetch_add(&armed->rules[i].live->counts.skipped, 1, __ATOMIC_RELAXED);
    for (uint32_t i = flow->count; i > 0; i--)
        if (!next.rules || !goes_on(flow, i - 1, armed))
            end_rule(flow, i - 1);
    if (next.rules)
        carry(flow, &next);
    for (struct flow_session *session = flow->oldest; session && !next.rules; session = session->newer) {
        free(session->grips);
        session->grips = NULL;
    }
    free_rules(flow->rules, flow->count);
    flow->armed = armed;
    flow->rules = next.rules;
    flow->count = next.rules ? next.count : 0;
    flow->session_size = next.session_size;
    return next.count && !next.rules ? -ENOMEM : 0;
}
