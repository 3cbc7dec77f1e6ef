/* The call says that all was written, sent or synced, and is not made. */
#include "shims/judge/call_fault.h"

/* What the kernel moves at most in one call (MAX_RW_COUNT, read(2)). */
enum { TRANSFER_MAX = 0x7ffff000 };

static bool fake_success_applies(const struct judge_facts *facts, const struct plan_rule *rule, struct occasion *occasion)
{
    (void)facts;
    (void)rule;
    return !occasion->keeps_result && !occasion->is_space && (occasion->size || (occasion->points & POINT_BIT(fsync)));
}

static void fake_success_act(const struct call_firing *firing, struct ruling *ruling)
{
    uint64_t size = firing->occasion->size;

    ruling->fake = true;
    ruling->value = 0;
    if (!(firing->occasion->points & POINT_BIT(fsync)))
        ruling->value = size < TRANSFER_MAX ? (int64_t)size : TRANSFER_MAX;
    if (firing->occasion->unit)
        ruling->value /= (int64_t)firing->occasion->unit;
}

const struct call_ops call_fake_success = { .ends_call = true, .applies = fake_success_applies, .act = fake_success_act };
