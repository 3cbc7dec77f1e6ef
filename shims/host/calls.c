/* calls.def as an array. */
#include "shims/include/calls.h"

#include "shims/include/control.h"

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

const struct call_desc call_descs[] = {
#define CALL(type, name, parameters, arguments, failure, style, points, roles, prepare, number)                              \
    { #name, (points) & ~(uint64_t)CONTROL_REDIRECT, number },
#include "shims/include/calls.def"
};

const size_t call_count = sizeof(call_descs) / sizeof(call_descs[0]);
