/* Inside `perturb exec`: the parts that its files share. */
#ifndef PERTURB_CMD_EXEC_H
#define PERTURB_CMD_EXEC_H

#include "controller/run/executor.h"
#include "scenarios/playbook/spec.h"
#include "shims/host/page.h"

enum { EXEC_FAULTS_MAX = 64, EXEC_WIRES_MAX = CONTROL_REDIRECTS_MAX, EXEC_FAILED = 125 };

#define EXEC_TTL_NS UINT64_C(5000000000) /* what is armed outlives us by this at most; renewed at a third of it */

struct exec_options {
    struct fault_spec specs[EXEC_FAULTS_MAX];
    size_t spec_count;
    uint64_t seed;
    char **argv; /* the program's, borrowed */
};

/* The wire executor that carries the faults with `to=`: a child process, and a proxy for each destination. */
struct exec_wire {
    struct executor executor; /* fd -1: there is none */
    int pid;
    size_t redirect_count;
    struct control_redirect redirects[EXEC_WIRES_MAX];
};

/* A plan of those specs that go to the wire, or of those that do not. Returns new (free); NULL when there is no memory. */
struct plan *exec_plan(const struct exec_options *options, bool wire);

/* Starts the executor when a spec has `to=`, opens the proxies, arms them. 0 or a negative errno with an error added. `page` is the
 * path of the program's control page, out of whose detours the proxies learn where each connect was going.
 * Afterwards `redirects` says which connects go where. */
int exec_wire_start(struct exec_wire *wire, const struct exec_options *options, const char *page, struct errs *errs);
int exec_wire_renew(struct exec_wire *wire);
size_t exec_wire_status(struct exec_wire *wire, struct rule_status *list, size_t max); /* 0 also when it does not answer */
void exec_wire_stop(struct exec_wire *wire); /* releases, drains, reaps */

#endif
