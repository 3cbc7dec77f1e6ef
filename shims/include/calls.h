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
