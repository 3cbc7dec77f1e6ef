/* stream.reset_peer: the connection is reset `after` the fault began on it, idle or not, open before or not. */
#include "injector/stream.h"

static void reset(const struct stream_view *view, struct rulings *rulings)
{
    (void)view;
    rulings_add(rulings, RULING_CLOSE_RST, 0, 0);
}

static void on_open(const struct stream_view *view, struct rulings *rulings)
{
    if (view->params->STREAM_reset_peer.after)
        rulings->timer_ns = view->now_ns + (uint64_t)view->params->STREAM_reset_peer.after;
    else
        reset(view, rulings);
}

extern const struct stream_ops stream_reset_peer;
const struct stream_ops stream_reset_peer = { .on_open = on_open, .on_change = on_open, .on_timer = reset };
