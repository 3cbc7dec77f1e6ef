/* Alertmanager, API v2: a silence that lives as long as the run and a little longer than whoever renews it; alerts of failed runs.
 *
 * 1. A silence ends `silence-for` after its last renewal, whoever died. Renewing is a POST with its id, the same matchers and, to the
 *    second, the same start: anything else would end it and open another (silence.go, canUpdate).
 * 2. An alert is told apart by its labels alone, so they hold nothing that differs from run to run: a passing run of the same
 *    playbook ends it. A run that was not decided says nothing. */
#include "controller/outlet/delivery.h"

#include "controller/base/json.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/matcher.h"

#include <stdio.h>
#include <string.h>

static void put_instant(cJSON *object, const char *key, uint64_t wall_ns)
{
    const struct story at_wall = { .wall_offset_ns = 0 };
    char text[40];

    cJSON_AddStringToObject(object, key, story_time(&at_wall, wall_ns, text, sizeof(text)));
}

char *alertmanager_silence(const struct outlet *outlet, const struct story *story, const char *id, uint64_t from_ns, uint64_t now_ns)
{
    cJSON *body, *matchers;
    char text[3 * STORY_TEXT_MAX], *printed;

    if (!outlet->silence.count)
        return NULL;
    body = cJSON_CreateObject();
    if (id && id[0])
        cJSON_AddStringToObject(body, "id", id);
    matchers = cJSON_AddArrayToObject(body, "matchers");
    for (size_t i = 0; i < outlet->silence.count; i++) {
        struct matcher matcher;
        cJSON *object = cJSON_CreateObject();

        if (matcher_parse(outlet->silence.items[i], &matcher) == 0) {
            cJSON_AddStringToObject(object, "name", matcher.name);
            cJSON_AddStringToObject(object, "value", matcher.value);
            cJSON_AddBoolToObject(object, "isRegex", matcher.is_regex);
            cJSON_AddBoolToObject(object, "isEqual", matcher.is_equal);
        }
        cJSON_AddItemToArray(matchers, object);
    }
    put_instant(body, "startsAt", from_ns);
    put_instant(body, "endsAt", now_ns + (uint64_t)outlet->silence_for);
    cJSON_AddStringToObject(body, "createdBy", "perturb");
    snprintf(text, sizeof(text), "%s (run %s); ends by itself when the run does", story->title, story->run);
    cJSON_AddStringToObject(body, "comment", text);
    printed = json_text(body);
    cJSON_Delete(body);
    return printed;
}

static void tell_alert(const struct telling *telling, const char *name, const char *severity, bool fires)
{
    const struct story *story = telling->story;
    uint64_t wall_ns = story_wall_ns(story, telling->moment->ns);
    cJSON *body = cJSON_CreateArray(), *alert = cJSON_CreateObject(), *labels, *annotations;
    char text[3 * STORY_TEXT_MAX];

    cJSON_AddItemToArray(body, alert);
    labels = cJSON_AddObjectToObject(alert, "labels");
    cJSON_AddStringToObject(labels, "alertname", name);
    cJSON_AddStringToObject(labels, "playbook", story->playbook);
    cJSON_AddStringToObject(labels, "service", story->service);
    cJSON_AddStringToObject(labels, "severity", severity);
    annotations = cJSON_AddObjectToObject(alert, "annotations");
    snprintf(text, sizeof(text), "%s: %s", story->title, story_verdict(story));
    cJSON_AddStringToObject(annotations, "summary", text);
    cJSON_AddStringToObject(annotations, "description", story_why(story));
    cJSON_AddStringToObject(annotations, "run", story->run);
    put_instant(alert, "startsAt", fires ? wall_ns : story_wall_ns(story, story->began_ns));
    put_instant(alert, "endsAt", wall_ns + (fires ? (uint64_t)telling->outlet->alert_for : 0));
    telling_put_json(telling, "POST", "/api/v2/alerts", body, NULL);
}

void alertmanager_tell(const struct telling *telling)
{
    struct delivery draft = { .needs = "silence" };
    int status;

    if (telling->moment->moment != MOMENT_ENDED)
        return;
    if (telling->outlet->silence.count)
        telling_put_json(telling, "DELETE", "/api/v2/silence/{id}", NULL, &draft);
    status = story_status(telling->story);
    if (!telling->outlet->alert)
        return;
    if (status == 4)
        tell_alert(telling, "PerturbUndoNotProven", "critical", true);
    if (status == 1 || status == 0)
        tell_alert(telling, "PerturbRunFailed", "warning", status == 1);
    if (status == 0)
        tell_alert(telling, "PerturbUndoNotProven", "critical", false);
}
