/* Command-line flags of the three sample programs: "--name VALUE", "--name=VALUE", or a bare switch. */
#ifndef PERTURB_PLAYBOOKS_SAMPLE_OPTIONS_H
#define PERTURB_PLAYBOOKS_SAMPLE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum option_kind {
    OPTION_SWITCH,   /* bool *, set to `value` */
    OPTION_COUNT,    /* int64_t *, `value` is the least, `most` the most allowed */
    OPTION_DURATION, /* uint64_t * in ns: "50ms"; 0 allowed */
    OPTION_TEXT,     /* const char **, borrowed from argv */
    OPTION_CALL,     /* void (*)(void *) in `call`, with `target` as its argument */
};

struct option_spec {
    const char *name; /* with its dashes */
    enum option_kind kind;
    void *target;
    int64_t value, most;
    void (*call)(void *target);
    const char *help;
};

/* Applies argv in order (a later flag overrides an earlier one). Ends at a spec whose name is NULL.
 * Returns 0; 1 when --help was printed; -EINVAL after a message on stderr. */
int options_parse(const struct option_spec *specs, int argc, char **argv);

#endif
