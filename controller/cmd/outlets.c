/* perturb outlets: look at them, try them, send what waits; and the process that tells a run. */
#include "controller/cmd/outlets.h"

#include "controller/cmd/cmd.h"
#include "controller/outlet/teller.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { END_SLACK_MS = 3000 };

/* ---- beside a run ------------------------------------------------------------------------------------------------------------------ */

/* In a session of its own: Ctrl-C ends the run, whose end is still to be told. */
static int start_teller(struct outlet_watch *watch, const char *path, const char *directory)
{
    const char *const argv[] = { "perturb", "outlets", "follow", watch->file, path, NULL };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char log[4096 + 16];
    pid_t pid;
    int result;

    snprintf(log, sizeof(log), "%s/outlets.log", directory);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    result = -posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, (char *const *)argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (result == 0) {
        watch->pid = pid;
        watch->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    }
    return result;
}

void outlets_begin(void *context, const char *id, const char *directory, const struct playbook *playbook)
{
    struct outlet_watch *watch = context;
    char path[OUTBOX_PATH_MAX], name[STORY_TEXT_MAX];
    struct errs *errs = calloc(1, sizeof(*errs));
    const struct outbox_run run = { .run = id, .directory = directory, .title = playbook->title, .service = playbook->service,
                                    .playbook = teller_playbook_name(playbook->document.file, name, sizeof(name)), .tags = &playbook->tags,
                                    .wall_offset_ns = (int64_t)(clock_wall_ns() - clock_now_ns()), .pid = getpid(),
                                    .pid_start = teller_process_start(getpid()) };
    int result = errs ? outbox_root(watch->root, errs) : -ENOMEM;

    if (result == 0 && watch->config->outlets.count)
        result = outbox_make(watch->root, &run, path, errs);
    if (result == 0 && watch->config->outlets.count)
        result = start_teller(watch, path, directory);
    if (result < 0) {
        fprintf(stderr, "perturb: the outlets are not told of this run: %s\n", strerror(-result));
        if (errs)
            errs_print(errs, stderr);
    }
    snprintf(watch->name, sizeof(watch->name), "%s", id);
    free(errs);
}

void outlets_end(struct outlet_watch *watch, bool waits)
{
    struct pollfd process = { .fd = watch->pidfd, .events = POLLIN };
    const struct outlet *outlets = watch->config->outlets.items;
    char path[OUTBOX_PATH_MAX + 80];
    size_t waiting = 0;

    if (watch->pidfd < 0 || !waits)
        return;
    if (poll(&process, 1, (int)(watch->config->drain / 1000000) + END_SLACK_MS) == 0)
        syscall(SYS_pidfd_send_signal, watch->pidfd, SIGKILL, NULL, 0); /* what it had is on disk */
    waitpid(watch->pid, NULL, 0); /* where the guardian has not reaped it */
    close(watch->pidfd);
    watch->pidfd = -1;
    snprintf(path, sizeof(path), "%s/%s", watch->root, watch->name);
    for (size_t i = 0; i < watch->config->outlets.count; i++)
        waiting += outbox_count(path, outlets[i].name);
    if (waiting)
        fprintf(stderr, "perturb: %zu deliver%s to outlets could not be made yet; `perturb outlets flush %s` tries again\n", waiting,
                waiting == 1 ? "y" : "ies", watch->file);
}

/* ---- the command ---------------------------------------------------------------------------------------------------------------------- */

static void show_moments(const struct outlet *outlet)
{
    if (outlet->kind > OUTLET_SLACK)
        return;
    printf("  on");
    for (int i = 0; i < MOMENTS; i++)
        if (outlet->moments & (1U << i))
            printf(" %s", moment_name((enum outlet_moment)i));
}

static int check_outlets(const struct outlet_config *config, const char *root, const char *name)
{
    const struct outlet *outlets = config->outlets.items;
    char shown[256];

    (void)name;
    for (size_t i = 0; i < config->outlets.count; i++) {
        struct outbox_counts counts;

        outbox_counts(root, outlets[i].name, &counts);
        printf("%-16s %-12s %s%s%s", outlets[i].name, outlet_kind_name((enum outlet_kind)outlets[i].kind), outlet_shown(&outlets[i], shown, sizeof(shown)),
               outlets[i].secret[0] ? "  signed" : "", outlets[i].token[0] ? "  with a token" : "");
        show_moments(&outlets[i]);
        printf("\n%-16s sent %llu, put off %llu, dropped %llu, waiting %zu%s%s\n", "", (unsigned long long)counts.sent, (unsigned long long)counts.retried,
               (unsigned long long)counts.dropped, outbox_waiting(root, outlets[i].name), counts.last_error[0] ? "; last problem: " : "", counts.last_error);
    }
    return 0;
}

static int test_outlets(const struct outlet_config *config, const char *root, const char *name)
{
    const struct outlet *outlets = config->outlets.items;
    int status = 0;
    char why[256];

    (void)root;
    if (name && !outlet_find(config, name)) {
        fprintf(stderr, "perturb: there is no outlet '%s'\n", name);
        return ERR_USAGE;
    }
    for (size_t i = 0; i < config->outlets.count; i++) {
        if (name && strcmp(name, outlets[i].name) != 0)
            continue;
        if (teller_test(config, &outlets[i], why, sizeof(why)) == 0) {
            printf("%s: delivered\n", outlets[i].name);
        } else {
            printf("%s: %s\n", outlets[i].name, why);
            status = ERR_WORLD;
        }
    }
    return status;
}

static int flush_outlets(const struct outlet_config *config, const char *root, const char *name)
{
    size_t waiting = teller_flush(config, root);

    (void)name;
    if (waiting)
        printf("%zu still wait\n", waiting);
    else
        printf("nothing waits\n");
    return waiting ? ERR_WORLD : 0;
}

static int follow_run(const struct outlet_config *config, const char *root, const char *path)
{
    struct teller_report report;
    int result = path ? teller_run(config, root, path, &report) : -EINVAL;

    if (result < 0)
        fprintf(stderr, "perturb: outlets follow: %s\n", strerror(-result));
    return result < 0 ? ERR_USAGE : 0;
}

static int outlets_main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct outlet_config *config, const char *root, const char *argument);
    } actions[] = { { "check", check_outlets }, { "test", test_outlets }, { "flush", flush_outlets }, { "follow", follow_run } };
    static struct errs errs;
    struct outlet_config *config = NULL;
    char root[OUTBOX_PATH_MAX];
    int status = ERR_USAGE;

    if (argc < 3 || argc > 4)
        errs_add(&errs, ERR_USAGE, "outlets", "say what to do and with which file: perturb outlets check FILE");
    for (size_t i = 0; !errs.count && i < ARRAY_SIZE(actions); i++) {
        if (strcmp(argv[1], actions[i].name) != 0)
            continue;
        if (outlet_config_read(argv[2], &errs, &config) == 0 && outbox_root(root, &errs) == 0)
            status = actions[i].run(config, root, argc == 4 ? argv[3] : NULL);
        outlet_config_free(config);
        return errs.count ? command_fail(&errs) : status;
    }
    if (!errs.count)
        errs_add(&errs, ERR_USAGE, argv[1], "is none of: check test flush");
    return command_fail(&errs);
}

const struct command command_outlets = {
    .name = "outlets",
    .synopsis = "check FILE | test FILE [OUTLET] | flush FILE",
    .summary = "who is told of runs: webhooks, Slack, Grafana, Alertmanager, OpenTelemetry",
    .help = "  check FILE           read the section `outlets` and show what was made of it, without its secrets\n"
            "  test FILE [OUTLET]   make one delivery to each, or to that one\n"
            "  flush FILE           send what still waits of runs that have ended\n\n"
            "`perturb run --outlets FILE` tells a run; docs/ecosystem.md says what each outlet gets.\n"
            "Exit status: 0, 64 usage, 65 bad file, 69 an outlet that does not answer.\n"
            "Example: perturb outlets test outlets.yaml chat\n",
    .run = outlets_main,
};
