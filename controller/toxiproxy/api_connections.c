/* The route that tells each open connection of a proxy. */
#include "controller/toxiproxy/api_priv.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

static const char *const states[] = { "dialling", "open", "ending" };

static void add_bytes(cJSON *object, const char *to_upstream, const char *to_client, const uint64_t bytes[2])
{
    json_add_integer(object, to_upstream, (int64_t)bytes[0]);
    json_add_integer(object, to_client, (int64_t)bytes[1]);
}

static cJSON *print_connection(const struct engine *engine, const struct proxy_config *proxy, const struct connection_status *status)
{
    cJSON *object = cJSON_CreateObject(), *toxics;

    json_add_integer(object, "number", (int64_t)status->sequence);
    cJSON_AddStringToObject(object, "client", status->client);
    cJSON_AddStringToObject(object, "upstream", status->upstream);
    cJSON_AddStringToObject(object, "state", states[status->state < ARRAY_SIZE(states) ? status->state : CONNECTION_ENDING]);
    json_add_integer(object, "age_ms", (int64_t)(status->age_ns / NS_PER_MS));
    add_bytes(object, "bytes_from_client", "bytes_from_upstream", status->received);
    add_bytes(object, "bytes_to_upstream", "bytes_to_client", status->sent);
    add_bytes(object, "held_bytes_to_upstream", "held_bytes_to_client", status->held);
    toxics = cJSON_AddArrayToObject(object, "toxics");
    for (uint32_t i = 0; i < status->rule_count && i < CONNECTION_RULES_MAX; i++) {
        const struct toxic *toxic = engine_toxic_at(engine, proxy, status->rules[i]);

        if (toxic)
            cJSON_AddItemToArray(toxics, cJSON_CreateString(toxic->name));
    }
    return object;
}

void handle_proxy_connections(struct call *call)
{
    const struct proxy_config *proxy = call_proxy(call);
    AUTO_FREE struct connection_status *list = NULL;
    cJSON *object, *connections;
    size_t count;

    if (!proxy)
        return;
    list = engine_connections(&call->api->engine, proxy, &count);
    if (!list) {
        call_refuse(call, 500, "the connections could not be listed");
        return;
    }
    object = cJSON_CreateObject();
    json_add_integer(object, "open", (int64_t)engine_status(&call->api->engine, proxy).connections_open);
    connections = cJSON_AddArrayToObject(object, "connections");
    for (size_t i = 0; i < count; i++)
        cJSON_AddItemToArray(connections, print_connection(&call->api->engine, proxy, &list[i]));
    call_answer(call, 200, object);
}
