/* The follower of a run's files. */
#include "controller/watch/feed.h"

#include "controller/watch/veil.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAIL_READ = 64 * 1024, TAILS = 2 };

/* A file that grows. The bytes in [begin, end) are not given yet. */
struct tail {
    const char *name;
    int fd; /* -1 while there is no file */
    ino_t inode;
    off_t offset; /* of the file: what was read */
    char *bytes;
    size_t begin, end, capacity;
    bool is_skipping; /* inside a line that is longer than FEED_LINE_MAX */
    bool is_at_end;   /* a start with the samples to come: what is there already is passed over */
    uint64_t seq;     /* given last */
};

struct feed {
    int directory_fd, notify_fd;
    struct tail tails[TAILS]; /* by enum feed_kind */
    bool has_ended;
    struct veil *veil; /* NULL: lines are given as they are */
    char *veiled;      /* the line that was given last, when it is not */
};

/* ---- one file ----------------------------------------------------------------------------------------------------------------- */

static void rewind_tail(struct tail *tail)
{
    tail->offset = 0;
    tail->begin = tail->end = 0;
    tail->is_skipping = false;
}

/* Another file of the name, or the same one shorter than what was read: from its start again. 0 or -errno. */
static int look_for_file(struct tail *tail, int directory_fd)
{
    struct stat status;

    if (fstatat(directory_fd, tail->name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (tail->fd >= 0 && status.st_ino == tail->inode && status.st_size >= tail->offset)
        return 0;
    if (tail->fd < 0 || status.st_ino != tail->inode) {
        int fd = openat(directory_fd, tail->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

        if (fd < 0)
            return errno == ENOENT ? 0 : -errno;
        if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
            close(fd);
            return -EINVAL;
        }
        if (tail->fd >= 0)
            close(tail->fd);
        tail->fd = fd;
        tail->inode = status.st_ino;
    }
    rewind_tail(tail);
    return 0;
}

static int make_room(struct tail *tail)
{
    if (tail->begin) {
        memmove(tail->bytes, tail->bytes + tail->begin, tail->end - tail->begin);
        tail->end -= tail->begin;
        tail->begin = 0;
    }
    if (tail->end >= FEED_LINE_MAX) { /* no line of ours is so long */
        tail->is_skipping = true;
        tail->end = 0;
    }
    if (tail->end + TAIL_READ + 1 > tail->capacity) {
        size_t capacity = tail->end + TAIL_READ + 1;
        char *grown = realloc(tail->bytes, capacity);

        if (!grown)
            return -ENOMEM;
        tail->bytes = grown;
        tail->capacity = capacity;
    }
    return 0;
}

/* 1 when bytes came, 0 at the end of the file. */
static int read_more(struct tail *tail)
{
    ssize_t got;
    int result = make_room(tail);

    if (result < 0 || tail->fd < 0)
        return result;
    got = pread(tail->fd, tail->bytes + tail->end, TAIL_READ, tail->offset);
    if (got <= 0)
        return got == 0 || errno == EINTR ? 0 : -errno;
    tail->end += (size_t)got;
    tail->offset += got;
    return 1;
}

static bool read_seq(const char *line, uint64_t *ret_seq)
{
    static const char head[] = "{\"seq\":";
    char *end;

    if (strncmp(line, head, sizeof(head) - 1) != 0 || line[sizeof(head) - 1] < '0' || line[sizeof(head) - 1] > '9')
        return false;
    errno = 0;
    *ret_seq = strtoull(line + sizeof(head) - 1, &end, 10);
    return !errno && (*end == ',' || *end == '}');
}

/* The next whole line in the buffer that is to be given. */
static bool take_line(struct tail *tail, struct feed_line *ret_line)
{
    while (tail->begin < tail->end) {
        char *line = tail->bytes + tail->begin, *newline = memchr(line, '\n', tail->end - tail->begin);
        bool is_rest = tail->is_skipping;
        uint64_t seq;

        if (!newline)
            return false;
        tail->begin += (size_t)(newline - line) + 1;
        tail->is_skipping = false;
        *newline = '\0';
        if (!is_rest && newline > line && newline[-1] == '}' && !memchr(line, '\0', (size_t)(newline - line)) && read_seq(line, &seq) &&
            (seq > tail->seq || tail->is_at_end)) {
            tail->seq = seq;
            if (tail->is_at_end)
                continue;
            *ret_line = (struct feed_line){ .seq = seq, .text = line, .length = (size_t)(newline - line) };
            return true;
        }
    }
    return false;
}

static int next_of(struct tail *tail, int directory_fd, struct feed_line *ret_line)
{
    bool has_looked = false;
    int result;

    for (;;) {
        if (take_line(tail, ret_line))
            return 1;
        result = read_more(tail);
        if (result < 0)
            return result;
        if (result > 0)
            continue;
        tail->is_at_end &= tail->fd < 0;
        if (has_looked)
            return 0;
        result = look_for_file(tail, directory_fd);
        if (result < 0)
            return result;
        has_looked = true;
    }
}

/* ---- the feed ------------------------------------------------------------------------------------------------------------------ */

int feed_open(const char *directory, uint64_t after_event, uint64_t after_sample, struct feed **ret_feed)
{
    struct feed *feed = calloc(1, sizeof(*feed));
    int result;

    if (!feed)
        return -ENOMEM;
    feed->tails[FEED_EVENT] = (struct tail){ .name = "events.jsonl", .fd = -1, .seq = after_event };
    feed->tails[FEED_SAMPLE] = (struct tail){ .name = "live.jsonl", .fd = -1, .seq = after_sample == UINT64_MAX ? 0 : after_sample,
                                              .is_at_end = after_sample == UINT64_MAX };
    feed->notify_fd = -1;
    feed->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (feed->directory_fd < 0) {
        result = -errno;
        free(feed);
        return result;
    }
    feed->tails[FEED_SAMPLE].is_at_end &= faccessat(feed->directory_fd, "live.jsonl", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    feed->notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (feed->notify_fd >= 0 && inotify_add_watch(feed->notify_fd, directory, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) < 0) {
        close(feed->notify_fd);
        feed->notify_fd = -1;
    }
    *ret_feed = feed;
    return 0;
}

struct feed *feed_close(struct feed *feed)
{
    if (!feed)
        return NULL;
    for (size_t i = 0; i < TAILS; i++) {
        if (feed->tails[i].fd >= 0)
            close(feed->tails[i].fd);
        free(feed->tails[i].bytes);
    }
    if (feed->notify_fd >= 0)
        close(feed->notify_fd);
    veil_free(feed->veil);
    free(feed->veiled);
    close(feed->directory_fd);
    free(feed);
    return NULL;
}

int feed_fd(const struct feed *feed)
{
    return feed->notify_fd;
}

/* What changed is found by reading; the notices only wake. */
static void forget_notices(const struct feed *feed)
{
    char notices[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

    while (feed->notify_fd >= 0 && read(feed->notify_fd, notices, sizeof(notices)) > 0)
        ;
}

static void veil_one(struct feed *feed, struct feed_line *line)
{
    free(feed->veiled);
    feed->veiled = veil_line(feed->veil, line->text);
    if (feed->veiled) {
        line->text = feed->veiled;
        line->length = strlen(feed->veiled);
    }
}

static int read_whole(const struct feed *feed, const char *name, struct buf *text)
{
    AUTO_CLOSE int fd = openat(feed->directory_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    return fd < 0 ? -errno : buf_read_fd(text, fd);
}

/* What is released is no secret any more, wherever the feed begins. */
static bool is_lifted(const struct feed *feed)
{
    struct buf events;
    bool lifted;

    buf_init(&events, 64 << 20);
    lifted = read_whole(feed, "events.jsonl", &events) == 0 && strstr(events.data, "{\"phase\":\"observe\"}");
    buf_done(&events);
    return lifted;
}

void feed_veil(struct feed *feed)
{
    struct buf text;
    cJSON *plan;

    buf_init(&text, 4 << 20);
    plan = read_whole(feed, "plan.json", &text) == 0 ? cJSON_Parse(text.data) : NULL;
    buf_done(&text);
    if (!is_lifted(feed))
        feed->veil = veil_new(plan);
    cJSON_Delete(plan);
}

static int next_line(struct feed *feed, struct feed_line *ret_line)
{
    for (size_t i = 0; i < TAILS; i++) {
        int result = next_of(&feed->tails[i], feed->directory_fd, ret_line);

        if (result == 0)
            continue;
        if (result > 0)
            ret_line->kind = (enum feed_kind)i;
        if (result > 0 && veil_hides(feed->veil))
            veil_one(feed, ret_line);
        return result;
    }
    return 0;
}

int feed_next(struct feed *feed, struct feed_line *ret_line)
{
    bool is_over;
    int result = next_line(feed, ret_line);

    if (result != 0)
        return result;
    /* Notices that come from here on are of what is not read yet. The result is looked for first: it is written last. */
    forget_notices(feed);
    is_over = faccessat(feed->directory_fd, "result.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    result = next_line(feed, ret_line);
    if (result != 0 || !is_over || feed->has_ended)
        return result;
    feed->has_ended = true;
    *ret_line = (struct feed_line){ .kind = FEED_END, .text = "" };
    return 1;
}

void feed_place(const struct feed *feed, uint64_t *ret_event, uint64_t *ret_sample)
{
    *ret_event = feed->tails[FEED_EVENT].seq;
    *ret_sample = feed->tails[FEED_SAMPLE].seq;
}

char *feed_id_print(uint64_t event, uint64_t sample, char text[FEED_ID_MAX])
{
    snprintf(text, FEED_ID_MAX, "%" PRIu64 ".%" PRIu64, event, sample);
    return text;
}

static bool read_number(const char **at, uint64_t *ret_number)
{
    char *end;

    if (**at < '0' || **at > '9')
        return false;
    errno = 0;
    *ret_number = strtoull(*at, &end, 10);
    *at = end;
    return !errno;
}

int feed_id_parse(const char *text, uint64_t *ret_event, uint64_t *ret_sample)
{
    uint64_t event, sample = 0;

    if (!read_number(&text, &event))
        return -EINVAL;
    if (*text == '.') {
        text++;
        if (!read_number(&text, &sample))
            return -EINVAL;
    }
    if (*text)
        return -EINVAL;
    *ret_event = event;
    *ret_sample = sample;
    return 0;
}
