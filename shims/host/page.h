/* The controller's side of a control page (shims/include/control.h): create, arm, renew, release, count.
 *
 * 1. Each change takes the file's lock (flock) for its own duration, so several processes may write a page one after
 *    another; epochs only rise and the last one wins: whoever held an older one gets -ESTALE.
 * 2. A page is 0600 and of our uid, opened without following links, in REGISTRY/pages.
 * 3. What is armed ends by itself at the lease; nothing here has to be alive for that. */
#ifndef PERTURB_SHIMS_PAGE_H
#define PERTURB_SHIMS_PAGE_H

#include "scenarios/vocab/plan.h"
#include "shims/host/registry.h"
#include "shims/include/control.h"

#include <sys/types.h>

struct page;

/* Makes REGISTRY/pages/NAME (letters, digits, '.', '-', '_', below CONTROL_NAME_MAX), inert, owned by this process.
 * Returns new; -EINVAL for the name, -EEXIST, -errno. Pages that nobody can use any more are swept on the way. */
int page_create(const struct registry *registry, const char *name, struct page **ret_page);

/* Opens an existing one. Returns new; -ENOENT, -EPERM (not ours), -EPROTO (another version or size), -errno. */
int page_open(const struct registry *registry, const char *name, struct page **ret_page);

struct page *page_close(struct page *page);   /* leaves the file and what is armed; accepts NULL, returns NULL */
int page_remove(struct page *page);           /* releases, then unlinks; the handle still wants page_close. 0 or -errno */

const char *page_name(const struct page *page); /* borrowed from the page */
const char *page_path(const struct page *page); /* the value of PERTURB_PAGE for a target; borrowed */

/* Says that the target is supervised (shims/seccomp) and at which points; before it starts, once. */
void page_supervise(struct page *page, uint64_t points);

/* Arms the call-layer rules of `plan` (those of other layers are left out; scopes are the caller's business) and the redirects for
 * ttl_ns from now. Replaces everything armed before; counts start at 0.
 * 0; -EINVAL, -EPROTO (plan_check); -E2BIG too many redirects; -ESTALE epoch not above the page's last; -errno of flock. */
int page_publish(struct page *page, const struct plan *plan, const struct control_redirect *redirects, size_t redirect_count,
                 uint64_t ttl_ns);

/* Moves the lease to ttl_ns from now. 0; -ESTALE when another epoch is armed, none is, or the lease has already ended. */
int page_renew(struct page *page, uint64_t epoch, uint64_t ttl_ns);

/* Nothing acts any more; sleepers are woken; the counts stay readable. Idempotent. 0 or -errno. */
int page_release(struct page *page);

/* Release without the lock, for panic. */
void page_neutralise(struct page *page);

/* 0 when nothing can act: armed word 0 or lease over. -EBUSY otherwise. */
int page_verify(const struct page *page);

/* 0 when no rule can act, though connects may still be redirected. */
int page_verify_rules(const struct page *page);

/* What is armed. */
struct page_state {
    uint64_t epoch, seed;
    uint64_t armed_ns; /* of the last publication */
    uint64_t lease_ns; /* 0 when nothing is armed */
    uint32_t rule_count;
    uint32_t owner_pid;
    bool supervised;  /* by shims/seccomp, at these points; else the target has the shim */
    uint64_t points;
    bool armed;       /* something can act now */
    bool owner_alive;
    uint64_t refused, unlisted, lost; /* of struct control_counters */
};
void page_state(const struct page *page, struct page_state *ret_state);

/* Pages of the registry that no handle can be had of, at most `max`: of another version, cut short or damaged. Returns how many. */
struct page_strange {
    char name[64];
    uint32_t version; /* that it says it is of; 0: it does not even say that it is a page */
};
size_t page_strangers(const struct registry *registry, struct page_strange *list, size_t max);

/* Counts of the rules of the last publication, in its order, at most `max`. Returns how many were written. */
size_t page_status(const struct page *page, struct rule_status *list, size_t max);

/* The rule at an index of the last publication, copied. 0 or -ENOENT. */
int page_rule(const struct page *page, size_t index, struct plan_rule *ret_rule);

/* Has the target note what it does with locks (shims/include/locks.h), for ttl_ns from now: WATCH_ flags, 0 ends it; with WATCH_PROFILE
 * one in `sample` contended acquisitions is timed. No fault: it neither arms nor survives panic, and release leaves it on. What was
 * noted before is void, but for the profile. 0 or -errno of flock. */
int page_watch(struct page *page, uint32_t flags, uint32_t sample, uint64_t ttl_ns);

/* Moves the end of it to ttl_ns from now. 0; -ESTALE when nothing is watched any more. */
int page_watch_renew(struct page *page, uint64_t ttl_ns);

/* What it noted, borrowed from the page, and written while it is read; and the number of this watching, 0 when there was none. */
struct control_locks *page_locks(const struct page *page);
uint32_t page_watch_number(const struct page *page);

/* How many redirects the last publication has. */
size_t page_redirects(const struct page *page);

/* Places that made the calls on which rules with each_site have acted since the last publication, at most `max`. */
struct page_site {
    uint32_t rule;   /* its index */
    uint64_t offset; /* of the return address in the module: addr2line -e MODULE takes it less 1 */
    uint64_t first_ns, stream, position;
    char module[CONTROL_MODULE_MAX]; /* printable */
};
size_t page_sites(const struct page *page, struct page_site *list, size_t max);

/* First firings that were not told yet, at most `max`; each rule is told once a publication per handle. */
struct page_event {
    char name[RULE_NAME_MAX];
    uint64_t epoch;
    uint64_t ns; /* CLOCK_MONOTONIC, read in the target just before the effect */
    uint64_t stream, position;
};
size_t page_events(struct page *page, struct page_event *list, size_t max);

/* A process under the page. */
struct page_process {
    pid_t pid;   /* as we know it; 0: it has gone */
    pid_t inner; /* as it knows itself, in its pid namespace */
    uint64_t start_ticks;
    uint64_t stream;
    uint64_t way_out; /* address of perturb_detach in it; 0: it was started with the shim, or is supervised */
    uint64_t asleep;         /* of its calls, now */
    uint64_t matched, fired; /* of the first CONTROL_SHARES_MAX rules of the last publication */
    uint32_t slot;           /* for page_share */
    char comm[16];
};

/* Living ones that have entered the page, at most `max`. Returns how many. */
size_t page_processes(const struct page *page, struct page_process *list, size_t max);

/* The same with those that have gone (pid 0) and whose place nobody has taken yet. */
size_t page_listed(const struct page *page, struct page_process *list, size_t max);

/* What a process has of the counts of one rule; zeros past CONTROL_SHARES_MAX. */
void page_share(const struct page *page, uint32_t slot, size_t rule, struct control_share *ret_share);

/* Living processes that descend from the page's, or were of them, and do not have it mapped: started without the library (static,
 * set-user-ID, a cleared environment), or where the page's path cannot be seen (another mount namespace). At most `max`; returns
 * how many. None under a supervisor, which no child escapes. */
size_t page_unseen(const struct page *page, struct page_process *list, size_t max);

/* Fault points in the code of the page's processes, at most `max`; `hits` are of all of them. Texts end, and are the target's. */
struct page_code {
    char name[RULE_LABEL_MAX], file[CONTROL_CODE_FILE_MAX];
    uint32_t line;
    bool gives_error;
    uint64_t hits;
};
size_t page_codes(const struct page *page, struct page_code *list, size_t max);

/* Calls `each` with every readable page of the registry (open for the call only) until it returns non-zero, which is then
 * returned. Foreign and broken files are passed over; -errno when a page could not be looked at for another reason (err_is_shortage):
 * the others were. */
int page_each(const struct registry *registry, int (*each)(struct page *page, void *context), void *context);

/* Removes pages whose owner has gone, whose lease is over and which no living process uses. Returns how many. */
size_t page_sweep(const struct registry *registry);

#endif
