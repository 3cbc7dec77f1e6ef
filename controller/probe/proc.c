/* What the kernel tells of a target and its children: proc(5). */
#include "controller/probe/probe_priv.h"

#include "scenarios/base/clock.h"
#include "shims/host/process.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of the reading before: CPU time is a difference. */
struct proc_state {
    uint64_t ns;
    double cpu_s;
    pid_t pid;
};

static int proc_open(const struct probe *probe, const char *where, struct errs *errs, void **ret_state)
{
    (void)probe;
    *ret_state = calloc(1, sizeof(struct proc_state));
    return *ret_state ? 0 : errs_add(errs, ERR_WORLD, where, "out of memory");
}

/* A file of /proc/PID as text; the empty text when it has gone. */
static void slurp(pid_t pid, const char *name, char *text, size_t size)
{
    char path[64];
    size_t length = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    file = fopen(path, "re");
    if (file) {
        length = fread(text, 1, size - 1, file);
        fclose(file);
    }
    text[length] = '\0';
}

/* Field `number` of /proc/PID/stat, counted from 1 as in proc(5); 0 when it has gone. The second is in parentheses. */
static double stat_field(const char *text, int number)
{
    const char *place = strrchr(text, ')');

    for (int field = 2; place && field < number; field++) {
        place = strchr(place, ' ');
        place = place ? place + 1 : NULL;
    }
    return place ? strtod(place, NULL) : 0;
}

static double count_descriptors(pid_t pid)
{
    char path[64];
    double count = 0;
    DIR *directory;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    directory = opendir(path);
    for (struct dirent *entry = directory ? readdir(directory) : NULL; entry; entry = readdir(directory))
        count += entry->d_name[0] != '.';
    if (directory)
        closedir(directory);
    return count;
}

static double value_of(pid_t pid, enum proc_field field)
{
    char text[1024], *second;

    switch (field) {
    case PROC_TASKS:
        slurp(pid, "stat", text, sizeof(text));
        return stat_field(text, 20);
    case PROC_CPU:
        slurp(pid, "stat", text, sizeof(text));
        return (stat_field(text, 14) + stat_field(text, 15)) / (double)sysconf(_SC_CLK_TCK);
    case PROC_DESCRIPTORS:
        return count_descriptors(pid);
    case PROC_RSS:
        slurp(pid, "statm", text, sizeof(text));
        second = strchr(text, ' ');
        return second ? strtod(second, NULL) * (double)sysconf(_SC_PAGESIZE) : 0;
    case PROC_PROCESSES:
        return 1;
    }
    return 0;
}

/* CPU time since the reading before, over the time since. A child that ended takes its time along: then there is no number. */
static void put_cpu(struct reading *reading, pid_t pid, double cpu_s)
{
    struct proc_state *state = reading->state;
    uint64_t now_ns = clock_now_ns();

    if (state->pid == pid && now_ns > state->ns && cpu_s >= state->cpu_s)
        reading_put(reading, now_ns, (cpu_s - state->cpu_s) * 1e9 / (double)(now_ns - state->ns));
    *state = (struct proc_state){ now_ns, cpu_s, pid };
}

static int proc_read(struct reading *reading)
{
    const struct proc_probe *proc = &reading->probe->proc;
    pid_t pid = reading->world->target_pid(reading->world->context, proc->target);
    struct process_id list[PROCESS_LIST_MAX];
    int count = pid ? process_tree(pid, list, PROCESS_LIST_MAX) : 0;
    double sum = 0;

    if (count < 0)
        return reading_fail(reading, "the processes cannot be read: %s", strerror(-count));
    if (!count)
        return reading_fail(reading, "target '%s' does not run", proc->target);
    for (int i = 0; i < count; i++)
        sum += value_of(list[i].pid, (enum proc_field)proc->field);
    if (proc->field == PROC_CPU)
        put_cpu(reading, pid, sum);
    else
        reading_put(reading, clock_now_ns(), sum);
    return 0;
}

const struct probe_reader probe_proc = { .open = proc_open, .close = free, .read = proc_read };
