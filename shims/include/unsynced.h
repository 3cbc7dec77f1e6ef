/* What was written and not yet synced, in the control page: for each write of a `lost_writes` rule what the file held before. When
 * the process has been killed, the controller puts that back (shims/host/unsynced.h), as a power cut would have left it.
 *
 * 1. A record is complete before it is linked to its file, and linked before the write is made. A process killed at any
 *    instruction therefore leaves what can be taken back; at worst a record of a write that was never made.
 * 2. Positions count bytes from the page's beginning and only rise; a record lies in the ring at its position modulo the ring's
 *    size, in one piece. A file's records form a list from its newest to its oldest, in which positions
 *    fall.
 * 3. A record at or before the file's `synced` is durable; the list ends there.
 * 4. Room is taken from the ring by moving `tail` to the oldest record that is not durable. While a writer is between taking room
 *    and linking (`pending`), `tail` stands still, and who needs room waits a moment. When there is none the write is not recorded,
 *    and counted as skipped: it has reached the disk by itself, as a kernel short of memory would have it.
 * 5. A file is known by device, inode and birth, so that a new file with an old number is another one. */
#ifndef PERTURB_SHIMS_UNSYNCED_H
#define PERTURB_SHIMS_UNSYNCED_H

#include <stdint.h>

enum {
    UNSYNCED_FILES_MAX = 256,
    UNSYNCED_PATH_MAX = 512,
    UNSYNCED_RING = 16 << 20,
    UNSYNCED_RECORD_MAX = UNSYNCED_RING / 4,
    UNSYNCED_ALIGN = 64,
};

struct unsynced_record {
    uint64_t previous; /* position of the file's record before; 0: none */
    uint64_t offset, length; /* of what the write replaced; its bytes follow */
    uint64_t old_size;       /* of the file */
    uint64_t written;        /* bytes the call was to write */
};

struct unsynced_file {
    _Alignas(64) uint64_t key; /* 0: free, 1: being taken */
    uint64_t device, inode, birth;
    uint64_t last;    /* newest record, 0: none */
    uint64_t synced;  /* records up to here are durable */
    uint32_t pending; /* writers on their way */
    char path[UNSYNCED_PATH_MAX];
};

struct unsynced_log {
    _Alignas(64) uint64_t head, tail; /* 0 is not used as a position: both begin at UNSYNCED_ALIGN */
    struct unsynced_file files[UNSYNCED_FILES_MAX];
    _Alignas(4096) char ring[UNSYNCED_RING];
};

#endif
