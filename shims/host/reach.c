/* From facts to words: what cannot take effect, and why. Control plane. */
#include "shims/host/inspect.h"

#include "shims/host/preload.h"
#include "shims/include/calls.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_mounted_apart(pid_t pid)
{
    char path[40], own[64], its[64];
    ssize_t own_length = readlink("/proc/self/ns/mnt", own, sizeof(own)), its_length;

    snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
    its_length = readlink(path, its, sizeof(its));
    return own_length > 0 && its_length > 0 && (own_length != its_length || memcmp(own, its, (size_t)own_length) != 0);
}

const char *inspect_unreachable(struct inspection *inspection)
{
    const char *text = NULL;

    if (inspection->linkage == LINKAGE_FOREIGN)
        text = "it is built for another machine or 32 bits: libperturb.so cannot be loaded into it. A stream fault (to=HOST:PORT "
               "needs the shim too, a proxy of a playbook does not) and host faults reach it";
    else if (inspection->linkage == LINKAGE_STATIC && inspection->is_go)
        text = "it is a static Go program: it loads no library and makes its system calls itself. --backend seccomp, proxies of a "
               "playbook and host faults reach it";
    else if (inspection->linkage == LINKAGE_STATIC)
        text = "it is linked statically: a preloaded library is ignored without a word. --backend seccomp, proxies of a playbook "
               "and host faults reach it";
    else if (inspection->is_setuid)
        text = "it is set-user-ID or set-group-ID: the loader drops the preload. Start it as its owner, or use proxies and host "
               "faults";
    else if (inspection->pid && !inspection->has_shim)
        text = "it runs without the shim: `perturb attach PID` brings it in, or start it with `perturb exec -- CMD`. Proxies of a playbook and host "
               "faults reach it as it is";
    else if (inspection->pid && !inspection->has_page && is_mounted_apart(inspection->pid))
        text = "the shim is loaded, but it was started in another mount namespace, where the path of the control page is not to be seen. "
               "Faults on processes outside of it, proxies of a playbook and host faults reach the program; so would a bind mount of the registry";
    else if (inspection->pid && !inspection->has_page)
        text = "the shim is loaded but found no control page it could use: another user's, one that is gone, or of another version";
    if (!text)
        return NULL;
    snprintf(inspection->reason, sizeof(inspection->reason), "%s", text);
    return inspection->reason;
}

const char *inspect_unsupervisable(const struct inspection *inspection)
{
    if (inspection->linkage == LINKAGE_FOREIGN)
        return "it is built for another machine or 32 bits: the filter lets the calls of another architecture pass";
    if (inspection->is_setuid && geteuid() != 0)
        return "it is set-user-ID or set-group-ID: under an ordinary user's filter it runs without its privileges";
    if (inspection->pid)
        return "it runs already: a filter is installed before a program starts";
    return NULL;
}

enum backend inspect_backend(struct inspection *inspection, const char **ret_why)
{
    bool shim = !inspect_unreachable(inspection);

    *ret_why = NULL;
    if (shim && !inspection->is_go)
        return BACKEND_PRELOAD;
    if (inspect_unsupervisable(inspection))
        return shim ? BACKEND_PRELOAD : (enum backend)0;
    *ret_why = inspection->is_go                        ? "a Go program makes its system calls itself, past libc" :
               inspection->linkage == LINKAGE_STATIC ? "a static program loads no library" :
                                                       "the loader drops the preload of a set-user-ID program";
    return BACKEND_SUPERVISE;
}

static bool makes_system_calls(uint64_t points)
{
    for (size_t i = 0; i < call_count; i++)
        if ((call_descs[i].points & points) && call_descs[i].number >= 0)
            return true;
    return false;
}

const char *inspect_beyond_supervisor(enum fault_id fault, uint64_t points)
{
    if (fault == FAULT_CALL_clock)
        return "a clock is read in the vDSO, without a system call, so a supervisor does not see it";
    if (fault == FAULT_CALL_dns_fail)
        return "a name is looked up by a library; of that a supervisor sees only datagrams. Faults on a proxy of the name server act on "
               "those (playbooks/dns-loss.yaml)";
    if (!(fault_descs[fault].backends & BACKEND_SUPERVISE))
        return "it acts on library calls that make no system call, which a supervisor does not see";
    if (points == POINT_BIT(code))
        return "a point in the program's own code makes no system call";
    if (!makes_system_calls(points))
        return "its calls make no system call that could be told by its number";
    if (fault == FAULT_CALL_fail && points == POINT_BIT(close))
        return "a supervisor cannot close the program's descriptor, so a close that fails would leave it open";
    return NULL;
}

static bool owns_allocator(const struct inspection *inspection)
{
    const char *slash = strrchr(inspection->path, '/');

    return inspection->allocator[0] && slash && !strcmp(inspection->allocator, slash + 1);
}

static void point_names(uint64_t points, char *text, size_t size)
{
    size_t length = 0;

    text[0] = '\0';
    for (size_t i = 0; i < POINT_COUNT && length < size; i++)
        if (points & BIT(i))
            length += (size_t)snprintf(text + length, size - length, "%s%s", length ? ", " : "", point_descs[i].name);
}

const char *inspect_obstacle(const struct inspection *inspection, enum fault_id fault, uint64_t points, char *room, size_t size)
{
    char names[160];

    if (!inspection->imports_known)
        return NULL;
    if (fault == FAULT_CALL_alloc_fail && owns_allocator(inspection)) {
        snprintf(room, size, "the program defines malloc itself, so its allocations pass no library call");
        return room;
    }
    if (inspection->has_shim && !inspection->sees_releases && points && !(points & ~PRELOAD_WATCHING)) {
        snprintf(room, size, "its libperturb.so leaves releases and condition waits alone; `exec` with such a fault, or --watch-locks, brings "
                             "the library that wraps them");
        return room;
    }
    if ((points & inspection->points) || (inspection->loads_more && !inspection->pid))
        return NULL;
    if (points == POINT_BIT(code)) {
        snprintf(room, size, "neither the program nor its libraries have a PERTURB_POINT in their code");
        return room;
    }
    point_names(points, names, sizeof(names));
    snprintf(room, size, "neither the program nor its libraries import a call of: %s%s", names,
             (points & POINT_BIT(write)) && inspection->uses_stdio ? " (printf and the like write from inside libc)" : "");
    return room;
}

/* Which selector of the rule is the one to doubt. */
static const char *narrowing(const struct plan_rule *rule)
{
    const struct selector *selector = &rule->selector;

    if (selector->label[0])
        return "label";
    if (selector->path[0])
        return "path";
    if (selector->peer.present)
        return "peer";
    if (selector->host[0])
        return "host";
    if (selector->caller[0])
        return "caller";
    if (selector->thread[0])
        return "thread";
    if (selector->fd >= 0)
        return "fd";
    return selector->size_min || selector->size_max != UINT64_MAX ? "size" : NULL;
}

/* What a call of its point needs besides, for the fault to match. */
static const char *what_it_takes(uint32_t fault)
{
    switch (fault) {
    case FAULT_CALL_short_io:
        return " that asked for more than its size";
    case FAULT_CALL_drop_connection:
        return " on a TCP connection";
    case FAULT_CALL_torn_write:
        return " that crosses the end of a sector of a file (mapped files and io_uring are not seen)";
    case FAULT_CALL_disk_error:
    case FAULT_CALL_disk_full:
    case FAULT_CALL_corrupt:
    case FAULT_CALL_lost_writes:
        return " on a file (pipes, sockets and terminals are none; mapped files and io_uring are not seen)";
    default:
        return "";
    }
}

const char *inspect_silence(const struct inspection *inspection, const struct plan_rule *rule, char *room, size_t size)
{
    const char *selector = narrowing(rule);
    char names[160];

    if (fault_descs[rule->fault].layer != LAYER_CALL) {
        snprintf(room, size, "no connection to that address was made while it was armed (io_uring and static programs pass by)");
        return room;
    }
    if (inspection && inspect_obstacle(inspection, (enum fault_id)rule->fault, rule->points, room, size))
        return room;
    if (selector) {
        snprintf(room, size, "no call met the selector %s", selector);
        return room;
    }
    point_names(rule->points, names, sizeof(names));
    snprintf(room, size, "no call of %s was made%s%s%s", names,
             what_it_takes(rule->fault),
             inspection && inspection->uses_io_uring ? "; the program uses io_uring, which passes no libc call" : "",
             inspection && inspection->uses_stdio && (rule->points & (POINT_BIT(write) | POINT_BIT(read))) ?
                 "; printf, getc and the like read and write inside libc, where the shim is not" :
                 "");
    return room;
}
