/* Which thread, and the one change of its registers. Control plane. */
#include "shims/host/attach_priv.h"

#include "scenarios/base/clock.h"
#include "shims/host/attach_filter.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

#if defined(__x86_64__)

enum {
    STOP_MS = 500,      /* for a thread to stop: longer when it is in the middle of a disk access */
    COMPUTING_MS = 300, /* after so long without a thread that waits, one that computes will do */
    STACK_SEARCHED = 16384,
    PAUSE_US = 20,
    FRAME_CODE_SEGMENT = 24, /* words from a frame's return address to its saved code segment (struct ucontext) */
    USER_CODE = 0x33, /* the code segment of 64-bit programs */
};

/* Kernel-internal results of an interrupted call (include/linux/errno.h). */
enum { ERESTARTSYS = 512, ERESTARTNOINTR = 513, ERESTARTNOHAND = 514, ERESTART_RESTARTBLOCK = 516 };

/* Calls in which threads wait for something outside, and which no allocator and no loader makes in order to wait. */
static const int waiting_calls[] = {
    SYS_read,     SYS_poll,     SYS_ppoll,  SYS_select,   SYS_pselect6,    SYS_nanosleep,     SYS_clock_nanosleep,
    SYS_accept,   SYS_accept4,  SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg,   SYS_wait4,         SYS_waitid,
    SYS_epoll_wait, SYS_epoll_pwait, 441 /* epoll_pwait2 */, SYS_rt_sigtimedwait, SYS_rt_sigsuspend, SYS_pause, SYS_futex,
    SYS_restart_syscall, /* one of them that was interrupted before */
};

/* A low-level lock waits for the value 2 (glibc, lowlevellock.h): of a mutex, but also of the allocator's arenas. */
static bool is_waiting_call(int64_t number, uint64_t operation, uint64_t value)
{
    if (number == SYS_futex && (uint32_t)(operation & (uint32_t)FUTEX_CMD_MASK) == FUTEX_WAIT && value == 2)
        return false;
    for (size_t i = 0; i < sizeof(waiting_calls) / sizeof(waiting_calls[0]); i++)
        if (number == waiting_calls[i])
            return true;
    return false;
}

static bool lies_in(const struct address_range *list, size_t count, uint64_t address)
{
    for (size_t i = 0; i < count; i++)
        if (address >= list[i].first && address < list[i].last)
            return true;
    return false;
}

/* ---- from /proc, touching nothing ---------------------------------------------------------------------------------------- */

enum look { LOOK_WAITS, LOOK_RUNS, LOOK_NEITHER };

/* "NUMBER ARG0 .. ARG5 SP PC", "-1 SP PC" or "running". */
static enum look look_at(pid_t pid, pid_t thread, uint64_t *ret_pc)
{
    char path[64], text[256] = "";
    uint64_t a[6], sp, pc;
    int64_t number;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", (int)pid, (int)thread);
    file = fopen(path, "re");
    if (!file)
        return LOOK_NEITHER;
    if (!fgets(text, sizeof(text), file))
        text[0] = '\0';
    fclose(file);
    if (!strncmp(text, "running", 7))
        return LOOK_RUNS;
    if (sscanf(text, "%" SCNd64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64, &number,
               &a[0], &a[1], &a[2], &a[3], &a[4], &a[5], &sp, &pc) != 9)
        return LOOK_NEITHER;
    *ret_pc = pc;
    return is_waiting_call(number, a[1], a[2]) ? LOOK_WAITS : LOOK_NEITHER;
}

bool attach_has_left(const struct attach_target *target, pid_t thread)
{
    uint64_t pc = target->cave;
    enum look look = look_at(target->pid, thread, &pc);

    return look != LOOK_RUNS && (pc < target->cave || pc >= target->cave + target->stub_size);
}

/* A signal that it would take as soon as it goes on. */
static bool has_signal(pid_t pid, pid_t thread)
{
    char path[64], line[128];
    uint64_t own = 0, shared = 0, blocked = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/status", (int)pid, (int)thread);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "SigPnd: %" SCNx64, &own) != 1 && sscanf(line, "ShdPnd: %" SCNx64, &shared) != 1)
            (void)!sscanf(line, "SigBlk: %" SCNx64, &blocked);
    if (file)
        fclose(file);
    return ((own | shared) & ~blocked) != 0;
}

/* ---- a stopped thread ---------------------------------------------------------------------------------------------------- */

/* Does it run a signal handler? Then the return address of one stands on its stack, and what the handler interrupted may hold
 * any lock. Such an address also stands in a struct sigaction; what follows it tells them apart. */
static bool handles_signal(const struct attach_target *target, uint64_t stack)
{
    uint64_t words[STACK_SEARCHED / sizeof(uint64_t)];
    struct iovec local = { words, sizeof(words) }, remote = { (void *)(uintptr_t)stack, sizeof(words) };
    ssize_t got = process_vm_readv(target->pid, &local, 1, &remote, 1, 0);

    if (got < 0) { /* less of it than we ask for */
        remote.iov_len = local.iov_len = 4096 - stack % 4096;
        got = process_vm_readv(target->pid, &local, 1, &remote, 1, 0);
    }
    for (ssize_t i = 0; i < got / (ssize_t)sizeof(uint64_t); i++)
        if (words[i] == target->restorer && target->restorer && i + FRAME_CODE_SEGMENT < got / (ssize_t)sizeof(uint64_t) &&
            (words[i + FRAME_CODE_SEGMENT] & 0xffff) == USER_CODE)
            return true;
    return false;
}

/* Is it at a safe place, and where does it go on, with what in rax? A restarted call begins anew at its instruction, two bytes
 * before. The kernel itself does the same (arch/x86/kernel/signal.c) to a thread whose registers we leave alone; epoll_wait and
 * its like are ended with EINTR by any stop, which is our doing and not the program's. */
static bool plan_return(const struct attach_target *target, const struct user_regs_struct *registers, bool may_compute,
                        struct attach_block *block)
{
    int64_t number = (int64_t)registers->orig_rax, result = (int64_t)registers->rax;

    block->resume_ip = registers->rip;
    block->resume_ax = registers->rax;
    if (registers->cs != USER_CODE || handles_signal(target, registers->rsp) || lies_in(&target->loader, 1, registers->rip))
        return false;
    if (number < 0)
        return may_compute && lies_in(target->files, target->file_count, registers->rip) &&
               !lies_in(target->unsafe, target->unsafe_count, registers->rip);
    if (!is_waiting_call(number, registers->rsi, registers->rdx))
        return false;
    if (result == -ERESTARTSYS || result == -ERESTARTNOINTR || result == -ERESTARTNOHAND || result == -EINTR)
        block->resume_ax = (uint64_t)number;
    else if (result == -ERESTART_RESTARTBLOCK)
        block->resume_ax = SYS_restart_syscall;
    else
        return true; /* it had ended by itself */
    block->resume_ip -= 2;
    return true;
}

/* 1: the stub has it. 0: it must be let go as it is. Negative: no thread of this program will do. */
static int enter_stub(struct attach_target *target, pid_t thread, bool may_compute, struct attach_started *started, char *why)
{
    struct user_regs_struct registers;
    struct attach_block *block = (void *)target->stub;
    const char *refused;
    int result;

    if (ptrace(PTRACE_GETREGS, thread, NULL, &registers) < 0 || has_signal(target->pid, thread) ||
        !plan_return(target, &registers, may_compute, block))
        return 0;
    result = attach_filter_check(thread, &refused);
    if (result < 0 && result != -EINVAL) { /* EINVAL: it has no filter */
        snprintf(why, ATTACH_WHY_MAX, "it runs under a seccomp filter that may only be read with CAP_SYS_ADMIN: the loader's calls could kill it");
        return -EOPNOTSUPP;
    }
    if (refused) {
        snprintf(why, ATTACH_WHY_MAX, "its seccomp filter forbids %s, which loading a library takes", refused);
        return -EOPNOTSUPP;
    }
    if (pwrite(target->memory_fd, target->stub, target->stub_size, (off_t)target->cave) != (ssize_t)target->stub_size) {
        snprintf(why, ATTACH_WHY_MAX, "its code may not be written to: %s", strerror(errno));
        return -EPERM;
    }
    started->note = registers.rsp - STUB_NOTE_BELOW;
    registers.rip = target->cave + target->stub_entry;
    registers.orig_rax = (unsigned long long)-1;
    return ptrace(PTRACE_SETREGS, thread, NULL, &registers) < 0 ? 0 : 1;
}

static void pause_shortly(void)
{
    (void)nanosleep(&(struct timespec){ .tv_nsec = PAUSE_US * 1000 }, NULL);
}

/* Waits until a seized thread stands still. 0 with the signal that it has to be given when it goes on, or a negative errno. */
static int await_stop(pid_t thread, int *ret_signal)
{
    uint64_t end_ns = clock_now_ns() + STOP_MS * NS_PER_MS;
    int status;
    pid_t got;

    while ((got = waitpid(thread, &status, __WALL | WNOHANG)) == 0 && clock_now_ns() < end_ns)
        pause_shortly();
    if (got != thread)
        return got ? -ESRCH : -ETIMEDOUT;
    if (!WIFSTOPPED(status))
        return -ESRCH;
    *ret_signal = status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status);
    return status >> 16 == PTRACE_EVENT_STOP && WSTOPSIG(status) != SIGTRAP ? -EALREADY : 0; /* stopped by a signal */
}

/* As enter_stub(). */
static int try_thread(struct attach_target *target, pid_t thread, bool may_compute, struct attach_started *started, char *why)
{
    int signal_number = 0, result;

    if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) < 0) {
        result = errno;
        snprintf(why, ATTACH_WHY_MAX, "ptrace: %s", strerror(result));
        return result == EPERM ? -EPERM : 0;
    }
    started->stopped_ns = clock_now_ns();
    result = ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) < 0 ? -errno : await_stop(thread, &signal_number);
    if (!result && !signal_number)
        result = enter_stub(target, thread, may_compute, started, why);
    else
        result = 0;
    (void)ptrace(PTRACE_DETACH, thread, NULL, (void *)(intptr_t)signal_number);
    started->let_go_ns = clock_now_ns();
    started->thread = thread;
    return result;
}

static int try_each(struct attach_target *target, bool may_compute, struct attach_started *started, char *why)
{
    const struct dirent *entry;
    char path[64];
    int result = 0;
    DIR *folder;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)target->pid);
    folder = opendir(path);
    if (!folder)
        return -ESRCH;
    while (!result && (entry = readdir(folder))) {
        pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);
        enum look look;
        uint64_t pc;

        if (thread <= 0)
            continue;
        look = look_at(target->pid, thread, &pc);
        if (look == LOOK_WAITS || (may_compute && look == LOOK_RUNS))
            result = try_thread(target, thread, may_compute, started, why);
    }
    closedir(folder);
    return result;
}

int attach_start(struct attach_target *target, int deadline_ms, struct attach_started *ret_started, char why[ATTACH_WHY_MAX])
{
    uint64_t begin_ns = clock_now_ns();
    int result = 0;

    while (!result && clock_now_ns() < begin_ns + (uint64_t)deadline_ms * NS_PER_MS) {
        bool may_compute = clock_now_ns() > begin_ns + COMPUTING_MS * NS_PER_MS;

        result = try_each(target, may_compute, ret_started, why);
        if (!result)
            (void)poll(NULL, 0, 1);
    }
    if (result > 0)
        return 0;
    if (result == -ESRCH)
        snprintf(why, ATTACH_WHY_MAX, "it has ended");
    if (!result)
        snprintf(why, ATTACH_WHY_MAX,
                 "within %d ms no thread of it was at a place where it can load a library (waiting in a system call, or computing outside of "
                 "libc, loader and allocator)",
                 deadline_ms);
    return result ? result : -ETIMEDOUT;
}

#else

bool attach_has_left(const struct attach_target *target, pid_t thread)
{
    (void)target, (void)thread;
    return true;
}

int attach_start(struct attach_target *target, int deadline_ms, struct attach_started *ret_started, char why[ATTACH_WHY_MAX])
{
    (void)target, (void)deadline_ms, (void)ret_started;
    snprintf(why, ATTACH_WHY_MAX, "late attach is written for x86-64 only");
    return -EOPNOTSUPP;
}

#endif
