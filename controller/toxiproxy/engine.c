/* The model in force. */
#include "controller/toxiproxy/engine.h"

#include "controller/toxiproxy/log.h"
#include "controller/toxiproxy/lookup.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>

#define LEASE_NS (5 * NS_PER_S)

/* Nobody listens on port 0: a dial is refused at once. */
static const char nowhere[] = "127.0.0.1:0";

int engine_init(struct engine *engine, struct model *model, const struct injector_limits *limits, uint64_t seed, bool strict)
{
    memset(engine, 0, sizeof(*engine));
    engine->model = model;
    engine->seed = seed;
    engine->strict = strict;
    engine->renew_at_ns = UINT64_MAX;
    return injector_new(limits, &engine->injector);
}

void engine_done(struct engine *engine)
{
    injector_free(engine->injector);
    free(engine->plan);
    engine->injector = NULL;
    engine->plan = NULL;
}

/* ---- events ----------------------------------------------------------------------------------------------------------- */

static void keep_event(struct engine *engine, struct event *event)
{
    event->seq = ++engine->last_seq;
    engine->events[event->seq % ENGINE_EVENTS_MAX] = *event;
}

static void full_name(char *text, size_t size, const struct proxy_config *proxy, const struct toxic *toxic)
{
    snprintf(text, size, "%s%s%s", proxy->name, toxic ? "/" : "", toxic ? toxic->name : "");
}

static void note(struct engine *engine, enum event_kind kind, const char *name, const char *text, uint64_t number0,
                 uint64_t number1)
{
    struct event event;

    event_init(&event, kind, SOURCE_WIRE, clock_now_ns(), name, text);
    event.epoch = engine->epoch;
    event.number[0] = (int64_t)number0;
    event.number[1] = (int64_t)number1;
    keep_event(engine, &event);
}

void engine_note_armed(struct engine *engine, const struct proxy_config *proxy, const struct toxic *toxic)
{
    char name[EVENT_TEXT_MAX];

    full_name(name, sizeof(name), proxy, toxic);
    note(engine, EVENT_fault_armed, name, NULL, toxic->duration_ns, 0);
}

void engine_note_released(struct engine *engine, const struct proxy_config *proxy, const struct toxic *toxic)
{
    struct rule_status status = { .in_flight = 0 };
    char name[EVENT_TEXT_MAX];

    full_name(name, sizeof(name), proxy, toxic);
    (void)engine_counts(engine, proxy, toxic, &status);
    note(engine, EVENT_fault_released, name, NULL, status.counts.matched, status.counts.fired);
}

/* The executor's names are not the clients'. */
static void rename_event(const struct engine *engine, struct event *event)
{
    char *name = event->text[0];
    struct plan_rule rule;

    for (size_t i = 0; i < engine->model->count; i++) {
        const struct proxy_config *proxy = engine->model->proxies[i];

        if (event->kind == EVENT_hold_full && !strcmp(proxy->scope, name)) {
            full_name(name, EVENT_TEXT_MAX, proxy, NULL);
            return;
        }
        for (size_t t = 0; event->kind == EVENT_fault_acted && t < proxy->toxic_count; t++) {
            if (!toxic_rule(proxy->toxics[t], proxy->name, proxy->scope, &rule) || strcmp(rule.name, name) != 0)
                continue;
            full_name(name, EVENT_TEXT_MAX, proxy, proxy->toxics[t]);
            return;
        }
    }
}

static void take_events(struct engine *engine)
{
    struct event event;

    while (injector_next_event(engine->injector, &event)) {
        rename_event(engine, &event);
        keep_event(engine, &event);
    }
}

/* ---- proxies ---------------------------------------------------------------------------------------------------------- */

static int refuse_listen(struct buf *why, const char *address, int error)
{
    char text[128];

    snprintf(text, sizeof(text), "%s", strerror(-error));
    text[0] = (char)tolower((unsigned char)text[0]);
    if (error == -EMFILE || error == -EEXIST)
        buf_printf(why, "listen tcp %s: the executor takes no more proxies", address);
    else
        buf_printf(why, "listen tcp %s: bind: %s", address, text);
    return error;
}

static uint64_t left_ns(const struct toxic *toxic)
{
    uint64_t now_ns = clock_now_ns();

    return toxic->deadline_ns > now_ns ? toxic->deadline_ns - now_ns : 1;
}

/* With the upstream as it was typed; where that is no address, with one that refuses. */
static int open_listener(struct engine *engine, const struct proxy_config *proxy, const char *listen,
                         struct proxy_status *ret_status)
{
    struct proxy_spec spec;
    int result = -EINVAL;

    memset(&spec, 0, sizeof(spec));
    snprintf(spec.name, sizeof(spec.name), "%s", proxy->scope);
    snprintf(spec.listen, sizeof(spec.listen), "%s", listen);
    spec.flags = engine->strict ? PROXY_ENDS_WHOLE | PROXY_REFUSES_SOFTLY : 0;
    if (snprintf(spec.upstream, sizeof(spec.upstream), "%s", proxy->upstream) < (int)sizeof(spec.upstream))
        result = injector_open_proxy(engine->injector, &spec, ret_status);
    if (result != -EINVAL && result != -ENOENT)
        return result;
    log_line(LOG_LEVEL_WARN, "The upstream is no address: clients are turned away", "proxy", proxy->name, "upstream",
             proxy->upstream, NULL);
    snprintf(spec.upstream, sizeof(spec.upstream), "%s", nowhere);
    return injector_open_proxy(engine->injector, &spec, ret_status);
}

static int open_at(struct engine *engine, struct proxy_config *proxy, const char *listen, struct buf *why)
{
    struct proxy_status status;
    int result = open_listener(engine, proxy, listen, &status);

    if (result < 0)
        return refuse_listen(why, listen, result);
    if (model_set_text(&proxy->listen, status.spec.listen) < 0) {
        (void)injector_close_proxy(engine->injector, proxy->scope);
        return refuse_listen(why, listen, -ENOMEM);
    }
    proxy->enabled = true;
    for (size_t i = 0; i < proxy->toxic_count; i++)
        if (proxy->toxics[i]->deadline_ns) /* its rule counts from arming, which is now */
            proxy->toxics[i]->until_ns = left_ns(proxy->toxics[i]);
    return 0;
}

int engine_open(struct engine *engine, struct proxy_config *proxy, struct buf *why)
{
    char listen[ADDRESS_TEXT_MAX];
    struct buf reason;
    int result = -EINVAL;

    buf_init(&reason, 1024);
    if (address_to_listen(proxy->listen, engine->strict, listen, &reason) < 0)
        buf_printf(why, "listen tcp: %s", reason.data);
    else
        result = open_at(engine, proxy, listen, why);
    buf_done(&reason);
    if (result < 0)
        return result;
    log_line(LOG_LEVEL_INFO, "Started proxy", "name", proxy->name, "proxy", proxy->listen, "upstream", proxy->upstream, NULL);
    note(engine, EVENT_proxy_opened, proxy->name, proxy->listen, 0, 0);
    return 0;
}

static void add_status(struct proxy_status *sum, const struct proxy_status *more)
{
    sum->connections += more->connections;
    sum->connects_failed += more->connects_failed;
    sum->exchanges += more->exchanges;
    sum->bytes_to_upstream += more->bytes_to_upstream;
    sum->bytes_to_client += more->bytes_to_client;
    sum->bytes_from_client += more->bytes_from_client;
    sum->bytes_from_upstream += more->bytes_from_upstream;
    sum->hold_full += more->hold_full;
    histogram_merge(&sum->lateness, &more->lateness);
    sum->held_bytes_peak = MAX(sum->held_bytes_peak, more->held_bytes_peak);
    sum->held_bytes_max = more->held_bytes_max;
}

static bool find_status(const struct engine *engine, const struct proxy_config *proxy, struct proxy_status *ret_status)
{
    size_t count = injector_proxy_status(engine->injector, NULL, 0);
    AUTO_FREE struct proxy_status *list = calloc(count + 1, sizeof(*list));

    if (!list)
        return false;
    count = MIN(count, injector_proxy_status(engine->injector, list, count));
    for (size_t i = 0; i < count; i++)
        if (!strcmp(list[i].spec.name, proxy->scope)) {
            *ret_status = list[i];
            return true;
        }
    return false;
}

void engine_close(struct engine *engine, struct proxy_config *proxy)
{
    struct proxy_status status;

    if (!proxy->enabled)
        return;
    if (find_status(engine, proxy, &status))
        add_status(&proxy->counted, &status);
    (void)injector_close_proxy(engine->injector, proxy->scope);
    proxy->enabled = false;
    log_line(LOG_LEVEL_INFO, "Terminated proxy", "name", proxy->name, "proxy", proxy->listen, "upstream", proxy->upstream, NULL);
}

struct proxy_status engine_status(const struct engine *engine, const struct proxy_config *proxy)
{
    struct proxy_status sum = proxy->counted, status;

    if (proxy->enabled && find_status(engine, proxy, &status)) {
        add_status(&sum, &status);
        sum.connections_open = status.connections_open;
        sum.held_bytes = status.held_bytes;
    }
    return sum;
}

/* ---- toxics ----------------------------------------------------------------------------------------------------------- */

static int make_plan(struct engine *engine, struct plan **ret_plan)
{
    const struct model *model = engine->model;
    struct plan *plan;
    size_t count = 0;

    for (size_t i = 0; i < model->count; i++)
        count += model->proxies[i]->enabled ? model->proxies[i]->toxic_count : 0;
    if (count > PLAN_RULES_MAX)
        return -E2BIG;
    plan = calloc(1, PLAN_SIZE(count));
    if (!plan)
        return -ENOMEM;
    *plan = (struct plan){ .magic = PLAN_MAGIC,
                           .version = PLAN_VERSION,
                           .rule_size = sizeof(struct plan_rule),
                           .epoch = ++engine->epoch,
                           .seed = engine->seed };
    for (size_t i = 0; i < model->count; i++) {
        const struct proxy_config *proxy = model->proxies[i];

        for (size_t t = 0; proxy->enabled && t < proxy->toxic_count; t++) {
            struct plan_rule *rule = &plan->rules[plan->rule_count];

            if (!toxic_rule(proxy->toxics[t], proxy->name, proxy->scope, rule))
                continue;
            if (engine->strict)
                toxic_rule_strict(proxy->toxics[t], rule);
            plan->rule_count++;
        }
    }
    *ret_plan = plan;
    return 0;
}

int engine_publish(struct engine *engine)
{
    struct plan *plan;
    int result = make_plan(engine, &plan);

    if (result < 0)
        return result;
    if (plan->rule_count)
        result = injector_publish(engine->injector, plan, PLAN_SIZE(plan->rule_count), LEASE_NS);
    else
        result = injector_release(engine->injector, plan->epoch);
    if (result < 0) {
        free(plan);
        return result;
    }
    free(engine->plan);
    engine->plan = plan;
    engine->armed = plan->rule_count != 0;
    engine->renew_at_ns = engine->armed ? clock_now_ns() + LEASE_NS / 3 : UINT64_MAX;
    take_events(engine);
    return 0;
}

bool engine_counts(const struct engine *engine, const struct proxy_config *proxy, const struct toxic *toxic,
                   struct rule_status *ret_status)
{
    AUTO_FREE struct rule_status *list = calloc(PLAN_RULES_MAX, sizeof(*list));
    struct plan_rule rule;
    size_t count;

    if (!list || !engine->armed || !proxy->enabled || !toxic_rule(toxic, proxy->name, proxy->scope, &rule))
        return false;
    count = injector_rule_status(engine->injector, list, PLAN_RULES_MAX);
    for (size_t i = 0; i < count && i < engine->plan->rule_count; i++)
        if (!strcmp(list[i].name, rule.name) && !strcmp(engine->plan->rules[i].scope, rule.scope)) {
            *ret_status = list[i];
            return true;
        }
    return false;
}

const struct toxic *engine_toxic_at(const struct engine *engine, const struct proxy_config *proxy, size_t place)
{
    struct plan_rule rule;

    for (size_t i = 0; engine->armed && place < engine->plan->rule_count && i < proxy->toxic_count; i++)
        if (toxic_rule(proxy->toxics[i], proxy->name, proxy->scope, &rule) &&
            !strcmp(rule.name, engine->plan->rules[place].name) && !strcmp(rule.scope, engine->plan->rules[place].scope))
            return proxy->toxics[i];
    return NULL;
}

struct connection_status *engine_connections(struct engine *engine, const struct proxy_config *proxy, size_t *ret_count)
{
    struct connection_status *list = calloc(CONNECTIONS_LISTED_MAX, sizeof(*list));

    *ret_count = 0;
    if (!list || !proxy->enabled)
        return list;
    if (injector_connections_list(engine->injector, proxy->scope, list, CONNECTIONS_LISTED_MAX, ret_count) >= 0)
        return list;
    free(list);
    return NULL;
}

/* ---- as time goes on -------------------------------------------------------------------------------------------------- */

static void renew(struct engine *engine, uint64_t now_ns)
{
    if (!engine->armed || now_ns < engine->renew_at_ns)
        return;
    engine->renew_at_ns = now_ns + LEASE_NS / 3;
    if (injector_renew(engine->injector, engine->epoch, LEASE_NS) >= 0)
        return;
    log_line(LOG_LEVEL_WARN, "The lease had run out; toxics are armed again", NULL);
    if (engine_publish(engine) < 0)
        log_line(LOG_LEVEL_ERROR, "Toxics could not be armed again", NULL);
}

void engine_let_lapse(struct engine *engine)
{
    engine->renew_at_ns = UINT64_MAX;
}

static bool end_overdue(struct engine *engine, uint64_t now_ns)
{
    bool ended = false;

    for (size_t i = 0; i < engine->model->count; i++) {
        struct proxy_config *proxy = engine->model->proxies[i];

        for (size_t t = proxy->toxic_count; t-- > 0;) {
            struct toxic *toxic = proxy->toxics[t];

            if (!toxic->deadline_ns || now_ns < toxic->deadline_ns)
                continue;
            engine_note_released(engine, proxy, toxic);
            log_line(LOG_LEVEL_INFO, "Toxic's duration is over", "proxy", proxy->name, "toxic", toxic->name, NULL);
            model_take_toxic(proxy, toxic);
            toxic_free(toxic);
            ended = true;
        }
    }
    if (ended && engine_publish(engine) < 0)
        log_line(LOG_LEVEL_ERROR, "The plan without ended toxics could not be published", NULL);
    return ended;
}

bool engine_tick(struct engine *engine)
{
    uint64_t now_ns = clock_now_ns();
    bool ended;

    take_events(engine);
    ended = end_overdue(engine, now_ns);
    renew(engine, now_ns);
    return ended;
}

int engine_fd(const struct engine *engine)
{
    return injector_event_fd(engine->injector);
}

uint64_t engine_next_ns(const struct engine *engine)
{
    uint64_t next_ns = engine->renew_at_ns;

    for (size_t i = 0; i < engine->model->count; i++)
        for (size_t t = 0; t < engine->model->proxies[i]->toxic_count; t++)
            if (engine->model->proxies[i]->toxics[t]->deadline_ns)
                next_ns = MIN(next_ns, engine->model->proxies[i]->toxics[t]->deadline_ns);
    return next_ns;
}
