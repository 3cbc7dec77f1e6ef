/* Processes by identity. */
#include "shims/host/process.h"

#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/err.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { GONE_LOOK_MS = 50 };

/* The beginning of a file of /proc as text; its length or -errno. It allocates nothing: whether a process lives must be told when
 * memory has run out too. */
static ssize_t read_text(const char *path, char *text, size_t size)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length;

    if (fd < 0)
        return -errno;
    do
        length = read(fd, text, size - 1);
    while (length < 0 && errno == EINTR);
    if (length < 0)
        return -errno;
    text[length] = '\0';
    return length;
}

static int boot_hash(uint64_t *ret_hash)
{
    static uint64_t hash;
    char text[64];
    ssize_t length;

    if (!hash) {
        length = read_text("/proc/sys/kernel/random/boot_id", text, sizeof(text));
        if (length < 0)
            return (int)length;
        hash = rng_hash(text);
    }
    *ret_hash = hash;
    return 0;
}

/* State, parent and start time from /proc/PID/stat; the name in it may hold blanks and parentheses. -ESRCH only when there is no
 * such process. */
static int read_stat(pid_t pid, char *ret_state, pid_t *ret_parent, uint64_t *ret_start_ticks)
{
    char path[64], line[1024];
    const char *after;
    ssize_t length;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    length = read_text(path, line, sizeof(line));
    if (length <= 0)
        return length == 0 || length == -ENOENT ? -ESRCH : (int)length;
    after = strrchr(line, ')');
    if (!after || sscanf(after + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64, ret_state,
                         ret_parent, ret_start_ticks) != 3)
        return -EPROTO;
    return 0;
}

int process_identify(pid_t pid, struct process_id *ret_id)
{
    struct process_id id = { .pid = pid };
    pid_t parent;
    char state;
    int result = pid > 0 ? boot_hash(&id.boot) : -ESRCH;

    if (!result)
        result = read_stat(pid, &state, &parent, &id.start_ticks);
    if (!result)
        *ret_id = id;
    return result;
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

/* The letter of /proc/PID/stat; -ESRCH when that very process has gone, another error when that cannot be told. */
static int state_of(const struct process_id *id)
{
    uint64_t start_ticks, boot = 0;
    pid_t parent;
    char state;
    int result = id->pid > 0 ? boot_hash(&boot) : -ESRCH;

    if (!result)
        result = id->boot == boot ? read_stat(id->pid, &state, &parent, &start_ticks) : -ESRCH;
    if (result < 0)
        return result;
    return start_ticks == id->start_ticks ? state : -ESRCH;
}

bool process_is_alive(const struct process_id *id)
{
    int state = state_of(id);

    return state != 'Z' && state != 'X' && state != -ESRCH;
}

bool process_is_stopped(const struct process_id *id)
{
    int state = state_of(id);

    return state == 'T' || state == 't'; /* proc(5): by a signal, by a tracer */
}

static int open_pidfd(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    return fd < 0 ? -errno : fd;
}

static int send_signal(const struct process_id *id, int signal, siginfo_t *info)
{
    AUTO_CLOSE int fd = open_pidfd(id->pid);
    int state;

    if (fd < 0)
        return fd;
    state = state_of(id);
    if (state < 0 || state == 'Z' || state == 'X')
        return state < 0 ? state : -ESRCH;
    return syscall(SYS_pidfd_send_signal, fd, signal, info, 0) < 0 ? -errno : 0;
}

int process_signal(const struct process_id *id, int signal)
{
    return send_signal(id, signal, NULL);
}

int process_signal_value(const struct process_id *id, int signal, int value)
{
    siginfo_t info = { .si_signo = signal, .si_code = SI_QUEUE };

    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_int = value;
    return send_signal(id, signal, &info);
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

/* 1, 0, or -errno when it cannot be told; what is foreign or has gone is not ours. */
static int has_marker(pid_t pid, const char *marker)
{
    size_t length = strlen(marker) + 1;
    char path[64];
    struct buf environment;
    int result, found = 0;

    snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    buf_init(&environment, 4 << 20);
    result = buf_read_file(&environment, path);
    if (result == 0)
        for (size_t at = 0; at < environment.length && !found; at += strlen(environment.data + at) + 1)
            found = environment.length - at + 1 >= length && !memcmp(environment.data + at, marker, length);
    buf_done(&environment);
    if (err_is_shortage(result))
        return result;
    return found;
}

/* Calls `each` with every process number of /proc until it returns less than 0. Returns that, or 0, or -errno. */
static int each_process(int (*each)(pid_t pid, void *context), void *context)
{
    DIR *directory = opendir("/proc");
    struct dirent *entry;
    int result = 0;

    if (!directory)
        return -errno;
    while (result >= 0 && (errno = 0, entry = readdir(directory))) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);

        if (!*end && pid > 0)
            result = each((pid_t)pid, context);
    }
    if (result >= 0)
        result = -errno;
    closedir(directory);
    return result;
}

struct search {
    const char *marker;
    struct process_id *list;
    size_t count, max;
};

static int add_if_marked(pid_t pid, void *context)
{
    struct search *search = context;
    struct process_id *place = &search->list[search->count];
    int result;

    if (search->count == search->max || pid == getpid())
        return 0;
    result = has_marker(pid, search->marker);
    if (result <= 0)
        return result;
    result = process_identify(pid, place);
    if (result == 0 && process_is_alive(place))
        search->count++;
    return result == -ESRCH ? 0 : result;
}

int process_find_marked(const char *run_id, struct process_id *list, size_t max)
{
    char marker[128];
    struct search search = { .marker = marker, .list = list, .max = max };
    int result;

    snprintf(marker, sizeof(marker), "PERTURB_RUN=%s", run_id);
    result = each_process(add_if_marked, &search);
    return search.count ? (int)search.count : result;
}

struct kinship {
    pid_t pid[PROCESS_LIST_MAX * 4], parent[PROCESS_LIST_MAX * 4];
    size_t count;
};

static int add_kin(pid_t pid, void *context)
{
    struct kinship *kinship = context;
    uint64_t start_ticks;
    char state;
    int result;

    if (kinship->count == sizeof(kinship->pid) / sizeof(kinship->pid[0]))
        return 0;
    result = read_stat(pid, &state, &kinship->parent[kinship->count], &start_ticks);
    if (result == 0 && state != 'Z')
        kinship->pid[kinship->count++] = pid;
    return result == -ESRCH ? 0 : result;
}

int process_tree(pid_t pid, struct process_id *list, size_t max)
{
    AUTO_FREE struct kinship *kinship = calloc(1, sizeof(*kinship));
    size_t count = 1;
    int result = !kinship ? -ENOMEM : max ? process_identify(pid, &list[0]) : 0;

    if (result == -ESRCH || !max)
        return 0;
    if (!result)
        result = each_process(add_kin, kinship);
    if (result < 0)
        return result;
    for (size_t known = 0; known < count; known++)
        for (size_t i = 0; i < kinship->count && count < max; i++)
            if (kinship->parent[i] == list[known].pid && process_identify(kinship->pid[i], &list[count]) == 0)
                count++;
    return (int)count;
}

int process_wait_gone(const struct process_id *id, int timeout_ms)
{
    AUTO_CLOSE int fd = open_pidfd(id->pid);
    uint64_t deadline_ns = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;

    if (fd == -ESRCH)
        return 0;
    while (process_is_alive(id)) {
        uint64_t now_ns = clock_now_ns();

        if (fd < 0)
            return fd;
        if (now_ns >= deadline_ns)
            return -ETIMEDOUT;
        if (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, (int)MIN((deadline_ns - now_ns) / NS_PER_MS + 1, GONE_LOOK_MS)) > 0)
            return 0;
    }
    return 0;
}
