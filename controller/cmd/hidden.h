/* What the program offers to its own packaging and to shells, apart from the list of commands. Both take that list. */
#ifndef PERTURB_CMD_HIDDEN_H
#define PERTURB_CMD_HIDDEN_H

#include "controller/cmd/cmd.h"

#include <stddef.h>

/* `perturb manual perturb.1|perturb-proxy.1|commands`: a manual page, or the reference of all commands as Markdown. Exit status. */
int hidden_manual(const struct command *const *commands, size_t count, int argc, char **argv);

/* `perturb complete -- WORD...`: what may stand in place of the last word, one a line, "WORD<tab>what it is"; ":files" stands for
 * any file. Words after the command's name as typed, without quotes. Never fails: a shell that completes wants no messages. */
int hidden_complete(const struct command *const *commands, size_t count, int argc, char **argv);

#endif
