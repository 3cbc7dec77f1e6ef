/* What a ruling does to a call, from outside. */
#include "shims/seccomp/supervisor.h"

#include "shims/seccomp/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int call_fd(struct call *call)
{
    if (call->fd < 0)
        call->fd = remote_fd(call->thread->process->pidfd, call->occasion.fd);
    if (call->fd < 0)
        call->fd = -1;
    return call->fd;
}

void call_done(struct call *call)
{
    if (call->fd >= 0)
        close(call->fd);
    call->fd = -1;
}

/* connect(2) to AF_UNSPEC, as the shim does it; the socket is the same one. */
static bool drop(struct call *call)
{
    struct sockaddr nobody = { .sa_family = AF_UNSPEC };

    return call_fd(call) >= 0 && connect(call->fd, &nobody, sizeof(nobody)) == 0;
}

/* Such a socket cannot go to a mapped address. */
static bool takes_six_only(int fd)
{
    int only = 0;
    socklen_t length = sizeof(only);

    return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &length) == 0 && only;
}

bool act_elsewhere(const struct supervisor *supervisor, const struct call *call, struct sockaddr_storage *ret_address,
                   socklen_t *ret_length)
{
    const struct occasion *occasion = &call->occasion;
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };

    if (occasion->length > sizeof(address) ||
        remote_read(call->thread->process->pid, occasion->address, &address, occasion->length) < 0 ||
        (address.ss_family == AF_INET6 && takes_six_only(call->fd)))
        return false;
    return judge_redirect(&supervisor->judge, &address, occasion->length, ret_address, ret_length);
}

/* A connect of a TCP socket that has somewhere else to go. The descriptor is a duplicate: non-blocking stays non-blocking. */
static enum outcome redirect(const struct supervisor *supervisor, struct call *call, struct answer *ret_answer)
{
    struct sockaddr_storage address;
    socklen_t length;
    int flags;

    if (judge_fd_kind(call_fd(call)) != KIND_TCP || !act_elsewhere(supervisor, call, &address, &length) ||
        !notify_is_valid(supervisor->listener, call->id))
        return OUTCOME_ANSWER;
    flags = fcntl(call->fd, F_GETFL);
    if (flags < 0 || !(flags & O_NONBLOCK))
        return OUTCOME_CONNECT;
    ret_answer->given = true;
    ret_answer->error = connect(call->fd, (struct sockaddr *)&address, length) < 0 ? errno : 0;
    return OUTCOME_ANSWER;
}

static void send_signal(const struct call *call, int signal)
{
    if (call->thread->process->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, call->thread->process->pidfd, signal, NULL, 0);
}

/* The call is made here: of fewer bytes, of some sectors, or with other bytes. */
static enum outcome move(const struct supervisor *supervisor, struct call *call, struct answer *ret_answer, uint32_t *ret_events)
{
    int64_t count;

    if (call_fd(call) < 0 || !notify_is_valid(supervisor->listener, call->id)) {
        judge_take_back(&call->ruling);
        return OUTCOME_ANSWER;
    }
    count = transfer(call, ret_events);
    if (count == -EAGAIN) {
        int flags = fcntl(call->fd, F_GETFL);

        if (flags >= 0 && !(flags & O_NONBLOCK))
            return OUTCOME_WAIT;
        *ret_answer = (struct answer){ .given = true, .error = EAGAIN };
    } else if (count >= 0) {
        if (call->ruling.torn.then_crash)
            send_signal(call, SIGKILL);
        *ret_answer = (struct answer){ .given = true, .value = count };
    } else {
        judge_take_back(&call->ruling); /* an error of its own: the kernel tells it best */
    }
    return OUTCOME_ANSWER;
}

/* How a sync ends is not seen from here: what it is about to make durable is taken as durable. */
static void note_unsynced(const struct judge *judge, struct call *call)
{
    if (call->ruling.unsynced.is_sync)
        unsynced_sync(judge, &call->occasion, unsynced_mark(judge, &call->occasion));
    else
        unsynced_write(judge, &call->occasion, &call->ruling);
    call->ruling.unsynced.count = NULL; /* once, however often it is tried */
}

enum outcome act(struct supervisor *supervisor, struct call *call, struct answer *ret_answer, uint32_t *ret_events)
{
    struct ruling *ruling = &call->ruling;

    *ret_answer = (struct answer){ .given = false };
    *ret_events = 0;
    if (ruling->signal) {
        send_signal(call, ruling->signal);
        ruling->signal = 0;
    }
    if (ruling->drop && !drop(call)) {
        ruling->error = 0;
        judge_take_back(ruling);
    }
    if (ruling->error || ruling->fake) {
        *ret_answer = (struct answer){ .given = true, .error = ruling->error, .value = ruling->value };
        return OUTCOME_ANSWER;
    }
    if (ruling->unsynced.count)
        note_unsynced(&supervisor->judge, call);
    if (ruling->size_max < call->occasion.size || ruling->torn.count || ruling->rot.count)
        return move(supervisor, call, ret_answer, ret_events);
    if (call->occasion.points & CONTROL_REDIRECT)
        return redirect(supervisor, call, ret_answer);
    return OUTCOME_ANSWER;
}
