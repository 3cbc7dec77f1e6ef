/* The turn of a loop and its slots. */
#include "injector/loop.h"

#include "injector/accept.h"
#include "injector/event.h"
#include "scenarios/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <unistd.h>

#define STARVED_STEP_NS (1 * NS_PER_MS)
#define STOP_STEP_NS (10 * NS_PER_MS)
#define START_TIMEOUT_MS 10000
#define STOP_TURNS_MAX 1000

/* ---- slots ------------------------------------------------------------------------------------------------------------ */

struct conn *loop_take_slot(struct loop *loop)
{
    struct conn *conn;
    uint32_t slot;

    if (loop->slots_free_count)
        slot = loop->slots_free[--loop->slots_free_count];
    else if (loop->slots_used < loop->limits.connections_max)
        slot = loop->slots_used++;
    else
        return NULL;
    conn = &loop->conns[slot];
    /* A freed slot may still stand in a list of its loop: the links stay. */
    *conn = (struct conn){
        .loop = loop,
        .slot = slot,
        .generation = conn->generation + 1,
        .dirty = conn->dirty,
        .next_dirty = conn->next_dirty,
        .starved = conn->starved,
        .next_starved = conn->next_starved,
    };
    __atomic_fetch_add(&loop->connections_open, 1, __ATOMIC_RELAXED);
    return conn;
}

void loop_give_slot(struct loop *loop, struct conn *conn)
{
    assert(!conn->inflight);
    conn->state = CONN_FREE;
    conn->proxy = NULL;
    loop->slots_free[loop->slots_free_count++] = conn->slot;
    __atomic_fetch_sub(&loop->connections_open, 1, __ATOMIC_RELAXED);
}

void loop_touch_proxy(struct loop *loop, const struct proxy *proxy)
{
    for (uint32_t i = 0; i < loop->slots_used; i++)
        if (loop->conns[i].state != CONN_FREE && loop->conns[i].proxy == proxy)
            conn_touch(&loop->conns[i]);
}

/* ---- plans ------------------------------------------------------------------------------------------------------------ */

static void adopt(struct loop *loop, struct armed *armed)
{
    loop->armed = armed;
    udp_adopt(loop->udp, armed);
    loop->boundary_ns = armed ? armed_next_boundary(armed, loop->now_ns) : UINT64_MAX;
    for (uint32_t i = 0; i < loop->slots_used; i++)
        if (loop->conns[i].state != CONN_FREE)
            conn_adopt(&loop->conns[i], armed);
}

/* The lease and the windows of the rules, looked at by this loop's own clock. */
static void look_at_time(struct loop *loop)
{
    if (!loop->armed)
        return;
    if (!armed_is_live(loop->armed, loop->now_ns)) {
        adopt(loop, NULL);
        return;
    }
    if (loop->now_ns < loop->boundary_ns)
        return;
    loop->boundary_ns = armed_next_boundary(loop->armed, loop->now_ns);
    udp_consider(loop->udp);
    for (uint32_t i = 0; i < loop->slots_used; i++)
        if (loop->conns[i].state != CONN_FREE)
            conn_consider(&loop->conns[i]);
}

/* ---- completions ------------------------------------------------------------------------------------------------------ */

static void completed(void *context, const struct io_completion *completion)
{
    struct loop *loop = context;
    enum operation operation = (enum operation)(completion->tag >> 60);
    int direction = (int)(completion->tag >> 56 & 1);
    uint32_t generation = (uint32_t)(completion->tag >> 32) & GENERATION_MASK;
    uint32_t slot = (uint32_t)completion->tag;
    struct conn *conn;
    uint64_t drained;

    if (loop->woke) {
        loop->woke = false;
        loop->now_ns = clock_now_ns();
        look_at_time(loop);
    }
    if (operation == OPERATION_WAKE) {
        (void)!read(loop->wake_fd, &drained, sizeof(drained));
        loop->answers_may_wait = true;
        if (!completion->more)
            loop->ops->readable(loop->io, completion->tag, loop->wake_fd);
        return;
    }
    if (operation == OPERATION_DATAGRAM) {
        udp_ready(loop->udp, completion->more);
        return;
    }
    if (operation == OPERATION_ACCEPT) {
        assert(loop->listeners[slot].proxy && (loop->listeners[slot].generation & GENERATION_MASK) == generation);
        accept_completed(loop, &loop->listeners[slot], completion);
        return;
    }
    conn = &loop->conns[slot];
    assert(slot < loop->slots_used && conn->state != CONN_FREE && (conn->generation & GENERATION_MASK) == generation);
    if (operation == OPERATION_RECV)
        link_received(conn, direction, completion);
    else if (operation == OPERATION_SEND)
        link_sent(conn, direction, completion->result);
    else if (operation == OPERATION_READABLE || operation == OPERATION_WRITABLE)
        bulk_ready(conn, direction, operation == OPERATION_WRITABLE);
    else
        conn_connect_done(conn, completion->result);
}

/* ---- commands --------------------------------------------------------------------------------------------------------- */

/* A UDP proxy lives on one loop. */
static void open_proxy(struct loop *loop, struct proxy *proxy)
{
    if (proxy->spec.protocol == PROTOCOL_TCP)
        accept_open(loop, proxy);
    else if (proxy->index % loop->limits.loops == loop->index)
        loop->command_result = udp_open(loop->udp, proxy);
}

static void close_proxy(struct loop *loop, const struct proxy *proxy)
{
    for (uint32_t i = 0; i < loop->slots_used; i++)
        if (loop->conns[i].state != CONN_FREE && loop->conns[i].proxy == proxy)
            conn_end(&loop->conns[i]);
    accept_close(loop, proxy);
}

static void stop(struct loop *loop)
{
    loop->stopping = true;
    accept_stop(loop);
    for (uint32_t i = 0; i < loop->slots_used; i++)
        if (loop->conns[i].state != CONN_FREE)
            conn_cut(&loop->conns[i]);
}

static void take_command(struct loop *loop)
{
    uint64_t asked = __atomic_load_n(&loop->command_asked, __ATOMIC_ACQUIRE);

    if (asked == loop->command_taken)
        return;
    loop->command_taken = asked;
    loop->command_result = 0;
    switch (loop->verb) {
    case LOOP_ADOPT:
        accept_take_handed(loop); /* never more than one plan behind its acceptor */
        loop->adoptions++;
        adopt(loop, loop->command_armed);
        break;
    case LOOP_OPEN:
        open_proxy(loop, loop->command_proxy);
        break;
    case LOOP_CLOSE:
        close_proxy(loop, loop->command_proxy);
        udp_close(loop->udp, loop->command_proxy);
        break;
    case LOOP_LIST:
        connections_fill(loop, loop->command_proxy, loop->command_list);
        break;
    case LOOP_STOP:
        stop(loop);
        break;
    case LOOP_NOTHING:
        break;
    }
}

static void acknowledge(struct loop *loop)
{
    if (loop->command_taken == loop->command_done || (loop->verb == LOOP_CLOSE && !accept_is_closed(loop, loop->command_proxy)))
        return;
    __atomic_store_n(&loop->command_done, loop->command_taken, __ATOMIC_RELEASE);
    event_tell(loop->ack_fd);
}

/* ---- the turn --------------------------------------------------------------------------------------------------------- */

static void run_timers(struct loop *loop)
{
    struct timer_node *node;

    while ((node = timer_pop_due(&loop->timers, loop->now_ns)))
        conn_touch((struct conn *)(void *)((char *)node - offsetof(struct conn, timer)));
    if (loop->accept_retry_ns && loop->now_ns >= loop->accept_retry_ns) {
        loop->accept_retry_ns = 0;
        accept_retry(loop);
    }
}

/* Upstream names that were looked up: the connection may have gone meanwhile. */
static void take_resolved(struct loop *loop)
{
    struct resolved resolved;

    if (!loop->answers_may_wait)
        return;
    loop->answers_may_wait = false;
    while (resolver_take(loop->resolver, &resolved)) {
        uint32_t slot = (uint32_t)resolved.tag;
        struct conn *conn = &loop->conns[slot];

        if (resolved.tag >> 60 == OPERATION_DATAGRAM)
            udp_resolved(loop->udp, &resolved);
        else if (conn->state != CONN_FREE && conn_tag(conn, OPERATION_CONNECT, 0) == resolved.tag)
            conn_resolved(conn, &resolved);
    }
}

static void feed_starved(struct loop *loop)
{
    struct conn *list = loop->starved;

    if (!list || (!loop->lacked_chunks && loop->now_ns < loop->starved_ns + STARVED_STEP_NS))
        return;
    loop->starved_ns = loop->now_ns;
    if (!loop->ops->can_recv(loop->io))
        return;
    loop->lacked_chunks = false;
    loop->starved = NULL;
    while (list) {
        struct conn *conn = list;

        list = conn->next_starved;
        conn->starved = false;
        conn_touch(conn);
    }
}

static void advance_dirty(struct loop *loop)
{
    while (loop->dirty) {
        struct conn *conn = loop->dirty;

        loop->dirty = conn->next_dirty;
        conn->dirty = false;
        conn_advance(conn);
    }
}

static uint64_t timeout_ns(const struct loop *loop)
{
    uint64_t due_ns = MIN(timer_next_ns(&loop->timers), udp_next_ns(loop->udp)), next_ns = loop->boundary_ns, now_ns;

    if (loop->armed)
        next_ns = MIN(next_ns, __atomic_load_n(&loop->armed->deadline_ns, __ATOMIC_RELAXED));
    if (loop->accept_retry_ns)
        next_ns = MIN(next_ns, loop->accept_retry_ns);
    if (loop->starved)
        next_ns = MIN(next_ns, loop->starved_ns + STARVED_STEP_NS);
    if (loop->stopping)
        next_ns = MIN(next_ns, loop->now_ns + STOP_STEP_NS);
    if (due_ns != UINT64_MAX)
        next_ns = MIN(next_ns, due_ns > loop->limits.spin_ns ? due_ns - loop->limits.spin_ns : 0);
    if (next_ns == UINT64_MAX)
        return UINT64_MAX;
    now_ns = clock_now_ns();
    return next_ns > now_ns ? next_ns - now_ns : 0; /* 0 spins: the next turn comes at once */
}

int loop_turn(struct loop *loop)
{
    int result;

    loop->woke = true;
    result = loop->ops->wait(loop->io, timeout_ns(loop), completed, loop);
    loop->now_ns = clock_now_ns();
    look_at_time(loop);
    take_command(loop);
    acknowledge(loop);
    accept_take_handed(loop);
    run_timers(loop);
    take_resolved(loop);
    feed_starved(loop);
    udp_turn(loop->udp);
    advance_dirty(loop);
    return result;
}

static void *run(void *context)
{
    struct loop *loop = context;
    int result = loop->ops->open(loop->pool, &loop->io);

    loop->start_result = result;
    loop->now_ns = clock_now_ns();
    if (result >= 0)
        loop->ops->readable(loop->io, tag_of(OPERATION_WAKE, 0, 0, 0), loop->wake_fd);
    __atomic_store_n(&loop->command_done, 1, __ATOMIC_RELEASE);
    event_tell(loop->ack_fd);
    if (result < 0)
        return NULL;
    while (!loop->stopping && result >= 0)
        result = loop_turn(loop);
    assert(result >= 0);
    for (int turns = 0; turns < STOP_TURNS_MAX && (loop->connections_open || !accept_is_stopped(loop)); turns++)
        (void)loop_turn(loop);
    loop->ops->close(loop->io);
    return NULL;
}

/* ---- the control thread's side ---------------------------------------------------------------------------------------- */

void loop_release(struct loop *loop)
{
    accept_drop_handed(loop);
    if (loop->conns)
        munmap(loop->conns, (size_t)loop->limits.connections_max * sizeof(*loop->conns));
    free(loop->slots_free);
    free(loop->listeners);
    timer_done(&loop->timers);
    bulk_pool_done(&loop->pipes);
    udp_free(loop->udp);
    loop->udp = NULL;
    resolver_free(loop->resolver);
    loop->resolver = NULL;
    pool_free(loop->pool);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    loop->wake_fd = -1;
    loop->conns = NULL;
    loop->slots_free = NULL;
    loop->listeners = NULL;
    loop->pool = NULL;
}

static int take_memory(struct loop *loop, struct pool_budget *budget)
{
    uint32_t slots = loop->limits.connections_max;

    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0)
        return -errno;
    loop->conns = mmap(NULL, (size_t)slots * sizeof(*loop->conns), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (loop->conns == MAP_FAILED)
        loop->conns = NULL;
    loop->slots_free = calloc(slots, sizeof(*loop->slots_free));
    loop->listeners = calloc(loop->limits.proxies_max, sizeof(*loop->listeners));
    if (!loop->conns || !loop->slots_free || !loop->listeners || timer_init(&loop->timers, slots) < 0)
        return -ENOMEM;
    if (udp_new(loop, &loop->udp) < 0)
        return -ENOMEM;
    if (resolver_new(loop->wake_fd, &loop->resolver) < 0)
        return -ENOMEM;
    return pool_new_shared(budget, &loop->pool);
}

static int start_thread(struct loop *loop)
{
    sigset_t all, before;
    int result;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the control thread's business */
    result = pthread_create(&loop->thread, NULL, run, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result)
        return -result;
    loop->started = true;
    while (!loop_is_done(loop)) {
        uint64_t drained;

        if (poll(&(struct pollfd){ .fd = loop->ack_fd, .events = POLLIN }, 1, START_TIMEOUT_MS) == 0)
            return -ETIMEDOUT;
        (void)!read(loop->ack_fd, &drained, sizeof(drained));
    }
    return loop->start_result;
}

int loop_prepare(struct loop *loop, uint32_t index, const struct injector_limits *limits, struct pool_budget *budget,
                 const struct io_ops *ops, int ack_fd)
{
    memset(loop, 0, sizeof(*loop));
    loop->index = index;
    loop->peers = loop - index;
    loop->limits = *limits;
    loop->limits.connections_max = (limits->connections_max + limits->loops - 1) / limits->loops;
    loop->ops = ops;
    loop->ack_fd = ack_fd;
    loop->wake_fd = -1;
    loop->boundary_ns = UINT64_MAX;
    loop->command_asked = loop->command_taken = 1; /* the start itself is the first command */
    handoff_init(&loop->handoff);
    return take_memory(loop, budget);
}

int loop_start(struct loop *loop, uint32_t index, const struct injector_limits *limits, struct pool_budget *budget,
               const struct io_ops *ops, int ack_fd)
{
    int result = loop_prepare(loop, index, limits, budget, ops, ack_fd);

    if (result >= 0)
        result = start_thread(loop);
    if (result >= 0)
        return 0;
    if (loop->started) { /* it did not say in time that it had begun: it may still */
        loop_ask(loop, LOOP_STOP, NULL, NULL);
        pthread_join(loop->thread, NULL);
    }
    loop->started = false;
    loop_release(loop);
    return result;
}

struct loop *loops_new(uint32_t count)
{
    struct loop *loops = aligned_alloc(_Alignof(struct loop), count * sizeof(*loops)); /* further than calloc(3) aligns */

    if (loops)
        memset(loops, 0, count * sizeof(*loops));
    return loops;
}

void loops_stop(struct loop *loops, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (loops[i].started)
            loop_ask(&loops[i], LOOP_STOP, NULL, NULL);
    for (uint32_t i = 0; i < count; i++)
        if (loops[i].started)
            pthread_join(loops[i].thread, NULL);
    for (uint32_t i = 0; i < count; i++) { /* until here each may have been handed something by another */
        if (loops[i].started)
            loop_release(&loops[i]);
        loops[i].started = false;
    }
}

void loop_wake(struct loop *loop)
{
    event_tell(loop->wake_fd);
}

void loop_ask(struct loop *loop, enum loop_verb verb, struct armed *armed, struct proxy *proxy)
{
    loop->verb = verb;
    loop->command_armed = armed;
    loop->command_proxy = proxy;
    __atomic_store_n(&loop->command_asked, loop->command_asked + 1, __ATOMIC_RELEASE);
    loop_wake(loop);
}

bool loop_is_done(const struct loop *loop)
{
    return __atomic_load_n(&loop->command_done, __ATOMIC_ACQUIRE) == loop->command_asked;
}
