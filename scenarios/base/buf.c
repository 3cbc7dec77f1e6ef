/* Growing byte buffer with a stated maximum. Control plane only. */
#include "scenarios/base/buf.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>

static char empty[1];

void buf_init(struct buf *buf, size_t length_max)
{
    *buf = (struct buf){ .data = empty, .length_max = length_max };
}

void buf_done(struct buf *buf)
{
    if (!buf || !buf->data)
        return;
    if (buf->data != empty)
        free(buf->data);
    buf_init(buf, buf->length_max);
}

static int buf_reserve(struct buf *buf, size_t more)
{
    size_t wanted, capacity;
    char *grown;

    if (buf->failed)
        return -ENOMEM;
    if (more > buf->length_max - buf->length) {
        buf->failed = true;
        return -E2BIG;
    }
    wanted = buf->length + more + 1;
    if (wanted <= buf->capacity)
        return 0;
    capacity = MAX(wanted, MAX((size_t)256, buf->capacity * 2));
    grown = realloc(buf->data == empty ? NULL : buf->data, capacity);
    if (!grown) {
        buf->failed = true;
        return -ENOMEM;
    }
    buf->data = grown;
    buf->capacity = capacity;
    return 0;
}

int buf_append(struct buf *buf, const void *bytes, size_t length)
{
    int result = buf_reserve(buf, length);

    if (result < 0)
        return result;
    memcpy(buf->data + buf->length, bytes, length);
    buf->length += length;
    buf->data[buf->length] = '\0';
    return 0;
}

int buf_puts(struct buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

int buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    int length, result;

    va_start(args, format);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        return -EINVAL;
    result = buf_reserve(buf, (size_t)length);
    if (result < 0)
        return result;
    va_start(args, format);
    vsnprintf(buf->data + buf->length, (size_t)length + 1, format, args);
    va_end(args);
    buf->length += (size_t)length;
    return 0;
}

int buf_read_fd(struct buf *buf, int fd)
{
    char chunk[16384];

    for (;;) {
        ssize_t got = read(fd, chunk, sizeof(chunk));
        int result;

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : 0;
        result = buf_append(buf, chunk, (size_t)got);
        if (result < 0)
            return result;
    }
}

int buf_read_file(struct buf *buf, const char *path)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

    return fd < 0 ? -errno : buf_read_fd(buf, fd);
}

char *buf_take(struct buf *buf)
{
    char *taken;

    if (buf->failed) {
        buf_done(buf);
        return NULL;
    }
    taken = buf->data == empty ? calloc(1, 1) : buf->data;
    buf_init(buf, buf->length_max);
    return taken;
}
