/* Two groups of runs of one playbook. Did it get slower, by how much, and what would have been seen at all? Prints nothing. */
#ifndef PERTURB_HISTORY_COMPARE_H
#define PERTURB_HISTORY_COMPARE_H

#include "controller/estimate/compare.h"
#include "controller/history/groups.h"

#include <cjson/cJSON.h>

enum { GROUP_CONVERGENCE, GROUP_LOSS, GROUP_METRICS };

struct group_metric {
    const char *name;
    struct comparison comparison;
    bool known;
    bool by_log_rank; /* some runs never came back: their times are bounds, so the test is on survival */
    double p;         /* after Holm's correction over the metrics */
    const char *word; /* of the judgement */
};

struct group_verdict {
    struct group_metric metric[GROUP_METRICS];
    int status; /* 0, 1 regressed, 2 not judged */
};

/* Refuses groups with other pins; judges convergence and loss, p by Holm over both. 0; -EINVAL or -ENOMEM with an error added. */
int groups_judge(const struct run_group *a, const struct run_group *b, struct group_verdict *ret_verdict, struct errs *errs);

/* As `perturb compare --format json` has it. Returns new. */
cJSON *group_verdict_json(const struct run_group *a, const struct run_group *b, const struct group_verdict *verdict);

#endif
