/* The target's memory and descriptors, from outside.
 *
 * What is read belongs to the call only if the notification is still valid afterwards (notify_is_valid): a thread that was
 * killed meanwhile may have left its number to another. And another thread of the target may change memory or descriptors between
 * our look and the kernel's: a rule's selectors are judged on what was seen, the kernel does what it then finds. */
#ifndef PERTURB_SHIMS_SECCOMP_REMOTE_H
#define PERTURB_SHIMS_SECCOMP_REMOTE_H

#include "shims/judge/judge.h"

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/* All of it or nothing. 0; -EFAULT, -EPERM, -ESRCH. */
int remote_read(pid_t pid, const void *from, void *data, size_t size);
int remote_write(pid_t pid, void *to, const void *data, size_t size);

/* A text of at most size - 1 bytes, terminated. 0; -EFAULT, -ENAMETOOLONG. */
int remote_text(pid_t pid, const char *from, char *text, size_t size);

/* A duplicate of the target's descriptor; close it. Returns it, -EBADF, -EPERM, -ESRCH. */
int remote_fd(int pidfd, int fd);

/* The path of a call: of its argument, made absolute, else of its descriptor. NULL when unknown. */
const char *remote_path(pid_t pid, const struct occasion *occasion, char *room, size_t size);

/* The thread's name into `room`. NULL when unknown. */
const char *remote_name(pid_t pid, pid_t tid, char room[RULE_THREAD_MAX]);

/* True when a signal that the program handles, or that stops it, is pending for this thread for certain: its own, or the
 * process's while there is no other thread that the kernel may have chosen. */
bool remote_has_signal(pid_t pid, pid_t tid);

#endif
