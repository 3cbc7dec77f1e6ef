/* Watching which addresses a program and its children connect to and listen on, whatever they are made of: by seccomp user
 * notification of those two calls, each looked at and let go on. Nothing is judged, changed or held back.
 *
 * 1. Between watch_attend and watch_free somebody has to call watch_next whenever watch_fd is readable: the program waits in its
 *    call until then. When the watcher dies, the calls fail with ENOSYS: the program is to die with it (shims/host/spawn.h).
 * 2. Not seen: connects through io_uring, sockets that were open before, and datagrams that are sent without a connect.
 * 3. The filter stays for the life of the program, which is therefore not one to keep after the watch. */
#ifndef PERTURB_SHIMS_SECCOMP_WATCH_H
#define PERTURB_SHIMS_SECCOMP_WATCH_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

enum watch_kind { WATCH_LISTEN, WATCH_CONNECT };

struct watch_event {
    enum watch_kind kind;
    pid_t tid;  /* the calling thread */
    int type;   /* SOCK_STREAM, SOCK_DGRAM, ...; 0 when it could not be asked */
    socklen_t length;
    struct sockaddr_storage address; /* connected to, or listened on; of a listener its port is known */
};

struct watch;

/* Returns new; -ENOTSUP when this kernel or container has no user notification, -errno. */
int watch_prepare(struct watch **ret_watch);

/* In the child, between fork and exec: installs the filter and hands the listener over. Async-signal-safe. 0 or -errno. */
int watch_install(struct watch *watch);

/* In the parent, once for a child that is in watch_install. 0 or -errno. */
int watch_attend(struct watch *watch);

int watch_fd(const struct watch *watch); /* readable when watch_next has something to do */

/* Looks at one call and lets it go on. 0; -EAGAIN: nothing of interest (also a call that was gone meanwhile); -ENOENT: the last
 * process under the filter has ended. */
int watch_next(struct watch *watch, struct watch_event *ret_event);

struct watch *watch_free(struct watch *watch); /* accepts NULL, returns NULL */

#endif
