/* stream.limit_data: exactly so many bytes of the direction pass, counted from the connection's start, or from the first that the
 * fault sees; then it closes. A connection that is past the limit when the fault comes closes at its next byte. */
#include "injector/stream.h"

#include <sys/param.h>

enum since { SINCE_START, SINCE_FAULT };

struct limit_data {
    bool begun;
    uint64_t base_offset; /* where the count begins */
};

static void on_bytes(const struct stream_view *view, const struct range *range, struct rulings *rulings)
{
    const struct params_STREAM_limit_data *params = &view->params->STREAM_limit_data;
    struct limit_data *state = view->state;
    uint64_t limit = (uint64_t)params->bytes, passed, room;

    if (!state->begun)
        *state = (struct limit_data){ .begun = true, .base_offset = params->since == SINCE_FAULT ? range->offset : 0 };
    passed = range->offset - state->base_offset;
    room = limit > passed ? limit - passed : 0;
    if (room)
        rulings_add(rulings, RULING_PASS, MIN(room, range->size), 0);
    if (room <= range->size)
        rulings_add(rulings, params->close ? RULING_CLOSE_RST : RULING_CLOSE_FIN, 0, 0);
}

extern const struct stream_ops stream_limit_data;
const struct stream_ops stream_limit_data = { .state_size = sizeof(struct limit_data), .on_bytes = on_bytes };
