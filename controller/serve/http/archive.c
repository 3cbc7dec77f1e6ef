/* See archive.h. */
#include "controller/serve/http/archive.h"

#include "controller/serve/http/dispatch.h"
#include "controller/serve/core/service.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kept_trend {
    char *series;
    char state[64];
    struct trend trend;
};

struct archive {
    pthread_mutex_t mutex, trends_mutex; /* the second is taken first */
    struct store_history *history;
    struct kept_trend kept[ARCHIVE_TRENDS_MAX];
    size_t kept_count, kept_next;
    char *playbooks; /* the real path of their directory, once it is there */
};

int archive_open(struct archive **ret_archive, struct errs *errs)
{
    struct archive *archive = calloc(1, sizeof(*archive));
    int result;

    if (!archive)
        return errs_add(errs, ERR_INTERNAL, NULL, "out of memory");
    result = store_history_open(NULL, &archive->history, errs);
    if (result < 0) {
        free(archive);
        return result;
    }
    pthread_mutex_init(&archive->mutex, NULL);
    pthread_mutex_init(&archive->trends_mutex, NULL);
    *ret_archive = archive;
    return 0;
}

void archive_close(struct archive *archive)
{
    if (!archive)
        return;
    for (size_t i = 0; i < archive->kept_count; i++) {
        trend_done(&archive->kept[i].trend);
        free(archive->kept[i].series);
    }
    store_history_close(archive->history);
    pthread_mutex_destroy(&archive->mutex);
    pthread_mutex_destroy(&archive->trends_mutex);
    free(archive->playbooks);
    free(archive);
}

bool archive_is_over(struct archive *archive, const char *id)
{
    struct errs *errs = calloc(1, sizeof(*errs));
    struct store_run run;
    bool lives = false;

    pthread_mutex_lock(&archive->mutex);
    if (errs && store_history_find(archive->history, id, &run, errs) == 0) {
        lives = run.verdict && !strcmp(run.verdict, "running");
        store_run_done(&run);
    }
    pthread_mutex_unlock(&archive->mutex);
    free(errs);
    return !lives;
}

struct store_history *api_history_lock(struct api_call *call)
{
    struct archive *archive = call->server->archive;

    pthread_mutex_lock(&archive->mutex);
    return archive->history;
}

void api_history_unlock(struct api_call *call)
{
    pthread_mutex_unlock(&call->server->archive->mutex);
}

/* The store takes a prefix of an id too, which is for people: programs get what they named. */
int api_look_up(struct api_call *call, const char *id, struct store_run *ret_run)
{
    struct errs *errs = api_errs(call);
    size_t before = errs->count;
    struct store_run run;
    int result = store_history_find(api_history_lock(call), id, &run, errs);

    api_history_unlock(call);
    if (result == 0 && strcmp(run.id, id) != 0 && strcmp(id, "last") != 0) {
        store_run_done(&run);
        result = -ENOENT;
    }
    if (result == -ENOTUNIQ)
        result = -ENOENT;
    if (result == -ENOENT)
        errs->count = before;
    if (result == 0)
        *ret_run = run;
    return result;
}

int api_find_run(struct api_call *call, struct store_run *ret_run)
{
    int result = api_look_up(call, api_arg(call, "id"), ret_run);

    if (result == -ENOENT)
        api_fail(call, 404, "there is no run '%s'", api_arg(call, "id"));
    else if (result < 0)
        api_fail_errs(call, result);
    return result;
}

const char *api_playbook_name(struct api_call *call, const struct store_run *run)
{
    struct archive *archive = call->server->archive;
    const char *path = run->series ? run->series : run->playbook, *directory;
    size_t length;

    pthread_mutex_lock(&archive->mutex);
    if (!archive->playbooks)
        archive->playbooks = realpath(service_playbooks(api_service(call)), NULL);
    directory = archive->playbooks; /* never changed again */
    pthread_mutex_unlock(&archive->mutex);
    length = directory ? strlen(directory) : 0;
    if (path && directory && !strncmp(path, directory, length) && path[length] == '/')
        return path + length + 1;
    return run->playbook;
}

/* ---- trends ---- */

static struct kept_trend *find_kept(struct archive *archive, const char *series)
{
    for (size_t i = 0; i < archive->kept_count; i++)
        if (!strcmp(archive->kept[i].series, series))
            return &archive->kept[i];
    return NULL;
}

/* A place for one more; of too many the one made first gives way. */
static struct kept_trend *make_kept(struct archive *archive, const char *series)
{
    bool full = archive->kept_count == ARCHIVE_TRENDS_MAX;
    struct kept_trend *kept = &archive->kept[full ? archive->kept_next : archive->kept_count];
    char *name = strdup(series);

    if (!name)
        return NULL;
    if (full) {
        archive->kept_next = (archive->kept_next + 1) % ARCHIVE_TRENDS_MAX;
        trend_done(&kept->trend);
        free(kept->series);
    } else {
        archive->kept_count++;
    }
    *kept = (struct kept_trend){ .series = name };
    return kept;
}

static int judge(struct archive *archive, struct kept_trend *kept, const char *path, struct errs *errs)
{
    char state[sizeof(kept->state)];
    int result;

    pthread_mutex_lock(&archive->mutex);
    result = store_history_state(archive->history, kept->series, state, sizeof(state), errs);
    if (result == 0 && strcmp(state, kept->state) != 0) {
        trend_done(&kept->trend);
        kept->state[0] = '\0';
        result = trend_collect(archive->history, path, ARCHIVE_TREND_RUNS, errs, &kept->trend);
        if (result == 0)
            snprintf(kept->state, sizeof(kept->state), "%s", state);
    }
    pthread_mutex_unlock(&archive->mutex);
    return result;
}

int api_trend_lock(struct api_call *call, const char *path, struct trend **ret_trend)
{
    struct archive *archive = call->server->archive;
    AUTO_FREE char *series = realpath(path, NULL);
    struct kept_trend *kept;
    int result = -ENOMEM;

    pthread_mutex_lock(&archive->trends_mutex);
    kept = find_kept(archive, series ? series : path);
    if (!kept)
        kept = make_kept(archive, series ? series : path);
    if (kept)
        result = judge(archive, kept, path, api_errs(call));
    if (result < 0) {
        pthread_mutex_unlock(&archive->trends_mutex);
        return result;
    }
    if (kept->trend.known)
        kept->trend.age_days = trend_age_days(&kept->trend);
    *ret_trend = &kept->trend;
    return 0;
}

void api_trend_unlock(struct api_call *call)
{
    pthread_mutex_unlock(&call->server->archive->trends_mutex);
}
