/* The handle: proxies, plans and counters over the loops. Control thread only. */
#include "injector/injector.h"

#include "injector/capture.h"
#include "injector/connections.h"
#include "injector/limits.h"
#include "injector/listen.h"
#include "injector/loop.h"
#include "injector/resolve.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/param.h>

_Static_assert((int)LOOPS_MAX <= (int)CONNECTION_PARTS_MAX, "a list of connections has a part for each loop");

#define COMMAND_TIMEOUT_NS (5 * NS_PER_S)
#define DATAGRAM_QUIET_NS (250 * NS_PER_MS)

struct injector {
    struct injector_limits limits;
    struct loop *loops;     /* limits.loops */
    struct pool_budget budget; /* of all loops' memory */
    struct proxy **proxies; /* limits.proxies_max, NULL where free */
    struct connection_list **lists; /* one a loop; NULL until first asked for */
    struct armed *armed;    /* in force, or whose lease is over; NULL after release */
    struct armed *counted;  /* the released one, for its counts; NULL for none */
    uint64_t epoch;         /* the last armed or released */
    int event_fd, ack_fd;
    int refusal; /* of io_uring, when another backend was taken for it */
};

static int start_loops(struct injector *injector, const struct io_ops *ops)
{
    int result = 0;

    for (uint32_t i = 0; i < injector->limits.loops && result >= 0; i++)
        result = loop_start(&injector->loops[i], i, &injector->limits, &injector->budget, ops, injector->ack_fd);
    if (result < 0)
        loops_stop(injector->loops, injector->limits.loops);
    return result;
}

static int start_on_backend(struct injector *injector)
{
    int result = 0;

    if (injector->limits.backend == WIRE_BACKEND_EPOLL)
        return start_loops(injector, &io_epoll);
    result = io_probe(&io_ring);
    if (result >= 0)
        result = start_loops(injector, &io_ring);
    if (result >= 0 || injector->limits.backend == WIRE_BACKEND_IO_URING)
        return result;
    injector->refusal = result;
    return start_loops(injector, &io_epoll);
}

int injector_new(const struct injector_limits *limits, struct injector **ret_injector)
{
    struct injector *injector = calloc(1, sizeof(*injector));
    int result = -ENOMEM;

    if (!injector)
        return -ENOMEM;
    injector->event_fd = injector->ack_fd = -1;
    if (limits)
        injector->limits = *limits;
    else
        injector_limits_init(&injector->limits);
    if (!limits_are_sound(&injector->limits)) {
        free(injector);
        return -EINVAL;
    }
    pool_budget_init(&injector->budget, injector->limits.pool_bytes_max, injector->limits.loops);
    injector->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    injector->ack_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    injector->loops = loops_new(injector->limits.loops);
    injector->proxies = calloc(injector->limits.proxies_max, sizeof(*injector->proxies));
    if (injector->event_fd >= 0 && injector->ack_fd >= 0 && injector->loops && injector->proxies)
        result = start_on_backend(injector);
    if (result < 0) {
        injector_free(injector);
        return result;
    }
    *ret_injector = injector;
    return 0;
}

void injector_free(struct injector *injector)
{
    if (!injector)
        return;
    if (injector->loops)
        loops_stop(injector->loops, injector->limits.loops);
    for (uint32_t i = 0; injector->proxies && i < injector->limits.proxies_max; i++)
        if (injector->proxies[i]) {
            listen_remove(injector->proxies[i]->unlink_path);
            proxy_unref(injector->proxies[i]);
        }
    armed_free(injector->armed);
    armed_free(injector->counted);
    if (injector->event_fd >= 0)
        close(injector->event_fd);
    if (injector->ack_fd >= 0)
        close(injector->ack_fd);
    for (uint32_t i = 0; injector->lists && i < injector->limits.loops; i++)
        free(injector->lists[i]);
    free(injector->lists);
    free(injector->loops);
    free(injector->proxies);
    free(injector);
}

static uint64_t load(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* ---- commands --------------------------------------------------------------------------------------------------------- */

static bool all_done(const struct injector *injector)
{
    for (uint32_t i = 0; i < injector->limits.loops; i++)
        if (!loop_is_done(&injector->loops[i]))
            return false;
    return true;
}

/* Waits until every loop carried its command out. 0, -ETIMEDOUT. */
static int wait_all(const struct injector *injector)
{
    uint64_t deadline_ns = clock_now_ns() + COMMAND_TIMEOUT_NS;

    while (!all_done(injector)) {
        uint64_t now_ns = clock_now_ns(), drained;

        if (now_ns >= deadline_ns)
            return -ETIMEDOUT;
        (void)poll(&(struct pollfd){ .fd = injector->ack_fd, .events = POLLIN }, 1, (int)((deadline_ns - now_ns) / NS_PER_MS) + 1);
        (void)!read(injector->ack_fd, &drained, sizeof(drained));
    }
    return 0;
}

static int ask_all(struct injector *injector, enum loop_verb verb, struct armed *armed, struct proxy *proxy)
{
    int result = wait_all(injector); /* a command that timed out earlier may still be under way */

    if (result < 0)
        return result;
    for (uint32_t i = 0; i < injector->limits.loops; i++)
        loop_ask(&injector->loops[i], verb, armed, proxy);
    return wait_all(injector);
}

/* ---- proxies ---------------------------------------------------------------------------------------------------------- */

void proxy_unref(struct proxy *proxy)
{
    if (__atomic_sub_fetch(&proxy->references, 1, __ATOMIC_ACQ_REL))
        return;
    close(proxy->listen_fd);
    free(proxy);
}

static struct proxy *find_proxy(const struct injector *injector, const char *name)
{
    for (uint32_t i = 0; i < injector->limits.proxies_max; i++)
        if (injector->proxies[i] && !strcmp(injector->proxies[i]->spec.name, name))
            return injector->proxies[i];
    return NULL;
}

static int listen_openly(struct proxy *proxy)
{
    struct sockaddr_storage address;
    socklen_t size;
    int result = resolve_without_names(proxy->spec.upstream, &proxy->upstream, &proxy->upstream_size);

    if (result >= 0 && proxy->spec.protocol == PROTOCOL_UDP && proxy->upstream.ss_family == AF_UNIX)
        result = -EINVAL;
    if (result >= 0)
        result = resolve_address(proxy->spec.listen, true, &address, &size);
    if (result >= 0)
        result = proxy->spec.protocol == PROTOCOL_UDP ? udp_bind(&address, size, &proxy->listen_fd) : listen_at(&address, size, &proxy->listen_fd);
    if (result < 0)
        return result;
    size = sizeof(address);
    (void)getsockname(proxy->listen_fd, (struct sockaddr *)&address, &size);
    resolve_print((struct sockaddr *)&address, proxy->spec.listen, sizeof(proxy->spec.listen));
    listen_path((struct sockaddr *)&address, proxy->unlink_path, sizeof(proxy->unlink_path));
    return 0;
}

static int proxy_new(const struct injector *injector, const struct proxy_spec *spec, struct proxy **ret_proxy)
{
    AUTO_FREE struct proxy *proxy = calloc(1, sizeof(*proxy) + injector->limits.loops * sizeof(proxy->shares[0]));
    int result;

    if (!proxy)
        return -ENOMEM;
    proxy->spec = *spec;
    proxy->hash = rng_hash(spec->name);
    result = spec->flags & (PROXY_CAPTURES | PROXY_DETOURS) ? capture_listen(proxy) : listen_openly(proxy);
    if (result < 0)
        return result;
    if (!proxy->spec.idle_ns)
        proxy->spec.idle_ns = (uint64_t)PROXY_IDLE_NS;
    proxy->references = 1 + (spec->protocol == PROTOCOL_UDP ? 1 : injector->limits.loops);
    *ret_proxy = TAKE_PTR(proxy);
    return 0;
}

static bool spec_is_sound(const struct proxy_spec *spec)
{
    return spec->name[0] && !(spec->flags & ~(uint32_t)PROXY_FLAGS) && spec->protocol <= PROTOCOL_UDP &&
           (spec->protocol == PROTOCOL_TCP || !spec->flags) && strnlen(spec->name, sizeof(spec->name)) < sizeof(spec->name) &&
           strnlen(spec->listen, sizeof(spec->listen)) < sizeof(spec->listen) &&
           strnlen(spec->upstream, sizeof(spec->upstream)) < sizeof(spec->upstream) &&
           strnlen(spec->detours, sizeof(spec->detours)) < sizeof(spec->detours);
}

static void status_of(const struct injector *injector, const struct proxy *proxy, struct proxy_status *status)
{
    *status = (struct proxy_status){ .spec = proxy->spec, .held_bytes_max = injector->limits.hold_proxy_bytes_max };
    status->held_bytes = load(&proxy->held_bytes);
    status->held_bytes_peak = load(&proxy->held_bytes_peak);
    for (uint32_t i = 0; i < injector->limits.loops; i++) {
        const struct proxy_share *share = &proxy->shares[i];

        status->connections += __atomic_load_n(&share->connections, __ATOMIC_RELAXED);
        status->connections_open += __atomic_load_n(&share->connections_open, __ATOMIC_RELAXED);
        status->connects_failed += __atomic_load_n(&share->connects_failed, __ATOMIC_RELAXED);
        status->bytes_to_upstream += __atomic_load_n(&share->bytes[0], __ATOMIC_RELAXED);
        status->bytes_from_client += __atomic_load_n(&share->received[0], __ATOMIC_RELAXED);
        status->bytes_from_upstream += __atomic_load_n(&share->received[1], __ATOMIC_RELAXED);
        status->bulks += __atomic_load_n(&share->bulks, __ATOMIC_RELAXED);
        status->exchanges += __atomic_load_n(&share->exchanges, __ATOMIC_RELAXED);
        status->bytes_to_client += __atomic_load_n(&share->bytes[1], __ATOMIC_RELAXED);
        status->hold_full += __atomic_load_n(&share->hold_full, __ATOMIC_RELAXED);
        histogram_merge(&status->lateness, &share->lateness);
        udp_add_counts(status, share);
    }
}

int injector_open_proxy(struct injector *injector, const struct proxy_spec *spec, struct proxy_status *ret_status)
{
    struct proxy *proxy = NULL;
    uint32_t index = 0;
    int result;

    if (!spec_is_sound(spec))
        return -EINVAL;
    if (find_proxy(injector, spec->name))
        return -EEXIST;
    while (index < injector->limits.proxies_max && injector->proxies[index])
        index++;
    if (index == injector->limits.proxies_max)
        return -EMFILE;
    result = proxy_new(injector, spec, &proxy);
    if (result < 0)
        return result;
    proxy->index = index;
    injector->proxies[index] = proxy;
    result = ask_all(injector, LOOP_OPEN, NULL, proxy);
    if (result < 0)
        return result;
    result = injector->loops[index % injector->limits.loops].command_result;
    if (result < 0) {
        injector->proxies[index] = NULL;
        proxy_unref(proxy);
        return result;
    }
    status_of(injector, proxy, ret_status);
    return 0;
}

int injector_close_proxy(struct injector *injector, const char *name)
{
    struct proxy *proxy = find_proxy(injector, name);
    int result;

    if (!proxy)
        return -ENOENT;
    listen_remove(proxy->unlink_path);
    if (proxy->spec.protocol == PROTOCOL_TCP)
        (void)shutdown(proxy->listen_fd, SHUT_RDWR); /* refuses from here on */
    result = ask_all(injector, LOOP_CLOSE, NULL, proxy);
    if (result < 0)
        return result;
    injector->proxies[proxy->index] = NULL;
    proxy_unref(proxy);
    return 0;
}

size_t injector_proxy_status(const struct injector *injector, struct proxy_status *ret_list, size_t max)
{
    size_t count = 0;

    for (uint32_t i = 0; i < injector->limits.proxies_max; i++) {
        if (!injector->proxies[i])
            continue;
        if (count < max)
            status_of(injector, injector->proxies[i], &ret_list[count]);
        count++;
    }
    return count;
}

/* A part for each loop, kept: a loop that was asked and is late may write to it yet. */
static int make_room_for_lists(struct injector *injector)
{
    if (!injector->lists)
        injector->lists = calloc(injector->limits.loops, sizeof(struct connection_list *));
    for (uint32_t i = 0; injector->lists && i < injector->limits.loops; i++) {
        if (!injector->lists[i])
            injector->lists[i] = calloc(1, sizeof(struct connection_list));
        if (!injector->lists[i])
            return -ENOMEM;
    }
    return injector->lists ? 0 : -ENOMEM;
}

int injector_connections_list(struct injector *injector, const char *name, struct connection_status *ret_list, size_t max,
                              size_t *ret_count)
{
    struct proxy *proxy = find_proxy(injector, name);
    int result = proxy ? make_room_for_lists(injector) : -ENOENT;

    if (result >= 0)
        result = wait_all(injector);
    if (result < 0)
        return result;
    for (uint32_t i = 0; i < injector->limits.loops; i++)
        injector->loops[i].command_list = injector->lists[i];
    result = ask_all(injector, LOOP_LIST, NULL, proxy);
    if (result < 0)
        return result;
    *ret_count = connections_merge(injector->lists, injector->limits.loops, ret_list, max);
    return 0;
}

/* ---- plans ------------------------------------------------------------------------------------------------------------ */

static int check_rule(const struct injector *injector, const struct plan_rule *rule, struct buf *ret_why)
{
    const struct proxy *proxy = rule->scope[0] ? find_proxy(injector, rule->scope) : NULL;
    const struct fault_desc *fault = &fault_descs[rule->fault];

    if (!stream_registry[rule->fault] && !datagram_registry[rule->fault]) {
        buf_printf(ret_why, "the wire cannot carry out %s.%s (rule '%s')", layer_names[fault->layer], fault->name, rule->name);
        return -ENOTSUP;
    }
    if (rule->scope[0] && !proxy) {
        buf_printf(ret_why, "rule '%s' names the proxy '%s', which is not open", rule->name, rule->scope);
        return -ENOENT;
    }
    if (proxy && !datagram_registry[rule->fault] == (proxy->spec.protocol == PROTOCOL_UDP)) {
        buf_printf(ret_why, "%s.%s cannot act on proxy '%s', which speaks %s (rule '%s')", layer_names[fault->layer], fault->name, rule->scope,
                   proxy->spec.protocol == PROTOCOL_UDP ? "udp" : "tcp", rule->name);
        return -ENOTSUP;
    }
    return 0;
}

int injector_check(const struct injector *injector, const struct plan *plan, size_t size, struct buf *ret_why)
{
    int result = plan_check(plan, size);

    if (result < 0) {
        buf_puts(ret_why, "the plan's image is not sound");
        return result;
    }
    if (plan->epoch <= injector->epoch) {
        buf_printf(ret_why, "epoch %" PRIu64 " is not above the last, %" PRIu64, plan->epoch, injector->epoch);
        return -ESTALE;
    }
    for (uint32_t i = 0; i < plan->rule_count && result >= 0; i++)
        result = check_rule(injector, &plan->rules[i], ret_why);
    return result;
}

/* Every loop takes the plan up (NULL: none); what was in force stays as `counted`. */
static int replace_armed(struct injector *injector, struct armed *armed)
{
    int result = ask_all(injector, LOOP_ADOPT, armed, NULL);

    if (result < 0)
        return result; /* a loop may still look at either: both stay */
    if (injector->armed || armed) {
        armed_free(injector->counted);
        injector->counted = injector->armed;
        injector->armed = armed;
    }
    return 0;
}

int injector_publish(struct injector *injector, const struct plan *plan, size_t size, uint64_t ttl_ns)
{
    struct armed *armed;
    struct buf why;
    int result;

    buf_init(&why, 4096);
    result = injector_check(injector, plan, size, &why);
    buf_done(&why);
    if (result >= 0)
        result = armed_new(plan, injector->armed, stream_registry, clock_now_ns(), ttl_ns, injector->event_fd, &armed);
    if (result < 0)
        return result;
    injector->epoch = plan->epoch;
    return replace_armed(injector, armed);
}

int injector_renew(struct injector *injector, uint64_t epoch, uint64_t ttl_ns)
{
    int result = -ESTALE;

    if (injector->armed && injector->armed->plan->epoch == epoch)
        result = armed_renew(injector->armed, clock_now_ns(), ttl_ns);
    for (uint32_t i = 0; i < injector->limits.loops && result >= 0; i++)
        loop_wake(&injector->loops[i]);
    return result;
}

int injector_release(struct injector *injector, uint64_t epoch)
{
    injector->epoch = MAX(injector->epoch, epoch);
    return replace_armed(injector, NULL);
}

size_t injector_rule_status(const struct injector *injector, struct rule_status *ret_list, size_t max)
{
    const struct armed *armed = injector->armed ? injector->armed : injector->counted;

    for (uint32_t i = 0; armed && i < armed->count && i < max; i++) {
        const struct rule_live *live = armed->rules[i].live;

        ret_list[i] = (struct rule_status){
            .counts = { load(&live->counts.matched), load(&live->counts.eligible), load(&live->counts.fired),
                        load(&live->counts.skipped), load(&live->counts.first_ns), load(&live->counts.last_ns) },
            .in_flight = load(&live->held_bytes),
        };
        snprintf(ret_list[i].name, sizeof(ret_list[i].name), "%s", armed->rules[i].plan->name);
    }
    return armed ? armed->count : 0;
}

/* ---- events and facts ------------------------------------------------------------------------------------------------- */

int injector_event_fd(const struct injector *injector)
{
    return injector->event_fd;
}

static bool next_of_plan(struct armed *armed, struct event *event)
{
    for (uint32_t i = 0; armed && i < armed->count; i++) {
        struct rule_acted *acted = &armed->rules[i].acted;
        uint64_t ns = __atomic_load_n(&acted->ns, __ATOMIC_ACQUIRE);

        if (!ns || acted->told)
            continue;
        acted->told = true;
        event_init(event, EVENT_fault_acted, SOURCE_WIRE, ns, armed->rules[i].plan->name, NULL);
        event->epoch = armed->plan->epoch;
        event->number[0] = (int64_t)acted->stream;
        event->number[1] = (int64_t)acted->position;
        return true;
    }
    if (!armed || armed->expired_told || !__atomic_load_n(&armed->expired_ns, __ATOMIC_ACQUIRE))
        return false;
    armed->expired_told = true;
    event_init(event, EVENT_fault_expired, SOURCE_WIRE, armed->expired_ns, "wire", NULL);
    event->epoch = armed->plan->epoch;
    return true;
}

static bool next_of_proxy(const struct injector *injector, struct proxy *proxy, struct event *event)
{
    for (uint32_t i = 0; i < injector->limits.loops; i++) {
        const struct proxy_share *share = &proxy->shares[i];

        if (!__atomic_load_n(&share->hold_full, __ATOMIC_ACQUIRE) || load(&share->hold_full_epoch) <= proxy->hold_full_told)
            continue;
        proxy->hold_full_told = load(&share->hold_full_epoch);
        event_init(event, EVENT_hold_full, SOURCE_WIRE, load(&share->hold_full_ns), proxy->spec.name, NULL);
        event->epoch = proxy->hold_full_told;
        event->number[0] = (int64_t)load(&share->hold_full_bytes);
        return true;
    }
    return false;
}

bool injector_next_event(struct injector *injector, struct event *ret_event)
{
    struct event event;
    uint64_t drained;
    bool found;

    (void)!read(injector->event_fd, &drained, sizeof(drained)); /* before looking: what comes later wakes again */
    found = next_of_plan(injector->counted, &event) || next_of_plan(injector->armed, &event);
    for (uint32_t i = 0; i < injector->limits.proxies_max && !found; i++)
        if (injector->proxies[i])
            found = next_of_proxy(injector, injector->proxies[i], &event);
    if (found)
        *ret_event = event;
    return found;
}

bool injector_is_armed(const struct injector *injector)
{
    uint64_t deadline_ns = injector->armed ? __atomic_load_n(&injector->armed->deadline_ns, __ATOMIC_ACQUIRE) : 0;

    return deadline_ns > clock_now_ns();
}

uint64_t injector_spin_ns(const struct injector *injector)
{
    return injector->limits.spin_ns;
}

uint64_t injector_connections(const struct injector *injector)
{
    uint64_t open = 0;

    for (uint32_t i = 0; i < injector->limits.loops; i++)
        open += load(&injector->loops[i].connections_open);
    return open;
}

bool injector_is_quiet(const struct injector *injector)
{
    bool quiet = true;

    for (uint32_t i = 0; i < injector->limits.loops; i++) {
        uint64_t last_ns = load(&injector->loops[i].datagram_ns);

        quiet &= !last_ns || clock_now_ns() >= last_ns + DATAGRAM_QUIET_NS;
    }
    return quiet;
}

uint64_t injector_sessions(const struct injector *injector)
{
    uint64_t open = 0;

    for (uint32_t i = 0; i < injector->limits.proxies_max; i++)
        for (uint32_t loop = 0; injector->proxies[i] && injector->proxies[i]->spec.protocol == PROTOCOL_UDP && loop < injector->limits.loops; loop++)
            open += load(&injector->proxies[i]->shares[loop].connections_open);
    return open;
}

const char *injector_backend(const struct injector *injector)
{
    return injector->loops[0].ops->name;
}

uint64_t injector_loop_connections(const struct injector *injector, uint32_t loop)
{
    return load(&injector->loops[loop].connections_open);
}

uint32_t injector_loops(const struct injector *injector)
{
    return injector->limits.loops;
}

int injector_refusal(const struct injector *injector)
{
    return injector->refusal;
}

int injector_verify(const struct injector *injector, struct buf *ret_found)
{
    int result = 0;

    if (injector_is_armed(injector)) {
        buf_printf(ret_found, "the plan of epoch %" PRIu64 " is in force with %" PRIu32 " rules", injector->armed->plan->epoch,
                   injector->armed->count);
        result = -EBUSY;
    }
    for (uint32_t i = 0; i < injector->limits.proxies_max && !result; i++) {
        struct proxy_status status;

        if (!injector->proxies[i])
            continue;
        status_of(injector, injector->proxies[i], &status);
        if (!status.held_bytes)
            continue;
        buf_printf(ret_found, "proxy '%s' holds %" PRIu64 " bytes", status.spec.name, status.held_bytes);
        result = -EBUSY;
    }
    return result;
}
