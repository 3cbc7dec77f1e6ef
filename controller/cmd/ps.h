/* Inside `perturb ps`: a page and its processes as one picture, for people and as JSON. */
#ifndef PERTURB_CMD_PS_H
#define PERTURB_CMD_PS_H

#include "shims/host/page.h"

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

void ps_print_text(const struct ps_page *ps);
int ps_print_json(const struct ps_page *ps); /* one line; 0 or -ENOMEM */

#endif
