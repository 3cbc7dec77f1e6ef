/* What every subcommand shares. */
#include "controller/cmd/cmd.h"

#include <stdio.h>

int command_usage(const struct command *command)
{
    printf("usage: perturb %s %s\n\n%s\n\n%s", command->name, command->synopsis, command->summary, command->help);
    return 0;
}

int command_fail(const struct errs *errs)
{
    errs_print(errs, stderr);
    return errs_status(errs);
}
