/* See archive.h. */
#include "controller/serve/archive.h"

#include "controller/serve/dispatch.h"
#include "controller/serve/service.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct archive {
    pthread_mutex_t mutex;
    struct store_history *history;
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
    *ret_archive = archive;
    return 0;
}

void archive_close(struct archive *archive)
{
    if (!archive)
        return;
    store_history_close(archive->history);
    pthread_mutex_destroy(&archive->mutex);
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
    AUTO_FREE char *directory = realpath(service_playbooks(api_service(call)), NULL);
    size_t length = directory ? strlen(directory) : 0;
    const char *path = run->series ? run->series : run->playbook;

    if (path && directory && !strncmp(path, directory, length) && path[length] == '/')
        return path + length + 1;
    return run->playbook;
}
