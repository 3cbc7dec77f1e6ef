/* The providers: http by libcurl, process by posix_spawn. Their results have the shapes of the format: {status, headers, body} and
 * {status, stdout, stderr}. An HTTP status of 500 or an exit status of 1 is a result, no error: the tolerance decides. */
#include "controller/ctk/ctk_priv.h"

#include "controller/base/json.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>

enum { OUTPUT_MAX = 16 << 20, ARGUMENTS_MAX = 256, POLL_MS = 20 };

static int fail(char *why, size_t size, const char *what, const char *reason)
{
    snprintf(why, size, "%s: %s", what, reason);
    return -EIO;
}

/* ---- http -------------------------------------------------------------------------------------------------------------------- */

struct answer {
    struct buf body;
    cJSON *headers;
    const atomic_bool *stopping;
};

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
    struct answer *answer = context;

    return buf_append(&answer->body, bytes, size * count) < 0 ? 0 : size * count;
}

/* "Name: value\r\n"; a status line begins a new answer (a redirect before it). */
static size_t take_header(char *bytes, size_t size, size_t count, void *context)
{
    struct answer *answer = context;
    size_t length = size * count, end = length;
    char *colon = memchr(bytes, ':', length), *name, *value;

    if (length > 5 && !memcmp(bytes, "HTTP/", 5)) {
        cJSON_Delete(answer->headers);
        answer->headers = cJSON_CreateObject();
    } else if (colon) {
        while (end && (bytes[end - 1] == '\r' || bytes[end - 1] == '\n'))
            end--;
        name = strndup(bytes, (size_t)(colon - bytes));
        colon++;
        while (colon < bytes + end && *colon == ' ')
            colon++;
        value = strndup(colon, (size_t)(bytes + end - colon));
        if (name && value) {
            cJSON_DeleteItemFromObjectCaseSensitive(answer->headers, name);
            cJSON_AddStringToObject(answer->headers, name, value);
        }
        free(name);
        free(value);
    }
    return length;
}

static int go_on(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(((const struct answer *)context)->stopping);
}

static const cJSON *header_of(const cJSON *headers, const char *name)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, headers)
        if (!strcasecmp(item->string, name))
            return item;
    return NULL;
}

/* Arguments as a query string or a form: name=value&... */
static void put_form(CURL *curl, struct buf *out, const cJSON *arguments)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, arguments) {
        AUTO_FREE char *text = ctk_print(item);
        char *name = curl_easy_escape(curl, item->string, 0), *value = curl_easy_escape(curl, text ? text : "", 0);

        buf_printf(out, "%s%s=%s", out->length ? "&" : "", name ? name : "", value ? value : "");
        curl_free(name);
        curl_free(value);
    }
}

static struct curl_slist *header_list(const cJSON *headers)
{
    struct curl_slist *list = NULL;
    const cJSON *item;

    cJSON_ArrayForEach(item, headers) {
        AUTO_FREE char *value = ctk_print(item);
        AUTO_FREE char *line = NULL;

        if (asprintf(&line, "%s: %s", item->string, value ? value : "") >= 0)
            list = curl_slist_append(list, line);
        else
            line = NULL;
    }
    return list;
}

/* A number of seconds, or [to connect, to read]. */
static void set_timeouts(CURL *curl, const cJSON *timeout)
{
    if (cJSON_IsNumber(timeout)) {
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(timeout->valuedouble * 1000));
    } else if (cJSON_GetArraySize(timeout) == 2) {
        double connect_s = cJSON_GetArrayItem(timeout, 0)->valuedouble, read_s = cJSON_GetArrayItem(timeout, 1)->valuedouble;

        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)(connect_s * 1000));
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)((connect_s + read_s) * 1000));
    }
}

/* The body is JSON only when the answer says exactly application/json: a charset behind it defeats the format's own reader too. */
static cJSON *answer_output(struct answer *answer, long status)
{
    cJSON *output = cJSON_CreateObject(), *body = NULL;
    const char *type = cJSON_GetStringValue(header_of(answer->headers, "content-type"));

    cJSON_AddNumberToObject(output, "status", (double)status);
    cJSON_AddItemToObject(output, "headers", answer->headers ? answer->headers : cJSON_CreateObject());
    if (type && !strcmp(type, "application/json"))
        body = cJSON_Parse(answer->body.data);
    cJSON_AddItemToObject(output, "body", body ? body : cJSON_CreateString(answer->body.data));
    return output;
}

static int run_http(const cJSON *provider, const atomic_bool *stopping, cJSON **ret_output, char *why, size_t size)
{
    const char *url = ctk_text(provider, "url"), *method = ctk_text(provider, "method");
    const cJSON *arguments = cJSON_GetObjectItemCaseSensitive(provider, "arguments"), *headers = cJSON_GetObjectItemCaseSensitive(provider, "headers");
    const char *type = cJSON_GetStringValue(header_of(headers, "content-type"));
    const cJSON *verify = cJSON_GetObjectItemCaseSensitive(provider, "verify_tls");
    struct curl_slist *list = header_list(headers);
    struct answer answer = { .stopping = stopping };
    AUTO_FREE char *json = NULL;
    CURL *curl = curl_easy_init();
    struct buf form, target;
    long status = 0;
    CURLcode code;

    buf_init(&answer.body, OUTPUT_MAX);
    buf_init(&form, OUTPUT_MAX);
    buf_init(&target, OUTPUT_MAX);
    buf_puts(&target, url);
    method = method[0] ? method : "GET";
    if (cJSON_IsObject(arguments) && !strcasecmp(method, "GET")) {
        put_form(curl, &form, arguments);
        buf_printf(&target, "%s%s", strchr(url, '?') ? "&" : "?", form.data);
    } else if (arguments && strcasecmp(method, "GET") != 0) {
        if (type && !strcmp(type, "application/json"))
            json = json_text(arguments);
        else if (cJSON_IsObject(arguments))
            put_form(curl, &form, arguments);
        else
            json = ctk_print(arguments);
        curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, json ? json : form.data);
    }
    curl_easy_setopt(curl, CURLOPT_URL, target.data);
    if (!strcasecmp(method, "HEAD"))
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, !verify || cJSON_IsTrue(verify) ? 1L : 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, !verify || cJSON_IsTrue(verify) ? 2L : 0L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &answer);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, go_on);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &answer);
    set_timeouts(curl, cJSON_GetObjectItemCaseSensitive(provider, "timeout"));
    code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK)
        *ret_output = answer_output(&answer, status);
    else
        cJSON_Delete(answer.headers);
    curl_easy_cleanup(curl);
    curl_slist_free_all(list);
    buf_done(&answer.body);
    buf_done(&form);
    buf_done(&target);
    return code == CURLE_OK ? 0 : fail(why, size, url, curl_easy_strerror(code));
}

/* ---- process ----------------------------------------------------------------------------------------------------------------- */

struct arguments {
    char *items[ARGUMENTS_MAX + 2]; /* owned */
    size_t count;
};

static void add_argument(struct arguments *arguments, char *text)
{
    if (text && arguments->count < ARGUMENTS_MAX)
        arguments->items[arguments->count++] = text;
    else
        free(text);
}

/* A list is taken word by word, a map as name and value in turn, a text goes through the shell with the path before it. */
static void take_arguments(const char *path, const cJSON *given, struct arguments *ret_arguments)
{
    struct arguments arguments = { .count = 0 };
    const cJSON *item;
    char *line;

    if (cJSON_IsString(given)) {
        add_argument(&arguments, strdup("/bin/sh"));
        add_argument(&arguments, strdup("-c"));
        add_argument(&arguments, asprintf(&line, "%s %s", path, given->valuestring) < 0 ? NULL : line);
    } else {
        add_argument(&arguments, strdup(path));
        cJSON_ArrayForEach(item, given) {
            if (cJSON_IsObject(given))
                add_argument(&arguments, strdup(item->string));
            if (!cJSON_IsObject(given) || !cJSON_IsString(item) || item->valuestring[0])
                add_argument(&arguments, ctk_print(item));
        }
    }
    *ret_arguments = arguments;
}

static int spawn(struct arguments *arguments, int output, int errors, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int result;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    result = posix_spawnp(ret_pid, arguments->items[0], &actions, &attributes, arguments->items, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -result;
}

static void drain(struct pollfd *from, struct buf *into)
{
    char block[4096];
    ssize_t got = from->revents ? read(from->fd, block, sizeof(block)) : -1;

    if (got > 0)
        (void)buf_append(into, block, (size_t)got); /* what is too much is read and dropped */
    else if (from->revents && (got == 0 || (errno != EAGAIN && errno != EINTR)))
        from->fd = -1;
}

/* Until it ends and both its outputs are read. -ETIMEDOUT, -EINTR: it was ended. */
static int collect(pid_t pid, int output, int errors, uint64_t deadline_ns, const atomic_bool *stopping, struct buf texts[2], int *ret_status)
{
    struct pollfd from[2] = { { .fd = output, .events = POLLIN }, { .fd = errors, .events = POLLIN } };
    bool ended = false;

    for (;;) {
        poll(from, 2, POLL_MS);
        for (size_t i = 0; i < 2; i++)
            drain(&from[i], &texts[i]);
        ended = ended || waitpid(pid, ret_status, WNOHANG) == pid;
        if (ended && !from[0].revents && !from[1].revents) /* a child of its own may keep them open for ever */
            return 0;
        if (!ended && (clock_now_ns() >= deadline_ns || atomic_load(stopping))) {
            kill(-pid, SIGKILL);
            waitpid(pid, ret_status, 0);
            return atomic_load(stopping) ? -EINTR : -ETIMEDOUT;
        }
    }
}

static int run_process(const cJSON *provider, const atomic_bool *stopping, cJSON **ret_output, char *why, size_t size)
{
    const char *path = ctk_text(provider, "path");
    double timeout_s = ctk_number(provider, "timeout", 0);
    uint64_t deadline_ns = timeout_s > 0 ? clock_now_ns() + (uint64_t)(timeout_s * 1e9) : UINT64_MAX;
    int output[2] = { -1, -1 }, errors[2] = { -1, -1 }, status = 0, result = -EIO;
    struct arguments arguments;
    struct buf texts[2];
    pid_t pid;

    take_arguments(path, cJSON_GetObjectItemCaseSensitive(provider, "arguments"), &arguments);
    buf_init(&texts[0], OUTPUT_MAX);
    buf_init(&texts[1], OUTPUT_MAX);
    if (pipe2(output, O_CLOEXEC) == 0 && pipe2(errors, O_CLOEXEC) == 0) {
        (void)fcntl(output[0], F_SETFL, O_NONBLOCK);
        (void)fcntl(errors[0], F_SETFL, O_NONBLOCK);
        result = spawn(&arguments, output[1], errors[1], &pid);
    }
    for (size_t i = 0; i < 2; i++)
        if (i ? errors[1] >= 0 : output[1] >= 0)
            close(i ? errors[1] : output[1]);
    if (result == 0)
        result = collect(pid, output[0], errors[0], deadline_ns, stopping, texts, &status);
    if (result == 0) {
        *ret_output = cJSON_CreateObject();
        cJSON_AddNumberToObject(*ret_output, "status", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
        cJSON_AddStringToObject(*ret_output, "stdout", texts[0].data);
        cJSON_AddStringToObject(*ret_output, "stderr", texts[1].data);
    } else {
        fail(why, size, path, result == -ETIMEDOUT ? "took longer than its timeout" : strerror(-result));
    }
    for (size_t i = 0; i < 2; i++) {
        buf_done(&texts[i]);
        if (i ? errors[0] >= 0 : output[0] >= 0)
            close(i ? errors[0] : output[0]);
    }
    for (size_t i = 0; i < arguments.count; i++)
        free(arguments.items[i]);
    return result;
}

int ctk_run_provider(const cJSON *provider, const cJSON *configuration, const atomic_bool *stopping, cJSON **ret_output, char *why, size_t size)
{
    (void)configuration;
    return !strcmp(ctk_text(provider, "type"), "http") ? run_http(provider, stopping, ret_output, why, size)
                                                       : run_process(provider, stopping, ret_output, why, size);
}
