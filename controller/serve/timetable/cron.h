/* When a schedule is due: five fields as in Vixie cron, "@weekly" and friends, "@every 6h".
 *
 * 1. Minute, hour, day of month, month, day of week: '*', numbers, ranges, lists, steps, names of months and days (three letters, any
 *    case), 7 for Sunday. If both days are restricted, either suffices (cron(8)); a step of '*' restricts nothing there.
 * 2. Clocks that jump: a fixed time that is skipped is due at the first instant after the gap, one that comes twice is due the first time
 *    only; with a '*' (or a step of it) for the hour, each hour that passes counts, skipped ones do not.
 * 3. "@every D" counts from the epoch in UTC, so that it does not depend on when the service was started.
 * 4. A date that can never come (February 30th) is refused when the line is read. */
#ifndef PERTURB_SERVE_CRON_H
#define PERTURB_SERVE_CRON_H

#include "controller/serve/timetable/zone.h"
#include "scenarios/base/err.h"

#include <stdbool.h>

enum { CRON_YEARS_MAX = 8 }; /* February 29th comes after eight years at the latest */

struct cron {
    uint64_t minutes, hours, days, months, weekdays; /* bits */
    bool any_hour;                                   /* '*' or a step of it */
    bool any_day, any_weekday;
    int64_t every_s; /* not 0: "@every" */
};

/* 0; -EINVAL with one error under `where` that says what was found and what is expected. Warns of nothing: see cron_is_either(). */
int cron_parse(const char *text, const char *where, struct errs *errs, struct cron *ret_cron);

/* Both days are restricted: people expect "and", cron means "or". Worth a word to the author. */
bool cron_is_either(const struct cron *cron);

/* The first instant after `after_s` at which it is due; 0 when there is none within CRON_YEARS_MAX. */
int64_t cron_next(const struct cron *cron, const struct zone *zone, int64_t after_s);

#endif
