/* Notices of proxies, waited for and as JSON. */
#include "controller/look/proxies.h"

#include "scenarios/base/clock.h"
#include "shims/host/notice.h"

#include <poll.h>

enum { LOOK_STEP_MS = 10 };

struct halt_count {
    size_t told, left;
};

static void count_one(pid_t pid, enum notice_state state, const char *text, void *context)
{
    struct halt_count *count = context;

    (void)pid;
    (void)text;
    count->told++;
    count->left += state != NOTICE_HALTED;
}

int proxies_wait_halted(const struct registry *registry, int timeout_ms, size_t *ret_told, size_t *ret_left)
{
    uint64_t deadline_ns = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
    struct halt_count count;

    for (;;) {
        int result;

        count = (struct halt_count){ 0, 0 };
        result = notice_each(registry, count_one, &count);
        if (result < 0)
            return result;
        if (!count.left || clock_now_ns() >= deadline_ns)
            break;
        (void)poll(NULL, 0, LOOK_STEP_MS);
    }
    *ret_told = count.told;
    *ret_left = count.left;
    return 0;
}

static void add_one(pid_t pid, enum notice_state state, const char *text, void *context)
{
    static const char *const words[NOTICE_STATES] = { "idle", "armed", "halted" };
    cJSON *object = cJSON_CreateObject();

    cJSON_AddNumberToObject(object, "pid", pid);
    cJSON_AddStringToObject(object, "state", words[state]);
    cJSON_AddStringToObject(object, "text", text);
    cJSON_AddItemToArray(context, object);
}

cJSON *proxies_json(const struct registry *registry)
{
    cJSON *list = cJSON_CreateArray();

    (void)notice_each(registry, add_one, list);
    return list;
}
