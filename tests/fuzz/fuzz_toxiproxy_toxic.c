/* Toxics from bodies: what is taken makes a sound rule and prints to what makes the same one. The first part, up to a NUL, makes a
 * toxic; what follows changes it. */
#include "tests/fuzz/fuzz.h"

#include "controller/toxiproxy/toxic.h"

const char *const fuzz_seeds[] = {
    "{\"type\":\"latency\",\"stream\":\"UpStream\",\"toxicity\":0.3,\"attributes\":{\"latency\":100,\"jitter\":-5,\"wave\":\"sine\"}}",
    "{\"type\":\"bandwidth\",\"attributes\":{\"rate\":0}}",
    "{\"type\":\"slicer\",\"name\":\"s\",\"attributes\":{\"average_size\":10,\"size_variation\":5,\"delay\":9223372036854775807}}",
    "{\"type\":\"timeout\",\"attributes\":{\"after\":\"1500us\",\"since\":\"last\"},\"duration\":\"90s\"}",
    "{\"type\":\"limit_data\",\"attributes\":{\"bytes\":\"64KiB\",\"close\":\"rst\",\"since\":\"fault\"},\"duration\":1500}",
    "{\"type\":\"limit_time\",\"attributes\":{\"after\":\"1h\"}}",
    "{\"type\":\"corrupt\",\"attributes\":{\"cells\":0.5}}",
    "{\"type\":\"refuse\",\"attributes\":{\"close_open\":true}}",
    "{\"type\":\"reset_peer\",\"toxicity\":7}",
    "{\"type\":\"noop\",\"attributes\":{\"x\":null}}",
    "{\"attributes\":{\"latency\":\"2s\",\"rate\":5},\"toxicity\":-1,\"duration\":0}",
    NULL,
};

static struct toxic *make(const char *text, size_t size, struct buf *why)
{
    struct toxic_request request = { .toxicity = 1 };
    enum direction direction = DIRECTION_TO_CLIENT;
    const struct fault_desc *fault;
    struct toxic *toxic = NULL;
    cJSON *body = NULL;

    if (json_decode(text, size, &body, why) >= 0 && toxic_request_read(body, &request, why) >= 0 &&
        (!request.stream || toxic_stream_parse(request.stream, &direction, why) >= 0) &&
        toxic_type_parse(request.type, &fault, why) >= 0) {
        toxic = toxic_new(&request, fault, direction);
        if (toxic_attributes_merge(fault, request.attributes, true, &toxic->attributes, why) < 0 ||
            toxic_duration_set(toxic, request.duration, 1000, why) < 0) {
            toxic_free(toxic);
            toxic = NULL;
        }
    }
    cJSON_Delete(body);
    return toxic;
}

static void change(struct toxic *toxic, const char *text, size_t size, struct buf *why)
{
    struct toxic_request request = { .toxicity = toxic->toxicity };
    cJSON *body = NULL;

    if (json_decode(text, size, &body, why) >= 0 && toxic_request_read(body, &request, why) >= 0 &&
        toxic_attributes_merge(toxic->fault, request.attributes, false, &toxic->attributes, why) >= 0 &&
        toxic_duration_set(toxic, request.duration, 2000, why) >= 0)
        toxic->toxicity = request.toxicity;
    cJSON_Delete(body);
}

static bool put_rule(const struct toxic *toxic, struct plan *plan, bool strict)
{
    memset(plan, 0, PLAN_SIZE(1));
    *plan = (struct plan){ .magic = PLAN_MAGIC, .version = PLAN_VERSION, .rule_size = sizeof(struct plan_rule), .epoch = 1 };
    plan->rule_count = toxic_rule(toxic, "proxy", "scope", &plan->rules[0]);
    if (plan->rule_count && strict)
        toxic_rule_strict(toxic, &plan->rules[0]);
    fuzz_check(!plan_check(plan, PLAN_SIZE(plan->rule_count)));
    return plan->rule_count != 0;
}

/* As a state file holds it. Numbers of an alias that a double cannot tell go through text as well. */
static void check_file(const struct toxic *toxic, struct plan *plan, struct plan *plan_again)
{
    cJSON *document = toxic_print(toxic, true, 1000);
    char *text = cJSON_PrintUnformatted(document);
    struct toxic *again;
    struct buf why;

    buf_init(&why, 1024);
    again = make(text, strlen(text), &why);
    fuzz_check(again != NULL);
    fuzz_check(put_rule(toxic, plan, false) == put_rule(again, plan_again, false));
    if (plan->rule_count && !toxic->duration_ns)
        fuzz_check(!memcmp(&plan->rules[0], &plan_again->rules[0], sizeof(plan->rules[0])));
    buf_done(&why);
    toxic_free(again);
    cJSON_free(text);
    cJSON_Delete(document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *cut = size ? memchr(data, '\0', size) : NULL;
    size_t first = cut ? (size_t)(cut - data) : size;
    char *text = malloc(size + 1);
    struct plan *plan = malloc(PLAN_SIZE(1)), *again = malloc(PLAN_SIZE(1));
    struct toxic *toxic;
    struct buf why;

    memcpy(text, data, size);
    text[size] = '\0';
    buf_init(&why, 4096);
    toxic = make(text, first, &why);
    if (!toxic) {
        fuzz_check(why.length > 0);
    } else {
        if (cut)
            change(toxic, text + first + 1, size - first - 1, &why);
        (void)put_rule(toxic, plan, true);
        check_file(toxic, plan, again);
        cJSON_Delete(toxic_print(toxic, false, 1000));
    }
    buf_done(&why);
    toxic_free(toxic);
    free(plan);
    free(again);
    free(text);
    return 0;
}
