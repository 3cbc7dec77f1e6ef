/* sample-shop: the front service of the sample system. GET /item/ID asks the store once; the answer's X-Source header tells
 * whether it came from the store or, in trouble, from the shop's cache of last known values.
 *
 *   loop thread --queue--> workers --(breaker, pool, time limit, retries)--> store
 *
 * Each worker is held for --work after the store has answered (it stands for rendering), so the shop's capacity is
 * workers / work: 320 requests/s as shipped. That is what makes a backlog of old work cost something.
 *
 * 1. The resilient form never does work nobody waits for: requests of departed clients and requests past their budget are
 *    not sent to the store. The naive form serves every request it ever accepted, in order.
 * 2. /healthz and /stats never touch the store nor wait for a worker. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "playbooks/sample/fetch.h"
#include "playbooks/sample/options.h"
#include "playbooks/sample/queue.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

enum { WORKERS_MAX = 256, QUEUE_BOUNDED = 256, QUEUE_NAIVE = 131072, STATS_MAX = 2048 };

struct shop_flags {
    int64_t port, pool, retries, workers;
    const char *host, *store;
    uint64_t timeout_ns, budget_ns, retry_interval_ns, open_ns, work_ns;
    bool breaker, fallback, shed;
};

struct shop {
    struct shop_flags flags;
    struct http_server *server;
    struct queue queue;
    struct fetcher fetcher;
    pthread_t workers[WORKERS_MAX];
    atomic_ullong requests, ok, failed, from_store, from_cache, shed, abandoned;
    bool stopping; /* loop thread only */
};

static void go_naive(void *target)
{
    struct shop_flags *flags = target;

    flags->timeout_ns = flags->budget_ns = flags->retry_interval_ns = 0;
    flags->retries = -1;
    flags->breaker = flags->fallback = flags->shed = false;
}

static void stay_careful(void *target)
{
    (void)target;
}

static void answer(struct shop *shop, const struct job *job, enum fetch_source source, const char *value)
{
    char body[CACHE_VALUE_SIZE + ITEM_ID_SIZE + 96];
    char clean[CACHE_VALUE_SIZE];
    size_t length = 0;

    if (source == FETCH_FAILED) {
        atomic_fetch_add(&shop->failed, 1);
        http_reply(shop->server, job->ticket, 503, "", "{\"error\":\"the store does not answer\"}\n");
        return;
    }
    for (; value[length] && length + 1 < sizeof(clean); length++)
        clean[length] = value[length] < ' ' || value[length] > '~' || strchr("\"\\", value[length]) ? '?' : value[length];
    clean[length] = '\0';
    snprintf(body, sizeof(body), "{\"item\":\"%s\",\"stock\":\"%s\",\"source\":\"%s\"}\n", job->id, clean,
             source == FETCH_STORE ? "store" : "cache");
    atomic_fetch_add(&shop->ok, 1);
    atomic_fetch_add(source == FETCH_STORE ? &shop->from_store : &shop->from_cache, 1);
    http_reply(shop->server, job->ticket, 200, source == FETCH_STORE ? "X-Source: store\r\n" : "X-Source: cache\r\n", body);
}

static void *worker_main(void *argument)
{
    struct shop *shop = argument;
    const struct timespec work = ns_timespec(shop->flags.work_ns);
    char value[CACHE_VALUE_SIZE];
    struct job job;

    while (queue_pop(&shop->queue, &job)) {
        bool late = shop->flags.budget_ns != 0 && clock_now_ns() - job.received_ns >= shop->flags.budget_ns;
        if (shop->flags.shed && http_is_abandoned(shop->server, job.ticket)) {
            atomic_fetch_add(&shop->abandoned, 1);
            continue;
        }
        if (shop->flags.shed && late) {
            atomic_fetch_add(&shop->shed, 1);
            answer(shop, &job, fetch_stale(&shop->fetcher, job.id, value), value);
            continue;
        }
        enum fetch_source source = fetch_item(&shop->fetcher, job.id, job.received_ns, value);
        if (shop->flags.work_ns)
            (void)nanosleep(&work, NULL);
        answer(shop, &job, source, value);
    }
    return NULL;
}

static void answer_stats(struct shop *shop, struct http_ticket ticket)
{
    struct fetcher *fetcher = &shop->fetcher;
    enum breaker_state state;
    uint64_t entered[3];
    char text[STATS_MAX];

    breaker_read(&fetcher->breaker, &state, entered);
    pthread_mutex_lock(&fetcher->pool.lock);
    unsigned in_use = fetcher->pool.in_use;
    uint64_t waits = fetcher->pool.waits, connects = fetcher->pool.connects;
    pthread_mutex_unlock(&fetcher->pool.lock);
    snprintf(text, sizeof(text),
             "{\"requests\":%llu,\"ok\":%llu,\"failed\":%llu,\"from_store\":%llu,\"from_cache\":%llu,\"shed\":%llu,"
             "\"abandoned\":%llu,\"store_attempts\":%llu,\"store_failures\":%llu,\"retries\":%llu,\"breaker_state\":\"%s\","
             "\"breaker_transitions\":%llu,\"breaker_opened\":%llu,\"breaker_half_opened\":%llu,\"breaker_closed\":%llu,"
             "\"pool_size\":%u,\"pool_in_use\":%u,\"pool_waits\":%llu,\"pool_connects\":%llu,\"queue_length\":%zu}\n",
             atomic_load(&shop->requests), atomic_load(&shop->ok), atomic_load(&shop->failed), atomic_load(&shop->from_store),
             atomic_load(&shop->from_cache), atomic_load(&shop->shed), atomic_load(&shop->abandoned),
             atomic_load(&fetcher->attempts), atomic_load(&fetcher->failures), atomic_load(&fetcher->retries),
             breaker_state_name(state), (unsigned long long)(entered[0] + entered[1] + entered[2]),
             (unsigned long long)entered[BREAKER_OPEN], (unsigned long long)entered[BREAKER_HALF_OPEN],
             (unsigned long long)entered[BREAKER_CLOSED], fetcher->pool.size, in_use, (unsigned long long)waits,
             (unsigned long long)connects, queue_length(&shop->queue));
    http_reply(shop->server, ticket, 200, "", text);
}

static void accept_item(struct shop *shop, const struct http_request *request, const char *id)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    struct job job = { .ticket = request->ticket, .received_ns = request->received_ns };
    size_t length = strcspn(id, "?");
    char value[CACHE_VALUE_SIZE];

    if (length == 0 || length >= sizeof(job.id) || strspn(id, letters) < length) {
        http_reply(shop->server, request->ticket, 404, "", "{\"error\":\"no such item\"}\n");
        return;
    }
    memcpy(job.id, id, length);
    atomic_fetch_add(&shop->requests, 1);
    if (!queue_push(&shop->queue, &job)) {
        atomic_fetch_add(&shop->shed, 1);
        answer(shop, &job, fetch_stale(&shop->fetcher, job.id, value), value);
    }
}

static void handle(void *context, const struct http_request *request)
{
    static const char item_prefix[] = "/item/";
    struct shop *shop = context;

    if (strcmp(request->method, "GET") != 0)
        http_reply(shop->server, request->ticket, 405, "Allow: GET\r\n", "{\"error\":\"only GET\"}\n");
    else if (strncmp(request->path, item_prefix, sizeof(item_prefix) - 1) == 0)
        accept_item(shop, request, request->path + sizeof(item_prefix) - 1);
    else if (strcmp(request->path, "/healthz") == 0)
        http_reply(shop->server, request->ticket, 200, "", "{\"status\":\"ok\"}\n");
    else if (strcmp(request->path, "/stats") == 0)
        answer_stats(shop, request->ticket);
    else
        http_reply(shop->server, request->ticket, 404, "", "{\"error\":\"no such page\"}\n");
}

static void on_signal(void *context, uint32_t events)
{
    (void)events;
    ((struct shop *)context)->stopping = true;
}

static int flags_parse(struct shop_flags *flags, int argc, char **argv)
{
    const struct option_spec specs[] = {
        { "--port", OPTION_COUNT, &flags->port, 0, 65535, NULL, "HTTP port; 0 picks one (printed)" },
        { "--host", OPTION_TEXT, &flags->host, 0, 0, NULL, "address to listen on (127.0.0.1)" },
        { "--store", OPTION_TEXT, &flags->store, 0, 0, NULL, "HOST:PORT of the store (STORE_ADDR, REDIS_ADDR, 127.0.0.1:6379)" },
        { "--workers", OPTION_COUNT, &flags->workers, 1, WORKERS_MAX, NULL, "requests served at a time (8)" },
        { "--work", OPTION_DURATION, &flags->work_ns, 0, 0, NULL, "a worker is held this long a request (25ms)" },
        { "--pool", OPTION_COUNT, &flags->pool, 1, POOL_MAX, NULL, "connections to the store (8)" },
        { "--timeout", OPTION_DURATION, &flags->timeout_ns, 0, 0, NULL, "of one attempt (50ms); 0 = none" },
        { "--budget", OPTION_DURATION, &flags->budget_ns, 0, 0, NULL, "of one request with retries (120ms); 0 = none" },
        { "--retries", OPTION_COUNT, &flags->retries, -1, 1000, NULL, "after a failed attempt (2); -1 = endless" },
        { "--retry-interval", OPTION_DURATION, &flags->retry_interval_ns, 0, 0, NULL, "first backoff (10ms); 0 = at once" },
        { "--open-for", OPTION_DURATION, &flags->open_ns, 0, 0, NULL, "the breaker stays open (500ms)" },
        { "--no-breaker", OPTION_SWITCH, &flags->breaker, 0, 0, NULL, "call the store whatever happens" },
        { "--no-fallback", OPTION_SWITCH, &flags->fallback, 0, 0, NULL, "never answer from the cache" },
        { "--no-shed", OPTION_SWITCH, &flags->shed, 0, 0, NULL, "serve requests nobody waits for; unbounded queue" },
        { "--careful", OPTION_CALL, flags, 0, 0, stay_careful, "all of the protections above: the default, said aloud" },
        { "--naive", OPTION_CALL, flags, 0, 0, go_naive, "none of the protections above" },
        { 0 }
    };

    return options_parse(specs, argc, argv);
}

static int shop_start(struct shop *shop, int signal_fd)
{
    const struct shop_flags *flags = &shop->flags;
    struct net_address store;
    int listen_fd = -1;
    uint16_t port = 0;
    int rc = net_address_parse(flags->store, &store);

    if (rc == 0)
        rc = net_listen(flags->host, (uint16_t)flags->port, &listen_fd, &port);
    if (rc == 0)
        rc = http_new(listen_fd, handle, shop, &shop->server);
    if (rc == 0)
        rc = http_watch(shop->server, signal_fd, EPOLLIN, on_signal, shop);
    if (rc == 0)
        rc = queue_init(&shop->queue, flags->shed ? QUEUE_BOUNDED : QUEUE_NAIVE);
    if (rc < 0)
        return rc;
    shop->fetcher.timeout_ns = flags->timeout_ns;
    shop->fetcher.budget_ns = flags->budget_ns;
    shop->fetcher.use_breaker = flags->breaker;
    shop->fetcher.use_fallback = flags->fallback;
    retry_init(&shop->fetcher.retry, flags->retries, flags->retry_interval_ns);
    breaker_init(&shop->fetcher.breaker, flags->open_ns);
    pool_init(&shop->fetcher.pool, &store, (unsigned)flags->pool);
    cache_init(&shop->fetcher.cache);
    for (int64_t i = 0; i < flags->workers; i++) {
        rc = pthread_create(&shop->workers[i], NULL, worker_main, shop);
        if (rc != 0)
            return -rc;
    }
    printf("sample-shop: listening on %s:%u\n", flags->host, (unsigned)port);
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    static struct shop shop = { .flags = { .host = "127.0.0.1", .workers = 8, .work_ns = 25 * NS_PER_MS, .pool = 8,
                                           .timeout_ns = 50 * NS_PER_MS, .budget_ns = 120 * NS_PER_MS, .retries = 2,
                                           .retry_interval_ns = 10 * NS_PER_MS, .open_ns = 500 * NS_PER_MS, .breaker = true,
                                           .fallback = true, .shed = true } };
    sigset_t signals;

    const char *store = getenv("STORE_ADDR") ? getenv("STORE_ADDR") : getenv("REDIS_ADDR");
    shop.flags.store = store ? store : "127.0.0.1:6379";
    int rc = flags_parse(&shop.flags, argc, argv);
    if (rc != 0)
        return rc < 0 ? 64 : 0;
    net_raise_descriptor_limit();
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    AUTO_CLOSE int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    rc = signal_fd < 0 ? -errno : shop_start(&shop, signal_fd);
    if (rc < 0) {
        fprintf(stderr, "sample-shop: cannot serve %s:%d with store %s: %s\n", shop.flags.host, (int)shop.flags.port,
                shop.flags.store, strerror(-rc));
        return 69;
    }
    while (!shop.stopping)
        http_step(shop.server, 0);
    queue_close(&shop.queue);
    fetch_stop(&shop.fetcher);
    for (int64_t i = 0; i < shop.flags.workers; i++)
        pthread_join(shop.workers[i], NULL);
    queue_done(&shop.queue);
    http_free(shop.server);
    return 0;
}
