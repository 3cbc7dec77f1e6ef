/* Targets and proxies. */
#include "scenarios/playbook/check.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/playbook/section.h"
#include "scenarios/playbook/value.h"
#include "scenarios/vocab/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_endpoint(const char *text, bool zero_allowed)
{
    const char *colon = strrchr(text, ':');
    char *end;
    long port;

    if (!strncmp(text, "unix:", 5))
        return text[5] == '/' || text[5] == '@';
    if (!colon || colon == text || !colon[1])
        return false;
    port = strtol(colon + 1, &end, 10);
    return !*end && port >= (zero_allowed ? 0 : 1) && port <= 65535;
}

void check_targets(const struct checker *checker)
{
    const struct target *targets = checker->playbook->targets.items;

    for (size_t i = 0; i < checker->playbook->targets.count; i++) {
        const struct target *target = &targets[i];
        int ways = (target->command.count > 0) + (target->pid != ABSENT) + !!target->unit + !!target->cgroup + !!target->address;
        const struct node *command = node_member(target->node, "command");
        bool unread = command && !target->command.count && (command->first || (command->text && command->text[0])); /* told already */

        if (command && !target->command.count && !unread)
            check_refuse(checker, command, "target '%s': the command is empty%s", target->name, "");
        else if (ways != 1 && !unread)
            check_refuse(checker, target->node, "target '%s' needs exactly one of command, pid, unit, cgroup, address%s", target->name, "");
        if (target->attach == 1 && (target->command.count || target->address))
            check_refuse(checker, check_member(target->node, "attach"), "attach is for a pid, unit or cgroup; '%s' has %s", target->name,
                         target->address ? "an address" : "a command, which starts with the shim");
        if (target->address && !is_endpoint(target->address, false))
            check_refuse(checker, check_member(target->node, "address"), "address: '%s' is no HOST:PORT%s", target->address, "");
        if (target->ready.tcp && !is_endpoint(target->ready.tcp, false))
            check_refuse(checker, check_member(target->node, "ready"), "ready.tcp: '%s' is no HOST:PORT%s", target->ready.tcp, "");
        if ((target->locks.watch || target->locks.profile) && (target->backend == TARGET_BACKEND_SECCOMP || !target->command.count) && !unread)
            check_refuse(checker, check_member(target->node, "locks"), "target '%s': locks are watched by the preload shim, in a spawned target%s", target->name, "");
        if (target->locks.breaks && !target->locks.watch)
            check_refuse(checker, check_member(target->node, "locks"), "target '%s': locks.break needs locks.watch%s", target->name, "");
        if (target->ready.tcp && target->ready.http)
            check_refuse(checker, check_member(target->node, "ready"), "target '%s': give tcp or http, not both%s", target->name, "");
    }
}

static bool is_unix(const char *text)
{
    return text && !strncmp(text, "unix:", 5);
}

static void check_protocol(const struct checker *checker, const struct proxy *proxy)
{
    if (proxy->protocol == PROTOCOL_UDP && (is_unix(proxy->upstream) || is_unix(proxy->listen)))
        check_refuse(checker, check_member(proxy->node, "protocol"), "proxy '%s': udp has no Unix sockets%s", proxy->name, "");
    if (proxy->protocol == PROTOCOL_UDP && proxy->captures)
        check_refuse(checker, check_member(proxy->node, "capture"), "proxy '%s': a capture takes tcp only%s", proxy->name, "");
    if (proxy->protocol != PROTOCOL_UDP && node_member(proxy->node, "idle"))
        check_refuse(checker, check_member(proxy->node, "idle"), "proxy '%s': only udp has idle sessions%s", proxy->name, "");
}

static void check_upstream(const struct checker *checker, struct proxy *proxy)
{
    char variable[96];

    if (!proxy->upstream && !node_member(proxy->node, "upstream"))
        check_refuse(checker, proxy->node, "proxy '%s' needs an upstream, or a capture%s", proxy->name, "");
    if (proxy->upstream && !is_endpoint(proxy->upstream, false))
        check_refuse(checker, check_member(proxy->node, "upstream"), "upstream: '%s' is no HOST:PORT and no unix:/PATH%s", proxy->upstream, "");
    if (proxy->listen && !is_endpoint(proxy->listen, true))
        check_refuse(checker, check_member(proxy->node, "listen"), "listen: '%s' is no HOST:PORT and no unix:/PATH%s", proxy->listen, "");
    snprintf(variable, sizeof(variable), "${proxies.%s.listen}", proxy->name);
    proxy->listen = variables_expand(&checker->playbook->variables, proxy->node, variable, checker->errs);
}

void check_proxies(const struct checker *checker)
{
    struct proxy *proxies = checker->playbook->proxies.items;

    for (size_t i = 0; i < checker->playbook->proxies.count; i++) {
        struct proxy *proxy = &proxies[i];

        if (strlen(proxy->name) >= RULE_SCOPE_MAX)
            check_refuse(checker, proxy->node, "the name '%s' is too long%s", proxy->name, "");
        proxy->captures = node_member(proxy->node, "capture");
        check_protocol(checker, proxy);
        if (proxy->captures)
            check_capture(checker, proxy);
        else
            check_upstream(checker, proxy);
    }
}
