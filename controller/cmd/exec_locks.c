/* Watching the locks of the program that `perturb exec` runs. */
#include "controller/cmd/exec.h"

#include "controller/base/json.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/file.h"
#include "scenarios/playbook/value.h"
#include "shims/host/preload.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

int exec_locks_option(struct exec_options *options, int letter, const char *text, struct errs *errs)
{
    int64_t value;

    switch (letter) {
    case 'w':
        options->locks.waits = true;
        if (text && value_parse("watch-locks", UNIT_DURATION, NULL, 1000000, INT64_MAX, text, "--watch-locks", errs, &value) < 0)
            return -EINVAL;
        options->locks.stuck_ns = text ? (uint64_t)value : LOCK_STUCK_NS;
        return 0;
    case 'p':
        if (text && value_parse("lock-profile", UNIT_COUNT, NULL, 1, 1000000, text, "--lock-profile", errs, &value) < 0)
            return -EINVAL;
        options->locks.sample = text ? (uint32_t)value : 1;
        return 0;
    case 'd':
        if (lock_break_parse(text, &options->locks.breaks) < 0)
            return errs_add(errs, ERR_USAGE, "--break-deadlock", "'%s' is none of off, edeadlk, crash", text);
        if (!options->locks.waits)
            return exec_locks_option(options, 'w', NULL, errs);
        return 0;
    default:
        options->lock_snapshot = text;
        return 0;
    }
}

/* Releases and conditions are wrapped by the other library only. */
static bool needs_watching(const struct exec_options *options)
{
    for (size_t i = 0; i < options->spec_count; i++)
        if (!options->specs[i].to[0] && (options->specs[i].rule.points & PRELOAD_WATCHING))
            return true;
    return options->locks.waits;
}

int exec_library(const struct exec_options *options, char *path, size_t size, struct errs *errs)
{
    bool watching = needs_watching(options);
    int result = preload_find(path, size);

    if (!result && watching)
        result = preload_watching(path, size);
    if (result < 0)
        return errs_add(errs, ERR_WORLD, watching ? "libperturb-watch.so" : "libperturb.so", "%s",
                        result == -ENOENT ? "not found beside perturb nor in ../lib/perturb; PERTURB_LIB may name it" :
                                            "its path holds a blank or ':', which LD_PRELOAD cannot carry");
    return 0;
}

int exec_locks_begin(const struct exec_options *options, enum backend backend, struct page *page, struct lock_watcher **ret_watcher,
                     struct errs *errs)
{
    int result;

    if (!options->locks.waits && !options->locks.sample)
        return 0;
    if (backend != BACKEND_PRELOAD)
        return errs_add(errs, ERR_WORLD, "--watch-locks", "locks are seen by the shim only, and it cannot be loaded into this program");
    result = locks_open(page, &options->locks, EXEC_TTL_NS, ret_watcher);
    return result < 0 ? errs_add(errs, ERR_INTERNAL, "exec", "watching locks: %s", strerror(-result)) : 0;
}

static int write_snapshot(const char *path, const cJSON *snapshot)
{
    AUTO_FREE char *text = json_pretty(snapshot);
    FILE *file = text ? fopen(path, "we") : NULL;
    int result;

    if (!file)
        return text ? -errno : -ENOMEM;
    result = fputs(text, file) < 0 || fputc('\n', file) < 0 ? -EIO : 0;
    return fclose(file) ? -errno : result;
}

void exec_locks_look(const struct exec_options *options, struct lock_watcher *watcher, int pid)
{
    struct lock_finding finding;
    char path[PATH_MAX];
    int result;

    locks_look(watcher, &finding);
    if (!finding.snapshot)
        return;
    if (options->lock_snapshot)
        snprintf(path, sizeof(path), "%s", options->lock_snapshot);
    else
        snprintf(path, sizeof(path), "perturb-locks-%d.json", pid);
    result = write_snapshot(path, finding.snapshot);
    cJSON_Delete(finding.snapshot);
    fprintf(stderr, "perturb: exec: %s\n", finding.text);
    if (result < 0)
        fprintf(stderr, "perturb: exec: %s: %s\n", path, strerror(-result));
    else
        fprintf(stderr, "perturb: exec: saved in %s; `perturb diagnose %s` explains it\n", path, path);
}
