/* See hub.h. A channel is a run (or the service) and its ring; the hub's thread reads the feeds of all channels. */
#include "controller/serve/http/hub.h"

#include "controller/base/json.h"
#include "controller/watch/feed.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { RING_MAX = 2048, CHANNELS_MAX = 64, RUN_MAX = 80, FRAME_MAX = FEED_LINE_MAX + 256, BURST_MAX = 256 };

#define RING_BYTES_MAX ((size_t)8 << 20)
#define HEARTBEAT_NS (15 * NS_PER_S)

struct frame {
    char *text; /* "id: ...", owned */
    size_t length;
    enum feed_kind kind;
    uint64_t seq;
};

struct channel {
    struct channel *next;
    char run[RUN_MAX]; /* "" of the service */
    struct feed *feed; /* NULL of the service */
    bool over;         /* its last frame is the end */
    uint64_t first, end; /* numbers of the frames in the ring: [first, end) */
    size_t bytes;
    struct frame ring[RING_MAX];
    struct watcher *watchers;
};

struct watcher {
    struct watcher *next;
    struct hub *hub;
    struct channel *channel; /* NULL while it catches up */
    struct feed *own;        /* while it catches up */
    char run[RUN_MAX];
    char *directory;
    uint64_t place;               /* the frame to be copied next */
    uint64_t after_event, after_sample; /* it has these: of the ring's frames only later ones */
    char *text;                   /* a frame of its own that is being copied, owned */
    size_t length, offset;        /* of that, or of the ring's frame */
    void *connection;
    bool asleep, heartbeat, ended, lost;
};

struct hub {
    struct hub_options options;
    pthread_mutex_t mutex;
    pthread_t thread;
    int wake_fd;
    bool stopping, started;
    struct channel *channels, *service;
    struct watcher *catching_up; /* those without a channel */
    size_t watchers;
    uint64_t posted; /* id of the service's last message: microseconds, so that it grows from one service to the next */
};

/* ---- rings; all of it under the mutex ---- */

static void drop_oldest(struct channel *channel)
{
    struct frame *frame = &channel->ring[channel->first++ % RING_MAX];

    channel->bytes -= frame->length;
    free(frame->text);
    frame->text = NULL;
}

static void wake(struct watcher *watcher)
{
    if (!watcher->asleep)
        return;
    watcher->asleep = false;
    watcher->hub->options.wake(watcher->connection);
}

static void wake_all(struct channel *channel)
{
    for (struct watcher *watcher = channel->watchers; watcher; watcher = watcher->next)
        wake(watcher);
}

/* Takes `text`; NULL (no memory) loses the line for everybody, and the ids show it. */
static void push(struct channel *channel, char *text, enum feed_kind kind, uint64_t seq)
{
    size_t length = text ? strlen(text) : 0;

    if (!text)
        return;
    while (channel->end - channel->first == RING_MAX || (channel->end > channel->first && channel->bytes + length > RING_BYTES_MAX))
        drop_oldest(channel);
    channel->ring[channel->end++ % RING_MAX] = (struct frame){ text, length, kind, seq };
    channel->bytes += length;
    channel->over = channel->over || kind == FEED_END;
}

/* Returns new. */
static char *frame_of(struct feed *feed, const struct feed_line *line)
{
    static const char *const names[] = { [FEED_EVENT] = "event", [FEED_SAMPLE] = "sample", [FEED_END] = "end" };
    char id[FEED_ID_MAX];
    uint64_t event, sample;
    struct buf text;

    feed_place(feed, &event, &sample);
    buf_init(&text, FRAME_MAX);
    buf_printf(&text, "id: %s\nevent: %s\ndata: ", feed_id_print(event, sample, id), names[line->kind]);
    buf_puts(&text, line->kind == FEED_END ? "{}" : line->text);
    buf_puts(&text, "\n\n");
    return buf_take(&text);
}

static char *end_frame(void)
{
    return strdup("event: end\ndata: {}\n\n");
}

/* ---- channels ---- */

static struct channel *channel_new(struct hub *hub, const char *run)
{
    struct channel *channel = calloc(1, sizeof(*channel));

    if (!channel)
        return NULL;
    snprintf(channel->run, sizeof(channel->run), "%s", run);
    channel->next = hub->channels;
    hub->channels = channel;
    return channel;
}

static void channel_free(struct channel *channel)
{
    while (channel->first < channel->end)
        drop_oldest(channel);
    feed_close(channel->feed);
    free(channel);
}

/* Those of runs that nobody watches. */
static void forget_channels(struct hub *hub)
{
    struct channel **slot = &hub->channels;

    while (*slot) {
        struct channel *channel = *slot;

        if (channel == hub->service || channel->watchers) {
            slot = &channel->next;
            continue;
        }
        *slot = channel->next;
        channel_free(channel);
    }
}

/* The channel of the watcher's run, made at the place where this watcher has come to. NULL: it goes on with its own feed. */
static struct channel *join(struct hub *hub, struct watcher *watcher)
{
    struct channel *channel = hub->channels;
    size_t count = 0;

    for (; channel; channel = channel->next, count++)
        if (channel != hub->service && !strcmp(channel->run, watcher->run))
            return channel;
    if (count >= CHANNELS_MAX)
        return NULL;
    channel = channel_new(hub, watcher->run);
    if (channel && feed_open(watcher->directory, watcher->after_event, watcher->after_sample, &channel->feed) < 0) {
        hub->channels = channel->next;
        free(channel);
        channel = NULL;
    }
    if (channel)
        feed_veil(channel->feed);
    if (channel)
        (void)!write(hub->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    return channel;
}

static void link_watcher(struct watcher **list, struct watcher *watcher)
{
    watcher->next = *list;
    *list = watcher;
}

static void unlink_watcher(struct watcher **list, struct watcher *watcher)
{
    while (*list && *list != watcher)
        list = &(*list)->next;
    if (*list)
        *list = watcher->next;
}

/* ---- the thread ---- */

/* Up to a burst of lines of one channel, so that a long file does not keep the others waiting. True when there may be more. */
static bool read_feed(struct channel *channel)
{
    struct feed_line line;
    size_t taken = 0;

    if (!channel->feed || channel->over)
        return false;
    while (taken < BURST_MAX && feed_next(channel->feed, &line) == 1) {
        push(channel, frame_of(channel->feed, &line), line.kind, line.seq);
        taken++;
        if (line.kind == FEED_END)
            break;
    }
    if (taken)
        wake_all(channel);
    return taken == BURST_MAX;
}

/* A run that was killed with its guardian writes no end: its processes say so. */
static void end_abandoned(struct hub *hub)
{
    char names[CHANNELS_MAX][RUN_MAX];
    size_t count = 0;

    for (struct channel *channel = hub->channels; channel && count < CHANNELS_MAX; channel = channel->next)
        if (channel != hub->service && !channel->over)
            snprintf(names[count++], RUN_MAX, "%s", channel->run);
    pthread_mutex_unlock(&hub->mutex);
    for (size_t i = 0; i < count; i++)
        if (!hub->options.is_over(hub->options.context, names[i]))
            names[i][0] = '\0';
    pthread_mutex_lock(&hub->mutex);
    for (struct channel *channel = hub->channels; channel; channel = channel->next)
        for (size_t i = 0; i < count; i++)
            if (names[i][0] && !strcmp(names[i], channel->run) && !channel->over && !read_feed(channel) && !channel->over) {
                push(channel, end_frame(), FEED_END, 0);
                wake_all(channel);
            }
}

static void beat(struct hub *hub)
{
    for (struct channel *channel = hub->channels; channel; channel = channel->next) {
        for (struct watcher *watcher = channel->watchers; watcher; watcher = watcher->next)
            watcher->heartbeat = true;
        wake_all(channel);
    }
}

/* What to wait for: every feed's descriptor; FEED_POLL_MS where one has none. */
static int gather(struct hub *hub, struct pollfd *fds, nfds_t *ret_count, bool busy)
{
    int timeout_ms = busy ? 0 : 1000;
    nfds_t count = 1;

    fds[0] = (struct pollfd){ .fd = hub->wake_fd, .events = POLLIN };
    for (struct channel *channel = hub->channels; channel; channel = channel->next) {
        if (!channel->feed || channel->over)
            continue;
        if (feed_fd(channel->feed) < 0 || count > CHANNELS_MAX)
            timeout_ms = busy ? 0 : FEED_POLL_MS;
        else
            fds[count++] = (struct pollfd){ .fd = feed_fd(channel->feed), .events = POLLIN };
    }
    *ret_count = count;
    return timeout_ms;
}

static void *run_hub(void *argument)
{
    struct hub *hub = argument;
    struct pollfd fds[CHANNELS_MAX + 2];
    uint64_t beat_ns = clock_now_ns() + HEARTBEAT_NS, drained;
    bool busy = false;

    pthread_mutex_lock(&hub->mutex);
    while (!hub->stopping) {
        nfds_t count;
        int timeout_ms = gather(hub, fds, &count, busy);

        pthread_mutex_unlock(&hub->mutex);
        (void)poll(fds, count, timeout_ms);
        if (fds[0].revents)
            (void)!read(hub->wake_fd, &drained, sizeof(drained));
        pthread_mutex_lock(&hub->mutex);
        forget_channels(hub);
        busy = false;
        for (struct channel *channel = hub->channels; channel; channel = channel->next)
            busy = read_feed(channel) || busy;
        if (clock_now_ns() < beat_ns)
            continue;
        beat_ns = clock_now_ns() + HEARTBEAT_NS;
        end_abandoned(hub);
        beat(hub);
    }
    pthread_mutex_unlock(&hub->mutex);
    return NULL;
}

int hub_start(const struct hub_options *options, struct hub **ret_hub)
{
    struct hub *hub = calloc(1, sizeof(*hub));
    sigset_t all, before;
    int error;

    if (!hub)
        return -ENOMEM;
    hub->options = *options;
    hub->posted = clock_wall_ns() / NS_PER_US;
    hub->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&hub->mutex, NULL);
    hub->service = channel_new(hub, "");
    if (hub->wake_fd < 0 || !hub->service) {
        hub_free(hub);
        return -ENOMEM;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&hub->thread, NULL, run_hub, hub);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    hub->started = error == 0;
    if (error) {
        hub_free(hub);
        return -error;
    }
    *ret_hub = hub;
    return 0;
}

void hub_stop(struct hub *hub)
{
    if (!hub)
        return;
    pthread_mutex_lock(&hub->mutex);
    hub->stopping = true;
    for (struct channel *channel = hub->channels; channel; channel = channel->next)
        wake_all(channel);
    for (struct watcher *watcher = hub->catching_up; watcher; watcher = watcher->next)
        wake(watcher);
    pthread_mutex_unlock(&hub->mutex);
    (void)!write(hub->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    if (hub->started)
        pthread_join(hub->thread, NULL);
    hub->started = false;
}

void hub_free(struct hub *hub)
{
    if (!hub)
        return;
    while (hub->channels) {
        struct channel *channel = hub->channels;

        hub->channels = channel->next;
        channel_free(channel);
    }
    if (hub->wake_fd >= 0)
        close(hub->wake_fd);
    pthread_mutex_destroy(&hub->mutex);
    free(hub);
}

void hub_post(struct hub *hub, const char *kind, const cJSON *data)
{
    char *line = json_text(data), *text = NULL;
    uint64_t now;

    pthread_mutex_lock(&hub->mutex);
    now = clock_wall_ns() / NS_PER_US;
    hub->posted = now > hub->posted ? now : hub->posted + 1;
    if (line && asprintf(&text, "id: %" PRIu64 "\nevent: %s\ndata: %s\n\n", hub->posted, kind, line) < 0)
        text = NULL;
    push(hub->service, text, FEED_EVENT, hub->posted);
    wake_all(hub->service);
    pthread_mutex_unlock(&hub->mutex);
    cJSON_free(line);
}

/* ---- watchers ---- */

static struct watcher *watcher_new(struct hub *hub)
{
    struct watcher *watcher = calloc(1, sizeof(*watcher));

    if (watcher)
        watcher->hub = hub;
    return watcher;
}

int hub_watch_run(struct hub *hub, const char *run, const char *directory, uint64_t after_event, uint64_t after_sample, struct watcher **ret_watcher)
{
    struct watcher *watcher = watcher_new(hub);
    int result;

    if (!watcher)
        return -ENOMEM;
    snprintf(watcher->run, sizeof(watcher->run), "%s", run);
    watcher->after_event = after_event;
    watcher->after_sample = after_sample;
    watcher->directory = strdup(directory);
    result = watcher->directory ? feed_open(directory, after_event, after_sample, &watcher->own) : -ENOMEM;
    if (result == 0)
        feed_veil(watcher->own);
    if (result < 0) {
        free(watcher->directory);
        free(watcher);
        return result;
    }
    pthread_mutex_lock(&hub->mutex);
    link_watcher(&hub->catching_up, watcher);
    hub->watchers++;
    pthread_mutex_unlock(&hub->mutex);
    *ret_watcher = watcher;
    return 0;
}

int hub_watch_service(struct hub *hub, uint64_t after, struct watcher **ret_watcher)
{
    struct watcher *watcher = watcher_new(hub);
    struct channel *channel = hub->service;

    if (!watcher)
        return -ENOMEM;
    pthread_mutex_lock(&hub->mutex);
    watcher->channel = channel;
    watcher->after_event = after;
    watcher->place = after ? channel->first : channel->end;
    if (after && after != hub->posted && (channel->first == channel->end || channel->ring[channel->first % RING_MAX].seq > after))
        watcher->text = strdup("event: reset\ndata: {}\n\n");
    else if (!after)
        watcher->text = strdup(": perturb\n\n"); /* so that the head of the reply is sent at once */
    watcher->length = watcher->text ? strlen(watcher->text) : 0;
    link_watcher(&channel->watchers, watcher);
    hub->watchers++;
    pthread_mutex_unlock(&hub->mutex);
    *ret_watcher = watcher;
    return 0;
}

/* Copies on from the frame being copied; true when it is through. */
static bool copy(struct watcher *watcher, const char *text, size_t length, char *room, size_t size, size_t *used)
{
    size_t part = length - watcher->offset < size - *used ? length - watcher->offset : size - *used;

    memcpy(room + *used, text + watcher->offset, part);
    *used += part;
    watcher->offset += part;
    if (watcher->offset < length)
        return false;
    watcher->offset = 0;
    return true;
}

static bool copy_own(struct watcher *watcher, char *room, size_t size, size_t *used)
{
    if (!watcher->text)
        return true;
    if (!copy(watcher, watcher->text, watcher->length, room, size, used))
        return false;
    free(watcher->text);
    watcher->text = NULL;
    return true;
}

/* Catching up: lines of its own feed, until there is none; then it joins the run's channel. */
static void read_own(struct watcher *watcher, char *room, size_t size, size_t *used)
{
    struct feed_line line;

    while (*used < size && copy_own(watcher, room, size, used) && !watcher->ended) {
        if (feed_next(watcher->own, &line) != 1) {
            feed_place(watcher->own, &watcher->after_event, &watcher->after_sample);
            watcher->channel = join(watcher->hub, watcher);
            if (!watcher->channel)
                return;
            unlink_watcher(&watcher->hub->catching_up, watcher);
            link_watcher(&watcher->channel->watchers, watcher);
            watcher->place = watcher->channel->first;
            watcher->own = feed_close(watcher->own);
            return;
        }
        watcher->text = frame_of(watcher->own, &line);
        watcher->length = watcher->text ? strlen(watcher->text) : 0;
        watcher->ended = line.kind == FEED_END;
    }
}

static bool has_it(const struct watcher *watcher, const struct frame *frame)
{
    return (frame->kind == FEED_EVENT && frame->seq <= watcher->after_event) || (frame->kind == FEED_SAMPLE && frame->seq <= watcher->after_sample);
}

static void read_ring(struct watcher *watcher, char *room, size_t size, size_t *used)
{
    struct channel *channel = watcher->channel;

    if (!copy_own(watcher, room, size, used))
        return;
    if (watcher->place < channel->first) { /* what it needed is gone */
        watcher->lost = true;
        return;
    }
    while (*used < size && watcher->place < channel->end) {
        const struct frame *frame = &channel->ring[watcher->place % RING_MAX];

        if (!has_it(watcher, frame) && !copy(watcher, frame->text, frame->length, room, size, used))
            return;
        watcher->ended = frame->kind == FEED_END;
        watcher->place++;
    }
}

long watcher_read(struct watcher *watcher, void *connection, char *room, size_t size)
{
    struct hub *hub = watcher->hub;
    size_t used = 0;
    long result;

    pthread_mutex_lock(&hub->mutex);
    watcher->connection = connection;
    if (!watcher->channel)
        read_own(watcher, room, size, &used);
    if (watcher->channel)
        read_ring(watcher, room, size, &used);
    if (!used && watcher->heartbeat && size > 3) {
        memcpy(room, ":\n\n", 3);
        used = 3;
    }
    watcher->heartbeat = false;
    result = (long)used;
    if (!used && (watcher->ended || watcher->lost || hub->stopping)) {
        result = -1;
    } else if (!used) {
        watcher->asleep = true;
        hub->options.sleep(connection);
    }
    pthread_mutex_unlock(&hub->mutex);
    return result;
}

void watcher_close(struct watcher *watcher)
{
    struct hub *hub;

    if (!watcher)
        return;
    hub = watcher->hub;
    pthread_mutex_lock(&hub->mutex);
    unlink_watcher(watcher->channel ? &watcher->channel->watchers : &hub->catching_up, watcher);
    hub->watchers--;
    pthread_mutex_unlock(&hub->mutex);
    feed_close(watcher->own);
    free(watcher->directory);
    free(watcher->text);
    free(watcher);
}

size_t hub_watchers(struct hub *hub)
{
    size_t count;

    pthread_mutex_lock(&hub->mutex);
    count = hub->watchers;
    pthread_mutex_unlock(&hub->mutex);
    return count;
}
