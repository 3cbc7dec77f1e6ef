/* Arithmetic on clocks. What lies beyond 64 bits is cut off at its end. */
#include "shims/judge/clock_map.h"

#define UNIT { .rate = CLOCK_MAP_UNIT }

const struct clock_map clock_map_true = { .before = UNIT, .after = UNIT };

__extension__ typedef unsigned __int128 wide;

static uint64_t clipped(wide value)
{
    return value > UINT64_MAX ? UINT64_MAX : (uint64_t)value;
}

static uint64_t piece_shown(const struct clock_piece *piece, uint64_t true_ns)
{
    uint64_t past_ns = true_ns > piece->true_ns ? true_ns - piece->true_ns : 0, shown_ns;

    if (!__builtin_mul_overflow(past_ns, piece->rate, &shown_ns) && /* nearly always: no division of 128 bits */
        !__builtin_add_overflow(piece->shown_ns, shown_ns / CLOCK_MAP_UNIT, &shown_ns))
        return shown_ns;
    return clipped(piece->shown_ns + (wide)past_ns * piece->rate / CLOCK_MAP_UNIT);
}

static uint64_t piece_instant(const struct clock_piece *piece, uint64_t shown_ns)
{
    if (shown_ns <= piece->shown_ns)
        return piece->true_ns;
    if (!piece->rate)
        return UINT64_MAX;
    return clipped(piece->true_ns + ((wide)(shown_ns - piece->shown_ns) * CLOCK_MAP_UNIT + piece->rate - 1) / piece->rate);
}

uint64_t clock_map_shown(const struct clock_map *map, uint64_t true_ns)
{
    return piece_shown(true_ns < map->after.true_ns ? &map->before : &map->after, true_ns);
}

uint64_t clock_map_instant(const struct clock_map *map, uint64_t shown_ns, uint64_t from_ns)
{
    uint64_t instant_ns = map->after.true_ns;

    if (clock_map_shown(map, from_ns) >= shown_ns)
        return from_ns;
    if (from_ns < map->after.true_ns)
        instant_ns = piece_instant(&map->before, shown_ns);
    if (instant_ns >= map->after.true_ns)
        instant_ns = piece_instant(&map->after, shown_ns);
    return instant_ns > from_ns ? instant_ns : from_ns;
}

struct clock_map clock_map_next(const struct clock_map *old, uint64_t begin_ns, int64_t offset_ns, uint32_t rate, bool from_truth,
                                bool steady)
{
    uint64_t before_ns = clock_map_shown(old, begin_ns);
    uint64_t base_ns = from_truth ? begin_ns : before_ns;
    uint64_t distance_ns = offset_ns < 0 ? 0 - (uint64_t)offset_ns : (uint64_t)offset_ns;
    struct clock_map next = { .before = old->after, .after = { begin_ns, base_ns, rate } };

    if (offset_ns < 0)
        next.after.shown_ns = base_ns > distance_ns ? base_ns - distance_ns : 0;
    else
        next.after.shown_ns = clipped((wide)base_ns + distance_ns);
    if (steady && next.after.shown_ns < before_ns)
        next.after.shown_ns = before_ns;
    return next;
}
