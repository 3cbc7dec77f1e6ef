/* Sending: first in, first out, one at a time an outlet. A delivery that must wait holds up those behind it, which may build on it. */
#include "controller/outlet/worker.h"

#include "controller/outlet/send.h"
#include "controller/report/doc.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

enum { IDLE_MS = 1000, WAIT_MAX_MS = 3600000 };

#define METRICS_BEAT_NS (5 * NS_PER_S)

static uint64_t wall_ms(void)
{
    return clock_wall_ns() / NS_PER_MS;
}

static void count(const struct worker *worker, uint64_t sent, uint64_t retried, uint64_t dropped, const char *why)
{
    struct outbox_counts counts = { .sent = sent, .retried = retried, .dropped = dropped, .last_success_s = sent ? (double)(wall_ms() / 1000) : 0 };

    snprintf(counts.last_error, sizeof(counts.last_error), "%s", why ? why : "");
    outbox_add_counts(worker->desk->root, worker->outlet->name, &counts);
}

static void say(const struct worker *worker, const struct delivery *delivery, const char *what, const char *why)
{
    fprintf(stderr, "perturb: outlet %s: %s %s: %s\n", worker->outlet->name, delivery->id, what, why);
}

/* ---- ids -------------------------------------------------------------------------------------------------------------------------- */

/* Grafana answers with a number, Alertmanager with a text. Letters, digits and '-' only: it goes into a path. */
static bool id_in(const char *answer, char *id, size_t size)
{
    cJSON *object = cJSON_Parse(answer);
    const char *text = doc_text(object, "silenceID");
    double number = doc_number(object, "id");

    if (text[0])
        snprintf(id, size, "%s", text);
    else if (number >= 0 && number < 9e15)
        snprintf(id, size, "%" PRIu64, (uint64_t)number);
    else
        snprintf(id, size, "%s", doc_text(object, "id"));
    cJSON_Delete(object);
    return id[0] && strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") == strlen(id);
}

bool worker_address(const struct delivery *delivery, const char *id, char *path, size_t size, const char **ret_method)
{
    const char *hole = strstr(delivery->path, "{id}");

    *ret_method = delivery->method;
    if (!delivery->needs[0] || !hole) {
        snprintf(path, size, "%s", delivery->path);
    } else if (id[0]) {
        snprintf(path, size, "%.*s%s%s", (int)(hole - delivery->path), delivery->path, id, hole + 4);
    } else {
        *ret_method = "POST";
        snprintf(path, size, "%s", delivery->otherwise);
        return delivery->otherwise[0] != '\0';
    }
    return true;
}

/* ---- deliveries ---------------------------------------------------------------------------------------------------------------------- */

static void put_off(const struct worker *worker, const char *name, struct delivery *delivery, const struct send_answer *answer)
{
    delivery->not_before_ms = wall_ms() + send_backoff_ms(delivery->id, delivery->attempts, answer->retry_after_s);
    delivery->attempts++;
    outbox_put(worker->desk->path, worker->outlet->name, name, delivery, INT64_MAX);
    count(worker, 0, 1, 0, answer->why);
    say(worker, delivery, "is put off", answer->why);
}

static void send_one(const struct worker *worker, const char *name, struct delivery *delivery)
{
    const struct desk *desk = worker->desk;
    const char *outlet = worker->outlet->name, *method;
    char id[DELIVERY_KEY_MAX] = "", path[DELIVERY_PATH_MAX + DELIVERY_KEY_MAX];
    struct send_answer answer;
    enum send_outcome outcome;

    if (delivery->needs[0])
        outbox_id(desk->path, outlet, delivery->needs, id, sizeof(id));
    if (!worker_address(delivery, id, path, sizeof(path), &method)) {
        outbox_drop(desk->path, outlet, name);
        return;
    }
    outcome = outlet_send(worker->outlet, &desk->config->egress, delivery, method, path, &desk->stop, &answer);
    if (outcome == SEND_DONE && delivery->save[0] && id_in(answer.body.data, id, sizeof(id)))
        outbox_keep_id(desk->path, outlet, delivery->save, id);
    if (outcome == SEND_AGAIN && delivery->created_ms + (uint64_t)worker->outlet->give_up / NS_PER_MS < wall_ms())
        outcome = SEND_REFUSED;
    if (outcome == SEND_AGAIN && !atomic_load(&desk->stop))
        put_off(worker, name, delivery, &answer);
    if (outcome == SEND_DONE || outcome == SEND_REFUSED)
        outbox_drop(desk->path, outlet, name);
    if (outcome == SEND_DONE)
        count(worker, 1, 0, 0, NULL);
    if (outcome == SEND_REFUSED) {
        count(worker, 0, 0, 1, answer.why);
        say(worker, delivery, "is dropped", answer.why);
    }
    send_answer_done(&answer);
}

/* Sends the next one that is due. Returns how long there is nothing to do, ms; *ret_none where the folder is empty. */
static uint64_t send_next(const struct worker *worker, bool *ret_none)
{
    struct delivery delivery = { .body = NULL };
    char name[OUTBOX_NAME_MAX];
    uint64_t now_ms = wall_ms(), wait_ms = 0;

    *ret_none = outbox_first(worker->desk->path, worker->outlet->name, name, &delivery) < 0;
    if (*ret_none)
        return IDLE_MS;
    if (delivery.not_before_ms > now_ms && delivery.not_before_ms < now_ms + WAIT_MAX_MS) /* beyond that a clock was set */
        wait_ms = delivery.not_before_ms - now_ms;
    else
        send_one(worker, name, &delivery);
    delivery_done(&delivery);
    return wait_ms;
}

/* ---- heartbeats ----------------------------------------------------------------------------------------------------------------------- */

/* What is to be sent, and how often; NULL for no heartbeat. Under the lock. */
static char *beat_body(const struct worker *worker, const char *id, uint64_t from_ns, uint64_t *ret_every_ns)
{
    const struct desk *desk = worker->desk;

    *ret_every_ns = METRICS_BEAT_NS;
    if (!desk->story.began_ns || desk->story.ended || desk->draining)
        return NULL;
    if (worker->outlet->kind == OUTLET_OTLP)
        return otlp_live_metrics(&desk->story, desk->sample, clock_wall_ns());
    *ret_every_ns = (uint64_t)worker->outlet->silence_for / 3;
    return worker->outlet->kind == OUTLET_ALERTMANAGER ? alertmanager_silence(worker->outlet, &desk->story, id, from_ns, clock_wall_ns()) : NULL;
}

/* The silence as it is now: where the answer names another than the one that was asked for, that began just now. */
static void keep_silence(const struct worker *worker, const char *answer, const char *asked, uint64_t now_ns)
{
    char id[DELIVERY_KEY_MAX], start[24];

    if (!id_in(answer, id, sizeof(id)) || !strcmp(id, asked))
        return;
    snprintf(start, sizeof(start), "%" PRIu64, now_ns);
    outbox_keep_id(worker->desk->path, worker->outlet->name, "silence-start", start);
    outbox_keep_id(worker->desk->path, worker->outlet->name, "silence", id);
}

static void beat(struct worker *worker)
{
    struct desk *desk = worker->desk;
    struct delivery delivery = { .event = "beat" };
    uint64_t now_ns = clock_now_ns(), wall_ns = clock_wall_ns(), every_ns;
    char id[DELIVERY_KEY_MAX] = "", start[24] = "";
    struct send_answer answer;

    if (now_ns < worker->beat_due_ns)
        return;
    outbox_id(desk->path, worker->outlet->name, "silence", id, sizeof(id));
    outbox_id(desk->path, worker->outlet->name, "silence-start", start, sizeof(start));
    pthread_mutex_lock(&desk->lock);
    delivery.body = beat_body(worker, id, id[0] && start[0] ? strtoull(start, NULL, 10) : wall_ns, &every_ns);
    pthread_mutex_unlock(&desk->lock);
    if (!delivery.body)
        return;
    worker->beat_due_ns = now_ns + every_ns;
    if (outlet_send(worker->outlet, &desk->config->egress, &delivery, "POST", worker->outlet->kind == OUTLET_OTLP ? "/v1/metrics" : "/api/v2/silences",
                    &desk->stop, &answer) != SEND_DONE) {
        worker->beat_due_ns = now_ns + every_ns / 3;
        count(worker, 0, 1, 0, answer.why);
    } else if (worker->outlet->kind == OUTLET_ALERTMANAGER) {
        keep_silence(worker, answer.body.data, id, wall_ns);
    }
    send_answer_done(&answer);
    delivery_done(&delivery);
}

/* ---- the thread ------------------------------------------------------------------------------------------------------------------------ */

static void wait_a_while(struct desk *desk, uint64_t wait_ms)
{
    struct timespec until = ns_timespec(clock_now_ns() + MIN(wait_ms, (uint64_t)IDLE_MS) * NS_PER_MS);

    pthread_cond_timedwait(&desk->wake, &desk->lock, &until);
}

static void *worker_thread(void *argument)
{
    struct worker *worker = argument;
    struct desk *desk = worker->desk;
    bool leaves = false;

    while (!leaves) {
        uint64_t wait_ms;
        bool none;

        beat(worker);
        wait_ms = send_next(worker, &none);
        pthread_mutex_lock(&desk->lock);
        leaves = atomic_load(&desk->stop) || (desk->draining && none && outbox_count(desk->path, worker->outlet->name) == 0);
        if (!leaves && wait_ms)
            wait_a_while(desk, wait_ms);
        pthread_mutex_unlock(&desk->lock);
    }
    pthread_mutex_lock(&desk->lock);
    desk->done++;
    pthread_cond_broadcast(&desk->wake);
    pthread_mutex_unlock(&desk->lock);
    return NULL;
}

int worker_start(struct worker *worker)
{
    return -pthread_create(&worker->thread, NULL, worker_thread, worker);
}

void worker_join(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
}
