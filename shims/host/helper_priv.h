/* Inside of a helper's process. */
#ifndef PERTURB_SHIMS_HELPER_PRIV_H
#define PERTURB_SHIMS_HELPER_PRIV_H

#include "shims/host/helper.h"

bool helper_lives(const struct helper_state *state);
void helper_took(struct helper_state *state, uint64_t amount); /* its amount is now this */
void helper_pause(uint64_t ns);

/* Each returns when the lease has ended, or with -errno. */
int helper_burn(const struct helper_spec *spec, struct helper_state *state);
int helper_hold(const struct helper_spec *spec, struct helper_state *state);
int helper_fill(const struct helper_spec *spec, struct helper_state *state);

#endif
