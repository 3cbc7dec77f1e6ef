/* One subcommand a file: a constant entry and one function. controller/main.c only dispatches. */
#ifndef PERTURB_CMD_H
#define PERTURB_CMD_H

#include "scenarios/base/err.h"

struct command {
    const char *name;
    const char *synopsis; /* arguments, as in DESIGN section 9: "PLAYBOOK... [--seed N]" */
    const char *summary;  /* one line for the list */
    const char *help;     /* options and an example; lines, shown by --help */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit status */
};

extern const struct command command_run, command_check, command_faults, command_exec, command_ps, command_arm, command_disarm,
    command_doctor, command_halt, command_resume, command_panic, command_recover, command_runs, command_report, command_proxy,
    command_estimate, command_guard, command_load, command_compare, command_trend, command_findings, command_attach, command_detach, command_init,
    command_diagnose, command_serve, command_watch, command_mark, command_outlets, command_gameday;

/* Prints "usage: perturb NAME SYNOPSIS" and the help to stdout; returns 0. */
int command_usage(const struct command *command);

/* Prints the errors to stderr and returns their exit status. */
int command_fail(const struct errs *errs);

#endif
