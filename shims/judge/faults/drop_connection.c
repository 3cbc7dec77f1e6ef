/* The TCP connection under the descriptor is reset and the call fails; the descriptor stays open. */
#include "shims/judge/call_fault.h"

#include <errno.h>

static bool drop_connection_applies(const struct judge_facts *facts, const struct plan_rule *rule, struct occasion *occasion)
{
    (void)rule;
    judge_settle(facts, occasion);
    return occasion->kind == KIND_TCP;
}

static void drop_connection_act(const struct call_firing *firing, struct ruling *ruling)
{
    ruling->error = call_error(firing, firing->rule->params.CALL_drop_connection.error, ECONNRESET);
    ruling->drop = true;
    ruling->acting = firing->count;
}

const struct call_ops call_drop_connection = {
    .ends_call = true,
    .applies = drop_connection_applies,
    .act = drop_connection_act,
};
