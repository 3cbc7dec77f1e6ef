/* The watcher of connects and listens. */
#include "shims/seccomp/watch.h"

#include "scenarios/base/cleanup.h"
#include "shims/seccomp/filter.h"
#include "shims/seccomp/notify.h"
#include "shims/seccomp/remote.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/un.h>

struct watch {
    int ends[2]; /* the listener comes through here */
    int listener;
    struct sock_fprog program;
    struct filter filter;
};

int watch_prepare(struct watch **ret_watch)
{
    const uint32_t action = SECCOMP_RET_USER_NOTIF;
    struct watch *watch;
    int result;

    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0)
        return -ENOTSUP;
    watch = calloc(1, sizeof(*watch));
    if (!watch)
        return -ENOMEM;
    watch->listener = watch->ends[0] = watch->ends[1] = -1;
    result = filter_watch((const long[]){ SYS_connect, SYS_listen }, 2, &watch->filter);
    if (!result && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, watch->ends) < 0)
        result = -errno;
    watch->program = (struct sock_fprog){ (unsigned short)watch->filter.length, watch->filter.code };
    if (result < 0) {
        watch_free(watch);
        return result;
    }
    *ret_watch = watch;
    return 0;
}

struct watch *watch_free(struct watch *watch)
{
    if (!watch)
        return NULL;
    for (size_t i = 0; i < 2; i++)
        if (watch->ends[i] >= 0)
            close(watch->ends[i]);
    if (watch->listener >= 0)
        close(watch->listener);
    free(watch);
    return NULL;
}

/* ---- handing the listener over ------------------------------------------------------------------------------------------ */

union control {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
};

static struct msghdr message(struct iovec *byte, union control *control)
{
    return (struct msghdr){ .msg_iov = byte, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(*control) };
}

static int hand_over(int socket_fd, int fd)
{
    char byte = 0;
    struct iovec part = { &byte, 1 };
    union control control = { .room = { 0 } };
    struct msghdr envelope = message(&part, &control);

    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
    return sendmsg(socket_fd, &envelope, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

static int take_over(int socket_fd)
{
    char byte;
    struct iovec part = { &byte, 1 };
    union control control = { .room = { 0 } };
    struct msghdr envelope = message(&part, &control);
    ssize_t got;
    int fd;

    do
        got = recvmsg(socket_fd, &envelope, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got != 1 || envelope.msg_controllen < CMSG_LEN(sizeof(int)))
        return got < 0 ? -errno : -EPIPE;
    memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
    return fd;
}

static int install(const struct sock_fprog *program)
{
    long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                            SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, program);

    if (listener < 0 && errno == EINVAL)
        listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, program);
    return listener < 0 ? -errno : (int)listener;
}

int watch_install(struct watch *watch)
{
    int listener = install(&watch->program), result;

    if (listener == -EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        listener = install(&watch->program);
    if (listener < 0)
        return listener;
    result = hand_over(watch->ends[1], listener);
    close(listener);
    return result;
}

int watch_attend(struct watch *watch)
{
    close(TAKE_FD(watch->ends[1])); /* the child's end: when it fails, we read an end and no listener */
    watch->listener = take_over(watch->ends[0]);
    return watch->listener < 0 ? watch->listener : 0;
}

int watch_fd(const struct watch *watch)
{
    return watch->listener;
}

/* ---- looking ------------------------------------------------------------------------------------------------------------ */

static int type_of(int fd)
{
    socklen_t length = sizeof(int);
    int type;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0 ? 0 : type;
}

static int look_at_connect(const struct seccomp_notif *call, struct watch_event *event)
{
    event->kind = WATCH_CONNECT;
    event->length = (socklen_t)call->data.args[2];
    if (event->length < sizeof(sa_family_t) || event->length > sizeof(event->address))
        return -EAGAIN;
    return remote_read((pid_t)call->pid, (const void *)(uintptr_t)call->data.args[1], &event->address, event->length);
}

/* A socket that was not bound gets its port by listen(2). It is one socket: listening on it here, with the program's own backlog,
 * is what the program is about to do, and the port can be asked for. */
static int look_at_listen(const struct seccomp_notif *call, int fd, struct watch_event *event)
{
    event->kind = WATCH_LISTEN;
    event->length = sizeof(event->address);
    if (fd < 0 || listen(fd, (int)call->data.args[1]) < 0)
        return -EAGAIN;
    return getsockname(fd, (struct sockaddr *)&event->address, &event->length) < 0 ? -errno : 0;
}

/* The thread's number is that of a process only for its main thread: pidfd_open(2) wants the process. */
static pid_t process_of(pid_t tid)
{
    char path[48], text[1024];
    AUTO_CLOSE int fd = -1;
    const char *place;
    ssize_t got;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (got <= 0)
        return tid;
    text[got] = '\0';
    place = strstr(text, "\nTgid:");
    return place ? (pid_t)strtol(place + 6, NULL, 10) : tid;
}

int watch_next(struct watch *watch, struct watch_event *ret_event)
{
    struct pollfd place = { .fd = watch->listener, .events = POLLIN };
    struct watch_event event = { .kind = WATCH_CONNECT };
    AUTO_CLOSE int pidfd = -1, fd = -1;
    union notification note;
    int result;

    if (poll(&place, 1, 0) > 0 && !(place.revents & POLLIN))
        return -ENOENT;
    if (!place.revents || notify_receive(watch->listener, &note) < 0)
        return -EAGAIN;
    event.tid = (pid_t)note.call.pid;
    pidfd = (int)syscall(SYS_pidfd_open, process_of(event.tid), 0);
    fd = pidfd < 0 ? -1 : remote_fd(pidfd, (int)note.call.data.args[0]);
    event.type = fd < 0 ? 0 : type_of(fd);
    result = note.call.data.nr == SYS_connect ? look_at_connect(&note.call, &event) : look_at_listen(&note.call, fd, &event);
    if (result == 0 && !notify_is_valid(watch->listener, note.call.id))
        result = -EAGAIN;
    if (notify_continue(watch->listener, note.call.id) < 0 || result < 0)
        return -EAGAIN;
    *ret_event = event;
    return 0;
}
