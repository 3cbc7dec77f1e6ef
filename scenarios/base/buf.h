/* A growing byte buffer that always ends in a NUL (not counted) and cannot be created without a maximum.
 * Once an append failed (maximum or memory), the buffer stays as it was and `failed` is set: check it once, at the end. */
#ifndef PERTURB_BASE_BUF_H
#define PERTURB_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* NUL-terminated; "" before the first append */
    size_t length;
    size_t capacity;
    size_t length_max;
    bool failed;
};

void buf_init(struct buf *buf, size_t length_max);
void buf_done(struct buf *buf); /* accepts NULL and half-built */

/* Each returns 0, -E2BIG past the maximum, -ENOMEM. `bytes` is borrowed until return. */
int buf_append(struct buf *buf, const void *bytes, size_t length);
int buf_puts(struct buf *buf, const char *text);
int buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reads a whole file, at most the maximum. 0, -errno, -E2BIG when the file is larger. */
int buf_read_file(struct buf *buf, const char *path);
int buf_read_fd(struct buf *buf, int fd);

/* Hands the bytes over: returns new, to be freed; the buffer is empty afterwards. NULL when `failed`. */
char *buf_take(struct buf *buf);

#endif
