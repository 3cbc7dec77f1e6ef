/* The errnos of a rule: more than one, with weights; and what a rule says that cannot be. */
#ifndef PERTURB_PLAYBOOK_SPEC_ERRORS_H
#define PERTURB_PLAYBOOK_SPEC_ERRORS_H

#include "scenarios/base/buf.h"
#include "scenarios/base/err.h"
#include "scenarios/vocab/plan.h"

/* "ENOSPC"; "EIO:3+EINTR", each with a weight (1 unless told); "any", by the manual pages of the calls (errnos.def). Sets the
 * parameter's slot to the first. 0, or -EINVAL with an error added. */
int spec_errors_parse(struct plan_rule *rule, const struct param_desc *param, const char *text, const char *where, struct errs *errs);

/* The text again, of a rule with more than one errno or any. */
void spec_errors_print(struct buf *out, const struct plan_rule *rule);

/* Warns of errnos that no call at the rule's points returns. */
void spec_errors_warn(const struct plan_rule *rule, const char *where, struct errs *errs);

/* Warns when the rule at `last` can never act, because one before it ends every call that it could act on. */
void spec_rules_warn(const struct plan_rule *const *rules, size_t count, size_t last, const char *where, struct errs *errs);

#endif
