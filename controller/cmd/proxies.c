/* Notices of proxies, printed. */
#include "controller/cmd/proxies.h"

#include "scenarios/base/clock.h"
#include "shims/host/notice.h"

#include <stdio.h>

struct print_context {
    size_t count;
    bool first;
};

static void print_one(pid_t pid, enum notice_state state, const char *text, void *context)
{
    static const char *const words[NOTICE_STATES] = {
        "nothing armed",
        "toxics armed, renewed while it lives",
        "halted: its toxics are removed",
    };
    struct print_context *print = context;

    printf("%sproxy  by %d  %s  %s", print->first && !print->count ? "" : "\n", (int)pid, words[state], text);
    print->count++;
}

size_t proxies_print(const struct registry *registry, bool first)
{
    struct print_context print = { .first = first };

    (void)notice_each(registry, print_one, &print);
    return print.count;
}
