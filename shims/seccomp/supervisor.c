/* The supervisor process: its page, its threads, and the receiver. */
#include "shims/seccomp/supervisor.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/priority.h"
#include "shims/seccomp/natives.h"
#include "shims/seccomp/remote.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static struct supervisor self;

/* ---- facts ------------------------------------------------------------------------------------------------------------ */

static struct call *call_of(const struct occasion *occasion)
{
    return occasion->context;
}

static enum fd_kind kind_of(struct occasion *occasion)
{
    return judge_fd_kind(call_fd(call_of(occasion)));
}

static const char *path_of(const struct occasion *occasion, char *room, size_t size)
{
    return remote_path(call_of(occasion)->thread->process->pid, occasion, room, size);
}

static const char *caller_of(const void *address, char *room, size_t size)
{
    (void)address, (void)room, (void)size;
    return NULL;
}

static bool site_of(const struct occasion *occasion, struct judge_site *ret_site)
{
    (void)occasion, (void)ret_site;
    return false;
}

static const char *thread_of(const struct occasion *occasion, char room[RULE_THREAD_MAX])
{
    const struct thread *thread = call_of(occasion)->thread;

    return remote_name(thread->process->pid, thread->tid, room);
}

static const struct sockaddr *peer_of(const struct occasion *occasion, struct sockaddr_storage *room)
{
    socklen_t length = occasion->length;
    int fd;

    memset(room, 0, sizeof(*room));
    if (occasion->address && length >= sizeof(sa_family_t) && length <= sizeof(*room))
        return remote_read(call_of(occasion)->thread->process->pid, occasion->address, room, length) < 0 ? NULL :
                                                                                                            (struct sockaddr *)room;
    length = sizeof(*room);
    fd = call_fd(call_of(occasion));
    return fd >= 0 && !getpeername(fd, (struct sockaddr *)room, &length) ? (struct sockaddr *)room : NULL;
}

static uint64_t stream_of(const struct occasion *occasion)
{
    return call_of(occasion)->thread->stream;
}

static uint64_t ordinal_of(uint64_t stream, uint32_t rule, uint64_t epoch)
{
    return tasks_ordinal(&self.tasks, stream, rule, epoch);
}

static bool turn_of(uint64_t stream, uint32_t rule, uint64_t epoch, uint64_t turn)
{
    return tasks_turn(&self.tasks, stream, rule, epoch, turn);
}

static int own_fd(struct occasion *occasion)
{
    return call_fd(call_of(occasion));
}

static const struct judge_facts facts = {
    .kind = kind_of,
    .path = path_of,
    .caller = caller_of,
    .symbol = caller_of,
    .site = site_of,
    .thread = thread_of,
    .peer = peer_of,
    .stream = stream_of,
    .ordinal = ordinal_of,
    .turn = turn_of,
    .own_fd = own_fd,
    .now_ns = clock_now_ns,
};

/* ---- the receiver ----------------------------------------------------------------------------------------------------- */

/* A thread or process is about to end: it is entered if it never made a call, with its children, and dropped. */
static void take_exit(const struct seccomp_notif *notification)
{
    const struct thread *thread = tasks_thread(&self.tasks, (pid_t)notification->pid);
    pid_t pid = thread ? thread->process->pid : 0;

    if (pid && notification->data.nr == SYS_exit_group)
        tasks_enter_children(&self.tasks, pid);
    if (pid && (notification->data.nr == SYS_exit || pid != (pid_t)notification->pid))
        tasks_thread_gone(&self.tasks, (pid_t)notification->pid);
    (void)notify_continue(self.listener, notification->id);
}

/* Armed at a point of it. What the selectors need is looked up on the way, so the lock may be held for some microseconds. */
static void take_call(const struct seccomp_notif *notification)
{
    struct call call = { .id = notification->id, .data = notification->data, .fd = -1 };
    struct judge judge = self.judge;

    call.thread = tasks_thread(&self.tasks, (pid_t)notification->pid);
    if (!call.thread || held_resume(&self, call.thread, notification)) {
        if (!call.thread)
            (void)notify_continue(self.listener, notification->id);
        return;
    }
    native_occasion(&notification->data, call.thread->process->pid, &call.occasion);
    call.occasion.context = &call;
    judge.process = call.thread->process->slot;
    judge_call(&judge, &call.occasion, &call.ruling);
    if (call.ruling.sleep_ns)
        held_sleep(&self, &call);
    else
        held_finish(&self, &call);
}

static void receive(const struct seccomp_notif *notification)
{
    int number = notification->data.nr;
    bool is_exit = number == SYS_exit || number == SYS_exit_group;
    uint32_t armed = __atomic_load_n(&self.judge.rules->armed, __ATOMIC_RELAXED) & (is_exit ? 0 : native_points(number));

    if (!is_exit && !armed && !__atomic_load_n(&self.held_count, __ATOMIC_RELAXED)) {
        (void)notify_continue(self.listener, notification->id);
        return;
    }
    pthread_mutex_lock(&self.lock);
    if (is_exit)
        take_exit(notification);
    else
        take_call(notification);
    pthread_mutex_unlock(&self.lock);
}

static bool has_hung_up(void)
{
    struct pollfd listener = { .fd = self.listener };

    return poll(&listener, 1, 0) == 1 && (listener.revents & (POLLHUP | POLLERR));
}

static void *receiver(void *argument)
{
    (void)argument;
    for (;;) {
        int result = notify_receive(self.listener, &self.shared->notification);

        if (!result)
            receive(&self.shared->notification.call);
        else if (result != -EINTR && has_hung_up())
            return NULL;
    }
}

/* ---- the watcher ------------------------------------------------------------------------------------------------------ */

static void *watcher(void *argument)
{
    const struct control_rules *rules = argument;
    const uint64_t one = 1;

    for (;;) {
        uint32_t generation = __atomic_load_n(&rules->generation, __ATOMIC_ACQUIRE);

        if (__atomic_load_n(&self.held_count, __ATOMIC_RELAXED))
            (void)!write(self.wake_fd, &one, sizeof(one));
        syscall(SYS_futex, &rules->generation, FUTEX_WAIT, generation, NULL, NULL, 0);
    }
    return NULL;
}

/* ---- the beginning ---------------------------------------------------------------------------------------------------- */

static int map_page(const char *path)
{
    AUTO_CLOSE int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    struct control_rules *rules;
    struct stat status;
    void *counters;

    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || (status.st_mode & 077) || status.st_uid != geteuid() || (uint64_t)status.st_size != CONTROL_SIZE)
        return -EPERM;
    rules = mmap(NULL, CONTROL_COUNTERS_OFFSET, PROT_READ, MAP_SHARED, fd, 0);
    counters = mmap(NULL, CONTROL_SIZE - CONTROL_COUNTERS_OFFSET, PROT_READ | PROT_WRITE, MAP_SHARED, fd, CONTROL_COUNTERS_OFFSET);
    if (rules == MAP_FAILED || counters == MAP_FAILED)
        return -errno;
    if (rules->magic != CONTROL_MAGIC || rules->version != CONTROL_VERSION || rules->rule_size != sizeof(struct plan_rule))
        return -EPROTO;
    self.judge = (struct judge){ rules, counters, &facts, NULL };
    self.tasks.counters = counters;
    return 0;
}

static int start_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;

    return -pthread_create(&thread, NULL, function, argument);
}

static int begin(struct shared *shared, int listener, const char *page_path, pid_t target)
{
    int result = map_page(page_path);

    if (result < 0)
        return result;
    self.listener = listener;
    self.shared = shared;
    self.next_wake_ns = UINT64_MAX;
    pthread_mutex_init(&self.lock, NULL);
    self.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    self.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self.keeper_fd = (int)syscall(SYS_pidfd_open, getppid(), 0);
    if (self.epoll_fd < 0 || self.wake_fd < 0 || self.keeper_fd < 0)
        return -errno;
    (void)signal(SIGCHLD, SIG_IGN); /* keepers of ours are reaped by the kernel */
    (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
    (void)prctl(PR_SET_TIMERSLACK, 1);
    held_begin(&self);
    result = tasks_begin(&self.tasks, target);
    if (!result)
        result = start_thread(watcher, (void *)(uintptr_t)self.judge.rules);
    return result ? result : start_thread(receiver, NULL);
}

_Noreturn void supervisor_main(struct shared *shared, int listener, const char *page_path, pid_t target)
{
    int result = begin(shared, listener, page_path, target);

    shared->serve_error = result;
    __atomic_store_n(&shared->serves, result < 0 ? UINT32_MAX : (uint32_t)getpid(), __ATOMIC_RELEASE);
    syscall(SYS_futex, &shared->serves, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    if (result)
        _exit(1);
    priority_raise(); /* the holder alone: a receiver that runs before its target has gone to sleep costs it 1.6 us a call */
    held_serve(&self);
    _exit(0);
}
