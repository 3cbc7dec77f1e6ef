/* Streams of server-sent events. */
#include "controller/serve/http/archive.h"
#include "controller/serve/http/dispatch.h"
#include "controller/watch/feed.h"
#include "controller/serve/http/hub.h"
#include "controller/serve/core/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where the client was: the header that a browser sends by itself counts for more than the address it began with. */
static const char *resume_at(const struct api_call *call)
{
    return call->headers.last_event_id && *call->headers.last_event_id ? call->headers.last_event_id : api_query(call, "after");
}

/* The directory of a run that began, by the history; else by the service, which gave it. Returns new; NULL: the call is answered. */
static char *find_directory(struct api_call *call)
{
    struct store_run run;
    const char *found;
    char *directory = NULL;
    cJSON *own;
    int result = api_look_up(call, api_arg(call, "id"), &run);

    if (result == 0) {
        directory = run.directory ? strdup(run.directory) : NULL;
        store_run_done(&run);
    } else if (result == -ENOENT) {
        own = service_run(api_service(call), api_arg(call, "id"), api_errs(call));
        found = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(own, "directory"));
        directory = found ? strdup(found) : NULL;
        result = own ? 0 : -ENOENT;
        cJSON_Delete(own);
    }
    if (directory)
        return directory;
    if (result == 0) {
        api_header(call, "Retry-After", "1");
        api_fail(call, 409, "the run has not begun");
    } else {
        api_fail(call, 404, "there is no run '%s'", api_arg(call, "id"));
    }
    return NULL;
}

int runs_events(struct api_call *call)
{
    const char *at = resume_at(call);
    uint64_t event = 0, sample = 0;
    struct watcher *watcher;
    char *directory;
    int result;

    if (at && feed_id_parse(at, &event, &sample) < 0)
        return api_fail(call, 400, "'%.60s' is no id of this stream: E.S, two numbers", at);
    directory = find_directory(call);
    if (!directory)
        return 0;
    result = hub_watch_run(call->server->hub, api_arg(call, "id"), directory, event, sample, &watcher);
    free(directory);
    if (result == -ENOENT) {
        api_header(call, "Retry-After", "1");
        return api_fail(call, 409, "the run has no directory yet");
    }
    return result < 0 ? api_fail(call, 503, "the run cannot be followed: %s", strerror(-result)) : call_reply_stream(call, watcher);
}

int service_events(struct api_call *call)
{
    const char *at = resume_at(call);
    struct watcher *watcher;
    uint64_t after = 0;
    char *end;

    if (at) {
        after = strtoull(at, &end, 10);
        if (*end || at[0] < '0' || at[0] > '9')
            return api_fail(call, 400, "'%.60s' is no id of this stream: a number", at);
    }
    if (hub_watch_service(call->server->hub, after, &watcher) < 0)
        return api_fail(call, 503, "out of memory");
    return call_reply_stream(call, watcher);
}
