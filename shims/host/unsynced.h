/* The power cut of `lost_writes`: what a killed process wrote and did not sync is taken back. Control plane.
 *
 * 1. It happens only while the rule is armed and its lease runs. Whoever was to do it and is killed first has lost nothing.
 * 2. The page is the target's to write: a file is touched only when its path matches the path of an armed `lost_writes` rule, it is a
 *    regular file and no link, and device, inode and birth are those of the record. Bounds are checked; a file never grows.
 * 3. A file that was renamed within its folder is found there; the rename itself stays, as do truncations. One that is gone is gone.
 * 4. Each file is told before its first byte is changed. */
#ifndef PERTURB_SHIMS_HOST_UNSYNCED_H
#define PERTURB_SHIMS_HOST_UNSYNCED_H

#include <limits.h>
#include <stdint.h>

struct unsynced_loss {
    char path[PATH_MAX];
    uint64_t writes;             /* taken back */
    uint64_t size, size_after;   /* of the file */
};

/* Takes back what is not durable and forgets it. `tell` is called for each file before it is changed. The processes that wrote must be
 * dead. Returns how many files it was; 0 also when nothing is armed; -EPERM, -EPROTO (no page of ours), -errno. */
int unsynced_lose(const char *page_path, void (*tell)(void *context, const struct unsynced_loss *loss), void *context);

#endif
