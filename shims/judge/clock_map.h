/* One clock as a program is shown it: a function of the true clock, and its inverse for deadlines. Pure, shim-safe.
 *
 *   shown
 *     |            .   after, from after.true_ns on: after.shown_ns and `rate` for each ns that is past
 *     |         .
 *     |      | jump
 *     |    .
 *     |  .             before: what was shown until then
 *     +------+-------- true
 *
 * 1. Both pieces rise or stand still; a clock that may not run backwards jumps only upwards (clock_map_next, `steady`).
 * 2. A change of such a clock begins a little after it is made (CLOCK_MAP_GRACE_NS), and until then old and new function are equal
 *    to the nanosecond, so that a thread which reads by the one agrees with another that reads by the other. */
#ifndef PERTURB_SHIMS_CLOCK_MAP_H
#define PERTURB_SHIMS_CLOCK_MAP_H

#include <stdbool.h>
#include <stdint.h>

enum { CLOCK_MAP_UNIT = 1000, CLOCK_MAP_GRACE_NS = 1000000 };

struct clock_piece {
    uint64_t true_ns, shown_ns; /* where it begins */
    uint32_t rate;              /* thousandths; 0 stands still */
};

struct clock_map {
    struct clock_piece before, after;
};

extern const struct clock_map clock_map_true; /* shows what is */

uint64_t clock_map_shown(const struct clock_map *map, uint64_t true_ns);

/* The first true instant, from `from_ns` on, at which `shown_ns` or more is shown; UINT64_MAX when it never is. */
uint64_t clock_map_instant(const struct clock_map *map, uint64_t shown_ns, uint64_t from_ns);

/* From `begin_ns` on: offset_ns away from what `old` shows then, or from the truth when `from_truth`; at `rate` thereafter. With
 * `steady` the clock does not run backwards: what lies behind that which was shown is raised to it. */
struct clock_map clock_map_next(const struct clock_map *old, uint64_t begin_ns, int64_t offset_ns, uint32_t rate, bool from_truth,
                                bool steady);

#endif
