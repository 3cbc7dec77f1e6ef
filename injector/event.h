/* Telling another thread by an eventfd. */
#ifndef PERTURB_INJECTOR_EVENT_H
#define PERTURB_INJECTOR_EVENT_H

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

enum { EVENT_TRIES = 4 };

/* Makes it readable. The kernel refuses that only of one that is readable already (EAGAIN); whoever waits for it would wait for ever
 * when another refusal, of a filter or of a fault, were the last word. errno is lost. */
static inline void event_tell(int fd)
{
    const uint64_t one = 1;

    for (int i = 0; i < EVENT_TRIES && write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN; i++)
        continue;
}

#endif
