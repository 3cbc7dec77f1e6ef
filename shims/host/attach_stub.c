/* What runs inside the program. Everything in the section perturb_stub is copied: it may refer to nothing outside of it, call no
 * function of ours elsewhere, and hold no constant that the compiler would put into another section. */
#include "shims/host/attach_stub.h"

#if defined(__x86_64__)

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

/* Compiled with flags of its own (module.mk): no stack protector, no sanitiser, no vector registers, small. */
#define IN_STUB __attribute__((section("perturb_stub"), used))
#define PART_OF_STUB static inline __attribute__((always_inline))

enum { RTLD_NOW_AND_EVER = 0x1002 }; /* RTLD_NOW | RTLD_NODELETE: no dlclose() of the program's may take it away */

extern const unsigned char attach_stub_begin[], attach_stub_enter[];
extern const unsigned char __stop_perturb_stub[];

void attach_stub_work(const struct attach_block *block, struct attach_note *note);

/* A flag-free way back: lea, not add. The header of the saved extended state is zero in fresh memory, as xrstor wants it. */
_Static_assert(offsetof(struct attach_block, resume_ax) == 8 && offsetof(struct attach_block, state_size) == 16 && sizeof(struct attach_block) <= 160, "the assembly knows the block");
_Static_assert(sizeof(struct attach_note) == 32, "the assembly knows the note");

__asm__(".pushsection perturb_stub, \"ax\", @progbits\n"
        ".globl attach_stub_begin, attach_stub_enter\n"
        ".hidden attach_stub_begin, attach_stub_enter\n"
        ".balign 16\n"
        "attach_stub_begin:\n"
        "  .zero 160\n"
        "attach_stub_enter:\n"
        "  lea -128(%rsp), %rsp\n"
        "  pushfq\n"
        "  push %rax\n push %rcx\n push %rdx\n push %rbx\n push %rbp\n push %rsi\n push %rdi\n"
        "  push %r8\n push %r9\n push %r10\n push %r11\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "  sub $32, %rsp\n"
        "  movq $0, (%rsp)\n"
        "  cld\n"
        "  mov %rsp, %rbp\n"
        "  mov $9, %eax\n" /* mmap */
        "  xor %edi, %edi\n"
        "  mov $0x40000, %esi\n"
        "  mov $3, %edx\n"
        "  mov $0x22, %r10d\n"
        "  mov $-1, %r8\n"
        "  xor %r9d, %r9d\n"
        "  syscall\n"
        "  cmp $-4096, %rax\n"
        "  ja 1f\n"
        "  mov %rax, %r12\n"
        "  lea 0x40000(%rax), %rsp\n"
        "  sub 16+attach_stub_begin(%rip), %rsp\n"
        "  and $-64, %rsp\n"
        "  mov %rsp, %r13\n"
        "  mov $-1, %eax\n"
        "  mov $-1, %edx\n"
        "  xsave64 (%r13)\n"
        "  fninit\n"
        "  movl $0x1f80, 8(%rbp)\n"
        "  ldmxcsr 8(%rbp)\n"
        "  movl $0, 8(%rbp)\n"
        "  lea attach_stub_begin(%rip), %rdi\n"
        "  mov %rbp, %rsi\n"
        "  call attach_stub_work\n"
        "  mov $-1, %eax\n"
        "  mov $-1, %edx\n"
        "  xrstor64 (%r13)\n"
        "  mov %rbp, %rsp\n"
        "  mov $11, %eax\n" /* munmap */
        "  mov %r12, %rdi\n"
        "  mov $0x40000, %esi\n"
        "  syscall\n"
        "1: mov 8+attach_stub_begin(%rip), %rax\n"
        "  mov %rax, 32+14*8(%rsp)\n"
        "  add $32, %rsp\n"
        "  pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %r11\n pop %r10\n pop %r9\n pop %r8\n"
        "  pop %rdi\n pop %rsi\n pop %rbp\n pop %rbx\n pop %rdx\n pop %rcx\n pop %rax\n"
        "  popfq\n"
        "  lea 128(%rsp), %rsp\n"
        "  jmp *attach_stub_begin(%rip)\n"
        ".popsection\n");

PART_OF_STUB long call6(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;

    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return result;
}

PART_OF_STUB long call4(long number, long a, long b, long c, long d)
{
    return call6(number, a, b, c, d, 0, 0);
}

/* Descriptors and nonce from the end that somebody took; false when nobody did in time. */
PART_OF_STUB int receive(const struct attach_block *block, int end, int fds[2])
{
    struct pollfd ready;
    struct timespec patience;
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(2 * sizeof(int))];
    } control;
    struct msghdr message;
    struct iovec part;
    uint64_t nonce = 0;
    const int *given = (const int *)CMSG_DATA(&control.head);

    ready.fd = end;
    ready.events = POLLIN;
    ready.revents = 0;
    patience.tv_sec = block->patience_ms / 1000;
    patience.tv_nsec = block->patience_ms % 1000 * 1000000;
    if (call6(SYS_ppoll, (long)&ready, 1, (long)&patience, 0, 8, 0) != 1)
        return 0;
    part.iov_base = &nonce;
    part.iov_len = sizeof(nonce);
    message.msg_name = (void *)0;
    message.msg_namelen = 0;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = &control;
    message.msg_controllen = sizeof(control);
    message.msg_flags = 0;
    if (call4(SYS_recvmsg, end, (long)&message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, 0) != sizeof(nonce) || nonce != block->nonce)
        return 0;
    if (block->function)
        return 1;
    if (message.msg_controllen < CMSG_LEN(2 * sizeof(int)) || control.head.cmsg_type != SCM_RIGHTS)
        return 0;
    fds[0] = given[0];
    fds[1] = given[1];
    return 1;
}

PART_OF_STUB void name_library(const struct attach_block *block, char name[48], int fd)
{
    volatile char *out = name; /* or the compiler calls memcpy */
    unsigned rest = (unsigned)fd;
    char digits[12];
    int count = 0;

    for (const char *in = block->folder; *in; in++)
        *out++ = *in;
    do
        digits[count++] = (char)('0' + rest % 10);
    while (rest /= 10);
    while (count)
        *out++ = digits[--count];
    *out = '\0';
}

PART_OF_STUB void load(const struct attach_block *block, const int fds[2], struct attach_answer *answer)
{
    void *(*open_library)(const char *, int) = (void *(*)(const char *, int))block->dlopen;
    void *(*find_symbol)(void *, const char *) = (void *(*)(void *, const char *))block->dlsym;
    const char *(*tell_error)(void) = (const char *(*)(void))block->dlerror;
    int (*function)(int);
    char name[48];
    const char *text;
    void *library;

    name_library(block, name, fds[0]);
    answer->step = STUB_LOADING;
    library = open_library(name, RTLD_NOW_AND_EVER);
    if (library) {
        answer->step = STUB_FINDING;
        function = (int (*)(int))(uintptr_t)find_symbol(library, block->symbol);
        if (function) {
            answer->step = STUB_DONE;
            answer->value = function(fds[1]);
            return;
        }
    }
    text = tell_error();
    for (int i = 0; text && i < STUB_TEXT_MAX - 1 && text[i]; i++)
        ((volatile char *)answer->text)[i] = text[i];
}

IN_STUB void attach_stub_work(const struct attach_block *block, struct attach_note *note)
{
    int *(*errno_location)(void) = (int *(*)(void))block->errno_location;
    uint64_t all = ~UINT64_C(0), before = 0;
    struct attach_answer answer;
    struct timespec now;
    int fds[2];
    int error;

    (void)call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, 8);
    error = *errno_location();
    for (unsigned i = 0; i < sizeof(answer); i++)
        ((volatile char *)&answer)[i] = 0;
    fds[0] = -1;
    fds[1] = -1;
    answer.nonce = block->nonce;
    answer.step = STUB_RECEIVING;
    if (call4(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, (long)note->ends) == 0) {
        int theirs = note->ends[0], ours = note->ends[1], given;

        __atomic_store_n(&note->nonce, block->nonce, __ATOMIC_RELEASE);
        given = receive(block, ours, fds);
        (void)call4(SYS_close, theirs, 0, 0, 0);
        if (given && block->function) {
            answer.step = STUB_DONE;
            answer.value = ((int (*)(void))block->function)();
        } else if (given) {
            load(block, fds, &answer);
        }
        if (fds[0] >= 0)
            (void)call4(SYS_close, fds[0], 0, 0, 0);
        if (fds[1] >= 0)
            (void)call4(SYS_close, fds[1], 0, 0, 0);
        (void)call4(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0, 0);
        answer.end_ns = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
        (void)call6(SYS_sendto, ours, (long)&answer, sizeof(answer), MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
        (void)call4(SYS_close, ours, 0, 0, 0);
    }
    *errno_location() = error;
    (void)call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, 8);
}

const void *attach_stub(size_t *ret_size, size_t *ret_entry)
{
    *ret_size = (size_t)(__stop_perturb_stub - attach_stub_begin);
    *ret_entry = (size_t)(attach_stub_enter - attach_stub_begin);
    return attach_stub_begin;
}

/* CPUID leaf 0xd: the size for all that the system has enabled. */
uint64_t attach_stub_state_size(void)
{
    unsigned a = 0xd, b, c = 0, d;

    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return ((uint64_t)b + 63) / 64 * 64;
}

#else

uint64_t attach_stub_state_size(void)
{
    return 0;
}

const void *attach_stub(size_t *ret_size, size_t *ret_entry)
{
    *ret_size = *ret_entry = 0;
    return NULL;
}

#endif
