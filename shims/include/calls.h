/* The wrapped calls as a constant array, for those who ask which there are (doctor, tests, other backends). */
#ifndef PERTURB_SHIMS_CALLS_H
#define PERTURB_SHIMS_CALLS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#define NO_SYSCALL (-1)

/* Calls that newer machines were never given. */
#ifndef SYS_open
#define SYS_open NO_SYSCALL
#endif
#ifndef SYS_creat
#define SYS_creat NO_SYSCALL
#endif
#ifndef SYS_stat /* with it went all that have an at-variant, or one with flags */
#define SYS_stat NO_SYSCALL
#define SYS_lstat NO_SYSCALL
#define SYS_access NO_SYSCALL
#define SYS_readlink NO_SYSCALL
#define SYS_chmod NO_SYSCALL
#define SYS_chown NO_SYSCALL
#define SYS_lchown NO_SYSCALL
#define SYS_utimes NO_SYSCALL
#define SYS_utime NO_SYSCALL
#define SYS_mkdir NO_SYSCALL
#define SYS_rmdir NO_SYSCALL
#define SYS_unlink NO_SYSCALL
#define SYS_rename NO_SYSCALL
#define SYS_link NO_SYSCALL
#define SYS_symlink NO_SYSCALL
#define SYS_poll NO_SYSCALL
#define SYS_select NO_SYSCALL
#define SYS_epoll_wait NO_SYSCALL
#define SYS_pipe NO_SYSCALL
#define SYS_dup2 NO_SYSCALL
#define SYS_epoll_create NO_SYSCALL
#endif
#ifndef SYS_faccessat2
#define SYS_faccessat2 439 /* Linux 5.8 */
#endif
#ifndef SYS_renameat
#define SYS_renameat NO_SYSCALL
#endif
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441 /* Linux 5.11, later than some headers; the same everywhere */
#endif
#ifndef SYS_accept
#define SYS_accept SYS_accept4
#endif

struct call_desc {
    const char *name;
    uint64_t points; /* BIT(point); read|recv and write|send together: the second on sockets only */
    long number;     /* of the system call; -1 when there is no single one, or this machine lacks it */
};

extern const struct call_desc call_descs[];
extern const size_t call_count;

#endif
