/* The stored playbooks. */
#include "controller/serve/http/archive.h"
#include "controller/base/digest.h"
#include "controller/serve/core/dry_run.h"
#include "controller/base/json.h"
#include "controller/serve/api/library.h"
#include "controller/serve/api/playbooks.h"
#include "controller/serve/core/service.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/playbook/node.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 4096 };

static cJSON *last_run(struct api_call *call, const char *path, const char *name)
{
    AUTO_FREE char *series = realpath(path, NULL);
    struct store_filter filter = { .playbook = name, .series = series };
    struct store_run *runs = NULL;
    cJSON *object = NULL;
    size_t count = 0;

    if (store_history_page(api_history_lock(call), &filter, 1, &runs, &count, api_errs(call)) == 0 && count) {
        object = cJSON_CreateObject();
        json_put_text(object, "id", runs->id);
        json_put_text(object, "verdict", runs->verdict);
        json_put_number(object, "status", runs->status >= 0 ? runs->status : (double)NAN);
        json_put_text(object, "started", runs->started);
        json_put_number(object, "convergence_s", runs->convergence_s);
    }
    api_history_unlock(call);
    store_runs_free(runs, count);
    return object ? object : cJSON_CreateNull();
}

static cJSON *describe(struct api_call *call, const char *name, bool fully)
{
    char path[PATH_BYTES];
    cJSON *object = library_describe(service_playbooks(api_service(call)), name, fully);

    snprintf(path, sizeof(path), "%s/%s", service_playbooks(api_service(call)), name);
    cJSON_AddItemToObject(object, "last_run", last_run(call, path, name));
    return object;
}

int playbooks_page(struct api_call *call, cJSON *(*row)(struct api_call *call, const char *name, int *result))
{
    const char *after[1] = { "" };
    AUTO_FREE char *next = NULL;
    struct library_names names;
    size_t limit = api_limit(call), taken = 0;
    cJSON *items;
    int result;

    if (api_cursor(call, after, 1) < 0)
        return 0;
    result = library_list(service_playbooks(api_service(call)), &names);
    if (result < 0)
        return api_fail(call, 503, "the playbooks' directory cannot be read: %s", strerror(-result));
    items = cJSON_CreateArray();
    for (size_t i = 0; i < names.count && !next && result == 0; i++) {
        if (strcmp(names.list[i], after[0]) <= 0)
            continue;
        cJSON_AddItemToArray(items, row(call, names.list[i], &result));
        if (++taken == limit && i + 1 < names.count)
            next = api_cursor_make((const char *const[]){ names.list[i] }, 1);
    }
    library_names_done(&names);
    if (result == 0)
        return api_reply_list(call, items, next);
    cJSON_Delete(items);
    return api_fail_errs(call, result);
}

static cJSON *list_row(struct api_call *call, const char *name, int *result)
{
    (void)result;
    return describe(call, name, false);
}

int playbooks_list(struct api_call *call)
{
    return playbooks_page(call, list_row);
}

/* ---- one ---- */

static int fail_file(struct api_call *call, int result)
{
    const char *name = api_arg(call, "name");

    if (result == -EINVAL)
        return api_fail(call, 400, "'%s' is no name of a playbook: letters, digits, '-', '_', '.', folders with '/', and .yaml, .yml or .json", name);
    if (result == -ENOENT || result == -ELOOP)
        return api_fail(call, 404, "there is no playbook '%s'", name);
    return api_fail(call, result == -ENOSPC || result == -EDQUOT ? 507 : result == -EACCES || result == -EPERM || result == -EROFS ? 403 : 503,
                    "playbook '%s': %s", name, strerror(-result));
}

/* The stored text. 0, or negative and the call is answered; buf_done after either. */
static int read_source(struct api_call *call, struct buf *source)
{
    int result;

    buf_init(source, DOCUMENT_BYTES_MAX);
    result = library_read(service_playbooks(api_service(call)), api_arg(call, "name"), source);
    if (result < 0)
        fail_file(call, result);
    return result;
}

static void tag(struct api_call *call, const cJSON *object)
{
    const char *hash = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "hash"));
    char *text = json_text(object), digest[17], both[64];

    /* The text's hash, which If-Match asks for, then one of all that is shown with it. */
    snprintf(both, sizeof(both), "%.40s-%s", hash ? hash : "", text ? digest_text(text, strlen(text), digest, sizeof(digest)) : "");
    api_etag(call, both);
    cJSON_free(text);
}

int playbooks_show(struct api_call *call)
{
    struct buf source;
    cJSON *object;
    int result = read_source(call, &source);

    buf_done(&source);
    if (result < 0)
        return 0;
    object = describe(call, api_arg(call, "name"), true);
    tag(call, object);
    return api_reply(call, 200, object);
}

/* Does If-Match name the stored text? Nothing stored needs no match. False: the call is answered. */
static bool is_current(struct api_call *call, bool *ret_exists)
{
    char hash[41];
    struct buf source;
    int result;

    buf_init(&source, DOCUMENT_BYTES_MAX);
    result = library_read(service_playbooks(api_service(call)), api_arg(call, "name"), &source);
    digest_text(source.data, source.length, hash, sizeof(hash));
    buf_done(&source);
    *ret_exists = result == 0;
    if (result == 0)
        return api_if_match(call, hash);
    if (result == -ENOENT)
        return true;
    fail_file(call, result);
    return false;
}

static int refuse_invalid(struct api_call *call, cJSON *object)
{
    const cJSON *one;

    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(object, "errors"))
        api_where(call, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(one, "where")), "%s",
                  cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(one, "message")));
    cJSON_Delete(object);
    return api_fail(call, 422, "the playbook is not stored: %zu error%s", api_errs(call)->count, api_errs(call)->count == 1 ? "" : "s");
}

int playbooks_put(struct api_call *call)
{
    const char *name = api_arg(call, "name"), *source = api_text(call, "source");
    bool exists;
    cJSON *object;
    int result;

    if (!library_is_name(name))
        return fail_file(call, -EINVAL);
    if (!is_current(call, &exists))
        return 0;
    object = library_judge(name, source, strlen(source), NULL, false);
    if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, "valid")))
        return refuse_invalid(call, object);
    cJSON_Delete(object);
    result = library_write(service_playbooks(api_service(call)), name, source, strlen(source));
    if (result < 0)
        return fail_file(call, result);
    object = describe(call, name, true);
    tag(call, object);
    return api_reply(call, exists ? 200 : 201, object);
}

int playbooks_delete(struct api_call *call)
{
    bool exists;
    int result;

    if (!is_current(call, &exists))
        return 0;
    result = exists ? library_remove(service_playbooks(api_service(call)), api_arg(call, "name")) : -ENOENT;
    return result < 0 ? fail_file(call, result) : api_reply(call, 204, NULL);
}

/* The stored text, or the one that is sent to be judged before it is stored. */
int playbooks_check(struct api_call *call)
{
    const char *given = api_text(call, "source");
    const cJSON *vars = cJSON_GetObjectItemCaseSensitive(api_body(call), "vars");
    struct buf source;
    cJSON *object;

    if (given) {
        object = library_judge(api_arg(call, "name"), given, strlen(given), vars, false);
    } else {
        if (read_source(call, &source) < 0)
            return buf_done(&source), 0;
        object = library_judge(api_arg(call, "name"), source.data, source.length, vars, false);
        buf_done(&source);
    }
    return api_reply(call, 200, object);
}

/* What would be done to whom: `perturb run --dry-run` of the stored text, which starts nothing. */
int playbooks_preview(struct api_call *call)
{
    const cJSON *vars = cJSON_GetObjectItemCaseSensitive(api_body(call), "vars");
    char path[PATH_BYTES];
    cJSON *object;
    struct buf source, text;
    int status = 0, result;

    if (read_source(call, &source) < 0)
        return buf_done(&source), 0;
    result = service_playbook_file(api_service(call), api_arg(call, "name"), path, sizeof(path), api_errs(call));
    if (result == 0)
        result = dry_run(path, vars, &text, &status);
    if (result < 0) {
        buf_done(&source);
        return api_errs(call)->count ? api_fail_errs(call, result) : api_fail(call, 503, "the dry run: %s", strerror(-result));
    }
    object = library_judge(api_arg(call, "name"), source.data, source.length, vars, true);
    json_put_text(object, "text", text.data);
    json_put_number(object, "exit_status", status);
    buf_done(&text);
    buf_done(&source);
    return api_reply(call, 200, object);
}
