/* Telling a run: its events become deliveries in the outbox, and a thread an outlet sends them. A process of its own beside the run,
 * which it follows from the outside and cannot hold up.
 *
 *     events.jsonl, result.json -> story -> outlet_tell() -> outbox -> worker (a thread an outlet) -> the outlet
 *
 * 1. An outlet that is down or slow holds up no other, and no run: its deliveries wait on disk.
 * 2. Heartbeats (silences, live metrics) are not queued: late they would be wrong.
 * 3. A run is at its end when its result is there, or when its command has been gone for a while and it writes no more. */
#ifndef PERTURB_OUTLET_TELLER_H
#define PERTURB_OUTLET_TELLER_H

#include "controller/outlet/outbox.h"

struct teller_report {
    size_t waiting; /* deliveries that are still in the outbox */
    bool ended;     /* the run has */
};

/* Tells the run of ROOT/RUN (`path`) to its end, then waits `config->drain` for what is still to be sent. 0; -EWOULDBLOCK where
 * somebody else tells it; -EINVAL where that is no run. */
int teller_run(const struct outlet_config *config, const char *root, const char *path, struct teller_report *ret_report);

/* Every run in the outbox that nobody tells and that has ended; how many deliveries wait then. */
size_t teller_flush(const struct outlet_config *config, const char *root);

/* One delivery to one outlet, now: does it work? 0, or -EIO with `why`. */
int teller_test(const struct outlet_config *config, const struct outlet *outlet, char *why, size_t size);

/* The start time of a process as in /proc/PID/stat; 0 when there is none. */
uint64_t teller_process_start(pid_t pid);

/* What a playbook is called outside: its path below the last folder `playbooks`, else its file name. */
char *teller_playbook_name(const char *path, char *name, size_t size);

#endif
