/* A datagram's way through the rules, and the heap of those that wait. Which rules there are is flow_plan.c's. */
#include "injector/datagram/flow_priv.h"

#include "injector/proxy.h"
#include "scenarios/vocab/decide.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- the heap --------------------------------------------------------------------------------------------------------- */

static bool is_before(const struct packet *a, const struct packet *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->arrival < b->arrival;
}

void flow_sink(struct flow *flow, uint32_t place)
{
    struct packet *packet = flow->heap[place];

    for (;;) {
        uint32_t child = 2 * place + 1;

        if (child + 1 < flow->heap_count && is_before(flow->heap[child + 1], flow->heap[child]))
            child++;
        if (child >= flow->heap_count || !is_before(flow->heap[child], packet))
            break;
        flow->heap[place] = flow->heap[child];
        place = child;
    }
    flow->heap[place] = packet;
}

static bool heap_push(struct flow *flow, struct packet *packet)
{
    uint32_t place = flow->heap_count;

    if (flow->heap_count == flow->heap_capacity) {
        uint32_t capacity = flow->heap_capacity ? 2 * flow->heap_capacity : 64;
        struct packet **heap = realloc(flow->heap, capacity * sizeof(struct packet *));

        if (!heap)
            return false;
        flow->heap = heap;
        flow->heap_capacity = capacity;
    }
    flow->heap_count++;
    for (; place && is_before(packet, flow->heap[(place - 1) / 2]); place = (place - 1) / 2)
        flow->heap[place] = flow->heap[(place - 1) / 2];
    flow->heap[place] = packet;
    return true;
}

static struct packet *heap_pop(struct flow *flow)
{
    struct packet *packet = flow->heap[0];

    flow->heap[0] = flow->heap[--flow->heap_count];
    if (flow->heap_count)
        flow_sink(flow, 0);
    return packet;
}

uint64_t flow_next_ns(const struct flow *flow)
{
    return flow->heap_count ? flow->heap[0]->at_ns : UINT64_MAX;
}

/* ---- memory ----------------------------------------------------------------------------------------------------------- */

static uint64_t cost_of(uint32_t size)
{
    return size + sizeof(struct packet);
}

struct packet *flow_keep(struct flow *flow, struct flow_session *session, int direction, const uint8_t *bytes, uint32_t size)
{
    uint64_t cost = cost_of(size);
    struct packet *packet = NULL;

    if (flow->held_cost + cost <= flow->held_cost_max && session->held_cost[direction] + cost <= flow->session_cost_max)
        packet = malloc(sizeof(*packet) + size);
    if (!packet) {
        share_add(&flow->counts[direction].no_room, 1);
        return NULL;
    }
    *packet = (struct packet){ .session = session, .direction = (uint8_t)direction, .size = size };
    memcpy(packet->bytes, bytes, size);
    flow->held_cost += cost;
    flow->held_bytes += size;
    session->held_cost[direction] += cost;
    return packet;
}

void flow_release(struct flow *flow, struct packet *packet)
{
    uint64_t cost = cost_of(packet->size);

    flow->held_cost -= cost;
    flow->held_bytes -= packet->size;
    packet->session->held_cost[packet->direction] -= cost;
}

/* ---- one rule on one datagram ----------------------------------------------------------------------------------------- */

/* A datagram on its way: its bytes are borrowed, or lie in a packet of its own. */
struct item {
    struct flow_session *session;
    int direction;
    uint8_t *bytes;
    uint32_t size;
    bool copy;
    uint64_t came_ns;
    struct packet *packet;
};

static void *state_of(const struct flow *flow, const struct flow_session *session, int direction, uint32_t stage)
{
    const struct datagram_ops *ops = flow_armed_rule(flow, stage)->datagram;
    uint8_t *states = flow->rules[stage].state;

    if (!states)
        states = (uint8_t *)session->grips + flow->rules[stage].session_offset;
    return states + (size_t)direction * flow_state_size(ops);
}

/* A datagram is not held by the rule any more. */
static void leave(const struct flow *flow, const struct flow_session *session, int direction, uint32_t size, uint32_t stage)
{
    const struct armed_rule *rule = flow_armed_rule(flow, stage);
    struct datagram_view view = { .params = &rule->plan->params, .size = size };

    if (!rule->datagram->left || (!flow->rules[stage].state && !session->grips))
        return;
    view.state = state_of(flow, session, direction, stage);
    rule->datagram->left(&view);
}

/* What the rule rules on the datagram; false when it leaves it alone. */
static bool ask(struct flow *flow, const struct item *item, uint32_t stage, struct datagram_ruling *ruling)
{
    struct armed_rule *rule = flow_armed_rule(flow, stage);
    const uint64_t seed = flow->armed->plan->seed;
    struct decide_event event = {
        .direction = UINT32_C(1) << item->direction,
        .fd = -1,
        .size = item->size,
        .client = item->session->client,
        .since_arm_ns = flow->now_ns > rule->armed_ns ? flow->now_ns - rule->armed_ns : 0,
    };
    struct datagram_view view = { .params = &rule->plan->params, .came_ns = item->came_ns, .size = item->size };
    enum decision decision;
    uint64_t ordinal;

    if (flow->rules[stage].over || !decide_matches(rule->plan, &event))
        return false;
    __atomic_fetch_add(&rule->live->counts.matched, 1, __ATOMIC_RELAXED);
    ordinal = ++item->session->grips[stage].ordinal[item->direction];
    event.stream = flow_stream(flow->proxy_hash, item->session->sequence, item->direction);
    event.position = 2 * ordinal;
    decision = decide_fires(rule->plan, seed, &event, ordinal);
    if (decision == DECIDE_NOT_ELIGIBLE)
        return false;
    __atomic_fetch_add(&rule->live->counts.eligible, 1, __ATOMIC_RELAXED);
    if (decision == DECIDE_NOT_DRAWN)
        return false;
    view.state = state_of(flow, item->session, item->direction, stage);
    view.draw = rng_draw(seed, rule->plan->name_hash, event.stream, 2 * ordinal + 1);
    rule->datagram->rule(&view, ruling);
    if (!ruling->acts || (ruling->doubles && item->copy))
        return false;
    if (armed_take(rule)) {
        armed_stamp(flow->armed, flow->rules[stage].rule, flow->now_ns, item->session->sequence, ordinal);
        if (!rule->plan->selector.observe)
            return true;
    }
    if (ruling->at_ns > item->came_ns)
        leave(flow, item->session, item->direction, item->size, stage);
    return false;
}

/* ---- the way ---------------------------------------------------------------------------------------------------------- */

static void discard(struct flow *flow, struct item *item)
{
    if (item->packet)
        flow_release(flow, item->packet);
    free(item->packet);
}

/* Until `at_ns`, by the rule at `stage`. */
static void hold(struct flow *flow, struct item *item, uint32_t stage, uint64_t at_ns)
{
    struct packet *packet = item->packet;

    if (!packet)
        packet = flow_keep(flow, item->session, item->direction, item->bytes, item->size);
    if (!packet) {
        leave(flow, item->session, item->direction, item->size, stage);
        return;
    }
    packet->at_ns = at_ns;
    packet->arrival = flow->arrivals++;
    packet->stage = stage;
    packet->copy = item->copy;
    if (!heap_push(flow, packet)) {
        leave(flow, item->session, item->direction, item->size, stage);
        share_add(&flow->counts[item->direction].no_room, 1);
        item->packet = packet;
        discard(flow, item);
        return;
    }
    __atomic_fetch_add(&flow_armed_rule(flow, stage)->live->held_bytes, packet->size, __ATOMIC_RELAXED);
}

static void emit(struct flow *flow, const struct item *item)
{
    if (item->packet)
        flow_release(flow, item->packet);
    flow->emit(flow->context, item->session, item->direction, item->bytes, item->size, item->packet);
}

static struct item item_of(struct packet *packet, uint64_t came_ns)
{
    return (struct item){ packet->session, packet->direction, packet->bytes, packet->size, packet->copy, came_ns, packet };
}

static void advance(struct flow *flow, struct item *item, uint32_t stage)
{
    for (; stage < flow->count && item->session->grips; stage++) {
        struct datagram_ruling ruling = { .acts = false };
        struct packet *copy;

        if (!ask(flow, item, stage, &ruling))
            continue;
        if (ruling.drops) {
            share_add(&flow->counts[item->direction].dropped, 1);
            discard(flow, item);
            return;
        }
        if (ruling.flips)
            item->bytes[ruling.bit / 8] ^= (uint8_t)(1U << ruling.bit % 8);
        if (ruling.at_ns > flow->now_ns) {
            hold(flow, item, stage, ruling.at_ns);
            return;
        }
        if (ruling.at_ns > item->came_ns) {
            leave(flow, item->session, item->direction, item->size, stage);
            item->came_ns = ruling.at_ns;
        }
        if (ruling.doubles) {
            share_add(&flow->counts[item->direction].doubled, 1);
            copy = flow_keep(flow, item->session, item->direction, item->bytes, item->size);
            advance(flow, item, stage + 1);
            if (copy) {
                struct item second = item_of(copy, item->came_ns);

                second.copy = copy->copy = true;
                advance(flow, &second, stage + 1);
            }
            return;
        }
    }
    emit(flow, item);
}

void flow_push(struct flow *flow, struct flow_session *session, int direction, uint8_t *bytes, uint32_t size, uint64_t now_ns)
{
    struct item item = { .session = session, .direction = direction, .bytes = bytes, .size = size, .came_ns = now_ns };

    flow->now_ns = now_ns;
    share_add(&flow->counts[direction].came, 1);
    advance(flow, &item, 0);
}

void flow_go_on(struct flow *flow, struct packet *packet, uint64_t came_ns)
{
    struct item item = item_of(packet, came_ns);

    __atomic_fetch_sub(&flow_armed_rule(flow, packet->stage)->live->held_bytes, packet->size, __ATOMIC_RELAXED);
    leave(flow, packet->session, packet->direction, packet->size, packet->stage);
    advance(flow, &item, packet->stage + 1);
}

void flow_lose(struct flow *flow, struct packet *packet)
{
    __atomic_fetch_sub(&flow_armed_rule(flow, packet->stage)->live->held_bytes, packet->size, __ATOMIC_RELAXED);
    leave(flow, packet->session, packet->direction, packet->size, packet->stage);
    share_add(&flow->counts[packet->direction].failed, 1);
    flow_release(flow, packet);
    free(packet);
}

void flow_run(struct flow *flow, uint64_t now_ns)
{
    flow->now_ns = now_ns;
    while (flow->heap_count && flow->heap[0]->at_ns <= now_ns) {
        struct packet *packet = heap_pop(flow);

        flow_go_on(flow, packet, packet->at_ns);
    }
}
