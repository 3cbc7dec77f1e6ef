/* What shim and supervisor can reach in a program, and what they cannot: facts from the file, its libraries, and /proc. Used by
 * `perturb doctor` and, before arming, by `exec` and the run engine. Nothing of the program is executed. */
#ifndef PERTURB_SHIMS_INSPECT_H
#define PERTURB_SHIMS_INSPECT_H

#include "scenarios/vocab/plan.h"

#include <sys/types.h>

enum { INSPECT_REASON_MAX = 400, INSPECT_OBJECTS_MAX = 256 };

enum linkage { LINKAGE_DYNAMIC, LINKAGE_STATIC, LINKAGE_FOREIGN };

struct inspection {
    pid_t pid;              /* 0: a file */
    char path[4096];        /* the ELF file that runs */
    char script[4096];      /* the script it was named by; "" when it was named itself */
    enum linkage linkage;   /* FOREIGN: another machine, or 32 bits */
    bool is_go, is_musl;
    bool is_setuid;         /* the loader drops the preload (AT_SECURE), unless we are that user already */
    bool has_shim;          /* a process: libperturb.so is mapped */
    bool sees_releases;     /* in the form that wraps releases and condition waits (PRELOAD_WATCHING) */
    bool has_page;          /* and a control page */
    bool uses_io_uring;     /* imports it, or has rings open: such I/O passes no libc call */
    bool uses_stdio;        /* imports printf, getc and the like, which calls.def does not have */
    bool uses_syscall;      /* imports syscall(2): what it calls by number passes no wrapped entry point */
    bool loads_more;        /* imports dlopen: libraries that come later are not known to an inspected file */
    bool imports_known;     /* false: no symbol table to read */
    char allocator[256];    /* file that defines malloc for the program; "" when none was found */
    uint64_t points;        /* BIT(point): some object other than libc imports a wrapped call of it */
    size_t code_count;
    struct inspected_code { /* fault points in the program's own code, of all its objects, each once */
        char *name, *file;
        uint32_t line;
        bool gives_error;
    } *codes;
    size_t object_count;
    char *objects[INSPECT_OBJECTS_MAX]; /* paths in load order, the program first */
    uint8_t imports[1024];  /* per row of call_descs: 1 when imported */
    int shortage;           /* while looking: -ENOMEM, -EMFILE...; 0 in what the caller gets */
    char reason[INSPECT_REASON_MAX];
};

/* Looks a command up in PATH as execvp does. 0, -ENOENT, -EACCES; a shortage (err_is_shortage): it may be there. */
int inspect_find_program(const char *name, char *path, size_t size);

/* Inspects a file (through "#!" to its interpreter), or a process. Returns new; -ENOENT, -ENOEXEC, -EACCES, -ESRCH;
 * -ENOMEM, -EMFILE, -EIO (err_is_shortage) when something of it could not be read: half the facts would be wrong answers. */
int inspect_file(const char *path, struct inspection **ret_inspection);
int inspect_process(pid_t pid, struct inspection **ret_inspection);
void inspection_free(struct inspection *inspection); /* accepts NULL */

/* Why the shim cannot reach it, in words; NULL when it does. Borrowed from the inspection. */
const char *inspect_unreachable(struct inspection *inspection);

/* Why no supervisor (seccomp) can attend it, in words; NULL when one can. Static text. */
const char *inspect_unsupervisable(const struct inspection *inspection);

/* Which backend suits it: BACKEND_PRELOAD, or BACKEND_SUPERVISE with the reason in *ret_why (static text); 0 when neither does. */
enum backend inspect_backend(struct inspection *inspection, const char **ret_why);

/* Why this fault at these points cannot be carried out by a supervisor, on whatever program; NULL when it can. */
const char *inspect_beyond_supervisor(enum fault_id fault, uint64_t points);

/* Why this fault cannot take effect on it though the shim reaches it; NULL when it can. `room` holds INSPECT_REASON_MAX. */
const char *inspect_obstacle(const struct inspection *inspection, enum fault_id fault, uint64_t points, char *room, size_t size);

/* Why a rule that ran never matched: the likeliest cause. `inspection` may be NULL. Returns `room`. */
const char *inspect_silence(const struct inspection *inspection, const struct plan_rule *rule, char *room, size_t size);

#endif
