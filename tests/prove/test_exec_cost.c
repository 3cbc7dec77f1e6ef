/* What `perturb exec -f FAULT -- CMD` adds to CMD alone: under 50 ms, from start to end, in the median of alternating starts. */
#include "scenarios/base/clock.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/watched_run.h"

enum { ROUNDS = 25, ADDED_MS_MAX = 50 };

extern char **environ;

static double once_ms(char *const *argv)
{
    uint64_t begin_ns = clock_now_ns();
    posix_spawn_file_actions_t actions;
    int status = -1;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawn(&pid, argv[0], &actions, NULL, argv, environ) == 0)
        waitpid(pid, &status, 0);
    posix_spawn_file_actions_destroy(&actions);
    return status == 0 ? (double)(clock_now_ns() - begin_ns) / 1e6 : -1;
}

static int by_size(const void *a, const void *b)
{
    const double *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

int main(void)
{
    char perturb[WATCHED_PATH_MAX + 16];
    char *alone[] = { "/bin/true", NULL };
    char *under[] = { perturb, "exec", "-f", "latency@connect:1ms", "--", "/bin/true", NULL };
    double with[ROUNDS], without[ROUNDS];
    bool works = true, cheap;

    snprintf(perturb, sizeof(perturb), "%s/perturb", watched_build());
    for (int i = 0; i < ROUNDS; i++) {
        without[i] = once_ms(alone);
        with[i] = once_ms(under);
        works &= without[i] >= 0 && with[i] >= 0;
    }
    qsort(with, ROUNDS, sizeof(with[0]), by_size);
    qsort(without, ROUNDS, sizeof(without[0]), by_size);
    cheap = with[ROUNDS / 2] - without[ROUNDS / 2] < ADDED_MS_MAX;
    printf("1..2\n%sok 1 - /bin/true ends with 0, alone and under exec\n", works ? "" : "not ");
    printf("%sok 2 - exec adds less than %d ms\n", cheap ? "" : "not ", ADDED_MS_MAX);
    printf("# median of %d: alone %.2f ms, under exec %.2f ms, added %.2f ms; slowest under exec %.2f ms\n", ROUNDS, without[ROUNDS / 2],
           with[ROUNDS / 2], with[ROUNDS / 2] - without[ROUNDS / 2], with[ROUNDS - 1]);
    return !(works && cheap);
}
