/* A run watched on this terminal, with keys that act on it; elsewhere plain lines. */
#ifndef PERTURB_CMD_WATCH_SESSION_H
#define PERTURB_CMD_WATCH_SESSION_H

#include "controller/cmd/live_run.h"

struct watch_options {
    bool reveals;       /* names of a secret scenario too */
    bool leaves_at_end; /* else the end stays on the screen until q */
    bool is_driver;     /* q and Ctrl-C ask the run to end first, for it is ours */
    const char *by;     /* who presses; NULL: the user's name */
};

/* Watches until the end, or until somebody leaves. 0; negative with an error added. `ret_left`: somebody left before the end. */
int watch_session(const struct chosen_run *run, const struct watch_options *options, bool *ret_left, struct errs *errs);

#endif
