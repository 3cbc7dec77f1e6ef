/* stream.corrupt: one bit is flipped in some of the cells of the byte grid.
 *
 * 1. A draw for each cell says whether it is hit and which of its 8,192 bits flips, so the same bits flip at any way of reading.
 *    A cell that the stream does not fill may end before its bit. */
#include "injector/stream.h"

#include <sys/param.h>

struct corrupt {
    uint8_t bytes[RULINGS_MAX]; /* the flipped ones, until the rulings are applied */
};

/* The offset of the byte of the cell that is hit, and its mask; false when none is. */
static bool hit(const struct stream_view *view, uint64_t cell, uint64_t *ret_offset, uint8_t *ret_mask)
{
    uint64_t draw = stream_draw(view, cell), bit;

    if (!rng_chance(draw, (uint32_t)view->params->STREAM_corrupt.cells))
        return false;
    bit = rng_below(rng_mix(draw, 1), GRID_CELL_BYTES * 8);
    *ret_offset = cell * GRID_CELL_BYTES + bit / 8;
    *ret_mask = (uint8_t)(1U << bit % 8);
    return true;
}

static void on_bytes(const struct stream_view *view, const struct range *range, struct rulings *rulings)
{
    uint64_t offset = range->offset, end = range->offset + range->size, passed = range->offset, at;
    struct corrupt *corrupt = view->state;
    uint8_t mask;

    for (; offset < end && rulings->count + 2 <= RULINGS_MAX; offset = (offset / GRID_CELL_BYTES + 1) * GRID_CELL_BYTES) {
        if (!hit(view, offset / GRID_CELL_BYTES, &at, &mask) || at < offset || at >= end)
            continue;
        if (at > passed)
            rulings_add(rulings, RULING_PASS, at - passed, 0);
        corrupt->bytes[rulings->count] = range->bytes[at - range->offset] ^ mask;
        rulings->list[rulings->count] = (struct ruling){
            .kind = RULING_REPLACE,
            .size = 1,
            .bytes = &corrupt->bytes[rulings->count],
            .bytes_size = 1,
        };
        rulings->count++;
        passed = at + 1;
    }
    offset = MIN(offset, end);
    if (offset > passed && !rulings_full(rulings))
        rulings_add(rulings, RULING_PASS, offset - passed, 0);
}

extern const struct stream_ops stream_corrupt;
const struct stream_ops stream_corrupt = { .state_size = sizeof(struct corrupt), .on_bytes = on_bytes };
