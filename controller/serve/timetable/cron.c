/* Cron lines. */
#include "controller/serve/timetable/cron.h"

#include "scenarios/base/bits.h"
#include "scenarios/base/units.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DAY_S INT64_C(86400)

struct field {
    const char *name;
    int low, high;
    const char *names; /* of the values from `low` on, three letters each */
};

static const struct field fields[] = {
    { "minute", 0, 59, "" },
    { "hour", 0, 23, "" },
    { "day of month", 1, 31, "" },
    { "month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec" },
    { "day of week", 0, 7, "sunmontuewedthufrisat" },
};

enum { FIELDS = 5 };

static const struct {
    const char *word, *line;
} nicknames[] = {
    { "@hourly", "0 * * * *" },  { "@daily", "0 0 * * *" },   { "@midnight", "0 0 * * *" }, { "@weekly", "0 0 * * 0" },
    { "@monthly", "0 0 1 * *" }, { "@yearly", "0 0 1 1 *" },  { "@annually", "0 0 1 1 *" },
};

/* ---- reading ----------------------------------------------------------------------------------------------------------------- */

/* A number or a name; moves on. Negative when there is none. */
static int read_value(const struct field *field, const char **text)
{
    char *end;
    long value;

    for (int i = 0; field->names[3 * i]; i++)
        if (!strncasecmp(*text, field->names + 3 * i, 3) && !isalpha((unsigned char)(*text)[3])) {
            *text += 3;
            return field->low + i;
        }
    if (!isdigit((unsigned char)**text))
        return -1;
    value = strtol(*text, &end, 10);
    *text = end;
    return value > 1000 ? 1000 : (int)value;
}

/* One item of a list: "*", "5", "1-5", each perhaps with "/step". 0 or -EINVAL. */
static int read_item(const struct field *field, const char **text, uint64_t *bits, bool *any)
{
    int low = field->low, high = field->high, step = 1;
    bool is_star = **text == '*', is_single = false;

    if (is_star) {
        ++*text;
        *any = true;
    } else {
        low = high = read_value(field, text);
        is_single = true;
        if (**text == '-') {
            ++*text;
            high = read_value(field, text);
            is_single = false;
        }
    }
    if (**text == '/') {
        ++*text;
        if (!isdigit((unsigned char)**text))
            return -EINVAL;
        step = read_value(&fields[0], text);
        if (is_single)
            high = field->high;
    }
    if (low < field->low || high > field->high || low > high || step < 1)
        return -EINVAL;
    for (int value = low; value <= high; value += step)
        *bits |= BIT(value);
    return 0;
}

static int read_field(const struct field *field, const char **text, const char *where, struct errs *errs, uint64_t *bits, bool *any)
{
    const char *start = *text;
    int result = 0;

    do {
        *text += **text == ',';
        result = read_item(field, text, bits, any);
    } while (!result && **text == ',');
    if (!result && **text && !isspace((unsigned char)**text))
        result = -EINVAL;
    if (result)
        return errs_add(errs, ERR_INPUT, where, "%s: found '%.*s', expected %d to %d, a list, a range or a step of them", field->name,
                        (int)strcspn(start, " \t"), start, field->low, field->high);
    return 0;
}

static int read_every(const char *text, const char *where, struct errs *errs, struct cron *ret_cron)
{
    int64_t ns = 0;

    if (unit_parse(UNIT_DURATION, text, &ns) < 0 || ns < INT64_C(1000000000) || ns % INT64_C(1000000000))
        return errs_add(errs, ERR_INPUT, where, "@every: found '%s', expected a duration of whole seconds such as 6h", text);
    *ret_cron = (struct cron){ .every_s = ns / INT64_C(1000000000) };
    return 0;
}

static bool can_come(const struct cron *cron)
{
    static const int longest[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

    if (!cron->any_weekday || cron->any_day)
        return true;
    for (int month = 1; month <= 12; month++)
        for (int day = 1; (cron->months & BIT(month)) && day <= longest[month - 1]; day++)
            if (cron->days & BIT(day))
                return true;
    return false;
}

static int read_fields(const char *text, const char *where, struct errs *errs, struct cron *ret_cron)
{
    struct cron cron = { 0 };
    uint64_t *bits[] = { &cron.minutes, &cron.hours, &cron.days, &cron.months, &cron.weekdays };
    bool any[FIELDS] = { false };

    for (int i = 0; i < FIELDS; i++) {
        text += strspn(text, " \t");
        if (!*text)
            return errs_add(errs, ERR_INPUT, where, "found %d fields, expected five: minute hour day-of-month month day-of-week", i);
        if (read_field(&fields[i], &text, where, errs, bits[i], &any[i]) < 0)
            return -EINVAL;
    }
    text += strspn(text, " \t");
    if (*text)
        return errs_add(errs, ERR_INPUT, where, "found '%s' after the fifth field; seconds and commands have no place here", text);
    if (cron.weekdays & BIT(7))
        cron.weekdays |= BIT(0);
    cron.any_hour = any[1];
    cron.any_day = any[2];
    cron.any_weekday = any[4];
    if (!can_come(&cron))
        return errs_add(errs, ERR_INPUT, where, "no month of these has such a day: it would never be due");
    *ret_cron = cron;
    return 0;
}

int cron_parse(const char *text, const char *where, struct errs *errs, struct cron *ret_cron)
{
    text += strspn(text, " \t");
    if (!strncasecmp(text, "@every", 6) && isspace((unsigned char)text[6]))
        return read_every(text + 6 + strspn(text + 6, " \t"), where, errs, ret_cron);
    for (size_t i = 0; i < sizeof(nicknames) / sizeof(nicknames[0]); i++)
        if (!strcasecmp(text, nicknames[i].word))
            return read_fields(nicknames[i].line, where, errs, ret_cron);
    if (*text == '@')
        return errs_add(errs, ERR_INPUT, where, "found '%s', expected @hourly, @daily, @weekly, @monthly, @yearly or @every DURATION", text);
    return read_fields(text, where, errs, ret_cron);
}

bool cron_is_either(const struct cron *cron)
{
    return !cron->every_s && !cron->any_day && !cron->any_weekday;
}

/* ---- when ------------------------------------------------------------------------------------------------------------------------ */

static bool day_matches(const struct cron *cron, const struct civil *date, int64_t days)
{
    bool by_day = (cron->days & BIT(date->day)) != 0, by_weekday = (cron->weekdays & BIT(civil_weekday(days))) != 0;

    if (!(cron->months & BIT(date->month)))
        return false;
    return cron_is_either(cron) ? by_day || by_weekday : by_day && by_weekday;
}

/* With any hour: minute by minute as they pass, so that a repeated hour counts twice and a skipped one not at all. */
static int64_t next_of_passing(const struct cron *cron, const struct zone *zone, int64_t from_s, int64_t until_s)
{
    for (int64_t at_s = from_s; at_s < until_s; at_s += 60) {
        struct civil civil;

        zone_civil(zone, at_s, &civil);
        if (civil.second) /* an offset of no whole minute */
            at_s += 60 - civil.second;
        zone_civil(zone, at_s, &civil);
        if ((cron->minutes & BIT(civil.minute)) && (cron->hours & BIT(civil.hour)) &&
            day_matches(cron, &civil, civil_days(civil.year, civil.month, civil.day)))
            return at_s;
    }
    return 0;
}

/* Fixed times of one date: each once, at its first instant, or right after the gap that swallowed it. */
static int64_t next_of_date(const struct cron *cron, const struct zone *zone, const struct civil *date, int64_t after_s)
{
    int64_t best_s = 0;

    for (int hour = 0; hour < 24; hour++)
        for (int minute = 0; (cron->hours & BIT(hour)) && minute < 60; minute++) {
            struct civil civil = { date->year, date->month, date->day, hour, minute, 0 };
            int64_t at_s[2] = { 0, 0 };

            if (!(cron->minutes & BIT(minute)))
                continue;
            zone_instants(zone, &civil, at_s);
            if (at_s[0] > after_s && (!best_s || at_s[0] < best_s))
                best_s = at_s[0];
        }
    return best_s;
}

int64_t cron_next(const struct cron *cron, const struct zone *zone, int64_t after_s)
{
    struct civil civil;
    int64_t days, end_days;

    if (cron->every_s)
        return (after_s / cron->every_s + 1) * cron->every_s;
    zone_civil(zone, after_s, &civil);
    days = civil_days(civil.year, civil.month, civil.day) - 1; /* a gap at midnight may move yesterday's time into today */
    end_days = days + CRON_YEARS_MAX * 366 + 2;
    for (; days < end_days; days++) {
        int64_t start_s[2] = { 0, 0 }, end_s[2] = { 0, 0 }, found_s;
        struct civil next;

        civil = (struct civil){ 0 };
        civil_of_days(days, &civil);
        if (!day_matches(cron, &civil, days))
            continue;
        if (!cron->any_hour) {
            found_s = next_of_date(cron, zone, &civil, after_s);
        } else {
            next = (struct civil){ 0 };
            civil_of_days(days + 1, &next);
            zone_instants(zone, &civil, start_s);
            zone_instants(zone, &next, end_s);
            if (start_s[0] <= after_s) /* the next whole minute, as local clocks count them */
                start_s[0] = after_s + 60 - (((after_s + zone_offset_s(zone, after_s)) % 60) + 60) % 60;
            found_s = next_of_passing(cron, zone, start_s[0], end_s[0] > end_s[1] ? end_s[0] : end_s[1]);
        }
        if (found_s)
            return found_s;
    }
    return 0;
}
