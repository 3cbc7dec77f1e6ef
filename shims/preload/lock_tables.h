/* The tables of struct control_locks, this process's side: slots of threads, sites, edges. No lock, no allocation; a full table is
 * counted and otherwise ignored. */
#ifndef PERTURB_SHIMS_LOCK_TABLES_H
#define PERTURB_SHIMS_LOCK_TABLES_H

#include "shims/preload/shim.h"

/* This thread's slot, emptied for the watching of that number; NULL when there is none free. */
struct lock_thread *lock_slot_take(struct control_locks *locks, uint32_t watch);

/* The number of the site at a return address; 0 when the table is full. */
uint32_t lock_site(struct control_locks *locks, const void *caller, enum lock_kind kind);

/* `next` is asked for while `held`, which lies above `guard` (0: nothing below it), is held. */
void lock_edge(struct control_locks *locks, const struct lock_held *held, uint64_t guard, const struct lock_held *next);

#endif
