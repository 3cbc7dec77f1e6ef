/* stream.limit_time: everything passes until `after` the fault began on the connection; then it closes, traffic or none. */
#include "injector/stream.h"

static void close_now(const struct stream_view *view, struct rulings *rulings)
{
    rulings_add(rulings, view->params->STREAM_limit_time.close ? RULING_CLOSE_RST : RULING_CLOSE_FIN, 0, 0);
}

static void on_open(const struct stream_view *view, struct rulings *rulings)
{
    if (view->params->STREAM_limit_time.after)
        rulings->timer_ns = view->now_ns + (uint64_t)view->params->STREAM_limit_time.after;
    else
        close_now(view, rulings);
}

extern const struct stream_ops stream_limit_time;
const struct stream_ops stream_limit_time = { .on_open = on_open, .on_change = on_open, .on_timer = close_now };
