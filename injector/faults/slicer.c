/* stream.slicer: the stream is cut into small segments with a pause after each.
 *
 * 1. Cuts lie at byte offsets that follow from the offset where the fault began and the draws alone, not from reads.
 *    A change of parameters begins anew at the first byte that is held, whose cuts so far stay.
 * 2. The pause runs from when a segment's last byte went; bytes that come later than that do not wait. */
#include "injector/stream.h"

#include <sys/param.h>

struct slicer {
    bool begun;
    uint64_t cut_offset; /* where the segment under way ends */
    uint64_t next_ns;    /* no byte goes before */
};

static uint64_t segment_size(const struct stream_view *view, uint64_t offset)
{
    const struct params_STREAM_slicer *params = &view->params->STREAM_slicer;
    uint64_t mean = (uint64_t)params->size, variation = (uint64_t)params->variation;
    uint64_t least = mean > variation ? mean - variation : 1;

    return variation ? least + rng_below(stream_draw(view, offset), mean + variation - least + 1) : mean;
}

static void on_bytes(const struct stream_view *view, const struct range *range, struct rulings *rulings)
{
    uint64_t delay_ns = (uint64_t)view->params->STREAM_slicer.delay;
    uint64_t offset = range->offset, end = range->offset + range->size;
    struct slicer *slicer = view->state;

    if (!slicer->begun)
        *slicer = (struct slicer){ .begun = true, .cut_offset = offset + segment_size(view, offset) };
    while (offset < end && !rulings_full(rulings)) {
        uint64_t at_ns = MAX(slicer->next_ns, range->came_ns);

        if (slicer->cut_offset > end) {
            rulings_add(rulings, at_ns > range->came_ns ? RULING_HOLD : RULING_PASS, end - offset, at_ns);
            return;
        }
        rulings_add(rulings, RULING_SPLIT, slicer->cut_offset - offset, at_ns);
        offset = slicer->cut_offset;
        slicer->cut_offset += segment_size(view, offset);
        slicer->next_ns = at_ns + delay_ns;
    }
}

static void on_change(const struct stream_view *view, struct rulings *rulings)
{
    (void)rulings;
    *(struct slicer *)view->state = (struct slicer){ .begun = false };
}

extern const struct stream_ops stream_slicer;
const struct stream_ops stream_slicer = {
    .state_size = sizeof(struct slicer),
    .on_bytes = on_bytes,
    .on_change = on_change,
    .rules_again = true,
};
