/* Flags as Go's flag package reads them: one dash or two, "-port 8474" or "-port=8474", booleans alone or "=false". */
#ifndef PERTURB_TOXIPROXY_FLAGS_H
#define PERTURB_TOXIPROXY_FLAGS_H

#include <stdbool.h>
#include <stddef.h>

enum flag_kind { FLAG_TEXT, FLAG_BOOL };

struct flag {
    const char *name;
    enum flag_kind kind;
    void *target; /* const char * (borrowed from argv) or bool */
};

/* Reads argv[1..]. 0; -EINVAL with a sentence in `why`, for an unknown flag, one without its value, or what is no flag. */
int flags_parse(int argc, char **argv, const struct flag *flags, size_t count, char *why, size_t size);

#endif
