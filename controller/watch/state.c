/* Lines of a run, folded. */
#include "controller/watch/state.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BINS_MAX = 24 * 3600 * 10 };

void watch_init(struct watch *watch)
{
    *watch = (struct watch){ .sampled_s = (double)NAN, .amplification = (double)NAN, .status = -1 };
}

void watch_done(struct watch *watch)
{
    for (size_t i = 0; i < watch->load_count; i++)
        free(watch->loads[i].bins);
    watch->load_count = 0;
}

double watch_seconds(const struct watch *watch, uint64_t ns)
{
    return ((double)ns - (double)(watch->zero_ns ? watch->zero_ns : watch->first_ns)) / 1e9;
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------- */

static const char *text_of(const cJSON *object, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

    return text ? text : "";
}

static double number_of(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsNumber(item) ? item->valuedouble : (double)NAN;
}

static uint64_t ns_of(const cJSON *object, const char *key)
{
    return strtoull(text_of(object, key), NULL, 10);
}

static uint32_t count_of(const cJSON *object, const char *key)
{
    double value = number_of(object, key);

    return value > 0 && value < 4e9 ? (uint32_t)value : 0;
}

static void copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
}

/* ---- the plan ------------------------------------------------------------------------------------------------------------------ */

static struct watch_fault *find_fault(struct watch *watch, const char *name)
{
    for (size_t i = 0; i < watch->fault_count; i++)
        if (!strcmp(watch->faults[i].name, name))
            return &watch->faults[i];
    if (watch->fault_count == WATCH_FAULTS_MAX || !name[0])
        return NULL;
    watch->faults[watch->fault_count] = (struct watch_fault){ .from_ns = 0 };
    copy(watch->faults[watch->fault_count].name, WATCH_NAME_MAX, name);
    return &watch->faults[watch->fault_count++];
}

void watch_take_plan(struct watch *watch, const cJSON *plan)
{
    const cJSON *fault;

    copy(watch->run, sizeof(watch->run), text_of(plan, "run"));
    copy(watch->title, sizeof(watch->title), text_of(plan, "title"));
    watch->is_secret = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(plan, "secret"));
    cJSON_ArrayForEach(fault, cJSON_GetObjectItemCaseSensitive(plan, "faults"))
        find_fault(watch, text_of(fault, "name"));
}

/* ---- events -------------------------------------------------------------------------------------------------------------------- */

void watch_event_text(const cJSON *fields, char *text, size_t size)
{
    const cJSON *field;
    size_t at = 0;

    text[0] = '\0';
    cJSON_ArrayForEach(field, fields) {
        const char *name = field->string ? field->string : "";
        size_t length = strlen(name);
        int wrote = 0;

        if (cJSON_IsString(field) && (length < 3 || strcmp(name + length - 3, "_ns") != 0))
            wrote = snprintf(text + at, size - at, "%s%s", at ? " " : "", field->valuestring);
        else if (cJSON_IsNumber(field) && length > 3 && !strcmp(name + length - 3, "_ns"))
            wrote = snprintf(text + at, size - at, "%s%.*s=%.4gs", at ? " " : "", (int)(length - 3), name, field->valuedouble / 1e9);
        else if (cJSON_IsNumber(field))
            wrote = snprintf(text + at, size - at, "%s%s=%.15g", at ? " " : "", name, field->valuedouble);
        if (wrote < 0 || (size_t)wrote >= size - at)
            return;
        at += (size_t)wrote;
    }
}

bool watch_event_shows(const char *kind)
{
    static const char hidden[] = " run_started phase load_started load_stopped steady fault_prepared verified undo fault_measured ";
    const char *found = strstr(hidden, kind);

    return !found || found[-1] != ' ' || found[strlen(kind)] != ' ';
}

static void note_event(struct watch *watch, const char *kind, uint64_t ns, const cJSON *fields)
{
    struct watch_event *event = &watch->events[watch->event_count++ % WATCH_EVENTS];

    event->ns = ns;
    copy(event->kind, sizeof(event->kind), kind);
    watch_event_text(fields, event->text, sizeof(event->text));
}

static void take_fault_event(struct watch *watch, const char *kind, uint64_t ns, const cJSON *fields)
{
    struct watch_fault *fault = find_fault(watch, text_of(fields, "fault"));

    if (!fault)
        return;
    if (!strcmp(kind, "fault_armed")) {
        fault->from_ns = fault->from_ns ? fault->from_ns : ns;
        fault->until_ns = 0;
        fault->is_armed = true;
    } else if (!strcmp(kind, "fault_released")) {
        fault->until_ns = ns;
        fault->is_armed = false;
    }
}

static void take_mark(struct watch *watch, uint64_t ns, const cJSON *fields)
{
    const char *name = text_of(fields, "mark");

    if (watch->mark_count == WATCH_MARKS_MAX || !strcmp(name, "checked"))
        return;
    watch->marks[watch->mark_count].ns = ns;
    copy(watch->marks[watch->mark_count++].name, sizeof(watch->marks[0].name), name);
}

static void take_hold(struct watch *watch, const char *kind, uint64_t ns, const cJSON *fields)
{
    double at_most_ns = number_of(fields, "at_most_ns");

    watch->hold[0] = '\0';
    if (strcmp(kind, "hold_begun") != 0)
        return;
    copy(watch->hold, sizeof(watch->hold), text_of(fields, "hold"));
    watch->hold_until_ns = ns + (at_most_ns > 0 ? (uint64_t)at_most_ns : 0);
}

void watch_take_event(struct watch *watch, const char *line)
{
    cJSON *object = cJSON_Parse(line);
    const cJSON *fields = cJSON_GetObjectItemCaseSensitive(object, "fields");
    const char *kind = text_of(object, "kind");
    uint64_t ns = ns_of(object, "ns");

    watch->first_ns = watch->first_ns ? watch->first_ns : ns;
    if (!strcmp(kind, "phase"))
        copy(watch->phase, sizeof(watch->phase), text_of(fields, "phase"));
    else if (!strncmp(kind, "fault_", 6))
        take_fault_event(watch, kind, ns, fields);
    else if (!strcmp(kind, "mark"))
        take_mark(watch, ns, fields);
    else if (!strncmp(kind, "hold_", 5) && strcmp(kind, "hold_full") != 0)
        take_hold(watch, kind, ns, fields);
    else if (!strcmp(kind, "aborted"))
        copy(watch->aborted, sizeof(watch->aborted), text_of(fields, "reason"));
    else if (!strcmp(kind, "verdict")) {
        copy(watch->verdict, sizeof(watch->verdict), text_of(fields, "verdict"));
        copy(watch->why, sizeof(watch->why), text_of(fields, "why"));
    } else if (!strcmp(kind, "run_ended"))
        watch->status = (int)count_of(fields, "status");
    if (kind[0] && watch_event_shows(kind))
        note_event(watch, kind, ns, fields);
    cJSON_Delete(object);
}

/* ---- samples --------------------------------------------------------------------------------------------------------------------- */

static struct watch_load *find_load(struct watch *watch, const char *name)
{
    for (size_t i = 0; i < watch->load_count; i++)
        if (!strcmp(watch->loads[i].name, name))
            return &watch->loads[i];
    if (watch->load_count == WATCH_LOADS_MAX)
        return NULL;
    watch->loads[watch->load_count] = (struct watch_load){ .goodput = (double)NAN, .rate = (double)NAN, .p99_s = (double)NAN };
    copy(watch->loads[watch->load_count].name, WATCH_NAME_MAX, name);
    return &watch->loads[watch->load_count++];
}

static struct watch_bin *bin_at(struct watch_load *load, double t_s)
{
    size_t place = t_s >= 0 && t_s < BINS_MAX * WATCH_BIN_S ? (size_t)(t_s / WATCH_BIN_S + 0.5) : BINS_MAX;

    if (place >= BINS_MAX)
        return NULL;
    if (place >= load->capacity) {
        size_t capacity = (place + 1) * 2;
        struct watch_bin *grown = realloc(load->bins, capacity * sizeof(*grown));

        if (!grown)
            return NULL;
        load->bins = grown;
        load->capacity = capacity;
    }
    for (; load->count <= place; load->count++)
        load->bins[load->count] = (struct watch_bin){ .p99_s = NAN };
    return &load->bins[place];
}

static void take_loads(struct watch *watch, double t_s, const cJSON *loads)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, loads) {
        struct watch_load *load = find_load(watch, item->string ? item->string : "");
        struct watch_bin *bin = load ? bin_at(load, t_s) : NULL;

        if (bin)
            *bin = (struct watch_bin){ count_of(item, "good"), count_of(item, "failed"), (float)number_of(item, "p99_s") };
    }
}

static double signal_of(const cJSON *signals, const char *load, const char *what)
{
    char name[WATCH_NAME_MAX + 16];

    snprintf(name, sizeof(name), "%s.%s", load, what);
    return number_of(cJSON_GetObjectItemCaseSensitive(signals, name), "value");
}

static void take_guards(struct watch *watch, const cJSON *guards)
{
    const cJSON *item;

    watch->guard_count = 0;
    cJSON_ArrayForEach(item, guards) {
        struct watch_guard *guard = &watch->guards[watch->guard_count];

        if (watch->guard_count == WATCH_GUARDS_MAX)
            return;
        watch->guard_count++;
        copy(guard->name, sizeof(guard->name), text_of(item, "guard"));
        guard->value = number_of(item, "value");
        guard->margin = number_of(item, "margin");
        guard->is_breached = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "breached"));
    }
}

static void take_faults(struct watch *watch, const cJSON *faults)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, faults) {
        struct watch_fault *fault = find_fault(watch, text_of(item, "name"));

        if (!fault)
            continue;
        fault->is_armed = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "armed"));
        copy(fault->matched, sizeof(fault->matched), text_of(item, "matched"));
        copy(fault->fired, sizeof(fault->fired), text_of(item, "fired"));
    }
}

void watch_take_sample(struct watch *watch, const char *line)
{
    cJSON *object = cJSON_Parse(line);
    const cJSON *again, *signals = cJSON_GetObjectItemCaseSensitive(object, "signals");
    double t_s = number_of(object, "t_s");

    if (!isfinite(t_s)) {
        cJSON_Delete(object);
        return;
    }
    watch->zero_ns = ns_of(object, "zero_ns");
    watch->sampled_s = t_s + WATCH_BIN_S;
    watch->amplification = number_of(object, "amplification");
    take_loads(watch, t_s, cJSON_GetObjectItemCaseSensitive(object, "loads"));
    cJSON_ArrayForEach(again, cJSON_GetObjectItemCaseSensitive(object, "again"))
        take_loads(watch, number_of(again, "t_s"), cJSON_GetObjectItemCaseSensitive(again, "loads"));
    for (size_t i = 0; i < watch->load_count; i++) {
        watch->loads[i].goodput = signal_of(signals, watch->loads[i].name, "goodput");
        watch->loads[i].rate = signal_of(signals, watch->loads[i].name, "rate");
        watch->loads[i].p99_s = signal_of(signals, watch->loads[i].name, "p99");
    }
    take_guards(watch, cJSON_GetObjectItemCaseSensitive(object, "guards"));
    take_faults(watch, cJSON_GetObjectItemCaseSensitive(object, "faults"));
    cJSON_Delete(object);
}
