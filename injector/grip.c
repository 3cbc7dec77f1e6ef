/* Which rules act on a connection: begun and ended by predicates, windows and plans. The bytes are chain.c's. */
#include "injector/chain_priv.h"

#include "scenarios/vocab/decide.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_ALIGN = 16 };

static void grip_begin(struct chain *chain, uint32_t index, uint64_t now_ns, bool fresh)
{
    struct grip *grip = &chain->grips[index];
    const struct armed_rule *rule = chain_rule(chain, grip);

    grip->flags |= GRIP_ACTIVE;
    for (int direction = 0; direction < DIRECTIONS; direction++)
        grip->stages[direction].active = (rule->plan->selector.direction >> direction & 1) != 0;
    for (int direction = 0; direction < DIRECTIONS && rule->ops->on_open; direction++) {
        struct stream_view view = chain_view(chain, grip, direction, now_ns, fresh);
        struct rulings rulings;

        if (!grip->stages[direction].active || chain->reset)
            continue;
        rulings.count = 0;
        rulings.timer_ns = 0;
        rule->ops->on_open(&view, &rulings);
        chain_apply_bare(chain, index, direction, &rulings, now_ns);
    }
}

static void grip_end(struct chain *chain, uint32_t index, uint64_t now_ns)
{
    struct grip *grip = &chain->grips[index];
    const struct armed_rule *rule = chain_rule(chain, grip);

    if (!(grip->flags & GRIP_ACTIVE))
        return;
    for (int direction = 0; direction < DIRECTIONS && rule->ops->end; direction++) {
        struct stream_view view = chain_view(chain, grip, direction, now_ns, false);
        struct rulings rulings;

        if (!grip->stages[direction].active || rule->plan->selector.observe)
            continue;
        rulings.count = 0;
        rulings.timer_ns = 0;
        rule->ops->end(&view, &rulings);
        chain_apply_bare(chain, index, direction, &rulings, now_ns);
    }
    chain_flush_grip(chain, index);
    chain_leave_grip(chain, grip);
    grip->flags = (grip->flags & ~(uint32_t)(GRIP_ACTIVE | GRIP_OPEN_STALLED)) | GRIP_OVER;
}

static void grip_change(struct chain *chain, uint32_t index, uint64_t now_ns)
{
    struct grip *grip = &chain->grips[index];
    const struct stream_ops *ops = chain_rule(chain, grip)->ops;

    for (int direction = 0; direction < DIRECTIONS && grip->flags & GRIP_ACTIVE; direction++) {
        struct stage *stage = &grip->stages[direction];
        struct stream_view view = chain_view(chain, grip, direction, now_ns, false);
        struct rulings rulings;

        if (!stage->active || chain->reset)
            continue;
        if (ops->rules_again)
            chain_rule_again(stage);
        if (!ops->on_change)
            continue;
        stage->timer_ns = 0;
        rulings.count = 0;
        rulings.timer_ns = 0;
        ops->on_change(&view, &rulings);
        chain_apply_bare(chain, index, direction, &rulings, now_ns);
    }
}

/* ---- which rules act -------------------------------------------------------------------------------------------------- */

static uint64_t count_in(struct armed_rule *rule, const struct decide_event *event)
{
    return decide_matches(rule->plan, event) ? __atomic_add_fetch(&rule->live->counts.matched, 1, __ATOMIC_RELAXED) : 0;
}

static struct decide_event event_of(const struct chain *chain, const struct armed_rule *rule, uint64_t now_ns)
{
    return (struct decide_event){
        .direction = DIRECTION_BOTH,
        .fd = -1,
        .client = chain->client,
        .stream = chain_stream(chain, rule->plan->selector.direction),
        .since_arm_ns = now_ns > rule->armed_ns ? now_ns - rule->armed_ns : 0,
    };
}

uint64_t *chain_count_in(const struct chain *chain, struct armed *armed, uint64_t now_ns)
{
    uint64_t *ordinals = NULL;

    for (uint32_t i = 0; i < armed->count; i++) {
        struct armed_rule *rule = &armed->rules[i];
        struct decide_event event = event_of(chain, rule, now_ns);

        if (!armed_rule_concerns(rule, chain->proxy_hash))
            continue;
        if (!ordinals)
            ordinals = calloc(armed->count, sizeof(*ordinals));
        if (!ordinals)
            break;
        ordinals[i] = count_in(rule, &event);
    }
    return ordinals;
}

void chain_counted(struct chain *chain, const uint64_t *ordinals, bool older)
{
    chain->ordinals = ordinals;
    chain->ordinals_are_older = older;
}

static void grip_see(struct chain *chain, struct grip *grip, const struct decide_event *event)
{
    struct armed_rule *rule = chain_rule(chain, grip);
    uint32_t index = chain->ordinals_are_older ? rule->carried_from : grip->rule;

    grip->flags |= GRIP_SEEN;
    grip->ordinal = chain->ordinals && index != RULE_NONE ? chain->ordinals[index] : count_in(rule, event);
    if (grip->ordinal)
        grip->flags |= GRIP_MATCHED;
}

static void grip_consider(struct chain *chain, uint32_t index, uint64_t now_ns, bool fresh)
{
    struct grip *grip = &chain->grips[index];
    struct armed_rule *rule = chain_rule(chain, grip);
    struct decide_event event = event_of(chain, rule, now_ns);
    enum decision decision;

    if (!(grip->flags & GRIP_SEEN))
        grip_see(chain, grip, &event);
    if (!(grip->flags & GRIP_MATCHED) || grip->flags & GRIP_OVER)
        return;
    decision = decide_fires(rule->plan, chain->armed->plan->seed, &event, grip->ordinal);
    if (decision != DECIDE_NOT_ELIGIBLE && !(grip->flags & GRIP_ELIGIBLE)) {
        grip->flags |= GRIP_ELIGIBLE;
        __atomic_fetch_add(&rule->live->counts.eligible, 1, __ATOMIC_RELAXED);
    }
    if (decision == DECIDE_FIRE && !(grip->flags & GRIP_ACTIVE))
        grip_begin(chain, index, now_ns, fresh);
    else if (decision == DECIDE_NOT_ELIGIBLE)
        grip_end(chain, index, now_ns);
}

void chain_consider(struct chain *chain, uint64_t now_ns, bool fresh)
{
    chain->now_ns = now_ns;
    for (uint32_t i = chain->count; i > 0; i--) {
        struct grip *grip = &chain->grips[i - 1];

        if (grip->flags & GRIP_ACTIVE)
            grip_consider(chain, i - 1, now_ns, fresh);
    }
    for (uint32_t i = 0; i < chain->count && !chain->reset; i++)
        if (!(chain->grips[i].flags & GRIP_ACTIVE))
            grip_consider(chain, i, now_ns, fresh);
}

/* ---- taking up a plan ------------------------------------------------------------------------------------------------- */

static size_t state_size(const struct armed_rule *rule)
{
    return (rule->ops->state_size + STATE_ALIGN - 1) / STATE_ALIGN * STATE_ALIGN;
}

/* The stages' states, one behind the other, and what the proxy's connections share. False without memory. */
static bool grip_init(struct grip *grip, const struct chain *chain, struct armed *armed, uint32_t rule, char **state)
{
    grip->rule = rule;
    for (int direction = 0; direction < DIRECTIONS; direction++) {
        grip->stages[direction].state = *state;
        *state += state_size(&armed->rules[rule]);
    }
    if (!armed->rules[rule].ops->shared_size)
        return true;
    grip->shared = armed_shared(&armed->rules[rule], chain->proxy_hash);
    return grip->shared != NULL;
}

/* Room for the grips of the rules that concern the proxy, their states behind them. NULL without memory or without rules. */
static struct grip *grips_new(const struct chain *chain, struct armed *armed, uint32_t *ret_count)
{
    size_t states = 0;
    uint32_t count = 0;
    struct grip *grips;
    char *state;

    for (uint32_t i = 0; i < armed->count; i++)
        if (armed_rule_concerns(&armed->rules[i], chain->proxy_hash)) {
            states += DIRECTIONS * state_size(&armed->rules[i]);
            count++;
        }
    *ret_count = count;
    grips = count ? calloc(1, count * sizeof(*grips) + STATE_ALIGN + states) : NULL;
    if (!grips)
        return NULL;
    state = (char *)(((uintptr_t)(grips + count) + STATE_ALIGN - 1) / STATE_ALIGN * STATE_ALIGN);
    count = 0;
    for (uint32_t i = 0; i < armed->count; i++) {
        if (!armed_rule_concerns(&armed->rules[i], chain->proxy_hash))
            continue;
        if (!grip_init(&grips[count++], chain, armed, i, &state)) {
            free(grips);
            return NULL;
        }
    }
    return grips;
}

static void grip_carry(struct grip *grip, const struct grip *old, size_t size)
{
    void *states[DIRECTIONS] = { grip->stages[0].state, grip->stages[1].state };
    uint32_t rule = grip->rule;

    *grip = *old; /* `shared` too: it belongs to what the two rules have in common */
    grip->rule = rule;
    for (int direction = 0; direction < DIRECTIONS; direction++) {
        grip->stages[direction].state = states[direction];
        memcpy(states[direction], old->stages[direction].state, size);
    }
}

static const struct grip *grip_of_rule(const struct grip *grips, uint32_t count, uint32_t rule)
{
    for (uint32_t i = 0; i < count; i++)
        if (grips[i].rule == rule)
            return &grips[i];
    return NULL;
}

static void end_all(struct chain *chain, uint64_t now_ns)
{
    for (uint32_t i = chain->count; i > 0; i--)
        grip_end(chain, i - 1, now_ns);
    free(chain->grips);
    chain->grips = NULL;
    chain->count = 0;
}

static bool is_carried(const struct armed *armed, uint32_t old_rule)
{
    for (uint32_t i = 0; armed && i < armed->count; i++)
        if (armed->rules[i].carried_from == old_rule)
            return true;
    return false;
}

static uint32_t carried_to(const struct armed *armed, uint32_t old_rule)
{
    for (uint32_t i = 0; armed && i < armed->count; i++)
        if (armed->rules[i].carried_from == old_rule)
            return i;
    return RULE_NONE;
}

int chain_adopt(struct chain *chain, struct armed *armed, uint64_t now_ns, bool fresh)
{
    struct grip *grips = NULL;
    uint32_t count = 0;

    chain->now_ns = now_ns;
    if (armed)
        grips = grips_new(chain, armed, &count);
    if (!grips) {
        if (chain->grips)
            end_all(chain, now_ns);
        for (uint32_t i = 0; count && i < armed->count; i++)
            __atomic_fetch_add(&armed->rules[i].live->counts.skipped, 1, __ATOMIC_RELAXED);
        chain->armed = armed;
        chain->close_rule = RULE_NONE;
        return count ? -ENOMEM : 0;
    }
    for (uint32_t i = chain->count; i > 0; i--)
        if (!is_carried(armed, chain->grips[i - 1].rule))
            grip_end(chain, i - 1, now_ns);
    for (uint32_t i = 0; i < count; i++) {
        const struct armed_rule *rule = &armed->rules[grips[i].rule];
        const struct grip *old = grip_of_rule(chain->grips, chain->count, rule->carried_from);

        if (old)
            grip_carry(&grips[i], old, rule->ops->state_size);
    }
    free(chain->grips);
    if (chain->close_rule != RULE_NONE)
        chain->close_rule = carried_to(armed, chain->close_rule);
    chain->grips = grips;
    chain->count = count;
    chain->armed = armed;
    for (uint32_t i = 0; i < count; i++)
        if (chain_rule(chain, &grips[i])->changed)
            grip_change(chain, i, now_ns);
    chain_consider(chain, now_ns, fresh);
    return 0;
}
