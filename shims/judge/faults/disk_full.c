/* A quota of bytes that all processes of the page share. A write that fits takes its part of it and is no firing; one that crosses
 * the end is cut to what fits, as a file system does, and fails when nothing does. What can only be whole fails whole. */
#include "shims/judge/call_fault.h"

#include <errno.h>

enum { COUNTS_GROWTH, COUNTS_WRITTEN }; /* in the order of the table's words */

static bool disk_full_applies(const struct judge_facts *facts, const struct plan_rule *rule, struct occasion *occasion)
{
    struct disk_file file;

    (void)rule;
    return !occasion->keeps_result && disk_moves(occasion) && disk_of(facts, occasion, &file);
}

/* Of the bytes that move, those that take no space: they lie before the end of the file. */
static uint64_t free_bytes(const struct call_firing *firing, struct occasion *occasion, uint64_t size)
{
    struct disk_file file;

    if (firing->rule->params.CALL_disk_full.counts == COUNTS_WRITTEN || !disk_of(firing->facts, occasion, &file) ||
        file.offset >= file.size)
        return 0;
    return file.size - file.offset < size ? file.size - file.offset : size;
}

/* Takes up to `wanted` bytes of the quota; with `whole` all of them or none. */
static uint64_t take(const struct call_firing *firing, uint64_t wanted, bool whole)
{
    int64_t bytes = firing->rule->params.CALL_disk_full.bytes;
    uint64_t quota = bytes > 0 ? (uint64_t)bytes : 0, old = __atomic_load_n(&firing->count->taken, __ATOMIC_RELAXED), grant;

    do {
        grant = old >= quota ? 0 : quota - old;
        if (grant >= wanted)
            grant = wanted;
        else if (whole)
            return 0;
    } while (!__atomic_compare_exchange_n(&firing->count->taken, &old, old + grant, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return grant;
}

static bool disk_full_bites(struct call_firing *firing, struct ruling *ruling)
{
    struct occasion occasion = *firing->occasion;
    uint64_t moves = disk_moves(&occasion), size = moves < ruling->size_max ? moves : ruling->size_max, spare, grant;
    bool whole = occasion.keeps_size;

    spare = free_bytes(firing, &occasion, size);
    grant = take(firing, size - spare, whole);
    firing->amount = whole ? grant : spare + grant;
    return spare + grant < size;
}

static void disk_full_act(const struct call_firing *firing, struct ruling *ruling)
{
    if (firing->amount)
        ruling->size_max = firing->amount;
    else
        ruling->error = call_errno(firing->rule->params.CALL_disk_full.error, ENOSPC);
}

const struct call_ops call_disk_full = {
    .ends_call = true,
    .applies = disk_full_applies,
    .bites = disk_full_bites,
    .act = disk_full_act,
};
