/* What a run lays its hands on, so that two runs that would disturb each other are told apart from two that would not.
 *
 * A claim is a text. Targets and proxies that a playbook names count by their names within its service ("shop/target:redis"), what
 * exists without the run counts by itself ("pid:42", "unit:redis.service", "cgroup:/x", "address:127.0.0.1:6379"). A fault on the whole
 * machine overlaps everything. */
#ifndef PERTURB_SERVE_CLAIMS_H
#define PERTURB_SERVE_CLAIMS_H

#include "scenarios/playbook/playbook.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

struct claims {
    char **items; /* owned, sorted */
    size_t count;
    bool whole_host;
    int64_t faults; /* at the same time, at most */
};

int claims_of(const struct playbook *playbook, struct claims *ret_claims); /* 0 or -ENOMEM */
void claims_sort(struct claims *claims); /* after items were added by hand */
void claims_done(struct claims *claims);                                   /* accepts a zeroed one */

/* What both have: a claim, borrowed from `a`, or "the whole machine". NULL: nothing. */
const char *claims_overlap(const struct claims *a, const struct claims *b);

/* {"faults": n, "whole_host": bool, "items": [...]} and back. claims_parse: 0, -EINVAL, -ENOMEM. */
cJSON *claims_print(const struct claims *claims);
int claims_parse(const char *text, struct claims *ret_claims);

#endif
