/* Stack samples of a target and its children, all threads, by libdw from outside: a thread stands still only while its registers and
 * the top of its stack are copied. A thread that cannot be read is told with the reason. */
#include "controller/probe/probe_priv.h"

#include "shims/host/process.h"
#include "shims/host/symbols.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE_EVERY_MS = 50 };

static void put_name(struct buf *content, pid_t pid, pid_t tid)
{
    char path[64], name[64] = "";
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", (int)pid, (int)tid);
    file = fopen(path, "re");
    if (file) {
        (void)!fgets(name, sizeof(name), file);
        fclose(file);
    }
    name[strcspn(name, "\n")] = '\0';
    buf_printf(content, "thread %d %s\n", (int)tid, name);
}

static void put_thread(struct buf *content, struct stacks *stacks, pid_t pid, pid_t tid)
{
    char text[SYMBOL_TEXT_MAX];
    struct stack stack = { 0 };
    int result = stacks_take(stacks, tid, &stack);

    put_name(content, pid, tid);
    if (result < 0)
        buf_printf(content, "  not read: %s\n", strerror(-result));
    for (size_t i = 0; result == 0 && i < stack.count; i++)
        buf_printf(content, "  %s\n", stacks_frame(stacks, stack.frames[i], i == 0, text, sizeof(text)));
}

static void put_process(struct reading *reading, struct buf *content, pid_t pid)
{
    struct stacks *stacks = NULL;
    char path[64];
    int result = stacks_open(pid, &stacks);
    DIR *directory;

    if (result < 0) {
        buf_printf(content, "process %d: not read: %s\n", (int)pid, strerror(-result));
        return;
    }
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    directory = opendir(path);
    for (struct dirent *entry = directory ? readdir(directory) : NULL; entry && !reading_is_over(reading); entry = readdir(directory))
        if (entry->d_name[0] != '.')
            put_thread(content, stacks, pid, (pid_t)strtol(entry->d_name, NULL, 10));
    if (directory)
        closedir(directory);
    stacks_close(stacks);
}

int evidence_stacks(struct reading *reading, const char *target, int64_t samples, struct buf *content)
{
    pid_t pid = reading->world->target_pid(reading->world->context, target);
    struct process_id *list = calloc(PROCESS_LIST_MAX, sizeof(*list));
    int count = 0;

    for (int64_t sample = 1; list && sample <= samples && !reading_is_over(reading); sample++) {
        count = pid ? process_tree(pid, list, PROCESS_LIST_MAX) : 0;
        if (count <= 0)
            break;
        if (sample > 1)
            (void)poll(NULL, 0, SAMPLE_EVERY_MS);
        for (int i = 0; i < count && !reading_is_over(reading); i++) {
            buf_printf(content, "--- sample %d of %d, process %d\n", (int)sample, (int)samples, (int)list[i].pid);
            put_process(reading, content, list[i].pid);
        }
    }
    free(list);
    if (!list)
        return reading_fail(reading, "out of memory");
    return count > 0 ? 0 : reading_fail(reading, "target '%s' does not run", target);
}
