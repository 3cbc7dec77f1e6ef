/* Starting a process that is held before it becomes what it is to be, so that its row can be committed first. The service has other
 * threads: between fork and exec only async-signal-safe calls are made (fork(2), signal-safety(7)). */
#include "controller/serve/core/service_priv.h"

#include "scenarios/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { NOT_STARTED = 126 };

static bool is_named(const char *entry, const char *name)
{
    size_t length = strlen(name);

    return !strncmp(entry, name, length) && entry[length] == '=';
}

/* Ours, less what is meant for the service alone, with the zone of whoever started us. New array; the texts are borrowed but for the
 * last, which is *ret_zone. */
static char **make_environment(const struct service *service, char **ret_zone)
{
    static const char *const private[] = { "TZ", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID" };
    size_t count = 0, kept = 0;
    char **list;

    while (environ[count])
        count++;
    list = calloc(count + 2, sizeof(*list));
    *ret_zone = NULL;
    if (!list || (service->user_zone && asprintf(ret_zone, "TZ=%s", service->user_zone) < 0)) {
        free(list);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        bool is_private = false;

        for (size_t j = 0; j < ARRAY_SIZE(private); j++)
            is_private |= is_named(environ[i], private[j]);
        if (!is_private)
            list[kept++] = environ[i];
    }
    list[kept] = *ret_zone;
    return list;
}

static void become(const struct service *service, char *const argv[], char *const environment[], int output, int gate)
{
    sigset_t none;
    char word = 0;
    int null;

    setsid();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    while (read(gate, &word, 1) < 0 && errno == EINTR)
        ;
    if (word != 'g')
        _exit(0);
    null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
        _exit(NOT_STARTED);
    syscall(SYS_close_range, 3U, UINT_MAX, 0U);
    execve(service->program, argv, environment);
    _exit(NOT_STARTED);
}

int spawn_held(const struct service *service, char *const argv[], const char *output, struct process_id *ret_process, int *ret_pid_fd, int *ret_gate)
{
    AUTO_CLOSE int output_fd = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    AUTO_FREE char *zone = NULL;
    AUTO_FREE char **environment = make_environment(service, &zone);
    int gate[2], pid_fd = -1, result = 0;
    pid_t pid;

    if (output_fd < 0)
        return -errno;
    if (!environment)
        return -ENOMEM;
    if (pipe2(gate, O_CLOEXEC) < 0)
        return -errno;
    pid = fork();
    if (pid == 0) {
        close(gate[1]);
        become(service, argv, environment, output_fd, gate[0]);
    }
    result = pid < 0 ? -errno : 0;
    close(gate[0]);
    if (!result)
        pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (!result && pid_fd < 0)
        result = -errno;
    if (!result)
        result = process_identify(pid, ret_process);
    if (result < 0) {
        close(gate[1]); /* it reads the end and leaves */
        if (pid > 0)
            waitpid(pid, NULL, 0);
        if (pid_fd >= 0)
            close(pid_fd);
        return result;
    }
    *ret_pid_fd = pid_fd;
    *ret_gate = gate[1];
    return 0;
}

void spawn_release(int gate, bool goes)
{
    if (goes)
        while (write(gate, "g", 1) < 0 && errno == EINTR)
            ;
    close(gate);
}
