/* Who is under a control page: the slots that the shim and the supervisor fill, told in our own pid namespace. Control plane.
 *
 * 1. A slot is believed only as far as /proc bears it out: a living process of that number and start time.
 * 2. A process that has replaced itself (exec) by a program without the shim keeps its slot; whether it has the page mapped, its
 *    memory map says. */
#include "shims/host/page_priv.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/utf8.h"
#include "shims/host/namespace.h"
#include "shims/host/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { TREE_MAX = 1024, OTHERS_MAX = 4096 };

bool page_process_lives(pid_t pid, uint64_t start_ticks)
{
    struct process_id id;
    int result = pid > 0 ? process_identify(pid, &id) : -ESRCH;

    if (result < 0)
        return result != -ESRCH; /* what cannot be told counts as alive */
    return id.start_ticks == start_ticks && process_is_alive(&id);
}

/* The processes of other pid namespaces, looked up once for all slots of a page, and only if one of them is of such. */
struct others {
    uint64_t own_namespace;
    size_t count;
    bool looked;
    struct namespace_process list[OTHERS_MAX];
};

/* Our number of a slot's process; 0 when it has gone. */
static pid_t pid_of(const struct control_process *slot, pid_t inner, struct others *others)
{
    if (!slot->pid_namespace || slot->pid_namespace == others->own_namespace)
        return page_process_lives(inner, slot->start_ticks) ? inner : 0;
    if (!others->looked)
        others->count = namespace_list(others->list, OTHERS_MAX);
    others->looked = true;
    for (size_t i = 0; i < others->count; i++)
        if (others->list[i].inner == inner && others->list[i].pid_namespace == slot->pid_namespace &&
            others->list[i].start_ticks == slot->start_ticks)
            return others->list[i].pid;
    return 0;
}

static void read_comm(pid_t pid, char comm[16])
{
    char path[40];
    AUTO_CLOSE int fd = -1;
    ssize_t length;

    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    length = fd < 0 ? -1 : read(fd, comm, 16);
    if (length > 0)
        comm[length - 1] = '\0';
}

/* A process gives itself whatever name it likes. */
static void make_printable(char comm[16])
{
    comm[15] = '\0';
    utf8_make_showable(comm);
}

static uint32_t image_of(const struct page *page)
{
    return __atomic_load_n(&page->rules->generation, __ATOMIC_ACQUIRE) & 1;
}

void page_share(const struct page *page, uint32_t slot, size_t rule, struct control_share *ret_share)
{
    const struct control_share *share = &page->counters->processes[slot % CONTROL_PROCESSES_MAX].shares[image_of(page)][rule % CONTROL_SHARES_MAX];

    *ret_share = (struct control_share){ .matched = 0 };
    if (rule < CONTROL_SHARES_MAX)
        *ret_share = (struct control_share){ __atomic_load_n(&share->matched, __ATOMIC_RELAXED), __atomic_load_n(&share->fired, __ATOMIC_RELAXED) };
}

/* A supervisor does not see an exec as the shim does: the name is asked for when somebody wants it. */
static void describe(const struct page *page, uint32_t index, pid_t inner, struct others *others, struct page_process *ret_process)
{
    const struct control_process *slot = &page->counters->processes[index];
    int64_t asleep = __atomic_load_n(&slot->asleep, __ATOMIC_RELAXED);
    struct control_share share;

    *ret_process = (struct page_process){ .pid = pid_of(slot, inner, others), .inner = inner, .start_ticks = slot->start_ticks, .stream = slot->stream,
                                          .way_out = slot->way_out,
                                          .slot = index };
    memcpy(ret_process->comm, slot->comm, sizeof(ret_process->comm));
    if (ret_process->pid && asleep > 0)
        ret_process->asleep = (uint64_t)asleep;
    if (ret_process->pid && page->rules->supervised & CONTROL_SUPERVISED)
        read_comm(ret_process->pid, ret_process->comm);
    make_printable(ret_process->comm);
    for (size_t rule = 0; rule < CONTROL_SHARES_MAX; rule++) {
        page_share(page, index, rule, &share);
        ret_process->matched += share.matched;
        ret_process->fired += share.fired;
    }
}

static size_t collect(const struct page *page, bool with_gone, struct page_process *list, size_t max)
{
    static struct others others;
    size_t count = 0;

    others.own_namespace = namespace_of_pids();
    others.looked = false;
    for (uint32_t i = 0; i < CONTROL_PROCESSES_MAX && count < max; i++) {
        pid_t inner = (pid_t)__atomic_load_n(&page->counters->processes[i].pid, __ATOMIC_ACQUIRE);

        if (inner <= 0)
            continue;
        describe(page, i, inner, &others, &list[count]);
        count += with_gone || list[count].pid;
    }
    return count;
}

size_t page_processes(const struct page *page, struct page_process *list, size_t max)
{
    return collect(page, false, list, max);
}

size_t page_listed(const struct page *page, struct page_process *list, size_t max)
{
    return collect(page, true, list, max);
}

/* ---- those it does not reach ---------------------------------------------------------------------------------------------- */

/* By device and inode: the path in a memory map is that of another mount namespace, perhaps. True also when we may not look. */
static bool has_mapped(const struct page *page, pid_t pid)
{
    char path[40], line[512];
    unsigned int major_number, minor_number;
    uint64_t inode;
    struct stat status;
    bool found = false;
    FILE *maps;

    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    maps = fopen(path, "re");
    if (!maps || fstat(page->fd, &status) < 0) {
        if (maps)
            fclose(maps);
        return true;
    }
    while (!found && fgets(line, sizeof(line), maps))
        found = sscanf(line, "%*s %*s %*s %x:%x %" SCNu64, &major_number, &minor_number, &inode) == 3 && inode == status.st_ino &&
                makedev(major_number, minor_number) == status.st_dev;
    if (ferror(maps))
        found = true; /* it goes, or is none of ours */
    fclose(maps);
    return found;
}

static bool is_known(const struct page_process *list, size_t count, pid_t pid)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].pid == pid)
            return true;
    return false;
}

/* Takes the processes of one tree out of those whose trees are still to be looked at. */
static void strike(struct page_process *roots, size_t count, const struct process_id *tree, size_t tree_count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < tree_count && roots[i].pid; k++)
            if (roots[i].pid == tree[k].pid)
                roots[i].pid = 0;
}

size_t page_unseen(const struct page *page, struct page_process *list, size_t max)
{
    static struct page_process roots[CONTROL_PROCESSES_MAX];
    static struct process_id tree[TREE_MAX];
    size_t root_count = page_processes(page, roots, CONTROL_PROCESSES_MAX), count = 0;

    if (page->rules->supervised & CONTROL_SUPERVISED)
        return 0;
    for (size_t i = 0; i < root_count; i++) {
        int tree_count = roots[i].pid ? process_tree(roots[i].pid, tree, TREE_MAX) : 0;

        for (int k = 0; k < tree_count && count < max; k++) {
            if (is_known(list, count, tree[k].pid) || !process_is_alive(&tree[k]) || has_mapped(page, tree[k].pid))
                continue;
            list[count] = (struct page_process){ .pid = tree[k].pid, .inner = tree[k].pid, .start_ticks = tree[k].start_ticks };
            read_comm(tree[k].pid, list[count].comm);
            make_printable(list[count].comm);
            count++;
        }
        strike(roots, root_count, tree, tree_count > 0 ? (size_t)tree_count : 0);
    }
    return count;
}
