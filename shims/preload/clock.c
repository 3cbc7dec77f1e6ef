/* The clocks as the program is shown them.
 *
 * One function a clock (shims/judge/clock_map.h) holds for the whole process. It is made anew when the plan or the lease says so, by
 * whichever thread notices first, and published as a whole; a reading is: load it, read the true clock, apply it, see that it still
 * stands. So a reading that began by the old function and ended after a change is made again.
 *
 * 1. Realtime is shown offset from the truth at the instant the rule began to act (the same for all processes of a page) and runs
 *    at its rate from there. It snaps back to the truth when the rule ends.
 * 2. Monotonic never runs backwards: a change begins at what was shown. When the rule ends it leaps to the truth if it lies behind
 *    that, else it keeps its lead and runs at the true rate from there, for as long as the process lives (shim_clock_kept).
 * 3. Of several rules for one clock the first of the plan whose time it is acts; the others do nothing.
 * 4. No lock: who finds another thread, or the code below its signal handler, at making the function goes by the old one.
 * 5. Readings are counted a thread apart (control.h); the true clock is read past our own wrappers. */
#include "shims/judge/clock_map.h"
#include "shims/preload/time.h"

#include "scenarios/base/clock.h"

#include <string.h>
#include <sys/param.h>

enum { REALTIME, MONOTONIC, CLOCKS, SHAPES = 4, TRIES_MAX = 8 };

#define NONE UINT32_MAX /* no rule */

/* What a rule wants of one clock. */
struct wish {
    uint64_t name_hash;
    int64_t offset_ns;
    uint64_t from_ns; /* CLOCK_MONOTONIC, true */
    uint32_t rate;
    uint32_t observe;
    uint32_t rule;   /* its index in the plan; NONE: no rule */
    uint32_t column; /* in control_readings */
};

struct shape {
    uint32_t generation;
    bool live;
    uint64_t edge_ns; /* CLOCK_MONOTONIC, true: from here on another one is due */
    struct wish wish[CLOCKS];
    struct clock_map map[CLOCKS];
    uint64_t distance_ns[CLOCK_TAI + 1]; /* of a clock from the one whose family it is in; modulo 2^64 */
};

static struct shape shapes[SHAPES] = {
    [0] = { .wish = { { .rule = NONE }, { .rule = NONE } },
            .map = { { .before = { .rate = CLOCK_MAP_UNIT }, .after = { .rate = CLOCK_MAP_UNIT } },
                     { .before = { .rate = CLOCK_MAP_UNIT }, .after = { .rate = CLOCK_MAP_UNIT } } } },
};
static uint32_t current; /* shapes[current % SHAPES] holds */
static uint32_t making;
uint32_t shim_clock_kept;

/* ---- the true clocks ------------------------------------------------------------------------------------------------- */

static uint64_t true_ns(clockid_t clock)
{
    struct timespec now = { 0 };

    (void)shim_true_clock(clock, &now);
    return timespec_ns(now);
}

/* REALTIME or MONOTONIC, or CLOCKS: one that measures something else (CPU time). */
static uint32_t family_of(clockid_t clock)
{
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI:
    case CLOCK_REALTIME_ALARM:
        return REALTIME;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        return MONOTONIC;
    default:
        return CLOCKS;
    }
}

/* ---- making the functions -------------------------------------------------------------------------------------------- */

static bool is_live(uint64_t now_ns)
{
    const struct control_rules *rules = &shim_page.rules;

    return (__atomic_load_n(&rules->armed, __ATOMIC_RELAXED) & POINTS_CLOCKED) &&
           now_ns < __atomic_load_n(&rules->lease_ns, __ATOMIC_ACQUIRE);
}

static struct wish wish_of(const struct plan_rule *rule, uint32_t index, uint32_t column, uint64_t armed_ns)
{
    const struct params_CALL_clock *params = &rule->params.CALL_clock;
    bool still = params->freeze || params->rate <= 0;

    return (struct wish){
        .name_hash = rule->name_hash,
        .offset_ns = rule->selector.observe ? 0 : params->offset,
        .from_ns = armed_ns + rule->selector.from_ns,
        .rate = rule->selector.observe ? CLOCK_MAP_UNIT : still ? 0 : params->rate > UINT32_MAX ? UINT32_MAX : (uint32_t)params->rate,
        .observe = rule->selector.observe,
        .rule = index,
        .column = column,
    };
}

/* A clock rule's say; what ends or begins later moves the edge. */
static void take_wish(struct shape *next, const struct plan_rule *rule, const struct wish *wish, uint64_t armed_ns, uint64_t now_ns)
{
    uint64_t until_ns = rule->selector.until_ns ? armed_ns + rule->selector.until_ns : UINT64_MAX;
    uint32_t clocks = (uint32_t)(rule->params.CALL_clock.clock + 1);

    if (now_ns < wish->from_ns) {
        next->edge_ns = MIN(next->edge_ns, wish->from_ns);
        return;
    }
    if (now_ns >= until_ns)
        return;
    next->edge_ns = MIN(next->edge_ns, until_ns);
    for (uint32_t clock = 0; clock < CLOCKS; clock++)
        if ((clocks & (1u << clock)) && next->wish[clock].rule == NONE)
            next->wish[clock] = *wish;
}

/* False when the page changed meanwhile. */
static bool take_wishes(struct shape *next, uint64_t now_ns)
{
    const struct control_rules *rules = &shim_page.rules;
    const struct control_image *image = &rules->image[next->generation & 1];
    uint64_t armed_ns = image->armed_ns;
    uint32_t count = MIN(image->rule_count, (uint32_t)PLAN_RULES_MAX), column = 0;
    struct plan_rule rule;

    for (uint32_t i = 0; i < count; i++) {
        if (!(image->points[i] & POINTS_CLOCKED))
            continue;
        rule = image->rules[i];
        if (rule.fault == FAULT_CALL_clock && now_ns >= armed_ns) {
            struct wish wish = wish_of(&rule, i, column++, armed_ns);

            take_wish(next, &rule, &wish, armed_ns, now_ns);
        }
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&rules->generation, __ATOMIC_RELAXED) == next->generation;
}

static bool is_true(const struct clock_map *map)
{
    return map->after.rate == CLOCK_MAP_UNIT && map->after.shown_ns == map->after.true_ns;
}

static bool same_wish(const struct wish *a, const struct wish *b)
{
    if (a->rule == NONE || b->rule == NONE)
        return a->rule == b->rule;
    return a->name_hash == b->name_hash && a->offset_ns == b->offset_ns && a->rate == b->rate && a->observe == b->observe;
}

static struct clock_map next_map(const struct shape *old, const struct shape *next, uint32_t clock, uint64_t now_ns)
{
    const struct clock_map *map = &old->map[clock];
    const struct wish *wish = &next->wish[clock];
    bool acts = wish->rule != NONE && !wish->observe;

    if (same_wish(&old->wish[clock], wish) && (acts || !is_true(map)))
        return *map;
    if (clock == REALTIME) {
        uint64_t begin_ns = true_ns(CLOCK_REALTIME) - (acts ? now_ns - wish->from_ns : 0);

        return acts ? clock_map_next(&clock_map_true, begin_ns, wish->offset_ns, wish->rate, true, false) : clock_map_true;
    }
    if (!acts && is_true(map))
        return clock_map_true;
    return clock_map_next(map, now_ns + CLOCK_MAP_GRACE_NS, acts ? MAX(wish->offset_ns, 0) : 0, acts ? wish->rate : CLOCK_MAP_UNIT, !acts,
                          true);
}

static bool make(struct shape *next, const struct shape *old, uint64_t now_ns)
{
    *next = (struct shape){ .edge_ns = UINT64_MAX, .wish = { { .rule = NONE }, { .rule = NONE } } };
    next->generation = __atomic_load_n(&shim_page.rules.generation, __ATOMIC_ACQUIRE);
    next->live = is_live(now_ns);
    if (old->map[MONOTONIC].after.true_ns > now_ns || (next->live && !take_wishes(next, now_ns)))
        return false; /* a change that has not begun yet comes first */
    for (uint32_t clock = 0; clock < CLOCKS; clock++)
        next->map[clock] = next_map(old, next, clock, now_ns);
    if (next->map[MONOTONIC].after.true_ns > now_ns)
        next->edge_ns = MIN(next->edge_ns, next->map[MONOTONIC].after.true_ns);
    next->distance_ns[CLOCK_TAI] = true_ns(CLOCK_TAI) - true_ns(CLOCK_REALTIME);
    next->distance_ns[CLOCK_MONOTONIC_RAW] = true_ns(CLOCK_MONOTONIC_RAW) - now_ns;
    next->distance_ns[CLOCK_BOOTTIME_ALARM] = next->distance_ns[CLOCK_BOOTTIME] = true_ns(CLOCK_BOOTTIME) - now_ns;
    return true;
}

static void renew(void)
{
    uint64_t now_ns;
    uint32_t held;

    if (__atomic_exchange_n(&making, 1, __ATOMIC_ACQUIRE))
        return;
    held = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
    now_ns = true_ns(CLOCK_MONOTONIC);
    if (make(&shapes[(held + 1) % SHAPES], &shapes[held % SHAPES], now_ns)) {
        const struct shape *next = &shapes[(held + 1) % SHAPES];
        bool other = !is_true(&next->map[REALTIME]) || !is_true(&next->map[MONOTONIC]) || next->map[MONOTONIC].after.true_ns > now_ns;

        __atomic_store_n(&current, held + 1, __ATOMIC_RELEASE);
        __atomic_store_n(&shim_clock_kept, other, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&making, 0, __ATOMIC_RELEASE);
}

void shim_clock_in_child(void)
{
    __atomic_store_n(&making, 0, __ATOMIC_RELEASE); /* whoever was at it is in the parent */
}

/* ---- readings -------------------------------------------------------------------------------------------------------- */

static bool is_stale(const struct shape *shape, uint64_t now_ns)
{
    return shape->generation != __atomic_load_n(&shim_page.rules.generation, __ATOMIC_ACQUIRE) || now_ns >= shape->edge_ns ||
           shape->live != is_live(now_ns);
}

static void stamp_first(struct control_count *count, uint64_t now_ns)
{
    uint64_t none = 0;

    if (__atomic_load_n(&count->first_position, __ATOMIC_RELAXED) ||
        !__atomic_compare_exchange_n(&count->first_position, &none, 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return;
    count->first_stream = shim_stream();
    __atomic_store_n(&count->first_ns, now_ns, __ATOMIC_RELEASE);
}

static void count_reading(const struct shape *shape, uint32_t clock, uint64_t now_ns)
{
    const struct wish *wish = &shape->wish[clock];
    uint32_t half = shape->generation & 1;
    uintptr_t place = (uintptr_t)&shim_self;
    struct control_readings *readings;
    struct control_count *count;

    if (wish->rule == NONE || !shim_counters)
        return;
    count = &shim_counters->counts[half][wish->rule];
    if (__builtin_expect(!__atomic_load_n(&count->first_ns, __ATOMIC_RELAXED), 0))
        stamp_first(count, now_ns);
    if (wish->column < CONTROL_CLOCKS_MAX) {
        readings = &shim_counters->readings[half][(place >> 12 ^ place >> 20) % CONTROL_READERS];
        __atomic_fetch_add(&readings->count[wish->column], 1, __ATOMIC_RELAXED);
        __atomic_store_n(&readings->last_ns[wish->column], now_ns, __ATOMIC_RELAXED);
        return;
    }
    __atomic_fetch_add(&count->matched, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&count->eligible, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&count->fired, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&count->last_ns, now_ns, __ATOMIC_RELAXED);
}

/* A copy of what holds now. */
static struct shape settled(uint64_t *ret_now_ns)
{
    struct shape copy;
    uint32_t held;

    for (int attempt = 0;; attempt++) {
        held = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
        copy = shapes[held % SHAPES];
        *ret_now_ns = true_ns(CLOCK_MONOTONIC);
        if (attempt < TRIES_MAX / 2 && is_stale(&copy, *ret_now_ns)) {
            renew();
            continue;
        }
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (attempt >= TRIES_MAX || __atomic_load_n(&current, __ATOMIC_RELAXED) == held)
            return copy;
    }
}

bool shim_clock_is_other(void)
{
    uint64_t now_ns;
    const struct shape shape = settled(&now_ns);

    return !is_true(&shape.map[REALTIME]) || !is_true(&shape.map[MONOTONIC]) || shape.map[MONOTONIC].after.true_ns > now_ns;
}

uint64_t shim_clock_shown_ns(clockid_t clock)
{
    uint64_t now_ns;
    const struct shape shape = settled(&now_ns);

    return clock == CLOCK_REALTIME ? clock_map_shown(&shape.map[REALTIME], true_ns(CLOCK_REALTIME)) :
                                     clock_map_shown(&shape.map[MONOTONIC], now_ns);
}

uint64_t shim_clock_left_ns(clockid_t clock, uint64_t shown_ns)
{
    uint64_t now_ns, instant_ns;
    const struct shape shape = settled(&now_ns);

    if (clock == CLOCK_REALTIME)
        now_ns = true_ns(CLOCK_REALTIME);
    instant_ns = clock_map_instant(&shape.map[clock == CLOCK_REALTIME ? REALTIME : MONOTONIC], shown_ns, now_ns);
    return instant_ns == UINT64_MAX ? UINT64_MAX : instant_ns - now_ns;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

clockid_t shim_clock_nearest(uint64_t shown_ns)
{
    return distance(shown_ns, shim_clock_shown_ns(CLOCK_REALTIME)) < distance(shown_ns, shim_clock_shown_ns(CLOCK_MONOTONIC)) ?
               CLOCK_REALTIME :
               CLOCK_MONOTONIC;
}

/* The hot path: nothing is copied. False: the clock itself is to be asked (it measures something else, or refuses). */
static bool read_shown(clockid_t clock, uint64_t *ret_ns)
{
    uint32_t family = family_of(clock);

    if (family == CLOCKS)
        return false;
    for (int attempt = 0; attempt < TRIES_MAX; attempt++) {
        uint32_t held = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
        const struct shape *shape = &shapes[held % SHAPES];
        struct timespec read;
        uint64_t now_ns, value_ns, distance_ns = shape->distance_ns[clock];

        if (shim_true_clock(clock, &read))
            return false;
        value_ns = timespec_ns(read);
        now_ns = clock == CLOCK_MONOTONIC ? value_ns : true_ns(CLOCK_MONOTONIC);
        if (attempt < TRIES_MAX / 2 && __builtin_expect(is_stale(shape, now_ns), 0)) {
            renew();
            continue;
        }
        value_ns = clock_map_shown(&shape->map[family], value_ns - distance_ns) + distance_ns;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__builtin_expect(__atomic_load_n(&current, __ATOMIC_RELAXED) != held, 0))
            continue;
        count_reading(shape, family, now_ns);
        *ret_ns = value_ns;
        return true;
    }
    return false;
}

int shim_clock_gettime(shim_clock_function *real, clockid_t clock, struct timespec *ret_time)
{
    uint64_t ns;

    if (!read_shown(clock, &ns))
        return real(clock, ret_time);
    *ret_time = ns_timespec(ns);
    return 0;
}

int shim_gettimeofday(int (*real)(struct timeval *, void *), struct timeval *ret_time, void *zone)
{
    uint64_t ns;

    if (!ret_time || zone || !read_shown(CLOCK_REALTIME, &ns))
        return real(ret_time, zone);
    *ret_time = (struct timeval){ .tv_sec = (time_t)(ns / NS_PER_S), .tv_usec = (suseconds_t)(ns % NS_PER_S / NS_PER_US) };
    return 0;
}

time_t shim_time(time_t (*real)(time_t *), time_t *ret_time)
{
    uint64_t ns;

    if (!read_shown(CLOCK_REALTIME, &ns)) /* the coarse one lies behind: for a tick it would show what was before the rule */
        return real(ret_time);
    if (ret_time)
        *ret_time = (time_t)(ns / NS_PER_S);
    return (time_t)(ns / NS_PER_S);
}

int shim_timespec_get(int (*real)(struct timespec *, int), struct timespec *ret_time, int base)
{
    uint64_t ns;

    if (base != TIME_UTC || !read_shown(CLOCK_REALTIME, &ns))
        return real(ret_time, base);
    *ret_time = ns_timespec(ns);
    return base;
}
