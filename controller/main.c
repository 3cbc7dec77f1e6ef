/* perturb: dispatch only. Each subcommand is a constant entry in controller/cmd/. */
#include "controller/base/json.h"
#include "controller/cmd/cmd.h"
#include "controller/cmd/hidden.h"

#include "scenarios/base/cleanup.h"

#include <signal.h>
#include <string.h>

static const struct command *const commands[] = {
    &command_run,  &command_check, &command_faults, &command_exec,   &command_ps,    &command_arm,  &command_disarm,
    &command_doctor, &command_halt,  &command_resume, &command_panic,  &command_recover, &command_runs, &command_report,
    &command_proxy,  &command_estimate, &command_guard, &command_load, &command_compare, &command_trend, &command_findings,
    &command_init,   &command_attach, &command_detach, &command_diagnose, &command_serve,
    &command_watch, &command_mark, &command_outlets, &command_gameday,
};

static int print_overview(FILE *out)
{
    fprintf(out, "perturb " PERTURB_VERSION ": disturb a running system on purpose, measure how long it takes to come back\n\n"
                 "usage: perturb COMMAND [ARGUMENT...]\n\n");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(out, "\n"
                 "  perturb run playbooks/quickstart.yaml             a first run on the bundled sample\n"
                 "  perturb exec -f latency:300ms,to=:6379 -- ./app   one fault, no playbook\n"
                 "  perturb COMMAND --help                            what a command takes\n");
    return 0;
}

static int refuse_command(const char *name)
{
    const char *names[ARRAY_SIZE(commands)];
    int nearest;

    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        names[i] = commands[i]->name;
    nearest = err_nearest(name, names, ARRAY_SIZE(commands));
    fprintf(stderr, "perturb: there is no command '%s'%s%s%s; `perturb --help` lists them\n", name, nearest >= 0 ? "; did you mean " : "",
            nearest >= 0 ? names[nearest] : "", nearest >= 0 ? "?" : "");
    return ERR_USAGE;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    json_guard();
    if (argc < 2) {
        print_overview(stderr);
        return ERR_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
        return print_overview(stdout);
    if (!strcmp(argv[1], "--version")) {
        puts("perturb " PERTURB_VERSION);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (strcmp(argv[1], commands[i]->name) != 0)
            continue;
        for (int arg = 2; arg < argc && strcmp(argv[arg], "--") != 0; arg++)
            if (!strcmp(argv[arg], "--help"))
                return command_usage(commands[i]);
        return commands[i]->run(argc - 1, argv + 1);
    }
    if (!strcmp(argv[1], "complete"))
        return hidden_complete(commands, ARRAY_SIZE(commands), argc - 1, argv + 1);
    if (!strcmp(argv[1], "manual"))
        return hidden_manual(commands, ARRAY_SIZE(commands), argc - 1, argv + 1);
    return refuse_command(argv[1]);
}
