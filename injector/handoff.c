/* The queue between loops. */
#include "injector/handoff.h"

#include <stddef.h>

void handoff_init(struct handoff *handoff)
{
    handoff->written = handoff->read = 0;
    for (uint64_t i = 0; i < HANDOFF_CELLS; i++)
        handoff->cells[i].turn = i;
}

bool handoff_push(struct handoff *handoff, const struct handed *handed)
{
    uint64_t at = __atomic_load_n(&handoff->written, __ATOMIC_RELAXED);
    struct handoff_cell *cell;

    for (;;) {
        uint64_t turn;

        cell = &handoff->cells[at % HANDOFF_CELLS];
        turn = __atomic_load_n(&cell->turn, __ATOMIC_ACQUIRE);
        if (turn < at)
            return false;
        if (turn > at)
            at = __atomic_load_n(&handoff->written, __ATOMIC_RELAXED);
        else if (__atomic_compare_exchange_n(&handoff->written, &at, at + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            break;
    }
    cell->handed = *handed;
    __atomic_store_n(&cell->turn, at + 1, __ATOMIC_RELEASE);
    return true;
}

const struct handed *handoff_peek(const struct handoff *handoff)
{
    const struct handoff_cell *cell = &handoff->cells[handoff->read % HANDOFF_CELLS];

    return __atomic_load_n(&cell->turn, __ATOMIC_ACQUIRE) == handoff->read + 1 ? &cell->handed : NULL;
}

void handoff_drop(struct handoff *handoff)
{
    struct handoff_cell *cell = &handoff->cells[handoff->read % HANDOFF_CELLS];

    __atomic_store_n(&cell->turn, handoff->read + HANDOFF_CELLS, __ATOMIC_RELEASE);
    handoff->read++;
}
