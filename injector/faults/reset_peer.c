/* stream.reset_peer: the connection is reset `after` the fault began on it, idle or not, open before or not. `since` data: after
 * the direction's first byte or end came, which waits meanwhile; what stays idle is left alone. */
#include "injector/stream.h"

enum since { SINCE_FAULT, SINCE_DATA };

struct reset_peer {
    bool begun; /* something came */
};

static void on_timer(const struct stream_view *view, struct rulings *rulings)
{
    (void)view;
    rulings_add(rulings, RULING_CLOSE_RST, 0, 0);
}

static void begin(const struct stream_view *view, struct rulings *rulings)
{
    if (view->params->STREAM_reset_peer.after)
        rulings->timer_ns = view->now_ns + (uint64_t)view->params->STREAM_reset_peer.after;
    else
        on_timer(view, rulings);
}

static void on_open(const struct stream_view *view, struct rulings *rulings)
{
    const struct reset_peer *state = view->state;

    if (view->params->STREAM_reset_peer.since == SINCE_FAULT || state->begun)
        begin(view, rulings);
}

static void on_bytes(const struct stream_view *view, const struct range *range, struct rulings *rulings)
{
    struct reset_peer *state = view->state;

    (void)range;
    if (view->params->STREAM_reset_peer.since == SINCE_FAULT)
        return;
    state->begun = true;
    begin(view, rulings);
    if (!rulings->count)
        rulings_add(rulings, RULING_STALL, 0, 0);
}

extern const struct stream_ops stream_reset_peer;
const struct stream_ops stream_reset_peer = {
    .state_size = sizeof(struct reset_peer),
    .on_open = on_open,
    .on_bytes = on_bytes,
    .on_eof = on_bytes,
    .on_timer = on_timer,
    .on_change = on_open,
};
