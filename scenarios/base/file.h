/* Files, where write(2) alone is not enough. */
#ifndef PERTURB_BASE_FILE_H
#define PERTURB_BASE_FILE_H

#include <stddef.h>

/* Writes all of it, whatever interrupts or shortens a write(2). 0; -errno, and then an unknown part was written. */
int file_write_all(int fd, const void *bytes, size_t size);

#endif
