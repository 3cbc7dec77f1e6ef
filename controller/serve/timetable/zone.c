/* Time zones. */
#include "controller/serve/timetable/zone.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DAY_S INT64_C(86400)
#define YEAR_S (366 * DAY_S)

int64_t civil_days(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1; /* March is the first month */

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void civil_of_days(int64_t days, struct civil *ret_civil)
{
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097, of_era = shifted - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * of_year + 2) / 153;

    ret_civil->day = (int)(of_year - (153 * month + 2) / 5 + 1);
    ret_civil->month = (int)(month < 10 ? month + 3 : month - 9);
    ret_civil->year = (int)(year_of_era + era * 400 + (ret_civil->month <= 2));
}

int civil_weekday(int64_t days)
{
    return (int)(((days + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
}

int civil_month_days(int year, int month)
{
    return (int)(civil_days(month == 12 ? year + 1 : year, month == 12 ? 1 : month + 1, 1) - civil_days(year, month, 1));
}

/* ---- loading ----------------------------------------------------------------------------------------------------------------- */

static int32_t offset_now(int64_t at_s)
{
    time_t at = (time_t)at_s;
    struct tm local;

    localtime_r(&at, &local);
    return (int32_t)local.tm_gmtoff;
}

/* The first second of the new offset, between two instants whose offsets differ. */
static int64_t find_transition(int64_t low_s, int64_t high_s)
{
    int32_t before = offset_now(low_s);

    while (high_s - low_s > 1) {
        int64_t middle_s = low_s + (high_s - low_s) / 2;

        if (offset_now(middle_s) == before)
            low_s = middle_s;
        else
            high_s = middle_s;
    }
    return high_s;
}

/* Day by day: no zone has changed twice within one and come back. */
static int collect(int64_t from_s, int64_t until_s, struct zone *zone)
{
    zone->transition[0] = (struct zone_transition){ from_s, offset_now(from_s) };
    zone->count = 1;
    for (int64_t at_s = from_s; at_s < until_s; at_s += DAY_S) {
        int32_t offset_s = offset_now(at_s + DAY_S);

        if (offset_s == zone->transition[zone->count - 1].offset_s)
            continue;
        if (zone->count == ZONE_TRANSITIONS_MAX)
            return -E2BIG;
        zone->transition[zone->count++] = (struct zone_transition){ find_transition(at_s, at_s + DAY_S), offset_s };
    }
    zone->until_s = until_s;
    return 0;
}

/* The C library takes any name for UTC that it does not know: the file tells. */
static int is_known(const char *name)
{
    const char *directory = getenv("TZDIR");
    char path[256];

    if (!strcmp(name, "UTC"))
        return 1;
    if (!name[0] || name[0] == '/' || name[0] == ':' || strstr(name, "..") || strlen(name) >= ZONE_NAME_MAX)
        return 0;
    snprintf(path, sizeof(path), "%s/%s", directory ? directory : "/usr/share/zoneinfo", name);
    return access(path, R_OK) == 0;
}

int zone_load(const char *name, int64_t now_s, int years, struct zone *ret_zone)
{
    const char *kept = getenv("TZ");
    char *before = kept ? strdup(kept) : NULL;
    int result = -ENOENT;

    if (is_known(name)) {
        snprintf(ret_zone->name, sizeof(ret_zone->name), "%s", name);
        setenv("TZ", name, 1);
        tzset();
        result = collect(now_s - YEAR_S, now_s + years * YEAR_S, ret_zone);
        if (before)
            setenv("TZ", before, 1);
        else
            unsetenv("TZ");
        tzset();
    }
    free(before);
    return result;
}

/* ---- asking -------------------------------------------------------------------------------------------------------------------- */

static int index_at(const struct zone *zone, int64_t at_s)
{
    int low = 0, high = zone->count;

    while (high - low > 1) {
        int middle = (low + high) / 2;

        if (zone->transition[middle].from_s <= at_s)
            low = middle;
        else
            high = middle;
    }
    return low;
}

int32_t zone_offset_s(const struct zone *zone, int64_t at_s)
{
    return zone->transition[index_at(zone, at_s)].offset_s;
}

void zone_civil(const struct zone *zone, int64_t at_s, struct civil *ret_civil)
{
    int64_t local_s = at_s + zone_offset_s(zone, at_s);
    int64_t days = (local_s >= 0 ? local_s : local_s - (DAY_S - 1)) / DAY_S, rest = local_s - days * DAY_S;

    civil_of_days(days, ret_civil);
    ret_civil->hour = (int)(rest / 3600);
    ret_civil->minute = (int)(rest / 60 % 60);
    ret_civil->second = (int)(rest % 60);
}

int zone_instants(const struct zone *zone, const struct civil *civil, int64_t ret_s[2])
{
    int64_t local_s = civil_days(civil->year, civil->month, civil->day) * DAY_S + civil->hour * 3600 + civil->minute * 60 + civil->second;
    int first = index_at(zone, local_s - 2 * DAY_S), last = index_at(zone, local_s + 2 * DAY_S), count = 0;

    for (int i = first; i <= last && count < 2; i++) {
        int64_t at_s = local_s - zone->transition[i].offset_s;
        int64_t end_s = i + 1 < zone->count ? zone->transition[i + 1].from_s : INT64_MAX;

        if ((i == 0 || at_s >= zone->transition[i].from_s) && at_s < end_s)
            ret_s[count++] = at_s;
    }
    for (int i = first + 1; !count && i <= last; i++) /* skipped: the transition that jumps over it */
        if (local_s - zone->transition[i].offset_s < zone->transition[i].from_s && local_s - zone->transition[i - 1].offset_s >= zone->transition[i].from_s)
            ret_s[0] = zone->transition[i].from_s;
    return count;
}
