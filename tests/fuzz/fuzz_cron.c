/* Cron lines: what is taken is due at instants that its own bits allow, always later than asked for; what is refused says why. */
#include "tests/fuzz/fuzz.h"

#include "controller/serve/timetable/cron.h"
#include "scenarios/base/bits.h"

#define START INT64_C(1767225600) /* 2026-01-01T00:00:00Z */

const char *const fuzz_seeds[] = {
    "* * * * *", "*/15 8-18/2 1,15 jan-MAR,12 mon-5,7", "30 2 29 feb *", "0 0 31 12 sun", "@weekly", "@every 6h", "@every 1m30s", "5/20 * * * *", "59 23 28-31 * 1-5",
    "0 0 1-7 * 1", "1,2,3,4-9/3 0 * */2 *", "60 * * * *", "0 0 30 2 *", "@fortnightly", "* * * * * *", NULL,
};

static void check_instants(const struct cron *cron, const struct zone *zone)
{
    int64_t at_s = START;

    for (int i = 0; i < 4; i++) {
        int64_t next_s = cron_next(cron, zone, at_s);
        struct civil civil;

        if (!next_s) {
            fuzz_check(!cron->every_s);
            return;
        }
        fuzz_check(next_s > at_s);
        at_s = next_s;
        zone_civil(zone, at_s, &civil);
        if (cron->every_s) {
            fuzz_check(at_s % cron->every_s == 0);
            continue;
        }
        fuzz_check(civil.second == 0 && (cron->minutes & BIT(civil.minute)) && (cron->hours & BIT(civil.hour)) && (cron->months & BIT(civil.month)));
        fuzz_check((cron->days & BIT(civil.day)) || (cron->weekdays & BIT(civil_weekday(civil_days(civil.year, civil.month, civil.day)))));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct zone utc = { .name = "UTC", .transition = { { 0, 0 } }, .count = 1, .until_s = INT64_MAX };
    char *text = malloc(size + 1);
    struct errs errs = { .count = 0 };
    struct cron cron;

    memcpy(text, data, size);
    text[size] = '\0';
    if (cron_parse(text, "fuzz", &errs, &cron) == 0) {
        fuzz_check(errs.count == 0);
        check_instants(&cron, &utc);
    } else {
        fuzz_check(errs.count > 0 && errs.list[0].text[0]);
    }
    free(text);
    return 0;
}
