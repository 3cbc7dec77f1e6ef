/* What a host fault would be done to: which group, file system, namespace. Nothing is changed here. The preview of a run asks too. */
#include "controller/run/guardian_priv.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/vocab/decide.h"
#include "shims/host/hierarchy.h"
#include "shims/host/nft.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* ---- memory ------------------------------------------------------------------------------------------------------------------ */

static int refuse_memory(const struct guarded_target *target, int error, struct buf *why)
{
    buf_printf(why, "the memory of '%s' cannot be limited: %s", target->name,
               error == -ENOTSUP              ? "no memory control group is handed down to us; enable the memory controller for our parent group"
               : error == -EACCES || error == -EPERM || error == -EROFS ? "its memory control group is not writable; run as root, or delegate the memory controller"
                                              : strerror(-error));
    return error;
}

int host_memory_place(const struct guarded_target *target, const char *run_id, struct memory_group *ret_group, bool *ret_moves, struct buf *why)
{
    struct memory_group group = target->memory, parent, own;
    bool named = target->place[0] && memory_group_at(target->place, &group) == 0, moves = false;
    char name[128];
    int result = 0;

    if (target->adopted && !named)
        result = memory_group_of(target->id.pid, &group);
    else if (!target->adopted && group.version == MEMORY_NONE)
        result = target->memory_error ? target->memory_error : -ENOTSUP;
    if (result < 0)
        return refuse_memory(target, result, why);
    if (named && memory_is_protected(&group, 0)) {
        buf_printf(why, "the control group %s is a root, or holds perturb itself: it is never limited", group.path);
        return -EPERM;
    }
    if (target->adopted && memory_is_protected(&group, 0)) {
        snprintf(name, sizeof(name), "perturb-%.60s-%.47s", run_id, target->name);
        result = memory_group_of(0, &own);
        if (result == 0)
            result = memory_parent(&own, &parent);
        if (result == 0 && access(parent.path, W_OK) < 0)
            result = -errno;
        if (result == 0)
            result = memory_group_below(&parent, name, &group);
        moves = true;
    } else if (access(group.path, W_OK) < 0) {
        result = -errno;
    }
    if (result < 0)
        return refuse_memory(target, result, why);
    *ret_group = group;
    *ret_moves = moves;
    return 0;
}

/* ---- disk -------------------------------------------------------------------------------------------------------------------- */

int host_disk_place(const char *directory, bool system, const char *run_directory, struct buf *why)
{
    const char *const needed[] = { "/", "/boot", "/usr", "/etc", "/var", "/var/lib", "/var/log", "/home", "/tmp", "/run", "/dev/shm", run_directory };
    struct stat there, other;

    if (stat(directory, &there) < 0 || !S_ISDIR(there.st_mode)) {
        buf_printf(why, "path: %s is no directory here", directory);
        return -ENOTDIR;
    }
    if (access(directory, W_OK) < 0) {
        buf_printf(why, "path: %s is not writable for us", directory);
        return -EACCES;
    }
    for (size_t i = 0; i < ARRAY_SIZE(needed) && !system; i++)
        if (stat(needed[i], &other) == 0 && other.st_dev == there.st_dev) {
            buf_printf(why, "path: %s lies on the file system of %s, which the machine or this run lives on; name a directory on another one, or allow it by system: true",
                       directory, needed[i]);
            return -EPERM;
        }
    return 0;
}

/* ---- network ----------------------------------------------------------------------------------------------------------------- */

static bool is_second_version(const char *path)
{
    char file[GROUP_PATH_MAX + 32];

    snprintf(file, sizeof(file), "%s/cgroup.events", path);
    return access(file, F_OK) == 0;
}

/* The version 2 group that tells the target's sockets from others'. */
static int find_group(const struct guarded_target *target, char path[GROUP_PATH_MAX], struct buf *why)
{
    char own[GROUP_PATH_MAX];
    size_t length;
    int result = 0;

    if (!target->adopted)
        snprintf(path, GROUP_PATH_MAX, "%s", target->group);
    else if (target->place[0] && is_second_version(target->place))
        snprintf(path, GROUP_PATH_MAX, "%s", target->place);
    else
        result = hierarchy_of(target->id.pid, NULL, path);
    if (result < 0 || !path[0]) {
        buf_printf(why, "'%s' has no control group (version 2), by which the kernel could tell its packets; run as root, or give it a network namespace", target->name);
        return -ENOTSUP;
    }
    length = strlen(path);
    if (hierarchy_of(0, NULL, own) == 0 && !strncmp(own, path, length) && (own[length] == '/' || !own[length])) {
        buf_printf(why, "'%s' shares its control group %s with perturb itself; give it one of its own (version 2), or a network namespace", target->name, path);
        return -EPERM;
    }
    return 0;
}

static int find_other(const struct plan_rule *rule, const struct guarded_target *other, struct cut *cut, struct buf *why)
{
    uint64_t name_space;
    int result;

    if (!other) {
        cut->peer_count = rule->to[0] != '\0';
        return rule->to[0] ? address_match_parse(rule->to, &cut->peers[0]) : 0;
    }
    result = nft_namespace(other->id.pid, &name_space);
    if (result < 0)
        return result;
    if (name_space == cut->name_space)
        return find_group(other, cut->other, why);
    result = cut_addresses(name_space, other->id.pid, cut->peers, CUT_PEERS_MAX);
    if (result == 0)
        buf_printf(why, "the network namespace of '%s' has no address to be cut off from", other->name);
    cut->peer_count = result > 0 ? (size_t)result : 0;
    return result > 0 ? 0 : result ? result : -EADDRNOTAVAIL;
}

int host_cut_place(const struct plan_rule *rule, const struct guarded_target *target, const struct guarded_target *other, struct cut *ret_cut,
                   struct buf *why)
{
    struct cut cut = { .hint = target->id.pid, .direction = (enum cut_direction)rule->params.HOST_partition.direction,
                       .mode = (enum cut_mode)rule->params.HOST_partition.mode };
    uint64_t own;
    int result = nft_namespace(0, &own);

    if (result == 0)
        result = nft_namespace(cut.hint, &cut.name_space);
    if (result == 0)
        result = find_other(rule, other, &cut, why);
    if (result == 0 && (cut.name_space == own || cut.other[0]))
        result = find_group(target, cut.group, why);
    if (result == 0)
        *ret_cut = cut;
    return result;
}
