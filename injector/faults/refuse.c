/* stream.refuse: new connections are reset at once; open ones too when asked for. */
#include "injector/stream.h"

static void on_open(const struct stream_view *view, struct rulings *rulings)
{
    if (view->fresh || view->params->STREAM_refuse.close_open)
        rulings_add(rulings, RULING_CLOSE_RST, 0, 0);
}

extern const struct stream_ops stream_refuse;
const struct stream_ops stream_refuse = { .on_open = on_open, .on_change = on_open };
