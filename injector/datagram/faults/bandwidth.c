/* datagram.bandwidth: a token bucket with a queue before it that drops its tail.
 *
 * 1. A datagram that may go at once never counts as waiting; one that may not is dropped when `limit` datagrams wait, or when it would
 *    raise the bytes that wait above `limit_bytes`. One that is dropped costs no rate.
 * 2. Those that wait keep their order. */
#include "injector/bucket.h"
#include "injector/datagram/datagram.h"

struct line {
    struct bucket bucket;
    uint64_t waiting, waiting_bytes;
};

static void rule(const struct datagram_view *view, struct datagram_ruling *ruling)
{
    const struct params_DATAGRAM_bandwidth *params = &view->params->DATAGRAM_bandwidth;
    uint64_t burst_ns = bucket_burst_ns((uint64_t)params->burst, (uint64_t)params->rate), paid_ns;
    struct line *line = view->state;
    struct bucket before = line->bucket;

    paid_ns = bucket_pay(&line->bucket, view->came_ns, view->size, (uint64_t)params->rate);
    if (paid_ns <= view->came_ns + burst_ns)
        return;
    ruling->acts = true;
    if (line->waiting >= (uint64_t)params->limit ||
        (params->limit_bytes && line->waiting_bytes + view->size > (uint64_t)params->limit_bytes)) {
        line->bucket = before;
        ruling->drops = true;
        return;
    }
    line->waiting++;
    line->waiting_bytes += view->size;
    ruling->at_ns = paid_ns - burst_ns;
}

static void left(const struct datagram_view *view)
{
    struct line *line = view->state;

    line->waiting--;
    line->waiting_bytes -= view->size;
}

extern const struct datagram_ops datagram_bandwidth;
const struct datagram_ops datagram_bandwidth = {
    .state_size = sizeof(struct line),
    .scope_slot = DATAGRAM_SLOT(bandwidth, scope),
    .rule = rule,
    .left = left,
};
