/* The filter as a binary tree over the sorted call numbers: some six comparisons for any call. It looks at the number and the
 * architecture only, so that a kernel with the action cache (5.11) does not even run it for calls that it always allows. */
#include "shims/seccomp/filter.h"

#include "scenarios/base/bits.h"
#include "scenarios/vocab/fault.h"
#include "shims/include/calls.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "the supervisor's machines are x86-64 and arm64"
#endif

enum { ENTRIES_MAX = 192, LEAF_MAX = 3 };

struct entry {
    uint32_t number;
    uint32_t action;
};

struct entries {
    struct entry list[ENTRIES_MAX];
    size_t count;
};

static void add(struct entries *entries, long number, uint32_t action)
{
    for (size_t i = 0; i < entries->count; i++)
        if (entries->list[i].number == (uint32_t)number)
            return;
    if (number >= 0 && entries->count < ENTRIES_MAX)
        entries->list[entries->count++] = (struct entry){ (uint32_t)number, action };
}

static int by_number(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;

    return (left->number > right->number) - (left->number < right->number);
}

static bool emit(struct filter *filter, uint16_t code, uint32_t k, uint8_t jump_true, uint8_t jump_false)
{
    if (filter->length == FILTER_MAX)
        return false;
    filter->code[filter->length++] = (struct sock_filter){ code, jump_true, jump_false, k };
    return true;
}

static bool emit_tree(struct filter *filter, const struct entry *list, size_t count)
{
    size_t half = count / 2, place = filter->length;

    if (count <= LEAF_MAX) {
        for (size_t i = 0; i < count; i++)
            if (!emit(filter, BPF_JMP | BPF_JEQ | BPF_K, list[i].number, 0, 1) || !emit(filter, BPF_RET | BPF_K, list[i].action, 0, 0))
                return false;
        return emit(filter, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
    }
    if (!emit(filter, BPF_JMP | BPF_JGE | BPF_K, list[half].number, 0, 0) || !emit_tree(filter, list, half) ||
        filter->length - place - 1 > UINT8_MAX)
        return false;
    filter->code[place].jt = (uint8_t)(filter->length - place - 1);
    return emit_tree(filter, list + half, count - half);
}

static int build(struct entries *entries, struct filter *filter)
{
    qsort(entries->list, entries->count, sizeof(entries->list[0]), by_number);
    filter->length = 0;
    emit(filter, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
    emit(filter, BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0);
    emit(filter, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
    emit(filter, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
    return emit_tree(filter, entries->list, entries->count) ? 0 : -E2BIG;
}

int filter_build(const struct supervise_spec *spec, struct filter *ret_filter)
{
    struct entries entries = { .count = 0 };
    struct filter *filter = ret_filter;

    add(&entries, SYS_exit, SECCOMP_RET_USER_NOTIF);
    add(&entries, SYS_exit_group, SECCOMP_RET_USER_NOTIF);
    if (spec->redirects)
        add(&entries, SYS_connect, SECCOMP_RET_USER_NOTIF);
    if (spec->refuse_io_uring)
        add(&entries, SYS_io_uring_setup, SECCOMP_RET_ERRNO | ENOSYS);
    for (size_t i = 0; i < call_count; i++)
        if (call_descs[i].points & spec->points)
            add(&entries, call_descs[i].number, SECCOMP_RET_USER_NOTIF);
    return build(&entries, filter);
}

int filter_watch(const long *numbers, size_t count, struct filter *ret_filter)
{
    struct entries entries = { .count = 0 };

    for (size_t i = 0; i < count; i++)
        add(&entries, numbers[i], SECCOMP_RET_USER_NOTIF);
    return build(&entries, ret_filter);
}
