/* Capture by nftables. */
#include "shims/host/capture.h"

#include "scenarios/base/clock.h"
#include "scenarios/vocab/decide.h"
#include "shims/host/nft.h"
#include "shims/host/process.h"

#include <errno.h>
#include <inttypes.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TEXT_MAX = 64 << 10, PRIORITY = -110 }; /* before the nat chains of others, which stand at -100 (dstnat) */

#define TABLE_PREFIX "perturb_"
#define GROUP_ROOT "/sys/fs/cgroup/" /* where nft looks paths up, wherever version 2 is mounted below */

/* ---- names ------------------------------------------------------------------------------------------------------------ */

/* A run's id as an identifier of nft. */
static void table_of(const char *run_id, char table[CAPTURE_TABLE_MAX])
{
    snprintf(table, CAPTURE_TABLE_MAX, TABLE_PREFIX "%s", run_id);
    for (char *at = table; *at; at++)
        if (*at == '-')
            *at = '_';
}

static bool is_table(const char *table)
{
    return !strncmp(table, TABLE_PREFIX, strlen(TABLE_PREFIX)) &&
           strspn(table, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(table);
}

/* The network namespace and the boot that we are in. */
static int find_place(uint64_t *ret_namespace, uint64_t *ret_boot)
{
    struct process_id self;
    char link[64];
    ssize_t length = readlink("/proc/self/ns/net", link, sizeof(link) - 1);

    if (length < 0)
        return -errno;
    link[length] = '\0';
    if (sscanf(link, "net:[%" SCNu64 "]", ret_namespace) != 1 || process_identify(getpid(), &self) < 0)
        return -EPROTO;
    *ret_boot = self.boot;
    return 0;
}

int capture_record(const char *run_id, char record[CAPTURE_RECORD_MAX])
{
    char table[CAPTURE_TABLE_MAX];
    uint64_t name_space, boot;
    int result = find_place(&name_space, &boot);

    if (result < 0)
        return result;
    table_of(run_id, table);
    snprintf(record, CAPTURE_RECORD_MAX, "%s %" PRIu64 ":%016" PRIx64, table, name_space, boot);
    return 0;
}

/* ---- the library ------------------------------------------------------------------------------------------------------ */

/* The library's context is opaque; its socket is the table's owner. */
int capture_hold(const char *run_id, struct capture_hold **ret_hold)
{
    struct nft_ctx *context = nft_ctx_new(NFT_CTX_DEFAULT);
    char table[CAPTURE_TABLE_MAX], commands[CAPTURE_TABLE_MAX + 160];
    int result;

    if (!context)
        return -ENOMEM;
    table_of(run_id, table);
    snprintf(commands, sizeof(commands),
             "table inet %s_hold {\n    flags owner\n    chain output {\n        type nat hook output priority %d; policy accept;\n"
             "        ct state new accept\n    }\n}\n",
             table, PRIORITY + 1);
    result = nft_run_in(context, commands, NULL, NULL);
    if (result < 0) {
        nft_ctx_free(context);
        return result == -EPERM ? -EPERM : -ENOTSUP;
    }
    *ret_hold = (struct capture_hold *)context;
    return 0;
}

void capture_unhold(struct capture_hold *hold)
{
    if (hold)
        nft_ctx_free((struct nft_ctx *)hold);
}

static int find_table(const char *table)
{
    char command[CAPTURE_TABLE_MAX + 32];

    snprintf(command, sizeof(command), "list table inet %s\n", table);
    return nft_run(command, NULL, NULL);
}

int capture_is_possible(struct buf *why)
{
    return nft_is_possible(why);
}

/* ---- rules ------------------------------------------------------------------------------------------------------------ */

int capture_check(const struct capture_spec *specs, size_t count)
{
    if (!count || count > CAPTURES_MAX)
        return -EPROTO;
    for (size_t i = 0; i < count; i++) {
        const struct capture_spec *spec = &specs[i];

        if (!memchr(spec->proxy, '\0', sizeof(spec->proxy)) || !memchr(spec->target, '\0', sizeof(spec->target)) ||
            !memchr(spec->group, '\0', sizeof(spec->group)) || spec->whose > CAPTURE_GROUP || !spec->listen_port || !spec->port_count ||
            spec->port_count > CAPTURE_PORTS_MAX || spec->network_count > CAPTURE_NETWORKS_MAX)
            return -EPROTO;
    }
    return 0;
}

static void put_elements(const struct capture_spec *spec, uint64_t ttl_ns, struct buf *text)
{
    for (uint16_t i = 0; i < spec->port_count; i++) {
        buf_printf(text, "%s%u", i ? ", " : "", spec->ports[i]);
        if (ttl_ns)
            buf_printf(text, " timeout %" PRIu64 "ms", ttl_ns / NS_PER_MS);
    }
}

static int put_owner(const struct capture_spec *spec, struct buf *text, struct buf *why)
{
    unsigned level;
    int result;

    if (spec->whose == CAPTURE_USER)
        buf_printf(text, "meta skuid %" PRIu32 " ", spec->uid);
    if (spec->whose != CAPTURE_GROUP)
        return 0;
    result = group_level(spec->group, &level);
    if (result == 0 && spec->listen_port && access(spec->group, F_OK) < 0)
        result = -errno;
    if (result == 0 && (strncmp(spec->group, GROUP_ROOT, strlen(GROUP_ROOT)) != 0 || strpbrk(spec->group, "\"\\\n")))
        result = -ENOTSUP;
    if (result < 0) {
        buf_printf(why, "'%s' is no control group (version 2) that nft can name: %s", spec->group, strerror(-result));
        return result;
    }
    buf_printf(text, "socket cgroupv2 level %u \"%s\" ", level, spec->group + strlen(GROUP_ROOT));
    return 0;
}

/* The networks of one family; false when the spec has networks, but none of it. */
static bool put_networks(const struct capture_spec *spec, int family, struct buf *text)
{
    char address[80];
    unsigned found = 0;

    for (uint16_t i = 0; i < spec->network_count; i++)
        if (spec->networks[i].family == family && address_match_print(&spec->networks[i], address, sizeof(address)) == 0)
            buf_printf(text, "%s%s", found++ ? ", " : family == AF_INET ? "ip daddr { " : "ip6 daddr { ", address);
    if (found)
        buf_puts(text, " } ");
    return found || !spec->network_count;
}

static int put_rule(const struct capture_spec *spec, size_t index, int family, struct buf *text, struct buf *why)
{
    struct buf networks;
    int result = 0;

    buf_init(&networks, 4096);
    if (put_networks(spec, family, &networks)) {
        buf_puts(text, "        ");
        result = put_owner(spec, text, why);
        buf_printf(text, "%stcp dport @ports%zu redirect to :", networks.data, index);
        if (spec->listen_port)
            buf_printf(text, "%u\n", spec->listen_port);
        else
            buf_printf(text, "PORT-OF-%s\n", spec->proxy);
    }
    buf_done(&networks);
    return result;
}

int capture_print(const char *run_id, const struct capture_spec *specs, size_t count, uint64_t ttl_ns, struct buf *ret_text, struct buf *why)
{
    char table[CAPTURE_TABLE_MAX];
    int result = 0;

    table_of(run_id, table);
    buf_printf(ret_text, "table inet %s {\n", table);
    for (size_t i = 0; i < count; i++) {
        buf_printf(ret_text, "    set ports%zu {\n        type inet_service\n        flags timeout\n        elements = { ", i);
        put_elements(&specs[i], ttl_ns, ret_text);
        buf_puts(ret_text, " }\n    }\n");
    }
    buf_printf(ret_text, "    chain output {\n        type nat hook output priority %d; policy accept;\n        meta mark 0x%08" PRIx32 " accept\n",
               PRIORITY, CAPTURE_MARK);
    for (size_t i = 0; i < count && result == 0; i++) {
        result = put_rule(&specs[i], i, AF_INET, ret_text, why);
        if (result == 0 && specs[i].network_count)
            result = put_rule(&specs[i], i, AF_INET6, ret_text, why);
    }
    buf_puts(ret_text, "    }\n}\n");
    return result < 0 ? result : ret_text->failed ? -E2BIG : 0;
}

int capture_apply(const char *run_id, const struct capture_spec *specs, size_t count, uint64_t ttl_ns, struct buf *why)
{
    char table[CAPTURE_TABLE_MAX];
    struct buf text;
    int result;

    table_of(run_id, table);
    buf_init(&text, TEXT_MAX);
    buf_printf(&text, "create table inet %s\n", table); /* of an id of its own: one that is there already is not ours */
    result = capture_print(run_id, specs, count, ttl_ns, &text, why);
    if (result == 0)
        result = nft_run(text.data, NULL, why);
    buf_done(&text);
    return result;
}

/* Deleted and added anew in one step, in which every packet finds either: before Linux 6.12 an element's timeout cannot be
 * changed. What has expired cannot be deleted, and then nothing is done. */
int capture_renew(const char *run_id, const struct capture_spec *specs, size_t count, uint64_t ttl_ns)
{
    char table[CAPTURE_TABLE_MAX];
    struct buf text;
    int result;

    table_of(run_id, table);
    buf_init(&text, TEXT_MAX);
    for (size_t i = 0; i < count; i++) {
        buf_printf(&text, "delete element inet %s ports%zu { ", table, i);
        put_elements(&specs[i], 0, &text);
        buf_printf(&text, " }\nadd element inet %s ports%zu { ", table, i);
        put_elements(&specs[i], ttl_ns, &text);
        buf_puts(&text, " }\n");
    }
    result = text.failed ? -E2BIG : nft_run(text.data, NULL, NULL);
    buf_done(&text);
    return result == -ENOENT ? -ESTALE : result;
}

int capture_remove(const char *record)
{
    char table[CAPTURE_TABLE_MAX], command[2 * CAPTURE_TABLE_MAX + 64];
    uint64_t name_space, boot, own_namespace, own_boot;
    int result;

    if (sscanf(record, "%63s %" SCNu64 ":%" SCNx64, table, &name_space, &boot) != 3 || !is_table(table))
        return -EINVAL;
    result = find_place(&own_namespace, &own_boot);
    if (result < 0)
        return result;
    if (boot != own_boot)
        return 1; /* it went with its boot */
    if (name_space != own_namespace)
        return -EXDEV;
    result = find_table(table);
    if (result == -ENOENT)
        return 1;
    if (result < 0)
        return result;
    snprintf(command, sizeof(command), "add table inet %s\ndelete table inet %s\n", table, table); /* no error when another was quicker */
    result = nft_run(command, NULL, NULL);
    if (result < 0)
        return result;
    return find_table(table) == -ENOENT ? 0 : -EBUSY;
}
