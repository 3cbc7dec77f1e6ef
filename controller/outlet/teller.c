/* From a run's files to the outbox, and the life of those who send. */
#include "controller/outlet/teller.h"

#include "controller/outlet/send.h"
#include "controller/outlet/worker.h"
#include "controller/watch/feed.h"
#include "controller/store/store.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LOOK_MS = 250, LOCK_TRIES = 40 };

#define SILENT_NS (10 * NS_PER_S) /* a run without its command that writes nothing for so long is over */

struct teller {
    struct desk desk;
    struct worker workers[OUTLETS_MAX];
    size_t worker_count;
    uint64_t cursor; /* of the outbox */
    uint64_t told;   /* the event that is told now */
    unsigned part;   /* how many deliveries of it an outlet has got */
    const struct outlet *outlet;
    int pidfd; /* of the run's command; -1: it is gone */
};

/* ---- what is asked of /proc ------------------------------------------------------------------------------------------------------ */

uint64_t teller_process_start(pid_t pid)
{
    char path[40], *at;
    struct buf stat;
    uint64_t start = 0;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    buf_init(&stat, 4096);
    buf_read_file(&stat, path);
    at = strrchr(stat.data, ')'); /* the name may hold anything; field 22 is the 20th after it (proc(5)) */
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at)
        start = strtoull(at + 1, NULL, 10);
    buf_done(&stat);
    return start;
}

static int open_process(pid_t pid, uint64_t start)
{
    int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

    if (fd >= 0 && teller_process_start(pid) != start) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static uint64_t written_ns(const char *directory, const char *name)
{
    char path[OUTBOX_PATH_MAX + 32];
    struct stat found;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return stat(path, &found) == 0 ? timespec_ns(found.st_mtim) : 0;
}

/* Its command is gone and it writes no more. */
static bool is_cut_off(struct teller *teller)
{
    struct pollfd process = { .fd = teller->pidfd, .events = POLLIN };
    const char *directory = teller->desk.story.directory;
    uint64_t silence_since_ns = written_ns(directory, "events.jsonl"), live_ns = written_ns(directory, "live.jsonl");

    if (teller->pidfd >= 0 && poll(&process, 1, 0) == 0)
        return false;
    if (live_ns > silence_since_ns)
        silence_since_ns = live_ns;
    return clock_wall_ns() > silence_since_ns + SILENT_NS;
}

/* ---- telling ------------------------------------------------------------------------------------------------------------------------ */

static void put(void *context, struct delivery *delivery)
{
    struct teller *teller = context;
    const struct desk *desk = &teller->desk;
    char name[OUTBOX_NAME_MAX];
    int dropped;

    snprintf(name, sizeof(name), "%010" PRIu64 "-%02u.json", teller->told, teller->part % 100);
    snprintf(delivery->id, sizeof(delivery->id), "%s/%s/%" PRIu64 ".%u", desk->story.run, teller->outlet->name, teller->told, teller->part);
    teller->part++;
    delivery->created_ms = clock_wall_ns() / NS_PER_MS;
    dropped = delivery->body && strlen(delivery->body) > DELIVERY_BODY_MAX ? -E2BIG
                                                                            : outbox_put(desk->path, teller->outlet->name, name, delivery, desk->config->queue);
    if (dropped) {
        struct outbox_counts counts = { .dropped = dropped > 0 ? (uint64_t)dropped : 1 };

        snprintf(counts.last_error, sizeof(counts.last_error), "%s", dropped > 0 ? "the queue is full" : strerror(-dropped));
        outbox_add_counts(desk->root, teller->outlet->name, &counts);
    }
    delivery_done(delivery);
}

/* Under the lock. Events up to the cursor were told before. */
static void tell(struct teller *teller, const struct story_moment *moment)
{
    struct desk *desk = &teller->desk;
    const struct outlet *outlets = desk->config->outlets.items;

    if (moment->moment >= MOMENTS || moment->seq <= teller->cursor)
        return;
    for (size_t i = 0; i < desk->config->outlets.count; i++) {
        const struct telling telling = { .outlet = &outlets[i], .story = &desk->story, .moment = moment, .put = put, .context = teller };

        teller->outlet = &outlets[i];
        teller->told = moment->seq;
        teller->part = 0;
        outlet_tell(&telling);
    }
    teller->cursor = moment->seq;
    outbox_set_cursor(desk->path, moment->seq);
    pthread_cond_broadcast(&desk->wake);
}

static void take_event(struct teller *teller, const char *line)
{
    struct story_moment moment;

    pthread_mutex_lock(&teller->desk.lock);
    if (story_take(&teller->desk.story, line, &moment) == 0)
        tell(teller, &moment);
    pthread_mutex_unlock(&teller->desk.lock);
}

static void take_sample(struct teller *teller, const char *line)
{
    cJSON *sample = cJSON_Parse(line);

    if (!sample)
        return;
    pthread_mutex_lock(&teller->desk.lock);
    cJSON_Delete(teller->desk.sample);
    teller->desk.sample = sample;
    pthread_mutex_unlock(&teller->desk.lock);
}

static void take_end(struct teller *teller, bool has_result)
{
    struct story *story = &teller->desk.story;
    struct errs *errs = calloc(1, sizeof(*errs));
    struct story_moment moment;
    cJSON *result = NULL;

    if (has_result && errs)
        store_read_result(story->directory, &result, errs);
    free(errs);
    pthread_mutex_lock(&teller->desk.lock);
    story_end(story, result, story->last_ns ? 0 : clock_now_ns(), &moment);
    tell(teller, &moment);
    pthread_mutex_unlock(&teller->desk.lock);
}

static void follow(struct teller *teller)
{
    struct feed *feed = NULL;
    struct feed_line line;
    int more = 0;

    if (feed_open(teller->desk.story.directory, 0, UINT64_MAX, &feed) < 0) {
        take_end(teller, false);
        return;
    }
    while (!teller->desk.story.ended) {
        struct pollfd waiting = { .fd = feed_fd(feed), .events = POLLIN };

        while ((more = feed_next(feed, &line)) == 1 && line.kind != FEED_END) {
            if (line.kind == FEED_EVENT)
                take_event(teller, line.text);
            else
                take_sample(teller, line.text);
        }
        if (more == 1 || is_cut_off(teller))
            take_end(teller, more == 1);
        else
            poll(&waiting, 1, LOOK_MS);
    }
    feed_close(feed);
}

/* ---- life ----------------------------------------------------------------------------------------------------------------------------- */

static void init_desk(struct desk *desk, const struct outlet_config *config, const char *root, const char *path)
{
    pthread_condattr_t attributes;

    desk->config = config;
    desk->root = root;
    desk->path = path;
    pthread_mutex_init(&desk->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&desk->wake, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void drain(struct teller *teller)
{
    struct desk *desk = &teller->desk;
    struct timespec until = ns_timespec(clock_now_ns() + (uint64_t)desk->config->drain);
    int result = 0;

    pthread_mutex_lock(&desk->lock);
    desk->draining = true;
    pthread_cond_broadcast(&desk->wake);
    while (desk->done < teller->worker_count && result == 0)
        result = pthread_cond_timedwait(&desk->wake, &desk->lock, &until);
    atomic_store(&desk->stop, true);
    pthread_cond_broadcast(&desk->wake);
    pthread_mutex_unlock(&desk->lock);
    for (size_t i = 0; i < teller->worker_count; i++)
        worker_join(&teller->workers[i]);
}

static void work(struct teller *teller)
{
    const struct outlet *outlets = teller->desk.config->outlets.items;

    for (size_t i = 0; i < teller->desk.config->outlets.count; i++) {
        struct worker *worker = &teller->workers[teller->worker_count];

        *worker = (struct worker){ .desk = &teller->desk, .outlet = &outlets[i] };
        teller->worker_count += worker_start(worker) == 0;
    }
    follow(teller);
    drain(teller);
}

static size_t count_waiting(const struct outlet_config *config, const char *path)
{
    const struct outlet *outlets = config->outlets.items;
    size_t waiting = 0;

    for (size_t i = 0; i < config->outlets.count; i++)
        waiting += outbox_count(path, outlets[i].name);
    return waiting;
}

/* With the lock held. `only_dead`: a run whose command lives is left alone. */
static int tell_run(const struct outlet_config *config, const char *root, const char *path, bool only_dead, struct teller_report *ret_report)
{
    struct teller *teller = calloc(1, sizeof(*teller));
    uint64_t start = 0;
    pid_t pid = 0;
    int result = teller ? outbox_read_run(path, &teller->desk.story, &pid, &start) : -ENOMEM;

    *ret_report = (struct teller_report){ .waiting = 0 };
    if (result == 0) {
        init_desk(&teller->desk, config, root, path);
        teller->pidfd = open_process(pid, start);
        teller->cursor = outbox_cursor(path);
        if (!only_dead || teller->pidfd < 0)
            work(teller);
        ret_report->ended = teller->desk.story.ended;
        ret_report->waiting = count_waiting(config, path);
        if (teller->pidfd >= 0)
            close(teller->pidfd);
        cJSON_Delete(teller->desk.sample);
        story_done(&teller->desk.story);
        if (ret_report->ended)
            outbox_remove_if_empty(path);
    }
    free(teller);
    return result;
}

int teller_run(const struct outlet_config *config, const char *root, const char *path, struct teller_report *ret_report)
{
    AUTO_CLOSE int lock = outbox_lock(path);

    for (int tries = 0; lock == -EWOULDBLOCK && tries < LOCK_TRIES; tries++) { /* a flush may just be looking whether somebody lives */
        poll(NULL, 0, LOOK_MS);
        lock = outbox_lock(path);
    }
    if (lock < 0)
        return lock;
    send_begin();
    return tell_run(config, root, path, false, ret_report);
}

struct flushing {
    const struct outlet_config *config;
    const char *root;
    size_t waiting;
};

static void flush_one(void *context, const char *path, const char *run)
{
    struct flushing *flushing = context;
    AUTO_CLOSE int lock = outbox_lock(path);
    struct teller_report report;

    (void)run;
    if (lock >= 0 && tell_run(flushing->config, flushing->root, path, true, &report) == 0)
        flushing->waiting += report.waiting;
}

size_t teller_flush(const struct outlet_config *config, const char *root)
{
    struct flushing flushing = { config, root, 0 };

    send_begin();
    outbox_each(root, flush_one, &flushing);
    return flushing.waiting;
}

/* ---- a test of one outlet ---------------------------------------------------------------------------------------------------------------- */

static void send_test(void *context, struct delivery *delivery)
{
    struct delivery *kept = context;

    if (kept->method[0]) /* the first is enough */
        delivery_done(delivery);
    else
        *kept = *delivery;
}

int teller_test(const struct outlet_config *config, const struct outlet *outlet, char *why, size_t size)
{
    struct story *story = calloc(1, sizeof(*story));
    struct delivery delivery = { .body = NULL };
    struct story_moment moment;
    struct outlet every = *outlet;
    const struct telling telling = { .outlet = &every, .story = story, .moment = &moment, .put = send_test, .context = &delivery };
    struct send_answer answer;
    atomic_bool stop = false;
    int result = 0;

    if (!story)
        return -ENOMEM;
    send_begin();
    every.moments = UINT32_MAX;
    every.silence.count = 0;
    every.alert = 1;
    snprintf(story->run, sizeof(story->run), "test");
    snprintf(story->title, sizeof(story->title), "A test of the outlet '%s': nothing was disturbed", outlet->name);
    story->wall_offset_ns = (int64_t)(clock_wall_ns() - clock_now_ns());
    story_end(story, cJSON_Parse("{\"verdict\":{\"verdict\":\"absorbed\",\"status\":0,\"why\":\"this is only a test\"}}"), clock_now_ns(), &moment);
    outlet_tell(&telling);
    snprintf(delivery.id, sizeof(delivery.id), "test/%s", outlet->name);
    if (outlet_send(outlet, &config->egress, &delivery, delivery.method, delivery.path, &stop, &answer) != SEND_DONE) {
        snprintf(why, size, "%s", answer.why);
        result = -EIO;
    }
    send_answer_done(&answer);
    delivery_done(&delivery);
    story_done(story);
    free(story);
    return result;
}

/* ---- names --------------------------------------------------------------------------------------------------------------------------------- */

char *teller_playbook_name(const char *path, char *name, size_t size)
{
    const char *from = path, *slash = strrchr(path, '/');

    for (const char *found = strstr(path, "playbooks/"); found; found = strstr(found + 1, "playbooks/"))
        if (found == path || found[-1] == '/')
            from = found + strlen("playbooks/");
    if (from == path && slash)
        from = slash + 1;
    snprintf(name, size, "%s", from);
    return name;
}
