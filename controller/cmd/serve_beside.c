/* Toxiproxy's API beside the service (--toxiproxy): `perturb proxy` as a process of its own, so that neither holds up the other.
 *
 * 1. It ends with the service, however that ends (PR_SET_PDEATHSIG; the parent is the main thread, which lives as long as the process):
 *    SIGTERM, at which a proxy takes back its toxics.
 * 2. SIGHUP makes the service anew in the same process, so the proxy stays its child: its pid is handed on in the environment, and
 *    what goes through it is not cut.
 * 3. When it ends by itself, however, it is started again: at once, then after a second, two, four, a minute at most; one that has lived
 *    for a minute has a new account. What was made through it has gone with it, so the service tells it as a problem. */
#include "controller/cmd/serve.h"

#include "scenarios/base/clock.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PID_VARIABLE "PERTURB_SERVE_PROXY"
#define READY_NS (10 * NS_PER_S)

enum { END_MS = 5000, LOOK_MS = 10, DELAY_MAX_S = 60 };

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

/* The child of the program that this process was before, should it have ended meanwhile too; 0 when there is none. */
static pid_t handed_on(void)
{
    const char *text = getenv(PID_VARIABLE);
    pid_t pid = text ? (pid_t)strtol(text, NULL, 10) : 0;
    siginfo_t info;

    unsetenv(PID_VARIABLE);
    return pid > 1 && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ? pid : 0;
}

static void note_started(struct serve_beside *beside, pid_t pid)
{
    beside->pid = pid;
    beside->ward.fd = (int)syscall(SYS_pidfd_open, pid, 0);
    beside->ward.due_s = 0;
    beside->started_s = (int64_t)time(NULL);
}

static pid_t fork_proxy(const struct serve_beside *beside)
{
    pid_t parent = getpid(), pid = fork();

    if (pid == 0)
        become_proxy(beside->host, beside->port, parent);
    return pid;
}

/* ---- when it ends by itself ------------------------------------------------------------------------------------------------------- */

static void tell_end(const struct serve_beside *beside, struct service *service, const char *how, int number)
{
    static struct errs errs;

    errs.count = 0;
    errs_add(&errs, ERR_WORLD, "--toxiproxy", "the proxy at %s:%s ended by itself (%s %d), and what was made through it is gone; it is started again",
             beside->host, beside->port, how, number);
    service_tell_problem(service, &errs);
}

static void note_end(struct serve_beside *beside)
{
    int64_t now_s = (int64_t)time(NULL);

    if (beside->ward.fd >= 0)
        close(beside->ward.fd);
    beside->ward.fd = -1;
    beside->pid = 0;
    if (now_s - beside->started_s >= DELAY_MAX_S)
        beside->delay_s = 0;
    beside->ward.due_s = now_s + beside->delay_s;
    beside->delay_s = beside->delay_s ? MIN(beside->delay_s * 2, (int64_t)DELAY_MAX_S) : 1;
}

static void attend(struct service_ward *ward, struct service *service)
{
    struct serve_beside *beside = (struct serve_beside *)ward;
    int status;
    pid_t pid;

    if (beside->pid && waitpid(beside->pid, &status, WNOHANG) == beside->pid) {
        note_end(beside);
        tell_end(beside, service, WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    if (beside->pid || (int64_t)time(NULL) < ward->due_s)
        return;
    pid = fork_proxy(beside);
    if (pid > 0) {
        note_started(beside, pid);
    } else {
        int error = errno;

        note_end(beside);
        tell_end(beside, service, "errno", error);
    }
}

/* ---- from outside ------------------------------------------------------------------------------------------------------------------ */

static int start(struct serve_beside *beside, const struct addrinfo *address, struct errs *errs)
{
    char where[BESIDE_ADDRESS_MAX + 16];
    pid_t pid;

    snprintf(where, sizeof(where), "--toxiproxy %s:%s", beside->host, beside->port);
    if (answers(address)) /* it would be taken for ours */
        return errs_add(errs, ERR_WORLD, where, "something answers there already");
    pid = fork_proxy(beside);
    if (pid < 0)
        return errs_add(errs, ERR_WORLD, where, "%s", strerror(errno));
    note_started(beside, pid);
    if (comes_up(pid, address))
        return 0;
    serve_beside_end(beside);
    return errs_add(errs, ERR_WORLD, where, "the proxy did not come up; what it says stands above");
}

int serve_beside_start(struct serve_beside *ret_beside, const char *address, struct errs *errs)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    struct addrinfo *found;
    pid_t pid = handed_on();
    int result;

    *ret_beside = (struct serve_beside){ .ward = { .fd = -1, .attend = attend } };
    if ((size_t)snprintf(ret_beside->address, sizeof(ret_beside->address), "%s", address) >= sizeof(ret_beside->address) ||
        split(ret_beside->address, &ret_beside->host, &ret_beside->port) < 0)
        return errs_add(errs, ERR_USAGE, "--toxiproxy", "found '%s', expected ADDRESS:PORT", address);
    if (pid) {
        note_started(ret_beside, pid);
        return 0;
    }
    result = getaddrinfo(ret_beside->host, ret_beside->port, &hints, &found);
    if (result)
        return errs_add(errs, ERR_WORLD, "--toxiproxy", "%s: %s", address, gai_strerror(result));
    result = start(ret_beside, found, errs);
    freeaddrinfo(found);
    return result;
}

void serve_beside_keep(const struct serve_beside *beside)
{
    char text[16];

    if (beside->pid <= 0)
        return;
    snprintf(text, sizeof(text), "%d", (int)beside->pid);
    setenv(PID_VARIABLE, text, 1);
}

void serve_beside_end(struct serve_beside *beside)
{
    struct pollfd polled = { .fd = beside->ward.fd, .events = POLLIN };

    if (beside->pid <= 0)
        return;
    kill(beside->pid, SIGTERM);
    if (polled.fd >= 0 && poll(&polled, 1, END_MS) <= 0)
        kill(beside->pid, SIGKILL);
    waitpid(beside->pid, NULL, 0);
    note_end(beside);
}
