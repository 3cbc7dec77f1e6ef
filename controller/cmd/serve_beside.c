/* Toxiproxy's API beside the service (--toxiproxy): `perturb proxy` as a process of its own, so that neither holds up the other.
 *
 * 1. It ends with the service, however that ends (PR_SET_PDEATHSIG; the parent is the main thread, which lives as long as the process):
 *    SIGTERM, at which a proxy takes back its toxics.
 * 2. SIGHUP makes the service anew in the same process, so the proxy stays its child: its pid is handed on in the environment, and
 *    what goes through it is not cut. */
#include "controller/cmd/serve.h"

#include "scenarios/base/clock.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PID_VARIABLE "PERTURB_SERVE_PROXY"
#define READY_NS (10 * NS_PER_S)

enum { END_MS = 5000, LOOK_MS = 10, ADDRESS_MAX = 300 };

/* "HOST:PORT" or "[::1]:PORT" taken apart in place. */
static int split(char *address, char **ret_host, char **ret_port)
{
    char *colon = strrchr(address, ':'), *end;

    if (!colon || colon == address || !colon[1] || !strcmp(colon + 1, "0") || strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return -EINVAL;
    *colon = '\0';
    *ret_host = address;
    *ret_port = colon + 1;
    end = colon - 1;
    if (*address == '[' && *end == ']') {
        *end = '\0';
        *ret_host = address + 1;
    }
    return 0;
}

static void become_proxy(char *host, char *port, pid_t parent)
{
    char *const argv[] = { (char[]){ "perturb" }, (char[]){ "proxy" }, (char[]){ "-host" }, host, (char[]){ "-port" }, port, NULL };
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);                      /* Ctrl-C is the service's */
    dup2(STDERR_FILENO, STDOUT_FILENO); /* its log; our standard output says where the service is */
    execv("/proc/self/exe", argv);
    _exit(127);
}

static bool answers(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_there = fd >= 0 && connect(fd, address->ai_addr, address->ai_addrlen) == 0;

    if (fd >= 0)
        close(fd);
    return is_there;
}

/* True when it listens; false when it ended before, or time is up. */
static bool comes_up(pid_t pid, const struct addrinfo *address)
{
    struct pollfd polled = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
    uint64_t deadline_ns = clock_now_ns() + READY_NS;
    bool up = false;

    if (polled.fd < 0)
        return false;
    while (!up && clock_now_ns() < deadline_ns && poll(&polled, 1, LOOK_MS) == 0)
        up = answers(address);
    close(polled.fd);
    return up;
}

static pid_t handed_on(void)
{
    const char *text = getenv(PID_VARIABLE);
    pid_t pid = text ? (pid_t)strtol(text, NULL, 10) : 0;

    unsetenv(PID_VARIABLE);
    return pid > 1 && waitpid(pid, NULL, WNOHANG) == 0 ? pid : 0;
}

static pid_t start(char *host, char *port, const struct addrinfo *address, struct errs *errs)
{
    char where[ADDRESS_MAX + 16];
    pid_t parent = getpid(), pid;

    snprintf(where, sizeof(where), "--toxiproxy %s:%s", host, port);
    if (answers(address)) { /* it would be taken for ours */
        errs_add(errs, ERR_WORLD, where, "something answers there already");
        return -1;
    }
    pid = fork();
    if (pid == 0)
        become_proxy(host, port, parent);
    if (pid > 0 && comes_up(pid, address))
        return pid;
    errs_add(errs, ERR_WORLD, where, "%s", pid < 0 ? strerror(errno) : "the proxy did not come up; what it says stands above");
    serve_beside_end(pid);
    return -1;
}

pid_t serve_beside_start(const char *address, struct errs *errs)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    pid_t pid = handed_on();
    char copy[ADDRESS_MAX], *host, *port;
    struct addrinfo *found;
    int result;

    if (pid)
        return pid;
    if ((size_t)snprintf(copy, sizeof(copy), "%s", address) >= sizeof(copy) || split(copy, &host, &port) < 0) {
        errs_add(errs, ERR_USAGE, "--toxiproxy", "found '%s', expected ADDRESS:PORT", address);
        return -1;
    }
    result = getaddrinfo(host, port, &hints, &found);
    if (result) {
        errs_add(errs, ERR_WORLD, "--toxiproxy", "%s: %s", address, gai_strerror(result));
        return -1;
    }
    pid = start(host, port, found, errs);
    freeaddrinfo(found);
    return pid;
}

void serve_beside_keep(pid_t pid)
{
    char text[16];

    if (pid <= 0)
        return;
    snprintf(text, sizeof(text), "%d", (int)pid);
    setenv(PID_VARIABLE, text, 1);
}

void serve_beside_end(pid_t pid)
{
    struct pollfd polled = { .events = POLLIN };

    if (pid <= 0)
        return;
    polled.fd = (int)syscall(SYS_pidfd_open, pid, 0);
    kill(pid, SIGTERM);
    if (polled.fd >= 0 && poll(&polled, 1, END_MS) <= 0)
        kill(pid, SIGKILL);
    if (polled.fd >= 0)
        close(polled.fd);
    waitpid(pid, NULL, 0);
}
