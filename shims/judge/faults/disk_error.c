/* A call on a file fails as the disk would have it fail. Other than `fail`: files alone, and each call with its own errno. */
#include "shims/judge/call_fault.h"

#include <errno.h>
#include <fcntl.h>

enum { KIND_IO_ERROR, KIND_READ_ONLY, KIND_STALE }; /* in the order of the table's words */

static bool would_write(const struct occasion *occasion)
{
    if (occasion->points & POINT_BIT(open))
        return (occasion->flags & O_ACCMODE) != O_RDONLY || (occasion->flags & (O_CREAT | O_TRUNC));
    return occasion->points & POINT_BIT(write);
}

static bool disk_error_applies(const struct judge_facts *facts, const struct plan_rule *rule, struct occasion *occasion)
{
    struct disk_file file;

    if (occasion->keeps_result || (rule->params.CALL_disk_error.kind == KIND_READ_ONLY && !would_write(occasion)))
        return false;
    if (occasion->points & POINT_BIT(open))
        return disk_opens(facts, occasion);
    return disk_of(facts, occasion, &file) && (!would_write(occasion) || disk_moves(occasion));
}

static void disk_error_act(const struct call_firing *firing, struct ruling *ruling)
{
    static const int errors[] = { EIO, EROFS, ESTALE };
    uint64_t kind = (uint64_t)firing->rule->params.CALL_disk_error.kind;

    ruling->error = errors[kind <= KIND_STALE ? kind : KIND_IO_ERROR];
}

const struct call_ops call_disk_error = { .ends_call = true, .applies = disk_error_applies, .act = disk_error_act };
