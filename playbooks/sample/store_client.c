/* The store's client protocol. One command, one reply: what follows the reply would be an error of the store. */
#include "playbooks/sample/store_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "playbooks/sample/net.h"

enum { REPLY_MAX = 4096, COMMAND_MAX = 512 };

static int send_all(int fd, const char *bytes, size_t length, uint64_t deadline_ns)
{
    for (size_t sent = 0; sent < length;) {
        ssize_t count = send(fd, bytes + sent, length - sent, MSG_NOSIGNAL);
        if (count >= 0) {
            sent += (size_t)count;
            continue;
        }
        if (errno != EAGAIN)
            return -ECONNRESET;
        int rc = net_wait(fd, POLLOUT, deadline_ns);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Total bytes of the reply once its first line is here, 0 before, -EPROTO when it is no bulk string. */
static long reply_bytes(const char *reply, size_t length, const char **ret_text, size_t *ret_text_bytes)
{
    const char *end = memmem(reply, length, "\r\n", 2);

    if (length > 0 && reply[0] != '$')
        return -EPROTO;
    if (!end)
        return length < REPLY_MAX ? 0 : -EPROTO;
    long bytes = strtol(reply + 1, NULL, 10);
    if (bytes < -1 || bytes > REPLY_MAX - 32)
        return -EPROTO;
    *ret_text = end + 2;
    *ret_text_bytes = bytes > 0 ? (size_t)bytes : 0;
    return end + 2 - reply + (bytes >= 0 ? bytes + 2 : 0);
}

int store_get(int fd, const char *key, uint64_t deadline_ns, char *value, size_t size)
{
    char bytes[REPLY_MAX + 1];
    const char *text = NULL;
    size_t length = 0, text_bytes = 0;
    long total = 0;
    int printed = snprintf(bytes, COMMAND_MAX, "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n", strlen(key), key);
    int rc = printed < COMMAND_MAX ? send_all(fd, bytes, (size_t)printed, deadline_ns) : -EPROTO;

    while (rc == 0 && (total == 0 || length < (size_t)total)) {
        rc = net_wait(fd, POLLIN, deadline_ns);
        ssize_t got = rc == 0 ? recv(fd, bytes + length, REPLY_MAX - length, 0) : 0;
        if (rc == 0 && got <= 0 && !(got < 0 && errno == EAGAIN))
            rc = -ECONNRESET;
        if (rc < 0)
            return rc;
        length += got > 0 ? (size_t)got : 0;
        bytes[length] = '\0';
        total = reply_bytes(bytes, length, &text, &text_bytes);
        if (total < 0 || (total > 0 && length > (size_t)total))
            return -EPROTO;
    }
    if (rc == 0)
        snprintf(value, size, "%.*s", (int)text_bytes, text ? text : "");
    return rc;
}
