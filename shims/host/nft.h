/* libnftables, as little of it as is needed: commands in, what the kernel said out. It works inside the calling process and in the
 * network namespace of the calling thread; one buffer of commands is one transaction. */
#ifndef PERTURB_SHIMS_NFT_H
#define PERTURB_SHIMS_NFT_H

#include "scenarios/base/buf.h"

#include <stdint.h>
#include <sys/types.h>

struct nft_ctx; /* the library's */

/* Runs them all or none. `output` and `why` may be NULL. 0; -EPERM, -ENOENT, -EEXIST, -EIO with `why` in words. */
int nft_run(const char *commands, struct buf *output, struct buf *why);

int nft_run_in(struct nft_ctx *context, const char *commands, struct buf *output, struct buf *why); /* in a context that is kept */

/* May we, here? 0, or -EPERM, -ENOTSUP and why in words (`why` may be NULL). Changes nothing. */
int nft_is_possible(struct buf *why);

/* The inode of a process's network namespace (0: ours). 0 or -errno. */
int nft_namespace(pid_t pid, uint64_t *ret_inode);

/* Calls `act` inside the network namespace with that inode: ours, that of `hint` (a process that had it; 0 is none), any process's,
 * or one with a name. Its result, or -ENOENT when there is none such any more, -EPERM. */
int nft_inside(uint64_t inode, pid_t hint, int (*act)(void *context), void *context);

#endif
