/* The audit log as it is read by those who answer for it. */
#include "controller/serve/http/audit.h"
#include "controller/serve/http/dispatch.h"
#include "controller/serve/core/service.h"
#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK_BYTES = 64 << 10, PATH_BYTES = 4096 };

/* The lines that end before byte `end` of the log, backwards, newest first, at most `limit`; *ret_first is where the oldest of them begins. */
static int read_back(int fd, off_t end, size_t limit, cJSON *items, off_t *ret_first)
{
    AUTO_FREE char *block = malloc(BLOCK_BYTES + 1);

    if (!block)
        return -ENOMEM;
    while (limit && end > 0) {
        off_t from = end > BLOCK_BYTES ? end - BLOCK_BYTES : 0;
        ssize_t got = pread(fd, block, (size_t)(end - from), from);
        size_t at = got > 0 ? (size_t)got : 0;

        if (got <= 0)
            return got < 0 ? -errno : 0;
        while (limit && at) {
            size_t begin = at - 1; /* at the newline that ends the line */

            while (begin && block[begin - 1] != '\n')
                begin--;
            if (!begin && from)
                break; /* the line began before this block */
            block[at] = '\0';
            cJSON_AddItemToArray(items, cJSON_Parse(block + begin));
            limit--;
            at = begin;
        }
        if (from + (off_t)at == end)
            return -EBADMSG;
        end = from + (off_t)at;
    }
    *ret_first = end;
    return 0;
}

int audit_list(struct api_call *call)
{
    const char *before[1] = { NULL };
    char path[PATH_BYTES], text[24];
    AUTO_FREE char *next = NULL;
    AUTO_CLOSE int fd = -1;
    struct stat facts;
    cJSON *items;
    off_t end, first = 0;
    int result;

    if (api_cursor(call, before, 1) < 0)
        return 0;
    snprintf(path, sizeof(path), "%s/audit.jsonl", service_data(api_service(call)));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &facts) < 0)
        return api_fail(call, 503, "the audit log cannot be read: %s", strerror(errno));
    end = before[0] ? (off_t)strtoll(before[0], NULL, 10) : facts.st_size;
    if (end < 0 || end > facts.st_size)
        return api_fail(call, 400, "the cursor is none that this list has given");
    items = cJSON_CreateArray();
    result = read_back(fd, end, api_limit(call), items, &first);
    if (result < 0) {
        cJSON_Delete(items);
        return api_fail(call, 503, "the audit log cannot be read: %s", strerror(-result));
    }
    snprintf(text, sizeof(text), "%lld", (long long)first);
    if (first > 0)
        next = api_cursor_make((const char *const[]){ text }, 1);
    return api_reply_list(call, items, next);
}
