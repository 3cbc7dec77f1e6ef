/* Locals that end themselves: AUTO_FREE for heap memory, AUTO_CLOSE for descriptors (-1 is "none").
 * Use: `AUTO_FREE char *text = NULL;`  `AUTO_CLOSE int fd = -1;`
 * Handing the value on is written as `*ret = TAKE_PTR(text)` or `TAKE_FD(fd)`: the source is emptied in the same step. */
#ifndef PERTURB_BASE_CLEANUP_H
#define PERTURB_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *slot)
{
    free(*(void **)slot);
}

static inline void cleanup_close(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline int cleanup_take_fd(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

static inline void *cleanup_take_ptr(void *slot)
{
    void *taken = *(void **)slot;

    *(void **)slot = NULL;
    return taken;
}

#define AUTO_FREE __attribute__((cleanup(cleanup_free)))
#define AUTO_CLOSE __attribute__((cleanup(cleanup_close)))
#define TAKE_FD(fd) cleanup_take_fd(&(fd))
#define TAKE_PTR(pointer) cleanup_take_ptr(&(pointer))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
