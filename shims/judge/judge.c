/* The armed path. Rules are read from a page that another process writes: each is copied, then the page's generation is looked
 * at again, then the copy is checked (control.h rules 2 and 7). */
#include "shims/judge/call_fault.h"

#include "scenarios/vocab/decide.h"

#include <string.h>

enum { TRIES_MAX = 4, PATH_ROOM = 512 };

/* One look at the page. */
struct view {
    const struct judge *judge;
    const struct control_image *image;
    struct control_count *counts;
    uint32_t generation;
    uint64_t now_ns;
    uint64_t seed, epoch, armed_ns;
};

static bool still_valid(const struct view *view)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&view->judge->rules->generation, __ATOMIC_RELAXED) == view->generation;
}

static bool view_take(struct view *view)
{
    const struct control_rules *rules = view->judge->rules;
    struct control_counters *counters = view->judge->counters;

    for (int attempt = 0; attempt < TRIES_MAX; attempt++) {
        view->generation = __atomic_load_n(&rules->generation, __ATOMIC_ACQUIRE);
        view->image = &rules->image[view->generation & 1];
        view->counts = counters->counts[view->generation & 1];
        view->seed = view->image->seed;
        view->epoch = view->image->epoch;
        view->armed_ns = view->image->armed_ns;
        if (still_valid(view))
            return true;
    }
    __atomic_fetch_add(&counters->lost, 1, __ATOMIC_RELAXED);
    return false;
}

/* Copies a rule and makes it safe to evaluate. */
static bool rule_copy(const struct view *view, uint32_t index, struct plan_rule *ret_rule)
{
    struct selector *selector = &ret_rule->selector;

    *ret_rule = view->image->rules[index];
    if (!still_valid(view))
        return false;
    selector->path[RULE_PATH_MAX - 1] = '\0';
    selector->thread[RULE_THREAD_MAX - 1] = '\0';
    selector->caller[RULE_CALLER_MAX - 1] = '\0';
    return ret_rule->fault < FAULT_COUNT && selector->nth && selector->first && selector->peer.prefix_bits <= 128 &&
           selector->client.prefix_bits <= 128;
}

/* A read on anything but a socket is no recv, a write no send. */
void judge_settle(const struct judge_facts *facts, struct occasion *occasion)
{
    const uint32_t reading = POINT_BIT(read) | POINT_BIT(recv), writing = POINT_BIT(write) | POINT_BIT(send);

    if (occasion->kind)
        return;
    occasion->kind = facts->kind(occasion);
    if (occasion->kind >= KIND_PACKETS)
        return;
    if ((occasion->points & reading) == reading)
        occasion->points &= ~(uint32_t)POINT_BIT(recv);
    if ((occasion->points & writing) == writing)
        occasion->points &= ~(uint32_t)POINT_BIT(send);
}

static bool is_ambiguous(uint32_t points)
{
    const uint32_t reading = POINT_BIT(read) | POINT_BIT(recv), writing = POINT_BIT(write) | POINT_BIT(send);

    return (points & reading) == reading || (points & writing) == writing;
}

/* What could not act on this call is not a match. */
static bool fault_applies(const struct judge_facts *facts, const struct plan_rule *rule, struct occasion *occasion)
{
    const struct call_ops *ops = call_ops_of(rule->fault);

    if (is_ambiguous(occasion->points) && (rule->points & (POINT_BIT(recv) | POINT_BIT(send))))
        judge_settle(facts, occasion);
    return ops && (rule->points & occasion->points) && (!ops->applies || ops->applies(facts, rule, occasion));
}

static bool selectors_match(const struct judge_facts *facts, const struct plan_rule *rule, const struct occasion *occasion,
                            struct decide_event *event)
{
    const struct selector *selector = &rule->selector;
    struct sockaddr_storage peer;
    char path[PATH_ROOM], caller[PATH_ROOM / 2], thread[RULE_THREAD_MAX];

    event->points = occasion->points;
    event->fd = occasion->fd;
    event->size = occasion->size;
    event->path = selector->path[0] ? facts->path(occasion, path, sizeof(path)) : NULL;
    event->caller = selector->caller[0] ? facts->caller(occasion, caller, sizeof(caller)) : NULL;
    event->peer = selector->peer.present ? facts->peer(occasion, &peer) : NULL;
    event->thread = selector->thread[0] ? facts->thread(occasion, thread) : NULL;
    return decide_matches(rule, event);
}

static void count_one(uint64_t *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* The one that claims first_position tells where; first_ns comes last, so that whoever reads it finds the rest. */
static void stamp(struct control_count *count, const struct decide_event *event, uint64_t now_ns)
{
    uint64_t none = 0;

    __atomic_store_n(&count->last_ns, now_ns, __ATOMIC_RELAXED);
    if (__atomic_load_n(&count->first_position, __ATOMIC_RELAXED) ||
        !__atomic_compare_exchange_n(&count->first_position, &none, event->position, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return;
    count->first_stream = event->stream;
    __atomic_store_n(&count->first_ns, now_ns, __ATOMIC_RELEASE);
}

static void consider(const struct view *view, uint32_t index, const struct plan_rule *rule, struct occasion *occasion,
                     struct ruling *ruling)
{
    const struct judge_facts *facts = view->judge->facts;
    struct control_count *count = &view->counts[index];
    struct decide_event event = { .since_arm_ns = view->now_ns - view->armed_ns };
    enum decision decision;

    if (!fault_applies(facts, rule, occasion) || !selectors_match(facts, rule, occasion, &event))
        return;
    event.stream = facts->stream(occasion);
    event.position = facts->ordinal(event.stream, index, view->epoch);
    if (!event.position) {
        count_one(&view->judge->counters->lost);
        return;
    }
    count_one(&count->matched);
    decision = decide_fires(rule, view->seed, &event, event.position);
    if (decision == DECIDE_NOT_ELIGIBLE)
        return;
    count_one(&count->eligible);
    if (decision != DECIDE_FIRE)
        return;
    if (((ruling->error || ruling->fake) && call_ops_of(rule->fault)->ends_call) || !decide_take(rule, &count->fired)) {
        count_one(&count->skipped); /* another rule has ended the call already, or the budget is spent */
        return;
    }
    stamp(count, &event, view->now_ns);
    if (!rule->selector.observe)
        call_ops_of(rule->fault)->act(&(struct call_firing){ rule, occasion, &event, view->seed, count }, ruling);
}

void judge_call(const struct judge *judge, struct occasion *occasion, struct ruling *ret_ruling)
{
    struct view view = { .judge = judge };
    struct plan_rule rule;
    uint32_t count;

    memset(ret_ruling, 0, sizeof(*ret_ruling));
    ret_ruling->size_max = UINT64_MAX;
    if (!judge->counters || !view_take(&view))
        return;
    view.now_ns = judge->facts->now_ns();
    if (view.now_ns >= __atomic_load_n(&judge->rules->lease_ns, __ATOMIC_ACQUIRE) || view.now_ns < view.armed_ns)
        return;
    ret_ruling->generation = view.generation;
    count = view.image->rule_count < PLAN_RULES_MAX ? view.image->rule_count : PLAN_RULES_MAX;
    for (uint32_t i = 0; i < count; i++)
        if ((view.image->points[i] & occasion->points) && rule_copy(&view, i, &rule))
            consider(&view, i, &rule, occasion, ret_ruling);
}

void judge_take_back(const struct ruling *ruling)
{
    __atomic_fetch_sub(&ruling->acting->fired, 1, __ATOMIC_RELAXED);
    count_one(&ruling->acting->skipped);
}
