/* What people did in a run: their marks as events, instants and timers (docs/gamedays.md). */
#include "controller/run/run_priv.h"

#include "controller/base/json.h"
#include "scenarios/base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- taking them ------------------------------------------------------------------------------------------------------------------ */

static bool take_mark(void *context, const struct mark *mark)
{
    struct run *run = context;
    struct people *people = &run->people;
    struct event event;

    if (people->count == people->capacity) {
        size_t capacity = people->capacity ? people->capacity * 2 : 32;
        struct mark *grown = people->count < MARKS_MAX ? realloc(people->marks, capacity * sizeof(*grown)) : NULL;

        if (!grown)
            return true;
        people->marks = grown;
        people->capacity = capacity;
    }
    people->marks[people->count] = *mark;
    people->marks[people->count].ns = MIN(mark->ns, clock_now_ns());
    event_init(&event, EVENT_mark, SOURCE_RUNNER, people->marks[people->count].ns, mark_names[mark->kind], mark->text);
    people->count++;
    event_log_add(&run->log, &event);
    return true;
}

void run_mark(struct run *run, const struct mark *mark)
{
    take_mark(run, mark);
}

void run_take_marks(struct run *run)
{
    struct stat status;
    char path[4200];

    snprintf(path, sizeof(path), "%s/marks.jsonl", run->directory);
    if (stat(path, &status) == 0 && status.st_size > run->people.read)
        marks_read(run->directory, &run->people.read, take_mark, run);
}

void run_end_marks(struct run *run)
{
    if (run->people.lock_fd < 0)
        run->people.lock_fd = marks_close(run->directory);
    run_watch_alerts(run);
    run_take_marks(run);
}

bool run_was_told_go(const struct run *run, uint64_t since_ns)
{
    for (size_t i = 0; i < run->people.count; i++)
        if (run->people.marks[i].kind == MARK_GO && run->people.marks[i].ns >= since_ns)
            return true;
    return false;
}

/* ---- telling them ----------------------------------------------------------------------------------------------------------------- */

/* The first of its kind; NaN when nobody pressed. */
static double instant_s(const struct run *run, enum mark_kind kind)
{
    uint64_t first_ns = 0;

    for (size_t i = 0; i < run->people.count; i++)
        if (run->people.marks[i].kind == kind && (!first_ns || run->people.marks[i].ns < first_ns))
            first_ns = run->people.marks[i].ns;
    return run_seconds(run, first_ns);
}

static void put_marks(const struct run *run, cJSON *document)
{
    cJSON *array;

    if (!run->people.count)
        return;
    array = cJSON_AddArrayToObject(document, "marks");
    for (size_t i = 0; i < run->people.count; i++) {
        const struct mark *mark = &run->people.marks[i];
        cJSON *object = cJSON_CreateObject();

        cJSON_AddItemToArray(array, object);
        cJSON_AddStringToObject(object, "mark", mark_names[mark->kind]);
        json_put_number(object, "at_s", run_seconds(run, mark->ns));
        cJSON_AddStringToObject(object, "by", mark->by);
        cJSON_AddStringToObject(object, "text", mark->text);
    }
}

/* From one instant to another. One that did not come is censored: it took longer than to the end, which is no 0 and may break a
 * target all the same. */
static void put_timer(cJSON *array, const char *name, double from_s, double to_s, double end_s, double injected_s, int64_t target_ns)
{
    double target_s = target_ns == ABSENT ? NAN : (double)target_ns / 1e9;
    double value_s = to_s - from_s, at_least_s = isfinite(to_s) ? NAN : end_s - from_s;
    cJSON *object = cJSON_CreateObject();

    cJSON_AddItemToArray(array, object);
    cJSON_AddStringToObject(object, "timer", name);
    json_put_number(object, "value_s", value_s);
    json_put_number(object, "at_least_s", at_least_s);
    json_put_number(object, "from_injection_s", to_s - injected_s);
    json_put_number(object, "target_s", target_s);
    cJSON_AddStringToObject(object, "outcome", value_s <= target_s                             ? "met"
                                               : value_s > target_s || at_least_s > target_s ? "broken"
                                               : isnan(target_s) && isfinite(value_s)        ? "measured"
                                                                                             : "no_data");
}

void run_put_people(struct run *run, cJSON *document)
{
    const struct gameday_section *gameday = &run->playbook->gameday;
    cJSON *instants = cJSON_GetObjectItem(document, "instants_s"), *array;
    double detected_s = instant_s(run, MARK_DETECTED), acknowledged_s = instant_s(run, MARK_ACKNOWLEDGED);
    double mitigated_s = instant_s(run, MARK_MITIGATED), end_s = run_seconds(run, run->end_ns);
    double deviated_s = NAN, injected_s = NAN;
    const cJSON *item = cJSON_GetObjectItem(instants, "deviated");

    deviated_s = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    item = cJSON_GetObjectItem(instants, "injected");
    injected_s = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    json_put_number(instants, "detected", detected_s);
    json_put_number(instants, "acknowledged", acknowledged_s);
    json_put_number(instants, "mitigated", mitigated_s);
    put_marks(run, document);
    if (run->playbook->holds.count)
        cJSON_AddItemToObject(document, "holds", run_describe_holds(run));
    if (!gameday->node && isnan(detected_s) && isnan(acknowledged_s) && isnan(mitigated_s))
        return;
    array = cJSON_AddArrayToObject(document, "timers");
    put_timer(array, "time to detect", deviated_s, detected_s, end_s, injected_s, gameday->goals.detect);
    put_timer(array, "time to acknowledge", detected_s, acknowledged_s, end_s, injected_s, gameday->goals.acknowledge);
    put_timer(array, "time to mitigate", detected_s, mitigated_s, end_s, injected_s, gameday->goals.mitigate);
}
