/* From the starter's side: filter, shared memory, the meeting of child and supervisor between fork and exec. */
#include "shims/seccomp/supervise.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "shims/seccomp/filter.h"
#include "shims/seccomp/supervisor.h"

#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define MEET_NS (10 * NS_PER_S) /* how long one of the two waits for the other */
enum { LEAVE_MS = 100 };

#define SLICE_NS (20 * NS_PER_MS)

struct supervise {
    struct filter filter;
    struct shared *shared;
    pid_t keeper; /* our child */
    char page_path[PATH_MAX];
};

static long install_filter(unsigned int flags, const struct sock_fprog *program)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
}

static void word_set(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Waits while the word has this value, a slice at most. Returns the word. */
static uint32_t word_await(const uint32_t *word, uint32_t value)
{
    const struct timespec slice = ns_timespec(SLICE_NS);

    if (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
        syscall(SYS_futex, word, FUTEX_WAIT, value, &slice, NULL, 0);
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static bool kernel_notifies(void)
{
    const uint32_t action = SECCOMP_RET_USER_NOTIF;
    struct seccomp_notif_sizes sizes;

    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 &&
           syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) == 0 && sizes.seccomp_notif <= sizeof(union notification);
}

int supervise_prepare(const struct supervise_spec *spec, struct supervise **ret_supervise)
{
    struct supervise *supervise;
    int result;

    if (!kernel_notifies())
        return -ENOTSUP;
    supervise = calloc(1, sizeof(*supervise));
    if (!supervise)
        return -ENOMEM;
    supervise->shared = mmap(NULL, sizeof(*supervise->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (supervise->shared == MAP_FAILED)
        supervise->shared = NULL;
    result = supervise->shared ? filter_build(spec, &supervise->filter) : -ENOMEM;
    if (!result && (size_t)snprintf(supervise->page_path, PATH_MAX, "%s", spec->page_path) >= PATH_MAX)
        result = -ENAMETOOLONG;
    if (result < 0) {
        supervise_free(supervise);
        return result;
    }
    *ret_supervise = supervise;
    return 0;
}

void supervise_reap(const struct supervise *supervise)
{
    AUTO_CLOSE int pidfd = supervise->keeper > 0 ? (int)syscall(SYS_pidfd_open, supervise->keeper, 0) : -1;
    struct pollfd place = { .fd = pidfd, .events = POLLIN };

    if (pidfd < 0)
        return;
    (void)poll(&place, 1, LEAVE_MS);
    (void)waitpid(supervise->keeper, NULL, WNOHANG);
}

struct supervise *supervise_free(struct supervise *supervise)
{
    if (supervise && supervise->shared)
        munmap(supervise->shared, sizeof(*supervise->shared));
    free(supervise);
    return NULL;
}

bool supervise_dropped_privileges(const struct supervise *supervise)
{
    return supervise->shared->dropped_privileges;
}

/* ---- the child -------------------------------------------------------------------------------------------------------- */

static int fail_install(struct shared *shared, int error)
{
    shared->error = error;
    word_set(&shared->stage, STAGE_FAILED);
    return error;
}

static long install_listener(struct shared *shared, const struct sock_fprog *program)
{
    long listener = install_filter(SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, program);

    shared->waits_killable = listener >= 0;
    if (listener < 0 && errno == EINVAL)
        listener = install_filter(SECCOMP_FILTER_FLAG_NEW_LISTENER, program);
    return listener < 0 ? -errno : listener;
}

/* Once the filter is on, only futex calls are made until it is attended: they are never intercepted. */
int supervise_install(struct supervise *supervise)
{
    struct shared *shared = supervise->shared;
    const struct sock_fprog program = { (unsigned short)supervise->filter.length, supervise->filter.code };
    uint32_t stage;
    long listener = install_listener(shared, &program);

    if (listener == -EACCES) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
            return fail_install(shared, -errno);
        shared->dropped_privileges = 1;
        listener = install_listener(shared, &program);
    }
    if (listener < 0)
        return fail_install(shared, (int)listener);
    shared->listener = (int32_t)listener;
    word_set(&shared->stage, STAGE_INSTALLED);
    for (uint64_t waited_ns = 0; (stage = word_await(&shared->stage, STAGE_INSTALLED)) == STAGE_INSTALLED; waited_ns += SLICE_NS)
        if (waited_ns > MEET_NS)
            stage = STAGE_REFUSED;
    if (stage != STAGE_ATTENDED) /* exit would be intercepted, with nobody to answer */
        (void)kill(getpid(), SIGKILL);
    (void)prctl(PR_SET_PTRACER, (unsigned long)shared->serves, 0, 0, 0); /* where Yama asks for it */
    return 0;
}

/* ---- the parent ------------------------------------------------------------------------------------------------------- */

static bool has_ended(int pidfd)
{
    struct pollfd place = { .fd = pidfd, .events = POLLIN };

    return poll(&place, 1, 0) == 1;
}

static int await_listener(struct shared *shared, int pidfd, const char **ret_step)
{
    uint32_t stage = STAGE_BEGIN;
    int listener;

    *ret_step = "installing the filter";
    for (uint64_t waited_ns = 0; waited_ns < MEET_NS && stage == STAGE_BEGIN && !has_ended(pidfd); waited_ns += SLICE_NS)
        stage = word_await(&shared->stage, STAGE_BEGIN);
    if (stage == STAGE_FAILED)
        return shared->error;
    if (stage != STAGE_INSTALLED)
        return -ETIMEDOUT;
    *ret_step = "taking the listener over from the program (pidfd_getfd)";
    listener = (int)syscall(SYS_pidfd_getfd, pidfd, shared->listener, 0);
    return listener < 0 ? -errno : listener;
}

static int start_keeper(struct supervise *supervise, int listener, pid_t child, const char **ret_step)
{
    struct shared *shared = supervise->shared;
    uint32_t serves = 0;
    pid_t pid;

    *ret_step = "starting the keeper";
    pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        keeper_main(shared, listener, supervise->page_path, child);
    supervise->keeper = pid;
    *ret_step = "starting the supervisor";
    for (uint64_t waited_ns = 0; waited_ns < MEET_NS && !serves; waited_ns += SLICE_NS)
        serves = word_await(&shared->serves, 0);
    return !serves ? -ETIMEDOUT : serves == UINT32_MAX ? shared->serve_error : 0;
}

int supervise_attend(struct supervise *supervise, pid_t child, const char **ret_step)
{
    AUTO_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    AUTO_CLOSE int listener = -1;
    int result = pidfd < 0 ? -errno : 0;

    *ret_step = "starting";
    if (!result)
        result = listener = await_listener(supervise->shared, pidfd, ret_step);
    if (result >= 0)
        result = start_keeper(supervise, listener, child, ret_step);
    word_set(&supervise->shared->stage, result < 0 ? STAGE_REFUSED : STAGE_ATTENDED);
    return result;
}

/* ---- what this kernel can do ------------------------------------------------------------------------------------------ */

/* The flag can be tried on a listener only: a child makes one, under a filter that intercepts nothing. */
static _Noreturn void try_sync(void)
{
    struct sock_filter code = { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW };
    const struct sock_fprog program = { 1, &code };
    int listener;

    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    listener = (int)install_filter(SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    _exit(listener < 0 || ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) < 0);
}

int supervise_probe(struct supervise_support *ret_support)
{
    struct supervise_support support = { .notifies = kernel_notifies() };
    int status = -1;
    pid_t pid, ended = 0;

    if (support.notifies) {
        pid = fork();
        if (pid < 0)
            return -errno;
        if (pid == 0)
            try_sync();
        do
            ended = waitpid(pid, &status, 0);
        while (ended < 0 && errno == EINTR);
        if (ended < 0)
            return -errno;
        support.sync_wake = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    *ret_support = support;
    return 0;
}
