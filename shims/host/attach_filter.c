/* Would a seccomp filter let a call pass? Runs the classic BPF that the kernel runs (seccomp(2), linux/filter.h). Control plane. */
#include "shims/host/attach_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

enum { INSTRUCTIONS_MAX = 4096, FILTERS_MAX = 32 };

struct machine {
    uint32_t a, x, memory[BPF_MEMWORDS];
    size_t at;
};

static uint32_t compute(uint16_t operation, uint32_t a, uint32_t b)
{
    switch (operation) {
    case BPF_ADD: return a + b;
    case BPF_SUB: return a - b;
    case BPF_MUL: return a * b;
    case BPF_DIV: return b ? a / b : 0;
    case BPF_OR: return a | b;
    case BPF_AND: return a & b;
    case BPF_XOR: return a ^ b;
    case BPF_LSH: return a << (b & 31);
    case BPF_RSH: return a >> (b & 31);
    default: return 0u - a; /* BPF_NEG */
    }
}

static bool holds(uint16_t operation, uint32_t a, uint32_t b)
{
    switch (operation) {
    case BPF_JEQ: return a == b;
    case BPF_JGT: return a > b;
    case BPF_JGE: return a >= b;
    default: return (a & b) != 0; /* BPF_JSET */
    }
}

static uint32_t load(const struct sock_filter *code, const struct machine *machine, const struct seccomp_data *data)
{
    uint32_t word = 0;

    switch (BPF_MODE(code->code)) {
    case BPF_IMM: return code->k;
    case BPF_LEN: return sizeof(*data);
    case BPF_MEM: return code->k < BPF_MEMWORDS ? machine->memory[code->k] : 0;
    default:
        if (code->k <= sizeof(*data) - sizeof(word))
            memcpy(&word, (const char *)data + code->k, sizeof(word));
        return word;
    }
}

static void step(const struct sock_filter *code, struct machine *machine, const struct seccomp_data *data)
{
    uint32_t operand = BPF_SRC(code->code) == BPF_X ? machine->x : code->k;

    switch (BPF_CLASS(code->code)) {
    case BPF_LD: machine->a = load(code, machine, data); break;
    case BPF_LDX: machine->x = load(code, machine, data); break;
    case BPF_ST: machine->memory[code->k % BPF_MEMWORDS] = machine->a; break;
    case BPF_STX: machine->memory[code->k % BPF_MEMWORDS] = machine->x; break;
    case BPF_ALU: machine->a = compute(BPF_OP(code->code), machine->a, operand); break;
    case BPF_JMP:
        machine->at += BPF_OP(code->code) == BPF_JA                   ? code->k :
                       holds(BPF_OP(code->code), machine->a, operand) ? code->jt :
                                                                        code->jf;
        break;
    default: /* BPF_MISC */
        if (BPF_MISCOP(code->code) == BPF_TAX)
            machine->x = machine->a;
        else
            machine->a = machine->x;
    }
}

uint32_t attach_filter_run(const struct sock_filter *program, size_t count, const struct seccomp_data *data)
{
    struct machine machine = { .at = 0 };

    while (machine.at < count) {
        const struct sock_filter *code = &program[machine.at++];

        if (BPF_CLASS(code->code) == BPF_RET)
            return BPF_RVAL(code->code) == BPF_A ? machine.a : code->k;
        step(code, &machine, data);
    }
    return SECCOMP_RET_KILL_PROCESS;
}

/* What the stub and the loader ask of the kernel, and what the shim does when it is in action. */
static const struct {
    const char *name;
    int number;
    uint64_t arguments[6];
} needed[] = {
    { "mmap", SYS_mmap, { 0, 65536, 3, 0x22, UINT64_MAX, 0 } },
    { "mmap of code", SYS_mmap, { 0, 65536, 5, 0x802, 5, 0 } },
    { "munmap", SYS_munmap, { 0 } },
    { "mprotect", SYS_mprotect, { 0, 4096, 3 } },
    { "rt_sigprocmask", SYS_rt_sigprocmask, { 2, 0, 0, 8 } },
    { "socketpair", SYS_socketpair, { 1, 0x80005, 0 } },
    { "ppoll", SYS_ppoll, { 0, 1, 0, 0, 8 } },
    { "recvmsg", SYS_recvmsg, { 5, 0, 0x40000040 } },
    { "sendto", SYS_sendto, { 5, 0, 240, 0x4040 } },
    { "close", SYS_close, { 5 } },
    { "openat", SYS_openat, { (uint64_t)-100, 0, 0x80000 } },
    { "read", SYS_read, { 5, 0, 832 } },
    { "pread64", SYS_pread64, { 5, 0, 784, 64 } },
    { "newfstatat", SYS_newfstatat, { 5, 0, 0, 0x1000 } },
    { "fstat", SYS_fstat, { 5 } },
    { "prctl", SYS_prctl, { 16 } },
    { "getpid", SYS_getpid, { 0 } },
    { "getppid", SYS_getppid, { 0 } },
    { "geteuid", SYS_geteuid, { 0 } },
    { "clock_gettime", SYS_clock_gettime, { 1 } },
    { "gettid", SYS_gettid, { 0 } },
    { "futex", SYS_futex, { 0, 0, 0 } },
};

int attach_filter_check(pid_t thread, const char **ret_call)
{
    struct sock_filter *program = calloc(INSTRUCTIONS_MAX, sizeof(*program));
    long count = 0;
    int error = 0;

    *ret_call = NULL;
    if (!program)
        return -ENOMEM;
    for (unsigned long index = 0; index < FILTERS_MAX && !*ret_call; index++) {
        count = ptrace(PTRACE_SECCOMP_GET_FILTER, thread, (void *)index, program);
        if (count < 0 || count > INSTRUCTIONS_MAX) {
            error = count < 0 && errno == ENOENT ? 0 : errno; /* ENOENT: there is no further one */
            break;
        }
        for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]) && !*ret_call; i++) {
            struct seccomp_data data = { .nr = needed[i].number, .arch = AUDIT_ARCH_X86_64 };

            memcpy(data.args, needed[i].arguments, sizeof(data.args));
            /* the kernel orders actions as signed numbers: KILL_PROCESS is the least */
            if ((int32_t)(attach_filter_run(program, (size_t)count, &data) & SECCOMP_RET_ACTION_FULL) < (int32_t)SECCOMP_RET_LOG)
                *ret_call = needed[i].name;
        }
    }
    free(program);
    return *ret_call ? 0 : -error;
}
