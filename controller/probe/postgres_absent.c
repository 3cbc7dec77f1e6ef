/* In place of postgres.c where the build found no libpq: a playbook that wants it is refused when it is checked. */
#include "controller/probe/probe_priv.h"

static int postgres_open(const struct probe *probe, const char *where, struct errs *errs, void **ret_state)
{
    (void)ret_state;
    return errs_add(errs, ERR_WORLD, where, "probe '%s': this perturb was built without libpq; on Debian: apt-get install libpq-dev, and build again",
                    probe->name);
}

const struct probe_reader probe_postgres = { .open = postgres_open };
