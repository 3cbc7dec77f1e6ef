/* A child that serves Toxiproxy's API, and requests to it. */
#include "tests/support/toxiproxy_client.h"

#include "controller/toxiproxy/server.h"
#include "scenarios/base/buf.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"
#include "tests/support/wire_peer.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { ARGS_MAX = 24, ANSWER_MAX = 32 << 20 };

/* ---- the server ------------------------------------------------------------------------------------------------------- */

static void become_server(int log_fd, const char *const *args)
{
    char *argv[ARGS_MAX] = { "proxy", "-port", "0" };
    int argc = 3;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(log_fd, STDOUT_FILENO);
    setenv("LOG_LEVEL", "info", 1);
    if (getenv("PERTURB_TEST_BACKEND")) {
        argv[argc++] = "-backend";
        argv[argc++] = getenv("PERTURB_TEST_BACKEND");
    }
    for (; args && *args && argc < ARGS_MAX - 1; args++)
        argv[argc++] = (char *)(uintptr_t)*args;
    exit(toxiproxy_main(argc, argv));
}

static void *drain_log(void *context)
{
    char bytes[4096];

    while (read(*(int *)context, bytes, sizeof(bytes)) > 0)
        continue;
    return NULL;
}

void toxi_start(struct toxi *toxi, const char *const *args)
{
    char log[16384] = "", *port = NULL;
    size_t have = 0;
    int pipes[2];

    *toxi = (struct toxi){ .pid = -1 };
    if (pipe(pipes) < 0)
        abort();
    fflush(NULL);
    toxi->pid = fork();
    if (!toxi->pid) {
        close(pipes[0]);
        become_server(pipes[1], args);
    }
    close(pipes[1]);
    toxi->log_fd = pipes[0];
    while (!(port = strstr(log, "\"port\":\"")) && have < sizeof(log) - 1) {
        struct pollfd polled = { .fd = toxi->log_fd, .events = POLLIN };
        ssize_t got = poll(&polled, 1, (int)wire_timeout_ms()) > 0 ? read(toxi->log_fd, log + have, sizeof(log) - 1 - have) : 0;

        if (got <= 0) {
            fprintf(stderr, "the server did not start: %s\n", log);
            abort();
        }
        have += (size_t)got;
        log[have] = '\0';
    }
    toxi->port = (uint16_t)strtoul(port + 8, NULL, 10);
    if (!toxi->port || pthread_create(&toxi->drain, NULL, drain_log, &toxi->log_fd))
        abort();
}

int toxi_stop(struct toxi *toxi)
{
    struct timespec deadline = ns_timespec(clock_now_ns() + wire_timeout_ms() * NS_PER_MS);
    bool killed;
    int status = 0;

    kill(toxi->pid, SIGTERM);
    killed = pthread_clockjoin_np(toxi->drain, NULL, CLOCK_MONOTONIC, &deadline) != 0; /* the log's pipe closes as it ends */
    if (killed) {
        kill(toxi->pid, SIGKILL);
        pthread_join(toxi->drain, NULL);
    }
    waitpid(toxi->pid, &status, 0);
    close(toxi->log_fd);
    return !killed && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- requests --------------------------------------------------------------------------------------------------------- */

int toxi_connect(const struct toxi *toxi)
{
    char address[32];

    snprintf(address, sizeof(address), "127.0.0.1:%u", toxi->port);
    return wire_connect(address);
}

static const char *header(const char *head, const char *name)
{
    for (const char *line = head; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (!strncasecmp(line, name, strlen(name)) && line[strlen(name)] == ':')
            return line + strlen(name) + 1 + (line[strlen(name) + 1] == ' ');
        if (*line == '\0')
            break;
    }
    return NULL;
}

static size_t body_size(const char *head)
{
    const char *length = header(head, "Content-Length");

    return length ? strtoul(length, NULL, 10) : 0;
}

bool toxi_read(int fd, struct toxi_answer *ret_answer)
{
    struct buf in;
    size_t head_size = 0, wanted = SIZE_MAX;

    *ret_answer = (struct toxi_answer){ .status = 0 };
    buf_init(&in, ANSWER_MAX);
    while (in.length < wanted) {
        char byte[16384];
        size_t room = head_size ? wanted - in.length : 1; /* byte by byte, so that nothing of a next answer is taken */
        ssize_t got = wire_recv_some(fd, byte, room < sizeof(byte) ? room : sizeof(byte), (int)wire_timeout_ms());

        if (got <= 0) {
            ret_answer->closed = got == 0;
            break;
        }
        buf_append(&in, byte, (size_t)got);
        if (head_size || in.length < 4 || memcmp(in.data + in.length - 4, "\r\n\r\n", 4) != 0)
            continue;
        if (!strncmp(in.data, "HTTP/1.1 100", 12)) {
            buf_done(&in);
            buf_init(&in, ANSWER_MAX);
            continue;
        }
        head_size = in.length;
        wanted = head_size + body_size(in.data);
    }
    if (in.length == wanted) {
        ret_answer->status = (int)strtol(in.data + 9, NULL, 10);
        ret_answer->head = strndup(in.data, head_size);
        ret_answer->size = in.length - head_size;
        ret_answer->body = malloc(ret_answer->size + 1);
        memcpy(ret_answer->body, in.data + head_size, ret_answer->size + 1);
    }
    buf_done(&in);
    return ret_answer->status != 0;
}

bool toxi_raw(int fd, const char *bytes, size_t size, struct toxi_answer *ret_answer)
{
    (void)wire_send_all(fd, bytes, size); /* an early refusal may cut it short */
    return toxi_read(fd, ret_answer);
}

void toxi_answer_done(struct toxi_answer *answer)
{
    free(answer->head);
    free(answer->body);
    *answer = (struct toxi_answer){ .status = 0 };
}

struct toxi_answer toxi_ask(const struct toxi *toxi, const char *method, const char *path, const char *body)
{
    size_t size = body ? strlen(body) : 0;
    struct toxi_answer answer;
    struct buf request;
    int fd = toxi_connect(toxi);
    bool came;

    buf_init(&request, ANSWER_MAX);
    buf_printf(&request, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", method, path, size);
    buf_append(&request, body ? body : "", size);
    came = fd >= 0 && toxi_raw(fd, request.data, request.length, &answer);
    buf_done(&request);
    if (fd >= 0)
        close(fd);
    if (!came) {
        fprintf(stderr, "%s %s: no answer\n", method, path);
        abort();
    }
    return answer;
}

int toxi_do(const struct toxi *toxi, const char *method, const char *path, const char *body)
{
    struct toxi_answer answer = toxi_ask(toxi, method, path, body);
    int status = answer.status;

    if (status >= 400)
        printf("# %s %s %.200s: %d %.300s", method, path, body ? body : "", status, answer.body);
    toxi_answer_done(&answer);
    return status;
}

int toxi_get(const struct toxi *toxi, const char *path, const char *field, char *text, size_t size)
{
    struct toxi_answer answer = toxi_ask(toxi, "GET", path, NULL);
    cJSON *document = cJSON_Parse(answer.body);
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(document, field);
    char *printed = value && !cJSON_IsString(value) ? cJSON_PrintUnformatted(value) : NULL;
    int status = answer.status;

    snprintf(text, size, "%s", cJSON_IsString(value) ? value->valuestring : printed ? printed : "");
    cJSON_free(printed);
    cJSON_Delete(document);
    toxi_answer_done(&answer);
    return status;
}
