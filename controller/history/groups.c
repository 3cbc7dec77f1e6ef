/* Groups of runs. */
#include "controller/history/groups.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_one_of(const char *word, const char *const *list)
{
    for (; word && *list; list++)
        if (!strcmp(word, *list))
            return true;
    return false;
}

static bool came_back(const struct store_run *run)
{
    static const char *const words[] = { "converged", "absorbed", "recovered_under_fault", NULL };

    return is_one_of(run->verdict, words) && (isfinite(run->convergence_s) || !strcmp(run->verdict, "absorbed"));
}

static bool stayed_away(const struct store_run *run)
{
    static const char *const words[] = { "not_converged", "metastable", "censored", "flapping", "converged_then_redegraded",
                                         "converged_to_new_level", NULL };

    return is_one_of(run->verdict, words) && isfinite(run->observed_s) && run->observed_s > 0;
}

int run_group_take(struct store_run *runs, size_t count, struct errs *errs, struct run_group *ret_group)
{
    struct run_group group = { .runs = calloc(count + 1, sizeof(*group.runs)), .outcome = calloc(count + 1, sizeof(*group.outcome)) };

    if (!group.runs || !group.outcome) {
        store_runs_free(runs, count);
        run_group_done(&group);
        *ret_group = (struct run_group){ 0 };
        return errs_add(errs, ERR_INTERNAL, NULL, "out of memory");
    }
    for (size_t i = count; i-- > 0;) {
        bool back = came_back(&runs[i]);

        if (!back && !stayed_away(&runs[i])) {
            group.unjudged++;
            store_run_done(&runs[i]);
            continue;
        }
        group.outcome[group.count] = (struct survival_run){ back ? fmax(0, isfinite(runs[i].convergence_s) ? runs[i].convergence_s : 0) : runs[i].observed_s, back };
        group.censored += !back;
        group.runs[group.count++] = runs[i];
    }
    free(runs);
    *ret_group = group;
    return 0;
}

void run_group_done(struct run_group *group)
{
    store_runs_free(group->runs, group->count);
    free(group->outcome);
    *group = (struct run_group){ 0 };
}

static int append(struct store_run **runs, size_t *count, const struct store_run *run, struct errs *errs)
{
    struct store_run *grown = realloc(*runs, (*count + 1) * sizeof(*grown));

    if (!grown)
        return errs_add(errs, ERR_INTERNAL, NULL, "out of memory");
    *runs = grown;
    grown[(*count)++] = *run;
    return 0;
}

/* Each name of a comma-separated list. `list` is written into. */
static int find_each(struct store_history *history, char *list, struct errs *errs, struct store_run **ret_runs, size_t *ret_count)
{
    struct store_run *runs = NULL, run;
    size_t count = 0;
    char *rest = list;
    int result = 0;

    for (char *name = strsep(&rest, ","); name && !result; name = strsep(&rest, ",")) {
        result = *name ? store_history_find(history, name, &run, errs) : errs_add(errs, ERR_USAGE, list, "there is an empty name among the runs");
        if (!result && append(&runs, &count, &run, errs) < 0) {
            store_run_done(&run);
            result = -ENOMEM;
        }
    }
    if (result < 0) {
        store_runs_free(runs, count);
        return result;
    }
    *ret_runs = runs;
    *ret_count = count;
    return 0;
}

int run_group_find(struct store_history *history, const char *word, struct errs *errs, struct run_group *ret_group)
{
    AUTO_FREE char *list = strdup(word);
    AUTO_FREE char *batch = NULL;
    struct store_run *runs = NULL;
    size_t count = 0;
    int result;

    *ret_group = (struct run_group){ 0 };
    if (!list)
        return errs_add(errs, ERR_INTERNAL, word, "out of memory");
    result = find_each(history, list, errs, &runs, &count);
    if (!result && count == 1 && runs[0].batch) {
        batch = strdup(runs[0].batch);
        store_runs_free(runs, count);
        runs = NULL;
        result = batch ? store_history_batch(history, batch, &runs, &count, errs) : -ENOMEM;
    }
    return result < 0 ? result : run_group_take(runs, count, errs, ret_group);
}

bool run_group_is_pinned(const struct run_group *group, const struct run_group *other_or_null, const struct store_run **ret_other)
{
    const struct run_group *groups[] = { group, other_or_null };
    const char *pins = group->count ? group->runs[0].pins_hash : NULL;

    for (size_t g = 0; g < 2; g++)
        for (size_t i = 0; groups[g] && i < groups[g]->count; i++)
            if (!pins || !groups[g]->runs[i].pins_hash || strcmp(pins, groups[g]->runs[i].pins_hash) != 0) {
                *ret_other = &groups[g]->runs[i];
                return false;
            }
    return true;
}

int run_group_losses(const struct run_group *group, double **ret_losses, size_t *ret_count)
{
    double *losses = calloc(group->count + 1, sizeof(*losses));
    size_t count = 0;

    if (!losses)
        return -ENOMEM;
    for (size_t i = 0; i < group->count; i++)
        if (isfinite(group->runs[i].loss_s))
            losses[count++] = group->runs[i].loss_s;
    *ret_losses = losses;
    *ret_count = count;
    return 0;
}
