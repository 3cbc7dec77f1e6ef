/* A control page and its processes as one picture. One caller at a time: it looks into rooms of its own. */
#ifndef PERTURB_LOOK_PROCESSES_H
#define PERTURB_LOOK_PROCESSES_H

#include "shims/host/page.h"

#include <cjson/cJSON.h>

enum { PS_UNSEEN_MAX = 256, PS_PROCESSES_MAX = CONTROL_PROCESSES_MAX + PS_UNSEEN_MAX };

/* A row of the tree. */
struct ps_process {
    struct page_process process;
    pid_t parent;     /* 0 when it has ended */
    uint64_t age_ns;  /* 0 when it has ended */
    bool unseen;      /* it runs without the page; `why` says so */
    char why[160]; /* in a few words */
};

struct ps_page {
    const struct page *page;
    struct page_state state;
    size_t rule_count;
    struct rule_status rules[PLAN_RULES_MAX];
    size_t process_count;
    struct ps_process processes[PS_PROCESSES_MAX]; /* parents before children */
    uint16_t depth[PS_PROCESSES_MAX];
};

/* Looks. `ps` borrows the page. */
void ps_look(const struct page *page, struct ps_page *ps);

/* Returns new; a part that found no memory is missing. */
cJSON *ps_json(const struct ps_page *ps);

#endif
