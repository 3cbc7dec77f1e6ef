/* What a call fault is to the judge: one constant of operations in a file of its own, shims/judge/faults/NAME.c. A fault decides;
 * sleeping, failing, resetting is the backend's. Shim-safe, and the same under both backends: no lock, no allocation, no state.
 *
 * A row of the CALL layer in faults.def without its `call_NAME` does not link. */
#ifndef PERTURB_SHIMS_CALL_FAULT_H
#define PERTURB_SHIMS_CALL_FAULT_H

#include "scenarios/base/shape.h"
#include "scenarios/vocab/decide.h"
#include "shims/judge/judge.h"

/* One occasion on which a rule acts. All borrowed for the call. */
struct call_firing {
    const struct plan_rule *rule;
    const struct occasion *occasion;
    const struct decide_event *event;
    uint64_t seed;
    struct control_count *count;
    const struct judge_facts *facts;
    uint64_t amount; /* what bites() found, for act() */
};

struct call_ops {
    bool ends_call; /* only one such fault acts on a call; the others count as skipped */

    /* Could the fault do anything at all to this call? What could not is not a match. NULL: it always could. */
    bool (*applies)(const struct judge_facts *facts, const struct plan_rule *rule, struct occasion *occasion);

    /* Which turn of its thread this is, from 1, when the fault acts once a turn instead of once a call: further calls of the same
     * turn are no match, and turns take the place of ordinals. 0: none yet. NULL: it acts on calls. */
    uint64_t (*turn)(const struct plan_rule *rule, uint64_t since_arm_ns);
    /* Does it change anything of this very call? Asked of a call that is eligible and drawn; what it does not change is no firing.
     * NULL: it always does. It may note in the ruling what has to be known afterwards. */
    bool (*bites)(struct call_firing *firing, struct ruling *ruling);

    /* Adds to the ruling what it does. Parameters come from a page that somebody else writes: clamped, not trusted. */
    void (*act)(const struct call_firing *firing, struct ruling *ruling);
};

#define FAULT_IN_CALL(name) extern const struct call_ops call_##name;
#define FAULT_IN_STREAM(name)
#define FAULT_IN_DATAGRAM(name)
#define FAULT_IN_HOST(name)
#define FAULT(layer, name, ...) FAULT_IN_##layer(name)
#include "scenarios/vocab/faults.def"
#undef FAULT_IN_CALL

const struct call_ops *call_ops_of(uint32_t fault); /* enum fault_id; NULL when it is none of this layer */

/* ---- what several of them need ---------------------------------------------------------------------------------------- */

/* Learns what kind of descriptor it is, once, and with it whether a read is a recv and a write a send. */
void judge_settle(const struct judge_facts *facts, struct occasion *occasion);

/* Which draw of one occasion; the first is that of the probability. */
enum call_draw { DRAW_JITTER = 8, DRAW_ERROR, DRAW_PLACE, DRAW_SECTORS };

/* 64 random bits, a pure function of seed, rule, stream, ordinal and `which`. */
uint64_t call_draw(const struct call_firing *firing, enum call_draw which);

/* The errno of this occasion: any that the call can return, one of the rule's list by its weight, or the parameter. */
int call_error(const struct call_firing *firing, int64_t parameter, int otherwise);

/* `error` if it is one, else `otherwise`. */
int call_errno(int64_t error, int otherwise);

/* A sleep of that shape, at most SHIM_SLEEP_MAX_NS, before anything else; the wave begins with the rule's window. */
void call_sleep(const struct call_firing *firing, const struct shape *shape, int64_t correlation_ppm, struct ruling *ruling);

/* The same after the call, if it succeeds. */
void call_hold(const struct call_firing *firing, const struct shape *shape, int64_t correlation_ppm, struct ruling *ruling);

#endif
