/* The supervisor's filter, run by an interpreter of its few instructions, and what it reads out of a system call's registers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shims/include/calls.h"
#include "shims/seccomp/filter.h"
#include "shims/seccomp/natives.h"
#include "shims/seccomp/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#else
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#endif

enum { NUMBERS = 600, X32_BIT = 0x40000000 };

/* What the filter says of a call; fails on an instruction that it has no business to use, and on a jump out of it. */
static uint32_t run_filter(const struct filter *filter, uint32_t arch, uint32_t number)
{
    uint32_t accumulator = 0;

    for (size_t at = 0; at < filter->length; at++) {
        const struct sock_filter *one = &filter->code[at];

        if (one->code == (BPF_LD | BPF_W | BPF_ABS))
            accumulator = one->k == offsetof(struct seccomp_data, arch) ? arch : number;
        else if (one->code == (BPF_JMP | BPF_JEQ | BPF_K))
            at += accumulator == one->k ? one->jt : one->jf;
        else if (one->code == (BPF_JMP | BPF_JGE | BPF_K))
            at += accumulator >= one->k ? one->jt : one->jf;
        else if (one->code == (BPF_RET | BPF_K))
            return one->k;
        else
            fail_msg("instruction %zu is %u", at, one->code);
    }
    fail_msg("the filter has no end for call %u", number);
    return 0;
}

static uint32_t expected(uint64_t points, uint32_t number)
{
    if (number == SYS_exit || number == SYS_exit_group)
        return SECCOMP_RET_USER_NOTIF;
    for (size_t i = 0; i < call_count; i++)
        if (call_descs[i].number == (long)number && (call_descs[i].points & points))
            return SECCOMP_RET_USER_NOTIF;
    return SECCOMP_RET_ALLOW;
}

static void filters_choose_by_point(void **state)
{
    (void)state;
    for (uint64_t points = 0; points < BIT(POINT_COUNT); points = points * 2 + 1) {
        const struct supervise_spec spec = { points, false, false, "" };
        struct filter filter;

        assert_int_equal(filter_build(&spec, &filter), 0);
        for (uint32_t number = 0; number < NUMBERS; number++) {
            assert_int_equal(run_filter(&filter, NATIVE_ARCH, number), expected(points, number));
            assert_int_equal(run_filter(&filter, AUDIT_ARCH_I386, number), SECCOMP_RET_ALLOW);
            assert_int_equal(run_filter(&filter, NATIVE_ARCH, number | X32_BIT), SECCOMP_RET_ALLOW);
        }
    }
}

static void filters_redirect_and_refuse(void **state)
{
    const struct supervise_spec spec = { POINT_BIT(fsync), true, true, "" };
    struct filter filter;

    (void)state;
    assert_int_equal(filter_build(&spec, &filter), 0);
    assert_int_equal(run_filter(&filter, NATIVE_ARCH, SYS_connect), SECCOMP_RET_USER_NOTIF);
    assert_int_equal(run_filter(&filter, NATIVE_ARCH, SYS_io_uring_setup), SECCOMP_RET_ERRNO | ENOSYS);
    assert_int_equal(run_filter(&filter, NATIVE_ARCH, SYS_read), SECCOMP_RET_ALLOW);
}

/* A call that the table knows and the supervisor does not would be let through, judged by nobody. */
static void every_call_of_the_table_is_native(void **state)
{
    (void)state;
    for (size_t i = 0; i < call_count; i++)
        if (call_descs[i].number >= 0)
            assert_int_equal(native_points((int)call_descs[i].number) & call_descs[i].points, call_descs[i].points);
    assert_int_equal(native_points(SYS_getppid), 0);
}

static struct occasion occasion_of(int number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    const struct seccomp_data data = { .nr = number, .args = { a, b, c, d, e, f } };
    struct occasion occasion;

    native_occasion(&data, getpid(), &occasion);
    return occasion;
}

#define PLACE(thing) ((uint64_t)(uintptr_t)(thing))

static void roles_come_from_registers(void **state)
{
    char a[10], b[20], control[64];
    struct iovec parts[] = { { a, sizeof(a) }, { b, sizeof(b) } };
    struct sockaddr_storage address;
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2, .msg_name = &address, .msg_namelen = 16 };
    struct occasion occasion = occasion_of(SYS_pwrite64, 7, 1, 100, 5, 0, 0);

    (void)state;
    assert_int_equal(occasion.fd, 7);
    assert_int_equal(occasion.size, 100);
    assert_int_equal(occasion.points, POINT_BIT(write));
    occasion = occasion_of(SYS_openat, 9, PLACE("name"), 0, 0, 0, 0);
    assert_int_equal(occasion.at, 9);
    assert_string_equal(occasion.path, "name");
    assert_int_equal(occasion.fd, -1);
    occasion = occasion_of(SYS_readv, 3, PLACE(parts), 2, 0, 0, 0);
    assert_int_equal(occasion.size, 30);
    occasion = occasion_of(SYS_sendmsg, 3, PLACE(&message), 0, 0, 0, 0);
    assert_int_equal(occasion.size, 30);
    assert_ptr_equal(occasion.address, &address);
    assert_int_equal(occasion.length, 16);
    assert_false(occasion.keeps_size);
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    assert_true(occasion_of(SYS_sendmsg, 3, PLACE(&message), 0, 0, 0, 0).keeps_size);
    occasion = occasion_of(SYS_connect, 4, PLACE(&address), 16, 0, 0, 0);
    assert_true(occasion.points & CONTROL_REDIRECT);
    assert_int_equal(occasion.length, 16);
    assert_true(occasion_of(SYS_close, 4, 0, 0, 0, 0, 0).keeps_result);
    assert_false(occasion_of(SYS_fsync, 4, 0, 0, 0, 0, 0).keeps_result);
}

/* Pointers that lead nowhere, counts that no kernel takes. */
static void hostile_registers_are_survived(void **state)
{
    char page[16], text[64];
    struct msghdr message = { .msg_iov = (struct iovec *)page, .msg_iovlen = SIZE_MAX };
    char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_int_equal(occasion_of(SYS_readv, 3, 1, 1024, 0, 0, 0).size, 0);
    assert_int_equal(occasion_of(SYS_readv, 3, PLACE(page), UINT64_MAX, 0, 0, 0).size, 0);
    assert_int_equal(occasion_of(SYS_sendmsg, 3, 1, 0, 0, 0, 0).size, 0);
    assert_int_equal(occasion_of(SYS_sendmsg, 3, PLACE(&message), 0, 0, 0, 0).size, 0);
    assert_true(remote_read(getpid(), NULL, page, 1) < 0);
    assert_true(map != MAP_FAILED && munmap(map + 4096, 4096) == 0); /* a text that ends where its page does */
    memset(map, 'x', 4096);
    assert_int_equal(remote_text(getpid(), map + 4090, text, sizeof(text)), -EFAULT);
    map[4095] = '\0';
    assert_int_equal(remote_text(getpid(), map + 4090, text, sizeof(text)), 0);
    assert_string_equal(text, "xxxxx");
    assert_int_equal(remote_text(getpid(), map, text, sizeof(text)), -ENAMETOOLONG);
    munmap(map, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_choose_by_point),   cmocka_unit_test(filters_redirect_and_refuse), cmocka_unit_test(every_call_of_the_table_is_native),
        cmocka_unit_test(roles_come_from_registers), cmocka_unit_test(hostile_registers_are_survived),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
