/* Names for addresses in somebody else's program, and the stacks of its threads, by libdw. Only local files are asked: no debug
 * information is fetched. Control plane. */
#ifndef PERTURB_SHIMS_SYMBOLS_H
#define PERTURB_SHIMS_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { STACK_FRAMES_MAX = 48, SYMBOL_TEXT_MAX = 320 };

struct symbols;

/* Of files. Returns new; NULL when there is no memory. */
struct symbols *symbols_new(void);
struct symbols *symbols_free(struct symbols *symbols); /* accepts NULL, returns NULL */

/* "function+0x12 (file.c:34)" of the call that returns to `offset` of that ELF file, as far as the file tells; else
 * "module+0x1234". Returns `text`. `path` may be NULL: the offset alone. */
const char *symbols_site(struct symbols *symbols, const char *path, uint64_t offset, char *text, size_t size);

/* ---- of a living process ---------------------------------------------------------------------------------------------- */

struct stack {
    pid_t tid;
    size_t count;
    uint64_t frames[STACK_FRAMES_MAX]; /* the innermost first; return addresses but for that one */
    uint64_t stopped_ns;               /* how long the thread stood still for it */
};

struct stacks;

/* Reads the maps of a process. Returns new; -ESRCH, -ENOMEM, -EIO when libdw cannot. Nothing is stopped. */
int stacks_open(pid_t pid, struct stacks **ret_stacks);
struct stacks *stacks_close(struct stacks *stacks); /* accepts NULL, returns NULL */

/* The stack of one thread. It stands still only while its registers and the top of its stack are copied; it is unwound afterwards.
 * A system call it sleeps in is interrupted and restarted by the kernel. 0; -EPERM, -ESRCH, -EBUSY when it sleeps uninterruptibly
 * or is stopped, -ETIMEDOUT when it would not stop. */
int stacks_take(struct stacks *stacks, pid_t tid, struct stack *ret_stack);

/* A frame in words, as symbols_site. `is_innermost` when it is no return address. */
const char *stacks_frame(struct stacks *stacks, uint64_t address, int is_innermost, char *text, size_t size);

/* The name of the object that lies at an address, "" when it has none. Returns `text`. */
const char *stacks_object(struct stacks *stacks, uint64_t address, char *text, size_t size);

#endif
