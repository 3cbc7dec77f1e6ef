/* Control pages, the writer's side. Control plane; the reader's side is shims/preload/rule.c. */
#include "shims/host/page.h"

#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "shims/host/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

struct page {
    int fd;
    int folder; /* REGISTRY/pages */
    struct control_rules *rules;
    struct control_counters *counters; /* part of the same mapping */
    char name[CONTROL_NAME_MAX];
    char path[REGISTRY_FILE_MAX];
    uint64_t told_epoch; /* what `told` is about */
    bool told[PLAN_RULES_MAX];
};

static bool process_lives(pid_t pid, uint64_t start_ticks)
{
    struct process_id id;

    return pid > 0 && !process_identify(pid, &id) && id.start_ticks == start_ticks && process_is_alive(&id);
}

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
        armed |= (uint32_t)rule->points;
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
    if (rules->image[rules->generation & 1].epoch != epoch || !rules->armed || rules->lease_ns <= now_ns) {
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
void page_neutralise(struct page *page)
{
    __atomic_store_n(&page->rules->armed, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&page->rules->lease_ns, 0, __ATOMIC_RELEASE);
    __atomic_fetch_add(&page->rules->generation, 2, __ATOMIC_RELEASE);
    wake_sleepers(page);
}

int page_release(struct page *page)
{
    if (flock(page->fd, LOCK_EX) < 0)
        return -errno;
    page_neutralise(page);
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
    return verify(page, UINT32_MAX);
}

int page_verify_rules(const struct page *page)
{
    return verify(page, ~CONTROL_REDIRECT);
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
        .owner_alive = process_lives((pid_t)rules->owner_pid, rules->owner_start_ticks),
        .refused = page->counters->refused,
        .unlisted = page->counters->unlisted,
        .lost = page->counters->lost,
    };
}

size_t page_status(const struct page *page, struct rule_status *list, size_t max)
{
    const struct control_image *image = image_of(page);
    const struct control_count *counts = counts_of(page);
    size_t count = image->rule_count < max ? image->rule_count : max;

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

size_t page_redirects(const struct page *page)
{
    return image_of(page)->redirect_count;
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

/* A supervisor does not see an exec as the shim does: the name is asked for when somebody wants it. */
static void name_now(pid_t pid, char comm[16])
{
    char path[40];
    AUTO_CLOSE int fd = -1;
    ssize_t length;

    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    length = fd < 0 ? -1 : read(fd, comm, 16);
    if (length > 0)
        comm[length - 1] = '\0';
}

size_t page_processes(const struct page *page, struct page_process *list, size_t max)
{
    size_t count = 0;

    for (size_t i = 0; i < CONTROL_PROCESSES_MAX && count < max; i++) {
        struct control_process process = page->counters->processes[i];

        if (!process_lives((pid_t)process.pid, process.start_ticks))
            continue;
        process.comm[sizeof(process.comm) - 1] = '\0';
        list[count] = (struct page_process){ (pid_t)process.pid, process.start_ticks, process.stream, "" };
        if (page->rules->supervised & CONTROL_SUPERVISED)
            name_now((pid_t)process.pid, process.comm);
        memcpy(list[count].comm, process.comm, sizeof(process.comm));
        count++;
    }
    return count;
}
