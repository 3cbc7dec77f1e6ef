/* What a Redis tells of itself: one INFO over a connection of its own, as RESP ("Redis serialization protocol specification"). */
#include "controller/probe/probe_priv.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { REPLY_MAX = 1 << 20 };

/* Where the value of a name begins among "NAME<separator>VALUE" items that one of `ends` closes; NULL when there is none. */
static const char *value_after(const char *text, const char *name, size_t length, char separator, const char *ends, const char *stop)
{
    while (*text && !strchr(stop, *text)) {
        if (!strncmp(text, name, length) && text[length] == separator)
            return text + length + 1;
        text += strcspn(text, ends);
        text += *text && !strchr(stop, *text);
    }
    return NULL;
}

int redis_info_number(const char *info, const char *field, double *ret_value)
{
    const char *dot = strrchr(field, '.');
    const char *value = value_after(info, field, strlen(field), ':', "\n", "");
    char *end;
    double number;

    if (!value && dot) {
        value = value_after(info, field, (size_t)(dot - field), ':', "\n", "");
        value = value ? value_after(value, dot + 1, strlen(dot + 1), '=', ",\r\n", "\r\n") : NULL;
    }
    if (!value)
        return -ENOENT;
    number = strtod(value, &end);
    end += *end == '%';
    if (end == value || (*end && !strchr(",\r\n", *end)))
        return -EDOM;
    *ret_value = number;
    return 0;
}

/* Until the reply has so many bytes, or a line when `wanted` is 0. */
static int receive(struct reading *reading, int fd, struct buf *reply, size_t wanted)
{
    char block[16384];

    while (wanted ? reply->length < wanted : !strstr(reply->data, "\r\n")) {
        ssize_t got = reading_wait(reading, fd, POLLIN) < 0 ? -1 : recv(fd, block, sizeof(block), 0);

        if (got < 0 && reading->why[0])
            return -EIO;
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return reading_fail(reading, "the connection ended: %s", got ? strerror(errno) : "by the other side");
        if (got > 0 && buf_append(reply, block, (size_t)got) < 0)
            return reading_fail(reading, "the answer is longer than %d bytes", REPLY_MAX);
    }
    return 0;
}

/* One command, its answer's content in `reply`: a line after '+', or a text after "$N". An error is the answer's own words. */
static int ask(struct reading *reading, int fd, const char *const *words, size_t count, struct buf *reply)
{
    struct buf request;
    long length = -1;
    int result;

    buf_init(&request, 65536);
    buf_printf(&request, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++)
        buf_printf(&request, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
    result = request.failed ? reading_fail(reading, "the request is too long") : reading_send(reading, fd, request.data, request.length);
    buf_done(&request);
    buf_done(reply);
    buf_init(reply, REPLY_MAX);
    if (result == 0)
        result = receive(reading, fd, reply, 0);
    if (result < 0)
        return result;
    if (reply->data[0] == '-')
        return reading_fail(reading, "%.*s", (int)strcspn(reply->data + 1, "\r\n"), reply->data + 1);
    if (reply->data[0] != '$')
        return 0;
    length = strtol(reply->data + 1, NULL, 10);
    if (length < 0 || length > REPLY_MAX)
        return reading_fail(reading, "the answer is none of INFO");
    return receive(reading, fd, reply, strcspn(reply->data, "\n") + 1 + (size_t)length);
}

static int ask_all(struct reading *reading, int fd, struct buf *reply)
{
    const struct redis_probe *redis = &reading->probe->redis;
    const char *login[3] = { "AUTH" }, *const info[] = { "INFO", "all" };
    size_t count = 1;
    double value;

    if (redis->user)
        login[count++] = redis->user;
    if (redis->password)
        login[count++] = redis->password;
    if ((count > 1 && ask(reading, fd, login, count, reply) < 0) || ask(reading, fd, info, 2, reply) < 0)
        return -EIO;
    if (redis_info_number(reply->data, redis->field, &value) < 0)
        return reading_fail(reading, "INFO has no number '%.80s'", redis->field);
    reading_put(reading, reading->now_ns, value);
    return 0;
}

static int redis_read(struct reading *reading)
{
    const char *address = reading->probe->redis.url + strlen("redis://");
    AUTO_CLOSE int fd = -1;
    char text[256];
    struct buf reply;
    int result;

    snprintf(text, sizeof(text), "%.*s", (int)strcspn(address, "/"), address);
    result = reading_connect(reading, text, &fd);
    if (result < 0)
        return result;
    buf_init(&reply, REPLY_MAX);
    result = ask_all(reading, fd, &reply);
    buf_done(&reply);
    return result;
}

const struct probe_reader probe_redis = { .read = redis_read };
