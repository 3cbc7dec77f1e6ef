/* `perturb doctor` as a document: the facts and reasons for a program to read, the call faults point by point. */
#include "controller/look/doctor.h"

#include "shims/include/calls.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>

const char *doctor_beyond_preload(struct inspection *inspection, const struct fault_desc *fault, uint64_t points, char *room, size_t size)
{
    const char *unreachable = inspect_unreachable(inspection);

    return unreachable ? unreachable : inspect_obstacle(inspection, fault->id, points, room, size);
}

const char *doctor_beyond_seccomp(const struct inspection *inspection, const struct fault_desc *fault, uint64_t points)
{
    const char *why = inspect_unsupervisable(inspection);

    return why ? why : inspect_beyond_supervisor(fault->id, points);
}

/* Every step may run out of memory; once one has, the document is not printed. */
struct maker {
    struct inspection *inspection;
    bool failed;
};

static void add_text(struct maker *maker, cJSON *object, const char *name, const char *text)
{
    cJSON *item = text && *text ? cJSON_AddStringToObject(object, name, text) : cJSON_AddNullToObject(object, name);

    maker->failed |= !item;
}

static void add_bool(struct maker *maker, cJSON *object, const char *name, bool value)
{
    maker->failed |= !cJSON_AddBoolToObject(object, name, value);
}

/* An object or array that is part of `owner` at once, so that nothing is lost when memory ends. NULL then. */
static cJSON *add_part(struct maker *maker, cJSON *array)
{
    cJSON *part = cJSON_CreateObject();

    if (part && cJSON_AddItemToArray(array, part))
        return part;
    cJSON_Delete(part);
    maker->failed = true;
    return NULL;
}

static void add_points(struct maker *maker, cJSON *document)
{
    cJSON *points = cJSON_AddObjectToObject(document, "imports");

    for (int point = 0; point < POINT_COUNT; point++) {
        cJSON *names = cJSON_AddArrayToObject(points, point_descs[point].name);

        for (size_t i = 0; i < call_count && i < sizeof(maker->inspection->imports); i++)
            if (maker->inspection->imports[i] && (call_descs[i].points & BIT(point))) {
                cJSON *name = cJSON_CreateString(call_descs[i].name);

                if (!name || !cJSON_AddItemToArray(names, name)) {
                    cJSON_Delete(name);
                    maker->failed = true;
                }
            }
        maker->failed |= !names;
    }
}

static void add_codes(struct maker *maker, cJSON *document)
{
    cJSON *codes = cJSON_AddArrayToObject(document, "code_points");

    maker->failed |= !codes;
    for (size_t i = 0; i < maker->inspection->code_count; i++) {
        const struct inspected_code *code = &maker->inspection->codes[i];
        cJSON *row = add_part(maker, codes);

        add_text(maker, row, "name", code->name);
        add_text(maker, row, "file", code->file);
        maker->failed |= !cJSON_AddNumberToObject(row, "line", code->line);
        add_bool(maker, row, "gives_error", code->gives_error);
    }
}

/* "preload": null where it can act, else why it cannot; the same for "seccomp". */
static void add_fault(struct maker *maker, cJSON *faults, const struct fault_desc *fault, enum point point)
{
    cJSON *row = add_part(maker, faults);
    char room[INSPECT_REASON_MAX];

    add_text(maker, row, "fault", fault->name);
    add_text(maker, row, "point", point_descs[point].name);
    add_text(maker, row, "preload", doctor_beyond_preload(maker->inspection, fault, BIT(point), room, sizeof(room)));
    add_text(maker, row, "seccomp", doctor_beyond_seccomp(maker->inspection, fault, BIT(point)));
}

static void add_faults(struct maker *maker, cJSON *document)
{
    cJSON *faults = cJSON_AddArrayToObject(document, "call_faults");

    maker->failed |= !faults;
    for (size_t i = 0; i < FAULT_COUNT; i++)
        for (int point = 0; point < POINT_COUNT; point++)
            if (fault_descs[i].layer == LAYER_CALL && (fault_points[i] & BIT(point)))
                add_fault(maker, faults, &fault_descs[i], (enum point)point);
}

static void add_facts(struct maker *maker, cJSON *document)
{
    static const char *const linkage[] = { [LINKAGE_DYNAMIC] = "dynamic", [LINKAGE_STATIC] = "static", [LINKAGE_FOREIGN] = "foreign" };
    struct inspection *inspection = maker->inspection;
    const char *why;
    enum backend backend = inspect_backend(inspection, &why);

    add_text(maker, document, "program", inspection->path);
    add_text(maker, document, "script", inspection->script);
    add_text(maker, document, "linkage", linkage[inspection->linkage]);
    add_bool(maker, document, "go", inspection->is_go);
    add_bool(maker, document, "musl", inspection->is_musl);
    add_text(maker, document, "allocator", inspection->allocator);
    add_bool(maker, document, "io_uring", inspection->uses_io_uring);
    add_bool(maker, document, "syscall", inspection->uses_syscall);
    add_bool(maker, document, "dlopen", inspection->loads_more);
    add_bool(maker, document, "stdio", inspection->uses_stdio);
    add_text(maker, document, "auto", backend == BACKEND_PRELOAD ? "preload" : backend == BACKEND_SUPERVISE ? "seccomp" : NULL);
    add_text(maker, document, "auto_why", why);
    add_text(maker, document, "preload", inspect_unreachable(inspection));
    add_text(maker, document, "seccomp", inspect_unsupervisable(inspection));
}

cJSON *doctor_json(struct inspection *inspection)
{
    struct maker maker = { .inspection = inspection };
    cJSON *document = cJSON_CreateObject();

    add_facts(&maker, document);
    add_points(&maker, document);
    add_codes(&maker, document);
    add_faults(&maker, document);
    if (document && !maker.failed)
        return document;
    cJSON_Delete(document);
    return NULL;
}
