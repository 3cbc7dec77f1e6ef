/* Inside shims/host: what the files of a page's controller side share. */
#ifndef PERTURB_SHIMS_PAGE_PRIV_H
#define PERTURB_SHIMS_PAGE_PRIV_H

#include "shims/host/page.h"

struct page {
    int fd;
    int folder; /* REGISTRY/pages */
    struct control_rules *rules;
    struct control_counters *counters; /* part of the same mapping */
    char name[CONTROL_NAME_MAX];
    char path[REGISTRY_FILE_MAX];
    uint64_t told_epoch; /* what `told` is about */
    bool told[PLAN_RULES_MAX];
};

/* What cannot be told counts as alive. */
bool page_process_lives(pid_t pid, uint64_t start_ticks);

#endif
