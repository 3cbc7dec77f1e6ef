/* Processes by identity. */
#include "shims/host/process.h"

#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t boot_hash(void)
{
    static uint64_t hash;
    struct buf text;

    if (hash)
        return hash;
    buf_init(&text, 256);
    buf_read_file(&text, "/proc/sys/kernel/random/boot_id");
    hash = rng_hash(text.data);
    buf_done(&text);
    return hash;
}

/* State, parent and start time from /proc/PID/stat; the name in it may hold blanks and parentheses. */
static int read_stat(pid_t pid, char *ret_state, pid_t *ret_parent, uint64_t *ret_start_ticks)
{
    char path[64], line[1024];
    const char *after;
    ssize_t got;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (!file)
        return -ESRCH;
    got = (ssize_t)fread(line, 1, sizeof(line) - 1, file);
    fclose(file);
    if (got <= 0)
        return -ESRCH;
    line[got] = '\0';
    after = strrchr(line, ')');
    if (!after || sscanf(after + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64, ret_state,
                         ret_parent, ret_start_ticks) != 3)
        return -ESRCH;
    return 0;
}

int process_identify(pid_t pid, struct process_id *ret_id)
{
    struct process_id id = { .pid = pid, .boot = boot_hash() };
    pid_t parent;
    char state;

    if (pid <= 0 || read_stat(pid, &state, &parent, &id.start_ticks) < 0)
        return -ESRCH;
    *ret_id = id;
    return 0;
}

pid_t process_parent(pid_t pid)
{
    uint64_t start_ticks;
    pid_t parent;
    char state;

    return read_stat(pid, &state, &parent, &start_ticks) < 0 ? 0 : parent;
}

uint64_t process_age_ns(const struct process_id *id)
{
    uint64_t start_ns = id->start_ticks * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
    struct timespec now;
    uint64_t now_ns;

    clock_gettime(CLOCK_BOOTTIME, &now);
    now_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
    return now_ns > start_ns ? now_ns - start_ns : 0;
}

/* The letter of /proc/PID/stat, 'X' when that very process has gone. */
static char state_of(const struct process_id *id)
{
    uint64_t start_ticks;
    pid_t parent;
    char state;

    if (id->pid <= 0 || id->boot != boot_hash() || read_stat(id->pid, &state, &parent, &start_ticks) < 0 || start_ticks != id->start_ticks)
        return 'X';
    return state;
}

bool process_is_alive(const struct process_id *id)
{
    char state = state_of(id);

    return state != 'Z' && state != 'X';
}

bool process_is_stopped(const struct process_id *id)
{
    return state_of(id) == 'T';
}

static int open_pidfd(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    return fd < 0 ? -errno : fd;
}

int process_signal(const struct process_id *id, int signal)
{
    AUTO_CLOSE int fd = open_pidfd(id->pid);

    if (fd < 0)
        return fd;
    if (!process_is_alive(id))
        return -ESRCH;
    return syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) < 0 ? -errno : 0;
}

char *process_print(const struct process_id *id, char *text, size_t size)
{
    snprintf(text, size, "%d:%" PRIu64 ":%" PRIx64, (int)id->pid, id->start_ticks, id->boot);
    return text;
}

int process_parse(const char *text, struct process_id *ret_id)
{
    struct process_id id;
    int end = 0;

    if (sscanf(text, "%d:%" SCNu64 ":%" SCNx64 "%n", &id.pid, &id.start_ticks, &id.boot, &end) != 3 || text[end] || id.pid <= 0)
        return -EINVAL;
    *ret_id = id;
    return 0;
}

static bool has_marker(pid_t pid, const char *marker)
{
    size_t length = strlen(marker) + 1;
    char path[64];
    struct buf environment;
    bool found = false;

    snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    buf_init(&environment, 4 << 20);
    if (buf_read_file(&environment, path) == 0)
        for (size_t at = 0; at < environment.length && !found; at += strlen(environment.data + at) + 1)
            found = environment.length - at + 1 >= length && !memcmp(environment.data + at, marker, length);
    buf_done(&environment);
    return found;
}

/* Calls `each` with every process number of /proc. */
static void each_process(void (*each)(pid_t pid, void *context), void *context)
{
    DIR *directory = opendir("/proc");
    struct dirent *entry;

    if (!directory)
        return;
    while ((entry = readdir(directory))) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);

        if (!*end && pid > 0)
            each((pid_t)pid, context);
    }
    closedir(directory);
}

struct search {
    const char *marker;
    struct process_id *list;
    size_t count, max;
};

static void add_if_marked(pid_t pid, void *context)
{
    struct search *search = context;

    if (search->count < search->max && pid != getpid() && has_marker(pid, search->marker) &&
        process_identify(pid, &search->list[search->count]) == 0 && process_is_alive(&search->list[search->count]))
        search->count++;
}

size_t process_find_marked(const char *run_id, struct process_id *list, size_t max)
{
    char marker[128];
    struct search search = { .marker = marker, .list = list, .max = max };

    snprintf(marker, sizeof(marker), "PERTURB_RUN=%s", run_id);
    each_process(add_if_marked, &search);
    return search.count;
}

struct kinship {
    pid_t pid[PROCESS_LIST_MAX * 4], parent[PROCESS_LIST_MAX * 4];
    size_t count;
};

static void add_kin(pid_t pid, void *context)
{
    struct kinship *kinship = context;
    uint64_t start_ticks;
    char state;

    if (kinship->count < sizeof(kinship->pid) / sizeof(kinship->pid[0]) &&
        read_stat(pid, &state, &kinship->parent[kinship->count], &start_ticks) == 0 && state != 'Z')
        kinship->pid[kinship->count++] = pid;
}

size_t process_tree(pid_t pid, struct process_id *list, size_t max)
{
    struct kinship *kinship = calloc(1, sizeof(*kinship));
    size_t count = 0;

    if (!kinship || !max || process_identify(pid, &list[0]) < 0) {
        free(kinship);
        return 0;
    }
    count = 1;
    each_process(add_kin, kinship);
    for (size_t known = 0; known < count; known++)
        for (size_t i = 0; i < kinship->count && count < max; i++)
            if (kinship->parent[i] == list[known].pid && process_identify(kinship->pid[i], &list[count]) == 0)
                count++;
    free(kinship);
    return count;
}

int process_wait_gone(const struct process_id *id, int timeout_ms)
{
    AUTO_CLOSE int fd = open_pidfd(id->pid);
    int ready;

    if (fd < 0 || !process_is_alive(id))
        return 0;
    do
        ready = poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, timeout_ms);
    while (ready < 0 && errno == EINTR);
    return ready > 0 ? 0 : -ETIMEDOUT;
}
