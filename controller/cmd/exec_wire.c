/* The wire part of `perturb exec`: a child that is the wire executor, one proxy for each address of a to=, and the table by
 * which the shim sends the program's connects there.
 *
 * to=HOST:PORT   connects to any address of HOST
 * to=:PORT       connects to a loopback address
 * Each goes on from the proxy to the very address that it was for. */
#include "controller/cmd/exec.h"

#include "injector/injector.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/vocab/decide.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>

enum { ANSWER_TIMEOUT_MS = 5000, EXEC_EPOCH = 1 };

static int ask(struct exec_wire *wire, enum message_verb verb, const void *payload, size_t size, struct message *ret_answer)
{
    return executor_ask(&wire->executor, verb, EXEC_EPOCH, EXEC_TTL_NS, payload, size, ANSWER_TIMEOUT_MS, ret_answer);
}

static int tell(struct exec_wire *wire, enum message_verb verb, const void *payload, size_t size)
{
    return ask(wire, verb, payload, size, NULL);
}

/* It may outlive us until its connections have drained: it must not hold our streams open, nor our blocked signals. */
static void become_executor(int control_fd)
{
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && nothing >= 0; fd++)
        (void)dup2(nothing, fd);
    _exit(injector_serve(control_fd, NULL) < 0);
}

static int start_executor(struct exec_wire *wire)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    wire->pid = fork();
    if (wire->pid == 0) {
        close(ends[0]);
        become_executor(ends[1]);
    }
    close(ends[1]);
    if (wire->pid < 0) {
        close(ends[0]);
        return -errno;
    }
    wire->executor.fd = ends[0];
    return executor_hello(&wire->executor, &(struct wire_hello){ .loops = 0 });
}

/* ---- where connects go ------------------------------------------------------------------------------------------------ */

static int add_redirect(struct exec_wire *wire, const struct address_match *match, uint16_t port)
{
    if (wire->redirect_count == EXEC_WIRES_MAX)
        return -E2BIG;
    wire->redirects[wire->redirect_count++] = (struct control_redirect){ .match = *match, .port = port, .detours = 1 };
    return 0;
}

static int redirect_text(struct exec_wire *wire, const char *text, uint16_t port)
{
    struct address_match match;
    int result = address_match_parse(text, &match);

    return result < 0 ? result : add_redirect(wire, &match, port);
}

static int redirect_name(struct exec_wire *wire, const char *host, const char *service, uint16_t port)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
    int result = getaddrinfo(host, service, &hints, &list) ? -ENOENT : 0;

    for (const struct addrinfo *one = list; one && !result; one = one->ai_next) {
        char numeric[64], text[80];

        if (getnameinfo(one->ai_addr, one->ai_addrlen, numeric, sizeof(numeric), NULL, 0, NI_NUMERICHOST))
            continue;
        snprintf(text, sizeof(text), one->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", numeric, service);
        result = redirect_text(wire, text, port);
    }
    if (list)
        freeaddrinfo(list);
    return result;
}

/* Which connects are meant. */
static int redirect_to(struct exec_wire *wire, const char *to, uint16_t port)
{
    const char *colon = strrchr(to, ':');
    char host[ADDRESS_TEXT_MAX], text[ADDRESS_TEXT_MAX + 16];
    int result;

    if (!colon)
        return -EINVAL;
    if (colon == to) {
        snprintf(text, sizeof(text), "127.0.0.0/8%s", to);
        result = redirect_text(wire, text, port);
        snprintf(text, sizeof(text), "[::1]%s", to);
        return result < 0 ? result : redirect_text(wire, text, port);
    }
    if (!redirect_text(wire, to, port))
        return 0;
    snprintf(host, sizeof(host), "%.*s", (int)(colon - to), to);
    return redirect_name(wire, host, colon + 1, port);
}

static int port_of(const char *address, uint16_t *ret_port)
{
    const char *colon = strrchr(address, ':');
    long port = colon ? strtol(colon + 1, NULL, 10) : 0;

    if (port <= 0 || port > 65535)
        return -EPROTO;
    *ret_port = (uint16_t)port;
    return 0;
}

static int open_proxy(struct exec_wire *wire, const char *name, const char *to, const char *page, struct errs *errs)
{
    struct proxy_spec spec = { .flags = PROXY_DETOURS, .detours_offset = CONTROL_DETOURS_OFFSET, .linger_ns = EXEC_TTL_NS };
    struct message answer = { .payload = NULL };
    uint16_t port;
    int result;

    snprintf(spec.name, sizeof(spec.name), "%s", name);
    if (snprintf(spec.detours, sizeof(spec.detours), "%s", page) >= (int)sizeof(spec.detours))
        return errs_add(errs, ERR_WORLD, page, "the path of the control page is too long");
    result = ask(wire, MESSAGE_OPEN, &spec, sizeof(spec), &answer);
    if (!result && answer.head.size < sizeof(struct proxy_status))
        result = -EPROTO;
    if (!result)
        result = port_of(((const struct proxy_status *)answer.payload)->spec.listen, &port);
    message_done(&answer);
    if (!result)
        result = redirect_to(wire, to, port);
    if (result < 0)
        return errs_add(errs, ERR_WORLD, "-f", "to=%s: %s", to, result == -ENOENT ? "the name is not known" : strerror(-result));
    return 0;
}

/* One proxy a destination; faults to the same one share it. */
static int open_proxies(struct exec_wire *wire, const struct exec_options *options, const char *page, struct plan *plan, struct errs *errs)
{
    const char *destinations[EXEC_FAULTS_MAX];
    size_t opened = 0, rule = 0;

    for (size_t i = 0; i < options->spec_count; i++) {
        const char *to = options->specs[i].to;
        size_t known = 0;

        if (!to[0])
            continue;
        while (known < opened && strcmp(destinations[known], to) != 0)
            known++;
        snprintf(plan->rules[rule].scope, sizeof(plan->rules[rule].scope), "to-%zu", known + 1);
        if (known == opened) {
            int result = open_proxy(wire, plan->rules[rule].scope, to, page, errs);

            if (result < 0)
                return result;
            destinations[opened++] = to;
        }
        rule++;
    }
    return 0;
}

int exec_wire_start(struct exec_wire *wire, const struct exec_options *options, const char *page, struct errs *errs)
{
    AUTO_FREE struct plan *plan = exec_plan(options, true);
    int result = plan ? 0 : -ENOMEM;

    if (plan && !plan->rule_count)
        return 0;
    if (!result)
        result = start_executor(wire);
    if (result < 0)
        return errs_add(errs, ERR_WORLD, "exec", "starting the wire executor: %s", strerror(-result));
    result = open_proxies(wire, options, page, plan, errs);
    if (result < 0)
        return result;
    result = tell(wire, MESSAGE_ARM, plan, PLAN_SIZE(plan->rule_count));
    if (result < 0)
        return errs_add(errs, ERR_WORLD, "exec", "arming the wire executor: %s", strerror(-result));
    return 0;
}

int exec_wire_renew(struct exec_wire *wire)
{
    return wire->executor.fd < 0 ? 0 : tell(wire, MESSAGE_RENEW, NULL, 0);
}

size_t exec_wire_status(struct exec_wire *wire, struct rule_status *list, size_t max)
{
    struct message answer = { .payload = NULL };
    size_t count = 0;

    if (wire->executor.fd < 0)
        return 0;
    if (!ask(wire, MESSAGE_STATUS, NULL, 0, &answer) && answer.head.size) {
        count = answer.head.size / sizeof(*list) < max ? answer.head.size / sizeof(*list) : max;
        memcpy(list, answer.payload, count * sizeof(*list));
    }
    message_done(&answer);
    return count;
}

void exec_wire_stop(struct exec_wire *wire)
{
    if (wire->executor.fd >= 0) {
        (void)tell(wire, MESSAGE_RELEASE, NULL, 0);
        (void)tell(wire, MESSAGE_QUIT, NULL, 0);
        close(wire->executor.fd);
        wire->executor.fd = -1;
    }
}
