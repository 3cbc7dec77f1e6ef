/* What a system call asks for, from its number and registers: calls.def, seen from the kernel's side. */
#ifndef PERTURB_SHIMS_SECCOMP_NATIVES_H
#define PERTURB_SHIMS_SECCOMP_NATIVES_H

#include "shims/judge/judge.h"

#include <linux/seccomp.h>
#include <sys/types.h>

/* The `points` (and CONTROL_REDIRECT) of a call number; 0 when no row makes that call. */
uint32_t native_points(int number);

/* Fills the occasion: the same roles as the row of calls.def states. Pointers in it are the target's. `memory` is the process
 * whose memory the vectors and message headers lie in. */
void native_occasion(const struct seccomp_data *data, pid_t memory, struct occasion *ret_occasion);

#endif
