#include "tests/bench/shims/contender.h"

#include "shims/seccomp/notify.h"
#include "tests/bench/shims/loops.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum { ARGS_MAX = 16 };

static char self[PATH_MAX]; /* this program */

static const struct {
    const char *name, *command; /* what it takes, in PATH */
    const char *prefix[ARGS_MAX];
} list[WHO_COUNT] = {
    [BARE] = { .name = "bare" },
    [HOP] = { .name = "plain hop" },
    [SHIM] = { .name = "shim" },
    [FIU] = { "libfiu", "fiu-run", { "fiu-run", "-f", "", "-x" } },
    [FAKETIME] = { "libfaketime", "faketime", { "faketime", "-f", "+1s" } },
    [SUPERVISED] = { .name = "supervised" },
    [FLOOR] = { .name = "bare notification" },
    [FILTER] = { .name = "empty filter" },
    [STRACE] = { "strace", "strace", { "strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=write:error=EIO", "-e", "trace=write" } },
    [STRACE_BPF] = { "strace --seccomp-bpf", "strace",
                     { "strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=write:error=EIO", "-e", "trace=write", "--seccomp-bpf" } },
};

const char *who_name(enum who who)
{
    return list[who].name;
}

bool who_is_here(enum who who)
{
    char path[64];

    if (!list[who].command)
        return true;
    snprintf(path, sizeof(path), "/usr/bin/%s", list[who].command);
    return access(path, X_OK) == 0;
}

/* ---- the child -------------------------------------------------------------------------------------------------------- */

static int install(const struct sock_fprog *program, unsigned flags)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -1 : (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
}

static int allow_all(void)
{
    struct sock_filter code = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog program = { 1, &code };

    return install(&program, 0);
}

/* What child and parent of FLOOR share. */
struct meeting {
    int listener; /* its number in the child; 0: not yet */
    int attended;
};

/* Only write(2) is handed over, as under SUPERVISED. */
static int notify_of_writes(struct meeting *meeting)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };
    int listener = install(&program, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);

    if (listener < 0)
        return -1;
    __atomic_store_n(&meeting->listener, listener, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&meeting->attended, __ATOMIC_ACQUIRE))
        sched_yield();
    close(listener);
    return 0;
}

static void preload(enum who who, const struct bench *bench)
{
    char library[PATH_MAX + 64];

    snprintf(library, sizeof(library), "%s", bench->library);
    if (who == HOP)
        snprintf(library, sizeof(library), "%s/tests/libpassthrough.so", bench->build);
    setenv("LD_PRELOAD", library, 1);
    setenv(CONTROL_ENV, page_path(bench->page), 1);
}

static _Noreturn void become(const struct bench *bench, enum who who, const char *loop)
{
    const char *argv[ARGS_MAX + 4];
    size_t count = 0;

    while (list[who].prefix[count]) {
        argv[count] = list[who].prefix[count];
        count++;
    }
    argv[count++] = self;
    argv[count++] = "loop";
    argv[count++] = loop;
    argv[count] = NULL;
    if (who == HOP || who == SHIM)
        preload(who, bench);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* ---- the parent ------------------------------------------------------------------------------------------------------- */

/* Receives and answers, and nothing else, until the last process has gone. */
static void attend_floor(struct meeting *meeting, pid_t pid)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), listener, number;
    union notification notification;
    struct pollfd place;

    while (!(number = __atomic_load_n(&meeting->listener, __ATOMIC_ACQUIRE)) && waitpid(pid, NULL, WNOHANG) == 0)
        sched_yield();
    listener = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
    __atomic_store_n(&meeting->attended, 1, __ATOMIC_RELEASE);
    place = (struct pollfd){ .fd = listener };
    while (listener >= 0) {
        if (!notify_receive(listener, &notification))
            (void)notify_continue(listener, notification.call.id);
        else if (poll(&place, 1, 0) != 0)
            break;
    }
    close(listener);
    close(pidfd);
}

/* With RT=1. A supervised program and its supervisor hand one processor to each other; in a real-time class the kernel wakes each of
 * them on another one (find_lowest_rq), as it does for no program in use. So those have the largest share of the ordinary class. */
static void take_class(enum who who)
{
    bool is_handed = who == SUPERVISED || who == FLOOR;

    if (!getenv("RT"))
        return;
    (void)sched_setscheduler(0, is_handed ? SCHED_OTHER : SCHED_RR, &(struct sched_param){ .sched_priority = is_handed ? 0 : 1 });
    (void)setpriority(PRIO_PROCESS, 0, is_handed ? -20 : 0);
}

static struct started start(struct bench *bench, enum who who, const char *loop, int memory, struct meeting *meeting)
{
    const struct supervise_spec spec = { POINT_BIT(write), false, false, page_path(bench->page) };
    struct started started = { .supervise = NULL };
    const char *step = "";
    int ends[2], result;

    take_class(who);
    if (!self[0])
        (void)!readlink("/proc/self/exe", self, sizeof(self) - 1);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    if (who == SUPERVISED)
        assert_int_equal(supervise_prepare(&spec, &started.supervise), 0);
    fflush(stdout);
    started.pid = fork();
    if (started.pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        if (memory >= 0)
            dup2(memory, LOOP_FD_SHARED);
        if ((who == SUPERVISED && supervise_install(started.supervise) < 0) || (who == FILTER && allow_all() < 0) ||
            (who == FLOOR && notify_of_writes(meeting) < 0))
            _exit(126);
        become(bench, who, loop);
    }
    close(ends[1]);
    started.out = ends[0];
    result = started.supervise ? supervise_attend(started.supervise, started.pid, &step) : 0;
    if (result < 0)
        printf("%s: %s\n", step, strerror(-result));
    return started;
}

struct started contender_start(struct bench *bench, enum who who, const char *loop, int memory)
{
    return start(bench, who, loop, memory, NULL);
}

int contender_end(struct started *started)
{
    int status = -1;

    close(started->out);
    (void)waitpid(started->pid, &status, 0);
    if (started->supervise)
        supervise_reap(started->supervise);
    started->supervise = supervise_free(started->supervise);
    return status;
}

double run_loop(struct bench *bench, enum who who, const char *loop)
{
    struct meeting *meeting = mmap(NULL, sizeof(*meeting), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct started started = start(bench, who, loop, -1, meeting);
    char text[128] = "";
    ssize_t length;
    double ns = -1;

    if (who == FLOOR)
        attend_floor(meeting, started.pid);
    length = read(started.out, text, sizeof(text) - 1);
    if (length <= 0 || sscanf(text, "%lf", &ns) != 1)
        ns = -1;
    (void)contender_end(&started);
    munmap(meeting, sizeof(*meeting));
    return ns;
}
