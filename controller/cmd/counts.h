/* The table of what fired, shared by `exec`, `ps` and `disarm`. */
#ifndef PERTURB_CMD_COUNTS_H
#define PERTURB_CMD_COUNTS_H

#include "scenarios/vocab/plan.h"

#include <stdio.h>

/* One line a rule: name, matched, eligible, fired, skipped, and when it first fired, counted from origin_ns. */
void counts_print(FILE *out, const struct rule_status *list, size_t count, uint64_t origin_ns);

#endif
