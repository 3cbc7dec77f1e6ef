/* errnos.def as arrays. */
#include "scenarios/vocab/errnos.h"

#include "scenarios/base/rng.h"

#include <errno.h>

#define INSIDE(...) __VA_ARGS__

#define ERRNOS(point, world, mistakes)                                                                                       \
    static const uint16_t world_##point[] = { INSIDE world, 0 };                                                             \
    static const uint16_t mistakes_##point[] = { INSIDE mistakes, 0 };
#include "scenarios/vocab/errnos.def"

static const struct {
    const uint16_t *world, *mistakes;
} lists[POINT_COUNT] = {
#define ERRNOS(point, ...) [POINT_##point] = { world_##point, mistakes_##point },
#include "scenarios/vocab/errnos.def"
};

static bool holds(const uint16_t *list, int error)
{
    while (*list && *list != error)
        list++;
    return *list != 0;
}

bool errno_fits(uint64_t points, int error)
{
    for (size_t i = 0; i < POINT_COUNT; i++)
        if ((points & BIT(i)) && (!lists[i].world || holds(lists[i].world, error) || holds(lists[i].mistakes, error)))
            return true;
    return false;
}

const uint16_t *errno_list(enum point point)
{
    return lists[point].world;
}

int errno_any(uint64_t points, uint64_t draw)
{
    size_t count = 0, point = 0;

    while (point < POINT_COUNT && !(points & BIT(point)))
        point++;
    if (point == POINT_COUNT || !lists[point].world)
        return 0;
    while (lists[point].world[count])
        count++;
    return lists[point].world[rng_below(draw, count)];
}
