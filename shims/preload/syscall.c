/* syscall(2) itself: a program's syscall(SYS_write, ...) is judged as its write() is, by the row of that number. What the shim's own
 * files ask of the kernel does not come by here: the linker turns their syscall() into __wrap_syscall() (--wrap), which is nobody
 * else's.
 *
 * The idle call is a load, a branch and a jump: the frame of a clone(2) made this way stays the caller's. */
#include "shims/preload/shim.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static uint64_t space(int mode, int64_t offset, int64_t size)
{
    return mode || offset < 0 || size < 0 ? 0 : (uint64_t)size;
}

static uint64_t product(size_t count, size_t size)
{
    return (uint64_t)count * size;
}

#include "shims/judge/roles.def"

typedef long syscall_function(long, long, long, long, long, long, long);

#if defined(__x86_64__)
static long enter_kernel(long number, const long *a)
{
    register long fourth __asm__("r10") = a[3];
    register long fifth __asm__("r8") = a[4];
    register long sixth __asm__("r9") = a[5];
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(fourth), "r"(fifth), "r"(sixth)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
static long enter_kernel(long number, const long *a)
{
    register long which __asm__("x8") = number;
    register long first __asm__("x0") = a[0];
    register long second __asm__("x1") = a[1];
    register long third __asm__("x2") = a[2];
    register long fourth __asm__("x3") = a[3];
    register long fifth __asm__("x4") = a[4];
    register long sixth __asm__("x5") = a[5];

    __asm__ volatile("svc #0" : "+r"(first) : "r"(which), "r"(second), "r"(third), "r"(fourth), "r"(fifth), "r"(sixth) : "memory");
    return first;
}
#else
#error "the shim's machines are x86-64 and arm64"
#endif

static long raw(long number, long a, long b, long c, long d, long e, long f)
{
    long result = enter_kernel(number, (const long[]){ a, b, c, d, e, f });

    if (result < 0 && result > -4096) {
        errno = (int)-result;
        return -1;
    }
    return result;
}

long __wrap_syscall(long number, ...);

/* Arguments that were not given are read all the same, as the C library's own does: the kernel does not look at them. */
long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list list;

    va_start(list, number);
    for (size_t i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    return raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static syscall_function *next = raw;

void shim_syscall_resolve(void)
{
    void *found = shim_next("syscall");

    if (found)
        memcpy(&next, &found, sizeof(next));
}

/* Which register is the size that a short transfer lowers; -1: such a call is not shortened. */
static int size_register(long number)
{
    switch (number) {
    case SYS_read:
    case SYS_write:
    case SYS_pread64:
    case SYS_pwrite64:
    case SYS_sendto:
    case SYS_recvfrom:
    case SYS_tee:
        return 2;
    case SYS_sendfile:
        return 3;
    case SYS_splice:
    case SYS_copy_file_range:
        return 4;
    default:
        return -1;
    }
}

static __attribute__((cold, noinline)) long judged(const void *caller, const struct native *native, long number, uint64_t *r)
{
    int size_at = size_register(number);
    struct sockaddr_storage elsewhere;
    struct occasion occasion;
    struct ruling ruling;
    socklen_t length;
    long result;

    native_fill(native, r, &occasion);
    occasion.caller = caller;
    occasion.keeps_size = size_at < 0;
    shim_rule(&occasion, &ruling);
    if (ruling.error) {
        if (number == SYS_close)
            (void)next(number, (long)r[0], 0, 0, 0, 0, 0);
        errno = ruling.error;
        return -1;
    }
    if (ruling.fake)
        return (long)ruling.value;
    if (ruling.torn.count)
        return (long)shim_tear(&occasion, &ruling);
    if (size_at >= 0 && r[size_at] > ruling.size_max)
        r[size_at] = ruling.size_max;
    if (number == SYS_connect && shim_redirect((int)r[0], (const void *)(uintptr_t)r[1], (socklen_t)r[2], &elsewhere, &length)) {
        r[1] = (uintptr_t)&elsewhere;
        r[2] = length;
    }
    result = next(number, (long)r[0], (long)r[1], (long)r[2], (long)r[3], (long)r[4], (long)r[5]);
    if (ruling.rot.count || ruling.unsynced.is_sync)
        shim_after(&occasion, &ruling, result);
    return result;
}

#define NATIVE_AS(name, number)
#define NATIVE(name) | (uint32_t)POINTS_##name
enum { POINTS_OF_ALL = (int)(0
#include "shims/include/natives.def"
) };

long shim_syscall(long number, long a, long b, long c, long d, long e, long f) __asm__("syscall") __attribute__((visibility("default")));

static __attribute__((cold, noinline)) const struct native *armed_row(long number)
{
    const struct native *native = native_find(number);

    return native && SHIM_ARMED(native->points) ? native : NULL;
}

long shim_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    const struct native *native;

    if (!SHIM_ARMED(POINTS_OF_ALL))
        return next(number, a, b, c, d, e, f);
    native = armed_row(number);
    if (!native)
        return next(number, a, b, c, d, e, f);
    return judged(__builtin_return_address(0), native, number, (uint64_t[]){ (uint64_t)a, (uint64_t)b, (uint64_t)c, (uint64_t)d, (uint64_t)e, (uint64_t)f });
}
