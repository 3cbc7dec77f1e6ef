/* This project's API, as far as the benchmark speaks it. */
#include "tests/bench/peers/contender.h"

#include "tests/support/toxiproxy_client.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

static struct toxi api_of(enum contender_id id)
{
    return (struct toxi){ .port = contenders[id].api_port };
}

void toxic_add(enum contender_id id, const char *type, const char *attributes)
{
    struct toxi api = api_of(id);
    char body[256];

    snprintf(body, sizeof(body), "{\"name\":\"%s\",\"type\":\"%s\",\"stream\":\"downstream\",\"attributes\":%s}", type, type, attributes);
    if (toxi_do(&api, "POST", "/proxies/wire/toxics", body) != 200)
        fail("the toxic %s %s is refused", type, attributes);
}

void toxic_remove_all(enum contender_id id)
{
    struct toxi api = api_of(id);

    if (toxi_do(&api, "POST", "/reset", NULL) != 204)
        fail("the toxics are not taken away");
}

static cJSON *stats_of(enum contender_id id)
{
    struct toxi api = api_of(id);
    struct toxi_answer answer = toxi_ask(&api, "GET", "/proxies/wire/stats", NULL);
    cJSON *stats = answer.status == 200 ? cJSON_Parse(answer.body) : NULL;

    toxi_answer_done(&answer);
    if (!stats)
        fail("%s tells no statistics", contenders[id].name);
    return stats;
}

double stats_number(enum contender_id id, const char *field)
{
    cJSON *stats = stats_of(id);
    double value = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(stats, field));

    cJSON_Delete(stats);
    return value > 0 ? value : 0;
}

void stats_add_lateness(enum contender_id id, struct spread *spread, bool takes_off)
{
    cJSON *stats = stats_of(id);
    const cJSON *cells = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(stats, "lateness"), "cells"), *cell;

    if (!cJSON_IsArray(cells))
        fail("%s does not tell how late it was", contenders[id].name);
    cJSON_ArrayForEach(cell, cells) {
        uint64_t middle_ns = (uint64_t)cJSON_GetNumberValue(cJSON_GetArrayItem(cell, 0));
        double count = cJSON_GetNumberValue(cJSON_GetArrayItem(cell, 1));

        spread_add_many(spread, middle_ns, takes_off ? -(int64_t)count : (int64_t)count);
    }
    cJSON_Delete(stats);
}
