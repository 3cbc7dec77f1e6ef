/* A time zone as a list of its transitions, over the years that a schedule can look ahead. Immutable once loaded, so any thread may ask.
 * The rules are the C library's (tzset(3), the IANA database of the system); loading changes TZ for a moment and belongs to a moment when
 * no other thread looks at the environment. */
#ifndef PERTURB_SERVE_ZONE_H
#define PERTURB_SERVE_ZONE_H

#include <stdint.h>

enum { ZONE_TRANSITIONS_MAX = 256, ZONE_NAME_MAX = 64 };

struct zone_transition {
    int64_t from_s;   /* since the epoch: the offset holds from here on */
    int32_t offset_s; /* local time less UTC */
};

struct zone {
    char name[ZONE_NAME_MAX];
    struct zone_transition transition[ZONE_TRANSITIONS_MAX]; /* in order; the first holds from the start of the window */
    int count;
    int64_t until_s; /* end of the window; later instants have the last offset */
};

/* A civil time, of no zone. */
struct civil {
    int year, month, day; /* 2026, 1..12, 1..31 */
    int hour, minute, second;
};

/* Loads IANA zone `name` ("UTC", "Europe/Berlin") for the years around `now_s`: one back, `years` ahead (1..50). 0; -ENOENT when the system
 * does not know it; -E2BIG for more transitions than fit. */
int zone_load(const char *name, int64_t now_s, int years, struct zone *ret_zone);

int32_t zone_offset_s(const struct zone *zone, int64_t at_s);
void zone_civil(const struct zone *zone, int64_t at_s, struct civil *ret_civil);

/* The instants at which local clocks show `civil`: 0 (skipped by a jump forward; then ret_s[0] is the first instant after the gap), 1,
 * or 2 (the hour that comes twice), in order. */
int zone_instants(const struct zone *zone, const struct civil *civil, int64_t ret_s[2]);

/* Days since 1970-01-01 of a date of the Gregorian calendar, and back (Howard Hinnant's "chrono-compatible low-level date algorithms"
 * describes the method; written anew). */
int64_t civil_days(int year, int month, int day);
void civil_of_days(int64_t days, struct civil *ret_civil);
int civil_weekday(int64_t days); /* 0 Sunday .. 6 */
int civil_month_days(int year, int month);

#endif
