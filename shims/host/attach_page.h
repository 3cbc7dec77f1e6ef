/* Programs that run, with a control page of their own: the shim is brought into them (attach.h) and taken out of action again. Shared
 * by `perturb attach` and `detach`, the run engine, and its undo. Control plane. */
#ifndef PERTURB_SHIMS_ATTACH_PAGE_H
#define PERTURB_SHIMS_ATTACH_PAGE_H

#include "shims/host/attach.h"
#include "shims/host/page.h"

/* Makes the page, in place of one of that name that nobody uses (of a process that had the number, or of an attach that was killed).
 * Returns new; errors are those of page_create. */
int attach_page_make(const struct registry *registry, const char *name, struct page **ret_page);

/* Brings the shim, with that page, into a process. Nothing is armed by it. 0; -ETIMEDOUT: no thread was at a safe place in time, and
 * it may be tried again; or another negative errno; the reason is in `why`. */
int attach_page_add(const struct page *page, pid_t pid, int deadline_ms, struct attach_outcome *ret_outcome, char why[ATTACH_WHY_MAX]);

/* Told of each process as it is detached: `result` 0 with the outcome, or a negative errno with the reason. */
typedef void detach_report(void *context, pid_t pid, int result, const struct attach_outcome *outcome, const char *why);

/* Releases the page, puts back the slots of all living processes under it (children that they forked too), and removes it.
 * `deadline_ms` is for one attempt of one process, of which there are three. 0; -EBUSY when a process resisted: the page stays;
 * or -errno of the page. `report` may be NULL. */
int attach_page_end(struct page *page, int deadline_ms, detach_report *report, void *context);

#endif
