/* The call moves fewer bytes than it was asked to. A transfer of that size or less, and what must be moved whole, is no match. */
#include "shims/judge/call_fault.h"

static bool short_io_applies(const struct judge_facts *facts, const struct plan_rule *rule, struct occasion *occasion)
{
    if (occasion->keeps_size)
        return false;
    judge_settle(facts, occasion);
    return occasion->size > (uint64_t)rule->params.CALL_short_io.size && occasion->kind != KIND_OTHER &&
           occasion->kind != KIND_PACKETS;
}

static void short_io_act(const struct call_firing *firing, struct ruling *ruling)
{
    uint64_t size = (uint64_t)firing->rule->params.CALL_short_io.size;

    if (size >= ruling->size_max)
        return;
    ruling->size_max = size;
    ruling->acting = firing->count;
}

const struct call_ops call_short_io = { .applies = short_io_applies, .act = short_io_act };
