/* Grafana: a region a fault, opened when it first acts and closed when it is released; a point where the run was judged.
 * POST /api/annotations {time, timeEnd, tags, text, dashboardUID} answers {id}; PATCH /api/annotations/ID sets timeEnd (Grafana
 * documentation, "Annotations HTTP API"). A region whose opening was never answered is POSTed whole. */
#include "controller/outlet/delivery.h"

#include "scenarios/base/clock.h"

#include <stdio.h>
#include <string.h>

static cJSON *annotation(const struct telling *telling, uint64_t from_ns, uint64_t until_ns, const char *tag, const char *text)
{
    const struct story *story = telling->story;
    cJSON *body = cJSON_CreateObject(), *tags;

    cJSON_AddNumberToObject(body, "time", (double)(story_wall_ns(story, from_ns) / NS_PER_MS));
    if (until_ns)
        cJSON_AddNumberToObject(body, "timeEnd", (double)(story_wall_ns(story, until_ns) / NS_PER_MS));
    if (telling->outlet->dashboard)
        cJSON_AddStringToObject(body, "dashboardUID", telling->outlet->dashboard);
    tags = cJSON_AddArrayToObject(body, "tags");
    cJSON_AddItemToArray(tags, cJSON_CreateString("perturb"));
    cJSON_AddItemToArray(tags, cJSON_CreateString(tag));
    if (story->service[0])
        cJSON_AddItemToArray(tags, cJSON_CreateString(story->service));
    for (size_t i = 0; i < telling->outlet->tags.count; i++)
        cJSON_AddItemToArray(tags, cJSON_CreateString(telling->outlet->tags.items[i]));
    cJSON_AddStringToObject(body, "text", text);
    return body;
}

static void tell_fault(const struct telling *telling, const struct story_fault *fault, uint64_t until_ns)
{
    struct delivery draft = { .body = NULL };
    char text[2 * STORY_TEXT_MAX + 64], key[DELIVERY_KEY_MAX];
    uint64_t from_ns = fault->acted_ns ? fault->acted_ns : fault->armed_ns;

    snprintf(text, sizeof(text), "%s: %s", telling->story->title, fault->name);
    snprintf(key, sizeof(key), "fault-%zu", (size_t)(fault - telling->story->faults));
    if (!until_ns) {
        memcpy(draft.save, key, sizeof(key));
        telling_put_json(telling, "POST", "/api/annotations", annotation(telling, from_ns, 0, "fault", text), &draft);
        return;
    }
    memcpy(draft.needs, key, sizeof(key));
    snprintf(draft.otherwise, sizeof(draft.otherwise), "/api/annotations");
    telling_put_json(telling, "PATCH", "/api/annotations/{id}", annotation(telling, from_ns, until_ns, "fault", text), &draft);
}

static void tell_end(const struct telling *telling)
{
    const struct story *story = telling->story;
    char text[3 * STORY_TEXT_MAX];

    for (size_t i = 0; i < story->fault_count; i++)
        if (story->faults[i].acted_ns && !story->faults[i].released_ns)
            tell_fault(telling, &story->faults[i], telling->moment->ns);
    snprintf(text, sizeof(text), "%s: %s (run %s)", story->title, story_verdict(story), story->run);
    telling_put_json(telling, "POST", "/api/annotations", annotation(telling, telling->moment->ns, 0, "verdict", text), NULL);
}

void grafana_tell(const struct telling *telling)
{
    const struct story_fault *fault = telling->moment->fault;

    if (telling->moment->moment == MOMENT_INJECTED)
        tell_fault(telling, fault, 0);
    else if (telling->moment->moment == MOMENT_RELEASED && fault->acted_ns)
        tell_fault(telling, fault, fault->released_ns);
    else if (telling->moment->moment == MOMENT_ENDED)
        tell_end(telling);
}
