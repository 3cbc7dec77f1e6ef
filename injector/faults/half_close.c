/* stream.half_close: a direction ends with a FIN, `after` the fault began on it; what still comes for it vanishes. */
#include "injector/stream.h"

static void end_direction(const struct stream_view *view, struct rulings *rulings)
{
    (void)view;
    rulings_add(rulings, RULING_END, 0, 0);
}

static void on_open(const struct stream_view *view, struct rulings *rulings)
{
    if (view->params->STREAM_half_close.after)
        rulings->timer_ns = view->now_ns + (uint64_t)view->params->STREAM_half_close.after;
    else
        end_direction(view, rulings);
}

extern const struct stream_ops stream_half_close;
const struct stream_ops stream_half_close = { .on_open = on_open, .on_change = on_open, .on_timer = end_direction };
