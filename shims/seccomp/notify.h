/* The kernel's interface of user notification, with what older headers lack. Source: seccomp_unotify(2), Linux 6.6. */
#ifndef PERTURB_SHIMS_SECCOMP_NOTIFY_H
#define PERTURB_SHIMS_SECCOMP_NOTIFY_H

#include <errno.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* The kernel's own "a signal came first": with a signal pending it never reaches the program, but becomes EINTR or makes the
 * call again, as the signal's handler was installed to have it. */
enum { NOTIFY_RESTART = 512 }; /* ERESTARTSYS */

/* A kernel may write more than our struct of it; how much it says itself (SECCOMP_GET_NOTIF_SIZES). */
union notification {
    struct seccomp_notif call;
    char room[256];
};

/* Waits for one. 0, or -errno: -ENOENT when it was gone before it could be read. */
static inline int notify_receive(int listener, union notification *place)
{
    memset(place, 0, sizeof(*place)); /* the kernel insists */
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, place) < 0 ? -errno : 0;
}

/* The target makes its call. 0; -ENOENT when nobody waits for the answer any more. */
static inline int notify_continue(int listener, uint64_t id)
{
    struct seccomp_notif_resp answer = { .id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

    return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) < 0 ? -errno : 0;
}

/* The call is not made: it returns `value`, or fails with `error` when that is not 0. */
static inline int notify_answer(int listener, uint64_t id, int error, int64_t value)
{
    struct seccomp_notif_resp answer = { .id = id, .error = -error, .val = error ? 0 : value };

    return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) < 0 ? -errno : 0;
}

/* Does the thread of that notification still wait in its call? What was read of it before is of it, then. */
static inline int notify_is_valid(int listener, uint64_t id)
{
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

#endif
