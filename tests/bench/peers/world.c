/* The namespace, the cores and the groups. Ground: network_namespaces(7), tcp(7), cgroups(7), proc(5) (smaps_rollup). */
#include "tests/bench/peers/world.h"

#include "scenarios/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NICENESS = -18 };

#define CPUACCT "/sys/fs/cgroup/cpuacct"
#define UNIFIED "/sys/fs/cgroup"

void fail(const char *what, ...)
{
    va_list arguments;

    fflush(stdout);
    fputs("bench: ", stderr);
    va_start(arguments, what);
    vfprintf(stderr, what, arguments);
    va_end(arguments);
    fputs("\n", stderr);
    exit(1);
}

void file_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        fail("cannot write %s: %s", path, strerror(errno));
    close(fd);
}

static void raise_lo(void)
{
    struct ifreq request = { .ifr_name = "lo" };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        fail("lo is not there: %s", strerror(errno));
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
    if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        fail("lo does not come up: %s", strerror(errno));
    close(fd);
}

void world_enter(void)
{
    struct rlimit limit;

    if (unshare(CLONE_NEWNET) < 0)
        fail("needs a network namespace of its own, that is root: %s", strerror(errno));
    raise_lo();
    file_write("/proc/sys/net/ipv4/tcp_congestion_control", "reno");
    file_write("/proc/sys/net/ipv4/ip_local_port_range", "10240 65535"); /* below are the contenders */
    file_write("/proc/sys/net/ipv4/tcp_max_tw_buckets", "0");
    file_write("/proc/sys/net/core/somaxconn", "4096");
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    signal(SIGPIPE, SIG_IGN);
}

/* sched(7): with autogroups, niceness counts only within a session, and the session has one of its own. */
void world_go_first(bool real_time)
{
    FILE *file;

    if (real_time && sched_setscheduler(0, SCHED_RR, &(struct sched_param){ .sched_priority = 1 }) < 0)
        fail("no real-time class: %s", strerror(errno));
    if (real_time)
        return;
    (void)setsid(); /* a group leader has a session already, or its shell's */
    (void)setpriority(PRIO_PROCESS, 0, NICENESS);
    file = fopen("/proc/self/autogroup", "w");
    if (file)
        fprintf(file, "%d", NICENESS);
    if (file)
        (void)fclose(file); /* a kernel without them has no such file */
}

static void core_set(cpu_set_t *set, unsigned core)
{
    CPU_ZERO(set);
    CPU_SET(core, set);
}

void world_run_on(unsigned core)
{
    cpu_set_t set;

    core_set(&set, core);
    (void)sched_setaffinity(0, sizeof(set), &set);
}

/* ---- groups ----------------------------------------------------------------------------------------------------------- */

static bool is_version_1(const struct group *group)
{
    return !strncmp(group->path, CPUACCT, strlen(CPUACCT));
}

void group_new(struct group *group, const char *name)
{
    const char *root = access(CPUACCT "/cpuacct.usage", R_OK) ? UNIFIED : CPUACCT;

    snprintf(group->path, sizeof(group->path), "%s/perturb-bench-%d-%s", root, (int)getpid(), name);
    if (mkdir(group->path, 0755) < 0)
        fail("cannot make the control group %s: %s", group->path, strerror(errno));
}

static FILE *open_in(const struct group *group, const char *name, const char *mode)
{
    char path[192];

    snprintf(path, sizeof(path), "%s/%s", group->path, name);
    return fopen(path, mode);
}

void group_join(const struct group *group)
{
    FILE *file = open_in(group, "cgroup.procs", "w");

    if (!file || fprintf(file, "%d", (int)getpid()) < 0 || fclose(file))
        fail("cannot join %s", group->path);
}

uint64_t group_cpu_ns(const struct group *group)
{
    bool first = group->path[0] && is_version_1(group);
    unsigned long long used = 0;
    FILE *file;

    if (!group->path[0])
        return 0;
    file = open_in(group, first ? "cpuacct.usage" : "cpu.stat", "r");
    if (!file || fscanf(file, first ? "%llu" : "usage_usec %llu", &used) != 1)
        fail("no CPU account in %s", group->path);
    fclose(file);
    return first ? used : used * NS_PER_US;
}

typedef void group_visit(pid_t pid, void *context);

static void each_in(const struct group *group, const char *list, group_visit *visit, void *context)
{
    FILE *file = group->path[0] ? open_in(group, list, "r") : NULL;
    int pid;

    while (file && fscanf(file, "%d", &pid) == 1)
        visit(pid, context);
    if (file)
        fclose(file);
}

static void move_one(pid_t pid, void *context)
{
    (void)sched_setaffinity(pid, sizeof(cpu_set_t), context);
}

void group_move(const struct group *group, unsigned core)
{
    cpu_set_t set;

    core_set(&set, core);
    each_in(group, group->path[0] && is_version_1(group) ? "tasks" : "cgroup.threads", move_one, &set);
}

static void add_pss(pid_t pid, void *context)
{
    unsigned long kib;
    char path[64], line[256];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "Pss: %lu", &kib) == 1)
            *(uint64_t *)context += (uint64_t)kib * 1024;
    if (file)
        fclose(file);
}

uint64_t group_pss_bytes(const struct group *group)
{
    uint64_t bytes = 0;

    each_in(group, "cgroup.procs", add_pss, &bytes);
    return bytes;
}

static void kill_one(pid_t pid, void *context)
{
    *(bool *)context = true;
    kill(pid, SIGKILL);
}

void group_end(struct group *group)
{
    uint64_t deadline_ns = clock_now_ns() + 5 * NS_PER_S;
    bool alive = group->path[0] != '\0';

    while (alive && clock_now_ns() < deadline_ns) {
        alive = false;
        each_in(group, "cgroup.procs", kill_one, &alive);
        if (alive)
            (void)poll(NULL, 0, 2);
    }
    if (group->path[0])
        (void)rmdir(group->path);
    group->path[0] = '\0';
}
