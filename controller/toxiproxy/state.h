/* The model kept in a file across restarts: the body of a populate, toxics included, durations as what is left of them.
 *
 * The file is replaced by rename and fsync, so that it is never half written; it is the owner's alone (0600). */
#ifndef PERTURB_TOXIPROXY_STATE_H
#define PERTURB_TOXIPROXY_STATE_H

#include <stddef.h>

/* 0 or -errno. `text` is borrowed. */
int state_write(const char *path, const char *text, size_t size);

#endif
