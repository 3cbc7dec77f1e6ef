/* Facts about targets. */
#include "controller/run/ready.h"

#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/vocab/message.h"
#include "shims/host/group.h"
#include "shims/host/page.h"
#include "shims/host/process.h"

#include <curl/curl.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { ATTEMPT_MS = 500 };

/* An ordinary user may not, and has no capture by the kernel either. */
static void pass_by_captures(int fd)
{
    (void)setsockopt(fd, SOL_SOCKET, SO_MARK, &(uint32_t){ CAPTURE_MARK }, sizeof(uint32_t));
}

static bool connects(const struct addrinfo *info)
{
    AUTO_CLOSE int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof(int);
    int error = 0;

    if (fd < 0)
        return false;
    pass_by_captures(fd);
    if (connect(fd, info->ai_addr, info->ai_addrlen) == 0)
        return true;
    if (errno != EINPROGRESS || poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, ATTEMPT_MS) <= 0)
        return false;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
}

bool ready_tcp(const char *address)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    char host[256];
    const char *colon = strrchr(address, ':');
    bool ok = false;

    if (!colon)
        return false;
    snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address);
    if (host[0] == '[') {
        host[strcspn(host, "]")] = '\0';
        memmove(host, host + 1, strlen(host));
    }
    if (getaddrinfo(host, colon + 1, &hints, &list) != 0)
        return false;
    for (const struct addrinfo *info = list; info && !ok; info = info->ai_next)
        ok = connects(info);
    freeaddrinfo(list);
    return ok;
}

static size_t drop_body(char *bytes, size_t size, size_t count, void *context)
{
    (void)bytes;
    (void)context;
    return size * count;
}

static int mark_socket(void *context, curl_socket_t fd, curlsocktype purpose)
{
    (void)context;
    (void)purpose;
    pass_by_captures(fd);
    return CURL_SOCKOPT_OK;
}

bool ready_http(const char *url)
{
    CURL *easy = curl_easy_init();
    long status = 0;

    if (!easy)
        return false;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)ATTEMPT_MS);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, mark_socket);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop_body);
    if (curl_easy_perform(easy) == CURLE_OK)
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(easy);
    return status >= 200 && status < 300;
}

/* One property of a unit, the line without its end. */
static int ask_unit(const char *unit, const char *property, char *line, int size)
{
    char command[256];
    FILE *pipe;

    line[0] = '\0';
    if (strspn(unit, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@") != strlen(unit) || unit[0] == '-')
        return -ESRCH;
    snprintf(command, sizeof(command), "exec systemctl show --property=%s --value -- '%s' 2>/dev/null", property, unit);
    pipe = popen(command, "re");
    if (!pipe)
        return -ESRCH;
    (void)!fgets(line, size, pipe);
    pclose(pipe);
    line[strcspn(line, "\n")] = '\0';
    return line[0] ? 0 : -ESRCH;
}

static int find_unit(const char *unit, pid_t *ret_pid)
{
    char line[64];

    if (ask_unit(unit, "MainPID", line, sizeof(line)) < 0)
        return -ESRCH;
    *ret_pid = (pid_t)strtol(line, NULL, 10);
    return *ret_pid > 0 ? 0 : -ESRCH;
}

/* systemd keeps a unit's processes in a control group of their own. */
int ready_unit_group(const char *unit, char *path)
{
    char line[GROUP_PATH_MAX];

    return ask_unit(unit, "ControlGroup", line, sizeof(line)) < 0 ? -ESRCH : group_path(line, path);
}

int ready_find_running(const struct target *target, pid_t *ret_pid)
{
    struct process_id id;

    if (target->pid != ABSENT) {
        *ret_pid = (pid_t)target->pid;
        return process_identify(*ret_pid, &id) == 0 && process_is_alive(&id) ? 0 : -ESRCH;
    }
    if (target->cgroup)
        return group_pids(target->cgroup, ret_pid, 1) == 1 ? 0 : -ESRCH;
    return target->unit ? find_unit(target->unit, ret_pid) : -ESRCH;
}

struct page_search {
    pid_t pid;
    char *name;
    size_t size;
};

static int compare_page(struct page *page, void *context)
{
    struct page_search *search = context;
    struct page_process list[CONTROL_PROCESSES_MAX];
    size_t count = page_processes(page, list, ARRAY_SIZE(list));

    for (size_t i = 0; i < count; i++)
        if (list[i].pid == search->pid) {
            snprintf(search->name, search->size, "%s", page_name(page));
            return 1;
        }
    return 0;
}

int ready_find_page(const struct registry *registry, pid_t pid, char *name, size_t size)
{
    struct page_search search = { pid, name, size };

    return page_each(registry, compare_page, &search) == 1 ? 0 : -ENOENT;
}

void ready_log_tail(const char *path, char *text, size_t size)
{
    struct buf log;
    size_t end, start;

    text[0] = '\0';
    buf_init(&log, 16 << 20);
    if (buf_read_file(&log, path) == 0) {
        for (end = log.length; end && strchr("\r\n ", log.data[end - 1]); end--)
            ;
        for (start = end; start && log.data[start - 1] != '\n'; start--)
            ;
        snprintf(text, size, "%.*s", (int)(end - start), log.data + start);
    }
    buf_done(&log);
}
