/* What the disk faults do to a call, and how: told in the ruling, carried out by a backend with the functions below. The same under
 * both backends; shim-safe. All file access is by system call on a descriptor of the calling process.
 *
 * 1. A disk is a regular file or a block device; not pipes, sockets, terminals, nor files of /proc, /sys and the like.
 * 2. Places are offsets in the file. A call at the descriptor's own place is looked up before it is made; another thread that
 *    moves the same descriptor meanwhile has the fault act where it was. */
#ifndef PERTURB_SHIMS_JUDGE_DISK_H
#define PERTURB_SHIMS_JUDGE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct call_firing;
struct control_count;
struct judge_facts;
struct occasion;

/* Of a write: which sectors reach the file. */
struct torn {
    struct control_count *count; /* NULL: it is not torn */
    uint64_t sector, draw;
    uint64_t kept;    /* prefix: so many of them */
    bool is_some;     /* else prefix */
    bool then_crash;
};

/* Of a read: which bytes are changed. */
struct rot {
    struct control_count *count; /* NULL: none */
    uint64_t seed, name_hash, cell, length, offset;
    uint32_t cells_ppm, mode;    /* mode as the table's words have it */
};

/* Of a write: what it replaces is kept first. Of a sync: all before it is durable if it succeeds. */
struct unsynced {
    struct control_count *count; /* NULL: nothing to do */
    bool is_sync;
    uint64_t mark;               /* of a sync: what it makes durable */
};

/* The open file behind a call. */
struct disk_file {
    uint64_t device, inode;
    uint64_t size;
    uint64_t offset; /* where the call acts: its own offset, or the descriptor's, or the end when it appends */
    bool appends, is_synced; /* O_APPEND; O_SYNC or O_DSYNC */
};

/* False: no disk, or nothing is known. `place` as in struct occasion. */
bool disk_file(int fd, uint64_t place, struct disk_file *ret_file);

/* Of an occasion: with its own descriptor, place and, for stdio, what the stream still holds. */
bool disk_of(const struct judge_facts *facts, struct occasion *occasion, struct disk_file *ret_file);

/* Bytes that the call moves to the file: all it asks for; of a stream's what does not stay in its buffer. */
uint64_t disk_moves(const struct occasion *occasion);

/* Would this open(2) open a disk? What does not exist would when it is to be created. */
bool disk_opens(const struct judge_facts *facts, const struct occasion *occasion);

/* Writes the sectors of a torn write of `size` bytes in `parts`, and moves the descriptor's place over all of it. `place` as in
 * struct occasion. Returns `size` (what is reported), or -errno when nothing was written. */
int64_t disk_tear(int fd, const struct torn *torn, uint64_t place, const struct iovec *parts, size_t count, uint64_t size);

/* Does the rot change a byte of [offset, offset + size)? */
bool disk_rots(const struct rot *rot, uint64_t offset, uint64_t size);

/* Changes `size` bytes that were read at rot->offset. False: none was different afterwards. */
bool disk_rot(const struct rot *rot, const struct iovec *parts, size_t count, uint64_t size);

#endif
