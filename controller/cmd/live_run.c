/* Finding the run that is meant. */
#include "controller/cmd/live_run.h"

#include "controller/store/store.h"
#include "shims/host/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void take_live(const struct live_run *run, struct chosen_run *ret_run)
{
    *ret_run = (struct chosen_run){ .guardian = run->guardian, .lives = true };
    memcpy(ret_run->id, run->id, sizeof(ret_run->id));
    memcpy(ret_run->directory, run->directory, sizeof(ret_run->directory));
}

/* 1 when a directory is meant, 0 when an id is, negative when it cannot be told. */
static int names_directory(const char *path, struct errs *errs)
{
    struct stat status;

    if (!strchr(path, '/'))
        return 0;
    if (stat(path, &status) < 0)
        return errs_add(errs, errno == ENOENT || errno == ENOTDIR ? ERR_USAGE : ERR_WORLD, path, "%s", strerror(errno));
    return S_ISDIR(status.st_mode) ? 1 : errs_add(errs, ERR_USAGE, path, "is not the directory of a run");
}

/* By its directory: the registration is found by the same, its id is the last part else. */
static void take_directory(const char *path, const struct live_run *runs, size_t count, struct chosen_run *ret_run)
{
    char *real = realpath(path, NULL);
    const char *where = real ? real : path, *slash = strrchr(where, '/');

    *ret_run = (struct chosen_run){ .lives = false };
    snprintf(ret_run->directory, sizeof(ret_run->directory), "%s", where);
    snprintf(ret_run->id, sizeof(ret_run->id), "%.60s", slash ? slash + 1 : where);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(runs[i].directory, where))
            take_live(&runs[i], ret_run);
    free(real);
}

static int take_ended(const char *key, struct chosen_run *ret_run, struct errs *errs)
{
    struct store_history *history = NULL;
    struct store_run row;
    int result = store_history_open(NULL, &history, errs);

    if (result == 0)
        result = store_history_find(history, key, &row, errs);
    if (result == 0) {
        *ret_run = (struct chosen_run){ .lives = false };
        snprintf(ret_run->id, sizeof(ret_run->id), "%s", row.id);
        snprintf(ret_run->directory, sizeof(ret_run->directory), "%s", row.directory ? row.directory : "");
        store_run_done(&row);
    }
    store_history_close(history);
    return result;
}

static int refuse_several(const struct live_run *runs, size_t count, struct errs *errs)
{
    char names[256] = "";

    for (size_t i = 0; i < count && strlen(names) < 180; i++)
        snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%.63s", i ? ", " : "", runs[i].id);
    return errs_add(errs, ERR_USAGE, "run", "%zu runs fit: %s; name one with --run", count, names);
}

int choose_run(const char *key, bool needs_live, struct chosen_run *ret_run, struct errs *errs)
{
    struct live_run runs[LIVE_RUNS_MAX];
    char why[REGISTRY_FILE_MAX];
    size_t count = 0, fitting = 0, last = 0;
    int result = find_live_runs(runs, LIVE_RUNS_MAX, &count);

    if (result < 0)
        return errs_add(errs, ERR_WORLD, "registry", "%s", registry_explain(result, why, sizeof(why)));
    result = key ? names_directory(key, errs) : 0;
    if (result < 0)
        return result;
    if (result > 0) {
        take_directory(key, runs, count, ret_run);
        return ret_run->lives || !needs_live ? 0 : errs_add(errs, ERR_USAGE, "run", "the run in %s does not go on", ret_run->directory);
    }
    for (size_t i = 0; i < count; i++)
        if (!key || !strcmp(key, "last") || !strncmp(runs[i].id, key, strlen(key))) {
            runs[fitting++] = runs[i];
            last = fitting - 1;
            if (key && !strcmp(runs[last].id, key)) {
                take_live(&runs[last], ret_run);
                return 0;
            }
        }
    if (fitting > 1 && needs_live && (!key || strcmp(key, "last") != 0))
        return refuse_several(runs, fitting, errs);
    if (fitting) {
        take_live(&runs[last], ret_run);
        return 0;
    }
    if (needs_live)
        return errs_add(errs, ERR_USAGE, "run", key ? "no run '%s' goes on; `perturb ps` lists them" : "no run goes on%s", key ? key : "");
    return take_ended(key ? key : "last", ret_run, errs);
}
