/* `capture` of a proxy: ports, networks, and whose connects. */
#include "scenarios/playbook/check.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/vocab/decide.h"

#include <stdlib.h>
#include <string.h>

static const struct node *member(const struct proxy *proxy, const char *key)
{
    const struct node *capture = node_member(proxy->node, "capture");

    return check_member(capture ? capture : proxy->node, key);
}

static void read_ports(const struct checker *checker, struct proxy *proxy)
{
    struct capture *capture = &proxy->capture;
    const struct node *list = node_member(node_member(proxy->node, "capture"), "tcp");

    if (capture->tcp.count > CAPTURE_PORTS_MAX)
        check_refuse(checker, member(proxy, "tcp"), "tcp: more ports than a capture holds (16)%s%s", "", "");
    else if (list && list->kind == NODE_LIST && !list->first)
        check_refuse(checker, member(proxy, "tcp"), "tcp: the list is empty%s%s", "", "");
    for (size_t i = 0; i < capture->tcp.count && i < CAPTURE_PORTS_MAX; i++) {
        const char *text = capture->tcp.items[i];
        char *end;
        long port = strtol(text, &end, 10);

        if (*end || end == text || port < 1 || port > 65535)
            check_refuse(checker, member(proxy, "tcp"), "tcp: '%s' is no port (1 to 65535)%s", text, "");
        else
            capture->ports[capture->port_count++] = (uint16_t)port;
    }
}

static void read_networks(const struct checker *checker, struct proxy *proxy)
{
    struct capture *capture = &proxy->capture;

    if (capture->to.count > CAPTURE_NETWORKS_MAX)
        check_refuse(checker, member(proxy, "to"), "to: more networks than a capture holds (8)%s%s", "", "");
    for (size_t i = 0; i < capture->to.count && i < CAPTURE_NETWORKS_MAX; i++) {
        struct address_match *network = &capture->networks[capture->network_count];

        if (address_match_parse(capture->to.items[i], network) < 0 || !network->family || network->port_last)
            check_refuse(checker, member(proxy, "to"), "to: '%s' is no address and no CIDR such as 10.0.0.0/8%s", capture->to.items[i], "");
        else
            capture->network_count++;
    }
}

static void check_owner(const struct checker *checker, const struct proxy *proxy)
{
    const struct capture *capture = &proxy->capture;
    const struct target *target = capture->target ? playbook_target(checker->playbook, capture->target) : NULL;

    if (!!capture->unit + !!capture->cgroup + !!capture->uid + !!capture->target > 1)
        check_refuse(checker, member(proxy, "capture"), "capture of '%s': give at most one of unit, cgroup, uid, target%s", proxy->name, "");
    if (capture->target && !target)
        check_refuse_name(checker, member(proxy, "target"), "target", capture->target, &checker->playbook->targets, sizeof(struct target),
                          offsetof(struct target, name));
    else if (target && target->address)
        check_refuse(checker, member(proxy, "target"), "target '%s' is an address: nothing that it connects to can be captured here%s",
                     target->name, "");
    else if (target && target->pid != ABSENT && capture->via == CAPTURE_VIA_NFTABLES)
        check_refuse(checker, member(proxy, "via"), "target '%s' is a bare process, which the kernel's rules cannot tell from its "
                     "neighbours: give its unit or cgroup, or take via: shim%s", target->name, "");
    if (capture->via == CAPTURE_VIA_SHIM && !capture->target)
        check_refuse(checker, member(proxy, "via"), "via: shim needs a target: the shim acts inside one%s%s", "", "");
}

void check_capture(const struct checker *checker, struct proxy *proxy)
{
    static const char *const others[] = { "listen", "upstream" };

    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        if (node_member(proxy->node, others[i]))
            check_refuse(checker, node_member(proxy->node, others[i]), "proxy '%s' captures: it takes no %s", proxy->name, others[i]);
    read_ports(checker, proxy);
    read_networks(checker, proxy);
    check_owner(checker, proxy);
}
