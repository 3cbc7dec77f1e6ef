/* Finding the control page and entering this process in it. Runs once, in the constructor; its fork handlers run in fork().
 * Anything wrong with the page means: not mapped, nothing armed, not a word (README rule 5). */
#include "shims/preload/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "scenarios/base/rng.h"

union shim_rules shim_page __attribute__((aligned(65536)));
struct control_counters *shim_counters;
uint32_t shim_pid;

#define COUNTERS_SIZE (CONTROL_SIZE - CONTROL_COUNTERS_OFFSET)

struct control_process *shim_process;

static uint64_t way_out; /* address of perturb_detach when this library was attached, else 0 */
static uint64_t own_namespace; /* of pids: inode, 0 when unknown */
static uint64_t process_stream = 1;
static uint64_t fork_ordinal; /* set before a fork for its child */

/* The calls of this file must not pass through our own wrappers. */
static int raw_open(const char *path, int flags)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);
}

static void *raw_map(void *place, size_t size, int protection, int flags, int fd, off_t offset)
{
    return (void *)syscall(SYS_mmap, place, size, protection, flags, fd, offset);
}

static void raw_close(int fd)
{
    syscall(SYS_close, fd);
}

/* Field 22 of /proc/self/stat; 0 when unreadable. */
static uint64_t own_start_ticks(void)
{
    char text[512];
    uint64_t ticks = 0;
    int fd = raw_open("/proc/self/stat", O_RDONLY);
    ssize_t length = fd < 0 ? -1 : syscall(SYS_read, fd, text, sizeof(text) - 1);
    const char *place;

    if (fd >= 0)
        raw_close(fd);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    place = strrchr(text, ')');
    for (int field = 2; place && field < 22; field++) {
        place = strchr(place, ' ');
        place = place ? place + 1 : NULL;
    }
    while (place && *place >= '0' && *place <= '9')
        ticks = ticks * 10 + (uint64_t)(*place++ - '0');
    return ticks;
}

/* The number of "pid:[4026531836]": the same numbers mean other processes in another namespace. 0 without /proc. */
static uint64_t namespace_of_pids(void)
{
    char link[64];
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/ns/pid", link, sizeof(link) - 1);
    const char *place;
    uint64_t number = 0;

    link[length > 0 ? length : 0] = '\0';
    place = strchr(link, '[');
    while (place && *++place >= '0' && *place <= '9')
        number = number * 10 + (uint64_t)(*place - '0');
    return number;
}

/* Of a process of another namespace we cannot tell. */
static bool is_gone(const struct control_process *slot, uint32_t pid)
{
    return __atomic_load_n(&slot->pid_namespace, __ATOMIC_RELAXED) == own_namespace && syscall(SYS_kill, (pid_t)pid, 0) < 0 &&
           errno == ESRCH;
}

static struct control_process *slot_of(uint32_t pid)
{
    for (size_t i = 0; i < CONTROL_PROCESSES_MAX; i++)
        if (__atomic_load_n(&shim_counters->processes[i].pid, __ATOMIC_ACQUIRE) == pid &&
            __atomic_load_n(&shim_counters->processes[i].pid_namespace, __ATOMIC_RELAXED) == own_namespace)
            return &shim_counters->processes[i];
    return NULL;
}

static struct control_process *slot_take(uint32_t pid)
{
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < CONTROL_PROCESSES_MAX; i++) {
            struct control_process *slot = &shim_counters->processes[i];
            uint32_t old = __atomic_load_n(&slot->pid, __ATOMIC_RELAXED);

            if ((!old || (round && is_gone(slot, old))) &&
                __atomic_compare_exchange_n(&slot->pid, &old, pid, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
                return slot;
        }
    __atomic_fetch_add(&shim_counters->unlisted, 1, __ATOMIC_RELAXED);
    return NULL;
}

static void process_enter(uint64_t stream)
{
    process_stream = stream;
    shim_pid = (uint32_t)getpid();
    shim_process = slot_take(shim_pid);
    if (shim_process) {
        __atomic_store_n(&shim_process->pid_namespace, own_namespace, __ATOMIC_RELAXED);
        __atomic_store_n(&shim_process->asleep, 0, __ATOMIC_RELAXED);
        memset(shim_process->shares, 0, sizeof(shim_process->shares));
        shim_process->start_ticks = own_start_ticks();
        shim_process->stream = stream;
        shim_process->way_out = way_out;
        __atomic_store_n(&shim_process->forks, 0, __ATOMIC_RELAXED);
        prctl(PR_GET_NAME, shim_process->comm);
    }
    shim_stream_start(stream);
}

static uint64_t next_fork(struct control_process *parent)
{
    return parent ? __atomic_add_fetch(&parent->forks, 1, __ATOMIC_RELAXED) : ++fork_ordinal;
}

/* A process that began by exec: after fork() it is known by its pid; after vfork or posix_spawn only its parent is. The first of
 * another pid namespace has a parent that cannot be named there. */
static void process_begin(void)
{
    struct control_process *own, *parent;
    uint64_t ticks, orphan;

    own_namespace = namespace_of_pids();
    own = slot_of((uint32_t)getpid());
    ticks = own ? own_start_ticks() : 0;
    if (own && own->start_ticks == ticks) {
        __atomic_store_n(&own->asleep, 0, __ATOMIC_RELAXED); /* exec has ended the other threads */
        shim_process = own;
        shim_pid = own->pid;
        own->way_out = way_out;
        process_stream = own->stream;
        prctl(PR_GET_NAME, own->comm);
        shim_stream_start(own->stream);
        return;
    }
    if (own)
        __atomic_store_n(&own->pid, 0, __ATOMIC_RELEASE); /* of a dead process that had our pid */
    parent = slot_of((uint32_t)getppid());
    orphan = shim_counters->processes[0].pid && shim_counters->processes[0].pid_namespace != own_namespace ? rng_mix(1, (uint64_t)getpid()) : 1;
    process_enter(parent ? rng_mix(parent->stream, next_fork(parent)) : orphan);
}

static void before_fork(void)
{
    fork_ordinal = next_fork(shim_process);
}

static void in_child(void)
{
    int saved = errno;

    shim_self.depth = 0;
    shim_self.watch = 0; /* the slot is our parent's */
    shim_clock_in_child();
    own_namespace = namespace_of_pids();
    process_enter(rng_mix(process_stream, fork_ordinal));
    errno = saved;
}

/* By its inner name: pthread_atfork is no symbol of the library. Weak, for C libraries that lack it. */
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *handle) __attribute__((weak));
extern void *__dso_handle __attribute__((visibility("hidden")));

static bool file_is_sound(int fd, struct stat *ret_status)
{
    return !syscall(SYS_fstat, fd, ret_status) && S_ISREG(ret_status->st_mode) && !(ret_status->st_mode & 077) &&
           (ret_status->st_uid == geteuid() || ret_status->st_uid == 0);
}

/* The first fields of struct control_rules, which is too large for the stacks that this may run on. */
struct head {
    uint32_t magic, version;
    uint64_t size, counters_offset;
    uint32_t rule_size, owner_pid;
};
_Static_assert(offsetof(struct head, rule_size) == offsetof(struct control_rules, rule_size), "the head of a page");

/* Another version: say so in the one place whose layout never changes. */
static void refuse(int fd, const struct head *head, uint64_t file_size)
{
    struct control_counters *counters;

    if (head->magic != CONTROL_MAGIC || head->counters_offset % CONTROL_PAGE_SIZE || head->counters_offset >= file_size)
        return;
    counters = raw_map(NULL, CONTROL_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)head->counters_offset);
    if (counters == MAP_FAILED)
        return;
    __atomic_fetch_add(&counters->refused, 1, __ATOMIC_RELAXED);
    syscall(SYS_munmap, counters, CONTROL_PAGE_SIZE);
}

static bool map_file(int fd)
{
    struct head head;
    struct stat status;
    void *counters;

    if (!file_is_sound(fd, &status) || syscall(SYS_pread64, fd, &head, sizeof(head), 0) != sizeof(head))
        return false;
    if (head.magic != CONTROL_MAGIC || head.version != CONTROL_VERSION || head.size != CONTROL_SIZE ||
        head.counters_offset != CONTROL_COUNTERS_OFFSET || head.rule_size != sizeof(struct plan_rule) ||
        (uint64_t)status.st_size != CONTROL_SIZE) {
        refuse(fd, &head, (uint64_t)status.st_size);
        return false;
    }
    counters = raw_map(shim_counters, COUNTERS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | (shim_counters ? MAP_FIXED : 0), fd,
                       CONTROL_COUNTERS_OFFSET);
    if (counters == MAP_FAILED)
        return false;
    shim_counters = counters;
    process_begin(); /* before the first rule can be seen */
    if (raw_map(&shim_page, CONTROL_COUNTERS_OFFSET, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED)
        return true;
    shim_page_leave();
    return false;
}

static void watch_forks(void)
{
    static bool watched;

    if (!watched && __register_atfork)
        (void)__register_atfork(before_fork, NULL, in_child, &__dso_handle);
    watched = true;
}

bool shim_page_take(int fd, uintptr_t detach)
{
    way_out = detach;
    if (!map_file(fd))
        return false;
    watch_forks();
    return true;
}

/* Memory of our own takes the place of the file: a call under way may still read and count there. */
void shim_page_leave(void)
{
    if (!shim_counters)
        return;
    if (shim_process)
        __atomic_store_n(&shim_process->pid, 0, __ATOMIC_RELEASE);
    shim_process = NULL;
    shim_stream_forget();
    (void)raw_map(&shim_page, CONTROL_COUNTERS_OFFSET, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    (void)raw_map(shim_counters, COUNTERS_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

void shim_page_map(void)
{
    const char *path = getauxval(AT_SECURE) ? NULL : getenv(CONTROL_ENV);
    int fd;

    if (!path || path[0] != '/')
        return;
    fd = raw_open(path, O_RDWR | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (map_file(fd)) {
        watch_forks();
        shim_code_tie();
    }
    raw_close(fd);
}
