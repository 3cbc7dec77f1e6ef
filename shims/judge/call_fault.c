/* The table of call faults, and what several of them need. */
#include "shims/judge/call_fault.h"

#include "scenarios/base/rng.h"
#include "scenarios/vocab/errnos.h"

#include <sys/param.h>

/* A second draw of the same occasion lies out of the way of the first: ordinals stay below. */
enum { POSITION_SHIFT = 60 };

enum { CORRELATION_MAX = 999000 }; /* as in faults.def: no walk without an end */

static const struct call_ops *const ops[FAULT_COUNT] = {
#define FAULT_IN_CALL(name) [FAULT_CALL_##name] = &call_##name,
#define FAULT(layer, name, ...) FAULT_IN_##layer(name)
#include "scenarios/vocab/faults.def"
};

const struct call_ops *call_ops_of(uint32_t fault)
{
    return fault < FAULT_COUNT ? ops[fault] : NULL;
}

uint64_t call_draw(const struct call_firing *firing, enum call_draw which)
{
    const struct decide_event *event = firing->event;

    return rng_draw(firing->seed, firing->rule->name_hash, event->stream, event->position | (uint64_t)which << POSITION_SHIFT);
}

int call_errno(int64_t error, int otherwise)
{
    return error > 0 && error < 4096 ? (int)error : otherwise;
}

int call_error(const struct call_firing *firing, int64_t parameter, int otherwise)
{
    const struct plan_rule *rule = firing->rule;
    uint64_t sum = 0, at;

    if (rule->error_any)
        return call_errno(errno_any(rule->points & firing->occasion->points, call_draw(firing, DRAW_ERROR)), otherwise);
    if (!rule->error_count || rule->error_count > RULE_ERRORS_MAX)
        return call_errno(parameter, otherwise);
    for (uint32_t i = 0; i < rule->error_count; i++)
        sum += rule->errors[i].weight;
    at = sum ? rng_below(call_draw(firing, DRAW_ERROR), sum) : 0;
    for (uint32_t i = 0; i < rule->error_count; at -= rule->errors[i].weight, i++)
        if (at < rule->errors[i].weight)
            return call_errno(rule->errors[i].error, otherwise);
    return otherwise;
}

/* The jitter's draw of this thread's occasion `at`. */
static uint64_t jitter_draw(const void *context, uint64_t at)
{
    const struct call_firing *firing = context;

    return rng_draw(firing->seed, firing->rule->name_hash, firing->event->stream, at | (uint64_t)DRAW_JITTER << POSITION_SHIFT);
}

static uint64_t sleep_ns(const struct call_firing *firing, const struct shape *shape, int64_t correlation_ppm)
{
    const struct decide_event *event = firing->event;
    uint64_t from_ns = firing->rule->selector.from_ns, since_ns = event->since_arm_ns, draw = 0, delay_ns;

    if (shape_varies(shape)) {
        uint32_t chance = correlation_ppm > 0 ? (uint32_t)MIN(correlation_ppm, CORRELATION_MAX) : 0;

        draw = jitter_draw(firing, shape_origin(jitter_draw, firing, chance, event->position, NULL));
    }
    delay_ns = shape_delay_ns(shape, draw, since_ns > from_ns ? since_ns - from_ns : 0);
    return MIN(delay_ns, SHIM_SLEEP_MAX_NS);
}

void call_sleep(const struct call_firing *firing, const struct shape *shape, int64_t correlation_ppm, struct ruling *ruling)
{
    ruling->sleep_ns += sleep_ns(firing, shape, correlation_ppm);
    if (ruling->sleeping_count < sizeof(ruling->sleeping) / sizeof(ruling->sleeping[0]))
        ruling->sleeping[ruling->sleeping_count++] = firing->count;
}

void call_hold(const struct call_firing *firing, const struct shape *shape, int64_t correlation_ppm, struct ruling *ruling)
{
    ruling->hold_ns += sleep_ns(firing, shape, correlation_ppm);
    if (ruling->holding_count < sizeof(ruling->holding) / sizeof(ruling->holding[0]))
        ruling->holding[ruling->holding_count++] = firing->count;
}
