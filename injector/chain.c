/* The chain: applies rulings to queues. */
#include "injector/chain_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

enum { RETRY_NS = 1000000 };

void chain_init(struct chain *chain, struct pool *pool, uint64_t proxy_hash, uint64_t sequence)
{
    *chain = (struct chain){ .pool = pool, .proxy_hash = proxy_hash, .sequence = sequence, .close_rule = RULE_NONE };
}

struct stream_view chain_view(const struct chain *chain, const struct grip *grip, int direction, uint64_t now_ns, bool fresh)
{
    const struct armed_rule *rule = chain_rule(chain, grip);

    return (struct stream_view){
        .params = &rule->plan->params,
        .state = grip->stages[direction].state,
        .other = grip->stages[!direction].state,
        .shared = grip->shared ? grip->shared + (size_t)direction * rule->ops->shared_size : NULL,
        .now_ns = now_ns,
        .began_ns = armed_rule_began_ns(rule),
        .direction = UINT32_C(1) << direction,
        .fresh = fresh,
        .seed = chain->armed->plan->seed,
        .name_hash = rule->plan->name_hash,
        .stream = chain_stream(chain, UINT32_C(1) << direction),
        .epoch = chain->armed->plan->epoch,
    };
}

/* ---- moving bytes between stages -------------------------------------------------------------------------------------- */

/* Where bytes go that leave stage `from` (-1: that come in). */
static struct queue *next_queue(struct chain *chain, int direction, int64_t from)
{
    for (uint32_t i = (uint32_t)(from + 1); i < chain->count; i++)
        if (chain->grips[i].stages[direction].active)
            return &chain->grips[i].stages[direction].inbox;
    return &chain->out[direction];
}

/* Keeps the rule's sum of held bytes true. */
static void stage_tell(const struct chain *chain, const struct grip *grip, struct stage *stage)
{
    uint64_t held = stage->inbox.bytes + stage->held.bytes;

    if (held == stage->told_bytes)
        return;
    __atomic_fetch_add(&chain_rule(chain, grip)->live->held_bytes, held - stage->told_bytes, __ATOMIC_RELAXED);
    stage->told_bytes = held;
}

static void stage_hold(struct stage *stage, struct segment *segment, uint64_t at_ns)
{
    stage->due_last_ns = MAX(stage->due_last_ns, at_ns);
    segment->at_ns = stage->due_last_ns;
    queue_push(&stage->held, segment);
}

/* Moves what is due at now_ns to the next stage; true when something moved. */
static bool stage_deliver(struct chain *chain, uint32_t index, int direction, uint64_t now_ns)
{
    struct stage *stage = &chain->grips[index].stages[direction];
    struct queue *target = next_queue(chain, direction, index);
    bool moved = false;

    while (stage->held.first && stage->held.first->at_ns <= now_ns) {
        struct segment *segment = queue_pop(&stage->held);

        if (segment->at_ns > segment->came_ns) {
            segment->came_ns = segment->at_ns;
            segment->flags |= segment->size ? SEGMENT_HELD : 0;
        }
        queue_push(target, segment);
        moved = true;
    }
    return moved;
}

/* Everything the stage has goes on, in order; it ends. */
static void stage_flush(struct chain *chain, uint32_t index, int direction)
{
    struct stage *stage = &chain->grips[index].stages[direction];
    struct queue *target;

    if (!stage->active)
        return;
    stage->active = false;
    stage->timer_ns = 0;
    if (stage->finished)
        queue_clear(&stage->inbox, chain->pool);
    target = next_queue(chain, direction, index);
    queue_append(target, &stage->held);
    queue_append(target, &stage->inbox);
    stage_tell(chain, &chain->grips[index], stage);
}

void chain_rule_again(struct stage *stage)
{
    if (stage->finished)
        return;
    queue_append(&stage->held, &stage->inbox);
    queue_append(&stage->inbox, &stage->held);
    stage->due_last_ns = 0;
}

/* ---- effects ---------------------------------------------------------------------------------------------------------- */

static bool take(struct armed_rule *rule)
{
    if (!armed_enter(rule))
        return false;
    if (armed_take(rule))
        return true;
    armed_leave(rule);
    return false;
}

/* The rule is about to act for the first time on this connection, or again. False: its budget is spent or it acts on as many
 * connections as it may; it ends here. */
static bool grip_fires(struct chain *chain, struct grip *grip)
{
    if (grip->flags & GRIP_FIRED)
        return true;
    if (!take(chain_rule(chain, grip))) {
        grip->flags = (grip->flags & ~(uint32_t)(GRIP_ACTIVE | GRIP_OPEN_STALLED)) | GRIP_OVER;
        return false;
    }
    grip->flags |= GRIP_FIRED | GRIP_ENTERED;
    return true;
}

void chain_leave_grip(const struct chain *chain, struct grip *grip)
{
    if (grip->flags & GRIP_ENTERED)
        armed_leave(chain_rule(chain, grip));
    grip->flags &= ~(uint32_t)GRIP_ENTERED;
}

static void grip_stamp(struct chain *chain, const struct grip *grip, uint64_t ns, uint64_t position)
{
    armed_stamp(chain->armed, grip->rule, ns, chain->sequence, position);
}

void chain_flush_grip(struct chain *chain, uint32_t index)
{
    for (int direction = 0; direction < DIRECTIONS; direction++)
        stage_flush(chain, index, direction);
}

static bool ruling_is_effect(const struct ruling *ruling, const struct segment *segment)
{
    if (ruling->kind == RULING_PASS)
        return false;
    return ruling->kind != RULING_HOLD || !segment || ruling->at_ns > segment->came_ns;
}

/* A close, or the end of the direction, in order: it travels behind the bytes passed on. */
static void stage_close(struct chain *chain, struct grip *grip, int direction, uint32_t flags)
{
    struct stage *stage = &grip->stages[direction];
    struct segment *segment;

    if (stage->finished)
        return;
    segment = pool_segment(chain->pool, NULL, 0, 0);
    if (!segment) {
        chain->reset = true;
        return;
    }
    segment->flags = flags;
    segment->came_ns = chain->now_ns;
    stage_hold(stage, segment, 0);
    stage->finished = true;
    if (flags & SEGMENT_CLOSE && chain->close_rule == RULE_NONE)
        chain->close_rule = grip->rule;
}

static void grip_reset(struct chain *chain, const struct grip *grip)
{
    chain->reset = true;
    if (chain->close_rule == RULE_NONE)
        chain->close_rule = grip->rule;
}

/* ---- rulings on bytes ------------------------------------------------------------------------------------------------- */

/* Puts the ruling's bytes in place of those it took. False when memory is out. */
static bool replace(struct chain *chain, uint32_t index, int direction, const struct ruling *ruling, const struct segment *old)
{
    int target = ruling->direction ? (ruling->direction == DIRECTION_TO_CLIENT ? TO_CLIENT : TO_UPSTREAM) : direction;
    struct chunk *chunk = NULL;
    struct segment *segment;

    assert(ruling->bytes_size <= CHUNK_BYTES);
    if (!ruling->bytes_size)
        return true;
    if (ruling->bytes_size <= CHUNK_SMALL_BYTES)
        chunk = pool_chunk_small(chain->pool);
    if (!chunk)
        chunk = pool_chunk(chain->pool);
    segment = chunk ? pool_segment(chain->pool, chunk, 0, ruling->bytes_size) : NULL;
    pool_unref(chain->pool, chunk);
    if (!segment)
        return false;
    memcpy(chunk->bytes, ruling->bytes, ruling->bytes_size);
    segment->offset = old->offset;
    segment->came_ns = old->came_ns;
    if (target == direction)
        stage_hold(&chain->grips[index].stages[direction], segment, ruling->at_ns);
    else
        queue_push(next_queue(chain, target, index), segment);
    return true;
}

enum step { STEP_ON, STEP_STOP, STEP_NO_MEMORY };

/* Applies one ruling to the front of the inbox. */
static enum step apply(struct chain *chain, uint32_t index, int direction, const struct ruling *ruling)
{
    struct grip *grip = &chain->grips[index];
    struct stage *stage = &grip->stages[direction];
    struct segment *front = stage->inbox.first, *piece;

    switch (ruling->kind) {
    case RULING_STALL:
        stage->stalled = true;
        return STEP_STOP;
    case RULING_CLOSE_FIN:
    case RULING_CLOSE_RST:
        stage_close(chain, grip, direction, ruling->kind == RULING_CLOSE_FIN ? SEGMENT_CLOSE : SEGMENT_RST | SEGMENT_CLOSE);
        return STEP_STOP;
    case RULING_END:
        stage_close(chain, grip, direction, SEGMENT_FIN);
        return STEP_STOP;
    default:
        break;
    }
    assert(front && ruling->size <= front->size && (ruling->size || (front->flags & SEGMENT_END)));
    if (ruling->kind == RULING_REPLACE && !replace(chain, index, direction, ruling, front))
        return STEP_NO_MEMORY;
    piece = ruling->size ? queue_take(&stage->inbox, chain->pool, (uint32_t)ruling->size) : queue_pop(&stage->inbox);
    if (!piece)
        return STEP_NO_MEMORY;
    if (ruling->kind == RULING_DISCARD || ruling->kind == RULING_REPLACE) {
        if (piece->flags & SEGMENT_END)
            chain->end_discarded[direction] = true;
        pool_segment_free(chain->pool, piece);
        return STEP_ON;
    }
    if (ruling->kind == RULING_SPLIT)
        piece->flags |= SEGMENT_CUT;
    stage_hold(stage, piece, ruling->kind == RULING_PASS ? 0 : ruling->at_ns);
    return STEP_ON;
}

static void ask(struct chain *chain, const struct grip *grip, int direction, uint64_t now_ns, struct rulings *rulings)
{
    const struct segment *front = grip->stages[direction].inbox.first;
    const struct stream_ops *ops = chain_rule(chain, grip)->ops;
    struct stream_view view = chain_view(chain, grip, direction, now_ns, false);
    struct range range = { .offset = front->offset, .size = front->size, .came_ns = front->came_ns, .bytes = segment_bytes(front) };

    rulings->count = 0;
    rulings->timer_ns = 0;
    if (front->flags & SEGMENT_END ? ops->on_eof != NULL : ops->on_bytes != NULL)
        (front->flags & SEGMENT_END ? ops->on_eof : ops->on_bytes)(&view, &range, rulings);
    if (!rulings->count)
        rulings_add(rulings, RULING_PASS, front->size, 0);
}

/* Rules on the front segment. False when the stage can take no more for now. */
static bool stage_rule_front(struct chain *chain, uint32_t index, int direction, uint64_t now_ns)
{
    struct grip *grip = &chain->grips[index];
    struct stage *stage = &grip->stages[direction];
    bool observes = chain_rule(chain, grip)->plan->selector.observe != 0;
    struct rulings rulings;

    ask(chain, grip, direction, now_ns, &rulings);
    if (rulings.timer_ns && !observes)
        stage->timer_ns = rulings.timer_ns;
    for (uint32_t i = 0; i < rulings.count; i++) {
        const struct ruling *ruling = &rulings.list[i];
        const struct segment *front = stage->inbox.first;
        uint64_t offset = front ? front->offset : chain->offset[direction];
        bool closes = ruling->kind == RULING_CLOSE_FIN || ruling->kind == RULING_CLOSE_RST;
        struct ruling pass = { .kind = RULING_PASS, .size = front ? front->size : 0 };
        enum step step;

        if (ruling_is_effect(ruling, front)) {
            if (!grip_fires(chain, grip)) {
                chain_flush_grip(chain, index);
                return false;
            }
            if (observes || !closes)
                grip_stamp(chain, grip, now_ns, offset);
            if (observes && (closes || ruling->kind == RULING_STALL || !ruling->size)) {
                return front && apply(chain, index, direction, &pass) == STEP_ON;
            }
        }
        pass.size = ruling->size;
        step = apply(chain, index, direction, observes ? &pass : ruling);
        if (step == STEP_NO_MEMORY)
            chain->retry_ns = now_ns + RETRY_NS;
        if (step != STEP_ON)
            return false;
    }
    return true;
}

static void stage_rule(struct chain *chain, uint32_t index, int direction, uint64_t now_ns)
{
    struct stage *stage = &chain->grips[index].stages[direction];

    do {
        if (stage->finished)
            queue_clear(&stage->inbox, chain->pool);
        while (stage->active && stage->inbox.first && !stage->stalled && !stage->finished && stage->held.count < STAGE_HELD_MAX)
            if (!stage_rule_front(chain, index, direction, now_ns))
                break;
    } while (stage->active && stage_deliver(chain, index, direction, now_ns) && stage->inbox.first && !stage->stalled);
}

/* ---- rulings on occasions without bytes ------------------------------------------------------------------------------- */

void chain_apply_bare(struct chain *chain, uint32_t index, int direction, const struct rulings *rulings, uint64_t now_ns)
{
    struct grip *grip = &chain->grips[index];
    bool observes = chain_rule(chain, grip)->plan->selector.observe != 0;

    if (rulings->timer_ns)
        grip->stages[direction].timer_ns = rulings->timer_ns;
    for (uint32_t i = 0; i < rulings->count; i++) {
        const struct ruling *ruling = &rulings->list[i];

        if (ruling->kind == RULING_STALL) {
            grip->flags |= observes ? 0 : GRIP_OPEN_STALLED;
            continue;
        }
        if (ruling->kind == RULING_HOLD && ruling->at_ns <= now_ns)
            continue;
        if (!grip_fires(chain, grip)) {
            chain_flush_grip(chain, index);
            return;
        }
        if (observes || ruling->kind == RULING_HOLD || ruling->kind == RULING_END)
            grip_stamp(chain, grip, now_ns, chain->offset[direction]);
        if (observes)
            continue;
        if (ruling->kind == RULING_HOLD)
            grip->open_ns = ruling->at_ns;
        else if (ruling->kind == RULING_END)
            stage_close(chain, grip, direction, SEGMENT_FIN);
        else if (ruling->kind == RULING_CLOSE_RST)
            grip_reset(chain, grip);
        else if (ruling->kind == RULING_CLOSE_FIN)
            stage_close(chain, grip, direction, SEGMENT_CLOSE);
    }
}

/* ---- bytes in, bytes out ---------------------------------------------------------------------------------------------- */

void chain_done(struct chain *chain)
{
    for (uint32_t i = 0; i < chain->count; i++) {
        for (int direction = 0; direction < DIRECTIONS; direction++) {
            queue_clear(&chain->grips[i].stages[direction].inbox, chain->pool);
            queue_clear(&chain->grips[i].stages[direction].held, chain->pool);
            stage_tell(chain, &chain->grips[i], &chain->grips[i].stages[direction]);
        }
        chain_leave_grip(chain, &chain->grips[i]);
    }
    for (int direction = 0; direction < DIRECTIONS; direction++)
        queue_clear(&chain->out[direction], chain->pool);
    free(chain->grips);
    chain->grips = NULL;
    chain->count = 0;
}

void chain_push(struct chain *chain, int direction, struct segment *segment)
{
    segment->offset = chain->offset[direction];
    chain->offset[direction] += segment->size;
    queue_push(next_queue(chain, direction, -1), segment);
}

void chain_pump(struct chain *chain, int direction, uint64_t now_ns)
{
    chain->now_ns = now_ns;
    if (chain->retry_ns && now_ns >= chain->retry_ns)
        chain->retry_ns = 0;
    for (uint32_t i = 0; i < chain->count; i++) {
        struct grip *grip = &chain->grips[i];
        struct stage *stage = &grip->stages[direction];

        if (stage->active && stage->timer_ns && now_ns >= stage->timer_ns) {
            struct stream_view view = chain_view(chain, grip, direction, now_ns, false);
            struct rulings rulings;

            stage->timer_ns = 0;
            rulings.count = 0;
            rulings.timer_ns = 0;
            if (chain_rule(chain, grip)->ops->on_timer)
                chain_rule(chain, grip)->ops->on_timer(&view, &rulings);
            chain_apply_bare(chain, i, direction, &rulings, now_ns);
        }
        if (stage->active)
            stage_rule(chain, i, direction, now_ns);
        stage_tell(chain, grip, stage);
    }
}

uint64_t chain_next_ns(const struct chain *chain)
{
    uint64_t next_ns = chain->retry_ns ? chain->retry_ns : UINT64_MAX;

    for (uint32_t i = 0; i < chain->count; i++) {
        if (chain->grips[i].flags & GRIP_ACTIVE && chain->grips[i].open_ns > chain->now_ns)
            next_ns = MIN(next_ns, chain->grips[i].open_ns);
        for (int direction = 0; direction < DIRECTIONS; direction++) {
            const struct stage *stage = &chain->grips[i].stages[direction];

            if (!stage->active)
                continue;
            if (stage->timer_ns)
                next_ns = MIN(next_ns, stage->timer_ns);
            if (stage->held.first)
                next_ns = MIN(next_ns, stage->held.first->at_ns);
        }
    }
    return next_ns;
}

bool chain_stalled(const struct chain *chain, int direction)
{
    for (uint32_t i = 0; i < chain->count; i++) {
        const struct stage *stage = &chain->grips[i].stages[direction];

        if (stage->active && stage->stalled)
            return true;
    }
    return false;
}

bool chain_open_stalled(const struct chain *chain)
{
    for (uint32_t i = 0; i < chain->count; i++)
        if (chain->grips[i].flags & GRIP_OPEN_STALLED ||
            (chain->grips[i].flags & GRIP_ACTIVE && chain->grips[i].open_ns > chain->now_ns))
            return true;
    return false;
}

bool chain_is_staged(const struct chain *chain, int direction)
{
    return next_queue((struct chain *)(uintptr_t)chain, direction, -1) != &chain->out[direction];
}

bool chain_watches(const struct chain *chain, int direction)
{
    for (uint32_t i = 0; i < chain->count; i++) {
        const struct stage *stage = &chain->grips[i].stages[direction];

        if (stage->active && (chain_rule(chain, &chain->grips[i])->ops->on_bytes || stage->finished || stage->stalled ||
                              stage->inbox.count || stage->held.count))
            return true;
    }
    return false;
}

void chain_held(const struct chain *chain, int direction, uint64_t *ret_bytes, uint64_t *ret_cost)
{
    uint64_t bytes = 0, cost = 0;

    for (uint32_t i = 0; i < chain->count; i++) {
        const struct stage *stage = &chain->grips[i].stages[direction];

        bytes += stage->inbox.bytes + stage->held.bytes;
        cost += queue_cost(&stage->inbox) + queue_cost(&stage->held);
    }
    *ret_bytes = bytes;
    *ret_cost = cost;
}

void chain_closed(struct chain *chain, int direction, uint64_t ns)
{
    if (chain->close_rule == RULE_NONE || !chain->armed)
        return;
    armed_stamp(chain->armed, chain->close_rule, ns, chain->sequence, chain->offset[direction]);
    chain->close_rule = RULE_NONE;
}
