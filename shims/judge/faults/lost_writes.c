/* What a write replaces is kept until its file is synced, for whoever finds the process killed (shims/include/unsynced.h). */
#include "shims/judge/call_fault.h"

static bool lost_writes_applies(const struct judge_facts *facts, const struct plan_rule *rule, struct occasion *occasion)
{
    struct disk_file file;

    if (!rule->selector.path[0] || rule->selector.path_negate) /* the page is not trusted: it takes a path to lose data */
        return false;
    if (!disk_of(facts, occasion, &file))
        return false;
    return (occasion->points & POINT_BIT(fsync)) || (occasion->size && !file.is_synced);
}

/* A sync is no firing: nothing is lost by it. */
static bool lost_writes_bites(struct call_firing *firing, struct ruling *ruling)
{
    if (ruling->unsynced.count)
        return false;
    if (!(firing->occasion->points & POINT_BIT(fsync)))
        return !ruling->error;
    ruling->unsynced = (struct unsynced){ .count = firing->count, .is_sync = true };
    return false;
}

static void lost_writes_act(const struct call_firing *firing, struct ruling *ruling)
{
    ruling->unsynced = (struct unsynced){ .count = firing->count };
}

const struct call_ops call_lost_writes = { .applies = lost_writes_applies, .bites = lost_writes_bites, .act = lost_writes_act };
