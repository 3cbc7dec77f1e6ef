/* The armed path. Rules are read from a page that another process writes: each is copied, then the page's generation is looked
 * at again, then the copy is checked (control.h rules 2 and 7). */
#include "shims/judge/call_fault.h"

#include "scenarios/vocab/decide.h"

#include <netinet/in.h>
#include <string.h>

enum { TRIES_MAX = 4, PATH_ROOM = 512 };

/* What was asked about the call: each at most once, however many rules want to know. */
struct known {
    bool has_path, has_caller, has_symbol, has_thread, has_peer;
    const char *path, *caller, *symbol, *thread;
    const struct sockaddr *peer;
    char path_room[PATH_ROOM], caller_room[PATH_ROOM / 2], symbol_room[PATH_ROOM / 2], thread_room[RULE_THREAD_MAX];
    struct sockaddr_storage peer_room;
};

/* One look at the page, for one call. */
struct view {
    const struct judge *judge;
    const struct control_image *image;
    struct control_count *counts;
    uint32_t generation;
    uint64_t now_ns;
    uint64_t seed, epoch, armed_ns;
    struct known known;
};

static bool still_valid(const struct view *view)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&view->judge->rules->generation, __ATOMIC_RELAXED) == view->generation;
}

static bool view_take(struct view *view)
{
    const struct control_rules *rules = view->judge->rules;
    struct control_counters *counters = view->judge->counters;

    for (int attempt = 0; attempt < TRIES_MAX; attempt++) {
        view->generation = __atomic_load_n(&rules->generation, __ATOMIC_ACQUIRE);
        view->image = &rules->image[view->generation & 1];
        view->counts = counters->counts[view->generation & 1];
        view->seed = view->image->seed;
        view->epoch = view->image->epoch;
        view->armed_ns = view->image->armed_ns;
        if (still_valid(view))
            return true;
    }
    __atomic_fetch_add(&counters->lost, 1, __ATOMIC_RELAXED);
    return false;
}

/* Copies a rule and makes it safe to evaluate. */
static bool rule_copy(const struct view *view, uint32_t index, struct plan_rule *ret_rule)
{
    struct selector *selector = &ret_rule->selector;

    *ret_rule = view->image->rules[index];
    if (!still_valid(view))
        return false;
    selector->path[RULE_PATH_MAX - 1] = '\0';
    selector->thread[RULE_THREAD_MAX - 1] = '\0';
    selector->caller[RULE_CALLER_MAX - 1] = '\0';
    selector->host[RULE_HOST_MAX - 1] = '\0';
    selector->label[RULE_LABEL_MAX - 1] = '\0';
    return ret_rule->fault < FAULT_COUNT && selector->nth && selector->first && selector->peer.prefix_bits <= 128 &&
           selector->client.prefix_bits <= 128;
}

/* A read on anything but a socket is no recv, a write no send. */
void judge_settle(const struct judge_facts *facts, struct occasion *occasion)
{
    const uint32_t reading = POINT_BIT(read) | POINT_BIT(recv), writing = POINT_BIT(write) | POINT_BIT(send);

    if (occasion->kind)
        return;
    occasion->kind = facts->kind(occasion);
    if (occasion->kind >= KIND_PACKETS)
        return;
    if ((occasion->points & reading) == reading)
        occasion->points &= ~(uint32_t)POINT_BIT(recv);
    if ((occasion->points & writing) == writing)
        occasion->points &= ~(uint32_t)POINT_BIT(send);
}

static bool is_ambiguous(uint32_t points)
{
    const uint32_t reading = POINT_BIT(read) | POINT_BIT(recv), writing = POINT_BIT(write) | POINT_BIT(send);

    return (points & reading) == reading || (points & writing) == writing;
}

/* What could not act on this call is not a match. */
static bool fault_applies(const struct judge_facts *facts, const struct plan_rule *rule, struct occasion *occasion)
{
    const struct call_ops *ops = call_ops_of(rule->fault);

    if (is_ambiguous(occasion->points) && (rule->points & (POINT_BIT(recv) | POINT_BIT(send))))
        judge_settle(facts, occasion);
    return ops && (rule->points & occasion->points) && (!ops->applies || ops->applies(facts, rule, occasion));
}

/* ---- what is known of the call ---------------------------------------------------------------------------------------- */

static const char *known_path(const struct judge_facts *facts, struct known *known, const struct occasion *occasion)
{
    if (!known->has_path)
        known->path = facts->path(occasion, known->path_room, sizeof(known->path_room));
    known->has_path = true;
    return known->path;
}

/* A rule asks for the caller's module or for its function. The pattern has at least RULE_CALLER_MAX bytes. */
static bool asks_symbol(const char pattern[RULE_CALLER_MAX])
{
    static const char prefix[] = "symbol:";

    return !memcmp(pattern, prefix, sizeof(prefix) - 1);
}

static const char *known_symbol(const struct judge_facts *facts, struct known *known, const void *caller)
{
    if (!known->has_symbol)
        known->symbol = facts->symbol(caller, known->symbol_room, sizeof(known->symbol_room));
    known->has_symbol = true;
    return known->symbol;
}

static const char *known_module(const struct judge_facts *facts, struct known *known, const void *caller)
{
    if (!known->has_caller)
        known->caller = facts->caller(caller, known->caller_room, sizeof(known->caller_room));
    known->has_caller = true;
    return known->caller;
}

static const char *known_caller(const struct judge_facts *facts, struct known *known, const void *caller, const char *pattern)
{
    return asks_symbol(pattern) ? known_symbol(facts, known, caller) : known_module(facts, known, caller);
}

static const char *known_thread(const struct judge_facts *facts, struct known *known, const struct occasion *occasion)
{
    if (!known->has_thread)
        known->thread = facts->thread(occasion, known->thread_room);
    known->has_thread = true;
    return known->thread;
}

static const struct sockaddr *known_peer(const struct judge_facts *facts, struct known *known, const struct occasion *occasion)
{
    if (!known->has_peer)
        known->peer = facts->peer(occasion, &known->peer_room);
    known->has_peer = true;
    return known->peer;
}

/* ---- one rule ---------------------------------------------------------------------------------------------------------- */

/* Most rules at a point are not about this call, so each is looked at where it lies first: a few words of it instead of the whole.
 * What passes is copied and judged whole. What does not would not have matched, unless the page changed under the look, and then
 * the call is one that came before the change was complete. */
static inline bool numbers_match(const struct selector *selector, int call_fd, uint64_t size)
{
    int32_t fd = __atomic_load_n(&selector->fd, __ATOMIC_RELAXED);

    return (fd < 0 || fd == call_fd) && size >= selector->size_min && size <= selector->size_max;
}

/* As much of a text as there is, which is mostly one line of the cache, and an end in any case. */
static void text_copy(char *copy, const char *text, size_t size)
{
    const uint64_t low = UINT64_C(0x0101010101010101), high = UINT64_C(0x8080808080808080);

    for (size_t done = 0; done + sizeof(low) <= size; done += sizeof(low)) {
        uint64_t word;

        memcpy(&word, text + done, sizeof(word));
        memcpy(copy + done, &word, sizeof(word));
        if ((word - low) & ~word & high) /* one of its bytes is 0 */
            return;
    }
    copy[size - 1] = '\0';
}

/* Most texts part from a pattern before it says anything but letters: then they do not match, and it need not be copied. */
static inline bool parts_early(const char *pattern, size_t size, const char *text)
{
    if (!text)
        return false;
    for (size_t i = 0; i < size; i++) {
        char letter = __atomic_load_n(&pattern[i], __ATOMIC_RELAXED);

        if (letter != text[i])
            return letter && letter != '*' && letter != '?' && letter != '\\';
        if (!letter || letter == '*' || letter == '\\')
            return false;
    }
    return false;
}

_Static_assert(RULE_PATH_MAX % 8 == 0 && RULE_CALLER_MAX % 8 == 0 && RULE_LABEL_MAX % 8 == 0, "texts are copied by words");

static bool path_may_match(const struct selector *selector, const char *path)
{
    char pattern[RULE_PATH_MAX];

    if (parts_early(selector->path, sizeof(selector->path), path))
        return selector->path_negate != 0;
    text_copy(pattern, selector->path, sizeof(pattern));
    return text_matches(pattern, selector->path_negate, path);
}

static bool caller_may_match(const struct judge_facts *facts, const struct selector *selector, struct known *known, const void *caller)
{
    char pattern[RULE_CALLER_MAX];

    if (__atomic_load_n(selector->caller, __ATOMIC_RELAXED) != 's' &&
        parts_early(selector->caller, sizeof(selector->caller), known_module(facts, known, caller)))
        return selector->caller_negate != 0;
    text_copy(pattern, selector->caller, sizeof(pattern));
    return text_matches(pattern, selector->caller_negate, known_caller(facts, known, caller, pattern));
}

static bool label_may_match(const struct selector *selector, const char *label)
{
    char pattern[RULE_LABEL_MAX];

    text_copy(pattern, selector->label, sizeof(pattern));
    return text_matches(pattern, selector->label_negate, label);
}

static bool peer_may_match(const struct selector *selector, const struct sockaddr *peer)
{
    struct address_match match = selector->peer;

    return match.prefix_bits <= 128 && address_matches(&match, peer);
}

/* All that has a value of its own: in this order, because the last two may have to ask the kernel. */
static bool texts_may_match(const struct judge_facts *facts, const struct selector *selector, struct known *known,
                            const struct occasion *occasion)
{
    return (!selector->label[0] || label_may_match(selector, occasion->label)) &&
           (!selector->caller[0] || caller_may_match(facts, selector, known, occasion->caller)) &&
           (!selector->path[0] || !occasion->path || path_may_match(selector, known_path(facts, known, occasion))) &&
           (!selector->peer.present || peer_may_match(selector, known_peer(facts, known, occasion)));
}

/* In lower case, without the root's dot. NULL when it is longer than a name may be. */
static const char *host_of(const struct occasion *occasion, char *room, size_t size)
{
    size_t length = occasion->host ? strnlen(occasion->host, size) : size;

    if (length >= size)
        return NULL;
    for (size_t i = 0; i <= length; i++)
        room[i] = (char)(occasion->host[i] >= 'A' && occasion->host[i] <= 'Z' ? occasion->host[i] + 'a' - 'A' : occasion->host[i]);
    if (length && room[length - 1] == '.')
        room[length - 1] = '\0';
    return room;
}

static bool selectors_match(struct view *view, const struct plan_rule *rule, const struct occasion *occasion,
                            struct decide_event *event)
{
    const struct judge_facts *facts = view->judge->facts;
    const struct selector *selector = &rule->selector;
    struct known *known = &view->known;
    char host[PATH_ROOM / 2];

    event->points = occasion->points;
    event->fd = occasion->fd;
    event->size = occasion->size;
    event->path = selector->path[0] ? known_path(facts, known, occasion) : NULL;
    event->caller = selector->caller[0] ? known_caller(facts, known, occasion->caller, selector->caller) : NULL;
    event->peer = selector->peer.present ? known_peer(facts, known, occasion) : NULL;
    event->thread = selector->thread[0] ? known_thread(facts, known, occasion) : NULL;
    event->label = occasion->label;
    event->host = selector->host[0] ? host_of(occasion, host, sizeof(host)) : NULL;
    return decide_matches(rule, event);
}

static void count_one(uint64_t *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* The part of a rule's counts that is this process's. */
static struct control_share *share_of(const struct view *view, uint32_t index)
{
    struct control_process *process = view->judge->process;

    return process && index < CONTROL_SHARES_MAX ? &process->shares[view->generation & 1][index] : NULL;
}

/* The one that claims first_position tells where; first_ns comes last, so that whoever reads it finds the rest. */
static void stamp(struct control_count *count, const struct decide_event *event, uint64_t now_ns)
{
    uint64_t none = 0;

    __atomic_store_n(&count->last_ns, now_ns, __ATOMIC_RELAXED);
    if (__atomic_load_n(&count->first_position, __ATOMIC_RELAXED) ||
        !__atomic_compare_exchange_n(&count->first_position, &none, event->position, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return;
    count->first_stream = event->stream;
    __atomic_store_n(&count->first_ns, now_ns, __ATOMIC_RELEASE);
}

/* True also of a rule that does not ask. The site is the last thing that is asked for: it is taken for good. */
static bool takes_site(const struct view *view, uint32_t index, const struct plan_rule *rule, const struct occasion *occasion,
                       const struct decide_event *event)
{
    struct judge_site site;

    if (!rule->selector.each_site)
        return true;
    memset(&site, 0, sizeof(site));
    return view->judge->facts->site(occasion, &site) &&
           judge_site_take(view->judge->counters, &site, index, view->epoch, event, view->now_ns);
}

/* Where the thread stands: the count of its matches or, of a fault that acts by turns, the turn. False: no match after all. */
static bool take_position(const struct view *view, uint32_t index, const struct plan_rule *rule, struct decide_event *event)
{
    const struct judge_facts *facts = view->judge->facts;
    const struct call_ops *ops = call_ops_of(rule->fault);

    if (ops->turn) {
        event->position = ops->turn(rule, event->since_arm_ns);
        return event->position && facts->turn(event->stream, index, view->epoch, event->position);
    }
    event->position = facts->ordinal(event->stream, index, view->epoch);
    if (!event->position)
        count_one(&view->judge->counters->lost);
    return event->position != 0;
}

static void consider(struct view *view, uint32_t index, const struct plan_rule *rule, struct occasion *occasion,
                     struct ruling *ruling)
{
    const struct judge_facts *facts = view->judge->facts;
    struct control_count *count = &view->counts[index];
    struct control_share *share = share_of(view, index);
    struct decide_event event = { .since_arm_ns = view->now_ns - view->armed_ns };
    const struct call_ops *ops = call_ops_of(rule->fault);
    struct call_firing firing;
    enum decision decision;
    bool ended;

    if (!fault_applies(facts, rule, occasion) || !selectors_match(view, rule, occasion, &event))
        return;
    event.stream = facts->stream(occasion);
    if (!take_position(view, index, rule, &event))
        return;
    count_one(&count->matched);
    if (share)
        count_one(&share->matched);
    decision = decide_fires(rule, view->seed, &event, event.position);
    if (decision == DECIDE_NOT_ELIGIBLE)
        return;
    count_one(&count->eligible);
    if (decision != DECIDE_FIRE)
        return;
    firing = (struct call_firing){ rule, occasion, &event, view->seed, count, facts, 0 };
    ended = (ruling->error || ruling->fake || ruling->torn.count) && ops->ends_call;
    if (!ended && ops->bites && !ops->bites(&firing, ruling))
        return;
    if (ended || !takes_site(view, index, rule, occasion, &event) || !decide_take(rule, &count->fired)) {
        count_one(&count->skipped); /* another rule has ended the call already, the site has had its turn, or the budget is spent */
        return;
    }
    if (share)
        count_one(&share->fired);
    stamp(count, &event, view->now_ns);
    if (!rule->selector.observe)
        ops->act(&firing, ruling);
    if (ruling->acting == count)
        ruling->acting_share = share;
    if (ruling->holding_count && ruling->holding[ruling->holding_count - 1] == count)
        ruling->holding_share[ruling->holding_count - 1] = share;
}

/* The first rule that may match is where the clock is looked at: a call that no rule is about does not pay for that. False when
 * the lease is over, and with it everything. */
static bool begin(struct view *view, struct ruling *ruling)
{
    if (view->now_ns)
        return true;
    view->now_ns = view->judge->facts->now_ns();
    ruling->generation = view->generation;
    return view->now_ns < __atomic_load_n(&view->judge->rules->lease_ns, __ATOMIC_ACQUIRE) && view->now_ns >= view->armed_ns;
}

/* Apart, for its room on the stack. */
static __attribute__((noinline)) void judge_rule(struct view *view, uint32_t index, struct occasion *occasion, struct ruling *ruling)
{
    struct plan_rule rule;

    if (rule_copy(view, index, &rule))
        consider(view, index, &rule, occasion, ruling);
}

static uint32_t rules_of(const struct control_image *image)
{
    uint32_t count = image->rule_count;

    return count < PLAN_RULES_MAX ? count : PLAN_RULES_MAX;
}

/* An address that is long enough for what its family says. */
static bool is_whole(const struct sockaddr *address, socklen_t length)
{
    return length >= sizeof(struct sockaddr_in6) || (length >= sizeof(struct sockaddr_in) && address->sa_family != AF_INET6);
}

static __attribute__((noinline)) bool caller_may_concern(const struct judge *judge, const struct selector *selector, const void *caller)
{
    struct known known;

    known.has_caller = known.has_symbol = false;
    return caller_may_match(judge->facts, selector, &known, caller);
}

static bool texts_may_concern(const struct judge *judge, const struct selector *selector, const struct glance *glance)
{
    const struct sockaddr *peer = glance->address;

    return (!selector->label[0] || label_may_match(selector, glance->label)) &&
           (!selector->path[0] || !glance->path || glance->path[0] != '/' || path_may_match(selector, glance->path)) &&
           (!selector->peer.present || !peer || !is_whole(peer, glance->length) || peer_may_match(selector, peer)) &&
           (!selector->caller[0] || caller_may_concern(judge, selector, glance->caller));
}

bool judge_concerns(const struct judge *judge, const struct glance *glance)
{
    const struct control_image *image = &judge->rules->image[__atomic_load_n(&judge->rules->generation, __ATOMIC_ACQUIRE) & 1];

    for (uint32_t i = 0, count = rules_of(image); i < count; i++) {
        const struct selector *selector = &image->rules[i].selector;

        if ((image->points[i] & glance->points) && numbers_match(selector, glance->fd, glance->size) &&
            texts_may_concern(judge, selector, glance))
            return true;
    }
    return false;
}

void judge_call(const struct judge *judge, struct occasion *occasion, struct ruling *ret_ruling)
{
    struct view view;

    memset(ret_ruling, 0, offsetof(struct ruling, sleeping));
    ret_ruling->size_max = UINT64_MAX;
    view.judge = judge;
    view.now_ns = 0;
    memset(&view.known, 0, offsetof(struct known, path_room));
    if (!judge->counters || ((occasion->file || occasion->is_flush) && occasion->fd < 0) || !view_take(&view))
        return; /* a stream in memory does no input or output */
    occasion->keeps_size |= occasion->file || occasion->is_space;
    for (uint32_t i = 0, count = rules_of(view.image); i < count; i++) {
        const struct selector *selector = &view.image->rules[i].selector;

        if (!(view.image->points[i] & occasion->points) || !numbers_match(selector, occasion->fd, occasion->size) ||
            !texts_may_match(judge->facts, selector, &view.known, occasion))
            continue;
        if (!begin(&view, ret_ruling))
            return;
        judge_rule(&view, i, occasion, ret_ruling);
    }
}

void judge_take_back(const struct ruling *ruling)
{
    struct control_count *const by_hand[] = { ruling->acting, ruling->torn.count, ruling->rot.count };

    if (ruling->acting && ruling->acting_share)
        __atomic_fetch_sub(&ruling->acting_share->fired, 1, __ATOMIC_RELAXED);
    for (size_t i = 0; i < sizeof(by_hand) / sizeof(by_hand[0]); i++)
        if (by_hand[i]) {
            __atomic_fetch_sub(&by_hand[i]->fired, 1, __ATOMIC_RELAXED);
            count_one(&by_hand[i]->skipped);
        }
}

char *judge_number(unsigned value, char *text)
{
    char digits[12];
    size_t used = 0;

    do
        digits[used++] = (char)('0' + value % 10);
    while (value /= 10);
    while (used)
        *text++ = digits[--used];
    *text = '\0';
    return text;
}

void judge_take_back_holds(const struct ruling *ruling)
{
    for (uint32_t i = 0; i < ruling->holding_count; i++) {
        __atomic_fetch_sub(&ruling->holding[i]->fired, 1, __ATOMIC_RELAXED);
        if (ruling->holding_share[i])
            __atomic_fetch_sub(&ruling->holding_share[i]->fired, 1, __ATOMIC_RELAXED);
        count_one(&ruling->holding[i]->skipped);
    }
}
