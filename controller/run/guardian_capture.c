/* Capture, as the guardian keeps it: journalled before it is applied, renewed with the lease, ended with the wire executor. */
#include "controller/run/guardian_priv.h"
#include "controller/run/undo.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <string.h>

/* The kernel's own timer: longer than the lease by as much again, since our work on a message extends the lease, but not this. */
enum { LEASES = 2 };

/* A target's group is there before the target, so that its first connect is captured; spawning finds it made. */
static int find_groups(struct guardian *guardian, struct buf *why)
{
    for (size_t i = 0; i < guardian->capture_count; i++) {
        struct capture_spec *spec = &guardian->captures[i];
        int result = 0;

        if (spec->whose != CAPTURE_GROUP || spec->group[0])
            continue;
        result = guardian->group[0] ? group_create(guardian->group, spec->target, spec->group) : -ENOTSUP;
        if (result < 0) {
            buf_printf(why, "target '%s' has no control group (version 2): %s", spec->target, strerror(-result));
            return result;
        }
    }
    return 0;
}

int guarded_capture(struct guardian *guardian, const void *specs, size_t size, struct buf *ret_why)
{
    size_t count = size / sizeof(struct capture_spec);
    char record[CAPTURE_RECORD_MAX];
    int result;

    if (guardian->capture_seq)
        return -EALREADY;
    if (!size || size % sizeof(struct capture_spec) || capture_check(specs, count) < 0)
        return -EPROTO;
    if (!guardian->wire_pid)
        return -ECHILD; /* it died meanwhile: nobody would listen */
    if (!guardian->holds) {
        buf_puts(ret_why, "the kernel knows no tables with an owner, which Linux 5.12 has");
        return -ENOTSUP;
    }
    memcpy(guardian->captures, specs, size);
    guardian->capture_count = count;
    result = find_groups(guardian, ret_why);
    if (result == 0)
        result = capture_record(guardian->spec->run_id, record);
    if (result == 0)
        result = journal_plan(&guardian->journal, UNDO_CAPTURE, record, &guardian->capture_seq);
    if (result < 0) {
        guardian->capture_count = 0;
        return result;
    }
    result = capture_apply(guardian->spec->run_id, guardian->captures, count, LEASES * guardian->spec->lease_ns, ret_why);
    journal_mark(&guardian->journal, guardian->capture_seq, result < 0 ? JOURNAL_MOOT : JOURNAL_APPLIED);
    if (result < 0)
        guardian->capture_count = 0;
    return result;
}

int guarded_capture_renew(struct guardian *guardian, uint64_t lease_ns)
{
    int result;

    if (!guardian->capture_count)
        return 0;
    result = capture_renew(guardian->spec->run_id, guardian->captures, guardian->capture_count, LEASES * lease_ns);
    if (result < 0)
        guardian->capture_count = 0;
    return result;
}

void guarded_capture_end(struct guardian *guardian)
{
    guardian->capture_count = 0;
    if (guardian->capture_seq && guardian->journal.entries[guardian->capture_seq - 1].state == JOURNAL_APPLIED)
        undo_one(&guardian->journal, guardian->capture_seq);
}
