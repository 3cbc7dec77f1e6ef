/* The loop of a load: plans, sends, gives up at deadlines, and waits. Order within a turn: sockets first, then deadlines, so that
 * an answer which is already here is never counted as a time-out. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "controller/load/load_priv.h"
#include "scenarios/base/clock.h"
#include "scenarios/base/rng.h"

/* Waiting at least REST_NS is a rest: there was nothing to do; a call that finds work returns in a few microseconds. */
enum { EVENTS_MAX = 256, SENDS_PER_TURN = 64, REST_NS = 20000 };

void load_count(atomic_uint_least64_t *counter, uint64_t more)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more, memory_order_release);
}

const struct load_request *load_request_of(const struct load *load, uint32_t slot)
{
    return &load->spec.mix[load->slots[slot].variant];
}

void load_take_bytes(struct load *load, uint32_t number, const char *bytes, size_t length)
{
    struct load_slot *slot = &load->slots[number];

    slot->bytes += length;
    slot->match_state = match_feed(&load->matches[slot->variant], slot->match_state, bytes, length);
    if (load->spec.mix[slot->variant].check)
        (void)buf_append(&slot->kept, bytes, length);
}

bool load_has_expected(const struct load *load, uint32_t slot)
{
    return load->slots[slot].match_state == load->matches[load->slots[slot].variant].length;
}

bool load_reply_is_good(const struct load *load, uint32_t number)
{
    const struct load_slot *slot = &load->slots[number];
    const struct load_request *request = &load->spec.mix[slot->variant];

    if (!load_has_expected(load, number))
        return false;
    return !request->check || (!slot->kept.failed && request->check(request->check_context, slot->kept.data, slot->kept.length));
}

uint64_t load_no_timer_ns(const struct load *load)
{
    (void)load;
    return UINT64_MAX;
}

void load_no_timer(struct load *load)
{
    (void)load;
}

static uint32_t choose_variant(const struct load *load, uint64_t index)
{
    uint64_t at;
    uint32_t variant = 0;

    if (load->spec.mix_count == 1)
        return 0;
    at = rng_below(rng_draw(load->spec.seed, load->name_hash, 3, index), load->weights);
    while (at >= load->spec.mix[variant].weight)
        at -= load->spec.mix[variant++].weight;
    return variant;
}

static uint64_t planned_at_ns(const struct load *load, uint64_t index)
{
    uint64_t offset_ns = load->spec.plan(load->spec.plan_context, index);

    return offset_ns > UINT64_MAX - load->start_ns ? UINT64_MAX : load->start_ns + offset_ns;
}

void load_record(struct load *load, const struct load_record *record)
{
    if (!records_append(&load->records, record))
        load_count(&load->counts.unrecorded, 1);
    load_count(&load->counts.outcomes[record->outcome], 1);
}

void load_finish(struct load *load, uint32_t slot_number, enum load_outcome outcome, uint16_t http_code)
{
    struct load_slot *slot = &load->slots[slot_number];
    uint64_t now_ns = clock_now_ns();

    if (now_ns > slot->planned_ns + load->spec.timeout_ns)
        outcome = LOAD_TIMEOUT;
    load_record(load, &(struct load_record){ .planned_ns = slot->planned_ns,
                                        .sent_ns = slot->sent_ns,
                                        .done_ns = now_ns,
                                        .index = slot->index,
                                        .bytes = slot->bytes < UINT32_MAX ? (uint32_t)slot->bytes : UINT32_MAX,
                                        .http_code = http_code,
                                        .outcome = (uint8_t)outcome });
    if (slot->previous != LOAD_NO_SLOT)
        load->slots[slot->previous].next = slot->next;
    else
        load->flight_first = slot->next;
    if (slot->next != LOAD_NO_SLOT)
        load->slots[slot->next].previous = slot->previous;
    else
        load->flight_last = slot->previous;
    if (slot->kept.capacity)
        buf_done(&slot->kept);
    slot->next = load->free_first;
    load->free_first = slot_number;
}

static void send_next(struct load *load, uint64_t now_ns)
{
    uint32_t number = load->free_first;
    struct load_slot *slot = &load->slots[number];

    load->free_first = slot->next;
    *slot = (struct load_slot){ .planned_ns = planned_at_ns(load, load->next_send), .sent_ns = now_ns,
                                .index = (uint32_t)load->next_send, .variant = choose_variant(load, load->next_send), .previous = load->flight_last, .next = LOAD_NO_SLOT };
    buf_init(&slot->kept, LOAD_KEPT_MAX);
    if (load->flight_last != LOAD_NO_SLOT)
        load->slots[load->flight_last].next = number;
    else
        load->flight_first = number;
    load->flight_last = number;
    load->next_send++;
    load_count(&load->counts.sent, 1);
    load->backend->send(load, number);
}

/* Sends or drops what waits, oldest first, as far as slots reach. */
static void serve_waiting(struct load *load)
{
    while (load->next_send < load->next_plan) {
        uint64_t now_ns = clock_now_ns();
        uint64_t planned_ns = planned_at_ns(load, load->next_send);
        if (load_is_shed(load, load->next_send, planned_ns)) {
            load->next_send++;
        } else if (now_ns > planned_ns + load->spec.timeout_ns) {
            load_record(load, &(struct load_record){ .planned_ns = planned_ns, .done_ns = now_ns, .index = (uint32_t)load->next_send,
                                                .outcome = LOAD_DROPPED });
            load->next_send++;
        } else if (load->free_first != LOAD_NO_SLOT) {
            send_next(load, now_ns);
        } else {
            return;
        }
    }
}

void load_note_lateness(struct load *load, uint64_t lateness_ns)
{
    if (lateness_ns > load->spec.late_after_ns)
        load_count(&load->counts.late, 1);
    if (lateness_ns > atomic_load_explicit(&load->counts.lateness_max_ns, memory_order_relaxed))
        atomic_store_explicit(&load->counts.lateness_max_ns, lateness_ns, memory_order_release);
}

/* All connections taken by a loop that has not come to rest for a bin: the generator, not the system, holds the request up. */
static bool is_saturated(const struct load *load, uint64_t now_ns)
{
    return load->free_first == LOAD_NO_SLOT && load->next_send < load->next_plan &&
           now_ns - load->rested_ns > load->spec.late_after_ns;
}

/* Takes up what is due, a bounded number a turn. Returns the instant of the next one, UINT64_MAX when the plan has ended. */
static uint64_t take_due(struct load *load)
{
    for (int i = 0;; i++) {
        uint64_t planned_ns = planned_at_ns(load, load->next_plan);
        uint64_t now_ns = clock_now_ns();
        if (planned_ns > atomic_load(&load->stop_ns) || planned_ns == UINT64_MAX)
            return UINT64_MAX;
        if (planned_ns > now_ns || i == SENDS_PER_TURN)
            return planned_ns;
        bool shed = load_is_shed(load, load->next_plan, planned_ns);
        load->next_plan++;
        load_count(&load->counts.planned, !shed);
        if (!shed)
            load_bins_add(&load->bins, planned_ns - load->start_ns);
        serve_waiting(load);
        if (!shed)
            load_note_lateness(load, is_saturated(load, now_ns) ? now_ns - load->rested_ns : now_ns - planned_ns);
    }
}

static void expire(struct load *load)
{
    while (load->flight_first != LOAD_NO_SLOT) {
        uint32_t slot = load->flight_first;
        if (clock_now_ns() <= load->slots[slot].planned_ns + load->spec.timeout_ns)
            return;
        load->backend->cancel(load, slot);
        load_finish(load, slot, LOAD_TIMEOUT, 0);
    }
}

static void wait_for_events(struct load *load, uint64_t until_ns)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now_ns = clock_now_ns();
    struct timespec left = ns_timespec(until_ns > now_ns ? until_ns - now_ns : 0);
    int count = epoll_pwait2(load->epoll_fd, events, EVENTS_MAX, until_ns == UINT64_MAX ? NULL : &left, NULL);

    if (clock_now_ns() - now_ns >= REST_NS)
        load->rested_ns = clock_now_ns();
    for (int i = 0; i < count; i++) {
        if (events[i].data.u64 == LOAD_WAKE_KEY) {
            uint64_t ignored;
            (void)!read(load->wake_fd, &ignored, sizeof(ignored));
        } else {
            load->backend->on_event(load, events[i].data.u64, events[i].events);
        }
    }
}

static uint64_t earliest(uint64_t a_ns, uint64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

static void own_loop(struct load *load)
{
    load->rested_ns = clock_now_ns();
    for (;;) {
        expire(load);
        serve_waiting(load);
        uint64_t until_ns = take_due(load);
        if (load->backend->timer_ns(load) <= clock_now_ns()) {
            load->backend->on_timer(load);
            serve_waiting(load); /* it may have freed slots */
        }
        bool idle = load->flight_first == LOAD_NO_SLOT && load->next_send == load->next_plan;
        if (until_ns == UINT64_MAX && idle)
            return;
        until_ns = earliest(until_ns, load->backend->timer_ns(load));
        if (load->flight_first != LOAD_NO_SLOT)
            until_ns = earliest(until_ns, load->slots[load->flight_first].planned_ns + load->spec.timeout_ns + 1);
        if (load->next_send < load->next_plan)
            until_ns = earliest(until_ns, planned_at_ns(load, load->next_send) + load->spec.timeout_ns + 1);
        wait_for_events(load, until_ns);
    }
}

void *load_loop(void *argument)
{
    struct load *load = argument;

    (void)prctl(PR_SET_NAME, "perturb-load");
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    (load->backend->loop ? load->backend->loop : own_loop)(load);
    atomic_store(&load->over, true);
    return NULL;
}
