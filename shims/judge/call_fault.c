/* The table of call faults, and what several of them need. */
#include "shims/judge/call_fault.h"

#include "scenarios/base/rng.h"

/* A second draw of the same occasion lies out of the way of the first: ordinals stay below. */
enum { POSITION_SHIFT = 60 };

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

static uint64_t jittered(const struct call_firing *firing, int64_t mean_ns, int64_t jitter_ns)
{
    int64_t value = mean_ns;

    if (mean_ns < 0 || jitter_ns < 0 || (uint64_t)mean_ns > SHIM_SLEEP_MAX_NS || (uint64_t)jitter_ns > SHIM_SLEEP_MAX_NS)
        return 0;
    if (jitter_ns)
        value += (int64_t)rng_below(call_draw(firing, DRAW_JITTER), 2 * (uint64_t)jitter_ns + 1) - jitter_ns;
    return value > 0 ? (uint64_t)value : 0;
}

void call_sleep(const struct call_firing *firing, int64_t mean_ns, int64_t jitter_ns, struct ruling *ruling)
{
    ruling->sleep_ns += jittered(firing, mean_ns, jitter_ns);
    if (ruling->sleeping_count < sizeof(ruling->sleeping) / sizeof(ruling->sleeping[0]))
        ruling->sleeping[ruling->sleeping_count++] = firing->count;
}

void call_hold(const struct call_firing *firing, int64_t mean_ns, int64_t jitter_ns, struct ruling *ruling)
{
    ruling->hold_ns += jittered(firing, mean_ns, jitter_ns);
    if (ruling->holding_count < sizeof(ruling->holding) / sizeof(ruling->holding[0]))
        ruling->holding[ruling->holding_count++] = firing->count;
}
