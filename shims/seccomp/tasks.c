/* Processes, threads, streams, ordinals. */
#include "shims/seccomp/tasks.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/rng.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

enum { ANCESTORS_MAX = 16, LIST_MAX = 8192, FILE_ROOM = 16384 };

#define ORPHANS (UINT64_C(1) << 32)

/* ---- what /proc says -------------------------------------------------------------------------------------------------- */

static ssize_t read_file(const char *name, char *text, size_t size)
{
    AUTO_CLOSE int fd = open(name, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t got = -1;

    while (fd >= 0 && length < size - 1 && (got = read(fd, text + length, size - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = '\0';
    return fd < 0 || got < 0 ? -1 : (ssize_t)length;
}

static bool number_after(const char *text, const char *word, pid_t *ret_number)
{
    const char *place = strstr(text, word);

    if (!place)
        return false;
    *ret_number = (pid_t)strtol(place + strlen(word), NULL, 10);
    return *ret_number > 0;
}

/* Its process and that one's parent. */
static bool read_family(pid_t tid, pid_t *ret_pid, pid_t *ret_parent)
{
    char name[32], text[2048];

    snprintf(name, sizeof(name), "/proc/%d/status", (int)tid);
    if (read_file(name, text, sizeof(text)) <= 0 || !number_after(text, "\nTgid:", ret_pid))
        return false;
    if (!number_after(text, "\nPPid:", ret_parent))
        *ret_parent = 0;
    return true;
}

/* Fields 2 and 22 of /proc/PID/stat. */
static void describe(struct control_process *slot, pid_t pid)
{
    char name[32], text[1024];
    const char *open_paren, *place;
    size_t length;

    snprintf(name, sizeof(name), "/proc/%d/stat", (int)pid);
    memset(slot->comm, 0, sizeof(slot->comm));
    slot->start_ticks = 0;
    if (read_file(name, text, sizeof(text)) <= 0 || !(open_paren = strchr(text, '(')) || !(place = strrchr(text, ')')))
        return;
    length = (size_t)(place - open_paren - 1);
    memcpy(slot->comm, open_paren + 1, length < sizeof(slot->comm) ? length : sizeof(slot->comm) - 1);
    for (int field = 2; place && field < 22; field++) {
        place = strchr(place, ' ');
        place = place ? place + 1 : NULL;
    }
    slot->start_ticks = place ? strtoull(place, NULL, 10) : 0;
}

static int by_value(const void *a, const void *b)
{
    const pid_t *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

static size_t list_threads(pid_t pid, pid_t *list)
{
    const struct dirent *entry;
    size_t count = 0;
    char name[32];
    DIR *folder;

    snprintf(name, sizeof(name), "/proc/%d/task", (int)pid);
    folder = opendir(name);
    while (folder && count < LIST_MAX && (entry = readdir(folder)))
        if (entry->d_name[0] != '.')
            list[count++] = (pid_t)strtol(entry->d_name, NULL, 10);
    if (folder)
        closedir(folder);
    qsort(list, count, sizeof(*list), by_value);
    return count;
}

/* Children of each of its threads. Nothing where the kernel does not list them (CONFIG_PROC_CHILDREN). */
static size_t list_children(pid_t pid, pid_t *list)
{
    pid_t *threads = malloc(LIST_MAX * sizeof(*threads));
    size_t thread_count = threads ? list_threads(pid, threads) : 0, count = 0;
    char name[64], *text = malloc(FILE_ROOM), *place, *end;

    for (size_t i = 0; text && i < thread_count; i++) {
        snprintf(name, sizeof(name), "/proc/%d/task/%d/children", (int)pid, (int)threads[i]);
        if (read_file(name, text, FILE_ROOM) <= 0)
            continue;
        for (place = text; count < LIST_MAX && (list[count] = (pid_t)strtol(place, &end, 10)) > 0 && end != place; place = end)
            count++;
    }
    qsort(list, count, sizeof(*list), by_value);
    free(threads);
    free(text);
    return count;
}

/* ---- the tables ------------------------------------------------------------------------------------------------------- */

static size_t bucket(pid_t number)
{
    return (size_t)number % TASK_BUCKETS;
}

static struct process *process_find(const struct tasks *tasks, pid_t pid)
{
    struct process *process = tasks->processes[bucket(pid)];

    while (process && process->pid != pid)
        process = process->next;
    return process;
}

static struct thread *thread_find(const struct tasks *tasks, pid_t tid)
{
    struct thread *thread = tasks->threads[bucket(tid)];

    while (thread && thread->tid != tid)
        thread = thread->next;
    return thread;
}

static struct control_process *slot_take(struct control_counters *counters, pid_t pid)
{
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < CONTROL_PROCESSES_MAX; i++) {
            struct control_process *slot = &counters->processes[i];

            if (slot->pid && (!round || (slot->start_ticks && (kill((pid_t)slot->pid, 0) == 0 || errno != ESRCH))))
                continue;
            describe(slot, pid);
            return slot;
        }
    __atomic_fetch_add(&counters->unlisted, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* It stays listed, with its counts, until its place is wanted; no living process has begun at 0. */
static void slot_leave(struct control_process *slot)
{
    if (slot)
        slot->start_ticks = 0;
}

static struct process *process_enter(struct tasks *tasks, pid_t pid, uint64_t base)
{
    struct process *process = calloc(1, sizeof(*process));

    if (!process)
        return NULL;
    process->pid = pid;
    process->base = base;
    process->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    tasks->watched += process->pidfd >= 0;
    process->slot = slot_take(tasks->counters, pid);
    if (process->slot) {
        process->slot->pid_namespace = 0; /* as we see it */
        process->slot->asleep = 0;
        memset(process->slot->shares, 0, sizeof(process->slot->shares));
        process->slot->stream = base;
        process->slot->forks = 0;
        __atomic_store_n(&process->slot->pid, (uint32_t)pid, __ATOMIC_RELEASE);
    }
    process->next = tasks->processes[bucket(pid)];
    tasks->processes[bucket(pid)] = process;
    tasks->on_process(tasks->context, process);
    return process;
}

static struct process *enter_children(struct tasks *tasks, struct process *parent, pid_t wanted)
{
    pid_t *list = malloc(LIST_MAX * sizeof(*list));
    size_t count = list ? list_children(parent->pid, list) : 0;
    bool found = !wanted;

    for (size_t i = 0; i < count; i++) {
        found |= list[i] == wanted;
        if (!process_find(tasks, list[i]))
            process_enter(tasks, list[i], rng_mix(parent->base, ++parent->forks));
    }
    free(list);
    if (!found && !process_find(tasks, wanted))
        process_enter(tasks, wanted, rng_mix(parent->base, ++parent->forks));
    return wanted ? process_find(tasks, wanted) : NULL;
}

/* A process that is new: through its nearest ancestor that is known, each generation on the way being entered. */
static struct process *process_meet(struct tasks *tasks, pid_t pid, pid_t parent)
{
    pid_t line[ANCESTORS_MAX] = { pid };
    struct process *known = NULL;
    size_t depth = 1;

    while (parent > 1 && depth < ANCESTORS_MAX && !(known = process_find(tasks, parent))) {
        pid_t self;

        line[depth++] = parent;
        if (!read_family(line[depth - 1], &self, &parent))
            parent = 0;
    }
    if (!known)
        return process_enter(tasks, pid, rng_mix(tasks->first_base, ORPHANS + ++tasks->orphans));
    while (known && depth)
        known = enter_children(tasks, known, line[--depth]);
    return known;
}

static struct thread *thread_enter(struct tasks *tasks, struct process *process, pid_t tid)
{
    struct thread *thread = calloc(1, sizeof(*thread));

    if (!thread)
        return NULL;
    thread->tid = tid;
    thread->process = process;
    thread->stream = tid == process->pid ? process->base : process->base + ++process->threads;
    thread->held = -1;
    thread->next = tasks->threads[bucket(tid)];
    tasks->threads[bucket(tid)] = thread;
    return thread;
}

static void enter_threads(struct tasks *tasks, struct process *process)
{
    pid_t *list = malloc(LIST_MAX * sizeof(*list));
    size_t count = list ? list_threads(process->pid, list) : 0;

    for (size_t i = 0; i < count; i++)
        if (!thread_find(tasks, list[i]))
            thread_enter(tasks, process, list[i]);
    free(list);
}

struct thread *tasks_thread(struct tasks *tasks, pid_t tid)
{
    struct thread *thread = thread_find(tasks, tid);
    struct process *process;
    pid_t pid, parent;

    if (thread)
        return thread;
    if (!read_family(tid, &pid, &parent))
        return NULL;
    process = process_find(tasks, pid);
    if (!process)
        process = process_meet(tasks, pid, parent);
    if (!process)
        return NULL;
    enter_threads(tasks, process);
    thread = thread_find(tasks, tid);
    return thread ? thread : thread_enter(tasks, process, tid);
}

int tasks_begin(struct tasks *tasks, pid_t first)
{
    tasks->ordinals = calloc(ORDINALS, sizeof(*tasks->ordinals));
    tasks->first_base = 1;
    return tasks->ordinals && process_enter(tasks, first, tasks->first_base) ? 0 : -ENOMEM;
}

/* ---- the end ---------------------------------------------------------------------------------------------------------- */

void tasks_thread_gone(struct tasks *tasks, pid_t tid)
{
    struct thread **place = &tasks->threads[bucket(tid)], *thread;

    while (*place && (*place)->tid != tid)
        place = &(*place)->next;
    thread = *place;
    if (!thread)
        return;
    *place = thread->next;
    tasks->on_gone(tasks->context, thread);
    free(thread);
}

void tasks_enter_children(struct tasks *tasks, pid_t pid)
{
    struct process *process = process_find(tasks, pid);

    if (process && process->slot)
        describe(process->slot, pid); /* the name that exec has given it */
    if (process)
        (void)enter_children(tasks, process, 0);
}

void tasks_process_gone(struct tasks *tasks, pid_t pid)
{
    struct process **place = &tasks->processes[bucket(pid)], *process;

    while (*place && (*place)->pid != pid)
        place = &(*place)->next;
    process = *place;
    if (!process)
        return;
    for (size_t i = 0; i < TASK_BUCKETS; i++)
        for (struct thread *thread = tasks->threads[i], *next; thread; thread = next) {
            next = thread->next;
            if (thread->process == process)
                tasks_thread_gone(tasks, thread->tid);
        }
    *place = process->next;
    slot_leave(process->slot);
    if (process->pidfd >= 0)
        close(process->pidfd);
    tasks->watched -= process->pidfd >= 0;
    free(process);
}

bool tasks_any(const struct tasks *tasks)
{
    return tasks->watched > 0;
}

void tasks_all_gone(struct tasks *tasks)
{
    for (size_t i = 0; i < TASK_BUCKETS; i++)
        for (const struct process *process = tasks->processes[i]; process; process = process->next)
            slot_leave(process->slot);
}

/* ---- ordinals --------------------------------------------------------------------------------------------------------- */

/* Counts of an older plan are of no use: the table is emptied for a new epoch. */
static struct ordinal *ordinal_place(struct tasks *tasks, uint64_t stream, uint32_t rule, uint64_t epoch)
{
    uint64_t key = rng_mix(stream, (uint64_t)rule + 1);

    if (tasks->ordinal_epoch != epoch) {
        memset(tasks->ordinals, 0, ORDINALS * sizeof(*tasks->ordinals));
        tasks->ordinal_epoch = epoch;
        tasks->ordinal_count = 0;
    }
    key = key ? key : 1;
    for (size_t i = key % ORDINALS;; i = (i + 1) % ORDINALS) {
        struct ordinal *ordinal = &tasks->ordinals[i];

        if (ordinal->key == key)
            return ordinal;
        if (ordinal->key)
            continue;
        if (tasks->ordinal_count >= ORDINALS - ORDINALS / 8)
            return NULL;
        tasks->ordinal_count++;
        ordinal->key = key;
        return ordinal;
    }
}

uint64_t tasks_ordinal(struct tasks *tasks, uint64_t stream, uint32_t rule, uint64_t epoch)
{
    struct ordinal *ordinal = ordinal_place(tasks, stream, rule, epoch);

    return ordinal ? ++ordinal->count : 0;
}

bool tasks_turn(struct tasks *tasks, uint64_t stream, uint32_t rule, uint64_t epoch, uint64_t turn)
{
    struct ordinal *ordinal = ordinal_place(tasks, stream, rule + PLAN_RULES_MAX, epoch);
    bool is_first = ordinal && ordinal->count != turn;

    if (is_first)
        ordinal->count = turn;
    return is_first;
}
