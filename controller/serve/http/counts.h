/* What this process' API has answered, by class of status. Any thread. */
#ifndef PERTURB_SERVE_COUNTS_H
#define PERTURB_SERVE_COUNTS_H

#include <stddef.h>
#include <stdint.h>

enum { COUNTS_CLASSES = 5 }; /* 1xx to 5xx */

void counts_note(int status, uint64_t ns);
void counts_read(size_t class, uint64_t *ret_requests, uint64_t *ret_ns); /* class: 0 for 1xx */

#endif
