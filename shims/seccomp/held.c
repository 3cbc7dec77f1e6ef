/* Calls that are not answered at once: delays, transfers that wait for their descriptor, redirected connects, and calls that the
 * kernel took back. One thread ends them all; any number sleeps at a time, up to HELD_MAX. Past that a call passes, as lost.
 *
 *     receiver -> held_sleep -> SLEEPING -> held_finish -> answer | WAITING -> held_finish | CONNECTING -> connector
 *     any of these -> LEFT when nobody waits for the answer -> held_resume (the call came again) | held_forget */
#include "shims/seccomp/supervisor.h"

#include "scenarios/base/clock.h"
#include "shims/seccomp/remote.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The program's thread-local memory is taken from it, and with too little left no thread is made (pthread_attr_setstacksize(3)). */
enum { CONNECTOR_STACK = 512 << 10 };

/* How often a held call is asked whether somebody still waits for it and no signal came; some microseconds a call. */
#define LOOK_NS (20 * NS_PER_MS)
#define LOOK_EACH_NS (NS_PER_MS / 2)

/* So much before something is due the holder is awake, at least and at most; learn_lead() says where between. */
#define LEAD_MIN_NS (20 * NS_PER_US)
#define LEAD_MAX_NS (150 * NS_PER_US)
#define LEAD_MARGIN_NS (10 * NS_PER_US)

/* What an epoll event is about: the kind above, a number below. */
enum tag { TAG_LISTENER = 1, TAG_WAKE, TAG_KEEPER, TAG_PROCESS, TAG_HELD };
#define TAGGED(tag, number) ((uint64_t)(tag) << 32 | (uint32_t)(number))

struct connector {
    struct supervisor *supervisor;
    size_t index;
    uint64_t ticket;
    int fd;
    struct sockaddr_storage address;
    socklen_t length;
};

static void watch(const struct supervisor *supervisor, int fd, uint32_t events, uint64_t tag)
{
    struct epoll_event event = { .events = events, .data.u64 = tag };

    if (fd >= 0)
        (void)epoll_ctl(supervisor->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* While a process is known to live the filter has a user. Only when none is, the listener is asked for its hang-up: whoever waits on
 * it beside the receiver is asked at every notification, which costs the target 0.1 us. */
static void watch_listener(const struct supervisor *supervisor)
{
    watch(supervisor, supervisor->listener, 0, TAGGED(TAG_LISTENER, 0)); /* its hang-up is told unasked */
}

static void watch_process(void *context, const struct process *process)
{
    struct supervisor *supervisor = context;

    watch(supervisor, process->pidfd, EPOLLIN, TAGGED(TAG_PROCESS, process->pid));
    if (process->pidfd >= 0)
        (void)epoll_ctl(supervisor->epoll_fd, EPOLL_CTL_DEL, supervisor->listener, NULL);
    else
        watch_listener(supervisor); /* its end will not be told */
}

static void forget_thread(void *context, struct thread *thread)
{
    held_forget(context, thread);
}

void held_begin(struct supervisor *supervisor)
{
    supervisor->tasks.on_process = watch_process;
    supervisor->tasks.on_gone = forget_thread;
    supervisor->tasks.context = supervisor;
    watch_listener(supervisor);
    watch(supervisor, supervisor->wake_fd, EPOLLIN, TAGGED(TAG_WAKE, 0));
    watch(supervisor, supervisor->keeper_fd, EPOLLIN, TAGGED(TAG_KEEPER, 0));
}

/* ---- places ----------------------------------------------------------------------------------------------------------- */

static struct held *place_take(struct supervisor *supervisor, struct call *call)
{
    struct held *held = NULL;
    size_t index = 0;

    if (call->thread->held >= 0) /* of a call that was interrupted and is not coming again */
        held_forget(supervisor, call->thread);
    while (index < HELD_MAX && supervisor->held[index].state != HELD_FREE)
        index++;
    if (index == HELD_MAX)
        return NULL;
    held = &supervisor->held[index];
    *held = (struct held){ .call = *call, .ticket = ++supervisor->tickets };
    held->call.occasion.context = &held->call;
    __atomic_store_n(&supervisor->shared->held[index], call->id, __ATOMIC_RELEASE);
    call->thread->held = (int)index;
    __atomic_fetch_add(&supervisor->held_count, 1, __ATOMIC_SEQ_CST);
    if (index >= supervisor->held_top)
        supervisor->held_top = index + 1;
    return held;
}

/* The descriptor's file lives on in the target, and with it what epoll knows of it: it has to be taken out by hand. */
static void place_close(struct supervisor *supervisor, struct held *held)
{
    if (held->call.fd >= 0)
        (void)epoll_ctl(supervisor->epoll_fd, EPOLL_CTL_DEL, held->call.fd, NULL);
    call_done(&held->call);
}

static void place_free(struct supervisor *supervisor, struct held *held)
{
    size_t index = (size_t)(held - supervisor->held);

    __atomic_store_n(&supervisor->shared->held[index], 0, __ATOMIC_RELEASE);
    held->call.thread->held = -1;
    place_close(supervisor, held);
    held->state = HELD_FREE;
    __atomic_fetch_sub(&supervisor->held_count, 1, __ATOMIC_SEQ_CST);
}

static void count_sleep(const struct held *held, int64_t change)
{
    struct control_process *process = held->call.thread->process->slot;

    if (process)
        __atomic_fetch_add(&process->asleep, change, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < held->call.ruling.sleeping_count; i++)
        __atomic_fetch_add(&held->call.ruling.sleeping[i]->in_flight, change, __ATOMIC_RELAXED);
}

static void wake_holder(struct supervisor *supervisor, uint64_t at_ns)
{
    const uint64_t one = 1;

    if (at_ns >= supervisor->next_wake_ns)
        return;
    supervisor->next_wake_ns = at_ns;
    (void)!write(supervisor->wake_fd, &one, sizeof(one));
}

/* Nobody waits for it any more: if it comes again it goes on in `state`. */
static void leave(struct supervisor *supervisor, struct held *held, enum held_state state)
{
    uint64_t now_ns = clock_now_ns();

    if (held->state == HELD_SLEEPING)
        count_sleep(held, -1);
    if (held->end_ns < now_ns)
        held->end_ns = now_ns;
    held->state = HELD_LEFT;
    held->left_state = state;
    place_close(supervisor, held);
    __atomic_store_n(&supervisor->shared->held[held - supervisor->held], 0, __ATOMIC_RELEASE);
    wake_holder(supervisor, held->end_ns + RETRY_NS);
}

void held_forget(struct supervisor *supervisor, struct thread *thread)
{
    struct held *held = thread->held >= 0 ? &supervisor->held[thread->held] : NULL;

    if (!held)
        return;
    if (held->state == HELD_SLEEPING)
        count_sleep(held, -1);
    place_free(supervisor, held);
}

/* ---- answering -------------------------------------------------------------------------------------------------------- */

static int send_answer(const struct supervisor *supervisor, uint64_t id, const struct answer *answer)
{
    return answer->given ? notify_answer(supervisor->listener, id, answer->error, answer->value) :
                           notify_continue(supervisor->listener, id);
}

/* Answers the call of a place, which is free then, or left when nobody waited. */
static void answer_place(struct supervisor *supervisor, struct held *held)
{
    if (send_answer(supervisor, held->call.id, &held->answer) == -ENOENT)
        leave(supervisor, held, HELD_FREE);
    else
        place_free(supervisor, held);
}

static void *connect_elsewhere(void *argument)
{
    struct connector *connector = argument;
    struct supervisor *supervisor = connector->supervisor;
    struct held *held = &supervisor->held[connector->index];
    int result = connect(connector->fd, (struct sockaddr *)&connector->address, connector->length) < 0 ? errno : 0;

    pthread_mutex_lock(&supervisor->lock);
    if (held->ticket == connector->ticket && (held->state == HELD_CONNECTING || held->state == HELD_LEFT)) {
        held->answer = (struct answer){ .given = true, .error = result };
        if (held->state == HELD_LEFT)
            held->left_state = HELD_FREE;
        else
            answer_place(supervisor, held);
    }
    pthread_mutex_unlock(&supervisor->lock);
    close(connector->fd);
    free(connector);
    return NULL;
}

/* Hands the descriptor to a connector. False: out of memory or threads, the call goes where it asked for. */
static bool start_connector(struct supervisor *supervisor, struct held *held)
{
    struct connector *connector = calloc(1, sizeof(*connector));
    pthread_attr_t attributes;
    pthread_t thread;
    int result;

    if (!connector)
        return false;
    connector->supervisor = supervisor;
    connector->index = (size_t)(held - supervisor->held);
    connector->ticket = held->ticket;
    if (!act_elsewhere(supervisor, &held->call, &connector->address, &connector->length)) {
        free(connector);
        return false;
    }
    connector->fd = held->call.fd;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, CONNECTOR_STACK);
    result = pthread_create(&thread, &attributes, connect_elsewhere, connector);
    pthread_attr_destroy(&attributes);
    if (result) {
        free(connector);
        return false;
    }
    held->call.fd = -1;
    held->state = HELD_CONNECTING;
    return true;
}

static void wait_ready(struct supervisor *supervisor, struct held *held, uint32_t events)
{
    struct epoll_event event = { .events = (events & POLLIN ? EPOLLIN : EPOLLOUT) | EPOLLONESHOT,
                                 .data.u64 = TAGGED(TAG_HELD, held - supervisor->held) };

    if (epoll_ctl(supervisor->epoll_fd, EPOLL_CTL_MOD, held->call.fd, &event) < 0 &&
        epoll_ctl(supervisor->epoll_fd, EPOLL_CTL_ADD, held->call.fd, &event) < 0) {
        judge_take_back(&held->call.ruling);
        held->answer = (struct answer){ .given = false };
        answer_place(supervisor, held);
        return;
    }
    held->state = HELD_WAITING;
    wake_holder(supervisor, clock_now_ns() + LOOK_NS);
}

/* The rest of the ruling of a place. */
static void go_on(struct supervisor *supervisor, struct held *held)
{
    uint32_t events;

    switch (act(supervisor, &held->call, &held->answer, &events)) {
    case OUTCOME_WAIT:
        wait_ready(supervisor, held, events);
        return;
    case OUTCOME_CONNECT:
        if (start_connector(supervisor, held))
            return;
        break;
    case OUTCOME_ANSWER:
        break;
    }
    answer_place(supervisor, held);
}

void held_finish(struct supervisor *supervisor, struct call *call)
{
    struct answer answer;
    struct held *held;
    uint32_t events;
    enum outcome outcome = act(supervisor, call, &answer, &events);

    if (outcome == OUTCOME_ANSWER && send_answer(supervisor, call->id, &answer) != -ENOENT) {
        call_done(call);
        return;
    }
    held = place_take(supervisor, call);
    if (!held) {
        __atomic_fetch_add(&supervisor->judge.counters->lost, 1, __ATOMIC_RELAXED);
        (void)notify_continue(supervisor->listener, call->id);
        call_done(call);
        return;
    }
    held->answer = answer;
    if (outcome == OUTCOME_ANSWER)
        leave(supervisor, held, HELD_FREE);
    else if (outcome == OUTCOME_WAIT)
        wait_ready(supervisor, held, events);
    else if (!start_connector(supervisor, held))
        answer_place(supervisor, held);
}

/* ---- sleeping --------------------------------------------------------------------------------------------------------- */

void held_sleep(struct supervisor *supervisor, struct call *call)
{
    struct held *held = place_take(supervisor, call);

    if (!held) {
        __atomic_fetch_add(&supervisor->judge.counters->lost, 1, __ATOMIC_RELAXED);
        held_finish(supervisor, call);
        return;
    }
    held->state = HELD_SLEEPING;
    held->end_ns = clock_now_ns() + (call->ruling.sleep_ns < SHIM_SLEEP_MAX_NS ? call->ruling.sleep_ns : SHIM_SLEEP_MAX_NS);
    count_sleep(held, 1);
    wake_holder(supervisor, held->end_ns);
    if (__atomic_load_n(&supervisor->judge.rules->generation, __ATOMIC_SEQ_CST) != call->ruling.generation)
        wake_holder(supervisor, 0); /* disarmed meanwhile, and the watcher saw nobody asleep */
}

bool held_resume(struct supervisor *supervisor, struct thread *thread, const struct seccomp_notif *again)
{
    struct held *held = thread->held >= 0 ? &supervisor->held[thread->held] : NULL;

    if (!held)
        return false;
    if (held->state != HELD_LEFT)
        leave(supervisor, held, held->state); /* the kernel took it back before the holder noticed */
    if (memcmp(&held->call.data, &again->data, sizeof(again->data)) != 0 || clock_now_ns() > held->end_ns + RETRY_NS)
        return false;
    held->call.id = again->id;
    __atomic_store_n(&supervisor->shared->held[thread->held], again->id, __ATOMIC_RELEASE);
    if (held->left_state == HELD_FREE) {
        answer_place(supervisor, held);
    } else if (held->left_state == HELD_SLEEPING) {
        held->state = HELD_SLEEPING;
        count_sleep(held, 1);
        wake_holder(supervisor, held->end_ns);
    } else if (held->left_state == HELD_CONNECTING) {
        held->state = HELD_CONNECTING;
    } else {
        go_on(supervisor, held);
    }
    return true;
}

/* The kernel does not end the wait for a signal by itself: the call is given back, so that the handler runs. It comes again, or
 * the program learns of EINTR. */
static void yield_to_signal(struct supervisor *supervisor, struct held *held)
{
    const struct thread *thread = held->call.thread;

    if (remote_has_signal(thread->process->pid, thread->tid) &&
        notify_answer(supervisor->listener, held->call.id, NOTIFY_RESTART, 0) == 0)
        leave(supervisor, held, held->state);
}

/* What is due of one place. Returns when to look at it again. */
static uint64_t look_at(struct supervisor *supervisor, struct held *held, uint64_t now_ns)
{
    const struct control_rules *rules = supervisor->judge.rules;
    uint64_t lease_ns = __atomic_load_n(&rules->lease_ns, __ATOMIC_ACQUIRE);
    bool is_over = now_ns >= lease_ns || __atomic_load_n(&rules->generation, __ATOMIC_ACQUIRE) != held->call.ruling.generation;
    uint64_t next_ns = now_ns + LOOK_NS;

    switch (held->state) {
    case HELD_SLEEPING:
        if (is_over || now_ns >= held->end_ns) {
            count_sleep(held, -1);
            held->state = HELD_WAITING; /* awake */
            go_on(supervisor, held);
            return next_ns;
        }
        next_ns = held->end_ns < next_ns ? held->end_ns : next_ns;
        next_ns = lease_ns < next_ns ? lease_ns : next_ns;
        break;
    case HELD_WAITING:
        if (is_over) {
            judge_take_back(&held->call.ruling);
            held->answer = (struct answer){ .given = false };
            answer_place(supervisor, held);
            return next_ns;
        }
        next_ns = lease_ns < next_ns ? lease_ns : next_ns;
        break;
    case HELD_LEFT:
        if (now_ns > held->end_ns + RETRY_NS && held->left_state != HELD_CONNECTING)
            place_free(supervisor, held);
        return next_ns;
    default:
        break;
    }
    if (now_ns >= held->look_ns) {
        held->look_ns = now_ns + LOOK_NS + supervisor->held_count * LOOK_EACH_NS;
        if (!notify_is_valid(supervisor->listener, held->call.id))
            leave(supervisor, held, held->state);
        else if (supervisor->shared->waits_killable)
            yield_to_signal(supervisor, held);
    }
    return next_ns;
}

/* Everything that is due. Returns when the next thing is: UINT64_MAX when nothing is held. */
static uint64_t look_at_all(struct supervisor *supervisor)
{
    uint64_t next_ns = UINT64_MAX, now_ns = clock_now_ns();

    for (size_t i = 0; i < supervisor->held_top; i++)
        if (supervisor->held[i].state != HELD_FREE) {
            uint64_t one_ns = look_at(supervisor, &supervisor->held[i], now_ns);

            next_ns = one_ns < next_ns ? one_ns : next_ns;
        }
    while (supervisor->held_top && supervisor->held[supervisor->held_top - 1].state == HELD_FREE)
        supervisor->held_top--;
    supervisor->next_wake_ns = next_ns;
    return next_ns;
}

/* What a processor at rest takes to wake would be added to every delay, and differs from machine to machine, and with what the
 * host does: so the holder is awake before by as much as it was woken late. Up at once, down slowly: the worst of late counts. */
static void learn_lead(struct supervisor *supervisor, uint64_t late_ns)
{
    uint64_t wanted_ns = late_ns + LEAD_MARGIN_NS;

    if (wanted_ns >= supervisor->lead_ns)
        supervisor->lead_ns = wanted_ns < LEAD_MAX_NS ? wanted_ns : LEAD_MAX_NS;
    else
        supervisor->lead_ns -= (supervisor->lead_ns - wanted_ns) / 64;
    if (supervisor->lead_ns < LEAD_MIN_NS)
        supervisor->lead_ns = LEAD_MIN_NS;
}

static int wait_events(struct supervisor *supervisor, uint64_t until_ns, struct epoll_event *events, int max)
{
    uint64_t now_ns = clock_now_ns(), wake_ns = until_ns - supervisor->lead_ns;
    bool is_asleep = until_ns > now_ns + supervisor->lead_ns;
    struct timespec wait = ns_timespec(is_asleep ? wake_ns - now_ns : 0);
    int count = (int)syscall(SYS_epoll_pwait2, supervisor->epoll_fd, events, max, until_ns == UINT64_MAX ? NULL : &wait, NULL, 0);

    if (!count && is_asleep)
        learn_lead(supervisor, clock_now_ns() - wake_ns);
    return count;
}

/* The keeper was killed: another one is made, a child of ours. It outlives us as the first did. */
static void replace_keeper(struct supervisor *supervisor)
{
    int own_fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    pid_t pid = own_fd < 0 ? -1 : fork();

    if (pid == 0)
        keeper_stand_by(supervisor->shared, supervisor->listener, own_fd);
    if (own_fd >= 0)
        close(own_fd);
    (void)epoll_ctl(supervisor->epoll_fd, EPOLL_CTL_DEL, supervisor->keeper_fd, NULL);
    close(supervisor->keeper_fd);
    supervisor->keeper_fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    watch(supervisor, supervisor->keeper_fd, EPOLLIN, TAGGED(TAG_KEEPER, 0));
}

/* False when the filter has no user any more. */
static bool take_event(struct supervisor *supervisor, const struct epoll_event *event)
{
    uint32_t number = (uint32_t)event->data.u64;
    uint64_t drained;

    switch (event->data.u64 >> 32) {
    case TAG_LISTENER:
        return !(event->events & (EPOLLHUP | EPOLLERR));
    case TAG_WAKE:
        (void)!read(supervisor->wake_fd, &drained, sizeof(drained));
        return true;
    case TAG_KEEPER:
        replace_keeper(supervisor);
        return true;
    case TAG_PROCESS:
        tasks_process_gone(&supervisor->tasks, (pid_t)number);
        if (!tasks_any(&supervisor->tasks))
            watch_listener(supervisor);
        return true;
    default:
        if (supervisor->held[number].state == HELD_WAITING)
            go_on(supervisor, &supervisor->held[number]);
        return true;
    }
}

void held_serve(struct supervisor *supervisor)
{
    struct epoll_event events[32];
    bool used = true;

    while (used) {
        uint64_t until_ns;
        int count;

        pthread_mutex_lock(&supervisor->lock);
        until_ns = look_at_all(supervisor);
        pthread_mutex_unlock(&supervisor->lock);
        count = wait_events(supervisor, until_ns, events, (int)(sizeof(events) / sizeof(events[0])));
        pthread_mutex_lock(&supervisor->lock);
        for (int i = 0; i < count && used; i++)
            used = take_event(supervisor, &events[i]);
        pthread_mutex_unlock(&supervisor->lock);
    }
    pthread_mutex_lock(&supervisor->lock);
    for (size_t i = 0; i < HELD_MAX; i++) /* nobody sleeps any more, and no process is left to list */
        if (supervisor->held[i].state == HELD_SLEEPING)
            count_sleep(&supervisor->held[i], -1);
    tasks_all_gone(&supervisor->tasks);
}
