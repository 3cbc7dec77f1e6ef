/* write(2) until all is written. */
#include "scenarios/base/file.h"

#include <errno.h>
#include <unistd.h>

int file_write_all(int fd, const void *bytes, size_t size)
{
    const char *rest = bytes;

    while (size) {
        ssize_t written = write(fd, rest, size);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        rest += written;
        size -= (size_t)written;
    }
    return 0;
}
