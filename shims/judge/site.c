/* Call sites on which an each_site rule has acted: one table in the page, so that all processes under it share them. Lock-free: an
 * entry is claimed by compare-and-swap of its key, found again by that alone. Entries of an older publication are free. */
#include "shims/judge/judge.h"

#include "scenarios/base/rng.h"

#include <string.h>

enum { PROBES_MAX = 128 };

#define EPOCH_BITS UINT64_C(0xffff) /* of a key: so one look tells whether an entry is of this publication */

static uint64_t key_of(const struct judge_site *site, uint32_t rule, uint64_t epoch)
{
    uint64_t key = rng_mix(rng_mix(rng_hash(site->module), site->offset), rng_mix(epoch, rule));

    return (key & ~EPOCH_BITS) | (EPOCH_BITS + 1) | (epoch & EPOCH_BITS);
}

static void write_down(struct control_site *entry, const struct judge_site *site, uint32_t rule, const struct decide_event *event, uint64_t now_ns)
{
    entry->offset = site->offset;
    entry->rule = rule;
    entry->stream = event->stream;
    entry->position = event->position;
    memcpy(entry->module, site->module, sizeof(entry->module));
    entry->module[sizeof(entry->module) - 1] = '\0';
    __atomic_store_n(&entry->first_ns, now_ns, __ATOMIC_RELEASE);
}

/* Free, or of an older publication. */
static bool claim(struct control_site *entry, uint64_t old, uint64_t key, uint64_t epoch)
{
    if (old && (old & EPOCH_BITS) == (epoch & EPOCH_BITS))
        return false;
    if (!__atomic_compare_exchange_n(&entry->key, &old, key, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return false;
    __atomic_store_n(&entry->first_ns, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->epoch, epoch, __ATOMIC_RELEASE);
    return true;
}

bool judge_site_take(struct control_counters *counters, const struct judge_site *site, uint32_t rule, uint64_t epoch,
                     const struct decide_event *event, uint64_t now_ns)
{
    uint64_t key = key_of(site, rule, epoch);

    for (uint32_t probe = 0; probe < PROBES_MAX; probe++) {
        struct control_site *entry = &counters->sites[((key >> 20) + probe) % CONTROL_SITES_MAX];
        uint64_t found = __atomic_load_n(&entry->key, __ATOMIC_ACQUIRE);

        if (found == key)
            return false;
        if (claim(entry, found, key, epoch)) {
            write_down(entry, site, rule, event, now_ns);
            return true;
        }
        if (__atomic_load_n(&entry->key, __ATOMIC_ACQUIRE) == key) /* another thread at the same place was faster */
            return false;
    }
    __atomic_fetch_add(&counters->lost, 1, __ATOMIC_RELAXED);
    return false;
}
