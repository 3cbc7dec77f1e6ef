/* What participants of a secret game day are shown: the lines of a run with the faults' names taken out, until they are released.
 *
 * 1. A name becomes "secret-N", N being its place in the method, in events and in samples; nothing else of a line changes.
 * 2. From the phase "observe" on, and for a run that is not secret, a line is given as it is.
 * Pure: lines in, lines out. */
#ifndef PERTURB_WATCH_VEIL_H
#define PERTURB_WATCH_VEIL_H

#include <cjson/cJSON.h>
#include <stdbool.h>

struct veil;

/* By the run's plan.json (borrowed); one that is no plan hides nothing. New; NULL without memory. */
struct veil *veil_new(const cJSON *plan);
struct veil *veil_free(struct veil *veil); /* accepts NULL, returns NULL */

bool veil_hides(const struct veil *veil); /* accepts NULL */

/* A line of events.jsonl or live.jsonl as it may be shown: new, to be freed; NULL: as it is. Lines come in their order. */
char *veil_line(struct veil *veil, const char *line);

/* The plan as it may be shown: new. */
cJSON *veil_plan(const struct veil *veil, const cJSON *plan);

#endif
