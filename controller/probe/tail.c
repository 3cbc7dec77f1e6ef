/* A file that is followed by name, as tail -F does, without a thread or a watch of its own: each call looks.
 *
 * 1. What another file under the same name replaces is read to its end first.
 * 2. A file that has shrunk is read from its start. One that was truncated and has grown past where we were, between two calls, looks
 *    like one that has only grown: its lines up to there are not seen. */
#include "controller/probe/probe_priv.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CALL_BYTES_MAX = 64 << 20, ROTATIONS_MAX = 16 };

struct tail {
    int fd; /* -1: the file has not been seen */
    off_t offset;
    size_t length;  /* of the line that is not whole yet */
    bool skips;     /* up to the line's end: it was begun before us, or was too long */
    char line[LOG_LINE_MAX + 1];
};

struct taker {
    void (*take)(void *context, const char *line, size_t length);
    void *context;
    size_t budget;
};

struct tail *tail_new(void)
{
    struct tail *tail = calloc(1, sizeof(*tail));

    if (tail)
        tail->fd = -1;
    return tail;
}

struct tail *tail_free(struct tail *tail)
{
    if (tail && tail->fd >= 0)
        close(tail->fd);
    free(tail);
    return NULL;
}

static int open_log(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

void tail_begin(struct tail *tail, const char *path)
{
    char last = '\n';

    tail->fd = open_log(path);
    if (tail->fd < 0)
        return;
    tail->offset = lseek(tail->fd, 0, SEEK_END);
    if (tail->offset > 0)
        (void)!pread(tail->fd, &last, 1, tail->offset - 1);
    tail->skips = last != '\n';
}

static void end_line(struct tail *tail, const struct taker *taker)
{
    if (tail->length && tail->line[tail->length - 1] == '\r')
        tail->length--;
    tail->line[tail->length] = '\0';
    if (!tail->skips)
        taker->take(taker->context, tail->line, tail->length);
    tail->length = 0;
    tail->skips = false;
}

static void take_bytes(struct tail *tail, const struct taker *taker, const char *bytes, size_t count)
{
    while (count) {
        const char *end = memchr(bytes, '\n', count);
        size_t part = end ? (size_t)(end - bytes) : count, room = LOG_LINE_MAX - tail->length;

        if (!tail->skips)
            memcpy(tail->line + tail->length, bytes, part < room ? part : room);
        tail->length += tail->skips ? 0 : part < room ? part : room;
        if (!tail->skips && part > room) { /* it comes cut, and its rest is passed over */
            end_line(tail, taker);
            tail->skips = true;
        }
        if (end)
            end_line(tail, taker);
        bytes += part + (end != NULL);
        count -= part + (end != NULL);
    }
}

/* All that lies behind where we are. 0 or -errno. */
static int drain(struct tail *tail, struct taker *taker)
{
    char block[65536];
    struct stat status;
    ssize_t got;

    if (fstat(tail->fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size < tail->offset) {
        tail->offset = 0;
        tail->length = 0;
        tail->skips = false;
    }
    while (taker->budget && (got = pread(tail->fd, block, sizeof(block), tail->offset)) != 0) {
        if (got < 0)
            return errno == EINTR ? 0 : -errno;
        tail->offset += got;
        taker->budget -= (size_t)got < taker->budget ? (size_t)got : taker->budget;
        take_bytes(tail, taker, block, (size_t)got);
    }
    return 0;
}

static bool is_replaced(const struct tail *tail, const char *path)
{
    struct stat ours, named;

    return fstat(tail->fd, &ours) == 0 && stat(path, &named) == 0 && (ours.st_dev != named.st_dev || ours.st_ino != named.st_ino);
}

int tail_read(struct tail *tail, const char *path, void (*take)(void *context, const char *line, size_t length), void *context)
{
    struct taker taker = { take, context, CALL_BYTES_MAX };

    for (int rotations = 0; rotations < ROTATIONS_MAX; rotations++) {
        int result;

        if (tail->fd < 0) {
            tail->fd = open_log(path);
            tail->offset = 0;
            tail->length = 0;
            tail->skips = false;
        }
        if (tail->fd < 0)
            return -errno;
        result = drain(tail, &taker);
        if (result < 0 || !taker.budget || !is_replaced(tail, path))
            return result;
        result = drain(tail, &taker); /* what was written between our look and its replacement */
        if (result < 0)
            return result;
        if (tail->length && !tail->skips)
            end_line(tail, &taker); /* nobody will end it any more */
        close(TAKE_FD(tail->fd));
    }
    return 0;
}
