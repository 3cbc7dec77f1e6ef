/* stream.limit_data: exactly so many bytes of the direction pass, counted from the connection's start; then it closes.
 * A connection that is past the limit when the fault comes closes at its next byte. */
#include "injector/stream.h"

#include <sys/param.h>

static void on_bytes(const struct stream_view *view, const struct range *range, struct rulings *rulings)
{
    const struct params_STREAM_limit_data *params = &view->params->STREAM_limit_data;
    uint64_t limit = (uint64_t)params->bytes;
    uint64_t room = limit > range->offset ? limit - range->offset : 0;

    if (room)
        rulings_add(rulings, RULING_PASS, MIN(room, range->size), 0);
    if (room <= range->size)
        rulings_add(rulings, params->close ? RULING_CLOSE_RST : RULING_CLOSE_FIN, 0, 0);
}

extern const struct stream_ops stream_limit_data;
const struct stream_ops stream_limit_data = { .on_bytes = on_bytes };
