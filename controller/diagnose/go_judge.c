/* What a Go task dump tells: states, groups of equal stacks, tasks that nobody is left to wake, and what grew since an earlier dump. */
#include "controller/diagnose/diagnose.h"

#include "scenarios/base/cleanup.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { GROUPS_MAX = 20, STATES_MAX = 64, IDS_MAX = 20, FRAMES_SHOWN_MAX = 12, ROUNDS_MAX = 64, CANDIDATES_MAX = 8 };

/* Go's heap on 64-bit machines begins here; larger heaps than 64 GiB are rare. */
#define HEAP_FIRST UINT64_C(0xc000000000)
#define HEAP_LAST UINT64_C(0xd000000000)

enum role { ROLE_NONE, ROLE_SENDS, ROLE_RECEIVES, ROLE_LOCKS };

struct mention {
    uint64_t word;
    uint32_t task;
};

struct judge_task {
    uint64_t address; /* what it waits on; 0: not shown */
    enum role role;
    bool by_frame;    /* the runtime's own frame says so */
    bool stuck, for_ever; /* for_ever: nothing could wake it at all */
};

struct go_judge {
    const struct go_dump *dump;
    struct judge_task *tasks;
    struct mention *mentions; /* sorted by word, then task; each pair once */
    size_t mention_count;
};

static bool begins(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

/* ---- what a task waits on --------------------------------------------------------------------------------------------- */

static enum role role_of(const char *state)
{
    static const struct {
        const char *begin;
        enum role role;
    } roles[] = { { "chan send", ROLE_SENDS },    { "chan receive", ROLE_RECEIVES },   { "sync.Mutex.Lock", ROLE_LOCKS },
                  { "sync.RWMutex.", ROLE_LOCKS }, { "sync.WaitGroup.Wait", ROLE_LOCKS }, { "sync.Cond.Wait", ROLE_LOCKS },
                  { "semacquire", ROLE_LOCKS } };

    for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
        if (begins(state, roles[i].begin))
            return roles[i].role;
    return ROLE_NONE;
}

static bool names_its_object(const char *function, enum role role)
{
    static const char *const channel[] = { "runtime.chansend", "runtime.chanrecv" };
    static const char *const sync[] = { "sync.(*", "internal/sync.(*" };
    const char *const *list = role == ROLE_LOCKS ? sync : channel;

    return begins(function, list[0]) || begins(function, list[1]);
}

static bool is_heap(uint64_t word)
{
    return word >= HEAP_FIRST && word < HEAP_LAST;
}

/* How many tasks mention a word. */
static size_t find_mentions(const struct go_judge *judge, uint64_t word, const struct mention **ret_first)
{
    size_t low = 0, high = judge->mention_count, count = 0;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (judge->mentions[middle].word < word)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_first = &judge->mentions[low];
    while (low + count < judge->mention_count && judge->mentions[low + count].word == word)
        count++;
    return count;
}

static size_t count_waiters(const struct go_judge *judge, uint64_t word)
{
    const struct mention *first;
    size_t count = find_mentions(judge, word, &first), waiters = 0;

    for (size_t i = 0; i < count; i++)
        waiters += judge->tasks[first[i].task].role != ROLE_NONE;
    return waiters;
}

/* By a frame of the runtime or of sync if there is one; else, of a channel, the pointer of its innermost frame that most others wait
 * with. */
static void find_address(struct go_judge *judge, uint32_t index)
{
    const struct go_dump *dump = judge->dump;
    const struct go_task *task = &dump->tasks[index];
    struct judge_task *own = &judge->tasks[index];
    const struct go_frame *outer = NULL;
    size_t most = 0;

    for (uint32_t i = 0; i < task->frame_count; i++) {
        const struct go_frame *frame = &dump->frames[task->frame_first + i];

        if (names_its_object(frame->function, own->role) && frame->word_count && is_heap(dump->words[frame->word_first])) {
            own->address = dump->words[frame->word_first];
            own->by_frame = true;
            return;
        }
        if (!outer && !begins(frame->function, "runtime."))
            outer = frame;
    }
    for (uint32_t i = 0; outer && own->role != ROLE_LOCKS && i < outer->word_count && i < CANDIDATES_MAX; i++) {
        uint64_t word = dump->words[outer->word_first + i];
        size_t count = is_heap(word) ? count_waiters(judge, word) : 0;

        if (count > most) {
            most = count;
            own->address = word;
        }
    }
}

static int by_word(const void *left, const void *right)
{
    const struct mention *a = left, *b = right;

    return a->word != b->word ? (a->word < b->word ? -1 : 1) : (a->task > b->task) - (a->task < b->task);
}

static int index_mentions(struct go_judge *judge)
{
    const struct go_dump *dump = judge->dump;
    size_t count = 0;

    judge->mentions = calloc(dump->word_count + 1, sizeof(*judge->mentions));
    if (!judge->mentions)
        return -1;
    for (uint32_t i = 0; i < dump->task_count; i++)
        for (uint32_t k = 0; k < dump->tasks[i].frame_count; k++) {
            const struct go_frame *frame = &dump->frames[dump->tasks[i].frame_first + k];

            for (uint32_t w = 0; w < frame->word_count; w++)
                if (is_heap(dump->words[frame->word_first + w]))
                    judge->mentions[count++] = (struct mention){ dump->words[frame->word_first + w], i };
        }
    qsort(judge->mentions, count, sizeof(*judge->mentions), by_word);
    for (size_t i = 0; i < count; i++)
        if (!judge->mention_count || by_word(&judge->mentions[judge->mention_count - 1], &judge->mentions[i]))
            judge->mentions[judge->mention_count++] = judge->mentions[i];
    return 0;
}

static bool somebody_may_wake(const struct go_judge *judge, uint32_t index)
{
    const struct mention *first;
    size_t count = find_mentions(judge, judge->tasks[index].address, &first);

    for (size_t i = 0; i < count; i++)
        if (!judge->tasks[first[i].task].stuck)
            return true;
    return false;
}

/* The largest set of waiting tasks of which none is mentioned by a task outside of it: all of them first, then those go out that
 * somebody outside may wake, until nothing changes. */
static void find_stuck(struct go_judge *judge)
{
    size_t count = judge->dump->task_count;
    bool changed = true;

    for (uint32_t i = 0; i < count; i++) {
        const char *state = judge->dump->tasks[i].state;
        struct judge_task *own = &judge->tasks[i];

        own->for_ever = strstr(state, "(nil chan)") || begins(state, "select (no cases)");
        if (own->role != ROLE_NONE && !own->for_ever)
            find_address(judge, i);
        own->stuck = own->for_ever || own->address;
    }
    for (int round = 0; changed && round < ROUNDS_MAX; round++) {
        changed = false;
        for (uint32_t i = 0; i < count; i++)
            if (judge->tasks[i].stuck && !judge->tasks[i].for_ever && somebody_may_wake(judge, i)) {
                judge->tasks[i].stuck = false;
                changed = true;
            }
    }
    for (uint32_t i = 0; changed && i < count; i++) /* not settled: claim nothing */
        judge->tasks[i].stuck = judge->tasks[i].for_ever;
}

static int judge_begin(struct go_judge *judge, const struct go_dump *dump)
{
    *judge = (struct go_judge){ .dump = dump, .tasks = calloc(dump->task_count, sizeof(*judge->tasks)) };
    if (!judge->tasks || index_mentions(judge) < 0)
        return -1;
    for (size_t i = 0; i < dump->task_count; i++)
        judge->tasks[i].role = role_of(dump->tasks[i].state);
    find_stuck(judge);
    return 0;
}

/* ---- the document ----------------------------------------------------------------------------------------------------- */

static _Thread_local bool ran_short; /* of memory, since go_diagnose() began: a document that lacks a part is given up */

static void kept(const void *added)
{
    ran_short |= !added;
}

static void joined(cJSON_bool done)
{
    ran_short |= !done;
}

static cJSON *stack_json(const struct go_dump *dump, const struct go_task *task)
{
    cJSON *list = cJSON_CreateArray();
    char text[512];

    for (uint32_t i = 0; i < task->frame_count && i < FRAMES_SHOWN_MAX; i++) {
        const struct go_frame *frame = &dump->frames[task->frame_first + i];

        snprintf(text, sizeof(text), "%s %s", frame->function, frame->place);
        joined(cJSON_AddItemToArray(list, cJSON_CreateString(text)));
    }
    if (task->maker[0]) {
        snprintf(text, sizeof(text), "created by %s", task->maker);
        joined(cJSON_AddItemToArray(list, cJSON_CreateString(text)));
    }
    return list;
}

static void add_id(cJSON *ids, uint64_t id)
{
    if (cJSON_GetArraySize(ids) < IDS_MAX)
        joined(cJSON_AddItemToArray(ids, cJSON_CreateNumber((double)id)));
}

static void raise_number(cJSON *object, const char *key, double value)
{
    cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    if (item && value > item->valuedouble)
        cJSON_SetNumberHelper(item, value);
}

static void add_to_number(cJSON *object, const char *key, double value)
{
    cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    if (item)
        cJSON_SetNumberHelper(item, item->valuedouble + value);
}

static cJSON *states_json(const struct go_dump *dump)
{
    cJSON *list = cJSON_CreateArray();

    for (size_t i = 0; i < dump->task_count && !ran_short; i++) {
        const struct go_task *task = &dump->tasks[i];
        cJSON *state, *found = NULL;

        cJSON_ArrayForEach(state, list)
        {
            if (!strcmp(cJSON_GetObjectItemCaseSensitive(state, "state")->valuestring, task->state))
                found = state;
        }
        if (!found && cJSON_GetArraySize(list) < STATES_MAX) {
            found = cJSON_CreateObject();
            kept(cJSON_AddStringToObject(found, "state", task->state));
            kept(cJSON_AddNumberToObject(found, "tasks", 0));
            kept(cJSON_AddNumberToObject(found, "longest_minutes", 0));
            joined(cJSON_AddItemToArray(list, found));
        }
        add_to_number(found, "tasks", 1);
        raise_number(found, "longest_minutes", task->minutes);
    }
    return list;
}

struct group {
    uint64_t key;
    uint32_t task; /* one of them, of the later dump */
    uint32_t count, before, lasted, minutes;
};

static uint64_t group_key(const struct go_task *task)
{
    uint64_t key = task->stack_hash;

    for (const char *place = task->state; *place; place++)
        key = (key ^ (unsigned char)*place) * UINT64_C(0x100000001b3);
    return key;
}

static int by_key(const void *left, const void *right)
{
    const struct group *a = left, *b = right;

    return a->key != b->key ? (a->key < b->key ? -1 : 1) : (a->task > b->task) - (a->task < b->task);
}

static int larger_first(const void *left, const void *right)
{
    const struct group *a = left, *b = right;

    return a->count != b->count ? (a->count < b->count ? 1 : -1) : (a->task > b->task) - (a->task < b->task);
}

/* Those that gained tasks which stay come first. */
static int grown_first(const void *left, const void *right)
{
    const struct group *a = left, *b = right;
    int64_t one = (int64_t)a->count - a->before, other = (int64_t)b->count - b->before;

    return one != other ? (one < other ? 1 : -1) : a->lasted != b->lasted ? (a->lasted < b->lasted ? 1 : -1) : larger_first(left, right);
}

/* Groups of equal state and stack, in the order of their keys. Returns new; NULL: no memory. */
static struct group *make_groups(const struct go_dump *dump, size_t *ret_count)
{
    struct group *list = calloc(dump->task_count + 1, sizeof(*list));
    size_t count = 0;

    for (uint32_t i = 0; list && i < dump->task_count; i++)
        list[i] = (struct group){ .key = group_key(&dump->tasks[i]), .task = i, .count = 1, .minutes = dump->tasks[i].minutes };
    if (list)
        qsort(list, dump->task_count, sizeof(*list), by_key);
    for (size_t i = 0; list && i < dump->task_count; i++) {
        if (count && list[count - 1].key == list[i].key) {
            list[count - 1].count++;
            if (list[i].minutes > list[count - 1].minutes)
                list[count - 1].minutes = list[i].minutes;
        } else {
            list[count++] = list[i];
        }
    }
    *ret_count = count;
    return list;
}

static cJSON *group_json(const struct go_dump *dump, const struct group *group)
{
    const struct go_task *task = &dump->tasks[group->task];
    cJSON *object = cJSON_CreateObject();

    kept(cJSON_AddNumberToObject(object, "tasks", group->count));
    kept(cJSON_AddStringToObject(object, "state", task->state));
    kept(cJSON_AddNumberToObject(object, "longest_minutes", group->minutes));
    kept(cJSON_AddNumberToObject(object, "example", (double)task->id));
    joined(cJSON_AddItemToObject(object, "stack", stack_json(dump, task)));
    return object;
}

static struct group *group_of(struct group *list, size_t count, uint64_t key)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (list[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && list[low].key == key ? &list[low] : NULL;
}

static int by_id(const void *left, const void *right)
{
    const struct go_task *const *a = left, *const *b = right;

    return ((*a)->id > (*b)->id) - ((*a)->id < (*b)->id);
}

static int compare_id(const void *id, const void *entry)
{
    const struct go_task *const *task = entry;

    return (*(const uint64_t *)id > (*task)->id) - (*(const uint64_t *)id < (*task)->id);
}

/* Counts in each group how many were there before, and how many of them are the very same tasks. Returns how many lasted. */
static size_t count_before(const struct go_dump *dump, const struct go_dump *before, struct group *list, size_t count)
{
    AUTO_FREE const struct go_task **sorted = calloc(before->task_count + 1, sizeof(struct go_task *));
    size_t lasted = 0;

    for (size_t i = 0; sorted && i < before->task_count; i++) {
        struct group *group = group_of(list, count, group_key(&before->tasks[i]));

        sorted[i] = &before->tasks[i];
        if (group)
            group->before++;
    }
    kept(sorted);
    if (!sorted)
        return 0;
    qsort(sorted, before->task_count, sizeof(struct go_task *), by_id);
    for (size_t i = 0; i < dump->task_count; i++) {
        const struct go_task *task = &dump->tasks[i];
        const struct go_task **same = bsearch(&task->id, sorted, before->task_count, sizeof(struct go_task *), compare_id);
        struct group *group = same && (*same)->stack_hash == task->stack_hash ? group_of(list, count, group_key(task)) : NULL;

        if (!group)
            continue;
        group->lasted++;
        lasted++;
    }
    return lasted;
}

static cJSON *growth_json(const struct go_dump *dump, const struct go_dump *before, struct group *list, size_t count)
{
    cJSON *object = cJSON_CreateObject(), *groups;

    kept(cJSON_AddNumberToObject(object, "before", (double)before->task_count));
    kept(cJSON_AddNumberToObject(object, "after", (double)dump->task_count));
    kept(cJSON_AddNumberToObject(object, "never_ended", (double)count_before(dump, before, list, count)));
    groups = cJSON_AddArrayToObject(object, "grown");
    kept(groups);
    qsort(list, count, sizeof(*list), grown_first);
    for (size_t i = 0; i < count && i < GROUPS_MAX && list[i].count > list[i].before; i++) {
        cJSON *group = group_json(dump, &list[i]);

        kept(cJSON_AddNumberToObject(group, "before", list[i].before));
        kept(cJSON_AddNumberToObject(group, "never_ended", list[i].lasted));
        joined(cJSON_AddItemToArray(groups, group));
    }
    return object;
}

/* A task that could have woken it, and waits for something else itself. */
static bool lost_its_waker(const struct go_judge *judge, const struct judge_task *own)
{
    const struct mention *first;
    size_t count = own->address ? find_mentions(judge, own->address, &first) : 0;

    for (size_t i = 0; i < count; i++)
        if (judge->tasks[first[i].task].address != own->address)
            return true;
    return false;
}

/* Idle workers and tickers only receive, and nobody may be seen who sends: that alone is no deadlock. */
static const char *verdict_of(const struct go_judge *judge, const struct judge_task *own)
{
    return own->for_ever || own->role != ROLE_RECEIVES || lost_its_waker(judge, own) ? "stuck" : "idle_or_leaked";
}

static cJSON *stuck_new(const struct go_judge *judge, const struct judge_task *own)
{
    cJSON *object = cJSON_CreateObject();
    char text[32];

    snprintf(text, sizeof(text), "0x%" PRIx64, own->address);
    kept(cJSON_AddStringToObject(object, "address", own->for_ever ? "nil" : text));
    kept(cJSON_AddStringToObject(object, "verdict", verdict_of(judge, own)));
    kept(cJSON_AddStringToObject(object, "what", own->for_ever ? "nothing" : own->role == ROLE_LOCKS ? "lock" : "channel"));
    kept(cJSON_AddStringToObject(object, "known_by", own->for_ever ? "state" : own->by_frame ? "frame" : "argument"));
    kept(cJSON_AddNumberToObject(object, "tasks", 0));
    kept(cJSON_AddNumberToObject(object, "longest_minutes", 0));
    joined(cJSON_AddItemToObject(object, "senders", cJSON_CreateArray()));
    joined(cJSON_AddItemToObject(object, "receivers", cJSON_CreateArray()));
    joined(cJSON_AddItemToObject(object, "waiters", cJSON_CreateArray()));
    return object;
}

struct stuck {
    uint64_t address;
    uint32_t task;
};

static int by_address(const void *left, const void *right)
{
    const struct stuck *a = left, *b = right;

    return a->address != b->address ? (a->address < b->address ? -1 : 1) : (a->task > b->task) - (a->task < b->task);
}

static cJSON *stuck_json(const struct go_judge *judge)
{
    static const char *const keys[] = { "waiters", "senders", "receivers", "waiters" };
    AUTO_FREE struct stuck *list = calloc(judge->dump->task_count + 1, sizeof(*list));
    cJSON *array = cJSON_CreateArray(), *object = NULL;
    size_t count = 0;

    for (uint32_t i = 0; list && i < judge->dump->task_count; i++)
        if (judge->tasks[i].stuck)
            list[count++] = (struct stuck){ judge->tasks[i].address, i };
    kept(list);
    if (list)
        qsort(list, count, sizeof(*list), by_address);
    for (size_t i = 0; i < count; i++) {
        const struct judge_task *own = &judge->tasks[list[i].task];
        const struct go_task *task = &judge->dump->tasks[list[i].task];

        if (!i || list[i].address != list[i - 1].address) {
            object = stuck_new(judge, own);
            joined(cJSON_AddItemToArray(array, object));
            joined(cJSON_AddItemToObject(object, "stack", stack_json(judge->dump, task)));
        }
        if (own->role == ROLE_SENDS)
            joined(cJSON_ReplaceItemInObjectCaseSensitive(object, "verdict", cJSON_CreateString("stuck")));
        add_to_number(object, "tasks", 1);
        raise_number(object, "longest_minutes", task->minutes);
        add_id(cJSON_GetObjectItemCaseSensitive(object, keys[own->role]), task->id);
    }
    return array;
}

static bool may_run(const char *state)
{
    return begins(state, "run") || begins(state, "syscall") || begins(state, "IO wait") || begins(state, "sleep") ||
           begins(state, "select") || begins(state, "waiting") || begins(state, "preempted");
}

struct cJSON *go_diagnose(const struct go_dump *dump, const struct go_dump *before)
{
    struct go_judge judge;
    size_t count = 0, running = 0;
    AUTO_FREE struct group *list = make_groups(dump, &count);
    cJSON *object = cJSON_CreateObject(), *groups;

    ran_short = judge_begin(&judge, dump) < 0 || !list || !object;
    if (!ran_short) {
        for (size_t i = 0; i < dump->task_count; i++)
            running += may_run(dump->tasks[i].state) && !judge.tasks[i].for_ever;
        kept(cJSON_AddStringToObject(object, "kind", "perturb-diagnosis"));
        kept(cJSON_AddNumberToObject(object, "version", 1));
        kept(cJSON_AddStringToObject(object, "of", "go"));
        kept(cJSON_AddNumberToObject(object, "tasks", (double)dump->task_count));
        kept(cJSON_AddNumberToObject(object, "may_run", (double)running));
        kept(cJSON_AddBoolToObject(object, "truncated", dump->truncated));
        joined(cJSON_AddItemToObject(object, "states", states_json(dump)));
        joined(cJSON_AddItemToObject(object, "stuck", stuck_json(&judge)));
        if (before) /* by key, which the next sort destroys */
            joined(cJSON_AddItemToObject(object, "growth", growth_json(dump, before, list, count)));
        groups = cJSON_AddArrayToObject(object, "groups");
        kept(groups);
        qsort(list, count, sizeof(*list), larger_first);
        for (size_t i = 0; i < count && i < GROUPS_MAX; i++)
            joined(cJSON_AddItemToArray(groups, group_json(dump, &list[i])));
    }
    free(judge.tasks);
    free(judge.mentions);
    if (ran_short)
        cJSON_Delete(object);
    return ran_short ? NULL : object;
}
