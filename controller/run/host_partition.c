/* partition: a table of the kernel's packet filter, which ends by itself at the lease. */
#include "controller/run/guardian_priv.h"
#include "controller/run/undo.h"

#include "scenarios/base/clock.h"
#include "shims/host/nft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

static int cut_check(struct guardian *guardian, const struct plan_rule *rule, struct guarded_target *target, struct buf *why)
{
    struct cut cut;
    int result = nft_is_possible(why);

    return result < 0 ? result : host_cut_place(rule, target, guarded_find(guardian, rule->to), &cut, why);
}

static int apply(struct guardian *guardian, struct host_action *action)
{
    char record[CUT_RECORD_MAX];
    uint64_t now_ns;
    struct buf why;
    int result = cut_record(action->cut, record);

    if (result == 0)
        result = host_journal(guardian, action, UNDO_CUT, record);
    if (result < 0)
        return result;
    buf_init(&why, 1024);
    now_ns = clock_now_ns();
    result = cut_apply(action->cut, MAX(guardian->lease_end_ns, now_ns + NS_PER_S / 2) - now_ns, &why);
    buf_done(&why);
    if (result == 0) {
        host_acted(guardian, action, now_ns);
        action->counts = (struct rule_counts){ .first_ns = now_ns };
    }
    return result;
}

static int cut_begin(struct guardian *guardian, struct host_action *action, struct guarded_target *target)
{
    struct buf why;
    int result;

    action->cut = calloc(1, sizeof(*action->cut));
    if (!action->cut)
        return -ENOMEM;
    buf_init(&why, 1024);
    result = host_cut_place(&action->rule, target, guarded_find(guardian, action->rule.to), action->cut, &why);
    buf_done(&why);
    if (result < 0)
        return result;
    cut_name(guardian->spec->run_id, ++guardian->cut_count, action->cut->table);
    return apply(guardian, action);
}

/* Its places where it could act are the packets that it cut. */
static void cut_take_count(struct host_action *action)
{
    uint64_t packets, bytes;

    if (!action->cut || cut_count(action->cut, &packets, &bytes) < 0)
        return;
    if (packets > action->counts.fired)
        action->counts.last_ns = clock_now_ns();
    action->counts.matched = action->counts.eligible = action->counts.fired = packets;
    action->in_force = bytes;
}

static int renew(struct host_action *action, uint64_t ttl_ns)
{
    return cut_renew(action->cut, ttl_ns);
}

/* Stopped first, so that the count is the last one. */
static void measure(struct guardian *guardian, struct host_action *action)
{
    if (!action->counts.first_ns)
        return;
    (void)cut_stop(action->cut);
    cut_take_count(action);
    host_tell(guardian, action, "packets_cut", action->counts.fired);
    host_tell(guardian, action, "cut_bytes", action->in_force);
}

const struct host_fault host_partition = { .check = cut_check, .begin = cut_begin, .count = cut_take_count, .renew = renew, .measure = measure };
