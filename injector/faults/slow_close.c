/* stream.slow_close: bytes pass; a direction's end goes `delay` after it came, also when the delay is changed meanwhile. */
#include "injector/stream.h"

static void on_eof(const struct stream_view *view, const struct range *range, struct rulings *rulings)
{
    rulings_add(rulings, RULING_HOLD, 0, range->came_ns + (uint64_t)view->params->STREAM_slow_close.delay);
}

extern const struct stream_ops stream_slow_close;
const struct stream_ops stream_slow_close = { .on_eof = on_eof, .rules_again = true };
