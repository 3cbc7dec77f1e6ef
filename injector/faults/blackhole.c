/* stream.blackhole: nothing is forwarded and, once something came, nothing more is read, as behind a pulled cable. A new
 * connection is not dialled on either. At release what was held flows on, ends included. */
#include "injector/stream.h"

static void on_open(const struct stream_view *view, struct rulings *rulings)
{
    if (view->fresh && view->direction == DIRECTION_TO_UPSTREAM)
        rulings_add(rulings, RULING_STALL, 0, 0);
}

static void on_bytes(const struct stream_view *view, const struct range *range, struct rulings *rulings)
{
    (void)view;
    (void)range;
    rulings_add(rulings, RULING_STALL, 0, 0);
}

extern const struct stream_ops stream_blackhole;
const struct stream_ops stream_blackhole = { .on_open = on_open, .on_bytes = on_bytes, .on_eof = on_bytes };
