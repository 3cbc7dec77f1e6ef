/* datagram.blackhole: nothing passes and nothing is kept, as behind a pulled cable. */
#include "injector/datagram/datagram.h"

static void rule(const struct datagram_view *view, struct datagram_ruling *ruling)
{
    (void)view;
    ruling->acts = ruling->drops = true;
}

extern const struct datagram_ops datagram_blackhole;
const struct datagram_ops datagram_blackhole = { .rule = rule };
