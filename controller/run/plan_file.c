/* plan.json: what whoever looks on is told before anything has happened (docs/live-feed.md). */
#include "controller/run/run_priv.h"

#include "controller/base/json.h"
#include "controller/store/store.h"

static void put_text(cJSON *object, const char *key, const char *text)
{
    cJSON_AddStringToObject(object, key, text ? text : "");
}

static void put_faults(const struct playbook *playbook, cJSON *plan)
{
    const struct step *steps = playbook->method.items;
    cJSON *array = cJSON_AddArrayToObject(plan, "faults");
    char line[512];

    for (size_t i = 0; i < playbook->method.count; i++) {
        cJSON *object = cJSON_CreateObject();

        cJSON_AddItemToArray(array, object);
        put_text(object, "name", steps[i].spec.rule.name);
        put_text(object, "spec", fault_spec_print(&steps[i].spec, line, sizeof(line)) < 0 ? "" : line);
        json_put_length(object, "at_s", steps[i].at);
        json_put_length(object, "for_s", steps[i].duration);
    }
}

static void put_holds(const struct playbook *playbook, cJSON *plan)
{
    const struct hold *holds = playbook->holds.items;
    cJSON *array = cJSON_AddArrayToObject(plan, "holds");

    for (size_t i = 0; i < playbook->holds.count; i++) {
        cJSON *object = cJSON_CreateObject();

        cJSON_AddItemToArray(array, object);
        put_text(object, "hold", holds[i].text);
        json_put_length(object, "at_s", holds[i].at);
        json_put_length(object, "bound_s", holds[i].bound);
    }
}

static void put_gameday(const struct gameday_section *gameday, cJSON *plan)
{
    cJSON *object, *part;

    if (!gameday->node)
        return;
    object = cJSON_AddObjectToObject(plan, "gameday");
    put_text(object, "scenario", gameday->scenario ? "secret" : "announced");
    part = cJSON_AddObjectToObject(object, "roles");
    put_text(part, "commander", gameday->roles.commander);
    put_text(part, "driver", gameday->roles.driver);
    put_text(part, "observer", gameday->roles.observer);
    put_text(part, "abort-owner", gameday->roles.abort_owner);
    part = cJSON_AddObjectToObject(object, "goals_s");
    json_put_length(part, "detect", gameday->goals.detect);
    json_put_length(part, "acknowledge", gameday->goals.acknowledge);
    json_put_length(part, "mitigate", gameday->goals.mitigate);
}

int run_write_plan(const struct run *run, struct errs *errs)
{
    const struct playbook *playbook = run->playbook;
    const struct workload *loads = playbook->loads.items;
    cJSON *plan = cJSON_CreateObject(), *array;
    int result;

    put_text(plan, "run", run->id);
    put_text(plan, "title", playbook->title);
    put_text(plan, "service", playbook->service);
    put_text(plan, "playbook", playbook->document.file);
    cJSON_AddBoolToObject(plan, "secret", playbook->gameday.scenario == 1);
    array = cJSON_AddArrayToObject(plan, "loads");
    for (size_t i = 0; i < playbook->loads.count; i++)
        cJSON_AddItemToArray(array, cJSON_CreateString(loads[i].name));
    put_faults(playbook, plan);
    put_holds(playbook, plan);
    put_gameday(&playbook->gameday, plan);
    result = store_write_json(run->directory, "plan.json", plan, errs);
    cJSON_Delete(plan);
    return result;
}
