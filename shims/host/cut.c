/* Partitions by nftables. */
#include "shims/host/cut.h"

#include "scenarios/base/clock.h"
#include "scenarios/vocab/decide.h"
#include "shims/host/nft.h"
#include "shims/host/process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Before connection tracking and every nat: addresses are as the program gave them. */
enum { PRIORITY = -300, TEXT_MAX = 64 << 10 };

#define TABLE_PREFIX "perturb_part_"
#define GROUP_ROOT "/sys/fs/cgroup/" /* where nft looks paths up, wherever version 2 is mounted below */
#define MARK_OUT UINT32_C(0x10000000)
#define MARK_IN UINT32_C(0x20000000)

void cut_name(const char *run_id, unsigned number, char table[CUT_TABLE_MAX])
{
    snprintf(table, CUT_TABLE_MAX, TABLE_PREFIX "%.40s_%u", run_id, number);
    for (char *at = table; *at; at++)
        if (*at == '-')
            *at = '_';
}

static bool is_table(const char *table)
{
    return !strncmp(table, TABLE_PREFIX, strlen(TABLE_PREFIX)) &&
           strspn(table, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(table);
}

/* ---- addresses ----------------------------------------------------------------------------------------------------------- */

struct address_list {
    struct address_match *list;
    size_t count, max;
};

static bool take_address(const struct sockaddr *address, struct address_match *ret_match)
{
    struct address_match match = { .present = 1, .family = address->sa_family };

    if (address->sa_family == AF_INET) {
        match.prefix_bits = 32;
        memcpy(match.address, &((const struct sockaddr_in *)address)->sin_addr, 4);
    } else if (address->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)address)->sin6_addr)) {
        match.prefix_bits = 128;
        memcpy(match.address, &((const struct sockaddr_in6 *)address)->sin6_addr, 16);
    } else {
        return false;
    }
    *ret_match = match;
    return true;
}

static int list_addresses(void *context)
{
    struct address_list *found = context;
    struct ifaddrs *all = NULL;

    if (getifaddrs(&all) < 0)
        return -errno;
    for (const struct ifaddrs *one = all; one && found->count < found->max; one = one->ifa_next)
        if (one->ifa_addr && !(one->ifa_flags & IFF_LOOPBACK) && take_address(one->ifa_addr, &found->list[found->count]))
            found->count++;
    freeifaddrs(all);
    return 0;
}

int cut_addresses(uint64_t name_space, pid_t hint, struct address_match *list, size_t max)
{
    struct address_list found = { .list = list, .max = max };
    int result = nft_inside(name_space, hint, list_addresses, &found);

    return result < 0 ? result : (int)found.count;
}

/* ---- rules --------------------------------------------------------------------------------------------------------------- */

static int put_group(const char *path, struct buf *text, struct buf *why)
{
    unsigned level;

    if (group_level(path, &level) < 0 || strncmp(path, GROUP_ROOT, strlen(GROUP_ROOT)) != 0 || strpbrk(path, "\"\\\n")) {
        buf_printf(why, "'%s' is no control group (version 2) that nft can name, or it is their root", path);
        return -ENOTSUP;
    }
    buf_printf(text, "socket cgroupv2 level %u \"%s\" ", level, path + strlen(GROUP_ROOT));
    return 0;
}

/* "ip daddr 10.0.0.0/8 tcp dport 80-90": of a peer, as the far end of a packet that goes out or comes in. */
static void put_peer(const struct address_match *peer, const char *protocol, bool out, struct buf *text)
{
    char address[INET6_ADDRSTRLEN] = "";

    if (peer->family && inet_ntop(peer->family, peer->address, address, sizeof(address)))
        buf_printf(text, "%s %s %s/%u ", peer->family == AF_INET ? "ip" : "ip6", out ? "daddr" : "saddr", address, peer->prefix_bits);
    if (peer->port_last)
        buf_printf(text, "%s %s %u-%u ", protocol, out ? "dport" : "sport", peer->port_first, peer->port_last);
}

/* One condition, once for each way of refusing. A port is one of TCP or of UDP. */
static void put_verdict(const struct cut *cut, const char *condition, struct buf *text)
{
    if (cut->mode == CUT_REJECT)
        buf_printf(text, "        meta nfproto @alive %smeta l4proto tcp counter name \"cut\" reject with tcp reset\n", condition);
    buf_printf(text, "        meta nfproto @alive %scounter name \"cut\" %s\n", condition, cut->mode == CUT_REJECT ? "reject" : "drop");
}

static void put_peers(const struct cut *cut, const char *who, bool out, struct buf *text)
{
    static const char *const protocols[] = { "tcp", "udp" };

    for (size_t i = 0; i < cut->peer_count; i++)
        for (size_t j = 0; j < (cut->peers[i].port_last ? 2 : 1); j++) {
            struct buf condition;

            buf_init(&condition, 2048);
            buf_puts(&condition, who);
            put_peer(&cut->peers[i], protocols[j], out, &condition);
            put_verdict(cut, condition.data, text);
            buf_done(&condition);
        }
    if (!cut->peer_count)
        put_verdict(cut, who, text);
}

/* See 3. */
static void put_pair(const struct cut *cut, const char *who, const char *other, bool at_output, struct buf *text)
{
    bool ways[2] = { cut->direction != CUT_IN, cut->direction != CUT_OUT };
    const char *from[2] = { who, other }, *to[2] = { other, who };
    const uint32_t marks[2] = { MARK_OUT, MARK_IN };

    for (size_t way = 0; way < 2; way++) {
        char condition[GROUP_PATH_MAX + 160];

        if (!ways[way])
            continue;
        if (at_output) {
            buf_printf(text, "        meta nfproto @alive %smeta mark set meta mark or 0x%08" PRIx32 "\n", from[way], marks[way]);
            continue;
        }
        snprintf(condition, sizeof(condition), "meta mark and 0x%08" PRIx32 " == 0x%08" PRIx32 " %s", marks[way], marks[way], to[way]);
        put_verdict(cut, condition, text);
    }
}

/* A refusal travels as a packet of its own, through the same hooks: it is let through. */
static void put_refusals(struct buf *text)
{
    buf_puts(text, "        tcp flags & rst == rst accept\n        icmp type destination-unreachable accept\n"
             "        icmpv6 type destination-unreachable accept\n");
}

static void put_chain(const struct cut *cut, const char *who, const char *other, bool at_output, struct buf *text)
{
    buf_printf(text, "    chain %s {\n        type filter hook %s priority %d; policy accept;\n", at_output ? "output" : "input",
               at_output ? "output" : "input", PRIORITY);
    if (cut->mode == CUT_REJECT)
        put_refusals(text);
    if (other[0])
        put_pair(cut, who, other, at_output, text);
    else if (at_output ? cut->direction != CUT_IN : cut->direction != CUT_OUT)
        put_peers(cut, who, at_output, text);
    buf_puts(text, "    }\n");
}

int cut_print(const struct cut *cut, uint64_t ttl_ns, struct buf *ret_text, struct buf *why)
{
    uint64_t ttl_ms = ttl_ns / NS_PER_MS;
    struct buf who, other;
    int result;

    buf_init(&who, 1024);
    buf_init(&other, 1024);
    result = cut->group[0] ? put_group(cut->group, &who, why) : 0;
    if (result == 0 && cut->other[0])
        result = put_group(cut->other, &other, why);
    buf_printf(ret_text, "table inet %s {\n    counter cut { }\n    set alive {\n        typeof meta nfproto\n        flags timeout\n"
               "        elements = { ipv4 timeout %" PRIu64 "ms, ipv6 timeout %" PRIu64 "ms }\n    }\n", cut->table, ttl_ms, ttl_ms);
    if (result == 0) {
        put_chain(cut, who.data, other.data, true, ret_text);
        put_chain(cut, who.data, other.data, false, ret_text);
    }
    buf_puts(ret_text, "}\n");
    if (who.failed || other.failed || ret_text->failed)
        result = -E2BIG;
    buf_done(&who);
    buf_done(&other);
    return result;
}

/* ---- in the kernel --------------------------------------------------------------------------------------------------------- */

struct commands {
    const char *text;
    struct buf *output, *why;
};

static int run_there(void *context)
{
    struct commands *commands = context;

    return nft_run(commands->text, commands->output, commands->why);
}

static int run_inside(uint64_t name_space, pid_t hint, const char *text, struct buf *output, struct buf *why)
{
    struct commands commands = { text, output, why };

    return nft_inside(name_space, hint, run_there, &commands);
}

int cut_record(const struct cut *cut, char record[CUT_RECORD_MAX])
{
    struct process_id self;

    if (process_identify(getpid(), &self) < 0)
        return -EPROTO;
    snprintf(record, CUT_RECORD_MAX, "%s %" PRIu64 ":%016" PRIx64 " %d", cut->table, cut->name_space, self.boot, (int)cut->hint);
    return 0;
}

int cut_apply(const struct cut *cut, uint64_t ttl_ns, struct buf *why)
{
    struct buf text;
    int result;

    buf_init(&text, TEXT_MAX);
    buf_printf(&text, "create table inet %s\n", cut->table); /* one that is there already is not ours */
    result = cut_print(cut, ttl_ns, &text, why);
    if (result == 0)
        result = run_inside(cut->name_space, cut->hint, text.data, NULL, why);
    buf_done(&text);
    return result;
}

/* Deleted and added anew in one step, in which every packet finds either: before Linux 6.12 an element's timeout cannot be changed.
 * What has expired cannot be deleted, and then nothing is done. */
int cut_renew(const struct cut *cut, uint64_t ttl_ns)
{
    uint64_t ttl_ms = ttl_ns / NS_PER_MS;
    struct buf text;
    int result;

    buf_init(&text, 4096);
    buf_printf(&text, "delete element inet %s alive { ipv4, ipv6 }\nadd element inet %s alive { ipv4 timeout %" PRIu64 "ms, ipv6 timeout %" PRIu64 "ms }\n",
               cut->table, cut->table, ttl_ms, ttl_ms);
    result = run_inside(cut->name_space, cut->hint, text.data, NULL, NULL);
    buf_done(&text);
    return result == -ENOENT ? -ESTALE : result;
}

int cut_stop(const struct cut *cut)
{
    char command[CUT_TABLE_MAX + 40];

    snprintf(command, sizeof(command), "flush set inet %s alive\n", cut->table);
    return run_inside(cut->name_space, cut->hint, command, NULL, NULL);
}

int cut_count(const struct cut *cut, uint64_t *ret_packets, uint64_t *ret_bytes)
{
    char command[CUT_TABLE_MAX + 40];
    const char *packets;
    struct buf output;
    int result;

    buf_init(&output, TEXT_MAX);
    snprintf(command, sizeof(command), "list counter inet %s cut\n", cut->table);
    result = run_inside(cut->name_space, cut->hint, command, &output, NULL);
    packets = strstr(output.data, "packets ");
    if (result == 0 && (!packets || sscanf(packets, "packets %" SCNu64 " bytes %" SCNu64, ret_packets, ret_bytes) != 2))
        result = -EPROTO;
    buf_done(&output);
    return result;
}

int cut_remove(const char *record)
{
    char table[CUT_TABLE_MAX], command[2 * CUT_TABLE_MAX + 64];
    uint64_t name_space, boot;
    struct process_id self;
    int hint, result;

    if (sscanf(record, "%79s %" SCNu64 ":%" SCNx64 " %d", table, &name_space, &boot, &hint) != 4 || !is_table(table))
        return -EINVAL;
    if (process_identify(getpid(), &self) < 0)
        return -EPROTO;
    if (boot != self.boot)
        return 1; /* it went with its boot */
    snprintf(command, sizeof(command), "list table inet %s\n", table);
    result = run_inside(name_space, (pid_t)hint, command, NULL, NULL);
    if (result == -ENOENT)
        return 1;
    if (result < 0)
        return result;
    snprintf(command, sizeof(command), "add table inet %s\ndelete table inet %s\n", table, table); /* no error when another was quicker */
    result = run_inside(name_space, (pid_t)hint, command, NULL, NULL);
    if (result < 0)
        return result;
    snprintf(command, sizeof(command), "list table inet %s\n", table);
    return run_inside(name_space, (pid_t)hint, command, NULL, NULL) == -ENOENT ? 0 : -EBUSY;
}
