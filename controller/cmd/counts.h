/* The table of what fired, shared by `exec`, `ps` and `disarm`. */
#ifndef PERTURB_CMD_COUNTS_H
#define PERTURB_CMD_COUNTS_H

#include "scenarios/vocab/plan.h"
#include "shims/host/page.h"

#include <stdio.h>

/* One line a rule: name, matched, eligible, fired, skipped, and when it first fired, counted from origin_ns. */
void counts_print(FILE *out, const struct rule_status *list, size_t count, uint64_t origin_ns);

/* When more than one process has been under the page: of each rule that matched, what each process has of it. `list` is of
 * page_status. */
void counts_print_shares(FILE *out, const struct page *page, const struct rule_status *list, size_t count);

#endif
