/* Only some sectors of a write reach the file. A write that lies in one sector is whole or not made, on any disk: no match. */
#include "shims/judge/call_fault.h"

#include "scenarios/base/rng.h"

enum { KEEP_PREFIX, KEEP_SOME };   /* in the order of the table's words */
enum { THEN_REPORT, THEN_CRASH };

static uint64_t sector_of(const struct plan_rule *rule)
{
    int64_t sector = rule->params.CALL_torn_write.sector;

    return sector > 0 ? (uint64_t)sector : 512;
}

static uint64_t boundaries(const struct disk_file *file, uint64_t size, uint64_t sector)
{
    return (file->offset + size - 1) / sector - file->offset / sector;
}

static bool torn_write_applies(const struct judge_facts *facts, const struct plan_rule *rule, struct occasion *occasion)
{
    struct disk_file file;

    return !occasion->keeps_result && !occasion->keeps_size && (occasion->data || occasion->parts) && occasion->size &&
           (!occasion->by_hand_max || occasion->size <= occasion->by_hand_max) && disk_of(facts, occasion, &file) &&
           boundaries(&file, occasion->size, sector_of(rule));
}

static bool torn_write_bites(struct call_firing *firing, struct ruling *ruling)
{
    struct occasion occasion = *firing->occasion;
    struct disk_file file;

    if (ruling->size_max < occasion.size || !disk_of(firing->facts, &occasion, &file))
        return false; /* it has been cut already: the program knows */
    firing->amount = boundaries(&file, occasion.size, sector_of(firing->rule));
    return firing->amount;
}

static void torn_write_act(const struct call_firing *firing, struct ruling *ruling)
{
    const struct params_CALL_torn_write *params = &firing->rule->params.CALL_torn_write;
    uint64_t draw = call_draw(firing, DRAW_SECTORS);

    ruling->torn = (struct torn){
        .count = firing->count,
        .sector = sector_of(firing->rule),
        .draw = draw,
        .kept = 1 + rng_below(draw, firing->amount),
        .is_some = params->keep == KEEP_SOME,
        .then_crash = params->then == THEN_CRASH,
    };
}

const struct call_ops call_torn_write = {
    .ends_call = true,
    .applies = torn_write_applies,
    .bites = torn_write_bites,
    .act = torn_write_act,
};
