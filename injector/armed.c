/* Plans in force: built and freed by the control thread, read by the loops. */
#include "injector/armed.h"

#include "injector/event.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/vocab/decide.h"

#include <errno.h>
#include <string.h>
#include <sys/param.h>

enum { RAMP_STEPS = 100 };

static void wake(int event_fd)
{
    if (event_fd >= 0)
        event_tell(event_fd);
}

/* May the one go on as the other? Names are unique in a plan. A datagram rule with other parameters begins anew: its state may even
 * lie elsewhere, by `scope`. */
static bool is_same(const struct plan_rule *a, const struct plan_rule *b)
{
    if (datagram_registry[a->fault] && memcmp(&a->params, &b->params, sizeof(a->params)) != 0)
        return false;
    return a->name_hash == b->name_hash && !strcmp(a->name, b->name) && !strcmp(a->scope, b->scope) && a->fault == b->fault &&
           a->points == b->points && !memcmp(&a->selector, &b->selector, sizeof(a->selector));
}

/* The index of the same rule in `before`, not below `first` so that order is kept. */
static uint32_t find_same(const struct armed *before, uint32_t first, const struct plan_rule *rule)
{
    for (uint32_t i = first; before && i < before->count; i++)
        if (is_same(before->rules[i].plan, rule))
            return i;
    return RULE_NONE;
}

static int rule_init(struct armed_rule *rule, const struct plan_rule *plan, const struct stream_ops *const *registry,
                     uint64_t now_ns)
{
    *rule = (struct armed_rule){
        .plan = plan,
        .ops = registry[plan->fault],
        .datagram = datagram_registry[plan->fault],
        .scope_hash = plan->scope[0] ? rng_hash(plan->scope) : 0,
        .armed_ns = now_ns,
        .carried_from = RULE_NONE,
        .live = calloc(1, sizeof(struct rule_live)),
    };
    if (!rule->live)
        return -ENOMEM;
    rule->live->references = 1;
    return 0;
}

static void rule_carry(struct armed_rule *rule, const struct plan_rule *plan, const struct armed *before, uint32_t index)
{
    const struct armed_rule *old = &before->rules[index];

    *rule = (struct armed_rule){
        .plan = plan,
        .ops = old->ops,
        .datagram = old->datagram,
        .scope_hash = old->scope_hash,
        .armed_ns = old->armed_ns,
        .carried_from = index,
        .changed = memcmp(&old->plan->params, &plan->params, sizeof(plan->params)) != 0,
        .live = old->live,
    };
    rule->live->references++;
}

int armed_new(const struct plan *plan, const struct armed *before, const struct stream_ops *const *registry, uint64_t now_ns,
              uint64_t ttl_ns, int event_fd, struct armed **ret_armed)
{
    struct armed *armed = calloc(1, sizeof(*armed) + plan->rule_count * sizeof(armed->rules[0]));
    uint32_t first = 0;

    if (!armed)
        return -ENOMEM;
    armed->event_fd = event_fd;
    armed->deadline_ns = ttl_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + ttl_ns;
    armed->plan = malloc(PLAN_SIZE(plan->rule_count));
    if (!armed->plan)
        goto undo;
    memcpy(armed->plan, plan, PLAN_SIZE(plan->rule_count));
    if (before && (before->plan->seed != plan->seed || !__atomic_load_n(&before->deadline_ns, __ATOMIC_RELAXED)))
        before = NULL;
    for (; armed->count < plan->rule_count; armed->count++) {
        const struct plan_rule *rule = &armed->plan->rules[armed->count];
        uint32_t same = find_same(before, first, rule);

        if (before && same != RULE_NONE) {
            rule_carry(&armed->rules[armed->count], rule, before, same);
            first = same + 1;
        } else if (rule_init(&armed->rules[armed->count], rule, registry, now_ns) < 0) {
            goto undo;
        }
    }
    *ret_armed = armed;
    return 0;

undo:
    armed_free(armed);
    return -ENOMEM;
}

static void live_unref(struct rule_live *live)
{
    if (--live->references)
        return;
    while (live->shared) {
        struct rule_shared *shared = live->shared;

        live->shared = shared->next;
        free(shared);
    }
    free(live);
}

void armed_free(struct armed *armed)
{
    if (!armed)
        return;
    for (uint32_t i = 0; i < armed->count; i++)
        live_unref(armed->rules[i].live);
    free(armed->plan);
    free(armed);
}

bool armed_is_live(struct armed *armed, uint64_t now_ns)
{
    uint64_t deadline_ns = __atomic_load_n(&armed->deadline_ns, __ATOMIC_ACQUIRE);

    for (;;) {
        if (!deadline_ns)
            return false;
        if (now_ns < deadline_ns)
            return true;
        if (__atomic_compare_exchange_n(&armed->deadline_ns, &deadline_ns, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            break;
    }
    __atomic_store_n(&armed->expired_ns, now_ns, __ATOMIC_RELEASE);
    wake(armed->event_fd);
    return false;
}

int armed_renew(struct armed *armed, uint64_t now_ns, uint64_t ttl_ns)
{
    uint64_t wanted_ns = ttl_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + ttl_ns;
    uint64_t deadline_ns = __atomic_load_n(&armed->deadline_ns, __ATOMIC_ACQUIRE);

    do {
        if (!deadline_ns || deadline_ns <= now_ns)
            return -ESTALE;
    } while (!__atomic_compare_exchange_n(&armed->deadline_ns, &deadline_ns, wanted_ns, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return 0;
}

static uint64_t rule_next_boundary(const struct armed_rule *rule, uint64_t now_ns)
{
    const struct selector *selector = &rule->plan->selector;
    uint64_t from_ns = rule->armed_ns + selector->from_ns, until_ns = rule->armed_ns + selector->until_ns;

    if (now_ns < from_ns)
        return from_ns;
    if (selector->until_ns && now_ns >= until_ns)
        return UINT64_MAX;
    if (selector->ramp_ns && now_ns - from_ns < selector->ramp_ns) {
        uint64_t step_ns = MAX(selector->ramp_ns / RAMP_STEPS, (uint64_t)1);
        uint64_t next_ns = from_ns + MIN(((now_ns - from_ns) / step_ns + 1) * step_ns, selector->ramp_ns);

        return selector->until_ns ? MIN(next_ns, until_ns) : next_ns;
    }
    return selector->until_ns ? until_ns : UINT64_MAX;
}

uint64_t armed_next_boundary(const struct armed *armed, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;

    for (uint32_t i = 0; i < armed->count; i++)
        next_ns = MIN(next_ns, rule_next_boundary(&armed->rules[i], now_ns));
    return next_ns;
}

static struct rule_shared *find_shared(struct rule_shared *list, const struct rule_shared *end, uint64_t proxy_hash)
{
    while (list != end && list->proxy_hash != proxy_hash)
        list = list->next;
    return list == end ? NULL : list;
}

void *armed_shared(struct armed_rule *rule, uint64_t proxy_hash)
{
    struct rule_shared *seen = __atomic_load_n(&rule->live->shared, __ATOMIC_ACQUIRE);
    struct rule_shared *shared = find_shared(seen, NULL, proxy_hash), *added;

    if (shared)
        return shared->words;
    added = calloc(1, sizeof(*added) + 2 * rule->ops->shared_size);
    if (!added)
        return NULL;
    added->proxy_hash = proxy_hash;
    do {
        const struct rule_shared *end = added->next;

        added->next = seen;
        shared = find_shared(seen, end, proxy_hash); /* another loop may have added it meanwhile */
        if (shared) {
            free(added);
            return shared->words;
        }
    } while (!__atomic_compare_exchange_n(&rule->live->shared, &seen, added, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return added->words;
}

bool armed_take(struct armed_rule *rule)
{
    if (decide_take(rule->plan, &rule->live->counts.fired))
        return true;
    __atomic_fetch_add(&rule->live->counts.skipped, 1, __ATOMIC_RELAXED);
    return false;
}

bool armed_enter(struct armed_rule *rule)
{
    uint64_t limit = rule->plan->selector.active_max;

    if (!limit || __atomic_fetch_add(&rule->live->active, 1, __ATOMIC_RELAXED) < limit)
        return true;
    armed_leave(rule);
    __atomic_fetch_add(&rule->live->counts.skipped, 1, __ATOMIC_RELAXED);
    return false;
}

void armed_leave(struct armed_rule *rule)
{
    if (rule->plan->selector.active_max)
        __atomic_fetch_sub(&rule->live->active, 1, __ATOMIC_RELAXED);
}

void armed_stamp(struct armed *armed, uint32_t rule, uint64_t ns, uint64_t stream, uint64_t position)
{
    struct rule_counts *counts = &armed->rules[rule].live->counts;
    struct rule_acted *acted = &armed->rules[rule].acted;
    uint64_t never = 0;

    __atomic_compare_exchange_n(&counts->first_ns, &never, ns, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    __atomic_store_n(&counts->last_ns, ns, __ATOMIC_RELAXED);
    if (__atomic_load_n(&acted->claimed, __ATOMIC_RELAXED) || __atomic_exchange_n(&acted->claimed, 1, __ATOMIC_RELAXED))
        return;
    acted->stream = stream;
    acted->position = position;
    __atomic_store_n(&acted->ns, ns, __ATOMIC_RELEASE);
    wake(armed->event_fd);
}
