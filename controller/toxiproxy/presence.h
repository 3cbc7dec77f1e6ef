/* How other perturb processes see this one, and how the safety lever reaches it (shims/host/registry.h, notice.h).
 *
 * 1. The lever is read before every change of the model and whenever the registry says it moved; while it is set nothing is armed.
 * 2. Setting it ends every toxic for good: `perturb resume` allows new ones and starts nothing.
 * 3. Without a registry directory the proxy goes on and says so once: the lever does not reach it, its lease still does. */
#ifndef PERTURB_TOXIPROXY_PRESENCE_H
#define PERTURB_TOXIPROXY_PRESENCE_H

#include "controller/toxiproxy/model.h"
#include "shims/host/notice.h"

struct presence {
    struct registry registry; /* fd -1: none */
    struct notice notice;
    int watch_fd; /* inotify; -1 for none: the lever is then looked at every second */
    bool stale; /* the notice does not tell the model any more */
    uint64_t told_ns;
    char address[128]; /* of the API, for people */
};

/* Finds the registry and watches the lever. Logs why when there is none. */
void presence_begin(struct presence *presence);
void presence_end(struct presence *presence); /* takes the notice down */

/* Is the lever set? One that cannot be read counts as set. */
bool presence_is_halted(const struct presence *presence);

int presence_fd(const struct presence *presence); /* readable when the lever may have moved; -1 for none */
void presence_drain(struct presence *presence);

/* Puts the notice up: at once, or by presence_tick a moment after it was marked stale. */
void presence_tell(struct presence *presence, const struct model *model, bool halted);
void presence_tick(struct presence *presence, const struct model *model, bool halted);
uint64_t presence_next_ns(const struct presence *presence);

#endif
