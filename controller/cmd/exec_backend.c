/* Which way the faults of `perturb exec` get into the program: the shim, or a supervisor. */
#include "controller/cmd/exec.h"

#include <errno.h>
#include <string.h>

/* What a supervisor cannot evaluate or carry out is an error now. */
static int check_faults(const struct exec_options *options, struct errs *errs)
{
    for (size_t i = 0; i < options->spec_count; i++) {
        const struct plan_rule *rule = &options->specs[i].rule;
        const char *why;

        if (options->specs[i].to[0])
            continue;
        why = inspect_beyond_supervisor((enum fault_id)rule->fault, rule->points);
        if (!why && selector_asks_caller(&rule->selector))
            why = rule->selector.each_site ? "the selector each_site needs the shim: a supervisor does not know who called" :
                                            "the selector caller needs the shim: a supervisor does not know who called";
        if (why)
            errs_add(errs, ERR_WORLD, rule->name, "not by --backend seccomp: %s", why);
    }
    return errs->count ? -EOPNOTSUPP : 0;
}

/* The one asked for, if it can do anything. */
static int check_asked(const struct exec_options *options, struct inspection *inspection, struct errs *errs)
{
    const char *why = options->backend == BACKEND_PRELOAD ? inspect_unreachable(inspection) : inspect_unsupervisable(inspection);

    return why && options->spec_count ? errs_add(errs, ERR_WORLD, inspection->path, "%s", why) : 0;
}

int exec_backend_choose(struct exec_backend *backend, const struct exec_options *options, struct inspection *inspection,
                        struct errs *errs)
{
    const char *why = NULL;

    backend->kind = options->backend ? options->backend : BACKEND_PRELOAD;
    if (!inspection)
        return backend->kind == BACKEND_SUPERVISE ? check_faults(options, errs) : 0;
    if (options->backend && check_asked(options, inspection, errs) < 0)
        return -ENOTSUP;
    if (!options->backend) {
        backend->kind = inspect_backend(inspection, &why);
        if (!backend->kind && options->spec_count)
            return errs_add(errs, ERR_WORLD, inspection->path, "%s", inspect_unreachable(inspection));
        if (!backend->kind)
            backend->kind = BACKEND_PRELOAD; /* nothing is asked of it */
    }
    if (backend->kind != BACKEND_SUPERVISE)
        return 0;
    if (why)
        fprintf(stderr, "perturb: exec: backend seccomp, because %s\n", why);
    return check_faults(options, errs);
}

static uint64_t points_of(const struct exec_options *options)
{
    uint64_t points = options->spec_count ? 0 : POINTS_FILE | POINTS_SOCKET; /* what `perturb arm` may ask for later */

    for (size_t i = 0; i < options->spec_count; i++)
        if (!options->specs[i].to[0])
            points |= options->specs[i].rule.points;
    return points;
}

int exec_backend_prepare(struct exec_backend *backend, const struct exec_options *options, bool redirects, struct page *page,
                         struct errs *errs)
{
    const struct supervise_spec spec = { points_of(options), redirects, options->refuse_io_uring, page_path(page) };
    int result;

    if (backend->kind != BACKEND_SUPERVISE)
        return 0;
    result = supervise_prepare(&spec, &backend->supervise);
    if (result < 0)
        return errs_add(errs, ERR_WORLD, "--backend seccomp", "%s",
                        result == -ENOTSUP ? "this kernel or container has no seccomp user notification (Linux 5.5)" : strerror(-result));
    page_supervise(page, spec.points);
    return 0;
}

int exec_backend_attend(struct exec_backend *backend, pid_t child, struct errs *errs)
{
    const char *step;
    int result;

    if (backend->kind != BACKEND_SUPERVISE)
        return 0;
    result = supervise_attend(backend->supervise, child, &step);
    if (result < 0)
        return errs_add(errs, ERR_WORLD, "--backend seccomp", "%s: %s", step,
                        result == -EBUSY ? "a supervisor attends this process already" : strerror(-result));
    if (supervise_dropped_privileges(backend->supervise))
        fprintf(stderr, "perturb: exec: no_new_privs is set: set-user-ID programs run without their privileges below\n");
    return 0;
}
