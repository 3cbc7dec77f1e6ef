/* Marks of a live run: what people press, with the instant at which it came here. */
#include "controller/serve/api/marks.h"

#include "controller/run/marks.h"
#include "controller/serve/http/archive.h"
#include "controller/base/json.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <string.h>

int api_put_mark(struct api_call *call, const char *directory, const char *name, const char *text, uint64_t now_ns)
{
    struct mark mark;
    cJSON *object;
    int kind = mark_find(name), result;

    if (kind < 0 || kind == MARK_CHECKED || (kind == MARK_NOTE && (!text || !text[0])))
        return api_fail(call, 400, kind == MARK_NOTE ? "a note needs its text" : "'%.40s' is no mark: detected, acknowledged, mitigated, note, go", name);
    mark_init(&mark, (enum mark_kind)kind, now_ns, api_identity(call), text);
    result = mark_put(directory, &mark);
    if (result == -ESHUTDOWN)
        return api_fail(call, 409, "the run has ended; its result is written");
    if (result < 0)
        return api_fail(call, result == -ENOENT ? 409 : 503, "the mark cannot be written: %s", strerror(-result));
    object = cJSON_CreateObject();
    json_put_text(object, "mark", mark_names[kind]);
    json_put_text(object, "by", mark.by);
    json_put_text(object, "text", mark.text);
    return api_reply(call, 201, object);
}

int runs_mark(struct api_call *call)
{
    uint64_t now_ns = clock_now_ns();
    struct store_run run;

    if (api_find_run(call, &run) < 0)
        return 0;
    api_put_mark(call, run.directory ? run.directory : "", api_text(call, "mark"), api_text(call, "text"), now_ns);
    store_run_done(&run);
    return 0;
}
