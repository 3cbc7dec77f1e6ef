/* The wrappers themselves, expanded from calls.def. Each row becomes four functions:
 *   wrap_NAME   the exported symbol: one load, one test, one jump while nothing is armed (README rule 1)
 *   armed_NAME  the cold path: jumps on, too, when no armed rule could be about this call
 *   ruled_NAME  asks for a ruling, obeys it, then makes the real call
 *   first_NAME  where the pointer to the real function points until it has been found; a call that comes while it is being
 *               looked up fails (an old dlsym that allocates gets NULL and copes)
 * and real_NAME, the pointer: a plain global, because a per-thread one would be looked up again by every thread. */
#include "shims/preload/shim.h"
#include "shims/preload/time.h"

#include "scenarios/base/clock.h"

#include "shims/include/call_headers.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio_ext.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))
#define COLD __attribute__((cold, noinline))
#define ARMED __attribute__((noinline, section(".text.armed"))) /* out of the way as what is cold, but not made small for it */
#define INSIDE(...) __VA_ARGS__

/* The names have to be said as they lie in the symbol table, whatever the headers redirect them to. */
#define CALL_LOOSE(type, name, parameters, ...) EXPORTED type wrap_##name parameters __asm__(#name);
#define CALL(type, name, parameters, ...)                                                                                    \
    CALL_LOOSE(type, name, parameters, )                                                                                     \
    _Static_assert(__builtin_types_compatible_p(__typeof__(name), __typeof__(wrap_##name)), #name " differs from its header");
#include "shims/include/calls.def"

#define CALL(type, name, parameters, ...)                                                                                    \
    static COLD type first_##name parameters;                                                                                \
    static __typeof__(first_##name) *real_##name = first_##name;
#include "shims/include/calls.def"

static __thread bool resolving __attribute__((tls_model("initial-exec")));

/* A function that this C library does not have: nobody can have linked against it. */
#define CALL(type, name, parameters, arguments, failure, ...)                                                                \
    static COLD type missing_##name parameters                                                                               \
    {                                                                                                                        \
        errno = ENOSYS;                                                                                                      \
        return failure;                                                                                                      \
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "shims/include/calls.def"
#pragma GCC diagnostic pop

static void find(const char *name, void *slot, size_t size)
{
    void *found = shim_next(name);

    if (found)
        memcpy(slot, &found, size);
}

/* First what an allocator needs to begin: a look-up that fails allocates its message. */
void shim_resolve(void)
{
    int saved = errno;

    if (resolving)
        return;
    resolving = true;
#define CALL(type, name, parameters, arguments, failure, style, mask, ...)                                                   \
    if ((mask) & POINT_BIT(map)) {                                                                                           \
        __typeof__(real_##name) found = missing_##name;                                                                      \
        find(#name, &found, sizeof(found));                                                                                  \
        real_##name = found;                                                                                                 \
    }
#include "shims/include/calls.def"
#define CALL(type, name, parameters, arguments, failure, style, mask, ...)                                                   \
    if (!((mask) & POINT_BIT(map))) {                                                                                        \
        __typeof__(real_##name) found = missing_##name;                                                                      \
        find(#name, &found, sizeof(found));                                                                                  \
        real_##name = found;                                                                                                 \
    }
#include "shims/include/calls.def"
    shim_create_next = real_pthread_create; /* new threads are numbered between the wrapper and the library */
    real_pthread_create = shim_create;
    resolving = false;
    errno = saved;
}

#define CALL(type, name, parameters, arguments, failure, ...)                                                                \
    static COLD type first_##name parameters                                                                                 \
    {                                                                                                                        \
        shim_resolve();                                                                                                      \
        if (real_##name == first_##name) {                                                                                   \
            errno = ENOMEM;                                                                                                  \
            return failure;                                                                                                  \
        }                                                                                                                    \
        return real_##name arguments;                                                                                        \
    }
#include "shims/include/calls.def"

#include "shims/preload/timed.def"

/* How a style fails, and how it makes the call. */
#define FAIL_SETS_ERRNO(failure, call) errno = ruling.error; return failure
#define FAIL_RETURNS_ERRNO(failure, call) return ruling.error
#define FAIL_TAKES(failure, call) return ruling.error
#define FAIL_TAKES_SETTING(failure, call) errno = ruling.error; return failure
#define FAIL_TRIES(failure, call) return ruling.error
#define FAIL_AWAITS(failure, call) return ruling.error
#define FAIL_ALLOCATES(failure, call) errno = ruling.error; return failure
#define FAIL_CLOSES(failure, call) (void)call; errno = ruling.error; return failure
#define FAIL_STREAM(failure, call) shim_stream_fails(occasion.file); errno = ruling.error; return failure
#define FAIL_CLOSES_STREAM(failure, call) __fpurge(occasion.file); (void)call; errno = ruling.error; return failure
#define FAIL_RESOLVES(failure, call) return shim_eai(ruling.error)
#define FAIL_RESOLVES_AGAIN(failure, call) *found = NULL; *h_error = shim_h_errno(ruling.error); return ruling.error == EAGAIN ? EAGAIN : 0
#define FAIL_SETS_H_ERRNO(failure, call) h_errno = shim_h_errno(ruling.error); return failure
#define FAIL_NAMES_ADDRESS(failure, call)                                                                                    \
    if (ruling.error != ENOENT || (flags & NI_NAMEREQD))                                                                     \
        return shim_eai(ruling.error);                                                                                       \
    flags |= NI_NUMERICHOST; /* an address without a name is given as it is */                                               \
    return call
#define MAKE_SETS_ERRNO(type, call) return call
#define MAKE_RETURNS_ERRNO(type, call) return call
#define MAKE_TAKES(type, call)                                                                                               \
    type result = outcome < 0 ? call : outcome;                                                                              \
    if (outcome < 0 && (!result || result == EOWNERDEAD))                                                                    \
        shim_lock_tried(&use);                                                                                               \
    shim_hold(&occasion, &ruling, !result || result == EOWNERDEAD);                                                          \
    return result
#define MAKE_TAKES_SETTING(type, call)                                                                                       \
    type result = outcome < 0 ? call : (outcome ? -1 : 0);                                                                   \
    if (outcome > 0)                                                                                                         \
        errno = outcome;                                                                                                     \
    shim_hold(&occasion, &ruling, !result);                                                                                  \
    return result
#define MAKE_TRIES(type, call)                                                                                               \
    type result = call;                                                                                                      \
    if (!result || result == EOWNERDEAD)                                                                                     \
        shim_lock_tried(&use);                                                                                               \
    return result
#define MAKE_AWAITS(type, call)                                                                                              \
    type result = call;                                                                                                      \
    if (watched)                                                                                                             \
        shim_wait_end(lock, caller);                                                                                         \
    shim_hold(&occasion, &ruling, !result);                                                                                  \
    return result
#define MAKE_CLOSES(type, call) return call
#define MAKE_RESOLVES(type, call) return call
#define MAKE_RESOLVES_AGAIN(type, call) return call
#define MAKE_SETS_H_ERRNO(type, call) return call
#define MAKE_NAMES_ADDRESS(type, call) return call
#define MAKE_STREAM(type, call) return call
#define MAKE_CLOSES_STREAM(type, call) return call
#define MAKE_ALLOCATES(type, call) shim_self.depth++; type result = call; shim_self.depth--; return result

/* How it makes a call that nothing armed is about. */
#define PASS_SETS_ERRNO(type, call) return call
#define PASS_RETURNS_ERRNO(type, call) return call
#define PASS_CLOSES(type, call) return call
#define PASS_RESOLVES(type, call) return call
#define PASS_RESOLVES_AGAIN(type, call) return call
#define PASS_SETS_H_ERRNO(type, call) return call
#define PASS_NAMES_ADDRESS(type, call) return call
#define PASS_TAKES(type, call) return call
#define PASS_TAKES_SETTING(type, call) return call
#define PASS_TRIES(type, call) return call
#define PASS_AWAITS(type, call) return call
#define PASS_STREAM(type, call) return call
#define PASS_CLOSES_STREAM(type, call) return call
#define PASS_ALLOCATES(type, call) MAKE_ALLOCATES(type, call)

/* What a ruling changes of a call before it is made. */
#define NOTHING
#define CLIP(size) size = size < ruling.size_max ? size : (size_t)ruling.size_max;
#define CLIP_VECTOR(parts, count)                                                                                            \
    struct iovec clipped[CLIP_PARTS_MAX];                                                                                    \
    if (ruling.size_max < occasion.size) {                                                                                   \
        count = shim_clip(parts, (size_t)count, ruling.size_max, clipped);                                                   \
        parts = clipped;                                                                                                     \
    }
#define CLIP_SENDMSG(fd, message, flags)                                                                                     \
    struct iovec clipped[CLIP_PARTS_MAX];                                                                                    \
    struct msghdr copy;                                                                                                      \
    if (ruling.size_max < occasion.size) {                                                                                   \
        copy = *message;                                                                                                     \
        copy.msg_iovlen = (size_t)shim_clip(message->msg_iov, message->msg_iovlen, ruling.size_max, clipped);                \
        copy.msg_iov = clipped;                                                                                              \
        message = &copy;                                                                                                     \
    }
#define CLIP_RECVMSG(fd, message, flags)                                                                                     \
    if (ruling.size_max < occasion.size)                                                                                     \
        return clipped_recvmsg(fd, message, flags, ruling.size_max);
#define REDIRECT(fd, address, length)                                                                                        \
    struct sockaddr_storage elsewhere;                                                                                       \
    if (shim_redirect(fd, address.__sockaddr__, length, &elsewhere, &length))                                                \
        address.__sockaddr__ = (const struct sockaddr *)&elsewhere;

/* What is noted of locks. Slices go by true time; while another is shown, a timed wait is timed_NAME's and noted when it has ended. */
#define LOCKS_NOTED SHIM_ARMED(CONTROL_LOCKS)
#define TAKE(kind, lock, clock, until)                                                                                       \
    const struct lock_use use = { &kind##_ops, (void *)(uintptr_t)lock, caller, clock, until };                              \
    int outcome = LOCKS_NOTED && !((until) != NULL && shim_clock_is_other()) ? shim_lock_take(&use) : -1;
#define TRY(kind, lock) const struct lock_use use = { &kind##_ops, (void *)(uintptr_t)lock, caller, CLOCK_REALTIME, NULL };
#define DROP(lock)                                                                                                           \
    if (LOCKS_NOTED)                                                                                                         \
        shim_lock_drop((void *)(uintptr_t)lock);
#define AWAIT(condition, lock, timed)                                                                                        \
    bool watched = LOCKS_NOTED;                                                                                              \
    if (watched)                                                                                                             \
        shim_wait_begin(condition, lock, caller, timed);

#define LOCK_OPS(name, kind, busy, try_call, forever, timed, clocked)                                                  \
    static int try_##name(void *lock)                                                                                        \
    {                                                                                                                        \
        return try_call(lock);                                                                                               \
    }                                                                                                                        \
    static int wait_##name(void *lock, clockid_t clock, const struct timespec *until)                                        \
    {                                                                                                                        \
        if (!until)                                                                                                          \
            return forever(lock);                                                                                            \
        return clock == CLOCK_REALTIME ? timed(lock, until) : clocked(lock, clock, until);                                   \
    }                                                                                                                        \
    static const struct lock_ops name##_ops = { kind, busy, try_##name, wait_##name };

LOCK_OPS(mutex, LOCK_MUTEX, EBUSY, real_pthread_mutex_trylock, real_pthread_mutex_lock, real_pthread_mutex_timedlock,
         real_pthread_mutex_clocklock)
LOCK_OPS(read, LOCK_READING, EBUSY, real_pthread_rwlock_tryrdlock, real_pthread_rwlock_rdlock,
         real_pthread_rwlock_timedrdlock, real_pthread_rwlock_clockrdlock)
LOCK_OPS(write, LOCK_WRITING, EBUSY, real_pthread_rwlock_trywrlock, real_pthread_rwlock_wrlock,
         real_pthread_rwlock_timedwrlock, real_pthread_rwlock_clockwrlock)

/* Those of semaphores set errno; spin locks have none that end by a clock. */
static int try_semaphore_now(void *lock)
{
    return sem_trywait(lock) ? errno : 0;
}

static int semaphore_forever(void *lock)
{
    return real_sem_wait(lock) ? errno : 0;
}

static int semaphore_timed(void *lock, const struct timespec *until)
{
    return real_sem_timedwait(lock, until) ? errno : 0;
}

static int semaphore_clocked(void *lock, clockid_t clock, const struct timespec *until)
{
    return real_sem_clockwait(lock, clock, until) ? errno : 0;
}

enum { SPINS_A_LOOK = 256 };

static int spin_clocked(void *lock, clockid_t clock, const struct timespec *until)
{
    (void)clock; /* it is the monotonic one */
    while (shim_now_ns() < timespec_ns(*until))
        for (int i = 0; i < SPINS_A_LOOK; i++)
            if (!real_pthread_spin_trylock(lock))
                return 0;
    return ETIMEDOUT;
}

static int spin_timed(void *lock, const struct timespec *until)
{
    return spin_clocked(lock, CLOCK_MONOTONIC, until);
}

LOCK_OPS(semaphore, LOCK_SEMAPHORE, EAGAIN, try_semaphore_now, semaphore_forever, semaphore_timed, semaphore_clocked)
LOCK_OPS(spin, LOCK_SPIN, EBUSY, real_pthread_spin_trylock, real_pthread_spin_lock, spin_timed, spin_clocked)

/* A look-up answered with another address is a look-up of that address: the answer is the C library's own and freed as such. */
#define ANSWER_LIST(name, service, hints, list)                                                                              \
    if (ruling.answer)                                                                                                       \
        return shim_answer_list(real_getaddrinfo, &ruling, name, service, hints, list);
#define ANSWER_HOST(name, family, call)                                                                                      \
    char other[ANSWER_TEXT_MAX];                                                                                             \
    const char *asked = name, *instead = shim_answer_instead(&ruling, name, family, other);                                  \
    if (instead || ruling.answer) {                                                                                          \
        struct hostent *answer;                                                                                              \
        name = instead ? instead : name;                                                                                     \
        answer = call;                                                                                                       \
        if (!instead)                                                                                                        \
            shim_answer_keep(&ruling, asked, family, answer);                                                                \
        return answer;                                                                                                       \
    }
#define ANSWER_HOST_AGAIN(name, family, found, call)                                                                         \
    char other[ANSWER_TEXT_MAX];                                                                                             \
    const char *asked = name, *instead = shim_answer_instead(&ruling, name, family, other);                                  \
    if (instead || ruling.answer) {                                                                                          \
        int result;                                                                                                          \
        name = instead ? instead : name;                                                                                     \
        result = call;                                                                                                       \
        if (!instead && !result)                                                                                             \
            shim_answer_keep(&ruling, asked, family, *found);                                                                \
        return result;                                                                                                       \
    }

static uint64_t product(size_t count, size_t size)
{
    size_t bytes;

    return __builtin_mul_overflow(count, size, &bytes) ? UINT64_MAX : bytes;
}

/* What fallocate(2) asks for; other modes than the plain one free space, or take none at the end. */
static uint64_t space(int mode, int64_t offset, int64_t size)
{
    return mode || offset < 0 || size < 0 ? 0 : (uint64_t)size;
}

/* The kernel writes into the header: what it wrote goes back into the caller's. */
static COLD ssize_t clipped_recvmsg(int fd, struct msghdr *message, int flags, uint64_t size_max)
{
    struct iovec clipped[CLIP_PARTS_MAX];
    struct msghdr copy = *message;
    ssize_t result;

    copy.msg_iovlen = (size_t)shim_clip(message->msg_iov, message->msg_iovlen, size_max, clipped);
    copy.msg_iov = clipped;
    result = real_recvmsg(fd, &copy, flags);
    message->msg_namelen = copy.msg_namelen;
    message->msg_controllen = copy.msg_controllen;
    message->msg_flags = copy.msg_flags;
    return result;
}

/* The call as the armed path makes it. */
#define CALL(type, name, parameters, arguments, ...)                                                                         \
    static inline __attribute__((always_inline)) type made_##name parameters                                                 \
    {                                                                                                                        \
        return real_##name arguments;                                                                                        \
    }
#define CALL_TIMED(type, name, parameters, arguments, ...)                                                                   \
    static inline __attribute__((always_inline)) type made_##name parameters                                                 \
    {                                                                                                                        \
        return timed_##name arguments;                                                                                       \
    }
#define CALL_TIMED_LOOSE CALL_TIMED
#define CALL_CLOCK(...) /* makes it by itself */
#include "shims/include/calls.def"

#define CALL_CLOCK(type, name, parameters, arguments, ...)                                                                    \
    static COLD type armed_##name(const void *caller, INSIDE parameters)                                                     \
    {                                                                                                                        \
        (void)caller;                                                                                                        \
        return shim_##name(real_##name, INSIDE arguments);                                                                   \
    }
#define CALL(type, name, parameters, arguments, failure, style, mask, roles, prepare, number)                                \
    static COLD type ruled_##name(const void *caller, INSIDE parameters)                                                     \
    {                                                                                                                        \
        struct occasion occasion = { .points = (uint32_t)(mask), .caller = caller, INSIDE roles };                           \
        struct ruling ruling;                                                                                                \
                                                                                                                             \
        shim_rule(&occasion, &ruling);                                                                                       \
        if (ruling.error) {                                                                                                  \
            FAIL_##style(failure, made_##name arguments);                                                                    \
        }                                                                                                                    \
        if (ruling.fake)                                                                                                     \
            return (type)(intptr_t)ruling.value;                                                                             \
        if (ruling.torn.count)                                                                                               \
            return (type)(intptr_t)shim_tear(&occasion, &ruling);                                                            \
        prepare                                                                                                              \
        if (ruling.rot.count || ruling.unsynced.is_sync) {                                                                   \
            type result = made_##name arguments;                                                                             \
                                                                                                                             \
            shim_after(&occasion, &ruling, (int64_t)(intptr_t)result);                                                       \
            return result;                                                                                                   \
        }                                                                                                                    \
        MAKE_##style(type, made_##name arguments);                                                                           \
    }
#include "shims/include/calls.def"

/* The occasion ends before the call is made, so that the call can be a jump: behind a system call each return costs some 20 ns
 * where the kernel empties the processor's stack of return addresses. */
#define CALL_CLOCK(...) /* see above */
#define CALL(type, name, parameters, arguments, failure, style, mask, roles, prepare, number)                                \
    static ARMED type armed_##name(const void *caller, INSIDE parameters)                                                    \
    {                                                                                                                        \
        bool is_concerned;                                                                                                   \
                                                                                                                             \
        {                                                                                                                    \
            const struct occasion occasion = { .points = (uint32_t)(mask), .caller = caller, INSIDE roles };                 \
            const struct glance glance = glance_of(&occasion);                                                               \
                                                                                                                             \
            is_concerned = shim_concerns(&glance);                                                                           \
        }                                                                                                                    \
        if (is_concerned)                                                                                                    \
            return ruled_##name(caller, INSIDE arguments);                                                                   \
        PASS_##style(type, made_##name arguments);                                                                           \
    }
#include "shims/include/calls.def"

/* A true reading that ended after another clock was armed is made again by that: else it may be later than what is shown next. */
#define CALL_CLOCK(type, name, parameters, arguments, failure, style, mask, ...)                                             \
    type wrap_##name parameters                                                                                              \
    {                                                                                                                        \
        if (!SHIM_ARMED(mask)) {                                                                                             \
            type result = real_##name arguments;                                                                             \
            __atomic_thread_fence(__ATOMIC_ACQUIRE);                                                                         \
            if (!SHIM_ARMED(mask))                                                                                           \
                return result;                                                                                               \
        }                                                                                                                    \
        return armed_##name(__builtin_return_address(0), INSIDE arguments);                                                  \
    }
#define CALL(type, name, parameters, arguments, failure, style, mask, ...)                                                   \
    type wrap_##name parameters                                                                                              \
    {                                                                                                                        \
        if (SHIM_ARMED(mask))                                                                                                \
            return armed_##name(__builtin_return_address(0), INSIDE arguments);                                              \
        return real_##name arguments;                                                                                        \
    }
#include "shims/include/calls.def"

/* Before the program's own constructors, after those of the libraries below. */
__attribute__((constructor)) static void shim_begin(void)
{
    int saved = errno;

    shim_resolve();
    shim_clock_find();
    shim_name_program();
    shim_sees_releases = dlsym(RTLD_DEFAULT, "pthread_mutex_unlock") == (void *)(uintptr_t)wrap_pthread_mutex_unlock;
    shim_syscall_resolve();
    shim_page_map();
    errno = saved;
}
