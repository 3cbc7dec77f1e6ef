/* stream.timeout: bytes are thrown away; the connection closes `after` the first one thrown away, or, when none comes, `after`
 * the fault began. `since` last: after the last one thrown away. `after` 0 never closes. What lost bytes is closed at release: its stream has a hole. */
#include "injector/stream.h"

enum since { SINCE_FIRST, SINCE_LAST };

struct timeout {
    bool affected;
};

static void restart(const struct stream_view *view, struct rulings *rulings)
{
    if (view->params->STREAM_timeout.after)
        rulings->timer_ns = view->now_ns + (uint64_t)view->params->STREAM_timeout.after;
}

static void on_open(const struct stream_view *view, struct rulings *rulings)
{
    restart(view, rulings);
}

static void on_bytes(const struct stream_view *view, const struct range *range, struct rulings *rulings)
{
    struct timeout *timeout = view->state;

    if (!timeout->affected || view->params->STREAM_timeout.since == SINCE_LAST)
        restart(view, rulings);
    timeout->affected = true;
    rulings_add(rulings, RULING_DISCARD, range->size, 0);
}

static void on_eof(const struct stream_view *view, const struct range *range, struct rulings *rulings)
{
    on_bytes(view, range, rulings);
}

static void on_timer(const struct stream_view *view, struct rulings *rulings)
{
    (void)view;
    rulings_add(rulings, RULING_CLOSE_FIN, 0, 0);
}

static void end(const struct stream_view *view, struct rulings *rulings)
{
    const struct timeout *timeout = view->state;

    if (timeout->affected)
        rulings_add(rulings, RULING_CLOSE_FIN, 0, 0);
}

extern const struct stream_ops stream_timeout;
const struct stream_ops stream_timeout = {
    .state_size = sizeof(struct timeout),
    .on_open = on_open,
    .on_change = on_open,
    .on_bytes = on_bytes,
    .on_eof = on_eof,
    .on_timer = on_timer,
    .end = end,
};
