/* Stacks of somebody else's threads, from outside. A thread is seized, interrupted, its registers and the top of its stack are copied,
 * and it is let go; what is slow, reading files and unwinding, happens on the copy. */
#include "shims/host/symbols_priv.h"

#include "scenarios/base/clock.h"

#include <elf.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

enum { STACK_BYTES_MAX = 256 * 1024 };

#define STOP_NS_MAX (10 * NS_PER_S) /* a thread that sleeps uninterruptibly is not asked */

struct stacks {
    Dwfl *dwfl;
    pid_t pid, tid; /* whose copy this is */
    bool attached;
    struct user_regs_struct registers;
    uint64_t stack_begin;
    size_t stack_size;
    unsigned char stack[STACK_BYTES_MAX];
};

static char debug_path[] = "+:.debug:/usr/lib/debug";
static char *debug_path_place = debug_path;

static const Dwfl_Callbacks process_callbacks = {
    .find_elf = dwfl_linux_proc_find_elf,
    .find_debuginfo = dwfl_build_id_find_debuginfo,
    .debuginfo_path = &debug_path_place,
};

/* ---- what libdw asks while it unwinds --------------------------------------------------------------------------------- */

static pid_t next_thread(Dwfl *dwfl, void *context, void **place)
{
    struct stacks *stacks = context;

    (void)dwfl;
    if (*place)
        return 0;
    *place = stacks;
    return stacks->tid;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *context, void **place)
{
    struct stacks *stacks = context;

    (void)dwfl;
    *place = stacks;
    return tid == stacks->tid;
}

static bool memory_read(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *ret_word, void *context)
{
    const struct stacks *stacks = context;
    struct iovec to = { ret_word, sizeof(*ret_word) }, from = { (void *)(uintptr_t)address, sizeof(*ret_word) };

    (void)dwfl;
    if (address >= stacks->stack_begin && address - stacks->stack_begin + sizeof(*ret_word) <= stacks->stack_size) {
        memcpy(ret_word, stacks->stack + (address - stacks->stack_begin), sizeof(*ret_word));
        return true;
    }
    return process_vm_readv(stacks->pid, &to, 1, &from, 1, 0) == (ssize_t)sizeof(*ret_word);
}

/* In the order of the machine's DWARF numbers. */
static bool set_registers(Dwfl_Thread *thread, void *context)
{
    const struct stacks *stacks = context;
    const struct user_regs_struct *regs = &stacks->registers;

#if defined(__x86_64__)
    const Dwarf_Word words[] = { regs->rax, regs->rdx, regs->rcx, regs->rbx, regs->rsi, regs->rdi, regs->rbp, regs->rsp, regs->r8,
                                 regs->r9,  regs->r10, regs->r11, regs->r12, regs->r13, regs->r14, regs->r15, regs->rip };

    return dwfl_thread_state_registers(thread, 0, sizeof(words) / sizeof(words[0]), words);
#elif defined(__aarch64__)
    Dwarf_Word words[32];

    memcpy(words, regs->regs, 31 * sizeof(words[0]));
    words[31] = regs->sp;
    dwfl_thread_state_register_pc(thread, regs->pc);
    return dwfl_thread_state_registers(thread, 0, 32, words);
#else
    (void)thread, (void)regs;
    return false;
#endif
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
    .next_thread = next_thread,
    .get_thread = get_thread,
    .memory_read = memory_read,
    .set_initial_registers = set_registers,
};

int stacks_open(pid_t pid, struct stacks **ret_stacks)
{
    struct stacks *stacks = calloc(1, sizeof(*stacks));
    int result;

    if (!stacks)
        return -ENOMEM;
    stacks->pid = pid;
    stacks->dwfl = dwfl_begin(&process_callbacks);
    if (!stacks->dwfl) {
        stacks_close(stacks);
        return -ENOMEM;
    }
    result = dwfl_linux_proc_report(stacks->dwfl, pid);
    if (!result && !dwfl_report_end(stacks->dwfl, NULL, NULL))
        stacks->attached = dwfl_attach_state(stacks->dwfl, NULL, pid, &thread_callbacks, stacks);
    if (!stacks->attached) {
        stacks_close(stacks);
        return result == ENOENT || result == ESRCH ? -ESRCH : -EIO;
    }
    *ret_stacks = stacks;
    return 0;
}

struct stacks *stacks_close(struct stacks *stacks)
{
    if (stacks && stacks->dwfl)
        dwfl_end(stacks->dwfl);
    free(stacks);
    return NULL;
}

/* ---- the copy --------------------------------------------------------------------------------------------------------- */

static uint64_t stack_pointer(const struct user_regs_struct *registers)
{
#if defined(__x86_64__)
    return registers->rsp;
#elif defined(__aarch64__)
    return registers->sp;
#else
    (void)registers;
    return 0;
#endif
}

/* Waits for the stop alone: the end of a child is its parent's to collect. Returns 0 with the signal to hand on, or -errno. */
static int await_stop(pid_t tid, int *ret_signal)
{
    uint64_t end_ns = clock_now_ns() + STOP_NS_MAX;

    for (;;) {
        siginfo_t info = { .si_pid = 0 };

        if (waitid(P_PID, (id_t)tid, &info, WSTOPPED | WNOHANG | __WALL) < 0)
            return errno == ECHILD ? -ESRCH : -errno;
        if (info.si_pid == tid) {
            *ret_signal = info.si_status >> 8 ? 0 : info.si_status;
            return 0;
        }
        if (clock_now_ns() >= end_ns)
            return -ETIMEDOUT;
        sched_yield();
    }
}

/* The stack may end before the room does: then half as much is asked for. */
static void copy_stack(struct stacks *stacks)
{
    stacks->stack_begin = stack_pointer(&stacks->registers);
    stacks->stack_size = 0;
    for (size_t size = STACK_BYTES_MAX; size >= 512 && !stacks->stack_size; size /= 2) {
        struct iovec to = { stacks->stack, size }, from = { (void *)(uintptr_t)stacks->stack_begin, size };
        ssize_t got = process_vm_readv(stacks->pid, &to, 1, &from, 1, 0);

        stacks->stack_size = got > 0 ? (size_t)got : 0;
    }
}

/* In uninterruptible sleep (a parent in vfork, a disk): it could not stop until that ends. */
static bool cannot_stop(pid_t pid, pid_t tid)
{
    char path[64], text[512];
    const char *state = NULL;
    FILE *file;
    size_t length;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)pid, (int)tid);
    file = fopen(path, "re");
    if (!file)
        return true;
    length = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[length] = '\0';
    state = strrchr(text, ')');
    return !state || (state[1] == ' ' && strchr("DZXT", state[2]));
}

static int copy_thread(struct stacks *stacks, pid_t tid, uint64_t *ret_stopped_ns)
{
    struct iovec room = { &stacks->registers, sizeof(stacks->registers) };
    uint64_t begin_ns;
    int result, signal = 0;

    if (cannot_stop(stacks->pid, tid))
        return -EBUSY;
    if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0)
        return -errno;
    begin_ns = clock_now_ns();
    result = ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0 ? -errno : await_stop(tid, &signal);
    if (!result) {
        if (ptrace(PTRACE_GETREGSET, tid, (void *)(uintptr_t)NT_PRSTATUS, &room) < 0)
            result = -errno;
        else
            copy_stack(stacks);
    }
    (void)ptrace(PTRACE_DETACH, tid, NULL, (void *)(intptr_t)signal);
    *ret_stopped_ns = clock_now_ns() - begin_ns;
    return result;
}

static int add_frame(Dwfl_Frame *frame, void *context)
{
    struct stack *stack = context;
    bool is_activation = false;
    Dwarf_Addr address;

    if (stack->count == STACK_FRAMES_MAX || !dwfl_frame_pc(frame, &address, &is_activation))
        return DWARF_CB_ABORT;
    stack->frames[stack->count++] = address;
    return DWARF_CB_OK;
}

int stacks_take(struct stacks *stacks, pid_t tid, struct stack *ret_stack)
{
    int result;

    memset(ret_stack, 0, sizeof(*ret_stack));
    ret_stack->tid = tid;
    stacks->tid = tid;
    result = copy_thread(stacks, tid, &ret_stack->stopped_ns);
    if (result < 0)
        return result;
    (void)dwfl_getthread_frames(stacks->dwfl, tid, add_frame, ret_stack); /* as far as it gets */
    return 0;
}

const char *stacks_frame(struct stacks *stacks, uint64_t address, int is_innermost, char *text, size_t size)
{
    Dwfl_Module *module = dwfl_addrmodule(stacks->dwfl, address);
    const char *path = NULL;
    GElf_Addr bias = 0;

    if (module) {
        (void)dwfl_module_info(module, NULL, NULL, NULL, NULL, NULL, &path, NULL);
        (void)dwfl_module_getelf(module, &bias);
    }
    return symbols_describe(module, path, is_innermost ? address : address - 1, address - bias, text, size);
}

const char *stacks_object(struct stacks *stacks, uint64_t address, char *text, size_t size)
{
    Dwfl_Module *module = dwfl_addrmodule(stacks->dwfl, address);
    GElf_Off offset = 0;
    GElf_Sym symbol;
    const char *name = module ? dwfl_module_addrinfo(module, address, &offset, &symbol, NULL, NULL, NULL) : NULL;

    text[0] = '\0';
    if (name && offset)
        snprintf(text, size, "%s+0x%llx", name, (unsigned long long)offset);
    else if (name)
        snprintf(text, size, "%s", name);
    return text;
}
