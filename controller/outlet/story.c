/* Events to a story. */
#include "controller/outlet/story.h"

#include "controller/report/doc.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void story_init(struct story *story)
{
    memset(story, 0, sizeof(*story));
}

void story_done(struct story *story)
{
    cJSON_Delete(story->result);
    story->result = NULL;
}

uint64_t story_wall_ns(const struct story *story, uint64_t ns)
{
    return ns + (uint64_t)story->wall_offset_ns; /* wraps to the right sum also for a negative one */
}

char *story_time(const struct story *story, uint64_t ns, char *text, size_t size)
{
    uint64_t wall_ns = story_wall_ns(story, ns);
    time_t seconds = (time_t)(wall_ns / NS_PER_S);
    struct tm broken_down;
    char head[32];

    gmtime_r(&seconds, &broken_down);
    strftime(head, sizeof(head), "%Y-%m-%dT%H:%M:%S", &broken_down);
    snprintf(text, size, "%s.%03uZ", head, (unsigned)(wall_ns % NS_PER_S / NS_PER_MS));
    return text;
}

/* A 64-bit number that may stand as a text. */
static uint64_t whole(const cJSON *object, const char *key)
{
    double number = doc_number(object, key);

    return isfinite(number) && number >= 0 ? (uint64_t)number : strtoull(doc_text(object, key), NULL, 10);
}

static void copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
}

static struct story_fault *fault_of(struct story *story, const char *name)
{
    for (size_t i = 0; i < story->fault_count; i++)
        if (!strncmp(story->faults[i].name, name, sizeof(story->faults[i].name) - 1))
            return &story->faults[i];
    if (story->fault_count == STORY_FAULTS_MAX) {
        story->left_out++;
        return NULL;
    }
    copy(story->faults[story->fault_count].name, STORY_TEXT_MAX, name);
    return &story->faults[story->fault_count++];
}

static void enter_phase(struct story *story, const char *name, uint64_t ns)
{
    if (story->phase_count)
        story->phases[story->phase_count - 1].until_ns = ns;
    if (story->phase_count == STORY_PHASES_MAX) {
        story->left_out++;
        return;
    }
    copy(story->phases[story->phase_count].name, sizeof(story->phases[0].name), name);
    story->phases[story->phase_count++].from_ns = ns;
}

static void note_instant(struct story *story, const char *name, const char *text, uint64_t ns)
{
    struct story_instant *instant = &story->instants[story->instant_count];

    if (story->instant_count == STORY_INSTANTS_MAX) {
        story->left_out++;
        return;
    }
    copy(instant->name, sizeof(instant->name), name);
    copy(instant->text, sizeof(instant->text), text);
    instant->ns = ns;
    story->instant_count++;
}

/* ---- kinds of events, by their names in scenarios/vocab/events.def ------------------------------------------------------------- */

static void on_run_started(struct story *story, const cJSON *fields, struct story_moment *moment)
{
    (void)fields;
    if (!story->began_ns)
        story->began_ns = moment->ns;
    moment->moment = MOMENT_STARTED;
}

static void on_phase(struct story *story, const cJSON *fields, struct story_moment *moment)
{
    enter_phase(story, doc_text(fields, "phase"), moment->ns);
}

static void on_fault_armed(struct story *story, const cJSON *fields, struct story_moment *moment)
{
    struct story_fault *fault = fault_of(story, doc_text(fields, "fault"));

    if (fault && !fault->armed_ns)
        fault->armed_ns = moment->ns;
}

static void on_fault_acted(struct story *story, const cJSON *fields, struct story_moment *moment)
{
    struct story_fault *fault = fault_of(story, doc_text(fields, "fault"));

    if (!fault || fault->acted_ns)
        return;
    fault->acted_ns = moment->ns;
    moment->moment = MOMENT_INJECTED;
    moment->fault = fault;
}

static void on_fault_released(struct story *story, const cJSON *fields, struct story_moment *moment)
{
    struct story_fault *fault = fault_of(story, doc_text(fields, "fault"));

    if (!fault || fault->released_ns)
        return;
    fault->released_ns = moment->ns;
    fault->matched = (int64_t)whole(fields, "matched");
    fault->fired = (int64_t)whole(fields, "fired");
    moment->moment = MOMENT_RELEASED;
    moment->fault = fault;
}

static void on_guard(struct story *story, const cJSON *fields, struct story_moment *moment)
{
    copy(moment->text, sizeof(moment->text), doc_text(fields, "guard"));
    copy(moment->what, sizeof(moment->what), doc_text(fields, "action"));
    note_instant(story, "guard", moment->text, moment->ns);
    moment->moment = MOMENT_GUARD;
}

static void on_mark(struct story *story, const cJSON *fields, struct story_moment *moment)
{
    copy(moment->what, sizeof(moment->what), doc_text(fields, "mark"));
    copy(moment->text, sizeof(moment->text), doc_text(fields, "text"));
    note_instant(story, moment->what[0] ? moment->what : "mark", moment->text, moment->ns);
    moment->moment = MOMENT_MARK;
}

static void on_aborted(struct story *story, const cJSON *fields, struct story_moment *moment)
{
    copy(moment->text, sizeof(moment->text), doc_text(fields, "reason"));
    note_instant(story, "aborted", moment->text, moment->ns);
    moment->moment = MOMENT_ABORTED;
}

static void on_verdict(struct story *story, const cJSON *fields, struct story_moment *moment)
{
    note_instant(story, "verdict", doc_text(fields, "verdict"), moment->ns);
}

static const struct {
    const char *kind;
    void (*take)(struct story *story, const cJSON *fields, struct story_moment *moment);
} takers[] = {
    { "run_started", on_run_started }, { "phase", on_phase }, { "fault_armed", on_fault_armed }, { "fault_acted", on_fault_acted },
    { "fault_released", on_fault_released }, { "guard", on_guard }, { "mark", on_mark }, { "aborted", on_aborted }, { "verdict", on_verdict },
};

int story_take(struct story *story, const char *line, struct story_moment *ret_moment)
{
    struct story_moment moment = { .moment = MOMENTS };
    cJSON *event = cJSON_Parse(line);

    moment.seq = whole(event, "seq");
    moment.ns = whole(event, "ns");
    if (!moment.seq || !moment.ns) {
        cJSON_Delete(event);
        return -EINVAL;
    }
    for (size_t i = 0; i < ARRAY_SIZE(takers); i++)
        if (doc_is(event, "kind", takers[i].kind))
            takers[i].take(story, doc_get(event, "fields"), &moment);
    story->last_seq = moment.seq;
    if (moment.ns > story->last_ns)
        story->last_ns = moment.ns;
    cJSON_Delete(event);
    *ret_moment = moment;
    return 0;
}

void story_end(struct story *story, cJSON *result, uint64_t ns, struct story_moment *ret_moment)
{
    story->ended = true;
    cJSON_Delete(story->result);
    story->result = result;
    if (ns < story->last_ns)
        ns = story->last_ns;
    story->last_ns = ns;
    if (!story->began_ns)
        story->began_ns = ns;
    if (story->phase_count && !story->phases[story->phase_count - 1].until_ns)
        story->phases[story->phase_count - 1].until_ns = ns;
    *ret_moment = (struct story_moment){ .moment = MOMENT_ENDED, .seq = UINT32_MAX, .ns = ns };
}

/* ---- its end ------------------------------------------------------------------------------------------------------------------------ */

int story_status(const struct story *story)
{
    double status = doc_number(doc_get(story->result, "verdict"), "status");

    return isfinite(status) ? (int)status : 3;
}

const char *story_verdict(const struct story *story)
{
    const char *verdict = doc_text(doc_get(story->result, "verdict"), "verdict");

    return verdict[0] ? verdict : "interrupted";
}

const char *story_why(const struct story *story)
{
    const char *why = doc_text(doc_get(story->result, "verdict"), "why");

    return story->result ? why : "the run was cut off and left no result";
}

size_t story_faults_armed(const struct story *story)
{
    size_t count = 0;

    for (size_t i = 0; i < story->fault_count; i++)
        count += story->faults[i].armed_ns && !story->faults[i].released_ns;
    return count;
}
