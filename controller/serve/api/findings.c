/* The ledger of findings: what failed and is not proved mended. Only a passing run closes one. */
#include "controller/serve/http/archive.h"
#include "controller/base/json.h"
#include "controller/serve/core/service.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static cJSON *describe(const struct store_finding *finding)
{
    cJSON *object = store_finding_json(finding);

    cJSON_DeleteItemFromObjectCaseSensitive(object, "id");
    json_put_integer(object, "id", finding->id);
    json_put_text(object, "state", finding->closed_run ? "closed" : "open");
    return object;
}

/* All of them; 0 with an array, or negative. */
static int read_all(struct api_call *call, bool all, cJSON **ret_list)
{
    struct store_finding *findings;
    size_t count;
    int result = store_findings_list(api_history_lock(call), all, &findings, &count, api_errs(call));

    api_history_unlock(call);
    if (result < 0)
        return result;
    *ret_list = cJSON_CreateArray();
    for (size_t i = 0; i < count; i++)
        cJSON_AddItemToArray(*ret_list, describe(&findings[i]));
    store_findings_free(findings, count);
    return 0;
}

static const char *id_of(const cJSON *finding)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(finding, "id"));
}

/* Keeps the page that follows the finding `after` ("": the first). Returns the cursor of the next one, new, or NULL. */
static char *cut_page(cJSON *list, const char *after, size_t limit)
{
    cJSON *one = list->child;
    bool found = !*after;
    char *next = NULL;
    size_t kept = 0;

    while (one) {
        cJSON *following = one->next;

        if (!found || kept == limit) {
            found = found || !strcmp(id_of(one), after);
            if (kept == limit && !next)
                next = api_cursor_make((const char *const[]){ id_of(one->prev) }, 1);
            cJSON_Delete(cJSON_DetachItemViaPointer(list, one));
        } else {
            kept++;
        }
        one = following;
    }
    return next;
}

int findings_list(struct api_call *call)
{
    const char *after[1] = { "" };
    char *next;
    cJSON *list;
    int result;

    if (api_cursor(call, after, 1) < 0)
        return 0;
    result = read_all(call, api_query_flag(call, "all"), &list);
    if (result < 0)
        return api_fail_errs(call, result);
    next = cut_page(list, after[0], api_limit(call));
    api_reply_list(call, list, next);
    free(next);
    return 0;
}

static bool is_date(const char *text)
{
    struct tm when = { 0 };
    const char *end = strptime(text, "%Y-%m-%d", &when);

    return end && !*end && strlen(text) == 10;
}

static int show(struct api_call *call, const char *id)
{
    cJSON *list, *one, *found = NULL;
    int result = read_all(call, true, &list);

    if (result < 0)
        return api_fail_errs(call, result);
    cJSON_ArrayForEach(one, list)
        if (!strcmp(id_of(one), id))
            found = one;
    if (found)
        cJSON_DetachItemViaPointer(list, found);
    cJSON_Delete(list);
    return found ? api_reply(call, 200, found) : api_fail(call, 404, "there is no finding %s", id);
}

int findings_change(struct api_call *call)
{
    const char *id = api_arg(call, "id"), *due = api_text(call, "due");
    int64_t number = strtoll(id, NULL, 10);
    int result;

    if (strspn(id, "0123456789") != strlen(id) || strlen(id) > 18 || number < 1)
        return api_fail(call, 404, "there is no finding '%s'", id);
    if (due && !is_date(due)) {
        api_where(call, "/due", "'%s' is no date such as 2026-12-01", due);
        return api_fail(call, 400, "'%s' is no date such as 2026-12-01", due);
    }
    result = store_findings_assign(api_history_lock(call), number, api_text(call, "owner"), due, api_errs(call));
    api_history_unlock(call);
    return result < 0 ? api_fail_errs(call, result) : show(call, id);
}
