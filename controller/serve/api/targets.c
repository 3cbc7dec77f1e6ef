/* What runs on this host under the shim or behind a proxy, and what could act on a program. */
#include "controller/look/doctor.h"
#include "controller/look/pages.h"
#include "controller/look/processes.h"
#include "controller/look/proxies.h"
#include "controller/base/json.h"
#include "controller/serve/http/api.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Pages are large and looked at in rooms of their own: one at a time. */
static pthread_mutex_t looking = PTHREAD_MUTEX_INITIALIZER;

/* Moves the page's list `key` to the end of `list`, each row saying whose it is. */
static void move_rows(cJSON *page, const char *key, cJSON *list)
{
    cJSON *rows = cJSON_DetachItemFromObjectCaseSensitive(page, key);

    while (rows && rows->child) {
        cJSON *row = cJSON_DetachItemViaPointer(rows, rows->child);

        json_copy(row, "page", page, "page");
        json_copy(row, "armed", page, "armed");
        cJSON_AddItemToArray(list, row);
    }
    cJSON_Delete(rows);
}

static void add_pages(const struct registry *registry, cJSON *object, struct errs *errs)
{
    static struct ps_page ps;
    static struct pages pages;
    cJSON *list = cJSON_AddArrayToObject(object, "pages"), *processes = cJSON_AddArrayToObject(object, "processes"),
          *rules = cJSON_AddArrayToObject(object, "rules");

    pthread_mutex_lock(&looking);
    if (pages_select(registry, NULL, &pages, errs) == 0)
        for (size_t i = 0; i < pages.count; i++) {
            cJSON *page;

            ps_look(pages.list[i], &ps);
            page = ps_json(&ps);
            move_rows(page, "processes", processes);
            move_rows(page, "rules", rules);
            cJSON_AddItemToArray(list, page);
        }
    pages_close(&pages);
    pthread_mutex_unlock(&looking);
}

int targets_list(struct api_call *call)
{
    struct registry registry;
    cJSON *object;
    int result = pages_registry("targets", &registry, api_errs(call));

    if (result < 0)
        return api_fail_errs(call, result);
    object = cJSON_CreateObject();
    add_pages(&registry, object, api_errs(call));
    cJSON_AddItemToObject(object, "proxies", proxies_json(&registry));
    registry_close(&registry);
    return api_reply(call, 200, object);
}

int targets_doctor(struct api_call *call)
{
    const char *text = api_arg(call, "pid");
    struct inspection *inspection = NULL;
    cJSON *object;
    int result;

    if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 9)
        return api_fail(call, 404, "'%s' is no process", text);
    result = inspect_process((pid_t)strtol(text, NULL, 10), &inspection);
    if (result == -ENOENT || result == -ESRCH)
        return api_fail(call, 404, "there is no process %s", text);
    if (result == -EACCES || result == -EPERM)
        return api_fail(call, 403, "process %s cannot be read: it belongs to another user", text);
    if (result < 0)
        return api_fail(call, 503, "process %s cannot be read: %s", text, strerror(-result));
    object = doctor_json(inspection);
    inspection_free(inspection);
    return api_reply(call, 200, object);
}
