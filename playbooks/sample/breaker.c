/* A circuit breaker; see breaker.h for its states. */
#include "playbooks/sample/breaker.h"

#include <string.h>

void breaker_init(struct breaker *breaker, uint64_t open_ns)
{
    *breaker = (struct breaker){ .open_ns = open_ns };
    pthread_mutex_init(&breaker->lock, NULL);
}

static void enter(struct breaker *breaker, enum breaker_state state, uint64_t now_ns)
{
    breaker->state = state;
    breaker->entered[state]++;
    breaker->probing = false;
    breaker->probes_good = 0;
    breaker->calls = breaker->failures = breaker->next = 0;
    memset(breaker->failed, 0, sizeof(breaker->failed));
    if (state == BREAKER_OPEN)
        breaker->opened_at_ns = now_ns;
}

bool breaker_allows(struct breaker *breaker, uint64_t now_ns)
{
    bool allowed = true;

    pthread_mutex_lock(&breaker->lock);
    if (breaker->state == BREAKER_OPEN && now_ns >= breaker->opened_at_ns + breaker->open_ns)
        enter(breaker, BREAKER_HALF_OPEN, now_ns);
    if (breaker->state == BREAKER_OPEN || (breaker->state == BREAKER_HALF_OPEN && breaker->probing))
        allowed = false;
    if (breaker->state == BREAKER_HALF_OPEN && allowed)
        breaker->probing = true;
    pthread_mutex_unlock(&breaker->lock);
    return allowed;
}

static void window_add(struct breaker *breaker, bool failed)
{
    breaker->failures += (unsigned)failed - (unsigned)breaker->failed[breaker->next];
    breaker->failed[breaker->next] = failed;
    breaker->next = (breaker->next + 1) % BREAKER_WINDOW;
    if (breaker->calls < BREAKER_WINDOW)
        breaker->calls++;
}

void breaker_report(struct breaker *breaker, bool good, uint64_t now_ns)
{
    pthread_mutex_lock(&breaker->lock);
    if (breaker->state == BREAKER_CLOSED) {
        window_add(breaker, !good);
        if (breaker->calls >= BREAKER_CALLS_MIN && breaker->failures * 2 >= breaker->calls)
            enter(breaker, BREAKER_OPEN, now_ns);
    } else if (breaker->state == BREAKER_HALF_OPEN && !good) {
        enter(breaker, BREAKER_OPEN, now_ns);
    } else if (breaker->state == BREAKER_HALF_OPEN) {
        breaker->probing = false;
        if (++breaker->probes_good >= BREAKER_PROBES)
            enter(breaker, BREAKER_CLOSED, now_ns);
    }
    /* BREAKER_OPEN: a call begun before it opened; its outcome is no news */
    pthread_mutex_unlock(&breaker->lock);
}

void breaker_read(struct breaker *breaker, enum breaker_state *ret_state, uint64_t ret_entered[3])
{
    pthread_mutex_lock(&breaker->lock);
    *ret_state = breaker->state;
    memcpy(ret_entered, breaker->entered, sizeof(breaker->entered));
    pthread_mutex_unlock(&breaker->lock);
}

const char *breaker_state_name(enum breaker_state state)
{
    static const char *const names[] = { "closed", "open", "half_open" };

    return names[state];
}
