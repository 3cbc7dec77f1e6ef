/* Errors told to a person: where it is, what was found, what was expected, the nearest valid name.
 *
 * A fallible function returns 0 or a negative errno. Whoever meets user input also adds one `struct err` per finding, so that
 * all errors of a file are told at once. Library code never prints; `controller/cmd` prints each error exactly once.
 *
 * The class of an error is the exit status it leads to (DESIGN section 7, sysexits(3)). */
#ifndef PERTURB_BASE_ERR_H
#define PERTURB_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum err_class {
    ERR_USAGE = 64,    /* the command line */
    ERR_INPUT = 65,    /* an input file */
    ERR_WORLD = 69,    /* the world: a port, a binary, a permission */
    ERR_INTERNAL = 70, /* our own fault */
};

enum { ERR_TEXT_MAX = 480, ERR_WHERE_MAX = 288, ERRS_MAX = 64, WARNINGS_MAX = 16 };

struct err {
    enum err_class class;
    char where[ERR_WHERE_MAX]; /* "FILE:LINE:COLUMN", a JSON pointer, a flag; "" when there is none */
    char text[ERR_TEXT_MAX];   /* one sentence, no full stop, no newline */
};

/* All findings of one input. Zero-initialise; no destructor is needed. Findings past ERRS_MAX are counted, not kept. */
struct errs {
    size_t count; /* kept, 0..ERRS_MAX */
    size_t dropped;
    struct err list[ERRS_MAX];
    size_t warning_count; /* told, but no failure: 0..WARNINGS_MAX, further ones are left out */
    struct err warnings[WARNINGS_MAX];
};

/* Adds one finding. `where` may be NULL. Control characters of the text are shown as '?': it may quote hostile input.
 * Returns the negative errno that suits the class, so that callers can `return errs_add(...)`. */
int errs_add(struct errs *errs, enum err_class class, const char *where, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Adds one warning: `count` and the status stay what they are. */
void errs_warn(struct errs *errs, const char *where, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* One line a finding, "perturb: WHERE: TEXT". Warnings are not among them. */
void errs_print(const struct errs *errs, FILE *out);

/* One line a warning, "perturb: warning: WHERE: TEXT"; those are forgotten then. */
void errs_print_warnings(struct errs *errs, FILE *out);

/* The worst class of the list in the order 70, 69, 65, 64; 0 when the list is empty. */
int errs_status(const struct errs *errs);

/* Picks the candidate nearest to `name` by edit distance (a swap of neighbours is one edit), if near enough to be a slip of the
 * hand (at most 1/3 of its length, at least 1). Returns an index below `count`, or -1. `candidates[i]` may be NULL (skipped). */
int err_nearest(const char *name, const char *const *candidates, size_t count);

/* Is this negative errno a shortage of ours (memory, descriptors, processes) or a failing device, which says nothing about what was asked
 * for? Then "not there" would be a wrong answer. */
bool err_is_shortage(int error);

#endif
