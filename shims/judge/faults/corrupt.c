/* What is read from a file differs from what is on disk. One rule acts on a read: what an earlier one has changed, a later one leaves. */
#include "shims/judge/call_fault.h"

enum { CELL_MIN = 16, MODE_MAX = 2 };

static bool corrupt_applies(const struct judge_facts *facts, const struct plan_rule *rule, struct occasion *occasion)
{
    struct disk_file file;

    (void)rule;
    return (occasion->data || occasion->parts) && occasion->size && disk_of(facts, occasion, &file) &&
           file.offset < file.size;
}

static struct rot rot_of(const struct call_firing *firing)
{
    const struct params_CALL_corrupt *params = &firing->rule->params.CALL_corrupt;

    return (struct rot){
        .count = firing->count,
        .seed = firing->seed,
        .name_hash = firing->rule->name_hash,
        .cell = params->cell >= CELL_MIN ? (uint64_t)params->cell : CELL_MIN,
        .length = params->length > 0 ? (uint64_t)params->length : 1,
        .cells_ppm = params->cells > 0 ? (uint32_t)params->cells : 0,
        .mode = params->mode <= MODE_MAX ? (uint32_t)params->mode : 0,
    };
}

static bool corrupt_bites(struct call_firing *firing, struct ruling *ruling)
{
    struct occasion occasion = *firing->occasion;
    struct rot rot = rot_of(firing);
    struct disk_file file;
    uint64_t size = occasion.size < ruling->size_max ? occasion.size : ruling->size_max;

    if (ruling->error || ruling->rot.count || !disk_of(firing->facts, &occasion, &file) || file.offset >= file.size)
        return false;
    firing->amount = file.offset;
    return disk_rots(&rot, file.offset, size < file.size - file.offset ? size : file.size - file.offset);
}

static void corrupt_act(const struct call_firing *firing, struct ruling *ruling)
{
    ruling->rot = rot_of(firing);
    ruling->rot.offset = firing->amount;
}

const struct call_ops call_corrupt = { .applies = corrupt_applies, .bites = corrupt_bites, .act = corrupt_act };
