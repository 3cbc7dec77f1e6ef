/* Control pages, the writer's side. Control plane; the reader's side is shims/preload/rule.c. */
#include "shims/host/page_priv.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "shims/host/process.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static bool name_is_sound(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    size_t length = strlen(name);

    return length && length < CONTROL_NAME_MAX && name[0] != '.' && strspn(name, allowed) == length;
}

static int open_folder(const struct registry *registry)
{
    int fd = openat(registry->fd, "pages", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

static struct page *page_new(int folder, const struct registry *registry, const char *name)
{
    struct page *page = calloc(1, sizeof(*page));

    if (!page)
        return NULL;
    page->fd = -1;
    page->folder = folder;
    snprintf(page->name, sizeof(page->name), "%s", name);
    snprintf(page->path, sizeof(page->path), "%s/pages/%s", registry->path, name);
    return page;
}

static int page_map(struct page *page)
{
    void *map = mmap(NULL, CONTROL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, page->fd, 0);

    if (map == MAP_FAILED)
        return -errno;
    page->rules = map;
    page->counters = (void *)((char *)map + CONTROL_COUNTERS_OFFSET);
    return 0;
}

struct page *page_close(struct page *page)
{
    if (!page)
        return NULL;
    if (page->rules)
        munmap(page->rules, CONTROL_SIZE);
    if (page->fd >= 0)
        close(page->fd);
    if (page->folder >= 0)
        close(page->folder);
    free(page);
    return NULL;
}

static int page_fill(struct page *page)
{
    struct control_rules *rules;
    struct process_id self;
    int result;

    if (ftruncate(page->fd, (off_t)CONTROL_SIZE) < 0)
        return -errno;
    result = page_map(page);
    if (!result)
        result = process_identify(getpid(), &self);
    if (result < 0)
        return result;
    rules = page->rules;
    rules->magic = CONTROL_MAGIC;
    rules->version = CONTROL_VERSION;
    rules->size = CONTROL_SIZE;
    rules->counters_offset = CONTROL_COUNTERS_OFFSET;
    rules->rule_size = sizeof(struct plan_rule);
    rules->owner_pid = (uint32_t)getpid();
    rules->owner_start_ticks = self.start_ticks;
    snprintf(rules->name, sizeof(rules->name), "%s", page->name);
    page->counters->magic = CONTROL_MAGIC;
    page->counters->version = CONTROL_VERSION;
    page->counters->unsynced.head = page->counters->unsynced.tail = UNSYNCED_ALIGN;
    return 0;
}

/* The file gets its name only when it is whole: link(2) also says EEXIST for us. */
int page_create(const struct registry *registry, const char *name, struct page **ret_page)
{
    char draft[CONTROL_NAME_MAX + 16];
    struct page *page;
    int folder, result;

    if (!name_is_sound(name))
        return -EINVAL;
    (void)page_sweep(registry);
    folder = open_folder(registry);
    if (folder < 0)
        return folder;
    page = page_new(folder, registry, name);
    if (!page) {
        close(folder);
        return -ENOMEM;
    }
    snprintf(draft, sizeof(draft), ".%d.%s", (int)getpid(), name);
    page->fd = openat(folder, draft, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    result = page->fd < 0 ? -errno : page_fill(page);
    if (!result && linkat(folder, draft, folder, name, 0) < 0)
        result = -errno;
    (void)unlinkat(folder, draft, 0);
    if (result < 0) {
        page_close(page);
        return result;
    }
    *ret_page = page;
    return 0;
}

static int page_check(struct page *page)
{
    const struct control_rules *rules;
    struct stat status;
    int result;

    if (fstat(page->fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 077))
        return -EPERM;
    if ((uint64_t)status.st_size != CONTROL_SIZE)
        return -EPROTO;
    result = page_map(page);
    if (result < 0)
        return result;
    rules = page->rules;
    return rules->magic == CONTROL_MAGIC && rules->version == CONTROL_VERSION && rules->size == CONTROL_SIZE &&
                   rules->rule_size == sizeof(struct plan_rule) && rules->counters_offset == CONTROL_COUNTERS_OFFSET
               ? 0
               : -EPROTO;
}

int page_open(const struct registry *registry, const char *name, struct page **ret_page)
{
    struct page *page;
    int folder, result;

    if (!name_is_sound(name))
        return -EINVAL;
    folder = open_folder(registry);
    if (folder < 0)
        return folder;
    page = page_new(folder, registry, name);
    if (!page) {
        close(folder);
        return -ENOMEM;
    }
    page->fd = openat(folder, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    result = page->fd < 0 ? -errno : page_check(page);
    if (result < 0) {
        page_close(page);
        return result;
    }
    *ret_page = page;
    return 0;
}

const char *page_name(const struct page *page)
{
    return page->name;
}

const char *page_path(const struct page *page)
{
    return page->path;
}

void page_supervise(struct page *page, uint64_t points)
{
    __atomic_store_n(&page->rules->supervised, CONTROL_SUPERVISED | (uint32_t)points, __ATOMIC_RELEASE);
}

static uint32_t generation_of(const struct page *page)
{
    return __atomic_load_n(&page->rules->generation, __ATOMIC_ACQUIRE);
}

static void wake_sleepers(struct page *page)
{
    syscall(SYS_futex, &page->rules->generation, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Order matters to readers: the new image first, then the lease, the generation, and the armed word last. */
static void publish_image(struct page *page, uint32_t armed, uint64_t lease_ns)
{
    struct control_rules *rules = page->rules;

    armed |= __atomic_load_n(&rules->armed, __ATOMIC_ACQUIRE) & CONTROL_LOCKS;
    __atomic_store_n(&rules->lease_ns, lease_ns, __ATOMIC_RELEASE);
    __atomic_store_n(&rules->generation, generation_of(page) + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&rules->armed, armed, __ATOMIC_RELEASE);
    wake_sleepers(page);
}

/* Fills the image that nobody reads. Returns the armed word. */
static uint32_t fill_image(struct control_image *image, const struct plan *plan, const struct control_redirect *redirects,
                           size_t redirect_count)
{
    uint32_t armed = redirect_count ? CONTROL_REDIRECT : 0;
    uint32_t count = 0;

    for (uint32_t i = 0; i < plan->rule_count; i++) {
        const struct plan_rule *rule = &plan->rules[i];

        if (fault_descs[rule->fault].layer != LAYER_CALL)
            continue;
        image->rules[count] = *rule;
        image->points[count] = (uint32_t)rule->points;
        armed |= (uint32_t)rule->points | (rule->points & POINT_BIT(code) ? CONTROL_CODE : 0);
        count++;
    }
    if (redirect_count)
        memcpy(image->redirects, redirects, redirect_count * sizeof(*redirects));
    image->rule_count = count;
    image->redirect_count = (uint32_t)redirect_count;
    image->epoch = plan->epoch;
    image->seed = plan->seed;
    return armed;
}

/* Of the processes that are there; whoever enters later clears its own. */
static void clear_shares(struct page *page, uint32_t image)
{
    for (size_t i = 0; i < CONTROL_PROCESSES_MAX; i++)
        if (__atomic_load_n(&page->counters->processes[i].pid, __ATOMIC_ACQUIRE))
            memset(page->counters->processes[i].shares[image], 0, sizeof(page->counters->processes[i].shares[image]));
}

/* What was kept under the rules before has reached the disk by now. */
static void forget_unsynced(struct unsynced_log *log)
{
    for (size_t i = 0; i < UNSYNCED_FILES_MAX; i++)
        __atomic_store_n(&log->files[i].synced, __atomic_load_n(&log->files[i].last, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
}

int page_publish(struct page *page, const struct plan *plan, const struct control_redirect *redirects, size_t redirect_count,
                 uint64_t ttl_ns)
{
    struct control_rules *rules = page->rules;
    int result = plan_check(plan, PLAN_SIZE(plan->rule_count));
    uint32_t next, armed;

    if (result < 0)
        return result;
    if (redirect_count > CONTROL_REDIRECTS_MAX)
        return -E2BIG;
    if (flock(page->fd, LOCK_EX) < 0)
        return -errno;
    if (plan->epoch <= rules->image[rules->generation & 1].epoch) {
        result = -ESTALE;
    } else {
        next = (rules->generation + 1) & 1;
        armed = fill_image(&rules->image[next], plan, redirects, redirect_count);
        memset(page->counters->counts[next], 0, rules->image[next].rule_count * sizeof(struct control_count));
        memset(page->counters->readings[next], 0, sizeof(page->counters->readings[next]));
        clear_shares(page, next);
        forget_unsynced(&page->counters->unsynced);
        rules->image[next].armed_ns = clock_now_ns();
        publish_image(page, armed, rules->image[next].armed_ns + ttl_ns);
    }
    (void)flock(page->fd, LOCK_UN);
    return result;
}

int page_renew(struct page *page, uint64_t epoch, uint64_t ttl_ns)
{
    struct control_rules *rules = page->rules;
    uint64_t now_ns;
    int result = 0;

    if (flock(page->fd, LOCK_EX) < 0)
        return -errno;
    now_ns = clock_now_ns();
    if (rules->image[rules->generation & 1].epoch != epoch || !(rules->armed & ~CONTROL_LOCKS) || rules->lease_ns <= now_ns) {
        result = -ESTALE;
    } else {
        uint64_t expected = rules->lease_ns;

        /* Panic writes 0 without the lock: it must not be overwritten. */
        if (!__atomic_compare_exchange_n(&rules->lease_ns, &expected, now_ns + ttl_ns, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            result = -ESTALE;
    }
    (void)flock(page->fd, LOCK_UN);
    return result;
}

/* The generation moves by two: the same image, but no sleeper can miss the change between its look and its wait. */
static void disarm(struct page *page, uint32_t kept)
{
    __atomic_and_fetch(&page->rules->armed, kept, __ATOMIC_RELEASE);
    __atomic_store_n(&page->rules->lease_ns, 0, __ATOMIC_RELEASE);
    __atomic_fetch_add(&page->rules->generation, 2, __ATOMIC_RELEASE);
    wake_sleepers(page);
}

void page_neutralise(struct page *page)
{
    disarm(page, 0);
}

int page_release(struct page *page)
{
    if (flock(page->fd, LOCK_EX) < 0)
        return -errno;
    disarm(page, CONTROL_LOCKS);
    (void)flock(page->fd, LOCK_UN);
    return 0;
}

static int verify(const struct page *page, uint32_t mask)
{
    return __atomic_load_n(&page->rules->armed, __ATOMIC_ACQUIRE) & mask &&
                   __atomic_load_n(&page->rules->lease_ns, __ATOMIC_ACQUIRE) > clock_now_ns()
               ? -EBUSY
               : 0;
}

int page_verify(const struct page *page)
{
    return verify(page, ~CONTROL_LOCKS);
}

int page_verify_rules(const struct page *page)
{
    return verify(page, ~(CONTROL_REDIRECT | CONTROL_LOCKS));
}

int page_remove(struct page *page)
{
    int result = page_release(page);

    if (unlinkat(page->folder, page->name, 0) < 0 && errno != ENOENT && !result)
        result = -errno;
    return result;
}

static const struct control_image *image_of(const struct page *page)
{
    return &page->rules->image[generation_of(page) & 1];
}

static const struct control_count *counts_of(const struct page *page)
{
    return page->counters->counts[generation_of(page) & 1];
}

void page_state(const struct page *page, struct page_state *ret_state)
{
    const struct control_rules *rules = page->rules;
    const struct control_image *image = image_of(page);

    *ret_state = (struct page_state){
        .epoch = image->epoch,
        .seed = image->seed,
        .armed_ns = image->armed_ns,
        .lease_ns = __atomic_load_n(&rules->lease_ns, __ATOMIC_ACQUIRE),
        .rule_count = image->rule_count,
        .owner_pid = rules->owner_pid,
        .supervised = (rules->supervised & CONTROL_SUPERVISED) != 0,
        .points = rules->supervised & ~CONTROL_SUPERVISED,
        .armed = page_verify(page) < 0,
        .owner_alive = page_process_lives((pid_t)rules->owner_pid, rules->owner_start_ticks),
        .refused = page->counters->refused,
        .unlisted = page->counters->unlisted,
        .lost = page->counters->lost,
    };
}

/* Adds the readings of the clock rule that stands `nth` among those of the plan. */
static void add_readings(const struct page *page, uint32_t nth, struct rule_counts *counts)
{
    const struct control_readings *readings = page->counters->readings[generation_of(page) & 1];

    for (size_t i = 0; nth < CONTROL_CLOCKS_MAX && i < CONTROL_READERS; i++) {
        uint64_t count = __atomic_load_n(&readings[i].count[nth], __ATOMIC_RELAXED);
        uint64_t last_ns = __atomic_load_n(&readings[i].last_ns[nth], __ATOMIC_RELAXED);

        counts->matched += count;
        counts->eligible += count;
        counts->fired += count;
        counts->last_ns = MAX(counts->last_ns, last_ns);
    }
}

size_t page_status(const struct page *page, struct rule_status *list, size_t max)
{
    const struct control_image *image = image_of(page);
    const struct control_count *counts = counts_of(page);
    size_t count = image->rule_count < max ? image->rule_count : max;
    uint32_t clocks = 0;

    for (size_t i = 0; i < count; i++) {
        int64_t in_flight = __atomic_load_n(&counts[i].in_flight, __ATOMIC_RELAXED);

        list[i] = (struct rule_status){
            .counts = {
                .matched = __atomic_load_n(&counts[i].matched, __ATOMIC_RELAXED),
                .eligible = __atomic_load_n(&counts[i].eligible, __ATOMIC_RELAXED),
                .fired = __atomic_load_n(&counts[i].fired, __ATOMIC_RELAXED),
                .skipped = __atomic_load_n(&counts[i].skipped, __ATOMIC_RELAXED),
                .first_ns = __atomic_load_n(&counts[i].first_ns, __ATOMIC_RELAXED),
                .last_ns = __atomic_load_n(&counts[i].last_ns, __ATOMIC_RELAXED),
            },
            .in_flight = in_flight > 0 ? (uint64_t)in_flight : 0,
        };
        if (image->rules[i].fault == FAULT_CALL_clock)
            add_readings(page, clocks++, &list[i].counts);
        memcpy(list[i].name, image->rules[i].name, sizeof(list[i].name));
    }
    return count;
}

int page_rule(const struct page *page, size_t index, struct plan_rule *ret_rule)
{
    const struct control_image *image = image_of(page);

    if (index >= image->rule_count)
        return -ENOENT;
    *ret_rule = image->rules[index];
    return 0;
}

int page_watch(struct page *page, uint32_t flags, uint32_t sample, uint64_t ttl_ns)
{
    struct control_watch *watch = &page->rules->watch;

    if (flock(page->fd, LOCK_EX) < 0)
        return -errno;
    __atomic_store_n(&watch->flags, 0, __ATOMIC_RELEASE);
    watch->number++;
    watch->sample = sample;
    __atomic_store_n(&watch->lease_ns, clock_now_ns() + ttl_ns, __ATOMIC_RELEASE);
    __atomic_store_n(&watch->flags, flags, __ATOMIC_RELEASE);
    if (flags)
        __atomic_or_fetch(&page->rules->armed, CONTROL_LOCKS, __ATOMIC_RELEASE);
    else
        __atomic_and_fetch(&page->rules->armed, ~CONTROL_LOCKS, __ATOMIC_RELEASE);
    (void)flock(page->fd, LOCK_UN);
    return 0;
}

int page_watch_renew(struct page *page, uint64_t ttl_ns)
{
    struct control_watch *watch = &page->rules->watch;
    uint64_t now_ns = clock_now_ns();

    if (!(__atomic_load_n(&page->rules->armed, __ATOMIC_ACQUIRE) & CONTROL_LOCKS) || watch->lease_ns <= now_ns)
        return -ESTALE;
    __atomic_store_n(&watch->lease_ns, now_ns + ttl_ns, __ATOMIC_RELEASE);
    return 0;
}

struct control_locks *page_locks(const struct page *page)
{
    return &page->counters->locks;
}

uint32_t page_watch_number(const struct page *page)
{
    return page->rules->watch.number;
}

size_t page_redirects(const struct page *page)
{
    return image_of(page)->redirect_count;
}

size_t page_sites(const struct page *page, struct page_site *list, size_t max)
{
    uint64_t epoch = image_of(page)->epoch;
    size_t count = 0;

    for (size_t i = 0; i < CONTROL_SITES_MAX && count < max; i++) {
        const struct control_site *entry = &page->counters->sites[i];
        struct page_site site = { .first_ns = __atomic_load_n(&entry->first_ns, __ATOMIC_ACQUIRE) };

        if (!site.first_ns || __atomic_load_n(&entry->epoch, __ATOMIC_RELAXED) != epoch || entry->rule >= image_of(page)->rule_count)
            continue;
        site.rule = entry->rule;
        site.offset = entry->offset;
        site.stream = entry->stream;
        site.position = entry->position;
        memcpy(site.module, entry->module, sizeof(site.module));
        site.module[sizeof(site.module) - 1] = '\0';
        for (char *at = site.module; *at; at++) /* the target wrote it */
            *at = isprint((unsigned char)*at) ? *at : '?';
        list[count++] = site;
    }
    return count;
}

size_t page_events(struct page *page, struct page_event *list, size_t max)
{
    const struct control_image *image = image_of(page);
    const struct control_count *counts = counts_of(page);
    size_t told = 0;

    if (page->told_epoch != image->epoch) {
        memset(page->told, 0, sizeof(page->told));
        page->told_epoch = image->epoch;
    }
    for (size_t i = 0; i < image->rule_count && told < max; i++) {
        uint64_t ns = __atomic_load_n(&counts[i].first_ns, __ATOMIC_ACQUIRE);

        if (!ns || page->told[i])
            continue;
        page->told[i] = true;
        list[told] = (struct page_event){ .epoch = image->epoch, .ns = ns,
                                          .stream = counts[i].first_stream, .position = counts[i].first_position };
        memcpy(list[told].name, image->rules[i].name, sizeof(list[told].name));
        told++;
    }
    return told;
}
